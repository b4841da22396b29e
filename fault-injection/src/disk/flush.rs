//! Flushes of the faulty disk: what is lost in them, who is told, and what decays once it was flushed.

use std::io;
use std::ops::Range;

use careful::seams::buffer::PieceBuffer;
use careful::seams::disk::{DiskFile, read_full, write_all};

use super::World;
use super::books::{Identity, PAGE_BYTES, Writer};
use crate::plan::{Fault, Place, Role, Strike, damage};

/// Flushes these files as planned: what is lost, who is told, what the medium does afterwards.
pub(super) fn flush(
    world: &World,
    files: &[Identity],
    due: &[Strike],
    sync: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let losing = due.iter().copied().find(|strike| strike.fault.loses_at_sync());
    let writers: Vec<Writer> = files.iter().filter_map(|&identity| world.books().take_unsynced(identity)).collect();
    if let Some(strike) = losing {
        for writer in &writers {
            lose(world, writer, strike)?;
        }
        if strike.fault != Fault::Swallowed {
            return Err(io::Error::from_raw_os_error(5));
        }
    }
    sync()?;
    writers.iter().try_for_each(|writer| decay(world, writer))
}

/// Nothing written since the last flush is on the medium.
fn lose(world: &World, writer: &Writer, strike: Strike) -> io::Result<()> {
    let Some(inner) = writer.inner.upgrade() else { return Ok(()) };
    let mut has_effect = false;
    for (offset_bytes, before) in writer.unsynced.iter().rev() {
        let range = *offset_bytes..offset_bytes + before.len() as u64;
        let now = on_medium(inner.as_ref(), range.clone())?;
        has_effect |= now != *before;
        let mut old = PieceBuffer::unpooled(before.len());
        old.copy_from_slice(before);
        write_all(inner.as_ref(), &old, *offset_bytes)?;
        if strike.fault == Fault::FailedReverting {
            world.books().written(writer.identity, range);
        } else {
            cache_differences(world, writer.identity, &now, before, *offset_bytes);
        }
    }
    if has_effect {
        world.plan.took_effect(strike);
    }
    Ok(())
}

/// What was flushed decays on the medium, and the page cache does not know.
fn decay(world: &World, writer: &Writer) -> io::Result<()> {
    let Some(inner) = writer.inner.upgrade() else { return Ok(()) };
    let planned = world.plan.entries().iter().filter_map(|entry| match &entry.place {
        Place::Disk { role: Role::StoredMedium, file, chunk } if *file == writer.file => Some((&entry.place, *chunk)),
        _ => None,
    });
    for (place, chunk) in planned {
        let start = chunk * world.chunk_bytes;
        let end = inner.metadata()?.length_bytes.min(start + world.chunk_bytes);
        if start >= end {
            continue;
        }
        let wanted = on_medium(inner.as_ref(), start..end)?;
        let mut landed = PieceBuffer::unpooled(wanted.len());
        landed.copy_from_slice(&wanted);
        let due: Vec<Strike> = world.plan.visit(place);
        for strike in due {
            if damage(strike, &mut landed).is_some() {
                world.plan.took_effect(strike);
            }
        }
        write_all(inner.as_ref(), &landed, start)?;
        cache_differences(world, writer.identity, &wanted, &landed, start);
    }
    Ok(())
}

/// Page by page, what the cache holds where the medium holds something else.
pub(super) fn cache_differences(world: &World, identity: Identity, wanted: &[u8], landed: &[u8], offset_bytes: u64) {
    let mut books = world.books();
    let pages = wanted.chunks(PAGE_BYTES as usize).zip(landed.chunks(PAGE_BYTES as usize));
    for (number, (wanted, landed)) in pages.enumerate() {
        if wanted != landed {
            books.cache(identity, offset_bytes + number as u64 * PAGE_BYTES, wanted);
        }
    }
}

/// What the medium holds; zeros after its end.
pub(super) fn on_medium(inner: &dyn DiskFile, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    read_full(inner, &mut bytes, range.start)?;
    Ok(bytes)
}
