//! `careful-recv --stay`: a service. Reads the list of keys, answers signals, and tells systemd how it is.
//!
//! A list that cannot be used never takes the place of one that is in use, and none that can never admits anybody else by
//! mistake. **Nothing about a single transfer is decided here.**

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::arguments::StandingPlan;
use super::exit_code::ExitCode;
use super::identity::lasting_identity;
use super::reach::Stop;
use super::report::{Report, with_causes};
use super::run_recv::{Outcome, bind, cannot_listen, other};
use crate::connect::allow;
use crate::protocol::limits::{GROUP_FILES_MAX, STANDING_PORT};
use crate::receive::share::Memory;
use crate::receive::standing::{AllowedKeys, Order, Standing, open_directories};
use crate::seams::Environment;
use crate::seams::disk::Disk;
use crate::seams::packet::PassedSocket;
use crate::wire::endpoint::{Admitted, Listener};

/// Orders that may wait: a signal more than that is the same signal again.
const ORDERS_MAX: usize = 16;

/// The UDP socket that systemd passed to this process. To be asked before any thread is started.
pub(super) fn passed_socket() -> Result<Option<UdpSocket>, String> {
    let mut passed = listenfd::ListenFd::from_env();
    match passed.len() {
        0 => Ok(None),
        1 => passed.take_udp_socket(0).map_err(|error| format!("the socket that was passed is no UDP socket: {error}")),
        more => Err(format!("{more} sockets were passed: one is served by each process")),
    }
}

/// Runs until SIGTERM or SIGINT. `open_files_limit` is that of the process, without what it needs for itself.
pub(super) async fn standing(
    report: &Report,
    plan: &StandingPlan,
    environment: Environment,
    passed: Option<UdpSocket>,
    (umask, open_files_limit): (u32, usize),
) -> Outcome {
    let disk = Arc::clone(&environment.disk);
    let identity = lasting_identity(disk.as_ref()).map_err(|words| Stop(words, None, ExitCode::FileIo))?;
    let allowed = load(disk.as_ref(), &plan.allow)?;
    let mut signals = Signals::new().map_err(|error| other(&error))?;
    let environment = match (passed, plan.address) {
        (Some(_), Some(_)) => {
            let words = "a socket was passed, and --listen names an address: one of them is too many";
            let hint = Some("leave the address to the unit of the socket");
            return Err(Stop(words.to_owned(), hint, ExitCode::Usage));
        }
        (Some(socket), None) => Environment { packets: Arc::new(PassedSocket::new(socket)), ..environment },
        (None, _) => environment,
    };
    let anywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), STANDING_PORT);
    let address = plan.address.unwrap_or(anywhere);
    let listener =
        bind(&environment, address, &identity, Admitted::Nobody).map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_address().map_err(|error| other(&error))?;
    let memory = Memory::new(plan.memory_bytes, (open_files_limit / GROUP_FILES_MAX).max(1));
    let key = identity.public().to_string();
    let standing = Arc::new(Standing::new(environment, identity, umask, GROUP_FILES_MAX, memory));
    let count = allowed.len();
    standing.admit(&listener, allowed);
    report.listening(&address.to_string(), &key);
    told_systemd(&[NotifyState::Ready, NotifyState::Status(&format!("{count} keys are admitted"))]);
    if count == 0 {
        report.notice(&format!("{} names no key: nobody is admitted", plan.allow.display()));
    }
    let unfinished = serve(report, plan, disk.as_ref(), &standing, &listener, &mut signals).await;
    if unfinished > 0 {
        report.notice(&format!("{unfinished} connections were closed unfinished: their senders can go on later"));
    }
    Ok(ExitCode::Success)
}

/// Passes the signals on as orders until everything has ended.
async fn serve(
    report: &Report,
    plan: &StandingPlan,
    disk: &dyn Disk,
    standing: &Arc<Standing>,
    listener: &Listener,
    signals: &mut Signals,
) -> usize {
    let (orders, to_do) = mpsc::channel(ORDERS_MAX);
    let serving = standing.serve(listener, to_do);
    tokio::pin!(serving);
    let mut drains = [plan.drain, Duration::ZERO].into_iter();
    loop {
        let said = tokio::select! {
            unfinished = &mut serving => return unfinished,
            said = signals.next() => said,
        };
        let order = match said {
            Said::Reload => match reload(report, disk, &plan.allow) {
                Some(allowed) => Order::Admit(allowed),
                None => continue,
            },
            Said::End => {
                told_systemd(&[NotifyState::Stopping]);
                // Who says it twice does not want to wait.
                Order::Drain(drains.next().unwrap_or_default())
            }
        };
        if orders.try_send(order).is_err() {
            tracing::warn!("too many signals at once: one was left out");
        }
    }
}

/// The list as it is now; nothing, and the person is told, if it cannot be used.
fn reload(report: &Report, disk: &dyn Disk, path: &Path) -> Option<AllowedKeys> {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => told_systemd(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("no clock to tell systemd: {error}"),
    }
    let loaded = load(disk, path);
    let status = match &loaded {
        Ok(allowed) => format!("{} keys are admitted", allowed.len()),
        Err(_) => "the list of keys cannot be used: the one before stays in force".to_owned(),
    };
    told_systemd(&[NotifyState::Ready, NotifyState::Status(&status)]);
    match loaded {
        Ok(allowed) => {
            report.notice(&status);
            Some(allowed)
        }
        Err(Stop(words, ..)) => {
            report
                .error(&words, Some("the list that was read before stays in force; repair the file and reload again"));
            None
        }
    }
}

fn load(disk: &dyn Disk, path: &Path) -> Result<AllowedKeys, Stop> {
    let file = path.display();
    let stop = |words: String, hint, code| Stop(words, Some(hint), code);
    let text = disk.read_trusted(path).map_err(|error| {
        let hint = "name a file with one key a line, that nobody but you may write to";
        stop(format!("cannot read {file}: {error}"), hint, ExitCode::FileIo)
    })?;
    let grants = allow::parse(&text).map_err(|error| {
        let hint = "repair the line, or put # before it: the list is used as a whole or not at all";
        stop(format!("{file}: {error}"), hint, ExitCode::Usage)
    })?;
    open_directories(disk, grants).map_err(|error| {
        let hint = "make the directory, or put # before the line";
        stop(format!("{file}: {}", with_causes(&error)), hint, ExitCode::FileIo)
    })
}

/// Without systemd nobody listens, and that is no error.
fn told_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd was not told: {error}");
    }
}

/// What a signal means.
enum Said {
    Reload,
    End,
}

/// Taken over before anything is announced: whoever hears that it is ready may send any of them.
struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Said {
        tokio::select! {
            _ = self.reload.recv() => Said::Reload,
            _ = self.terminate.recv() => Said::End,
            _ = self.interrupt.recv() => Said::End,
        }
    }
}
