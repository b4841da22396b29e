//! The receivers that a person trusts: under which name and port which key is expected.
//!
//! ```text
//! # a comment
//! backup.example:29984 careful-key1... 2026-11-22
//! [2001:db8::1]:29984 careful-key1...
//! ```
//!
//! What is pinned is the name that the person types, with its port. Fail closed: a text that cannot be read is never
//! taken for an empty one. **Nothing is learned here by itself, and no entry is ever changed.**

use crate::wire::identity::PublicKey;
use crate::wire::key_text::KeyTextError;

/// A key that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The key to expect.
    pub key: PublicKey,
    /// Number of its line, from 1.
    pub line: usize,
}

/// A line that cannot be used, and so no line can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct KnownPeersError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not text that a person would have written.
    #[error("not plain text")]
    NotText,
    /// It does not have two or three words.
    #[error("not of the form: host:port careful-key1... [day]")]
    Form,
    /// The key has a mistake in it.
    #[error("{0}")]
    Key(KeyTextError),
    /// The name stands in another line, too.
    #[error("line {0} has this name already")]
    NameAgain(usize),
    /// The last line has no end: it may have been cut off.
    #[error("the line has no end: it may have been cut off")]
    CutOff,
}

/// The key that is expected under this name, as [`super::standing::StandingAddress`] shows it.
pub fn find(text: &[u8], name: &str) -> Result<Option<Known>, KnownPeersError> {
    let mut seen = std::collections::HashMap::new();
    let mut found = None;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let error = |fault| KnownPeersError { line: number, fault };
        let line = line.strip_suffix(b"\n").ok_or_else(|| error(Fault::CutOff))?;
        let Some((host, key)) = parse_line(line).map_err(error)? else { continue };
        if let Some(before) = seen.insert(host.clone(), number) {
            return Err(error(Fault::NameAgain(before)));
        }
        if host == name {
            found = Some(Known { key, line: number });
        }
    }
    Ok(found)
}

/// The text with one more entry; `day` as in 2026-11-22.
#[must_use]
pub fn with_entry(text: &[u8], name: &str, key: &PublicKey, day: &str) -> Vec<u8> {
    [text, format!("{name} {key} {day}\n").as_bytes()].concat()
}

fn parse_line(line: &[u8]) -> Result<Option<(String, PublicKey)>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_not_utf8| Fault::NotText)?;
    if line.chars().any(|character| character.is_control() && character != '\t') {
        return Err(Fault::NotText);
    }
    let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [] => Ok(None),
        [first, ..] if first.starts_with('#') => Ok(None),
        [host, key] | [host, key, _] => Ok(Some((host.to_owned(), key.parse().map_err(Fault::Key)?))),
        _ => Err(Fault::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PublicKey = PublicKey([1; 32]);
    const OTHER: PublicKey = PublicKey([2; 32]);

    #[test]
    fn an_entry_that_was_added_is_found_under_its_name_alone() {
        let text = with_entry(b"# mine\n\n", "host:1", &ONE, "2026-11-22");
        let text = with_entry(&text, "host:2", &OTHER, "2026-11-22");
        assert_eq!(find(&text, "host:1"), Ok(Some(Known { key: ONE, line: 3 })));
        assert_eq!(find(&text, "host:2"), Ok(Some(Known { key: OTHER, line: 4 })));
        assert_eq!(find(&text, "host"), Ok(None));
        assert_eq!(find(b"", "host:1"), Ok(None));
    }

    #[test]
    fn a_text_with_a_fault_answers_for_no_name() {
        let good = String::from_utf8(with_entry(b"", "host:1", &ONE, "2026-11-22")).unwrap();
        for (bad, fault) in [
            ("host:2\n".to_owned(), Fault::Form),
            (format!("a b {OTHER}\n"), Fault::Key(KeyTextError::NotAKey)),
            (good.clone(), Fault::NameAgain(1)),
            (good.replace("host:1", "host:2").replace('\n', "\r\n"), Fault::NotText),
            (good.replace("host:1", "host:2").trim_end().to_owned(), Fault::CutOff),
            (
                good.replace("host:1", "host:2").replace("careful-key1a", "careful-key1b"),
                Fault::Key(KeyTextError::Typo),
            ),
        ] {
            let text = format!("{good}{bad}");
            assert_eq!(find(text.as_bytes(), "host:1"), Err(KnownPeersError { line: 2, fault }), "{text}");
        }
    }

    #[test]
    fn a_store_that_was_torn_anywhere_is_never_taken_for_one_without_the_entry() {
        let text = with_entry(b"", "host:1", &ONE, "2026-11-22");
        for length in 1..text.len() {
            assert!(find(&text[..length], "host:1").is_err(), "{length}");
        }
    }
}
