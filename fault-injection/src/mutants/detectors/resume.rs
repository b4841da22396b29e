//! Claims about what is there already: a staging file of an earlier run is worth what its bytes on the disk are worth.

use std::sync::Arc;

use careful::seams::disk::Reading;
use careful::seams::os_disk::OsDisk;

use crate::mutants::door::{OpenFile, Watch, WatchedDisk};
use crate::mutants::trial::{Trial, staging_name};
use crate::rig::{Care, Rig, content};

super::table![
    a_damaged_staging_file_is_not_believed,
    an_old_target_of_the_same_length_is_not_believed,
    a_longer_staging_file_is_cut,
    a_longer_staging_file_of_a_large_file_is_cut,
    a_staging_file_that_only_the_cache_has_right_is_not_believed,
    a_copy_that_only_the_cache_has_right_is_repaired,
];

const LARGE: usize = (3 << 20) + 5;
const SMALL: usize = 5000;

fn damaged(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[position] ^= 8;
    bytes
}

fn a_damaged_staging_file_is_not_believed() {
    for (length, position) in [(SMALL, 17), (LARGE, (1 << 20) + 17), (LARGE, LARGE - 1)] {
        let rig = Rig::with_file(length);
        rig.add_target(&staging_name("file"), &damaged(&rig.sources()["file"], position));
        rig.run("", Care::FULL).assert_all_right();
    }
}

fn an_old_target_of_the_same_length_is_not_believed() {
    for (length, position) in [(SMALL, 17), (LARGE, (1 << 20) + 17)] {
        let rig = Rig::with_file(length);
        rig.add_target("file", &damaged(&rig.sources()["file"], position));
        rig.run("", Care::FULL).assert_all_right();
    }
}

fn a_longer_staging_file_is_cut() {
    let mut rig = Rig::new();
    for number in 0..12 {
        rig.add_source(&format!("file-{number}"), &content(number, SMALL));
    }
    rig.add_target(&staging_name("file-3"), &content(99, SMALL + 7000));
    rig.run("", Care::FULL).assert_all_right();
}

fn a_longer_staging_file_of_a_large_file_is_cut() {
    let rig = Rig::with_file(LARGE);
    rig.add_target(&staging_name("file"), &[rig.sources()["file"].as_slice(), &[7; 7000]].concat());
    rig.run("", Care::FULL).assert_all_right();
}

/// One byte at which the page cache and the medium differ, for every file; the medium is what lies there.
#[derive(Debug)]
struct TwoFaces {
    position: u64,
}

impl Watch for TwoFaces {
    fn shown(&self, file: &OpenFile, offset_bytes: u64, bytes: &mut [u8]) {
        let place = self.position.checked_sub(offset_bytes).filter(|&place| place < bytes.len() as u64);
        if let (Some(Reading::Cached), Some(place)) = (file.reading, place) {
            bytes[place as usize] ^= 8;
        }
    }
}

fn a_staging_file_that_only_the_cache_has_right_is_not_believed() {
    for (length, position) in [(SMALL, 17), (LARGE, (1 << 20) + 17)] {
        let trial = Trial::new();
        let bytes = content(1, length);
        trial.write("source/file", &bytes);
        trial.write(&format!("target/{}", staging_name("file")), &damaged(&bytes, position));
        let receiver = WatchedDisk::over(Arc::new(OsDisk), Arc::new(TwoFaces { position: position as u64 }));
        trial.transfer(Arc::new(OsDisk), receiver).assert_right(&trial, "file", &bytes);
    }
}

/// The first write of the byte goes wrong on its way to the medium; the page cache never knows.
#[derive(Debug)]
struct WrongOnMedium {
    faces: TwoFaces,
    strikes: std::sync::atomic::AtomicBool,
}

impl Watch for WrongOnMedium {
    fn shown(&self, file: &OpenFile, offset_bytes: u64, bytes: &mut [u8]) {
        self.faces.shown(file, offset_bytes, bytes);
    }

    fn written(&self, _file: &OpenFile, offset_bytes: u64, bytes: &mut [u8]) {
        let place = self.faces.position.checked_sub(offset_bytes).filter(|&place| place < bytes.len() as u64);
        if let Some(place) = place
            && self.strikes.swap(false, std::sync::atomic::Ordering::Relaxed)
        {
            bytes[place as usize] ^= 8;
        }
    }
}

fn a_copy_that_only_the_cache_has_right_is_repaired() {
    for (length, position) in [(SMALL, 17), (LARGE, (1 << 20) + 17)] {
        let trial = Trial::new();
        let bytes = content(1, length);
        trial.write("source/file", &bytes);
        let faces = TwoFaces { position: position as u64 };
        let watch = Arc::new(WrongOnMedium { faces, strikes: true.into() });
        let told = trial.transfer(Arc::new(OsDisk), WatchedDisk::over(Arc::new(OsDisk), Arc::clone(&watch) as _));
        assert!(!watch.strikes.load(std::sync::atomic::Ordering::Relaxed), "the fault never struck");
        told.assert_right(&trial, "file", &bytes);
    }
}
