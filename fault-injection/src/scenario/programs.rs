//! The unmodified programs, run in a fresh directory of the real disk, with a gateway or a relay in this process between them.
//!
//! What came of it is judged from outside, by the bytes under the final names.

#![expect(clippy::disallowed_methods, reason = "files are made and looked at from outside, past the doors")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use careful::connect::ticket::Ticket;
use careful::seams::os_disk::OsDisk;
use careful::seams::packet::UdpPackets;
use careful::wire::identity::load_or_create;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::FileSpec;
use crate::gateway::tamper::{ByteSwaps, Tamper, Untouched};
use crate::gateway::{self, Gateway, Passed};
use crate::halves::{self, ANY_PORT};
use crate::matrix::report::Outcome;
use crate::passage::{Counts, Trouble};
use crate::programs::Programs;
use crate::relay::{self, Relay, ticket_through};
use crate::rig::content;

/// Longest time that one run may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) end: Outcome,
    /// For people.
    pub(super) lines: Vec<String>,
}

/// A sending and a receiving host in one directory.
#[derive(Debug)]
pub(super) struct Hosts {
    directory: TempDir,
    files: Vec<(String, Vec<u8>)>,
}

/// What `careful-send` said in the end.
struct Said {
    /// Nothing if it had to be killed.
    code: Option<i32>,
    repaired_chunks: u64,
}

impl Hosts {
    /// With these files at the sender.
    pub(super) fn new(specs: &[FileSpec]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a fresh directory: {error}"))?;
        let of = |spec: &FileSpec| (spec.name.0.0.clone(), content(spec.seed, spec.length as usize));
        let hosts = Self { directory, files: specs.iter().map(of).collect() };
        for name in ["source", "target"] {
            let path = hosts.path(name);
            std::fs::create_dir(&path).map_err(|error| format!("make {}: {error}", path.display()))?;
        }
        for (name, bytes) in &hosts.files {
            hosts.put("source", name, bytes)?;
        }
        Ok(hosts)
    }

    /// Name and content of what is sent.
    pub(super) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn put(&self, directory: &str, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.path(directory).join(name);
        std::fs::write(&path, bytes).map_err(|error| format!("write {}: {error}", path.display()))
    }

    /// `careful-send` and `careful-recv` through a gateway that swaps these.
    pub(super) fn through_gateway(
        &self,
        programs: &Programs,
        swaps: Option<ByteSwaps>,
        arguments: &[String],
    ) -> Result<Came, String> {
        runtime()?.block_on(async {
            let receiving = self.receive(programs).await?;
            let gateway = self.gateway(&receiving.ticket, swaps)?;
            let said = self.send(programs, gateway.ticket(), arguments).await?;
            receiving.end().await;
            Ok(self.judged(&said, gateway_line(gateway.passed()), swaps.is_some(), gateway.passed().swaps > 0))
        })
    }

    /// A copy that trusts QUIC through the same gateway.
    pub(super) fn quic_alone_through_gateway(&self, swaps: Option<ByteSwaps>) -> Result<Came, String> {
        runtime()?.block_on(async {
            let copying = super::quic_alone::copy(self, |ticket| self.gateway(ticket, swaps));
            let gateway =
                tokio::time::timeout(LIMIT, copying).await.map_err(|_| "the copy over QUIC did not end")??;
            let passed = gateway.passed();
            Ok(self.judged(
                &Said { code: Some(0), repaired_chunks: 0 },
                gateway_line(passed),
                swaps.is_some(),
                passed.swaps > 0,
            ))
        })
    }

    /// `careful-send` and `careful-recv` through a relay that does this to their datagrams.
    pub(super) fn through_relay(
        &self,
        programs: &Programs,
        seed: u64,
        trouble: &Trouble,
        arguments: &[String],
    ) -> Result<Came, String> {
        runtime()?.block_on(async {
            let receiving = self.receive(programs).await?;
            let target = *receiving.ticket.addresses.first().ok_or("the receiver's ticket has no address")?;
            let [to_target, to_client] = [trouble.clone(), trouble.clone()];
            let options = relay::Options { listen: ANY_PORT, target, seed, to_target, to_client };
            let relay = Relay::start(options).map_err(|error| format!("start a relay: {error}"))?;
            let said = self.send(programs, &ticket_through(&receiving.ticket, relay.address()), arguments).await?;
            receiving.end().await;
            let report = relay.report();
            let is_meant = *trouble != Trouble { delay: trouble.delay, ..Trouble::default() };
            let line = format!("{}; {}", way("to the receiver", report.to_target), way("back", report.to_client));
            Ok(self.judged(&said, line, is_meant, !report.faults.is_empty()))
        })
    }

    fn gateway(&self, upstream: &Ticket, swaps: Option<ByteSwaps>) -> Result<Gateway, String> {
        let identity = load_or_create(&OsDisk, &self.path("state-of-sender/careful/identity"))
            .map_err(|error| error.to_string())?;
        let tamper: Arc<dyn Tamper> = match swaps {
            Some(swaps) => Arc::new(swaps),
            None => Arc::new(Untouched),
        };
        let options = gateway::Options { listen: ANY_PORT, upstream: upstream.clone(), identity, tamper };
        Gateway::start(Arc::new(UdpPackets), options).map_err(|error| format!("start a gateway: {error}"))
    }

