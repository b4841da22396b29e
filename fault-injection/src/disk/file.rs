//! A file of the faulty disk: reads, writes and flushes that go wrong.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use careful::seams::buffer::PieceBuffer;
use careful::seams::disk::{DiskFile, Metadata, Timestamp, read_full, write_all};

use super::books::Identity;
use super::flush::{cache_differences, flush, on_medium};
use super::{Cheat, World};
use crate::plan::{Fault, Place, Role, Strike, damage, range_of};

/// Bytes that somebody else writes into a source that changes.
const FOREIGN_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct FaultyFile {
    pub(super) inner: Arc<dyn DiskFile>,
    pub(super) world: Arc<World>,
    pub(super) role: Role,
    /// Final name.
    pub(super) file: Vec<u8>,
    /// Whether reads of this handle see the page cache.
    pub(super) cached: bool,
    pub(super) identity: Identity,
    pub(super) foreign_writer: Option<Arc<dyn DiskFile>>,
}

impl FaultyFile {
    pub(super) fn with_foreign_writer(self, foreign_writer: Option<Arc<dyn DiskFile>>) -> Self {
        Self { foreign_writer, ..self }
    }

    fn place(&self, role: Role, offset_bytes: u64) -> Option<Place> {
        let chunk_bytes = self.world.chunk_bytes;
        let begins = offset_bytes.is_multiple_of(chunk_bytes);
        begins.then(|| Place::Disk { role, file: self.file.clone(), chunk: offset_bytes / chunk_bytes })
    }

    /// What is due at a call that begins at this offset.
    fn begin(&self, role: Role, offset_bytes: u64) -> io::Result<Vec<Strike>> {
        self.place(role, offset_bytes).map_or(Ok(Vec::new()), |place| self.world.begin(&place))
    }

    /// Notes what is moved at the offset, and where it lies.
    fn note(&self, role: Role, offset_bytes: u64, memory: &[u8]) {
        self.world.plan.moved(role, &self.file, memory.len());
        if let Some(place) = self.place(role, offset_bytes) {
            self.world.plan.lies_in(place, memory);
        }
    }

    /// An operation on the whole file.
    fn operation(&self, role: Role) -> io::Result<Vec<Strike>> {
        self.world.operation(role, &self.file)
    }

    /// How much of a call of this length is made.
    fn shortened(&self, due: &[Strike], length: usize) -> usize {
        let short = due.iter().find(|strike| strike.fault == Fault::Short && length > 1);
        short.map_or(length, |&strike| {
            self.world.plan.took_effect(strike);
            length / 2
        })
    }

    /// Damage of the source that was there before anybody read it.
    fn lasting_damage(&self, offset_bytes: u64, read: &mut [u8]) {
        let roles: &[Role] = match self.role {
            Role::SourceRead => &[Role::SourceMedium, Role::SourceCache],
            Role::SourceReadPastCache if self.cached => &[Role::SourceMedium, Role::SourceCache],
            Role::SourceReadPastCache => &[Role::SourceMedium],
            _ => &[],
        };
        for &role in roles {
            let Some(place) = self.place(role, offset_bytes) else { return };
            let (due, is_new) = self.world.books().lasting(&place, || self.world.plan.visit(&place));
            for strike in due {
                if damage(strike, read).is_some() && is_new {
                    self.world.plan.took_effect(strike);
                }
            }
        }
    }

    /// A read that came out wrong.
    fn damage_read(&self, strike: Strike, read: &mut [u8]) -> io::Result<()> {
        let has_effect = match strike.fault {
            Fault::Misdirect { byte, length, to } => match range_of(byte, length, read.len()) {
                None => false,
                Some(range) => {
                    let before = read[range.clone()].to_vec();
                    read_full(self.inner.as_ref(), &mut read[range.clone()], to)?;
                    read[range] != before
                }
            },
            _ => damage(strike, read).is_some(),
        };
        if has_effect {
            self.world.plan.took_effect(strike);
        }
        Ok(())
    }

    /// The medium decays after this read; only one who writes to the file can do that here.
    fn decay_after_read(&self, due: &[Strike], offset_bytes: u64, length_bytes: u64) -> io::Result<()> {
        let Some(writer) = self.world.books().writer_of(self.identity) else { return Ok(()) };
        for &strike in due {
            let Fault::Decay { byte, bit } = strike.fault else { continue };
            let at = offset_bytes + byte % length_bytes.max(1);
            let mut wrong = on_medium(writer.as_ref(), at..at + 1)?;
            wrong[0] ^= 1 << bit;
            write_all(writer.as_ref(), &wrong, at)?;
            self.world.plan.took_effect(strike);
        }
        Ok(())
    }

