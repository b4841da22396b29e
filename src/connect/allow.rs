//! The list of keys that a standing receiver admits, each with the one directory it may write into.
//!
//! ```text
//! # a comment, also behind a line
//! careful-key1... dir=/srv/in/alice
//! replace max-bytes=500GiB dir="/srv/in/with a blank" careful-key1...
//! ```
//!
//! Fail closed: one bad line makes the whole text unusable, and nobody is admitted by what is left of it.
//! **No file is touched here; no names of hosts, no addresses, no patterns.**

use std::collections::HashMap;
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::protocol::keep::Keep;
use crate::protocol::limits::ALLOWED_KEYS_MAX;
use crate::wire::identity::PublicKey;
use crate::wire::key_text::KeyTextError;

/// What one key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Absolute; everything this key sends stays beneath it.
    pub directory: PathBuf,
    /// Whether targets that exist and differ may be replaced.
    pub replace: bool,
    /// Whether files without a source may be removed.
    pub delete: bool,
    /// What may be brought beside content, mode and time.
    pub accept: Keep,
    /// Most bytes that one transfer may store.
    pub max_bytes: Option<u64>,
    /// Number of its line, from 1.
    pub line: usize,
}

/// All keys of a list.
pub type Grants = HashMap<PublicKey, Grant>;

/// A line that cannot be used, and so no line can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct AllowError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not text that a person would have written.
    #[error("not plain text: control characters, CR LF ends of lines or bytes that are not UTF-8")]
    NotText,
    /// A quote is opened and not closed, or stands elsewhere than after `dir=`.
    #[error("a double quote out of place: the form is dir=\"/a directory\"")]
    Quote,
    /// The key has a mistake in it.
    #[error("{0}")]
    Key(KeyTextError),
    /// Neither a key nor an option.
    #[error("unknown word '{0}': there are dir=, replace, delete, accept= and max-bytes=")]
    Unknown(String),
    /// A word of a kind that was there already.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// Something that every line needs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The directory is not an absolute path.
    #[error("dir= must be an absolute path")]
    NotAbsolute,
    /// A word of the list is none that can be accepted.
    #[error("accept= must be links or outside-links")]
    NotAccepted,
    /// The size is none, or 0.
    #[error("max-bytes= must be a size above 0, as in 500GiB")]
    NotASize,
    /// Another line has this key.
    #[error("this key stands in line {0} already")]
    KeyAgain(usize),
    /// The list is longer than any that is taken.
    #[error("more keys than {ALLOWED_KEYS_MAX}")]
    TooMany,
}

/// All lines of the text. One that holds no key admits nobody.
pub fn parse(text: &[u8]) -> Result<Grants, AllowError> {
    let mut grants = Grants::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let mut take = || -> Result<(), Fault> {
            let Some((key, grant)) = parse_line(line, number)? else { return Ok(()) };
            if let Some(before) = grants.get(&key) {
                return Err(Fault::KeyAgain(before.line));
            }
            if grants.len() == ALLOWED_KEYS_MAX {
                return Err(Fault::TooMany);
            }
            grants.insert(key, grant);
            Ok(())
        };
        take().map_err(|fault| AllowError { line: number, fault })?;
    }
    Ok(grants)
}

fn parse_line(line: &[u8], number: usize) -> Result<Option<(PublicKey, Grant)>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_not_utf8| Fault::NotText)?;
    if line.chars().any(|character| character.is_control() && character != '\t') {
        return Err(Fault::NotText);
    }
    let (mut key, mut directory, mut max_bytes) = (None, None, None);
    let (mut replace, mut delete, mut accept) = (None, None, None);
    for word in words(line)? {
        if word.starts_with("careful-key") {
            once(&mut key, "a key", word.parse().map_err(Fault::Key)?)?;
        } else if let Some(path) = word.strip_prefix("dir=") {
            let path = PathBuf::from(path);
            once(&mut directory, "dir=", if path.is_absolute() { path } else { return Err(Fault::NotAbsolute) })?;
        } else if let Some(size) = word.strip_prefix("max-bytes=") {
            let size: ByteSize = size.parse().map_err(|_no_size| Fault::NotASize)?;
            // 0 would read as "nothing" to one person and as "no limit" to another.
            once(&mut max_bytes, "max-bytes=", Some(size.as_u64()).filter(|&size| size > 0).ok_or(Fault::NotASize)?)?;
        } else if word == "replace" {
            once(&mut replace, "replace", ())?;
        } else if word == "delete" {
            once(&mut delete, "delete", ())?;
        } else if let Some(list) = word.strip_prefix("accept=") {
            once(&mut accept, "accept=", accepted(list)?)?;
        } else {
            return Err(Fault::Unknown(word));
        }
    }
    match (key, directory) {
        (None, None) if replace.is_none() && delete.is_none() && accept.is_none() && max_bytes.is_none() => Ok(None),
        (None, _) => Err(Fault::Missing("the key")),
        (_, None) => Err(Fault::Missing("dir=")),
        (Some(key), Some(directory)) => {
            let (replace, delete) = (replace.is_some(), delete.is_some());
            let accept = accept.unwrap_or(Keep::HARMLESS);
            Ok(Some((key, Grant { directory, replace, delete, accept, max_bytes, line: number })))
        }
    }
}

/// The words of `--accept`.
fn accepted(list: &str) -> Result<Keep, Fault> {
    let mut keep = Keep::HARMLESS;
    for word in list.split(',') {
        match word {
            "links" => keep.links = true,
            "outside-links" => (keep.links, keep.outside_links) = (true, true),
            _ => return Err(Fault::NotAccepted),
        }
    }
    Ok(keep)
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), Fault> {
    if place.replace(value).is_some() { Err(Fault::Twice(name)) } else { Ok(()) }
}

