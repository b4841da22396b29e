//! The command lines of `careful-send`, `careful-recv` and `careful-check`, and with them `--help` and the man pages.
//!
//! What a value means is judged here as far as that needs nothing from outside. **No file is touched.**

mod check;
mod deletion;
mod input;
mod metadata;
mod moving;
mod network;
mod pulling;
mod remote;
mod results;
mod selection;
mod sending;
mod standing;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Parser};

pub use self::check::{
    CheckArguments, CheckCommand, ReadingArguments, ReceiptArguments, SealArguments, VerifyArguments,
};
pub use self::deletion::DeletionArguments;
pub use self::input::InputArguments;
pub use self::metadata::{AcceptArguments, Accepted, MetadataArguments};
pub use self::moving::MovingArguments;
pub use self::network::NetworkArguments;
pub use self::pulling::PullPlan;
pub(crate) use self::pulling::{Requested, requested};
pub use self::remote::{RemoteArguments, SshCommand, TransportChoice};
pub use self::results::ResultArguments;
pub use self::selection::{RuleArguments, RuleWord, SelectionArguments};
pub use self::sending::{OriginChoice, SendingArguments, StoredChoice};
pub use self::standing::{PeerArguments, StandingArguments, StandingPlan};
pub use super::listen::ListenPlan;
pub use super::requirement::{Requirement, RequirementError};

use super::exit_code::{ExitCode, help_table};
use super::safe_name;

const SEND_EXAMPLES: &str = "\
Examples:
  careful-send photos /mnt/backup/            copy a directory to another disk
  careful-send photos/ /mnt/backup/           the same, without the directory itself
  careful-send photos me@host:backup/         copy it to another host, by ssh
  careful-send key                            print the own key, for a receiver's list of keys
  careful-send photos careful://nas/in        deliver to a standing receiver, careful-recv --stay
  careful-send disk.img careful1abc...        deliver to a waiting careful-recv --listen
  careful-send --require stored=device,durable=yes --receipts receipts.jsonl photos /mnt/backup/
";

const RECV_EXAMPLES: &str = "\
Examples:
  careful-recv me@host:photos /mnt/backup/    fetch a directory from another host, by ssh
  careful-recv host:/srv/a host:/srv/b .      several sources of one host
  careful-recv --quick host:photos/ photos    only what is new, by size and time
  careful-recv --listen incoming/             print a ticket, receive one transfer
  careful-recv --listen :4433 incoming/       the same, on a port of your choice
  careful-recv --listen --stay --allow keys   serve every sender in the list, until SIGTERM
  careful-recv --listen --replace incoming/   files that exist and differ may be replaced
";

/// Copies files and directories; done when the copy, read back from disk, equals the source.
///
/// The last operand is where to: a directory or a new name on this host; [USER@]HOST:PATH for one on another host, where
/// ssh starts careful-recv; the ticket that a waiting careful-recv --listen printed; or careful://HOST[:PORT]/PATH for a standing
/// receiver, which knows the key that `careful-send key` prints. A source with a trailing slash stands for what is in it, as
/// with rsync. Write ./NAME for a local name that holds a colon.
///
/// Success means that every file lies complete under its final name and that the receiver signed how much was proved:
/// by default that the stored bytes, read back past the page cache, hash to what two reads of the source hash to, and
/// that data and name were flushed. Where a file system cannot give that, the last line and the receipt say so, and
/// --require makes it an error. After any interruption the same command finishes the work.
#[allow(rustdoc::broken_intra_doc_links, reason = "for people at a terminal brackets mean what may be left out")]
#[derive(Clone, Debug, Parser)]
#[command(
    name = "careful-send",
    version,
    override_usage = "careful-send [OPTIONS] SRC... DEST",
    after_help = "Exit codes, examples and more words: --help, careful-send(1), careful(7).",
    after_long_help = format!("{SEND_EXAMPLES}\n{}", help_table())
)]
pub struct SendArguments {
    /// One or more files or directories, then where they go
    #[arg(value_name = "SRC... DEST", required_unless_present = "stdio")]
    pub paths: Vec<OsString>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub sending: SendingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub results: ResultArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub network: NetworkArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub remote: RemoteArguments,

