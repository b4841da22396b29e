//! A sender that a receiver started and asked, and that then says whatever it likes; and askers of the real sender that
//! do not keep to the protocol.

#![expect(clippy::disallowed_methods, reason = "looks at the disk past the program's own door")]
#![expect(clippy::unwrap_used, reason = "a set-up that fails is a failed test")]

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use careful::connect::meeting::{Meeting, Met};
use careful::connect::ticket::{Ticket, token_proof};
use careful::outcome::{Ended, Foreseen, Observer};
use careful::progress::Counters;
use careful::protocol::entry::{Attributes, DirectoryEntry, DirectoryTable, FileEntry, Name};
use careful::protocol::failure::Failure;
use careful::protocol::limits::{NOTICES_MAX, REPORT_PATH_BYTES_MAX, REPORTS_PER_ANSWER, REQUEST_WORDS_MAX};
use careful::protocol::message::{Begin, FromReceiver, FromSender, GroupFile, KeptNames, Prune};
use careful::protocol::receipt::{Receipt, Stored};
use careful::protocol::request::{Detail, FromPuller, Report, Request, ToPuller};
use careful::protocol::terms::Terms;
use careful::receive::Asked;
use careful::receive::pull::Pull;
use careful::seams::Environment;
use careful::wire::WireError;
use careful::wire::connection::{CloseReason, Connection};
use careful::wire::endpoint::{Admitted, Listener};
use careful::wire::identity::KeyPair;
use careful::wire::stream::{Incoming, Outgoing};

const TOKEN: [u8; 16] = [7; 16];
const LIMIT: Duration = Duration::from_secs(60);

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn add(&self, what: &str, path: &[u8]) {
        self.0.lock().unwrap().push(format!("{what} {}", String::from_utf8_lossy(path)));
    }
}