    /// Somebody else writes into the beginning of the file and into the chunk that is about to be read: who has read the
    /// beginning before gets a mix.
    fn change(&self, strike: Strike, offset_bytes: u64) -> io::Result<()> {
        let Some(writer) = &self.foreign_writer else { return Ok(()) };
        for at in [0, offset_bytes] {
            let mut bytes = [0; FOREIGN_BYTES];
            let read = read_full(self.inner.as_ref(), &mut bytes, at)?;
            bytes[..read].iter_mut().for_each(|byte| *byte = !*byte);
            write_all(writer.as_ref(), &bytes[..read], at)?;
        }
        self.world.plan.took_effect(strike);
        Ok(())
    }

    /// Notes what is there before a write, if a flush is to lose the write.
    fn remember(&self, range: Range<u64>) -> io::Result<()> {
        let is_kept = self.world.plan.has(|entry| entry.fault.loses_at_sync());
        let before = if is_kept { Some((range.start, on_medium(self.inner.as_ref(), range)?)) } else { None };
        self.world.books().note_write(self.identity, &self.inner, &self.file, before);
        Ok(())
    }

    /// A write that lands otherwise than it was handed over. `by_cache` are strikes below the page cache.
    fn write_otherwise(&self, bytes: &[u8], offset_bytes: u64, due: &[Strike], below: &[Strike]) -> io::Result<usize> {
        self.note(Role::StagingWrite, offset_bytes, bytes);
        let wanted = self.landing(bytes, offset_bytes, due)?;
        let landed = self.landing(&wanted, offset_bytes, below)?;
        write_all(self.inner.as_ref(), &landed, offset_bytes)?;
        let end = offset_bytes + bytes.len() as u64;
        self.world.books().written(self.identity, offset_bytes..end);
        if self.world.cheat == Some(Cheat::NeverReadsBack) {
            cache_differences(&self.world, self.identity, bytes, &landed, offset_bytes);
        } else if !below.is_empty() {
            cache_differences(&self.world, self.identity, &wanted, &landed, offset_bytes);
        }
        for &strike in due {
            self.write_elsewhere(strike, &wanted, offset_bytes, false)?;
        }
        for &strike in below {
            self.write_elsewhere(strike, &wanted, offset_bytes, true)?;
        }
        Ok(bytes.len())
    }

    /// The bytes that lie there after the strikes; aligned, so that the write takes the same way.
    fn landing(&self, bytes: &[u8], offset_bytes: u64, due: &[Strike]) -> io::Result<PieceBuffer> {
        let mut landed = PieceBuffer::unpooled(bytes.len());
        landed.copy_from_slice(bytes);
        for &strike in due {
            let kept = match strike.fault {
                Fault::Lost => Some(0..bytes.len()),
                Fault::Torn { bytes: made } => range_of(made, u64::MAX, bytes.len()),
                Fault::Stale { byte, length } | Fault::Misdirect { byte, length, .. } => {
                    range_of(byte, length, bytes.len())
                }
                _ => None,
            };
            let has_effect = match kept {
                Some(range) => {
                    let at = offset_bytes + range.start as u64;
                    let old = on_medium(self.inner.as_ref(), at..at + range.len() as u64)?;
                    let differs = landed[range.clone()] != old[..];
                    landed[range].copy_from_slice(&old);
                    differs
                }
                None => damage(strike, &mut landed).is_some(),
            };
            if has_effect {
                self.world.plan.took_effect(strike);
            }
        }
        Ok(landed)
    }

