//! Random bits flipped in the memory of the running, unmodified programs: the soft-error model, and what it leaves.
//!
//! The victim, the page and the bit are drawn from a seed; the moment is real time, so a trial is stochastic and is reported
//! as such, never replayed exactly. Most flips hit memory that nobody needs any more. A residue that no check can see is
//! expected: measured, and not hidden.

#![expect(clippy::disallowed_methods, reason = "the programs and their files are looked at from outside")]
#![expect(clippy::disallowed_types, reason = "the memory of a process is no file of a transfer")]

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::matrix::report::{Counts, Outcome};
use crate::plan::Draw;
use crate::programs::Programs;
use crate::rig::content;

/// Longest time for one transfer.
const LIMIT: Duration = Duration::from_secs(60);
/// Length of the file, in bytes: some tenths of a second of work.
const FILE_BYTES: usize = 48 << 20;
/// Flips of one trial, spread over the transfer: one alone would nearly always hit nothing.
const FLIPS: u64 = 20;
const PAGE_BYTES: u64 = 4096;

/// What many trials came to.
#[derive(Clone, Debug, Default)]
pub struct MemoryReport {
    /// By the end of the transfer.
    pub counts: Counts,
    /// Bits that were flipped in all of them.
    pub flips: u64,
    /// What was silent or hung, in words.
    pub noted: Vec<String>,
}

/// Runs so many trials with these programs.
///
/// # Errors
/// If the programs cannot be run, or a place to run them in cannot be made.
pub fn run(programs: &Programs, seed: u64, trials: u32, done: &dyn Fn()) -> io::Result<MemoryReport> {
    let place = tempfile::tempdir()?;
    let source = place.path().join("source");
    let bytes = content(seed, FILE_BYTES);
    fs::write(&source, &bytes)?;
    let undisturbed = Instant::now();
    let (outcome, _) = one(programs, place.path(), &source, &bytes, &mut Draw::new(seed), Duration::MAX)?;
    if outcome != Outcome::Masked {
        return Err(io::Error::other("a transfer that nobody disturbs does not complete"));
    }
    let takes = undisturbed.elapsed();
    let mut report = MemoryReport::default();
    for trial in 0..trials {
        let mut draw = Draw::new(seed ^ (u64::from(trial) << 32));
        let (outcome, flips) = one(programs, place.path(), &source, &bytes, &mut draw, takes / FLIPS as u32)?;
        report.counts.add(if flips == 0 { Outcome::NotActivated } else { outcome }, 1);
        report.flips += flips;
        if matches!(outcome, Outcome::Silent | Outcome::Hung) {
            report.noted.push(format!("seed {seed}, trial {trial}: {}", outcome.meaning()));
        }
        done();
    }
    Ok(report)
}

/// One transfer, a bit flipped after each pause.
fn one(
    programs: &Programs,
    place: &Path,
    source: &Path,
    bytes: &[u8],
    draw: &mut Draw,
    pause: Duration,
) -> io::Result<(Outcome, u64)> {
    let target = place.join("target");
    fs::create_dir_all(&target)?;
    let mut sender = Command::new(programs.path("careful-send"))
        .args(["--quiet", "--json", "--retry-for", "5s"])
        .arg(source)
        .arg(&target)
        .env("XDG_STATE_HOME", place.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    let mut flips = 0;
    let (mut next, mut exit) = (pause, None);
    while exit.is_none() && started.elapsed() < LIMIT {
        if started.elapsed() >= next && flips < FLIPS {
            flips += u64::from(flip(&sender, draw).is_some());
            next = next.saturating_add(pause);
        }
        thread::sleep(Duration::from_millis(2));
        exit = sender.try_wait()?;
    }
    if exit.is_none() {
        sender.kill()?;
        sender.wait()?;
    }
    let told = io::read_to_string(sender.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).unwrap_or_default();
    let is_told = told.contains("\"event\":\"receipt\"");
    let is_right = fs::read(target.join("source")).is_ok_and(|found| found == bytes);
    fs::remove_dir_all(&target)?;
    let outcome = match exit {
        None => Outcome::Hung,
        Some(_) if is_told && !is_right => Outcome::Silent,
        Some(status) if status.success() && !is_right => Outcome::Silent,
        Some(status) if !status.success() => Outcome::Refused,
        Some(_) if told.contains("\"repaired_chunks\":0") => Outcome::Masked,
        Some(_) => Outcome::Repaired,
    };
    Ok((outcome, flips))
}

/// Flips a bit of a random page that the sender, or the receiver it started, may write to.
fn flip(sender: &Child, draw: &mut Draw) -> Option<()> {
    let sender = sender.id();
    let receiver = fs::read_to_string(format!("/proc/{sender}/task/{sender}/children")).ok()?;
    let receiver = receiver.split_whitespace().next().and_then(|id| id.parse().ok());
    let victim = if draw.below(2) == 0 { sender } else { receiver.unwrap_or(sender) };
    let pages = writable_pages(victim)?;
    let memory = fs::OpenOptions::new().read(true).write(true).open(format!("/proc/{victim}/mem")).ok()?;
    let at = pages.get(draw.below(pages.len() as u64) as usize)? + draw.below(PAGE_BYTES);
    let mut byte = [0];
    memory.read_exact_at(&mut byte, at).ok()?;
    byte[0] ^= 1 << draw.below(8);
    memory.write_all_at(&byte, at).ok()
}

/// Addresses of the pages of its heaps, stacks and buffers that are in memory.
fn writable_pages(process: u32) -> Option<Vec<u64>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let resident = fs::File::open(format!("/proc/{process}/pagemap")).ok()?;
    let mut pages = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let count = ((to - from) / PAGE_BYTES) as usize;
        let mut entries = vec![0; count * 8];
        // Eight bytes a page; the highest bit says that it is present (proc_pid_pagemap(5)).
        let read = resident.read_at(&mut entries, from / PAGE_BYTES * 8).ok()?;
        let present = entries[..read].chunks_exact(8).enumerate().filter(|(_, entry)| entry[7] & 0x80 != 0);
        pages.extend(present.map(|(number, _)| from + number as u64 * PAGE_BYTES));
    }
    Some(pages)
}
