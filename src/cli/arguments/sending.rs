//! What the sending side is asked for: the same options whoever starts it, `careful-send` here or the receiver that pulls.
//!
//! In a pull they travel to the sending host. So **nothing in here names a file of this host, writes one or starts a
//! program**.

use std::num::NonZeroU64;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};

use super::metadata::MetadataArguments;
use super::selection::file_size;
use crate::protocol::limits::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, PACE_MIN};
use crate::protocol::receipt::{Origin, Stored};
use crate::send::Records;

/// What is sent, and how carefully.
#[derive(Clone, Debug, Args)]
pub struct SendingArguments {
    /// How the source is made sure of
    ///
    /// A record is what careful-check seal, or an earlier transfer, stored with a file. A source that differs from its
    /// record, with size and time unchanged, is not transferred: exit code 41. A record that the file was changed after is
    /// told of and not relied on.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OriginChoice::Auto)]
    pub origin: OriginChoice,

    /// Store no record of its origin with each copy
    ///
    /// With a record the next transfer of the copy, and careful-check verify, compare it with what the source is now.
    #[arg(long)]
    pub no_record: bool,

    /// How the stored copy is checked
    #[arg(long, value_name = "HOW", value_enum, default_value_t = StoredChoice::Device)]
    pub stored: StoredChoice,

    /// Believe size and time where the target exists, and do not check such files
    ///
    /// They get no receipt, and the last line counts them apart.
    #[arg(long)]
    pub quick: bool,

    /// Never replace a file that exists and differs
    #[arg(long)]
    pub no_replace: bool,

    /// Size of the chunks that large files travel in
    ///
    /// A power of two from 64KiB to 4MiB. Each chunk is checked, and sent again, by itself. Files up to 1MiB travel whole;
    /// a file of less than two chunks, or of more than 1048576, gets smaller or larger ones.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = chunk_size)]
    pub chunk_size: u32,

    /// Change nothing at either side, and tell what would be done
    ///
    /// The other side takes part and compares as it would: by content, or with --quick by size and time. One line on standard
    /// output for each file that is new or would be replaced, deleted (--delete) or removed at the source (--move); with -v
    /// also for those that are equal. Everything that can be known before anything is written is told and counts for the exit code;
    /// a full disk, or a directory that may not be written to, is found by writing only. Standard input (-) is not read.
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Send no more than RATE of content a second
    ///
    /// RATE is in KiB, as with rsync, or written as for --min-size: 500, 1.5M, 100KB. All streams of the transfer together
    /// stay below it, whatever carries them; what is read, hashed and written at either side is not held back. 0 is no limit.
    #[arg(long, value_name = "RATE", default_value = "0", hide_default_value = true)]
    pub bwlimit: Rate,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub metadata: MetadataArguments,
}

/// Bytes of a chunk; the error explains for a person.
fn chunk_size(text: &str) -> Result<u32, String> {
    let size: ByteSize = text.parse().map_err(|_| "not a size, as in 256KiB".to_owned())?;
    u32::try_from(size.as_u64())
        .ok()
        .filter(|bytes| bytes.is_power_of_two() && (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(bytes))
        .ok_or_else(|| "a chunk is a power of two from 64KiB to 4MiB".to_owned())
}

/// Value of `--bwlimit`: bytes a second; nothing for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<NonZeroU64>);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a rate is a number of KiB a second, or one with K, M or G behind it, as in 1.5M".to_owned();
        let has_unit = text.ends_with(|letter: char| letter.is_ascii_alphabetic());
        let bytes = if has_unit { file_size(text) } else { file_size(&format!("{text}K")) };
        match bytes.map_err(|_| wrong())? {
            bytes @ 1..PACE_MIN => Err(format!("{bytes} bytes a second are too few: from 1K on, or 0 for no limit")),
            bytes => Ok(Self(NonZeroU64::new(bytes))),
        }
    }
}

/// Value of `--origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OriginChoice {
    /// Compared with its record, where it has one, else read twice
    Auto,
    /// Compared with its record; a file without one is not transferred
    Recorded,
    /// Two reads that must agree, the second past the page cache; no record is looked at
    Reread,
    /// One read: wrong bytes from memory or disk are not noticed
    FirstRead,
}

impl OriginChoice {
    /// What a record of a source is good for.
    #[must_use]
    pub fn records(self) -> Records {
        match self {
            Self::Auto => Records::Used,
            Self::Recorded => Records::Demanded,
            Self::Reread | Self::FirstRead => Records::Ignored,
        }
    }
}

/// Value of `--stored`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoredChoice {
    /// Read back from the device, past the page cache
    Device,
    /// Read back, but the page cache may answer
    Cache,
    /// Not read back
    None,
}

/// The most that a receipt can say.
impl From<OriginChoice> for Origin {
    fn from(choice: OriginChoice) -> Self {
        match choice {
            OriginChoice::Auto | OriginChoice::Recorded => Self::Recorded,
            OriginChoice::Reread => Self::Reread,
            OriginChoice::FirstRead => Self::FirstRead,
        }
    }
}

impl From<StoredChoice> for Stored {
    fn from(choice: StoredChoice) -> Self {
        match choice {
            StoredChoice::Device => Self::Device,
            StoredChoice::Cache => Self::Cache,
            StoredChoice::None => Self::None,
        }
    }
}