    /// The second place of a block that went astray.
    fn write_elsewhere(&self, strike: Strike, bytes: &[u8], offset_bytes: u64, below_cache: bool) -> io::Result<()> {
        let (Fault::Misdirect { byte, length, to } | Fault::Spill { byte, length, to }) = strike.fault else {
            return Ok(());
        };
        let Some(range) = range_of(byte, length, bytes.len()) else { return Ok(()) };
        let end = self.inner.metadata()?.length_bytes;
        // Beyond the end of the file it would hit another one.
        let room = usize::try_from(end.saturating_sub(to)).unwrap_or(usize::MAX).min(range.len());
        let block = &bytes[range.start..range.start + room];
        let before = on_medium(self.inner.as_ref(), to..to + room as u64)?;
        if block.is_empty() || before == block || to == offset_bytes + range.start as u64 {
            return Ok(());
        }
        write_all(self.inner.as_ref(), block, to)?;
        let mut books = self.world.books();
        books.written(self.identity, to..to + room as u64);
        if below_cache {
            books.cache(self.identity, to, &before);
        }
        drop(books);
        if matches!(strike.fault, Fault::Spill { .. }) {
            self.world.plan.took_effect(strike);
        }
        Ok(())
    }

    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let due = self.operation(Role::FileSync)?;
        flush(&self.world, &[self.identity], &due, sync)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let due = self.begin(self.role, offset_bytes)?;
        for &strike in due.iter().filter(|strike| strike.fault == Fault::Changed) {
            self.change(strike, offset_bytes)?;
        }
        let room = self.shortened(&due, buffer.len());
        let read = self.inner.read_at(&mut buffer[..room], offset_bytes)?;
        self.note(self.role, offset_bytes, &buffer[..read]);
        let read_bytes = &mut buffer[..read];
        if self.cached {
            self.world.books().lay_over(self.identity, offset_bytes, read_bytes);
        }
        self.lasting_damage(offset_bytes, read_bytes);
        for &strike in &due {
            self.damage_read(strike, read_bytes)?;
        }
        if due.iter().any(|strike| matches!(strike.fault, Fault::Decay { .. })) {
            // The read itself was right; what comes after it is not.
            self.decay_after_read(&due, offset_bytes, read as u64)?;
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<usize> {
        let due = self.begin(Role::StagingWrite, offset_bytes)?;
        let bytes = &bytes[..self.shortened(&due, bytes.len())];
        let below = self.begin(Role::WriteOut, offset_bytes)?;
        self.remember(offset_bytes..offset_bytes + bytes.len() as u64)?;
        if !below.is_empty() || due.iter().any(|strike| strike.fault != Fault::Short) {
            return self.write_otherwise(bytes, offset_bytes, &due, &below);
        }
        let written = self.inner.write_at(bytes, offset_bytes)?;
        self.note(Role::StagingWrite, offset_bytes, &bytes[..written]);
        self.world.books().written(self.identity, offset_bytes..offset_bytes + written as u64);
        Ok(written)
    }

    fn copy_at(&self, from: &dyn DiskFile, offset_bytes: u64, length_bytes: u64, memory: &mut [u8]) -> io::Result<u64> {
        self.begin(Role::Copy, offset_bytes)?;
        self.remember(offset_bytes..offset_bytes + length_bytes)?;
        // The other file is a faulty one, too, and shows no descriptor: its bytes pass through its reads.
        let copied = self.inner.copy_at(from, offset_bytes, length_bytes, memory)?;
        self.world.plan.moved(Role::Copy, &self.file, copied as usize);
        self.world.books().written(self.identity, offset_bytes..offset_bytes + copied);
        Ok(copied)
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.operation(Role::Allocate)?;
        self.inner.allocate(length_bytes)
    }

    fn make_hole(&self, range: Range<u64>) -> io::Result<()> {
        let due = self.begin(Role::StagingWrite, range.start)?;
        self.remember(range.clone())?;
        if let Some(&strike) = due.iter().find(|strike| strike.fault == Fault::Lost) {
            // What was there before stays.
            if on_medium(self.inner.as_ref(), range)?.iter().any(|byte| *byte != 0) {
                self.world.plan.took_effect(strike);
            }
            return Ok(());
        }
        self.inner.make_hole(range.clone())?;
        self.world.books().written(self.identity, range);
        Ok(())
    }

    fn set_length(&self, length_bytes: u64) -> io::Result<()> {
        self.operation(Role::SetLength)?;
        self.inner.set_length(length_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(|| self.inner.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(|| self.inner.sync_all())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.operation(Role::Lock)?;
        self.inner.try_lock()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.operation(self.world.role(Role::SourceInspect, Role::TargetInspect))?;
        self.inner.metadata()
    }

    fn found(&self) -> io::Result<Metadata> {
        // Part of the opening, which was a visit of its own.
        self.inner.found()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.operation(Role::SetMode)?;
        self.inner.set_mode(mode)
    }

    fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.operation(Role::SetModified)?;
        self.inner.set_modified(modified)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset_bytes)
    }

    fn reads_device(&self) -> bool {
        self.inner.reads_device()
    }
}
