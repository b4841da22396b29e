//! The command line of `careful-check`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};

use super::{Checked, OutputArguments};
use crate::check::{JOBS_MAX, Pace, Plan, Sample, Task};
use crate::cli::exit_code::help_table;
use crate::wire::identity::PublicKey;

const CHECK_EXAMPLES: &str = "\
Examples:
  careful-check seal photos                      store a record with every file
  careful-check verify photos                    read all files from the disk and compare
  careful-check verify --sample 5% --rate 50MB photos    one part of 20 a day, slowly
  careful-check seal --manifest photos.b3 photos keep the records in a list of b3sum
  careful-check verify --manifest photos.b3
  careful-check receipt receipts.jsonl           check signatures, and the files they name
";

/// Records what files are, and compares them with that later.
///
/// A record holds length, time of last modification and BLAKE3 hashes of a file, in the extended attribute
/// user.careful.origin. careful-recv stores one with each copy, careful-check seal with any other file. Then rot can be
/// told from change: a file that differs from its record with size and time unchanged is corrupt. Files are read past the
/// page cache, from the disk itself, where the file system can; where it cannot, that is said.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "careful-check",
    version,
    after_help = "Exit codes, examples and more words: --help, careful-check(1), careful(7).",
    after_long_help = format!("{CHECK_EXAMPLES}\n{}", help_table())
)]
pub struct CheckArguments {
    /// What is to be done
    #[command(subcommand)]
    pub command: CheckCommand,
}

/// What `careful-check` does.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckCommand {
    /// Read each file twice and store a record with it
    ///
    /// Both reads go past the page cache, and must agree. A file that has a record that fits is not read again, so that a
    /// second run is quick. A record that does not fit stays as it is, unless --renew is given; then a file that was changed
    /// since gets a new one. A file of the same size and time is never sealed anew, whatever it holds.
    Seal(SealArguments),
    /// Read each file once and compare it with its record
    ///
    /// The answers are: ok; changed (size or time differ); corrupt (they do not, but the content does); no record. What
    /// differs is read a second time before it is called corrupt. Nothing is written.
    Verify(VerifyArguments),
    /// Check the signatures of kept receipts, and that the files they name still are what they say
    ///
    /// To be run where the files are. Of several receipts for one file the last counts.
    Receipt(ReceiptArguments),
}

/// Arguments of `careful-check seal`.
#[derive(Clone, Debug, Args)]
pub struct SealArguments {
    /// Files, or directories with all that is in them
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,

    /// Seal anew what was changed since it was sealed, or has a damaged record
    #[arg(long, conflicts_with = "manifest")]
    pub renew: bool,

    /// Keep the records in a list FILE, as b3sum makes and checks it, and in FILE.origin beside it
    ///
    /// Nothing is stored with the files. Neither list may exist yet.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub reading: ReadingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub output: OutputArguments,
}

/// Arguments of `careful-check verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// Files, or directories with all that is in them
    #[arg(value_name = "PATH", required_unless_present = "manifest", conflicts_with = "manifest")]
    pub paths: Vec<PathBuf>,

    /// Compare with this list instead, of careful-check seal or of b3sum; paths in it count from here
    ///
    /// A list of b3sum tells no size and time: what differs may be meant, and is called corrupt all the same.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Only a part of the files: 5% is one of 20 parts, and each has its turn within 20 days
    ///
    /// Which part, follows from the date (UTC) and from the paths as they are given: for a nightly run over the same paths.
    /// For a weekly one take 25% or 10%: every seventh day a number of parts that 7 divides (15% are 7) meets the same part.
    #[arg(long, value_name = "PERCENT")]
    pub sample: Option<Sample>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub reading: ReadingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub output: OutputArguments,
}

/// Arguments of `careful-check receipt`.
#[derive(Clone, Debug, Args)]
pub struct ReceiptArguments {
    /// Receipts as careful-send --receipts kept them
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The key of the receiver that must have signed
    ///
    /// As `careful-recv key` prints it there, for a receiver that listens. Without one the key in each receipt counts, which
    /// shows damage but not who signed.
    #[arg(long, value_name = "KEY")]
    pub key: Option<PublicKey>,

    /// The directory that was received into; by default the one that the receipts name
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub reading: ReadingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the command's own description")]
    pub output: OutputArguments,
}

/// How files are read.
#[derive(Clone, Debug, Args)]
pub struct ReadingArguments {
    /// Files read at once
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = jobs)]
    pub jobs: usize,

    /// The most that is read in a second, all together, as in 50MB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub rate: Option<NonZeroU64>,
}

impl ReadingArguments {
    pub(crate) fn plan(&self, paths: &[PathBuf], task: Task, sample: Option<Sample>) -> Plan {
        let pace = self.rate.map_or_else(Pace::default, Pace::limited);
        Plan { paths: paths.to_vec(), task, jobs: self.jobs, pace, sample }
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    let jobs = text.parse().ok().filter(|jobs| (1..=JOBS_MAX).contains(jobs));
    jobs.ok_or_else(|| format!("a number from 1 to {JOBS_MAX}"))
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let size = text.parse::<ByteSize>().ok().and_then(|size| NonZeroU64::new(size.as_u64()));
    size.ok_or_else(|| "not a size, as in 50MB".to_owned())
}

impl Checked for CheckArguments {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
