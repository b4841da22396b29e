//! Which names of a tree are taken: an ordered list of patterns, of which the first that fits decides.
//!
//! The patterns are rsync's. `*` is any bytes but `/`, `**` any bytes at all, `?` one byte but `/`, `[a-z]`, `[!a-z]` and
//! `[[:digit:]]` one of a set; a backslash takes the next byte as it is. A pattern with a leading `/` is compared with the
//! whole path below the root of the transfer, one with another `/` with the end of the path, one without with the last
//! name; a trailing `/` fits directories only. Each becomes a regular expression over bytes, whose time to match is linear
//! in the path whatever the pattern. **Nothing here looks at a file system.**

use regex::bytes::{Regex, RegexBuilder};

use super::limits::{GUARD_BYTES_MAX, RULE_BYTES_MAX, RULES_MAX};
use super::message::Pattern;

/// Memory that one pattern may take, in bytes: any of `RULE_BYTES_MAX` fits.
const PATTERN_MEMORY_BYTES: usize = 4 << 20;

/// An ordered list of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    rules: Vec<Rule>,
}

impl Selection {
    /// Adds a rule behind the others. `!` takes back all rules so far; `+ ` and `- ` before a pattern say whether it
    /// includes, and without them `include` does (rsync's short forms).
    pub fn add(&mut self, include: bool, written: &[u8]) -> Result<(), RuleError> {
        let (include, pattern) = match written {
            b"!" => {
                self.rules.clear();
                return Ok(());
            }
            [b'+', b' ', pattern @ ..] => (true, pattern),
            [b'-', b' ', pattern @ ..] => (false, pattern),
            pattern => (include, pattern),
        };
        if self.rules.len() >= RULES_MAX {
            return Err(RuleError::TooMany);
        }
        self.rules.push(Rule::new(include, pattern)?);
        Ok(())
    }

    /// Adds the rules of a file: one a line; empty lines and those that begin with `#` or `;` are none.
    pub fn add_lines(&mut self, include: bool, text: &[u8]) -> Result<(), (usize, RuleError)> {
        Self::lines(text).try_for_each(|(number, line)| self.add(include, line).map_err(|error| (number, error)))
    }

