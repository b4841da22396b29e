//! `careful-recv`: arguments in, exit code out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::arguments::{self, ListenPlan, RecvArguments, RecvMode};
use super::exit_code::ExitCode;
use super::identity::{identity, print_key};
use super::progress::Suspender;
use super::reach::Stop;
use super::report::{Report, with_causes};
use super::run_pull;
use super::run_standing::{passed_socket, standing};
use super::run_transfer::stop_signal;
use super::start;
use super::status::StatusFile;
use crate::connect::ConnectError;
use crate::connect::addresses::reachable;
use crate::connect::admission::Admission;
use crate::connect::answering::Answering;
use crate::connect::line::Caller;
use crate::connect::stdio;
use crate::connect::ticket::Ticket;
use crate::protocol::limits::GREETING_TIMEOUT;
use crate::receive::listen::{Received, Waiting, one_transfer};
use crate::receive::{Policy, Receiver, RootPolicy};
use crate::seams::Environment;
use crate::seams::os_disk::{raise_open_files_limit, take_umask};
use crate::wire::WireError;
use crate::wire::endpoint::{Admitted, Listener};
use crate::wire::identity::{KeyPair, random_bytes};

/// How long a listening receiver waits for a sender that was lost.
const BACK_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Descriptors left for everything but staging files.
const OTHER_FILES: usize = 400;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let arguments: RecvArguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    let mode = match arguments.mode() {
        Ok(RecvMode::Pull(plan)) => return run_pull::main(&arguments, plan).into(),
        mode => mode.map_err(|words| Stop(words, None, ExitCode::Usage)),
    };
    // Before any thread is started.
    let passed = passed_socket();
    let report = Arc::new(Report::new("careful-recv", &arguments.output, None));
    let disk = Environment::real().disk;
    let status = match StatusFile::begin(disk.as_ref(), arguments.output.status.as_deref(), &report, None) {
        Ok(status) => status,
        Err(code) => {
            report.end(code);
            return code.into();
        }
    };
    let received = mode.and_then(|mode| receive(&arguments, mode, &report, passed));
    let code = received.unwrap_or_else(|Stop(words, hint, code)| {
        report.error(&words, hint);
        code
    });
    report.end(code);
    status.end(code);
    code.into()
}

fn receive(
    arguments: &RecvArguments,
    mode: RecvMode,
    report: &Arc<Report>,
    passed: Result<Option<UdpSocket>, String>,
) -> Outcome {
    if mode == RecvMode::Key {
        return Ok(print_key(report));
    }
    let passed = passed.map_err(|words| Stop(words, None, ExitCode::Usage))?;
    let runtime = match start(report, &arguments.output, Suspender::default()) {
        Ok(runtime) => runtime,
        // It has been told.
        Err(code) => return Ok(code),
    };
    let umask = take_umask();
    let open_files_limit = open_files_limit();
    let open_files_max = staging_files_max(open_files_limit);
    let environment = arguments.network.environment();
    let receiving = Receiving { report: Arc::clone(report), umask, open_files_max, environment };
    let outcome = match mode {
        RecvMode::Stdio => runtime.block_on(receiving.as_child()),
        RecvMode::Listen(plan) => runtime.block_on(receiving.listening(&plan, arguments)),
        RecvMode::Stay(plan) => runtime.block_on(standing(
            &receiving.report,
            &plan,
            receiving.environment.clone(),
            passed,
            (umask, open_files_limit),
        )),
        // Both have run.
        RecvMode::Key | RecvMode::Pull(_) => Ok(ExitCode::Success),
    };
    runtime.shutdown_background();
    outcome
}

struct Receiving {
    report: Arc<Report>,
    umask: u32,
    open_files_max: usize,
    environment: Environment,
}

/// Files that may be open at once for staging.
pub(super) fn open_files_max() -> usize {
    staging_files_max(open_files_limit())
}

fn staging_files_max(open_files_limit: usize) -> usize {
    open_files_limit.clamp(16, 1024)
}

fn open_files_limit() -> usize {
    raise_open_files_limit().saturating_sub(OTHER_FILES)
}

/// The side that started this process, from the line that it said first.
pub(super) async fn caller() -> Result<Caller, Stop> {
    stdio::read_caller().await.map_err(|error| match error {
        ConnectError::Version { .. } => {
            Stop(error.to_string(), Some("install the same version of careful on both sides"), ExitCode::Protocol)
        }
        error => other(&error),
    })
}

pub(super) type Outcome = Result<ExitCode, Stop>;

pub(super) fn other(error: &dyn std::error::Error) -> Stop {
    Stop(with_causes(error), None, ExitCode::Other)
}