    async fn receive(&self, programs: &Programs) -> Result<Receiving, String> {
        let mut command = command(programs.path("careful-recv"), &self.path("state-of-receiver"));
        command.args(["--listen", &ANY_PORT.to_string()]).arg(self.path("target"));
        let mut child = command.spawn().map_err(|error| format!("start careful-recv: {error}"))?;
        let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let line = lines.next_line().await.map_err(|error| format!("read from careful-recv: {error}"))?;
        let line = line.ok_or("careful-recv ended without a ticket")?;
        let ticket = line.parse().map_err(|error| format!("no ticket of careful-recv: {line}: {error}"))?;
        // Open as long as the program runs, that it can write to it.
        Ok(Receiving { child, ticket, _lines: lines })
    }

    /// Sends the content of the source directory.
    async fn send(&self, programs: &Programs, ticket: &Ticket, arguments: &[String]) -> Result<Said, String> {
        let mut command = command(programs.path("careful-send"), &self.path("state-of-sender"));
        command.arg("--json").args(arguments).arg(self.path("source/")).arg(ticket.to_string());
        let mut child = command.spawn().map_err(|error| format!("start careful-send: {error}"))?;
        let mut output = child.stdout.take().expect("its output is a pipe");
        let ending = async {
            let mut events = String::new();
            output.read_to_string(&mut events).await?;
            std::io::Result::Ok((child.wait().await?.code(), events))
        };
        let Ok(ended) = tokio::time::timeout(LIMIT, ending).await else {
            return Ok(Said { code: None, repaired_chunks: 0 });
        };
        let (code, events) = ended.map_err(|error| format!("run careful-send: {error}"))?;
        let summary = events.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let repaired_chunks = summary.and_then(|summary| summary["repaired_chunks"].as_u64()).unwrap_or(0);
        Ok(Said { code: Some(code.unwrap_or(-1)), repaired_chunks })
    }

    /// What is to be thought of it: `is_meant` says whether there was to be trouble, `is_struck` whether there was.
    fn judged(&self, said: &Said, between: String, is_meant: bool, is_struck: bool) -> Came {
        let (mut lines, mut wrong, mut missing) = (vec![between], 0, 0);
        for (name, source) in &self.files {
            let target = std::fs::read(self.path("target").join(name)).ok();
            lines.push(compared(name, source, target.as_deref()));
            wrong += usize::from(target.as_ref().is_some_and(|target| target != source));
            missing += usize::from(target.is_none());
        }
        lines.push(match said.code {
            None => "sender: did not end in time".to_owned(),
            Some(0) => format!("sender: success, {} chunks repaired", said.repaired_chunks),
            Some(code) => format!("sender: exit code {code}"),
        });
        let end = match said.code {
            _ if is_meant && !is_struck => Outcome::NotActivated,
            // Wrong bytes under a final name break the promise whatever the sender said.
            _ if wrong > 0 => Outcome::Silent,
            None => Outcome::Hung,
            Some(0) if missing > 0 => Outcome::Silent,
            Some(0) if said.repaired_chunks > 0 => Outcome::Repaired,
            Some(0) => Outcome::Masked,
            Some(_) => Outcome::Refused,
        };
        Came { end, lines }
    }
}

/// `careful-recv`, waiting.
struct Receiving {
    child: Child,
    ticket: Ticket,
    _lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Receiving {
    /// Waits for its end; what does not end is killed when it is dropped.
    async fn end(mut self) {
        tokio::time::timeout(LIMIT, self.child.wait()).await.ok();
    }
}

fn command(program: PathBuf, state: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("XDG_STATE_HOME", state).env_remove("RUST_LOG").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    halves::runtime().map_err(|error| format!("start: {error}"))
}

/// One line on a file: its length, and the root of both sides.
fn compared(name: &str, source: &[u8], target: Option<&[u8]>) -> String {
    let root = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..12].to_owned();
    let at_source = format!("{name}: {} bytes, BLAKE3 {} at the source", source.len(), root(source));
    match target {
        None => format!("{at_source}, not there at the target"),
        Some(target) if target == source => format!("{at_source}, the same at the target"),
        Some(target) => {
            let differing = source.iter().zip(target).filter(|(one, other)| one != other).count();
            let differing = differing + source.len().abs_diff(target.len());
            format!("{at_source}, {} at the target: {differing} bytes differ", root(target))
        }
    }
}

fn gateway_line(passed: Passed) -> String {
    format!(
        "gateway: {} pieces passed, {} of them damaged by {} swaps, {} hashes made to fit",
        passed.pieces, passed.pieces_damaged, passed.swaps, passed.hashes_replaced
    )
}

fn way(name: &str, counts: Counts) -> String {
    format!(
        "{name}: {} datagrams, {} lost, {} doubled, {} late, {} flipped, {} with words exchanged",
        counts.left,
        counts.lost,
        counts.doubled,
        counts.late,
        counts.flipped_with_fresh_checksum,
        counts.words_exchanged
    )
}
