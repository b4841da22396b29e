//! A receiver that the sender starts itself, as its child process.
//!
//! The sender says over the pipe which key to admit, the child answers with its ticket; then only QUIC is used. The
//! pipe stays open to show that the sender lives. **No shell, no file contents over the pipe.**

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::ticket::Ticket;
use super::{ConnectError, sender_line, ticket_of_line};
use crate::protocol::limits::{CHILD_END_WAIT, CHILD_LINE_BYTES_MAX, GREETING_TIMEOUT};
use crate::wire::identity::PublicKey;

/// A receiving program that this side started. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// Held open: the child ends when it closes.
    stdin: ChildStdin,
    /// Held open: the child may not be struck by a broken pipe.
    stdout: ChildStdout,
}

impl Child {
    /// Starts `program --stdio`, tells it the sender's key and waits for its ticket, at most `GREETING_TIMEOUT`. Its
    /// errors appear on this process's standard error.
    pub async fn start(program: &Path, sender: &PublicKey) -> Result<(Self, Ticket), ConnectError> {
        let mut command = Command::new(program);
        command.arg("--stdio");
        Self::start_command(command, program, sender).await
    }

    async fn start_command(
        mut command: Command,
        program: &Path,
        sender: &PublicKey,
    ) -> Result<(Self, Ticket), ConnectError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => ConnectError::ProgramMissing { program: program.to_owned() },
            _ => ConnectError::Start { program: program.to_owned(), cause },
        })?;
        let stdin = process.stdin.take().expect("standard input was asked for as a pipe");
        let stdout = process.stdout.take().expect("standard output was asked for as a pipe");
        let mut child = Self { process, stdin, stdout };
        let ticket =
            timeout(GREETING_TIMEOUT, child.greet(sender)).await.map_err(|_elapsed| ConnectError::NoAnswer)??;
        Ok((child, ticket))
    }

    async fn greet(&mut self, sender: &PublicKey) -> Result<Ticket, ConnectError> {
        let written = async {
            self.stdin.write_all(sender_line(sender).as_bytes()).await?;
            self.stdin.flush().await
        };
        match written.await {
            // A child that has ended already tells more by its status than by the pipe.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
        match read_line(&mut self.stdout).await? {
            Some(line) => ticket_of_line(&line),
            None => Err(ConnectError::EndedEarly { status: self.ended().await }),
        }
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
    pub async fn finish(self) -> Option<ExitStatus> {
        let Self { mut process, stdin, stdout } = self;
        drop(stdin);
        let status = match timeout(CHILD_END_WAIT, process.wait()).await {
            Ok(status) => status,
            Err(_elapsed) => {
                tracing::debug!("the receiving program did not end and is killed");
                match process.kill().await {
                    Ok(()) => process.wait().await,
                    Err(error) => Err(error),
                }
            }
        };
        drop(stdout);
        status.ok()
    }
}

/// One line without its end, nothing at the end of the input. A line that is too long, or followed by anything, is
/// [`ConnectError::Unexpected`].
async fn read_line(from: &mut ChildStdout) -> Result<Option<Vec<u8>>, ConnectError> {
    let mut line = Vec::with_capacity(CHILD_LINE_BYTES_MAX);
    while line.len() < CHILD_LINE_BYTES_MAX {
        let mut piece = [0; CHILD_LINE_BYTES_MAX];
        let space = CHILD_LINE_BYTES_MAX - line.len();
        match from.read(&mut piece[..space]).await? {
            0 => return Ok(None),
            read => line.extend_from_slice(&piece[..read]),
        }
        match line.iter().position(|byte| *byte == b'\n') {
            Some(end) if end + 1 == line.len() => {
                line.truncate(end);
                return Ok(Some(line));
            }
            Some(_) => return Err(ConnectError::Unexpected),
            None => {}
        }
    }
    Err(ConnectError::Unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: PublicKey = PublicKey([2; 32]);

    fn ticket() -> Ticket {
        Ticket { receiver: PublicKey([1; 32]), token: [3; 16], expires_seconds: None, addresses: Vec::new() }
    }

    /// Starts a shell in the place of the receiving program.
    async fn start(script: &str) -> Result<(Child, Ticket), ConnectError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Child::start_command(command, Path::new("/bin/sh"), &SENDER).await
    }

    #[tokio::test]
    async fn the_child_learns_the_key_and_its_ticket_is_read() {
        let script = format!("read line; test \"$line\" = 'careful-sender-1 {SENDER}' && echo {}; cat", ticket());
        let (mut child, read) = start(&script).await.unwrap();
        assert_eq!(read, ticket());
        assert!(!child.has_ended());
        assert!(child.finish().await.unwrap().success(), "it ended when its input was closed");
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_noticed() {
        let (mut child, _ticket) = start(&format!("read line; echo {}; exit 7", ticket())).await.unwrap();
        assert_eq!(child.ended().await.unwrap().code(), Some(7));
        assert!(child.has_ended());
    }

    #[tokio::test]
    async fn a_child_that_ends_without_a_ticket_is_an_error_with_its_status() {
        let error = start("exit 3").await.unwrap_err();
        assert!(
            matches!(error, ConnectError::EndedEarly { status: Some(status) } if status.code() == Some(3)),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn anything_but_one_ticket_is_unexpected() {
        // What the sender says is thrown away: an echo of it would be a second line.
        let wait = "cat > /dev/null";
        let long = format!("printf %{}d 0", CHILD_LINE_BYTES_MAX + 1);
        for script in ["echo hello", "echo", "printf '\\377\\n'", &long, &format!("printf '%s\\nmore' {}", ticket())] {
            let error = start(&format!("{script}; {wait}")).await.unwrap_err();
            assert!(matches!(error, ConnectError::Unexpected), "{script}: {error:?}");
        }
        let typo = ticket().to_string().replacen("careful1a", "careful1b", 1);
        let error = start(&format!("echo {typo}; {wait}")).await.unwrap_err();
        assert!(matches!(error, ConnectError::Ticket(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_missing_program_is_told_by_its_path() {
        let program = Path::new("/nowhere/careful-recv");
        let error = Child::start(program, &SENDER).await.unwrap_err();
        assert!(matches!(&error, ConnectError::ProgramMissing { program: missing } if missing == program), "{error:?}");
        assert_eq!(error.to_string(), "the receiving program /nowhere/careful-recv is not there");
    }
}
