//! The list of mutants: plain text beside this crate, read like a patch.
//!
//! A block begins with `mutant NAME` or `pair NAME NAME`; then `row`, `says`, and either `found by DETECTOR` or
//! `harmless behind GUARD`; then edits: `in FILE`, `-` lines with the program's text, and what takes its place: `+`
//! lines, with an `if` put round both, or `~` lines, which hold the mutant themselves. Empty lines and `#`
//! lines are nothing.

use std::fmt;

/// The files of the list, by name.
const FILES: [(&str, &str); 6] = [
    ("read_back.mutants", include_str!("../../mutants/read_back.mutants")),
    ("commit.mutants", include_str!("../../mutants/commit.mutants")),
    ("sources.mutants", include_str!("../../mutants/sources.mutants")),
    ("records.mutants", include_str!("../../mutants/records.mutants")),
    ("peers.mutants", include_str!("../../mutants/peers.mutants")),
    ("links.mutants", include_str!("../../mutants/links.mutants")),
];

/// One entry of the list: a guard that is removed, or two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, or those of the two.
    pub names: Vec<String>,
    /// Where the guard is asked for: `6.4 (4)` of the integrity reference, `S9` of the security reference.
    pub row: String,
    /// Which guard is gone, in words.
    pub says: String,
    /// What is to become of it.
    pub expected: Expected,
    /// Where it differs from the program; none for a pair.
    pub(super) edits: Vec<Edit>,
}

/// What is to become of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A detector finds it; this one, or another.
    Found(String),
    /// No detector may find it alone, for another guard stands behind it; this one.
    Harmless(String),
}

/// A change of one place of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// From the root of the workspace.
    pub(super) file: String,
    /// Text of the program, exactly once in its file.
    pub(super) find: String,
    pub(super) replacement: Replacement,
}

/// What takes the place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replacement {
    /// This where the mutant is on, else the text.
    Switched(String),
    /// This, which asks for the mutant itself.
    Whole(String),
}

impl Default for Replacement {
    fn default() -> Self {
        Self::Switched(String::new())
    }
}

/// A list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    file: &'static str,
    line: usize,
    words: &'static str,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.file, self.line, self.words)
    }
}

impl std::error::Error for ListError {}

/// All mutants and pairs, in the order of the files.
///
/// # Errors
/// With the line that is not of the form.
pub fn mutants() -> Result<Vec<Mutant>, ListError> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        all.extend(parse(text).map_err(|(line, words)| ListError { file, line, words })?);
    }
    Ok(all)
}

/// Number of a line from 1, and what is wrong with it.
type Wrong = (usize, &'static str);

fn parse(text: &str) -> Result<Vec<Mutant>, Wrong> {
    let mut all: Vec<Mutant> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |words| (number + 1, words);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(word, "mutant" | "pair") {
            let names = rest.split(' ').map(str::to_owned).collect();
            let expected = Expected::Harmless(String::new());
            all.push(Mutant { names, row: String::new(), says: String::new(), expected, edits: Vec::new() });
            continue;
        }
        let mutant = all.last_mut().ok_or(wrong("a line before the first mutant"))?;
        match (word, line.chars().next()) {
            ("row", _) => mutant.row = rest.to_owned(),
            ("says", _) => mutant.says = rest.to_owned(),
            ("found", _) => {
                mutant.expected = Expected::Found(rest.strip_prefix("by ").ok_or(wrong("found by?"))?.to_owned());
            }
            ("harmless", _) => {
                let guard = rest.strip_prefix("behind ").ok_or(wrong("harmless behind?"))?;
                mutant.expected = Expected::Harmless(guard.to_owned());
            }
            ("in", _) => mutant.edits.push(Edit { file: rest.to_owned(), ..Edit::default() }),
            (_, Some(kind @ ('-' | '+' | '~'))) => {
                let edit = mutant.edits.last_mut().ok_or(wrong("an edit before its file"))?;
                edit.add(kind, &line[1..]);
            }
            _ => return Err(wrong("a word that is none of the list")),
        }
    }
    Ok(all)
}

impl Edit {
    /// Adds one line to the text or to what takes its place.
    fn add(&mut self, kind: char, line: &str) {
        let add_to = |text: &mut String| {
            if text.is_empty() {
                text.push_str(line.trim_start());
            } else {
                text.push('\n');
                text.push_str(line);
            }
        };
        match (kind, &mut self.replacement) {
            ('-', _) => add_to(&mut self.find),
            ('~', Replacement::Whole(text)) | ('+', Replacement::Switched(text)) => add_to(text),
            (_, replacement) => {
                let mut text = String::new();
                add_to(&mut text);
                *replacement = Replacement::Whole(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::mutants::detectors;

    #[test]
    fn every_mutant_is_named_once_says_what_is_gone_and_changes_something() {
        let mut names = HashSet::new();
        for mutant in mutants().unwrap() {
            assert!(!mutant.says.is_empty(), "{mutant:?}");
            if mutant.names.len() == 1 {
                assert!(!mutant.row.is_empty() && !mutant.edits.is_empty(), "{mutant:?}");
            }
            assert!(names.insert(mutant.names.clone()), "twice: {mutant:?}");
            let asks_for_itself = |edit: &Edit| match &edit.replacement {
                Replacement::Switched(_) => true,
                Replacement::Whole(text) => text.contains(&format!("crate::mutant(\"{}\")", mutant.names[0])),
            };
            assert!(mutant.edits.iter().all(asks_for_itself), "{mutant:?}");
        }
        assert!(names.len() >= 26);
    }

    #[test]
    fn every_detector_that_is_named_exists() {
        let known: HashSet<_> = detectors().iter().map(|detector| detector.name).collect();
        for mutant in mutants().unwrap() {
            if let Expected::Found(detector) = &mutant.expected {
                assert!(known.contains(detector.as_str()), "{detector}");
            }
        }
    }

    #[test]
    fn every_harmless_mutant_is_one_of_a_pair_that_must_be_found() {
        let all = mutants().unwrap();
        let pairs: Vec<_> = all.iter().filter(|mutant| mutant.names.len() == 2).collect();
        assert!(pairs.iter().all(|pair| matches!(pair.expected, Expected::Found(_))));
        for mutant in all.iter().filter(|mutant| matches!(mutant.expected, Expected::Harmless(_))) {
            assert!(pairs.iter().any(|pair| pair.names.contains(&mutant.names[0])), "{mutant:?}");
        }
        for name in pairs.iter().flat_map(|pair| &pair.names) {
            assert!(all.iter().any(|mutant| mutant.names == [name.clone()]), "{name}");
        }
    }

    #[test]
    fn lines_of_no_form_are_refused() {
        for text in ["row 1", "mutant a\nnonsense", "mutant a\n-x", "mutant a\nfound it"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