    /// Started by careful-recv: one line each way over standard input and output, then it is told what to send
    #[arg(long, hide = true, conflicts_with = "paths")]
    pub stdio: bool,

    /// With --files-from: enter the directories it names (else for habit: directories are always copied whole)
    #[arg(short = 'r', overrides_with = "recursive")]
    pub recursive: bool,

    /// For habit only: permissions and times are always kept
    #[arg(short = 'p', overrides_with = "preserve")]
    pub preserve: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub selection: SelectionArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub peer: PeerArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub deletion: DeletionArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub moving: MovingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub input: InputArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub output: OutputArguments,
}

impl SendArguments {
    /// Whether only the own key is asked for: `careful-send key`. A file of that name is `./key`.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.paths == ["key"]
    }

    /// The sources, and where they go.
    #[must_use]
    pub fn operands(&self) -> (&[OsString], &OsStr) {
        match self.paths.split_last() {
            Some((destination, sources)) => (sources, destination),
            None => (&[], OsStr::new("")),
        }
    }
}

impl Checked for SendArguments {
    fn check(&self) -> Result<(), String> {
        if self.stdio {
            return Ok(());
        }
        if self.paths.len() < 2 && !self.is_key() {
            return Err("one operand is not enough: SRC... DEST, the destination last".to_owned());
        }
        if self.paths.iter().any(|path| path.is_empty()) {
            return Err("a source or destination without a name: is a variable of your script empty?".to_owned());
        }
        self.selection.contradiction(self.operands())?;
        self.moving.contradiction(&self.sending)?;
        let others = self.selection.files_from.is_some() || self.deletion.delete || self.moving.move_sources;
        self.input.contradiction(self.operands(), others)?;
        self.results.contradiction(&self.sending).map_or(Ok(()), Err)
    }
}

/// Receives what careful-send sends, checks it, and signs the receipts.
///
/// With [USER@]HOST:SRC... DEST it fetches: ssh starts careful-send on that host, which sends what it is asked for. All
/// sources are of one host (the further ones may be written :SRC), their paths begin at the home directory there, and a
/// trailing slash means the contents of a directory. DEST is a directory or a new name on this host.
///
/// With --listen it prints one ticket on standard output, waits for the sender that has it, serves one transfer and
/// ends. The ticket holds a secret: who has it may write into DIR until it is used or has expired. With --stay it serves every
/// sender whose key is in the list of --allow. `careful-recv key` prints the own key.
#[allow(rustdoc::broken_intra_doc_links, reason = "for people at a terminal brackets mean what may be left out")]
#[derive(Clone, Debug, Parser)]
#[command(
    name = "careful-recv",
    version,
    override_usage = "careful-recv [OPTIONS] [USER@]HOST:SRC... DEST\n       careful-recv [OPTIONS] --listen [ADDR:PORT] DIR",
    after_help = "Exit codes, examples and more words: --help, careful-recv(1), careful(7).",
    after_long_help = format!("{RECV_EXAMPLES}\n{}", help_table())
)]
pub struct RecvArguments {
    /// What to pull and where to, or the one directory to receive into
    #[arg(value_name = "[USER@]HOST:SRC... DEST")]
    pub paths: Vec<OsString>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub sending: SendingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub results: ResultArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub remote: RemoteArguments,

    /// The options of the sending side that were given, to be sent there: each a whole word.
    #[arg(skip)]
    pub words: Vec<Vec<u8>>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub selection: SelectionArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub deletion: DeletionArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub moving: MovingArguments,

    /// With --files-from: enter the directories it names (else for habit: directories are always copied whole)
    #[arg(short = 'r', overrides_with = "recursive")]
    pub recursive: bool,