impl Receiving {
    /// Started by `careful-send` of the same person, here or by ssh: one line each way, then QUIC. Ends with its caller.
    async fn as_child(&self) -> Outcome {
        let caller = caller().await?;
        let environment = Environment::real_on(caller.ports, caller.congestion);
        let identity = identity(environment.disk.as_ref(), &self.report).map_err(|error| other(&error))?;
        let key = KeyPair::generate().map_err(|error| other(&error))?;
        let token = random_bytes().map_err(|error| other(&error))?;
        let answering = Answering::start(&environment, &caller, &key, token).map_err(|error| other(&error))?;
        let policy = Policy::new(RootPolicy::NamedBySender, self.umask);
        let admission = Admission::new(token, None);
        let open_files_max = self.open_files_max;
        let receiver = Arc::new(Receiver { environment, identity, admission, policy, open_files_max });
        let waiting = Waiting { first: GREETING_TIMEOUT, again: BACK_WITHIN };
        tokio::select! {
            received = one_transfer(receiver, &answering.listener, waiting) => {
                tracing::debug!("{received:?}");
                if matches!(received, Received::Done) {
                    // The sender has closed the connection and waits for this process: there is nothing to say any more, and
                    // calls that were given up would be waited for, a second long.
                    return Ok(ExitCode::Success);
                }
            }
            () = answering.caller_gone() => return Ok(ExitCode::Network),
            // A key press reaches parent and child alike: the parent decides.
            () = ignore_signals() => {}
        }
        answering.close().await;
        Ok(ExitCode::Success)
    }

    /// Prints a ticket and receives one transfer.
    async fn listening(&self, plan: &ListenPlan, arguments: &RecvArguments) -> Outcome {
        let environment = self.environment.clone();
        environment.disk.open_directory(&plan.directory).map_err(|error| {
            let words = format!("cannot receive into {}: {error}", plan.directory.display());
            Stop(words, Some("name a directory that is there and that you may write to"), ExitCode::FileIo)
        })?;
        let identity = identity(environment.disk.as_ref(), &self.report).map_err(|error| other(&error))?;
        let key = KeyPair::generate().map_err(|error| other(&error))?;
        let token = random_bytes().map_err(|error| other(&error))?;
        let listener = bind(&environment, plan.address, &key, Admitted::AnyKey)
            .map_err(|error| cannot_listen(plan.address, &error))?;
        let address = listener.local_address().map_err(|error| other(&error))?;
        let expires_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + arguments.expires;
        let expires_seconds = Some(expires_at.as_secs());
        let ticket = Ticket { receiver: key.public(), token, expires_seconds, addresses: reachable(address) };
        // Whoever sees the ticket may end the program in order.
        let stopped = stop_signal();
        self.report.ticket(&ticket.to_string());
        let policy = Policy {
            replace: arguments.replace,
            delete: arguments.allow_delete,
            records: !arguments.sending.no_record,
            allowed: arguments.accepting.allowed(),
            ..Policy::new(RootPolicy::Fixed(plan.directory.clone()), self.umask)
        };
        let admission = Admission::new(token, expires_seconds);
        let open_files_max = self.open_files_max;
        let receiver = Arc::new(Receiver { environment, identity, admission, policy, open_files_max });
        let waiting = Waiting { first: arguments.expires, again: BACK_WITHIN };
        let code = tokio::select! {
            received = one_transfer(receiver, &listener, waiting) => self.told(&received),
            code = stopped => code,
        };
        listener.close().await;
        Ok(code)
    }

    fn told(&self, received: &Received) -> ExitCode {
        match received {
            Received::Done => ExitCode::Success,
            Received::Refused(failure) => {
                self.report.error(&format!("the transfer was refused: {failure}"), None);
                ExitCode::of(*failure)
            }
            Received::NobodyCame => {
                self.report.error("nobody came before the ticket expired", None);
                ExitCode::Timeout
            }
            Received::NotBack => {
                let hint = "what has arrived is kept: listen again and give the sender the new ticket";
                self.report.error("the sender was lost and did not come back", Some(hint));
                ExitCode::Network
            }
        }
    }
}

pub(super) fn cannot_listen(address: SocketAddr, error: &WireError) -> Stop {
    let hint =
        "name an address of this host, and a port that no other program has; without --listen's value any will do";
    Stop(format!("cannot listen on {address}: {}", with_causes(error)), Some(hint), ExitCode::Network)
}

/// All addresses of both families, or of IPv4 where there is no IPv6.
pub(super) fn bind(
    environment: &Environment,
    address: SocketAddr,
    key: &KeyPair,
    admitted: Admitted,
) -> Result<Listener, WireError> {
    let packets = environment.packets.as_ref();
    match Listener::bind(packets, address, key, admitted.clone()) {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            Listener::bind(packets, v4, key, admitted)
        }
        bound => bound,
    }
}

pub(super) async fn ignore_signals() {
    loop {
        let code = stop_signal().await;
        if code == ExitCode::Terminated {
            return;
        }
    }
}
