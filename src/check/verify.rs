//! Reads a file past the cache and compares it with its record, or with what something else says of it. What differs is
//! read once more before it is called corrupt: one wrong read may be the reading's own fault.

use std::io;
use std::ops::Range;

use super::reading::Reader;
use super::walk::Item;
use super::{Expected, ReadBy, Verdict, open_parent};
use crate::record::{self, Content, Found};
use crate::seams::disk::{Directory, Disk, DiskFile, Metadata, Reading};

/// Compares a file with its own record.
pub(super) fn by_record(item: &Item, reader: &mut Reader<'_>) -> (Verdict, Option<ReadBy>) {
    let open = || {
        let file = item.directory.open_file(&item.name, Reading::PastCache)?;
        let before = file.metadata()?;
        Ok((file, before))
    };
    let (file, before) = match open() {
        Ok(open) => open,
        Err(error) => return (unread(&error), None),
    };
    match record::find(file.as_ref(), &before) {
        Found::Nothing => (Verdict::NoRecord, None),
        Found::Damaged => (Verdict::DamagedRecord, None),
        Found::Stale(_) => (Verdict::Changed, None),
        Found::Fits(record) => {
            let place = Place { directory: item.directory.as_ref(), name: &item.name };
            judged(place.compare(file.as_ref(), &before, &record.content, reader))
        }
    }
}

/// Compares a file with what a manifest or a receipt says of it.
pub(super) fn by_expectation(
    disk: &dyn Disk,
    expected: &Expected,
    reader: &mut Reader<'_>,
) -> (Verdict, Option<ReadBy>) {
    let open = || {
        let (directory, name) = open_parent(disk, &expected.path)?;
        let file = directory.open_file(&name, Reading::PastCache)?;
        let before = file.metadata()?;
        Ok((directory, name, file, before))
    };
    let (directory, name, file, before) = match open() {
        Ok(open) => open,
        Err(error) => return (unread(&error), None),
    };
    let is_other = expected.length_bytes.is_some_and(|length| length != before.length_bytes)
        || expected.modified.is_some_and(|modified| modified != before.modified);
    if is_other {
        return (Verdict::Changed, None);
    }
    let place = Place { directory: directory.as_ref(), name: &name };
    let content = Content::whole(before.length_bytes, expected.root);
    judged(place.compare(file.as_ref(), &before, &content, reader))
}

/// Where a file is.
struct Place<'a> {
    directory: &'a dyn Directory,
    name: &'a std::ffi::OsStr,
}

impl Place<'_> {
    fn compare(
        &self,
        file: &dyn DiskFile,
        before: &Metadata,
        expected: &Content,
        reader: &mut Reader<'_>,
    ) -> io::Result<(Verdict, ReadBy)> {
        let first = reader.read(file, before.length_bytes)?;
        let mut read = ReadBy { from_device: file.reads_device(), misread: false };
        if !self.directory.metadata_of(self.name)?.unchanged(before) {
            return Ok((Verdict::Changed, read));
        }
        if first.root == expected.root {
            return Ok((Verdict::Right(first), read));
        }
        let again = self.directory.open_file(self.name, Reading::PastCache)?;
        let second = reader.read(again.as_ref(), before.length_bytes)?;
        read.from_device &= again.reads_device();
        if !self.directory.metadata_of(self.name)?.unchanged(before) {
            return Ok((Verdict::Changed, read));
        }
        if second.root == expected.root {
            read.misread = true;
            return Ok((Verdict::Right(second), read));
        }
        if first != second {
            return Ok((Verdict::Unstable, read));
        }
        Ok((Verdict::Corrupt { ranges: differences(expected, &second) }, read))
    }
}

fn judged(compared: io::Result<(Verdict, ReadBy)>) -> (Verdict, Option<ReadBy>) {
    match compared {
        Ok((verdict, read)) => (verdict, Some(read)),
        // It was cut short while it was read.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (Verdict::Changed, None),
        Err(error) => (unread(&error), None),
    }
}

/// What a file is that could not be opened or read.
pub(super) fn unread(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::NotFound => Verdict::Missing,
        _ => Verdict::Failed(error.to_string()),
    }
}

/// Where two contents of the same length differ, neighbours joined.
fn differences(expected: &Content, found: &Content) -> Vec<Range<u64>> {
    let whole = 0..found.length_bytes;
    let (Some(expected), Some(parts)) = (&expected.subtrees, &found.subtrees) else { return Vec::from([whole]) };
    if expected.bytes != parts.bytes {
        return Vec::from([whole]);
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (number, (right, value)) in (0..).zip(expected.values.iter().zip(&parts.values)) {
        let start = number * parts.bytes;
        let end = (start + parts.bytes).min(found.length_bytes);
        match ranges.last_mut() {
            _ if right == value => {}
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{PieceHash, Root};
    use crate::record::Subtrees;

    fn content(values: &[u8]) -> Content {
        let values = values.iter().map(|&value| PieceHash([value; 32])).collect();
        Content { length_bytes: 45, root: Root([0; 32]), subtrees: Some(Subtrees { bytes: 10, values }) }
    }

    #[test]
    fn differences_are_told_by_parts_and_neighbours_joined() {
        let right = content(&[1, 2, 3, 4, 5]);
        assert_eq!(differences(&right, &content(&[1, 9, 9, 4, 9])), [10..30, 40..45]);
        let whole = 0..45;
        assert_eq!(differences(&Content { subtrees: None, ..right.clone() }, &right), [whole]);
    }
}