    /// Wait for one transfer, and print the ticket for it
    ///
    /// On an address of this host, a port, or both, as in 192.0.2.1:4433 or :4433; without one on all addresses and any
    /// free port.
    #[arg(long = "listen", value_name = "ADDR:PORT", num_args = 0..=1,
        conflicts_with_all = ["stdio", "ResultArguments", "RemoteArguments"])]
    pub listen_on: Option<Option<OsString>>,

    /// Let the sender replace files that exist and differ
    #[arg(long, requires = "listen_on")]
    pub replace: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub accepting: AcceptArguments,
    /// Let the sender delete what its directories hold here and not there
    #[arg(long, requires = "listen_on")]
    pub allow_delete: bool,

    /// How long the ticket is good for
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = lasting, requires = "listen_on")]
    pub expires: Duration,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub network: NetworkArguments,

    /// Started by careful-send: one line each way over standard input and output
    #[arg(long, hide = true, conflicts_with = "paths")]
    pub stdio: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub standing: StandingArguments,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a docstring on a flattened field would replace the program's own description")]
    pub output: OutputArguments,
}

/// What `careful-recv` was called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecvMode {
    /// Wait for whoever has the ticket.
    Listen(ListenPlan),
    /// Serve everybody whose key is in the list.
    Stay(StandingPlan),
    /// Print the own key.
    Key,
    /// Serve the careful-send that started this process; it tells the directory.
    Stdio,
    /// Start careful-send on another host and ask it.
    Pull(PullPlan),
}

impl RecvArguments {
    /// What was called for; the error explains for a person.
    pub fn mode(&self) -> Result<RecvMode, String> {
        if self.stdio {
            return Ok(RecvMode::Stdio);
        }
        if self.listen_on.is_none() {
            let is_key = matches!(&self.paths[..], [word] if word == "key");
            return if is_key { Ok(RecvMode::Key) } else { PullPlan::new(&self.paths).map(RecvMode::Pull) };
        }
        let value = self.listen_on.as_ref().and_then(|value| value.as_deref());
        match self.standing.plan(value, self.paths.first().map(OsString::as_os_str))? {
            Some(plan) => Ok(RecvMode::Stay(plan)),
            None => self.listen().map(RecvMode::Listen),
        }
    }

    /// Where to wait and what to receive into; the error explains for a person.
    pub fn listen(&self) -> Result<ListenPlan, String> {
        match &self.listen_on {
            Some(_) if self.paths.len() > 1 => Err("--listen receives into one directory".to_owned()),
            Some(value) => {
                let plan = ListenPlan::new(value.as_deref(), self.paths.first())?;
                match self.network.port {
                    Some(ports) if plan.address.port() != 0 => Err(format!(
                        "--listen names the port {} and --port {ports} another choice: give one of the two",
                        plan.address.port()
                    )),
                    _ => Ok(plan),
                }
            }
            None => Err("without --listen nothing is waited for".to_owned()),
        }
    }
}

impl Checked for RecvArguments {
    fn given(&mut self, matches: &ArgMatches) {
        self.words = pulling::words(matches);
    }

    fn check(&self) -> Result<(), String> {
        self.mode()?;
        // One that listens once may keep its disk free of records; in a list of keys nothing of the kind is said.
        let mut others = self.words.iter().filter(|word| self.standing.stay || *word != b"--no-record");
        if let (Some(_), Some(word)) = (&self.listen_on, others.next()) {
            let word = safe_name::safe(word);
            return Err(format!("{word} is asked of the sender: with --listen it stands on the sender's command line"));
        }
        if self.listen_on.is_some() && (self.selection.files_from.is_some() || self.recursive) {
            return Err("--files-from and -r are options of the sender's command line".to_owned());
        }
        if let Some((destination, sources)) = self.paths.split_last() {
            self.selection.contradiction((sources, destination))?;
        }
        self.moving.contradiction(&self.sending)?;
        self.results.contradiction(&self.sending).map_or(Ok(()), Err)
    }
}

/// What both programs print, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArguments {
    /// Print events as JSON Lines on standard output, one with the exit code always last
    #[arg(long)]
    pub json: bool,

    /// Keep FILE up to date with where the run stands, and with its exit code and last success in the end
    ///
    /// One JSON object, replaced as a whole about once a second: for monitoring. What FILE holds of an earlier run's last
    /// success is kept; a file that holds anything else is not replaced.
    #[arg(long, value_name = "FILE")]
    pub status: Option<PathBuf>,

    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Log more to standard error: -v steps, -vv details, -vvv everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Log as JSON Lines
    #[arg(long)]
    pub log_json: bool,
}