    /// The rules of a file as [`Self::add`] takes them, each with the number of its line.
    pub fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        (1..).zip(lines).filter(|(_, line)| !matches!(line.first(), None | Some(b'#' | b';')))
    }

    /// The rules as they were written.
    pub fn patterns(&self) -> impl Iterator<Item = Pattern> + '_ {
        self.rules.iter().map(|rule| Pattern { include: rule.include, written: rule.written.clone() })
    }

    /// The same rules again, as the other side makes them of what it was told.
    pub fn of_patterns(patterns: &[Pattern]) -> Result<Self, RuleError> {
        if patterns.len() > RULES_MAX
            || patterns.iter().map(|pattern| pattern.written.len()).sum::<usize>() > GUARD_BYTES_MAX
        {
            return Err(RuleError::TooMany);
        }
        let rule = |pattern: &Pattern| Rule::new(pattern.include, &pattern.written);
        Ok(Self { rules: patterns.iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// Whether there is any rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a name is taken: `path` from the root of the transfer, with a leading `/`. What no rule fits is taken. One
    /// that is not taken hides what lies beneath it, which is never asked about.
    #[must_use]
    pub fn takes(&self, path: &[u8], is_directory: bool) -> bool {
        self.rules.iter().find(|rule| rule.fits(path, is_directory)).is_none_or(|rule| rule.include)
    }
}

/// One pattern.
#[derive(Clone, Debug)]
struct Rule {
    include: bool,
    /// Written with a trailing slash.
    directories_only: bool,
    /// `***` at its end fits a directory and all that is in it.
    with_content: bool,
    expression: Regex,
    /// The pattern as it was written, which says all the rest.
    written: Vec<u8>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (self.include, &self.written) == (other.include, &other.written)
    }
}

impl Eq for Rule {}

impl Rule {
    fn new(include: bool, written: &[u8]) -> Result<Self, RuleError> {
        if written.len() > RULE_BYTES_MAX {
            return Err(RuleError::TooLong);
        }
        let (directories_only, pattern) = match written {
            [pattern @ .., b'/'] if !pattern.is_empty() => (true, pattern),
            pattern => (false, pattern),
        };
        let (anchored, rest) = match pattern {
            [b'/', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        if rest.is_empty() {
            return Err(RuleError::Empty);
        }
        let mut expression = String::from("(?s-u)");
        // The path begins with a slash: one that is not anchored may begin behind any of them.
        match (anchored, rest.starts_with(b"**")) {
            (true, _) => expression += r"\A/",
            (false, true) => expression += r"\A",
            (false, false) => expression += "/",
        }
        translate(rest, &mut expression)?;
        expression += r"\z";
        let expression = RegexBuilder::new(&expression)
            .size_limit(PATTERN_MEMORY_BYTES)
            .build()
            .map_err(|_| RuleError::TooComplex)?;
        Ok(Self {
            include,
            directories_only,
            with_content: rest.ends_with(b"***"),
            expression,
            written: written.to_vec(),
        })
    }

    fn fits(&self, path: &[u8], is_directory: bool) -> bool {
        if is_directory && self.with_content {
            return self.expression.is_match(&[path, b"/"].concat());
        }
        (is_directory || !self.directories_only) && self.expression.is_match(path)
    }
}

/// Writes a pattern as a regular expression.
fn translate(pattern: &[u8], expression: &mut String) -> Result<(), RuleError> {
    // As in rsync: where nothing is a wildcard a backslash is one, too.
    let has_wildcards = pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    let mut rest = pattern;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'*' => {
                let stars = 1 + rest.iter().take_while(|byte| **byte == b'*').count();
                rest = &rest[stars - 1..];
                *expression += if stars == 1 { "[^/]*" } else { ".*" };
            }
            b'?' => *expression += "[^/]",
            b'[' => {
                let (set, after) = Set::parse(rest)?;
                set.write(expression);
                rest = after;
            }
            b'\\' if has_wildcards => match rest {
                [literal, after @ ..] => {
                    write_byte(*literal, expression);
                    rest = after;
                }
                [] => write_byte(b'\\', expression),
            },
            literal => write_byte(*literal, expression),
        }
    }
    Ok(())
}

fn write_byte(byte: u8, expression: &mut String) {
    *expression += &format!("\\x{byte:02x}");
}

/// The bytes between brackets.
struct Set([bool; 256]);

impl Set {
    /// Reads a set whose opening bracket is gone; answers it and what follows its closing one.
    fn parse(pattern: &[u8]) -> Result<(Self, &[u8]), RuleError> {
        let (negated, mut rest) = match pattern {
            [b'!' | b'^', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut set = Self([false; 256]);
        let mut is_first = true;
        loop {
            rest = match rest {
                [] => return Err(RuleError::OpenBracket),
                // A closing bracket that comes first is meant.
                [b']', after @ ..] if !is_first => {
                    rest = after;
                    break;
                }
                [b'[', b':', after @ ..] => set.add_class(after)?,
                _ => set.add_range(rest)?,
            };
            is_first = false;
        }
        if negated {
            set.0.iter_mut().for_each(|member| *member = !*member);
        }
        set.0[usize::from(b'/')] = false;
        Ok((set, rest))
    }

    fn add_class<'a>(&mut self, pattern: &'a [u8]) -> Result<&'a [u8], RuleError> {
        let end = pattern.windows(2).position(|pair| pair == b":]").ok_or(RuleError::OpenBracket)?;
        let belongs: fn(&u8) -> bool = match &pattern[..end] {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return Err(RuleError::UnknownClass),
        };
        (0..=u8::MAX).filter(belongs).for_each(|byte| self.0[usize::from(byte)] = true);
        Ok(&pattern[end + 2..])
    }

    /// One byte, or two with a dash between them.
    fn add_range<'a>(&mut self, pattern: &'a [u8]) -> Result<&'a [u8], RuleError> {
        let (low, rest) = literal(pattern)?;
        let (high, rest) = match rest {
            [b'-', after @ ..] if !matches!(after.first(), None | Some(b']')) => literal(after)?,
            rest => (low, rest),
        };
        (low..=high).for_each(|byte| self.0[usize::from(byte)] = true);
        Ok(rest)
    }

    fn write(&self, expression: &mut String) {
        if !self.0.contains(&true) {
            // Fits nothing.
            *expression += r"[^\x00-\xff]";
            return;
        }
        expression.push('[');
        for byte in (0..=u8::MAX).filter(|byte| self.0[usize::from(*byte)]) {
            write_byte(byte, expression);
        }
        expression.push(']');
    }
}

fn literal(pattern: &[u8]) -> Result<(u8, &[u8]), RuleError> {
    match pattern {
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Ok((*byte, rest)),
        [] => Err(RuleError::OpenBracket),
    }
}

