//! The pipe to the side that started this one.
//!
//! Standard input is read on threads of its own: a read that never ends must not keep the process from ending.
//! **Only the answer is written to standard output.**

use std::io::{self, BufRead, Read, Write};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ConnectError;
use super::line::{Caller, version_answer};
use super::ticket::Ticket;
use crate::protocol::limits::{CHILD_LINE_BYTES_MAX, GREETING_TIMEOUT};

/// The caller, from the first line of standard input; waits at most `GREETING_TIMEOUT`. One of another version gets this
/// side's for an answer.
pub async fn read_caller() -> Result<Caller, ConnectError> {
    let reading = on_thread(|| read_line(&mut io::stdin().lock()));
    let line = timeout(GREETING_TIMEOUT, reading).await.map_err(|_elapsed| ConnectError::NoAnswer)??;
    let caller = caller_of(&line);
    if let Err(ConnectError::Version { .. }) = caller {
        print_line(&version_answer())?;
    }
    caller
}

fn caller_of(line: &[u8]) -> Result<Caller, ConnectError> {
    std::str::from_utf8(line).map_err(|_utf8| ConnectError::Unexpected)?.parse()
}

/// Writes the ticket as one line to standard output.
pub fn print_ticket_line(ticket: &Ticket) -> Result<(), ConnectError> {
    print_line(&ticket.to_string())
}

fn print_line(line: &str) -> Result<(), ConnectError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Waits until standard input ends: the caller has closed the pipe, or is gone. What still arrives is thrown away.
/// To be called once, after [`read_caller`].
pub async fn stdin_closed() {
    let draining = on_thread(|| Ok(io::copy(&mut io::stdin().lock(), &mut io::sink())?));
    // An input that cannot be read, or not even be waited for, shows no living caller either.
    match draining.await {
        Ok(bytes) => tracing::debug!(bytes, "standard input ended"),
        Err(error) => tracing::debug!(?error, "standard input failed"),
    }
}

/// Lets the interrupt of a terminal pass: it reaches both sides alike, and the caller decides what follows. It
/// cannot be taken back. Must be called within a tokio runtime.
pub fn ignore_interrupts() -> Result<(), ConnectError> {
    // Once tokio has handled a signal, the system's own reaction to it is off for good, even without a listener.
    drop(signal(SignalKind::interrupt())?);
    Ok(())
}

/// Runs this on a thread that nobody waits for at the end of the process.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
) -> Result<T, ConnectError> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("standard input".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        done.send(work()).ok();
    })?;
    result.await.unwrap_or_else(|_panicked| Err(io::Error::other("the thread of standard input failed").into()))
}

/// One line without its end, at most `CHILD_LINE_BYTES_MAX` with it. What follows stays in the reader.
fn read_line(from: &mut impl BufRead) -> Result<Vec<u8>, ConnectError> {
    let mut line = Vec::new();
    from.by_ref().take(CHILD_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(ConnectError::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Pipe;
    use super::*;
    use crate::wire::identity::PublicKey;

    fn read(mut input: &[u8]) -> Result<Caller, ConnectError> {
        caller_of(&read_line(&mut input)?)
    }

    #[test]
    fn the_line_of_a_caller_is_read_and_no_other() {
        let caller = Caller::new(PublicKey([5; 32]), Pipe::Local);
        assert_eq!(read(format!("{caller}\n").as_bytes()).unwrap(), caller);
        for case in [caller.to_string(), "\n".to_owned(), "a".repeat(CHILD_LINE_BYTES_MAX + 10), format!("{caller} \n")]
        {
            assert!(matches!(read(case.as_bytes()), Err(ConnectError::Unexpected)), "{case:?}");
        }
        assert!(matches!(read(b"\xff\n"), Err(ConnectError::Unexpected)));
    }

    #[test]
    fn a_line_takes_nothing_of_the_next() {
        let mut input = &b"one\ntwo\n"[..];
        assert_eq!(read_line(&mut input).unwrap(), b"one");
        assert_eq!(read_line(&mut input).unwrap(), b"two");
    }

    #[tokio::test]
    async fn interrupts_can_be_ignored() {
        assert!(ignore_interrupts().is_ok());
    }
}