/// A time as people write it; the error explains for a person.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a time is a number and a unit, as in 90s, 15m, 24h or 7d".to_owned())
}

/// As above, and not zero.
fn lasting(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a ticket that is good for no time admits nobody".to_owned()),
        lasting => Ok(lasting),
    }
}

/// What the types alone cannot say about arguments.
pub trait Checked {
    /// Takes note of what was given and what is only a default.
    fn given(&mut self, _matches: &ArgMatches) {}

    /// Why these arguments are wrong, for a person.
    fn check(&self) -> Result<(), String>;
}

/// The arguments of this process; if there is nothing to run (help, version, wrong usage), that has been printed.
pub fn parse<A: Parser + Checked>() -> Result<A, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| printed(&error))
}

fn parse_from<A: Parser + Checked>(words: impl Iterator<Item = OsString>) -> Result<A, clap::Error> {
    let matches = A::command().try_get_matches_from(words)?;
    let mut arguments = A::from_arg_matches(&matches).map_err(|error| error.format(&mut A::command()))?;
    arguments.given(&matches);
    match arguments.check() {
        Ok(()) => Ok(arguments),
        Err(explanation) => Err(A::command().error(ErrorKind::ValueValidation, explanation)),
    }
}

fn printed(error: &clap::Error) -> ExitCode {
    // Whoever closed the output does not want the text: the exit code still tells.
    error.print().ok();
    if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::protocol::limits::CHUNK_BYTES_DEFAULT;
    use crate::protocol::receipt::{Origin, Stored};
    use crate::seams::packet::Congestion;

    fn send(arguments: &[&str]) -> Result<SendArguments, clap::Error> {
        parse_from(["careful-send"].iter().chain(arguments).map(OsString::from))
    }

    fn recv(arguments: &[&str]) -> Result<RecvArguments, clap::Error> {
        RecvArguments::try_parse_from(["careful-recv"].iter().chain(arguments))
    }

    #[test]
    fn the_types_are_sound_for_clap() {
        SendArguments::command().debug_assert();
        RecvArguments::command().debug_assert();
    }

    #[test]
    fn the_last_operand_is_the_destination() {
        let arguments = send(&["a", "-r", "b/", "-p", "-r", "c"]).expect("arguments");
        let (sources, destination) = arguments.operands();
        assert_eq!(sources, ["a", "b/"]);
        assert_eq!(destination, "c");
    }

    #[test]
    fn without_options_everything_is_checked() {
        let arguments = send(&["a", "b"]).expect("arguments");
        assert_eq!((arguments.sending.origin, arguments.sending.no_record), (OriginChoice::Auto, false));
        assert_eq!(Stored::from(arguments.sending.stored), Stored::Device);
        assert!(!arguments.sending.quick && !arguments.sending.no_replace && arguments.results.require.is_none());
        assert_eq!(arguments.results.retry_for, Duration::from_secs(300));
        assert_eq!(recv(&["--listen", "a"]).expect("arguments").expires, Duration::from_secs(24 * 3600));
    }

    #[test]
    fn every_option_of_careful_send_is_understood() {
        let line = "--origin first-read --stored none --require durable=yes --quick --no-replace --retry-for 90s \
                    --receipts r --json -vv --log-json a b";
        let arguments = send(&line.split_whitespace().collect::<Vec<_>>()).expect("arguments");
        assert_eq!(Origin::from(arguments.sending.origin), Origin::FirstRead);
        assert_eq!(Stored::from(arguments.sending.stored), Stored::None);
        assert_eq!(arguments.results.require, "durable=yes".parse().ok());
        assert!(
            arguments.sending.quick
                && arguments.sending.no_replace
                && arguments.output.json
                && arguments.output.log_json
        );
        assert_eq!((arguments.results.retry_for, arguments.output.verbose), (Duration::from_secs(90), 2));
        assert_eq!(arguments.results.receipts, Some(PathBuf::from("r")));
    }

    #[test]
    fn a_chunk_size_is_a_power_of_two_within_its_bounds() {
        let size_of =
            |text: &str| send(&["--chunk-size", text, "a", "b"]).map(|arguments| arguments.sending.chunk_size);
        assert_eq!(send(&["a", "b"]).expect("arguments").sending.chunk_size, CHUNK_BYTES_DEFAULT);
        for (text, bytes) in [("64KiB", 64 << 10), ("65536", 64 << 10), ("512KiB", 512 << 10), ("4MiB", 4 << 20)] {
            assert_eq!(size_of(text).expect("a size"), bytes);
        }
        for text in ["0", "1", "65535", "32KiB", "96KiB", "64KB", "8MiB", "4294967296", "4GiB", "-1", "", "much"] {
            assert_eq!(size_of(text).expect_err(text).exit_code(), i32::from(ExitCode::Usage.number()));
        }
    }

    #[test]
    fn a_rate_is_in_kib_as_with_rsync_unless_it_says_otherwise() {
        let rate =
            |text: &str| send(&[&format!("--bwlimit={text}"), "a", "b"]).map(|arguments| arguments.sending.bwlimit.0);
        assert_eq!(send(&["a", "b"]).expect("arguments").sending.bwlimit.0, None);
        for (text, bytes) in [("1", 1024), ("1.5", 1536), ("0.5M", 512 << 10), ("10m", 10 << 20), ("2G", 2 << 30)] {
            assert_eq!(rate(text).expect("a rate").map(std::num::NonZeroU64::get), Some(bytes), "{text}");
        }
        assert_eq!((rate("0").expect("no limit"), rate("0K").expect("no limit")), (None, None));
        for text in ["", "-1", "fast", "1Q", "0.5", "1000b", "1e6", "99999999999999999999"] {
            let error = rate(text).expect_err(text).to_string();
            assert!(error.contains("1.5M") || error.contains("from 1K on"), "{text}: {error}");
        }
    }

    #[test]
    fn one_operand_an_unknown_word_and_a_bad_duration_are_usage_errors() {
        for line in [&["a"][..], &[], &["--stored", "disk", "a", "b"], &["--retry-for", "soon", "a", "b"]] {
            let error = send(line).expect_err("no arguments");
            assert_eq!(error.exit_code(), i32::from(ExitCode::Usage.number()));
        }
        let error = send(&["--require", "stored=disk", "a", "b"]).expect_err("no arguments").to_string();
        assert!(error.contains("it can be none, cache, device"), "{error}");
    }

    #[test]
    fn requiring_what_was_opted_out_of_is_a_usage_error() {
        send(&["--stored", "cache", "--require", "stored=device", "a", "b"]).expect_err("never reached");
        send(&["--stored", "cache", "--require", "stored=cache", "a", "b"]).expect("reachable");
        send(&["--stored", "none", "--require", "durable=yes", "a", "b"]).expect("reachable");
        send(&["--origin", "first-read", "--require", "origin=reread", "a", "b"]).expect_err("never reached");
        send(&["--origin", "reread", "--require", "origin=recorded", "a", "b"]).expect_err("never reached");
        send(&["--require", "origin=recorded", "a", "b"]).expect("reachable");
    }

    #[test]
    fn a_control_of_congestion_is_one_of_two_and_the_model_by_default() {
        let chosen = |line: &[&str]| send(line).map(|arguments| arguments.network.environment().packets.congestion());
        assert_eq!(chosen(&["a", "b"]).expect("arguments"), Congestion::Careful);
        assert_eq!(chosen(&["--congestion", "cubic", "a", "b"]).expect("arguments"), Congestion::Cubic);
        let error = chosen(&["--congestion", "reno", "a", "b"]).expect_err("unknown").to_string();
        assert!(error.contains("careful, cubic"), "{error}");
    }

    #[test]
    fn listen_takes_its_address_and_its_directory_in_any_order() {
        for (line, address, directory) in [
            (&["--listen", "in"][..], "[::]:0", "in"),
            (&["in", "--listen"], "[::]:0", "in"),
            (&["--listen", ":4433", "in"], "[::]:4433", "in"),
            (&["--listen=127.0.0.1:0", "in"], "127.0.0.1:0", "in"),
            (&["in", "--listen", "4433"], "[::]:4433", "in"),
            (&["--listen", "--replace", "in"], "[::]:0", "in"),
            (&["--replace", "--listen", "in"], "[::]:0", "in"),
        ] {
            let plan = recv(line).expect("arguments").listen().expect("a plan");
            assert_eq!((plan.address.to_string().as_str(), plan.directory), (address, PathBuf::from(directory)));
        }
    }

    #[test]
    fn ports_are_named_once() {
        let ports = |line: &[&str]| recv(line).expect("arguments").listen().map(|plan| plan.address.port());
        assert_eq!(ports(&["--listen", "--port", "50000-50100", "in"]), Ok(0));
        assert_eq!(ports(&["--listen", "10.0.0.1", "--port", "50000", "in"]), Ok(0));
        let error = ports(&["--listen", ":4433", "--port", "50000-50100", "in"]).expect_err("two choices");
        assert!(error.contains("4433") && error.contains("50000-50100"), "{error}");
        for text in ["0", "100-1", "many", "1-65536"] {
            let error = send(&["--port", text, "a", "b"]).expect_err(text).to_string();
            assert!(error.contains("50000-50100"), "{error}");
        }
    }

    #[test]
    fn receiving_without_a_way_to_meet_explains_itself() {
        let error = recv(&["in"]).expect("arguments").mode().expect_err("no mode");
        assert!(error.contains("--listen DIR") && error.contains("careful-send SRC... DEST"), "{error}");
        assert!(matches!(recv(&["h:a", "in"]).expect("arguments").mode(), Ok(RecvMode::Pull(_))));
        for line in
            [&["--listen", "a", "--receipts", "r"][..], &["--replace", "h:a", "d"], &["h:a", "d", "--expires", "1h"]]
        {
            recv(line).expect_err("options of another mode");
        }
        let line = ["careful-recv", "--listen", "a", "--quick"].map(OsString::from);
        let error = parse_from::<RecvArguments>(line.into_iter()).expect_err("an option of the sender").to_string();
        assert!(error.contains("--quick is asked of the sender"), "{error}");
        assert_eq!(recv(&["--stdio"]).expect("arguments").mode(), Ok(RecvMode::Stdio));
        recv(&["--stdio", "--listen", "in"]).expect_err("both");
    }

    #[test]
    fn a_standing_receiver_needs_its_list_and_no_directory() {
        let plan = |line: &[&str]| recv(line).map_err(|error| error.to_string()).and_then(|arguments| arguments.mode());
        for (line, address) in [
            (&["--listen", "--stay", "--allow", "keys"][..], None),
            (&["--listen", "192.0.2.1", "--allow", "keys", "--stay"], Some("192.0.2.1:29984")),
            (&["--stay", "--listen", ":7", "--allow", "keys"], Some("[::]:7")),
        ] {
            let Ok(RecvMode::Stay(plan)) = plan(line) else { panic!("{line:?}") };
            assert_eq!(plan.address, address.map(|address| address.parse().expect("an address")));
            assert_eq!((plan.allow, plan.memory_bytes), (PathBuf::from("keys"), 2 << 30));
        }
        for line in [
            &["--listen", "--stay"][..],
            &["--stay", "--allow", "keys"],
            &["--listen", "--allow", "keys"],
            &["--listen", ":7", "--stay", "--allow", "keys", "in"],
            &["--listen", "in", "--stay", "--allow", "keys"],
            &["--listen", "--stay", "--allow", "keys", "--replace"],
            &["--listen", "--stay", "--allow", "keys", "--expires", "1h"],
            &["--listen", "--memory", "1GiB", "in"],
        ] {
            plan(line).expect_err("no plan");
        }
    }

    #[test]
    fn key_alone_asks_for_the_own_key() {
        assert!(send(&["key"]).expect("arguments").is_key());
        assert!(!send(&["key", "to"]).expect("arguments").is_key());
        send(&["./key"]).expect_err("one operand");
        assert_eq!(recv(&["key"]).expect("arguments").mode(), Ok(RecvMode::Key));
        assert!(matches!(recv(&["--listen", "key"]).expect("arguments").mode(), Ok(RecvMode::Listen(_))));
    }

    #[test]
    fn help_shows_every_exit_code_and_hides_what_is_internal() {
        let help = RecvArguments::command().render_long_help().to_string();
        assert!(ExitCode::ALL.iter().all(|code| help.contains(code.meaning())), "{help}");
        assert!(!help.contains("--stdio"));
    }
}