/// Why something written is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Nothing, or only a slash.
    #[error("a pattern is empty")]
    Empty,
    /// More bytes than a pattern may have.
    #[error("a pattern is longer than {RULE_BYTES_MAX} bytes")]
    TooLong,
    /// More rules than a transfer may have.
    #[error("more than {RULES_MAX} patterns")]
    TooMany,
    /// No `]` for a `[`.
    #[error("a [ is not closed; for the character itself write \\[")]
    OpenBracket,
    /// `[[:name:]]` of no known name.
    #[error(
        "between [: and :] stands none of alnum, alpha, blank, cntrl, digit, graph, lower, print, punct, space, upper, xdigit"
    )]
    UnknownClass,
    /// Takes too much memory.
    #[error("a pattern is too complex")]
    TooComplex,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(rules: &[&str]) -> Selection {
        let mut selection = Selection::default();
        rules.iter().for_each(|rule| selection.add(false, rule.as_bytes()).expect("a rule"));
        selection
    }

    /// The paths, directories with a trailing slash, that the pattern fits.
    fn fitting<'a>(pattern: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let selection = selection(&[pattern]);
        let fits = |path: &&&str| !selection.takes(path.trim_end_matches('/').as_bytes(), path.ends_with('/'));
        paths.iter().filter(fits).copied().collect()
    }

    const PATHS: [&str; 9] = ["/a", "/ab", "/d/", "/d/a", "/d/ab", "/d/e/", "/d/e/a", "/d/e/f/a", "/x[1]"];

    #[test]
    fn a_pattern_without_a_slash_is_compared_with_the_last_name() {
        assert_eq!(fitting("a", &PATHS), ["/a", "/d/a", "/d/e/a", "/d/e/f/a"]);
        assert_eq!(fitting("a?", &PATHS), ["/ab", "/d/ab"]);
        assert_eq!(fitting("[d-e]", &PATHS), ["/d/", "/d/e/"]);
        assert_eq!(fitting("[!a]", &PATHS), ["/d/", "/d/e/"]);
        assert_eq!(fitting("*b", &PATHS), ["/ab", "/d/ab"]);
    }

    #[test]
    fn a_leading_slash_is_the_root_and_an_inner_one_the_end_of_the_path() {
        assert_eq!(fitting("/a", &PATHS), ["/a"]);
        assert_eq!(fitting("e/a", &PATHS), ["/d/e/a"]);
        assert_eq!(fitting("/d/*", &PATHS), ["/d/a", "/d/ab", "/d/e/"]);
        assert_eq!(fitting("/e/a", &PATHS), [] as [&str; 0]);
    }

    #[test]
    fn a_trailing_slash_fits_directories_only() {
        assert_eq!(fitting("d/", &["/d/", "/x/d"]), ["/d/"]);
        assert_eq!(fitting("d", &["/d/", "/x/d"]), ["/d/", "/x/d"]);
    }

    #[test]
    fn two_stars_pass_slashes() {
        assert_eq!(fitting("/d/**", &PATHS), ["/d/a", "/d/ab", "/d/e/", "/d/e/a", "/d/e/f/a"]);
        assert_eq!(fitting("d/**/a", &PATHS), ["/d/e/a", "/d/e/f/a"]);
        assert_eq!(fitting("**/a", &PATHS), ["/a", "/d/a", "/d/e/a", "/d/e/f/a"]);
        assert_eq!(fitting("/d/***", &PATHS), ["/d/", "/d/a", "/d/ab", "/d/e/", "/d/e/a", "/d/e/f/a"]);
    }

    #[test]
    fn a_backslash_takes_the_next_byte_as_it_is() {
        assert_eq!(fitting("x\\[1]", &PATHS), ["/x[1]"]);
        assert_eq!(fitting("x[[]1[]]", &PATHS), ["/x[1]"]);
        assert_eq!(fitting("a\\b", &["/a\\b", "/ab"]), ["/a\\b"], "no wildcard, no meaning");
    }

    #[test]
    fn what_means_something_to_a_regular_expression_means_nothing_here() {
        for name in ["a.b", "a+b", "(a|b)", "^a$", "{2}", "a b", "#", "é", "\\d"] {
            assert_eq!(fitting(name, &[&format!("/{name}")]).len(), 1, "{name}");
            assert_eq!(fitting(name, &["/axb", "/aab", "/a"]).len(), 0, "{name}");
        }
        let bytes = selection(&["*.o"]);
        assert!(!bytes.takes(b"/\xff\n\xfe.o", false), "any bytes are a name");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let selection = selection(&["+ keep.o", "*.o", "+ *"]);
        assert!(selection.takes(b"/d/keep.o", false));
        assert!(!selection.takes(b"/d/a.o", false));
        assert!(selection.takes(b"/d/a.c", false));
    }

    #[test]
    fn a_file_of_rules_has_comments_empty_lines_and_both_kinds() {
        let mut selection = Selection::default();
        selection.add_lines(false, b"# no\n; no\n\nlost\n!\n+ a\n*\r\n").expect("rules");
        assert!(selection.takes(b"/a", false) && !selection.takes(b"/b", false));
        assert_eq!(selection.add_lines(true, b"a\nb[\n"), Err((2, RuleError::OpenBracket)));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let mut selection = Selection::default();
        for (written, error) in [
            ("", RuleError::Empty),
            ("/", RuleError::Empty),
            ("- ", RuleError::Empty),
            ("[a", RuleError::OpenBracket),
            ("[]", RuleError::OpenBracket),
            ("[[:alpha]", RuleError::OpenBracket),
            ("[[:letter:]]", RuleError::UnknownClass),
            (&"a".repeat(RULE_BYTES_MAX + 1), RuleError::TooLong),
        ] {
            assert_eq!(selection.add(false, written.as_bytes()), Err(error), "{written}");
        }
    }

    #[test]
    fn the_longest_and_the_most_hostile_pattern_is_matched_in_no_time() {
        let hostile = "*a".repeat(RULE_BYTES_MAX / 2);
        let selection = selection(&[&hostile, &"?".repeat(RULE_BYTES_MAX), &"[a-z]".repeat(RULE_BYTES_MAX / 5)]);
        let path = [b"/".as_slice(), &[b'a'; 255], b"b"].concat();
        assert!(selection.takes(&path, false));
    }
}