impl Observer for Told {
    fn failed(&self, path: &[u8], failure: Failure, _detail: Option<&str>) {
        self.add(&format!("{failure:?}"), path);
    }
    fn skipped(&self, path: &[u8], _why: &str) {
        self.add("skipped", path);
    }
    fn trusted(&self, path: &[u8]) {
        self.add("trusted", path);
    }
    fn committed(&self, _receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {
        self.add("committed", b"");
    }
    fn deleted(&self, path: &[u8]) {
        self.add("deleted", path);
    }
    fn source_removed(&self, path: &[u8]) {
        self.add("removed", path);
    }
    fn foreseen(&self, what: Foreseen, path: &[u8], _length_bytes: u64) {
        self.add(&format!("{what:?}"), path);
    }
    fn notice(&self, words: &str) {
        if words.starts_with("far: ") {
            self.add("notice", words.as_bytes());
        }
    }
}

/// The false sender's side of one connection.
struct Asking {
    connection: Connection,
    request: Request,
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Asking {
    async fn report(&mut self, report: Report) {
        self.outgoing.send(&ToPuller::Report(report)).await.unwrap();
    }

    /// Proves the token and begins with this.
    async fn begin(&self, begin: &Begin) -> (Outgoing, Incoming, Option<FromReceiver>) {
        let (mut outgoing, mut incoming) = self.connection.open_job().await.unwrap();
        let proof = token_proof(&TOKEN, &self.connection.exporter().unwrap());
        outgoing.send(&FromSender::Hello { minor: 0, proof }).await.unwrap();
        assert_eq!(incoming.receive().await.unwrap(), Some(FromReceiver::Welcome { minor: 0 }));
        self.connection.raise_windows();
        outgoing.send(&FromSender::Begin(begin.clone())).await.unwrap();
        loop {
            match incoming.receive().await.unwrap() {
                Some(FromReceiver::Working) => {}
                answer => return (outgoing, incoming, answer),
            }
        }
    }
}

fn begin() -> Begin {
    Begin::new([1; 16])
}

/// Pulls `good` from a sender that does this with each connection.
async fn pull_from<F>(place: &Path, retry_for: Duration, sender: impl FnMut(Asking) -> F) -> (Ended, Vec<String>)
where
    F: Future<Output = ()>,
{
    pull_asking(place, retry_for, |asked| asked, sender).await
}

/// The same, asking for something else.
async fn pull_asking<F>(
    place: &Path,
    retry_for: Duration,
    change: impl FnOnce(Asked) -> Asked,
    mut sender: impl FnMut(Asking) -> F,
) -> (Ended, Vec<String>)
where
    F: Future<Output = ()>,
{
    let environment = Environment::real();
    let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let here = (Ipv4Addr::LOCALHOST, 0).into();
    let listener = Listener::bind(environment.packets.as_ref(), here, &key, Admitted::Key(own.public())).unwrap();
    let addresses = vec![listener.local_address().unwrap()];
    let ticket = Ticket { receiver: key.public(), token: TOKEN, expires_seconds: None, addresses };
    let told = Arc::new(Told::default());
    let pull = Pull {
        environment,
        identity: Arc::new(KeyPair::generate().unwrap()),
        asked: change(Asked::new(vec![b"good".to_vec()], place.join("inbox"), Arc::clone(&told) as Arc<dyn Observer>)),
        words: Vec::new(),
        list: None,
        host: "far".to_owned(),
        umask: 0o022,
        open_files_max: 64,
        retry_for,
        counters: Arc::new(Counters::default()),
    };
    std::fs::create_dir_all(place.join("inbox")).unwrap();
    let serving = async {
        loop {
            let connection = listener.accept().await.unwrap();
            let (outgoing, mut incoming) = connection.accept_job().await.unwrap();
            let Ok(Some(FromPuller::Request(request))) = incoming.receive().await else { panic!("no request") };
            sender(Asking { connection, request, outgoing, incoming }).await;
        }
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(LIMIT, pull.run(Meeting::Ticket(ticket), &own)) => ended.expect("an end in time"),
        () = serving => unreachable!("it serves for ever"),
    };
    let told = told.0.lock().unwrap().clone();
    (ended, told)
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn is_empty(place: &tempfile::TempDir) -> bool {
    std::fs::read_dir(place.path().join("inbox")).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_name_that_was_not_asked_for_is_refused_before_anything_is_made() {
    let place = place();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (ended, _told) = pull_from(place.path(), Duration::ZERO, |asking| {
        let refused = Arc::clone(&refused);
        async move {
            let (_outgoing, _incoming, answer) = asking.begin(&begin()).await;
            let Some(FromReceiver::Ready(ready)) = answer else { panic!("{answer:?}") };
            let terms = Terms::new(&begin(), &ready);
            let attributes = Attributes { mode: 0o755, modified_seconds: 0, modified_nanoseconds: 0 };
            let name = Name::new(b"evil").unwrap();
            let evil = DirectoryEntry { parent: None, name: name.clone(), attributes };
            let evil = DirectoryTable::new(vec![evil]).unwrap();
            let none = DirectoryTable::default();
            let entry = FileEntry { directory: None, name, length_bytes: 1, attributes, labels: None };
            let files = vec![GroupFile { entry: entry.clone(), root: None }];
            let large = FileEntry { length_bytes: 3 << 20, ..entry };
            let offers = [
                FromSender::OfferGroup { directories: evil.clone(), files: Vec::new(), meant: terms.group(&evil, &[]) },
                FromSender::OfferGroup { directories: none.clone(), meant: terms.group(&none, &files), files },
                FromSender::OfferFile {
                    job: 0,
                    meant: terms.file(0, &none, &large, 1 << 20),
                    directories: none,
                    file: large,
                    chunk_bytes: 1 << 20,
                },
                FromSender::FinishDirectories { meant: terms.page(&evil, &[]), directories: evil, labels: Vec::new() },
            ];
            for offer in offers {
                let (mut outgoing, mut incoming) = asking.connection.open_job().await.unwrap();
                outgoing.send(&offer).await.unwrap();
                let answer: Option<FromReceiver> = incoming.receive().await.unwrap();
                refused.lock().unwrap().push(answer);
            }
            asking.connection.close(CloseReason::Protocol);
        }
    })
    .await;
    assert!(matches!(ended, Ended::Refused(Failure::Protocol)), "{ended:?}");
    let refused = refused.lock().unwrap().clone();
    assert_eq!(refused, vec![Some(FromReceiver::Refused(Failure::NotAskedFor)); 4]);
    assert!(is_empty(&place));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_chooses_neither_the_destination_nor_a_lesser_check() {
    let changes: [fn(&mut Begin); 4] = [
        |begin| begin.destination = b"/tmp".to_vec(),
        |begin| begin.stored = Stored::Cache,
        |begin| begin.stored = Stored::None,
        |begin| begin.quick = true,
    ];
    for change in changes {
        let place = place();
        let mut begin = begin();
        change(&mut begin);
        let (ended, _told) = pull_from(place.path(), Duration::ZERO, |asking| {
            let begin = begin.clone();
            async move {
                let (_outgoing, _incoming, answer) = asking.begin(&begin).await;
                assert_eq!(answer, Some(FromReceiver::Refused(Failure::NotAskedFor)));
                asking.connection.finish().await;
            }
        })
        .await;
        assert!(matches!(ended, Ended::Refused(Failure::NotAskedFor)), "{begin:?}: {ended:?}");
        assert!(is_empty(&place));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_a_path_in_a_report_is_bounded() {
    let place = place();
    let (ended, told) = pull_from(place.path(), Duration::ZERO, |mut asking| async move {
        asking.report(Report::Trusted(vec![b'a'; REPORT_PATH_BYTES_MAX])).await;
        asking.report(Report::Trusted(vec![b'a'; REPORT_PATH_BYTES_MAX + 1])).await;
        asking.connection.closed().await;
    })
    .await;
    assert!(matches!(ended, Ended::Refused(Failure::Protocol)), "{ended:?}");
    assert_eq!(told.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reported_before_a_loss_is_not_told_again() {
    let place = place();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (ended, told) = pull_from(place.path(), Duration::from_secs(30), |mut asking| {
        let heard = Arc::clone(&heard);
        async move {
            heard.lock().unwrap().push(asking.request.heard);
            if asking.request.heard == 0 {
                for number in 0..REPORTS_PER_ANSWER {
                    asking.report(Report::Trusted(format!("good/{number}").into())).await;
                }
                let answer: Option<FromPuller> = asking.incoming.receive().await.unwrap();
                assert_eq!(answer, Some(FromPuller::Heard(REPORTS_PER_ANSWER)));
                asking.connection.close(CloseReason::GoingAway);
            } else {
                asking.report(Report::Trusted(b"good/last".to_vec())).await;
                asking.report(Report::Complete).await;
                let all: Option<FromPuller> = asking.incoming.receive().await.unwrap();
                assert_eq!(all, Some(FromPuller::Heard(asking.request.heard + 2)));
                asking.connection.close(CloseReason::Done);
            }
        }
    })
    .await;
    assert!(matches!(ended, Ended::Complete), "{ended:?}");
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard, [0, REPORTS_PER_ANSWER]);
    let expected: Vec<String> = (0..REPORTS_PER_ANSWER).map(|number| format!("trusted good/{number}")).collect();
    assert_eq!(told, [expected, vec!["trusted good/last".to_owned()]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_says_all_is_done_and_sent_nothing_is_not_believed() {
    let place = place();
    let (ended, told) = pull_from(place.path(), Duration::ZERO, |mut asking| async move {
        asking.report(Report::Complete).await;
        let _heard: Option<FromPuller> = asking.incoming.receive().await.unwrap();
        asking.connection.close(CloseReason::Done);
    })
    .await;
    assert!(matches!(ended, Ended::Complete), "{ended:?}");
    assert_eq!(told, ["NotSent good"]);
}

/// The real sender, met: its connection, and the token to prove.
async fn real_sender() -> (Meeting, Connection, [u8; 16]) {
    let key = KeyPair::generate().unwrap();
    let mut meeting = Meeting::child(env!("CARGO_BIN_EXE_careful-send").into());
    let Met { connection, token, .. } = meeting.connect(&Environment::real(), &key).await.unwrap();
    (meeting, connection, token)
}

async fn ask(connection: &Connection, token: [u8; 16], change: impl FnOnce(&mut Request)) -> (Outgoing, Incoming) {
    let (mut outgoing, incoming) = connection.open_job().await.unwrap();
    let proof = token_proof(&token, &connection.exporter().unwrap());
    let sources = vec![b"/nothing/there".to_vec().into()];
    let mut request = Request { minor: 0, proof, heard: 0, sources, words: Vec::new(), list: None };
    change(&mut request);
    outgoing.send(&FromPuller::Request(request)).await.unwrap();
    (outgoing, incoming)
}

async fn closed_because(connection: &Connection) -> Option<CloseReason> {
    match tokio::time::timeout(LIMIT, connection.closed()).await.expect("an end in time") {
        WireError::ClosedByPeer { reason } => Some(reason),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_token_or_asks_for_too_much_is_not_served() {
    let changes: [fn(&mut Request); 2] = [
        |request| request.proof[0] ^= 1,
        |request| request.words = vec![b"--quick".to_vec().into(); REQUEST_WORDS_MAX],
    ];
    for change in changes {
        let (_meeting, connection, token) = real_sender().await;
        let (_outgoing, mut incoming) = ask(&connection, token, change).await;
        assert_eq!(closed_because(&connection).await, Some(CloseReason::NotAdmitted));
        assert!(incoming.receive::<ToPuller>().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t3_words_that_are_no_options_of_the_sending_side_are_refused() {
    for word in ["--receipts=/tmp/x", "--ssh=id", "--exclude-from=/etc/passwd", "--help", "/etc/passwd"] {
        let (_meeting, connection, token) = real_sender().await;
        let words = vec![word.as_bytes().to_vec().into()];
        let (_outgoing, mut incoming) = ask(&connection, token, |request| request.words = words).await;
        let refused = ToPuller::Report(Report::Refused(Failure::RequestNotUnderstood));
        assert_eq!(incoming.receive().await.unwrap(), Some(refused), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_to_have_heard_what_was_never_told_is_dropped() {
    let (_meeting, connection, token) = real_sender().await;
    let _streams = ask(&connection, token, |request| request.heard = 5).await;
    assert_eq!(closed_because(&connection).await, Some(CloseReason::Protocol));
    let (_meeting, connection, token) = real_sender().await;
    let (mut outgoing, _incoming) = ask(&connection, token, |_request| {}).await;
    outgoing.send(&FromPuller::Heard(100)).await.unwrap();
    assert_eq!(closed_because(&connection).await, Some(CloseReason::Protocol));
}

fn table(directory: Option<&str>) -> DirectoryTable {
    let attributes = Attributes { mode: 0o755, modified_seconds: 0, modified_nanoseconds: 0 };
    let entry = |name: &str| DirectoryEntry { parent: None, name: Name::new(name.as_bytes()).unwrap(), attributes };
    DirectoryTable::new(directory.into_iter().map(entry).collect()).unwrap()
}

async fn offer_directory(asking: &Asking, terms: Terms, name: &str) {
    let directories = table(Some(name));
    let (mut outgoing, mut incoming) = asking.connection.open_job().await.unwrap();
    let meant = terms.group(&directories, &[]);
    outgoing.send(&FromSender::OfferGroup { directories, files: Vec::new(), meant }).await.unwrap();
    assert_eq!(incoming.receive().await.unwrap(), Some(FromReceiver::GroupAnswer(Vec::new())));
}

/// Has this directory (none: the destination) gone through for what has no source.
async fn prune(asking: &Asking, terms: Terms, directory: Option<&str>) -> Option<FromReceiver> {
    let directories = table(directory);
    let directory = directory.map(|_| 0);
    let kept = vec![KeptNames { directory, first: 0, last: u64::MAX, hashes: Vec::new() }];
    let prune = Prune { directories, kept, remove: true };
    let (mut outgoing, mut incoming) = asking.connection.open_job().await.unwrap();
    let meant = terms.prune(&prune);
    outgoing.send(&FromSender::Prune { prune, meant }).await.unwrap();
    incoming.receive().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_removes_nothing_beside_what_was_asked_for_nor_more_than_may_go() {
    for (row, is_asked) in [true, false].into_iter().enumerate() {
        let place = place();
        for old in ["inbox/beside", "inbox/good/1", "inbox/good/2", "inbox/good/3"] {
            std::fs::create_dir_all(place.path().join(old)).unwrap();
        }
        let answers = Arc::new(Mutex::new(Vec::new()));
        let change = |asked| Asked { delete: is_asked.then(Vec::new), max_delete: Some(2), ..asked };
        let (_ended, told) = pull_asking(place.path(), Duration::ZERO, change, |mut asking| {
            let answers = Arc::clone(&answers);
            async move {
                let begin = Begin { delete: Some(Vec::new()), ..begin() };
                let (_outgoing, _incoming, answer) = asking.begin(&begin).await;
                let Some(FromReceiver::Ready(ready)) = answer else {
                    answers.lock().unwrap().push(answer);
                    return asking.connection.close(CloseReason::Done);
                };
                let terms = Terms::new(&begin, &ready);
                for directory in [None, Some("beside"), Some("good"), Some("good")] {
                    if answers.lock().unwrap().len() == 3 {
                        offer_directory(&asking, terms, "good").await;
                    }
                    let answer = prune(&asking, terms, directory).await;
                    answers.lock().unwrap().push(answer);
                }
                asking
                    .report(Report::Failed { path: b"good".to_vec(), failure: Failure::SourceIo, detail: None })
                    .await;
                asking.report(Report::SourceRemoved(b"good".to_vec())).await;
                asking.connection.closed().await;
            }
        })
        .await;
        let answers = answers.lock().unwrap().clone();
        let refused = Some(FromReceiver::Refused(Failure::NotAskedFor));
        assert!(place.path().join("inbox/beside").exists());
        if !is_asked {
            assert_eq!(answers, [Some(FromReceiver::Refused(Failure::DeleteNotAllowed))], "row {row}");
            continue;
        }
        // The third would have been right after an offer.
        assert_eq!(answers[..3], [refused.clone(), refused.clone(), refused]);
        let Some(FromReceiver::Pruned { removed, failed, is_last: true }) = &answers[3] else { panic!("{answers:?}") };
        assert_eq!((removed.len(), failed.len(), failed[0].failure), (2, 1, Failure::TooManyToDelete));
        assert_eq!(std::fs::read_dir(place.path().join("inbox/good")).unwrap().count(), 1);
        // That it removed a source nobody asked for, and so the report ended the transfer.
        assert_eq!((told.len(), &told[2][..]), (3, "SourceIo good"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_are_shown_in_our_own_words_and_not_without_end() {
    let place = place();
    let (_ended, told) = pull_from(place.path(), Duration::ZERO, |mut asking| async move {
        for _ in 0..3 * NOTICES_MAX {
            asking.report(Report::Notice { path: b"a\x1b".to_vec(), words: Detail::Words(0) }).await;
        }
        asking.report(Report::Notice { path: Vec::new(), words: Detail::Words(u8::MAX) }).await;
        asking.report(Report::Complete).await;
        asking.connection.closed().await;
    })
    .await;
    assert_eq!(told.len(), NOTICES_MAX as usize + 1, "{told:?}");
    assert_eq!(told[0], "notice far: 'a\u{1b}' a symbolic link");
    assert_eq!(told[NOTICES_MAX as usize - 1], "notice far: further notices are not shown");
}
