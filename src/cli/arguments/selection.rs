//! What of the sources is sent: `--exclude` and its kin, whose order on the command line is their meaning.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// Options about what is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct SelectionArguments {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub rules: RuleArguments,

    /// Send only what FILE names, one path a line (- for standard input)
    ///
    /// Paths below the one SRC, which stands for its contents. A directory that is named is made without what is in it, with
    /// a trailing / with its files and empty directories, with -r with everything. Empty lines and those that begin with #
    /// or ; say nothing. What is named and is not there is an error of its own, with exit code 23; .. is refused.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,

    /// In the list of --files-from every path ends with a zero byte, as find -print0 writes it
    #[arg(short = '0', long, requires = "files_from")]
    pub from0: bool,

    /// Leave out files smaller than SIZE
    ///
    /// Bytes, or with K, M, G, T (times 1024) or KB, MB, GB, TB (times 1000) behind the number, as in 1.5G.
    #[arg(long, value_name = "SIZE", value_parser = file_size)]
    pub min_size: Option<u64>,

    /// Leave out files larger than SIZE
    ///
    /// Written as for --min-size.
    #[arg(long, value_name = "SIZE", value_parser = file_size)]
    pub max_size: Option<u64>,

    /// Do not enter directories on other file systems
    ///
    /// A directory that something else is mounted on is made, empty.
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
}

impl SelectionArguments {
    /// Why these options do not go with the sources and the destination, for a person.
    pub(super) fn contradiction(&self, (sources, destination): (&[OsString], &OsStr)) -> Result<(), String> {
        match &self.files_from {
            Some(_) if sources.len() != 1 => {
                Err("--files-from goes with one SRC, the directory that its paths start from".to_owned())
            }
            Some(list) if list == "-" && destination == "-" => {
                Err("standard input cannot be both the list of --files-from and the ticket".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// One word of the command line about names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleWord {
    /// A pattern, and whether what it fits is taken.
    Pattern(bool, OsString),
    /// A file of patterns, one a line.
    File(bool, PathBuf),
}

/// `--exclude`, `--include` and the files of both, in the order in which they were written: the first that fits decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleArguments(pub Vec<RuleWord>);

/// Name, what its value is called, whether it includes, and its help. clap keeps the order among values of one option only: the
/// order among several is put together from their places, which its derive cannot.
const OPTIONS: [(&str, &str, bool, &str, &str); 4] = [
    (
        "exclude",
        "PATTERN",
        false,
        "Leave out what PATTERN fits; a directory with all that is in it",
        "As in rsync, of all --exclude and --include in their order the first that fits a name decides, and what none fits is \
         sent. * is any part of a name, ** of a path, ? one character, [a-z] one of a set. With a leading / the pattern is \
         compared with the whole path below the root of the transfer (which is the destination), with a / inside with the \
         end of the path, without one with the last name; with a trailing / it fits directories only.",
    ),
    (
        "include",
        "PATTERN",
        true,
        "Send what PATTERN fits, whatever a later --exclude says",
        "It does not bring back what lies in a directory that is left out: that is never entered.",
    ),
    (
        "exclude-from",
        "FILE",
        false,
        "Read patterns to leave out from FILE, one a line",
        "Empty lines and those that begin with # or ; say nothing; '+ ' and '- ' before a pattern turn it into --include or \
         --exclude, as they do in rsync.",
    ),
    ("include-from", "FILE", true, "Read patterns to send from FILE, one a line", "Written as for --exclude-from."),
];

impl Args for RuleArguments {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, (name, value, _, help, more)| {
            let argument = Arg::new(*name).long(*name).value_name(*value).action(ArgAction::Append);
            // What begins with a dash is a pattern, too: rsync's short form.
            let argument = argument.value_parser(value_parser!(OsString)).allow_hyphen_values(true);
            command.arg(argument.help(*help).long_help(format!("{help}\n\n{more}")))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut placed = Vec::new();
        for (name, value, include, ..) in OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            for (place, word) in places.zip(matches.get_many::<OsString>(name).into_iter().flatten()) {
                placed.push((
                    place,
                    match value {
                        "FILE" => RuleWord::File(include, PathBuf::from(word)),
                        _ => RuleWord::Pattern(include, word.clone()),
                    },
                ));
            }
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Self(placed.into_iter().map(|(_, word)| word).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Bytes as rsync's options take them; the error explains for a person.
pub(super) fn file_size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number, with K, M, G or T behind it perhaps, as in 1.5G".to_owned();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = match unit.chars().next().map(|letter| letter.to_ascii_uppercase()) {
        None | Some('B') => 0,
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some(_) => return Err(wrong()),
    };
    let base: u64 = match unit.get(1..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "ib" => 1024,
        "b" if power > 0 => 1000,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let factor = u128::from(base.pow(power));
    let digits = |text: &str| text.parse::<u64>().map(u128::from).map_err(|_| wrong());
    let places = u32::try_from(part.len()).ok().filter(|places| *places <= 18).ok_or_else(wrong)?;
    let bytes = digits(whole)? * factor + digits(part)? * factor / 10u128.pow(places);
    u64::try_from(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::SendArguments;
    use super::*;

    fn rules(line: &str) -> Vec<RuleWord> {
        let words = ["careful-send"].into_iter().chain(line.split_whitespace());
        SendArguments::try_parse_from(words).expect("arguments").selection.rules.0
    }

    #[test]
    fn patterns_keep_the_order_of_the_command_line() {
        let pattern = |include, text: &str| RuleWord::Pattern(include, OsString::from(text));
        let file = |include, text: &str| RuleWord::File(include, PathBuf::from(text));
        assert_eq!(
            rules("--include a s --exclude b --exclude-from c --include=d --exclude -e --include-from f t"),
            [
                pattern(true, "a"),
                pattern(false, "b"),
                file(false, "c"),
                pattern(true, "d"),
                pattern(false, "-e"),
                file(true, "f")
            ]
        );
        assert_eq!(rules("a b"), []);
    }

    #[test]
    fn a_size_is_written_as_in_rsync() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("7b", 7),
            ("1k", 1024),
            ("1KiB", 1024),
            ("1KB", 1000),
            ("1.5M", 3 << 19),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("0.5k", 512),
        ] {
            assert_eq!(file_size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "k", "-1", "1.2.3", "1Q", "1kk", "1bb", ".5k", "1.", "99999999999999999999", "17000000T", "1 K"]
        {
            assert!(file_size(text).is_err(), "{text}");
        }
    }
}
