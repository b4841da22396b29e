//! Manifests: records of many files in two files beside each other.
//!
//! The manifest itself is what `b3sum` prints, and `b3sum --check` reads it. Such a list has no place for comments, and its
//! lines none for length and time. So its first line names a second file, the *sidecar* `MANIFEST.origin`, with its hash:
//! that holds version and time of the whole, the hash of all further lines, and for each of them length and time of last
//! modification. `b3sum --check` checks the sidecar like any file. A manifest without one, as `b3sum` itself makes it, says
//! only what the content is. **No file is opened here.**

use std::fmt::Write as _;

use data_encoding::HEXLOWER;

use crate::hash::Root;
use crate::seams::disk::Timestamp;

/// What follows a manifest's name in that of its sidecar.
pub const SIDECAR_SUFFIX: &str = ".origin";
/// First word of a sidecar; the number is the version of its form.
const SIDECAR_WORD: &str = "careful-manifest-1";

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As it was named when the manifest was made. `b3sum` takes only UTF-8.
    pub path: String,
    /// BLAKE3 of the whole.
    pub root: Root,
    /// Length in bytes and time of last modification, where a sidecar tells them.
    pub known: Option<(u64, Timestamp)>,
}

/// What was read is no manifest, or its sidecar does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not as `b3sum` writes it.
    #[error("line {0} is not a line of b3sum: 64 hexadecimal digits, two spaces, a path")]
    Line(usize),
    /// The hash of the sidecar, or the hash it holds of the list, is another.
    #[error("the list and {SIDECAR_SUFFIX} beside it do not belong together, or one of them is damaged")]
    Sidecar,
}

/// Manifest and sidecar of these files, all of whose lengths and times are known; `sidecar` is how the sidecar will be
/// named beside it.
#[must_use]
pub fn encode(sidecar: &str, lines: &[Line], made_seconds: u32) -> (String, String) {
    let list: String = lines.iter().map(|line| sum_line(&line.root, &line.path)).collect();
    let mut second =
        format!("{SIDECAR_WORD} {} {made_seconds} {}\n", env!("CARGO_PKG_VERSION"), Root::of(list.as_bytes()).to_hex());
    for line in lines {
        let (length, modified) = line.known.unwrap_or((0, Timestamp { seconds: 0, nanoseconds: 0 }));
        writeln!(second, "{length} {} {}", modified.seconds, modified.nanoseconds).expect("memory takes all");
    }
    (sum_line(&Root::of(second.as_bytes()), sidecar) + &list, second)
}

/// The name of the sidecar that the manifest's first line tells, if it does.
#[must_use]
pub fn sidecar_of(manifest: &str) -> Option<String> {
    let (_, path) = parse_line(manifest.lines().next()?)?;
    path.ends_with(SIDECAR_SUFFIX).then_some(path)
}

/// The files of a manifest; with a sidecar, which is none of them, also lengths and times.
pub fn decode(manifest: &str, sidecar: Option<&str>) -> Result<Vec<Line>, ManifestError> {
    let Some(sidecar) = sidecar else { return lines(manifest, 1) };
    let (first, list) = manifest.split_once('\n').ok_or(ManifestError::Sidecar)?;
    let (root, _) = parse_line(first).ok_or(ManifestError::Line(1))?;
    if Root::of(sidecar.as_bytes()) != root {
        return Err(ManifestError::Sidecar);
    }
    let mut files = lines(list, 2)?;
    let (head, rows) = sidecar.split_once('\n').ok_or(ManifestError::Sidecar)?;
    let words: Vec<&str> = head.split(' ').collect();
    let fits = words.len() == 4 && words[0] == SIDECAR_WORD && words[3] == Root::of(list.as_bytes()).to_hex();
    if !fits || rows.lines().count() != files.len() {
        return Err(ManifestError::Sidecar);
    }
    for (file, row) in files.iter_mut().zip(rows.lines()) {
        file.known = Some(parse_row(row).ok_or(ManifestError::Sidecar)?);
    }
    Ok(files)
}

