//! How the files of a baseline's copy are cut into parcels and pieces: as `careful` does it, from names and lengths alone.
//!
//! Both halves compute it from the same list, so the wire carries no more than job and index. **No I/O here.**

use careful::protocol::entry::Name;
use careful::protocol::limits::{CHUNK_BYTES_DEFAULT, GROUP_BYTES_MAX, GROUP_FILES_MAX};

/// Length of a chunk, and the most that a file of a group may have, in bytes.
pub(super) const CHUNK_BYTES: u64 = CHUNK_BYTES_DEFAULT as u64;

/// A file as the receiver is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: Name,
    pub(super) length_bytes: u64,
}

impl File {
    /// Whether it travels in chunks of its own, and not whole in a group.
    pub(super) fn is_large(&self) -> bool {
        self.length_bytes > CHUNK_BYTES
    }
}

/// Where a piece belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Position in the list of files.
    pub(super) file: usize,
    /// Of its first byte in the file.
    pub(super) offset_bytes: u64,
    /// Of the piece, at most one chunk.
    pub(super) length: usize,
}

/// All files, and the jobs they travel in: groups of small files first, then each large file alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) files: Vec<File>,
    jobs: Vec<Vec<usize>>,
}

impl Layout {
    /// The jobs of these files; groups keep their order.
    pub(super) fn new(files: Vec<File>) -> Self {
        let (large, small): (Vec<usize>, Vec<usize>) =
            (0..files.len()).partition(|&position| files[position].is_large());
        let mut jobs: Vec<Vec<usize>> = Vec::new();
        let mut room_bytes = 0;
        for position in small {
            match jobs.last_mut().filter(|group| room_bytes > 0 && group.len() < GROUP_FILES_MAX) {
                Some(group) => group.push(position),
                None => {
                    jobs.push(vec![position]);
                    room_bytes = GROUP_BYTES_MAX;
                }
            }
            room_bytes = room_bytes.saturating_sub(files[position].length_bytes);
        }
        jobs.extend(large.into_iter().map(|position| vec![position]));
        Self { files, jobs }
    }

    /// The indices of the pieces in each parcel of each job, in order: all files of a group, or one chunk.
    pub(super) fn parcels(&self) -> impl Iterator<Item = (u64, Vec<u64>)> + '_ {
        (0..).zip(&self.jobs).flat_map(|(number, job)| {
            let chunks = match job[..] {
                [alone] if self.files[alone].is_large() => self.files[alone].length_bytes.div_ceil(CHUNK_BYTES),
                _ => 0,
            };
            let group = (chunks == 0).then(|| (0..job.len() as u64).collect());
            group.into_iter().chain((0..chunks).map(|index| vec![index])).map(move |indices| (number, indices))
        })
    }

    /// Where this piece of this job belongs; nothing if there is no such piece.
    pub(super) fn spot(&self, job: u64, index: u64) -> Option<Spot> {
        let job = self.jobs.get(usize::try_from(job).ok()?)?;
        let (file, offset_bytes) = match job[..] {
            [alone] if self.files[alone].is_large() => (alone, index.checked_mul(CHUNK_BYTES)?),
            _ => (*job.get(usize::try_from(index).ok()?)?, 0),
        };
        let file_bytes = self.files[file].length_bytes;
        let is_inside = offset_bytes < file_bytes || file_bytes == 0;
        let length = file_bytes.saturating_sub(offset_bytes).min(CHUNK_BYTES);
        let length = usize::try_from(length).expect("chunks fit into memory");
        is_inside.then_some(Spot { file, offset_bytes, length })
    }

    /// How many pieces travel together with this one: the files of its group, or 1.
    pub(super) fn pieces_together(&self, job: u64) -> usize {
        usize::try_from(job).ok().and_then(|job| self.jobs.get(job)).map_or(1, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(lengths: &[u64]) -> Layout {
        let file = |(number, &length_bytes): (usize, &u64)| File {
            name: Name::new(format!("{number:04}").as_bytes()).unwrap(),
            length_bytes,
        };
        Layout::new(lengths.iter().enumerate().map(file).collect())
    }

    #[test]
    fn every_byte_of_every_file_has_one_piece() {
        let lengths = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
        let layout = layout(&lengths);
        let mut ends = [0; 7];
        let mut pieces = 0;
        for (job, indices) in layout.parcels() {
            for index in indices {
                let spot = layout.spot(job, index).unwrap();
                assert_eq!(spot.offset_bytes, ends[spot.file]);
                ends[spot.file] += spot.length as u64;
                pieces += 1;
            }
        }
        assert_eq!(ends, lengths);
        assert_eq!(pieces, 4 + 2 + 3 + 4);
    }

    #[test]
    fn a_piece_that_is_not_there_has_no_spot() {
        let layout = layout(&[3, 2 * CHUNK_BYTES]);
        assert_eq!(layout.spot(0, 0), Some(Spot { file: 0, offset_bytes: 0, length: 3 }));
        for (job, index) in [(0, 1), (0, u64::MAX), (1, 2), (1, u64::MAX), (2, 0), (u64::MAX, 0)] {
            assert_eq!(layout.spot(job, index), None);
        }
    }

    #[test]
    fn groups_keep_the_limits_of_the_real_ones() {
        let many = layout(&[1; GROUP_FILES_MAX + 1]);
        assert_eq!(many.jobs.iter().map(Vec::len).collect::<Vec<_>>(), [GROUP_FILES_MAX, 1]);
        let heavy = layout(&[CHUNK_BYTES; 6]);
        assert_eq!(heavy.jobs.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
        assert!(layout(&[]).jobs.is_empty());
    }
}
