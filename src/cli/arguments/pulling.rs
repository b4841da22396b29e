//! `careful-recv [USER@]HOST:SRC... DEST`: from which host, what, and where to.
//!
//! **No name is looked up and nothing is opened here.**

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory, Parser};

use super::deletion::DeletionArguments;
use super::selection::{RuleWord, SelectionArguments};
use super::sending::SendingArguments;
use crate::cli::safe_name::safe_os;
use crate::connect::operand::Remote;
use crate::protocol::request::Request;

/// What is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullPlan {
    /// The host, and the first source there.
    pub remote: Remote,
    /// Paths there, as they were written; relative ones begin at the home directory.
    pub sources: Vec<Vec<u8>>,
    /// A directory or new name on this host, as it was written.
    pub destination: PathBuf,
}

impl PullPlan {
    /// From the operands; the error explains for a person.
    pub(crate) fn new(operands: &[OsString]) -> Result<Self, String> {
        let (destination, sources) = operands.split_last().ok_or("what is to be pulled, and where to?")?;
        let mut remotes = Vec::new();
        for source in sources {
            remotes.push(remote(source, remotes.is_empty())?);
        }
        let first: Remote = remotes.first().cloned().ok_or_else(|| lone(destination))?;
        if let Some(other) = remotes.iter().find(|other| other.host != first.host && !other.host.is_empty()) {
            let (first, other) = (safe_os(OsStr::new(&first.host)), safe_os(OsStr::new(&other.host)));
            return Err(format!(
                "all sources of one pull come from one host, these from '{first}' and '{other}': run careful-recv once \
                 for each"
            ));
        }
        if !matches!(Remote::read(destination.as_bytes()), Ok(None)) {
            return Err(format!(
                "the destination '{}' is on another host, and careful-recv receives on this one: run careful-send on the \
                 host of the sources (write ./NAME for a local name that holds a colon)",
                safe_os(destination)
            ));
        }
        let sources: Vec<Vec<u8>> = remotes.into_iter().map(|remote| remote.path).collect();
        if !Request::fits(sources.iter().map(Vec::as_slice)) {
            return Err("these are too many sources for one request: pull the directory that they lie in".to_owned());
        }
        Ok(Self { remote: first, sources, destination: destination.into() })
    }
}

/// A source; `:PATH` is on the host of the first one.
fn remote(operand: &OsStr, is_first: bool) -> Result<Remote, String> {
    let bytes = operand.as_bytes();
    let is_short = bytes.starts_with(b":") && !is_first;
    if operand == "-" {
        return Err(
            "- (standard input) cannot be pulled: run careful-send - on the other host, or write ./-".to_owned()
        );
    }
    let read = if is_short { Remote::read(&[b"h", bytes].concat()) } else { Remote::read(bytes) };
    match read {
        Ok(Some(remote)) if is_short => Ok(Remote { host: String::new(), ..remote }),
        Ok(Some(remote)) => Ok(remote),
        Ok(None) => Err(format!(
            "'{}' is on this host, and careful-recv pulls from another one, as in: careful-recv HOST:SRC... DEST (to copy \
             on this host, careful-send SRC... DEST is enough)",
            safe_os(operand)
        )),
        Err(error) => Err(format!("'{}': {error}; {}", safe_os(operand), error.hint())),
    }
}

/// One operand alone.
fn lone(operand: &OsStr) -> String {
    match Remote::read(operand.as_bytes()) {
        Ok(None) => {
            "careful-recv waits for a sender only with --listen, as in: careful-recv --listen DIR, and pulls with \
                     two operands or more, as in: careful-recv HOST:SRC... DEST (to copy on this host, careful-send \
                     SRC... DEST is enough)"
                .to_owned()
        }
        _ => format!("where to? careful-recv {} DEST", safe_os(operand)),
    }
}

/// The options of the sending side among those that were given, in their order, each a whole word.
pub(crate) fn words(given: &ArgMatches) -> Vec<Vec<u8>> {
    let mut words: Vec<(usize, Vec<u8>)> = Vec::new();
    for option in Requested::command().get_arguments() {
        let name = option.get_id().as_str();
        // The list travels itself, as its name would mean another one there.
        if matches!(name, "files_from" | "from0") {
            continue;
        }
        let Some(long) = option.get_long() else { continue };
        if given.value_source(name) != Some(clap::parser::ValueSource::CommandLine) {
            continue;
        }
        let places = given.indices_of(name).into_iter().flatten();
        if option.get_action().takes_values() {
            for (place, value) in places.zip(given.get_raw(name).into_iter().flatten()) {
                words.push((place, [b"--", long.as_bytes(), b"=", value.as_bytes()].concat()));
            }
        } else {
            words.extend(places.map(|place| (place, [b"--", long.as_bytes()].concat())));
        }
    }
    words.sort_by_key(|(place, _)| *place);
    words.into_iter().map(|(_, word)| word).collect()
}

/// What a sender understands of the words of a request: options, and no operand.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Requested {
    /// How.
    #[command(flatten)]
    pub(crate) sending: SendingArguments,
    /// What of the sources.
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// What is removed at the receiver.
    #[command(flatten)]
    pub(crate) deletion: DeletionArguments,
    /// Sources are removed. Where the receipts are kept is the receiver's matter.
    #[arg(long = "move")]
    pub(crate) move_sources: bool,
}

