//! The receiver's side of a pipe to the sender that started it.
//!
//! Standard input is read on threads of its own: a read that never ends must not keep the process from ending.
//! **Only the ticket is written to standard output.**

use std::io::{self, BufRead, Read, Write};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ticket::Ticket;
use super::{ConnectError, sender_of_line};
use crate::protocol::limits::{CHILD_LINE_BYTES_MAX, GREETING_TIMEOUT};
use crate::wire::identity::PublicKey;

/// The sender's key, from the first line of standard input; waits at most `GREETING_TIMEOUT`.
pub async fn read_sender_line() -> Result<PublicKey, ConnectError> {
    let reading = on_thread(|| read_line(&mut io::stdin().lock()));
    sender_of_line(&timeout(GREETING_TIMEOUT, reading).await.map_err(|_elapsed| ConnectError::NoAnswer)??)
}

/// Writes the ticket as one line to standard output.
pub fn print_ticket_line(ticket: &Ticket) -> Result<(), ConnectError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{ticket}")?;
    Ok(stdout.flush()?)
}

/// Waits until standard input ends: the sender has closed the pipe, or is gone. What still arrives is thrown away.
/// To be called once, after [`read_sender_line`].
pub async fn stdin_closed() {
    let draining = on_thread(|| Ok(io::copy(&mut io::stdin().lock(), &mut io::sink())?));
    // An input that cannot be read, or not even be waited for, shows no living sender either.
    match draining.await {
        Ok(bytes) => tracing::debug!(bytes, "standard input ended"),
        Err(error) => tracing::debug!(?error, "standard input failed"),
    }
}

/// Lets the interrupt of a terminal pass: it reaches sender and receiver alike, and the sender decides what follows. It
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
    use super::super::sender_line;
    use super::*;

    fn read(mut input: &[u8]) -> Result<PublicKey, ConnectError> {
        sender_of_line(&read_line(&mut input)?)
    }

    #[test]
    fn the_line_of_a_sender_gives_its_key() {
        let key = PublicKey([5; 32]);
        assert_eq!(read(sender_line(&key).as_bytes()).unwrap(), key);
    }

    #[test]
    fn any_other_line_is_unexpected() {
        let good = sender_line(&PublicKey([5; 32]));
        let cases = [
            good.trim_end().to_owned(),
            good.to_uppercase(),
            good.replace("-1 ", "-2 "),
            good.replace('\n', " \n"),
            format!(" {good}"),
            String::new(),
            "\n".to_owned(),
            "a".repeat(CHILD_LINE_BYTES_MAX + 10),
        ];
        for case in cases {
            assert!(matches!(read(case.as_bytes()), Err(ConnectError::Unexpected)), "{case:?}");
        }
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
