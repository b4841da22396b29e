//! Receipts as lines of `--receipts FILE`: JSON that a person can read and from which the signed bytes can be made again.
//!
//! Names are shown as text that is safe to print; where that is not the bytes themselves, the bytes stand beside it.
//! **No signature is checked here.**

use std::time::{Duration, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::report::exact;
use super::requirement::{durable_of, origin_of, stored_of};
use super::safe_name::safe;
use crate::protocol::entry::Attributes;
use crate::protocol::receipt::{Proof, Receipt, ReceiptFile, ReceiptKind};
use crate::wire::identity::PublicKey;

/// Version of the form.
const VERSION: u64 = 2;
/// The last second of the year 9999: later times are not told as a date.
const LAST_DATE_SECONDS: u64 = 253_402_300_799;

/// Why a line is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptLineError {
    /// Not JSON, or a field is missing or of another type.
    #[error("not a receipt")]
    Form(#[from] serde_json::Error),
    /// Of a later version of this program.
    #[error("a receipt of version {0}, which this version does not know")]
    Version(u64),
    /// A field does not hold what it must, or contradicts the one beside it.
    #[error("the receipt's field {0} is malformed")]
    Field(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Line {
    version: u64,
    transfer: String,
    directory: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory_bytes: Option<String>,
    time: String,
    time_seconds: u64,
    receiver: String,
    sender: String,
    files: Vec<File>,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    length: u64,
    root: String,
    origin: String,
    stored: String,
    durable: String,
    /// As asked for, in octal digits.
    mode: String,
    modified: Modified,
    /// `link` for a symbolic link, of which length and root are those of its target as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Modified {
    seconds: i64,
    nanoseconds: u32,
}

/// The receipt and its signature as one line, without the line break.
#[must_use]
pub fn to_line(receipt: &Receipt, signature: &[u8; 64]) -> String {
    let line = Line {
        version: VERSION,
        transfer: HEXLOWER.encode(&receipt.transfer),
        directory: safe(&receipt.directory),
        directory_bytes: exact(&receipt.directory),
        time: date(receipt.time_seconds),
        time_seconds: receipt.time_seconds,
        receiver: PublicKey(receipt.receiver).to_string(),
        sender: PublicKey(receipt.sender).to_string(),
        files: receipt.files.iter().map(File::from).collect(),
        signature: HEXLOWER.encode(signature),
    };
    serde_json::to_string(&line).expect("strings and numbers are JSON")
}

/// The receipt and its signature again. What is shown must agree with what is meant, or the line is refused.
pub fn from_line(line: &str) -> Result<(Receipt, [u8; 64]), ReceiptLineError> {
    /// Read first, so that a later version is named as such whatever else it changed.
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version } = serde_json::from_str(line)?;
    if version != VERSION {
        return Err(ReceiptLineError::Version(version));
    }
    let line: Line = serde_json::from_str(line)?;
    if line.time != date(line.time_seconds) {
        return Err(ReceiptLineError::Field("time"));
    }
    let receipt = Receipt {
        transfer: fixed("transfer", &line.transfer)?,
        directory: bytes("directory", &line.directory, line.directory_bytes.as_deref())?,
        time_seconds: line.time_seconds,
        receiver: key("receiver", &line.receiver)?,
        sender: key("sender", &line.sender)?,
        files: line.files.into_iter().map(ReceiptFile::try_from).collect::<Result<_, _>>()?,
    };
    Ok((receipt, fixed("signature", &line.signature)?))
}

impl From<&ReceiptFile> for File {
    fn from(file: &ReceiptFile) -> Self {
        Self {
            path: safe(&file.path),
            path_bytes: exact(&file.path),
            length: file.length_bytes,
            root: HEXLOWER.encode(&file.root),
            origin: file.proof.origin.word().to_owned(),
            stored: file.proof.stored.word().to_owned(),
            durable: file.proof.durable.word().to_owned(),
            mode: octal(file.attributes.mode),
            modified: Modified {
                seconds: file.attributes.modified_seconds,
                nanoseconds: file.attributes.modified_nanoseconds,
            },
            kind: file.kind.word().map(str::to_owned),
        }
    }
}

impl TryFrom<File> for ReceiptFile {
    type Error = ReceiptLineError;

    fn try_from(file: File) -> Result<Self, ReceiptLineError> {
        Ok(Self {
            path: bytes("path", &file.path, file.path_bytes.as_deref())?,
            length_bytes: file.length,
            root: fixed("root", &file.root)?,
            proof: Proof {
                origin: origin_of(&file.origin).ok_or(ReceiptLineError::Field("origin"))?,
                stored: stored_of(&file.stored).ok_or(ReceiptLineError::Field("stored"))?,
                durable: durable_of(&file.durable).ok_or(ReceiptLineError::Field("durable"))?,
            },
            attributes: Attributes {
                mode: u32::from_str_radix(&file.mode, 8)
                    .ok()
                    .filter(|&mode| octal(mode) == file.mode)
                    .ok_or(ReceiptLineError::Field("mode"))?,
                modified_seconds: file.modified.seconds,
                modified_nanoseconds: file.modified.nanoseconds,
            },
            kind: ReceiptKind::of_word(file.kind.as_deref()).ok_or(ReceiptLineError::Field("kind"))?,
        })
    }
}

/// A mode as chmod takes it.
fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// RFC 3339, or words where there is no such date: the clock is the other side's and may say anything.
fn date(time_seconds: u64) -> String {
    if time_seconds > LAST_DATE_SECONDS {
        return "after 9999".to_owned();
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time_seconds)).to_string()
}

fn fixed<const LENGTH: usize>(field: &'static str, hex: &str) -> Result<[u8; LENGTH], ReceiptLineError> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| ReceiptLineError::Field(field))?;
    bytes.try_into().map_err(|_| ReceiptLineError::Field(field))
}

fn key(field: &'static str, word: &str) -> Result<[u8; 32], ReceiptLineError> {
    word.parse().map(|PublicKey(bytes)| bytes).map_err(|_| ReceiptLineError::Field(field))
}

/// The bytes that `shown` stands for. Shown and meant must agree, so that no line shows one name and is signed for
/// another.
fn bytes(field: &'static str, shown: &str, exact_base64: Option<&str>) -> Result<Vec<u8>, ReceiptLineError> {
    let bytes = match exact_base64 {
        None => shown.as_bytes().to_vec(),
        Some(text) => BASE64.decode(text.as_bytes()).map_err(|_| ReceiptLineError::Field(field))?,
    };
    if safe(&bytes) == shown { Ok(bytes) } else { Err(ReceiptLineError::Field(field)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::receipt::{Durable, Origin, Stored};

    fn receipt(paths: &[&[u8]]) -> Receipt {
        let proof = Proof { origin: Origin::FirstRead, stored: Stored::Cache, durable: Durable::No };
        let files = paths.iter().enumerate().map(|(index, path)| ReceiptFile {
            path: path.to_vec(),
            length_bytes: u64::MAX - index as u64,
            root: [index as u8; 32],
            proof,
            attributes: Attributes {
                mode: 0o40 + index as u32,
                modified_seconds: -5,
                modified_nanoseconds: 999_999_999,
            },
            kind: [ReceiptKind::File, ReceiptKind::Link, ReceiptKind::HardLink][index % 3],
        });
        Receipt {
            transfer: [1; 16],
            directory: b"/d\xff".to_vec(),
            time_seconds: 1_700_000_000,
            receiver: [2; 32],
            sender: [3; 32],
            files: files.collect(),
        }
    }

    fn assert_restored(receipt: &Receipt) {
        let line = to_line(receipt, &[9; 64]);
        assert!(!line.contains('\n') && line.chars().all(|character| !character.is_control()), "{line}");
        let (restored, signature) = from_line(&line).expect("a receipt");
        assert_eq!(restored.statement(), receipt.statement());
        assert_eq!((&restored, signature), (receipt, [9; 64]));
    }

    #[test]
    fn a_line_restores_the_statement_that_was_signed() {
        assert_restored(&receipt(&[]));
        assert_restored(&receipt(&[b"a/b", "é".as_bytes(), b"\xff\xfe", b"a\nb\x1b[2J", b"\\x41", b"", b"\xc2\x9b"]));
    }

    #[test]
    fn a_line_looks_as_written_down() {
        let line = to_line(&receipt(&[b"a\nb"]), &[0xab; 64]);
        let root = "00".repeat(32);
        assert_eq!(
            line,
            format!(
                "{{\"version\":2,\"transfer\":\"{}\",\"directory\":\"/d\\\\xff\",\"directory_bytes\":\"L2T/\",\
                 \"time\":\"2023-11-14T22:13:20Z\",\"time_seconds\":1700000000,\"receiver\":\"{}\",\"sender\":\"{}\",\
                 \"files\":[{{\"path\":\"a\\\\nb\",\"path_bytes\":\"YQpi\",\"length\":18446744073709551615,\
                 \"root\":\"{root}\",\"origin\":\"first-read\",\"stored\":\"cache\",\"durable\":\"no\",\
                 \"mode\":\"0040\",\"modified\":{{\"seconds\":-5,\"nanoseconds\":999999999}}}}],\
                 \"signature\":\"{}\"}}",
                "01".repeat(16),
                PublicKey([2; 32]),
                PublicKey([3; 32]),
                "ab".repeat(64),
            )
        );
    }

    #[test]
    fn a_clock_that_says_anything_is_survived() {
        for time_seconds in [0, LAST_DATE_SECONDS, LAST_DATE_SECONDS + 1, u64::MAX] {
            assert_restored(&Receipt { time_seconds, ..receipt(&[b"a"]) });
        }
    }

    #[test]
    fn a_line_that_shows_one_thing_and_means_another_is_refused() {
        let line = to_line(&receipt(&[b"a\nb"]), &[0; 64]);
        for (from, to, field) in [
            ("a\\\\nb", "harmless", "path"),
            ("\"path_bytes\":\"YQpi\",", "", "path"),
            ("YQpi", "YQpi!", "path"),
            ("2023-", "2024-", "time"),
            ("0101", "01", "transfer"),
            ("careful-key1aiba", "careful-key1aibb", "receiver"),
            ("first-read", "none", "origin"),
            ("\"cache\"", "\"Cache\"", "stored"),
            ("\"no\"", "\"maybe\"", "durable"),
            ("\"0040\"", "\"40\"", "mode"),
            ("\"0040\"", "\"0048\"", "mode"),
        ] {
            let other = line.replacen(from, to, 1);
            assert_ne!(other, line);
            match from_line(&other) {
                Err(ReceiptLineError::Field(found)) => assert_eq!(found, field),
                answer => panic!("{from} -> {to}: {answer:?}"),
            }
        }
    }

    #[test]
    fn a_later_version_and_no_receipt_at_all_are_told_apart() {
        assert!(matches!(from_line("{\"version\":3,\"files\":7}"), Err(ReceiptLineError::Version(3))));
        for line in ["", "{}", "null", "{\"version\":2}", "[2]"] {
            assert!(matches!(from_line(line), Err(ReceiptLineError::Form(_))), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_restored(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert_restored(&receipt(&[&path]));
        }
    }
}
