//! Whether an overlay file system keeps what is flushed. It goes by a number of its own, whatever its upper directory lies on,
//! and mounted with `volatile` it flushes nothing and calls that a success. The kernel tells both in the list of mounts only.
//!
//! **What cannot be found out is no**: from within a container the upper directory is usually out of sight.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, StatxFlags};

use super::FLEETING_FILE_SYSTEMS;

/// Number of overlayfs.
pub(super) const FILE_SYSTEM: u32 = 0x794C_7630;

/// Whether the overlay that this directory lies on is known to keep what is flushed.
pub(super) fn is_durable(directory: &OwnedFd) -> io::Result<bool> {
    let found = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Ok(false);
    }
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let Some(upper) = upper_directory(&mounts, found.stx_mnt_id) else { return Ok(false) };
    Ok(rustix::fs::statfs(&upper).is_ok_and(|found| {
        let kind = found.f_type as u32;
        kind != FILE_SYSTEM && !FLEETING_FILE_SYSTEMS.contains(&kind)
    }))
}

/// The upper directory of the overlay mounted under this number; nothing where that flushes nothing, or is read-only. Lines
/// as in proc_pid_mountinfo(5): the number first, the options of the file system last.
fn upper_directory(mounts: &[u8], number: u64) -> Option<PathBuf> {
    let number = number.to_string().into_bytes();
    let fields = |line| <[u8]>::split(line, |&byte| byte == b' ');
    let line = mounts.split(|&byte| byte == b'\n').find(|line| fields(line).next() == Some(&number))?;
    let options: Vec<&[u8]> = fields(line).next_back()?.split(|&byte| byte == b',').collect();
    // In either spelling.
    if options.iter().any(|option| [&b"volatile"[..], b"fsync=volatile"].contains(option)) {
        return None;
    }
    let upper = options.iter().find_map(|option| option.strip_prefix(b"upperdir="))?;
    Some(PathBuf::from(OsString::from_vec(unescaped(upper))))
}

/// Spaces and other bytes that would end a field stand there as `\` and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut left = field;
    while let [first, rest @ ..] = left {
        left = rest;
        let digits =
            rest.first_chunk::<3>().filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        if byte.is_some() {
            left = &rest[3..];
        }
        bytes.push(byte.unwrap_or(*first));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        220 22 0:40 / /a rw - overlay overlay rw,lowerdir=/l,upperdir=/with\\040space\\054comma,workdir=/w\n\
        221 22 0:41 / /b rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,volatile\n\
        222 22 0:42 / /c ro - overlay overlay ro,lowerdir=/l:/m\n";

    #[test]
    fn the_upper_directory_is_that_of_the_mount_and_none_where_nothing_is_flushed() {
        assert_eq!(upper_directory(MOUNTS, 220), Some("/with space,comma".into()));
        for number in [22, 221, 222, 2, 0] {
            assert_eq!(upper_directory(MOUNTS, number), None, "{number}");
        }
    }

    #[test]
    fn octal_digits_stand_for_bytes_and_anything_else_for_itself() {
        for (field, bytes) in [("a\\134b", "a\\b"), ("\\04", "\\04"), ("\\777", "\\777"), ("\\", "\\"), ("", "")] {
            assert_eq!(unescaped(field.as_bytes()), bytes.as_bytes(), "{field}");
        }
    }
}