/// The options that these words are; nothing if one is not known or makes no sense.
pub(crate) fn requested<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Requested> {
    let words: Vec<&OsStr> = words.map(OsStr::from_bytes).collect();
    if !words.iter().all(|word| word.as_bytes().starts_with(b"--") && word.len() > 2) {
        return None;
    }
    let requested = Requested::try_parse_from(words).ok()?;
    // Files of the receiver's host have been spelled out there, and those of this one are not asked for.
    if requested.move_sources && (requested.deletion.delete || requested.sending.quick) {
        return None;
    }
    let names_file = requested.selection.rules.0.iter().any(|rule| matches!(rule, RuleWord::File(..)));
    (!names_file && requested.selection.files_from.is_none()).then_some(requested)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::{OriginChoice, RecvArguments, StoredChoice};

    fn plan(operands: &[&str]) -> Result<(String, Vec<String>, String), String> {
        let operands: Vec<OsString> = operands.iter().map(OsString::from).collect();
        let plan = PullPlan::new(&operands)?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let sources = plan.sources.into_iter().map(text).collect();
        Ok((plan.remote.host, sources, plan.destination.display().to_string()))
    }

    fn expect(operands: &[&str], host: &str, sources: &[&str], destination: &str) {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        assert_eq!(plan(operands), Ok((host.to_owned(), sources, destination.to_owned())));
    }

    #[test]
    fn sources_come_from_one_host_and_the_destination_is_here() {
        expect(&["host:a", "d"], "host", &["a"], "d");
        expect(&["me@host:/a/", "me@host:b", "d/"], "me@host", &["/a/", "b"], "d/");
        expect(&["host:a", ":b", ":/c/", "."], "host", &["a", "b", "/c/"], ".");
        expect(&["host:", "d"], "host", &["."], "d");
        expect(&["host:a b;c", "./x:y"], "host", &["a b;c"], "./x:y");
    }

    #[test]
    fn what_is_no_pull_is_refused_with_the_way_on() {
        for (operands, words) in [
            (&["host:a", "other:b", "d"][..], "run careful-recv once for each"),
            (&["a", "d"], "careful-send SRC... DEST is enough"),
            (&["host:a", "b", "d"], "'b' is on this host"),
            (&["host:a", "other:d"], "run careful-send on the host of the sources"),
            (&["host:a"], "where to? careful-recv host:a DEST"),
            (&["d"], "--listen DIR"),
            (&[":a", "d"], "the host is missing"),
            (&["-oProxyCommand=id:a", "d"], "may not begin with '-'"),
        ] {
            let error = plan(operands).expect_err("no plan");
            assert!(error.contains(words), "{operands:?}: {error}");
        }
    }

    fn travelled(line: &[&str]) -> Vec<String> {
        let command = RecvArguments::command().no_binary_name(true);
        let given = command.try_get_matches_from(line).expect("arguments");
        words(&given).into_iter().map(|word| String::from_utf8(word).expect("UTF-8")).collect()
    }

    #[test]
    fn options_travel_in_their_order_and_defaults_do_not() {
        assert_eq!(travelled(&[]), [""; 0]);
        let line = ["--quick", "--chunk-size", "64KiB", "--origin=first-read", "--no-replace", "--stored", "cache"];
        let words = travelled(&line);
        let expected = ["--quick", "--chunk-size=64KiB", "--origin=first-read", "--no-replace", "--stored=cache"];
        assert_eq!(words, expected);
        let read = requested(words.iter().map(|word| word.as_bytes())).expect("options").sending;
        assert!(read.quick && read.no_replace);
        assert_eq!((read.origin, read.stored), (OriginChoice::FirstRead, StoredChoice::Cache));
        assert_eq!(read.chunk_size, 64 << 10);
    }

    #[test]
    fn what_is_removed_travels_and_lists_and_receipts_do_not() {
        let line = ["--delete", "--max-delete=3", "--delete-excluded", "h:s", "d"];
        let words = travelled(&line);
        assert_eq!(words, line[..3]);
        let read = requested(words.iter().map(|word| word.as_bytes())).expect("options").deletion;
        assert!(read.delete && read.delete_excluded && read.max_delete == Some(3));
        assert_eq!(travelled(&["--move", "--receipts=r", "--files-from=l", "-0", "h:s", "d"]), ["--move"]);
        assert!(requested([&b"--move"[..]].into_iter()).is_some_and(|read| read.move_sources));
        assert!(requested([&b"--move"[..], b"--delete"].into_iter()).is_none_or(|read| !read.move_sources));
    }

    #[test]
    fn filters_travel_in_their_order() {
        let words = travelled(&["--include", "a", "--exclude", "- b", "--exclude-from=f", "--include=-c", "-x"]);
        let expected = ["--include=a", "--exclude=- b", "--exclude-from=f", "--include=-c", "--one-file-system"];
        assert_eq!(words, expected);
        let spelled_out = words.iter().filter(|word| !word.starts_with("--exclude-from"));
        let read = requested(spelled_out.map(|word| word.as_bytes())).expect("options").selection;
        let pattern = |include, text: &str| RuleWord::Pattern(include, text.into());
        assert_eq!(read.rules.0, [pattern(true, "a"), pattern(false, "- b"), pattern(true, "-c")]);
        assert!(read.one_file_system);
    }

    #[test]
    fn t3_a_request_starts_no_program_writes_no_file_and_names_no_operand() {
        for word in [
            "--ssh=id",
            "--receipts=/etc/x",
            "--remote-path=x",
            "--stdio",
            "--listen",
            "--help",
            "--version",
            "--require=origin=reread",
            "--exclude-from=/etc/passwd",
            "--include-from=x",
            "--files-from=x",
            "--from0",
            "--max-delete=1",
            "-q",
            "-",
            "--",
            "a",
            "",
            "--chunk-size=1",
            "--origin",
        ] {
            assert!(requested([word.as_bytes()].into_iter()).is_none(), "{word}");
        }
        assert!(requested(std::iter::empty()).is_some());
    }
}
