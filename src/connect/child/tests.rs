//! A shell in the place of the program that is started, and of ssh.

use std::path::Path;
use std::sync::Mutex;

use super::super::ssh::Transport;
use super::*;
use crate::wire::identity::PublicKey;

fn caller(pipe: Pipe) -> Caller {
    Caller::new(PublicKey([2; 32]), pipe)
}

fn ticket() -> Ticket {
    Ticket { receiver: PublicKey([1; 32]), token: [3; 16], expires_seconds: None, addresses: Vec::new() }
}

fn by_shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

async fn start(script: &str) -> Result<(Child, Ticket), ConnectError> {
    let start = Start::Local("/bin/sh".into());
    Child::start_command(by_shell(script), &start, &caller(Pipe::Local), &Remarks::unheard()).await
}

/// As [`start`] by way of ssh, with all remarks.
async fn start_by_ssh(script: &str) -> (Result<(Child, Ticket), ConnectError>, Vec<String>) {
    let ssh = Ssh {
        words: vec!["ssh".into()],
        options: Vec::new(),
        host: "me@far".to_owned(),
        program: "careful-recv".to_owned(),
        transport: Transport::Auto,
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let remarks = Remarks::to(move |line| telling.lock().unwrap().push(String::from_utf8_lossy(line).into_owned()));
    let started = Child::start_command(by_shell(script), &Start::Ssh(ssh), &caller(Pipe::Ssh), &remarks).await;
    let told = told.lock().unwrap().clone();
    (started, told)
}

#[tokio::test]
async fn the_child_learns_the_key_and_its_ticket_is_read() {
    let line = caller(Pipe::Local);
    let script = format!("read line; test \"$line\" = '{line}' && echo {}; cat", ticket());
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
async fn anything_but_a_ticket_is_unexpected_of_a_child() {
    let wait = "cat > /dev/null";
    let long = format!("printf %{}d 0; echo", CHILD_LINE_BYTES_MAX + 1);
    for script in ["echo hello", "echo", "printf '\\377\\n'", &long] {
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
    let start = Start::Local(program.to_owned());
    let error = Child::start(&start, &caller(Pipe::Local), &Remarks::unheard()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::ProgramMissing { program: missing } if missing == program), "{error:?}");
    assert_eq!(error.to_string(), "the program /nowhere/careful-recv is not there");
}

#[tokio::test]
async fn what_a_login_shell_prints_is_told_and_passed_over() {
    let script = format!("echo Welcome; echo; echo careful people only; echo {}; cat", ticket());
    let (started, told) = start_by_ssh(&script).await;
    let (child, read) = started.unwrap();
    assert_eq!(read, ticket());
    assert_eq!(told, ["Welcome", "", "careful people only"]);
    child.finish().await.unwrap();
}

#[tokio::test]
async fn a_shell_that_does_not_end_its_line_leaves_the_ticket_behind_it() {
    let script = format!("printf 'You are now careful1. '; echo {}; cat", ticket());
    let (started, told) = start_by_ssh(&script).await;
    let (child, read) = started.unwrap();
    assert_eq!(read, ticket());
    assert_eq!(told, ["You are now careful1. "]);
    child.finish().await.unwrap();
}

#[tokio::test]
async fn a_shell_that_never_stops_printing_is_given_up() {
    let (started, told) = start_by_ssh("yes").await;
    assert!(matches!(started, Err(ConnectError::Unexpected)), "{started:?}");
    assert_eq!(told.len(), SHELL_LINES_MAX + 1);
}

#[tokio::test]
async fn a_program_that_is_missing_far_away_is_told_from_a_failure_of_ssh() {
    let (started, told) = start_by_ssh("echo 'sh: careful-recv: not found' >&2; exit 127").await;
    let error = started.unwrap_err();
    assert!(matches!(error, ConnectError::FarProgramMissing { .. }), "{error:?}");
    assert_eq!(error.to_string(), "there is no program careful-recv at me@far, or it cannot be run");
    assert_eq!(told, ["sh: careful-recv: not found"]);
    let (started, told) = start_by_ssh("printf 'Permission denied (publickey).\\r\\n' >&2; exit 255").await;
    let error = started.unwrap_err();
    assert!(matches!(error, ConnectError::SshFailed { .. }), "{error:?}");
    assert_eq!(told, ["Permission denied (publickey).\r"]);
}

#[tokio::test]
async fn another_version_is_told_by_its_number() {
    let old = ticket().to_string().replacen("careful1", "careful0", 1);
    for (script, version) in [(format!("echo {old}; cat"), 0), ("echo careful-version-2; exit 12".to_owned(), 2)] {
        let error = start_by_ssh(&script).await.0.unwrap_err();
        assert!(matches!(error, ConnectError::Version { theirs } if theirs == version), "{error:?}");
    }
}

#[tokio::test]
async fn a_remark_of_any_length_is_cut() {
    let script = format!("printf %{}d 0 >&2; echo >&2; echo {}; cat", 3 * REMARK_BYTES_MAX, ticket());
    let (started, _told) = start_by_ssh(&script).await;
    started.unwrap().0.finish().await.unwrap();
    let (_, told) = start_by_ssh(&format!("printf %{}d 0 >&2; exit 1", 3 * REMARK_BYTES_MAX)).await;
    assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [REMARK_BYTES_MAX]);
}
