//! Claims about a receiver that pulls against a sender that says whatever it likes instead of what it was asked for.

use std::sync::Arc;
use std::time::Duration;

use careful::connect::meeting::Meeting;
use careful::connect::ticket::token_proof;
use careful::outcome::Ended;
use careful::progress::Counters;
use careful::protocol::entry::{DirectoryEntry, DirectoryTable, Name};
use careful::protocol::failure::Failure;
use careful::protocol::message::{Begin, FromReceiver, FromSender, KeptNames, Prune};
use careful::protocol::receipt::Stored;
use careful::protocol::request::FromPuller;
use careful::protocol::terms::Terms;
use careful::receive::Asked;
use careful::receive::pull::Pull;
use careful::seams::Environment;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};

use super::evil_sender::attributes;
use crate::halves::{self, ANY_PORT, TOKEN};
use crate::mutants::trial::{Told, Trial, run};

super::table![
    a_pulled_sender_sends_no_name_that_was_not_asked_for,
    a_pulled_sender_chooses_neither_the_destination_nor_a_lesser_check,
    a_pulled_sender_deletes_no_more_than_may_go,
];

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// The false sender's side of a connection that was asked for `good`.
struct Pulled {
    connection: Connection,
    /// Kept open: that they end would be a word of its own.
    _streams: Vec<(Outgoing, Incoming)>,
    terms: Option<Terms>,
}

impl Pulled {
    /// Proves the token and begins with this; what the receiver says to it.
    async fn begins(connection: Connection, begin: Begin) -> (Self, FromReceiver) {
        let (outgoing, mut incoming) = connection.accept_job().await.expect("a request comes first");
        let request = incoming.receive().await.expect("a stream");
        assert!(matches!(request, Some(FromPuller::Request(_))), "{request:?}");
        let mut streams = vec![(outgoing, incoming)];
        let (mut outgoing, mut incoming) = connection.open_job().await.expect("a first stream");
        let proof = token_proof(&TOKEN, &connection.exporter().expect("an exporter"));
        outgoing.send(&FromSender::Hello { minor: 0, proof }).await.expect("a stream that takes a greeting");
        assert_eq!(incoming.receive().await.expect("a stream"), Some(FromReceiver::Welcome { minor: 0 }));
        connection.raise_windows();
        outgoing.send(&FromSender::Begin(begin.clone())).await.expect("a stream that takes messages");
        let answer = loop {
            match incoming.receive().await.expect("a stream").expect("an answer") {
                FromReceiver::Working => {}
                answer => break answer,
            }
        };
        let terms = if let FromReceiver::Ready(ready) = &answer { Some(Terms::new(&begin, ready)) } else { None };
        streams.push((outgoing, incoming));
        (Self { connection, _streams: streams, terms }, answer)
    }

    /// Opens a job with this; what is said to it first.
    async fn opens(&self, message: impl FnOnce(Terms) -> FromSender) -> FromReceiver {
        let terms = self.terms.expect("the receiver was ready");
        let (mut outgoing, mut incoming) = self.connection.open_job().await.expect("one more stream");
        outgoing.send(&message(terms)).await.expect("a stream that takes messages");
        incoming.receive().await.expect("a stream").expect("an answer")
    }
}

/// Pulls `good` into the target directory from a sender that does this.
fn pulled<F: Future<Output = ()>>(
    trial: &Trial,
    change: impl FnOnce(Asked) -> Asked,
    sender: impl FnOnce(Connection) -> F,
) -> Ended {
    run(async {
        let environment = Environment::real();
        let key = || KeyPair::generate().expect("a key can be made");
        let own = key();
        let (ticket, listener) = halves::listen(&environment, ANY_PORT, &key());
        let observer = Arc::new(Told::default());
        let pull = Pull {
            environment,
            identity: Arc::new(key()),
            asked: change(Asked::new(vec![b"good".to_vec()], trial.path("target"), observer)),
            words: Vec::new(),
            list: None,
            host: "far".to_owned(),
            umask: 0o022,
            open_files_max: 64,
            retry_for: Duration::ZERO,
            counters: Arc::new(Counters::default()),
        };
        let serving = async { sender(listener.accept().await.expect("the receiver calls")).await };
        let pulling = pull.run(Meeting::Ticket(ticket), &own);
        let both = async { tokio::join!(pulling, serving).0 };
        tokio::time::timeout(LIMIT, both).await.expect("an end in time")
    })
}

fn directory(name: &str) -> DirectoryTable {
    let name = Name::new(name.as_bytes()).expect("a name");
    DirectoryTable::new(vec![DirectoryEntry { parent: None, name, attributes: attributes(0o755) }]).expect("a table")
}

fn offer(name: &str) -> impl FnOnce(Terms) -> FromSender {
    let directories = directory(name);
    |terms| FromSender::OfferGroup { meant: terms.group(&directories, &[]), directories, files: Vec::new() }
}

fn a_pulled_sender_sends_no_name_that_was_not_asked_for() {
    let trial = Trial::new();
    pulled(
        &trial,
        |asked| asked,
        |connection| async {
            let (sender, _ready) = Pulled::begins(connection, Begin::new([1; 16])).await;
            assert_eq!(sender.opens(offer("good")).await, FromReceiver::GroupAnswer(Vec::new()));
            assert_eq!(sender.opens(offer("evil")).await, FromReceiver::Refused(Failure::NotAskedFor));
            sender.connection.close(CloseReason::Protocol);
        },
    );
    assert!(!trial.path("target/evil").exists(), "a name that nobody asked for");
}

fn a_pulled_sender_chooses_neither_the_destination_nor_a_lesser_check() {
    let trial = Trial::new();
    let outside = trial.path("outside").into_os_string().into_encoded_bytes();
    let changes = [
        Begin { destination: outside, ..Begin::new([1; 16]) },
        Begin { stored: Stored::Cache, ..Begin::new([1; 16]) },
        Begin { quick: true, ..Begin::new([1; 16]) },
    ];
    for begin in changes {
        let what = format!("{begin:?}");
        let ended = pulled(
            &trial,
            |asked| asked,
            |connection| async {
                let (sender, answer) = Pulled::begins(connection, begin).await;
                assert_eq!(answer, FromReceiver::Refused(Failure::NotAskedFor), "{what}");
                sender.connection.finish().await;
            },
        );
        assert!(matches!(ended, Ended::Refused(Failure::NotAskedFor)), "{what}: {ended:?}");
    }
    trial.assert_outside_is_untouched();
}

fn a_pulled_sender_deletes_no_more_than_may_go() {
    let trial = Trial::new();
    for old in ["1", "2", "3"] {
        trial.write(&format!("target/good/{old}"), b"old");
    }
    let change = |asked| Asked { delete: Some(Vec::new()), max_delete: Some(2), ..asked };
    pulled(&trial, change, |connection| async {
        let begin = Begin { delete: Some(Vec::new()), ..Begin::new([1; 16]) };
        let (sender, _ready) = Pulled::begins(connection, begin).await;
        sender.opens(offer("good")).await;
        let kept = vec![KeptNames { directory: Some(0), first: 0, last: u64::MAX, hashes: Vec::new() }];
        let prune = Prune { directories: directory("good"), kept, remove: true };
        let answer = sender.opens(|terms| FromSender::Prune { meant: terms.prune(&prune), prune }).await;
        let FromReceiver::Pruned { removed, failed, .. } = &answer else { panic!("{answer:?}") };
        assert_eq!((removed.len(), failed.len()), (2, 1), "{answer:?}");
        sender.connection.close(CloseReason::Done);
    });
}
