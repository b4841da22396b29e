//! A program of the other half that this side starts: `careful-recv` beside it, or through ssh on another host.
//!
//! Each side says one line over the pipe (see [`super::line`]); then only QUIC is used. The pipe stays open to show that
//! this side lives. **No local shell, no file contents over the pipe.**

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ConnectError;
use super::line::{Caller, Pipe, answer, ticket_at_end};
use super::ssh::Ssh;
use super::ticket::Ticket;
use crate::protocol::limits::{
    CHILD_END_WAIT, CHILD_LINE_BYTES_MAX, GREETING_TIMEOUT, LAST_REMARKS_WAIT, REMARK_BYTES_MAX, SHELL_LINES_MAX,
    SSH_LINE_WAIT,
};

/// Status of a shell that did not find the program it was to run, or could not run it (POSIX, section 2.8.2).
const NOT_FOUND: [i32; 2] = [127, 126];
/// Status of ssh where it did not come to its host, or lost it.
const SSH_FAILED: i32 = 255;

/// What is started.
#[derive(Clone, Debug)]
pub enum Start {
    /// A program of this host.
    Local(PathBuf),
    /// A program of another host, by way of ssh.
    Ssh(Ssh),
}

impl Start {
    /// Which kind of pipe leads there.
    #[must_use]
    pub fn pipe(&self) -> Pipe {
        match self {
            Self::Local(_) => Pipe::Local,
            Self::Ssh(_) => Pipe::Ssh,
        }
    }

    fn command(&self) -> Command {
        match self {
            Self::Local(program) => {
                let mut command = Command::new(program);
                command.arg("--stdio");
                command
            }
            Self::Ssh(ssh) => ssh.command(),
        }
    }

    /// How long its line may take: ssh may ask the person for a password first.
    fn line_wait(&self) -> Duration {
        match self {
            Self::Local(_) => GREETING_TIMEOUT,
            Self::Ssh(_) => SSH_LINE_WAIT,
        }
    }

    /// Lines that may come before its own: a login shell's start-up files may print.
    fn lines_before_max(&self) -> usize {
        match self {
            Self::Local(_) => 0,
            Self::Ssh(_) => SHELL_LINES_MAX,
        }
    }

    fn not_started(&self, cause: io::Error) -> ConnectError {
        let program = match self {
            Self::Local(program) => program.clone(),
            Self::Ssh(ssh) => ssh.words.first().map(PathBuf::from).unwrap_or_default(),
        };
        match cause.kind() {
            io::ErrorKind::NotFound => ConnectError::ProgramMissing { program },
            _ => ConnectError::Start { program, cause },
        }
    }

    /// The error that an end before the line is.
    fn ended_early(&self, status: Option<ExitStatus>) -> ConnectError {
        match (self, status.and_then(|status| status.code())) {
            (Self::Ssh(ssh), Some(code)) if NOT_FOUND.contains(&code) => {
                ConnectError::FarProgramMissing { program: ssh.program.clone(), host: ssh.host.clone() }
            }
            (Self::Ssh(ssh), Some(SSH_FAILED)) => ConnectError::SshFailed { host: ssh.host.clone() },
            _ => ConnectError::EndedEarly { status },
        }
    }
}

/// Who is told each line that ssh, or the far side through it, says beside the protocol. The bytes are theirs: they
/// must be made safe before a person sees them.
#[derive(Clone)]
pub struct Remarks(Arc<Tell>);

type Tell = dyn Fn(&[u8]) + Send + Sync;

impl Remarks {
    /// Calls this with each line, without its end, cut at `REMARK_BYTES_MAX`. From other threads.
    pub fn to(tell: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody is told.
    #[must_use]
    pub fn unheard() -> Self {
        Self::to(|_line| {})
    }

    fn tell(&self, line: &[u8]) {
        (self.0)(&line[..line.len().min(REMARK_BYTES_MAX)]);
    }
}

impl fmt::Debug for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remarks")
    }
}