/// The words up to a comment; the value of `dir=` may stand in double quotes.
fn words(line: &str) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut rest = line.trim_start_matches([' ', '\t']);
    while !rest.is_empty() && !rest.starts_with('#') {
        let word = match rest.strip_prefix("dir=\"") {
            Some(quoted) => {
                let (path, after) = quoted.split_once('"').ok_or(Fault::Quote)?;
                if !after.is_empty() && !after.starts_with([' ', '\t']) {
                    return Err(Fault::Quote);
                }
                rest = after;
                format!("dir={path}")
            }
            None => {
                let end = rest.find([' ', '\t']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after;
                if word.contains('"') {
                    return Err(Fault::Quote);
                }
                word.to_owned()
            }
        };
        found.push(word);
        rest = rest.trim_start_matches([' ', '\t']);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    fn fault(text: &str) -> (usize, Fault) {
        let text = text.replace("KEY1", &key(1).to_string()).replace("KEY2", &key(2).to_string());
        let error = parse(text.as_bytes()).expect_err(&text);
        (error.line, error.fault)
    }

    #[test]
    fn options_stand_before_or_behind_the_key_and_comments_anywhere() {
        let text = format!(
            "# who may send\n\n{} dir=/srv/a\n \treplace\tdelete accept=links max-bytes=500GiB dir=\"/srv/b c#d\" {} # nightly\n",
            key(1),
            key(2)
        );
        let grants = parse(text.as_bytes()).expect("grants");
        assert_eq!(grants.len(), 2);
        let none = Keep::HARMLESS;
        let one =
            Grant { directory: "/srv/a".into(), replace: false, delete: false, accept: none, max_bytes: None, line: 3 };
        assert_eq!(grants[&key(1)], one);
        let other = Grant {
            directory: "/srv/b c#d".into(),
            replace: true,
            delete: true,
            accept: Keep { links: true, ..none },
            max_bytes: Some(500 << 30),
            line: 4,
        };
        assert_eq!(grants[&key(2)], other);
    }

    #[test]
    fn a_list_without_a_key_admits_nobody() {
        for text in ["", "\n", "# none\n\n", " \t \n#"] {
            assert_eq!(parse(text.as_bytes()), Ok(Grants::new()));
        }
    }

    #[test]
    fn one_bad_line_makes_the_whole_list_unusable_and_is_named() {
        let typo = key(1).to_string().replace("aeaq", "aeab");
        for (line, expected) in [
            ("KEY1", Fault::Missing("dir=")),
            ("dir=/a", Fault::Missing("the key")),
            ("replace", Fault::Missing("the key")),
            ("KEY1 dir=a", Fault::NotAbsolute),
            ("KEY1 dir=", Fault::NotAbsolute),
            ("KEY1 dir=/a dir=/b", Fault::Twice("dir=")),
            ("KEY1 KEY1 dir=/a", Fault::Twice("a key")),
            ("KEY1 dir=/a replace replace", Fault::Twice("replace")),
            ("KEY1 dir=/a replace=no", Fault::Unknown("replace=no".to_owned())),
            ("KEY1 dir=/a Replace", Fault::Unknown("Replace".to_owned())),
            ("KEY1 dir=/a max-bytes=0", Fault::NotASize),
            ("KEY1 dir=/a max-bytes=", Fault::NotASize),
            ("KEY1 dir=/a max-bytes=-1", Fault::NotASize),
            ("KEY1 dir=/a max-bytes=much", Fault::NotASize),
            ("delete", Fault::Missing("the key")),
            ("KEY1 dir=/a delete delete", Fault::Twice("delete")),
            ("KEY1 dir=/a accept=", Fault::NotAccepted),
            ("KEY1 dir=/a accept=links,", Fault::NotAccepted),
            ("KEY1 dir=/a accept=all", Fault::NotAccepted),
            ("KEY1 dir=\"/a", Fault::Quote),
            ("KEY1 dir=\"/a\"b", Fault::Quote),
            ("KEY1 dir=/a\"b\"", Fault::Quote),
            ("KEY1 dir=/a\r", Fault::NotText),
            ("KEY1 dir=/a\0", Fault::NotText),
            ("KEY1 dir=/\u{85}", Fault::NotText),
            ("KEY2 dir=/elsewhere", Fault::KeyAgain(1)),
            (typo.as_str(), Fault::Key(KeyTextError::Typo)),
            ("careful-key2abc dir=/a", Fault::Key(KeyTextError::NotAKey)),
        ] {
            assert_eq!(fault(&format!("KEY2 dir=/good\n{line}\n")), (2, expected), "{line}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn no_more_keys_are_taken_than_the_limit() {
        let line = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            format!("{} dir=/a\n", PublicKey(bytes))
        };
        let text: String = (0..ALLOWED_KEYS_MAX).map(line).collect();
        assert_eq!(parse(text.as_bytes()).expect("grants").len(), ALLOWED_KEYS_MAX);
        let error = parse((text + &line(ALLOWED_KEYS_MAX)).as_bytes()).expect_err("too many");
        assert_eq!(error, AllowError { line: ALLOWED_KEYS_MAX + 1, fault: Fault::TooMany });
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(grants) = parse(&bytes) {
                prop_assert!(grants.values().all(|grant| grant.directory.is_absolute()));
            }
        }
    }
}