fn lines(list: &str, first_number: usize) -> Result<Vec<Line>, ManifestError> {
    let line = |(line, number): (&str, usize)| {
        let (root, path) = parse_line(line).ok_or(ManifestError::Line(number))?;
        Ok(Line { path, root, known: None })
    };
    list.lines().zip(first_number..).map(line).collect()
}

fn parse_row(row: &str) -> Option<(u64, Timestamp)> {
    let mut words = row.split(' ');
    let length = words.next()?.parse().ok()?;
    let seconds = words.next()?.parse().ok()?;
    let nanoseconds = words.next()?.parse().ok().filter(|&nanoseconds| nanoseconds < 1_000_000_000)?;
    words.next().is_none().then_some((length, Timestamp { seconds, nanoseconds }))
}

/// As `b3sum` has it: a path with a backslash or a line break is escaped, and a backslash before the line says so.
fn sum_line(root: &Root, path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == path { "" } else { "\\" };
    format!("{mark}{}  {escaped}\n", root.to_hex())
}

fn parse_line(line: &str) -> Option<(Root, String)> {
    let (line, is_escaped) = match line.strip_prefix('\\') {
        Some(line) => (line, true),
        None => (line, false),
    };
    let (digits, path) = line.split_once("  ").or_else(|| line.split_once(" *"))?;
    let root = Root(HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()?);
    let path = if is_escaped { unescape(path)? } else { path.to_owned() };
    // b3sum refuses these, too: a NUL is in no path, and the replacement character stands for bytes it could not write.
    let is_path = !path.is_empty() && !path.contains(['\0', '\u{fffd}']);
    is_path.then_some((root, path))
}

fn unescape(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Line {
        let known = Some((5, Timestamp { seconds: -7, nanoseconds: 8 }));
        Line { path: path.to_owned(), root: Root::of(path.as_bytes()), known }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let files = ["a", "a  b", "back\\slash", "line\nbreak", "\r", "-", "ä"].map(line);
        let (manifest, sidecar) = encode("m.origin", &files, 9);
        assert_eq!(sidecar_of(&manifest).as_deref(), Some("m.origin"));
        assert_eq!(decode(&manifest, Some(&sidecar)).as_deref(), Ok(&files[..]));
        let without = decode(manifest.split_once('\n').expect("lines").1, None).expect("a manifest");
        assert!(without.iter().zip(&files).all(|(found, file)| found.path == file.path && found.known.is_none()));
    }

    #[test]
    fn a_line_looks_as_b3sum_writes_it() {
        let root = "3ae7d805f6789a6402acb70ad4096a85a56bf6804eaf25c0493ac697548d30b5";
        assert_eq!(sum_line(&Root::of(b"x"), "back\\slash"), format!("\\{root}  back\\\\slash\n"));
        assert_eq!(sum_line(&Root::of(b"x"), "a"), format!("{root}  a\n"));
    }

    #[test]
    fn damage_in_either_file_is_noticed() {
        let (manifest, sidecar) = encode("m.origin", &["a", "b"].map(line), 9);
        let whole = [manifest.as_bytes(), sidecar.as_bytes()].concat();
        for place in 0..whole.len() {
            let mut other = whole.clone();
            other[place] ^= 1;
            let (manifest, sidecar) = other.split_at(manifest.len());
            let texts = (std::str::from_utf8(manifest), std::str::from_utf8(sidecar));
            let (Ok(manifest), Ok(sidecar)) = texts else { continue };
            // The sidecar's own name is the one thing that no hash covers.
            let is_name = (66..74).contains(&place);
            assert!(is_name || decode(manifest, Some(sidecar)).is_err(), "byte {place}");
        }
    }

    #[test]
    fn what_is_no_line_is_named_by_its_number() {
        let good = sum_line(&Root([1; 32]), "a");
        for bad in ["# comment", "", "abc  a", &format!("{}  ", "0".repeat(64)), &format!("\\{}  a\\x", "0".repeat(64))]
        {
            assert_eq!(decode(&format!("{good}{bad}\n{good}"), None), Err(ManifestError::Line(2)), "{bad}");
        }
    }
}