/// A program of the other half that this side started. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// Held open, unless it is taken: the other side ends when it closes.
    stdin: Option<ChildStdin>,
    /// Held open, unless it is taken: the other side may not be struck by a broken pipe.
    stdout: Option<BufReader<ChildStdout>>,
    /// Passes on what is said on standard error.
    remarks: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts it, says the caller's line and waits for the answer. What a program of this host says on standard error
    /// appears on this process's, the rest is told as `remarks`.
    pub async fn start(start: &Start, caller: &Caller, remarks: &Remarks) -> Result<(Self, Ticket), ConnectError> {
        Self::start_command(start.command(), start, caller, remarks).await
    }

    async fn start_command(
        mut command: Command,
        start: &Start,
        caller: &Caller,
        remarks: &Remarks,
    ) -> Result<(Self, Ticket), ConnectError> {
        let stderr = match start.pipe() {
            Pipe::Local => Stdio::inherit(),
            Pipe::Ssh => Stdio::piped(),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut process = command.spawn().map_err(|cause| start.not_started(cause))?;
        let stdin = process.stdin.take().expect("standard input was asked for as a pipe");
        let stdout = process.stdout.take().expect("standard output was asked for as a pipe");
        let passed_on = process.stderr.take().map(|stderr| tokio::spawn(pass_on(stderr, remarks.clone())));
        let mut child = Self { process, stdin: None, stdout: None, remarks: passed_on };
        let mut pipe = (BufReader::new(stdout), stdin);
        let greeted = timeout(start.line_wait(), child.greet(&mut pipe, start, caller, remarks)).await;
        (child.stdout, child.stdin) = (Some(pipe.0), Some(pipe.1));
        match greeted.unwrap_or(Err(ConnectError::NoAnswer)) {
            Ok(ticket) => Ok((child, ticket)),
            Err(error) => {
                child.hear_out().await;
                Err(error)
            }
        }
    }

    async fn greet(
        &mut self,
        (stdout, stdin): &mut (BufReader<ChildStdout>, ChildStdin),
        start: &Start,
        caller: &Caller,
        remarks: &Remarks,
    ) -> Result<Ticket, ConnectError> {
        let written = async {
            stdin.write_all(format!("{caller}\n").as_bytes()).await?;
            stdin.flush().await
        };
        match written.await {
            // A child that has ended already tells more by its status than by the pipe.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
        for _line in 0..=start.lines_before_max() {
            let Some(line) = read_line(stdout, CHILD_LINE_BYTES_MAX).await? else {
                return Err(start.ended_early(self.ended().await));
            };
            if let Some(answer) = line.text().and_then(answer) {
                return answer;
            }
            if start.lines_before_max() > 0 {
                match line.text().and_then(ticket_at_end) {
                    Some((before, ticket)) => {
                        remarks.tell(before);
                        return Ok(ticket);
                    }
                    None => remarks.tell(&line.bytes),
                }
            }
        }
        Err(ConnectError::Unexpected)
    }

    /// What comes from it, and what goes to it, where nobody took that before. Whoever has them has to close them at the
    /// end.
    pub fn take_pipe(&mut self) -> Option<(BufReader<ChildStdout>, ChildStdin)> {
        Some((self.stdout.take()?, self.stdin.take()?))
    }

    /// Waits until the child has ended and tells how; nothing if the system does not know. The future may be dropped at
    /// any time.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// Whether the child has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Closes the pipe, which tells the child to end, and waits for that, at most `CHILD_END_WAIT`; then kills it.
    /// Tells how it ended, where the system knows.
    pub async fn finish(mut self) -> Option<ExitStatus> {
        let last_words = self.remarks.take();
        let Self { mut process, stdin, stdout, .. } = self;
        drop(stdin);
        let status = match timeout(CHILD_END_WAIT, process.wait()).await {
            Ok(status) => status,
            Err(_elapsed) => {
                tracing::debug!("the program did not end and is killed");
                match process.kill().await {
                    Ok(()) => process.wait().await,
                    Err(error) => Err(error),
                }
            }
        };
        drop(stdout);
        heard_out(last_words).await;
        status.ok()
    }

    /// Waits for the last remarks of a program that failed: they tell why.
    async fn hear_out(&mut self) {
        heard_out(self.remarks.take()).await;
    }
}

/// A master of ssh's shared connections holds standard error open for as long as it lives: so this is not for ever.
async fn heard_out(remarks: Option<JoinHandle<()>>) {
    if let Some(mut remarks) = remarks
        && timeout(LAST_REMARKS_WAIT, &mut remarks).await.is_err()
    {
        remarks.abort();
    }
}

/// Tells every line until the end. More than what is told of a long one is thrown away.
async fn pass_on(from: impl AsyncRead + Unpin, remarks: Remarks) {
    let mut from = BufReader::new(from);
    loop {
        match read_line(&mut from, REMARK_BYTES_MAX).await {
            Ok(Some(line)) => remarks.tell(&line.bytes),
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "standard error cannot be read");
                return;
            }
        }
    }
}

/// A line without its end.
struct Line {
    bytes: Vec<u8>,
    /// It is longer than was asked for, or the input ended within it.
    is_cut: bool,
}

impl Line {
    /// All of it; nothing if some is missing.
    fn text(&self) -> Option<&[u8]> {
        (!self.is_cut).then_some(&self.bytes)
    }
}

/// The next line, of which at most so many bytes are kept; nothing at the end of the input.
async fn read_line(from: &mut (impl AsyncBufRead + Unpin), bytes_max: usize) -> io::Result<Option<Line>> {
    let mut line = Line { bytes: Vec::new(), is_cut: false };
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            line.is_cut = true;
            return Ok((!line.bytes.is_empty()).then_some(line));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let piece = &available[..end.unwrap_or(available.len())];
        let kept = piece.len().min(bytes_max - line.bytes.len());
        line.bytes.extend_from_slice(&piece[..kept]);
        line.is_cut |= kept < piece.len();
        let used = piece.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests;
