//! What a receiver that pulls asked its sender for, and whether what the sender says keeps to it.
//!
//! The sender is not believed: it may choose neither the destination nor a name beside those that were asked for, and may
//! not check less than it was asked to.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::outcome::Observer;
use crate::protocol::entry::Name;
use crate::protocol::failure::Failure;
use crate::protocol::keep::Keep;
use crate::protocol::message::{Begin, Pattern};
use crate::protocol::receipt::Stored;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As the person wrote it; the rules of a sender's destination apply.
    pub destination: PathBuf,
    /// Paths at the sending host, as the person wrote them.
    pub sources: Vec<Vec<u8>>,
    /// How the stored copy is to be checked.
    pub stored: Stored,
    /// Whether a target of the same length and time may be trusted.
    pub quick: bool,
    /// Whether no target may be replaced.
    pub no_replace: bool,
    /// What may come beside content, permissions and times.
    pub keep: Keep,
    /// Whether a record is stored with each copy, where the sender has what it needs.
    pub records: bool,
    /// Whether nothing is to be done, and only told what would be.
    pub dry_run: bool,
    /// What beside the targets has no source is removed, except for what these patterns leave out.
    pub delete: Option<Vec<Pattern>>,
    /// Most entries that may be removed so.
    pub max_delete: Option<u64>,
    /// Whether the sender removes its sources: no receipt leaves this side before it is on disk.
    pub moves: bool,
    /// Whether every source is to be sent: nothing is left out of them.
    pub all_is_sent: bool,
    /// Names that the list of paths begins with, where one was sent; within, nothing for all names.
    pub listed: Option<Option<HashSet<Name>>>,
    /// Is told of every receipt.
    pub observer: Arc<dyn Observer>,
    /// What has come of it so far.
    pub answered: Answered,
}

/// Which of the sources that were asked for by name the sender has answered for, over all connections.
#[derive(Clone, Debug)]
pub struct Answered(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    /// Names that nothing was heard of yet.
    names: HashSet<Name>,
    /// The one source may get another name from the destination: then any offer answers for it.
    is_alone: bool,
    /// Whether the sender told of a failure.
    has_failed: bool,
    /// Entries that were removed as having no source.
    deleted: u64,
}

impl Answered {
    /// Nothing was heard of any of these yet.
    #[must_use]
    pub fn none_of(sources: &[Vec<u8>]) -> Self {
        let names = sources.iter().filter_map(|source| name_of(source)).collect();
        Self(Arc::new(Mutex::new(Open { names, is_alone: sources.len() == 1, has_failed: false, deleted: 0 })))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what is offered.
    pub(super) fn offered<'a>(&self, mut names: impl Iterator<Item = &'a Name>) {
        let mut open = self.open();
        if open.names.is_empty() {
            return;
        }
        if open.is_alone && names.next().is_some() {
            open.names.clear();
        }
        names.for_each(|name| drop(open.names.take(name)));
    }
}

impl Asked {
    /// Everything is checked, and existing targets are replaced: what `careful-recv` asks for without an option.
    #[must_use]
    pub fn new(sources: Vec<Vec<u8>>, destination: PathBuf, observer: Arc<dyn Observer>) -> Self {
        Self {
            destination,
            answered: Answered::none_of(&sources),
            sources,
            stored: Stored::Device,
            quick: false,
            no_replace: false,
            keep: Keep::default(),
            records: true,
            dry_run: false,
            delete: None,
            max_delete: None,
            moves: false,
            all_is_sent: true,
            listed: None,
            observer,
        }
    }

    /// Whether the sender begins what it was asked for.
    pub(super) fn is_answered_by(&self, begin: &Begin) -> Result<(), Failure> {
        let may_be_one_file = matches!(&self.sources[..], [only] if name_of(only).is_some());
        let keeps_to_it = begin.stored == self.stored
            && begin.quick <= self.quick
            && begin.no_replace >= self.no_replace
            // One that only pretends would be taken for a transfer.
            && begin.dry_run == self.dry_run
            // What is guarded here is this side's to say.
            && begin.delete == self.delete
            && (may_be_one_file || !begin.single_file);
        if keeps_to_it { Ok(()) } else { Err(Failure::NotAskedFor) }
    }

    /// Takes note that the sender told of a failure.
    pub(super) fn failed(&self) {
        self.answered.open().has_failed = true;
    }

    /// Whether what has no source may be removed: only where the sender told of no failure, and has answered for every source.
    /// `directory` is the one that is to be gone through, none for the destination itself.
    pub(super) fn may_prune(&self, directory: Option<u32>, names: Option<&HashSet<Name>>) -> bool {
        let is_complete = !self.answered.open().has_failed && (!self.all_is_sent || self.unanswered().is_empty());
        is_complete && self.delete.is_some() && (directory.is_some() || names.is_none())
    }

    /// Whether one more entry may be removed; it is counted.
    pub(super) fn may_delete(&self) -> bool {
        let mut open = self.answered.open();
        open.deleted += 1;
        self.max_delete.is_none_or(|max| open.deleted <= max)
    }

    /// Takes note of a report about this path.
    pub(super) fn reported(&self, path: &[u8]) {
        let about = |source: &&Vec<u8>| path.starts_with(source) || source.ends_with(path);
        let names: Vec<Name> = self.sources.iter().filter(about).filter_map(|source| name_of(source)).collect();
        self.answered.offered(names.iter());
    }

    /// Sources that were asked for by name, and neither offered nor reported.
    pub(super) fn unanswered(&self) -> Vec<&[u8]> {
        let open = self.answered.open();
        let is_open = |source: &&Vec<u8>| name_of(source).is_some_and(|name| open.names.contains(&name));
        self.sources.iter().filter(is_open).map(Vec::as_slice).collect()
    }

    /// Names that may stand directly below the destination; nothing if any may, because the contents of a directory were
    /// asked for. `file_name` is the one that the destination gives a single file.
    pub(super) fn names(&self, file_name: Option<&Name>) -> Option<HashSet<Name>> {
        match file_name {
            _ if self.listed.is_some() => self.listed.clone().flatten(),
            Some(name) => Some(HashSet::from([name.clone()])),
            None => self.sources.iter().map(|source| name_of(source)).collect(),
        }
    }
}

/// The name that a source has below the destination; nothing for the contents of a directory.
fn name_of(source: &[u8]) -> Option<Name> {
    if source.ends_with(b"/") || source.ends_with(b"/.") {
        return None;
    }
    // One that is no name cannot be sent either: the sender tells of it.
    Name::new(Path::new(OsStr::from_bytes(source)).file_name()?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::receipt::Receipt;

    #[derive(Debug)]
    struct Nobody;

    impl Observer for Nobody {
        fn failed(&self, _path: &[u8], _failure: Failure, _detail: Option<&str>) {}
        fn skipped(&self, _path: &[u8], _why: &str) {}
        fn trusted(&self, _path: &[u8]) {}
        fn committed(&self, _receipt: &Receipt, _signature: &[u8; 64], _unchanged: &[bool]) {}
        fn notice(&self, _words: &str) {}
    }

    fn asked(sources: &[&str]) -> Asked {
        let sources: Vec<Vec<u8>> = sources.iter().map(|source| source.as_bytes().to_vec()).collect();
        Asked::new(sources, "d".into(), Arc::new(Nobody))
    }

    fn begin() -> Begin {
        Begin::new([1; 16])
    }

    fn names(sources: &[&str]) -> Option<Vec<String>> {
        let mut names: Vec<String> = asked(sources)
            .names(None)?
            .iter()
            .map(|name| String::from_utf8(name.as_bytes().to_vec()).expect("UTF-8"))
            .collect();
        names.sort();
        Some(names)
    }

    #[test]
    fn p1_only_names_that_were_asked_for_may_stand_below_the_destination() {
        assert_eq!(names(&["a/b", "/c"]), Some(vec!["b".to_owned(), "c".to_owned()]));
        for contents in ["a/", ".", "a/.", "/", "..", "a/.."] {
            assert_eq!(names(&["b", contents]), None, "{contents}");
        }
        let renamed = Name::new(b"new").expect("a name");
        assert_eq!(asked(&["a"]).names(Some(&renamed)), Some(HashSet::from([renamed])));
    }

    #[test]
    fn a_sender_that_checks_less_than_it_was_asked_to_is_refused() {
        assert_eq!(asked(&["a"]).is_answered_by(&begin()), Ok(()));
        let lesser: [fn(&mut Begin); 3] =
            [|begin| begin.stored = Stored::Cache, |begin| begin.stored = Stored::None, |begin| begin.quick = true];
        for lessen in lesser {
            let mut begin = begin();
            lessen(&mut begin);
            assert_eq!(asked(&["a"]).is_answered_by(&begin), Err(Failure::NotAskedFor));
        }
        let keeping = Asked { no_replace: true, ..asked(&["a"]) };
        assert_eq!(keeping.is_answered_by(&begin()), Err(Failure::NotAskedFor));
        assert_eq!(asked(&["a"]).is_answered_by(&Begin { dry_run: true, ..begin() }), Err(Failure::NotAskedFor));
        let looking = Asked { dry_run: true, ..asked(&["a"]) };
        assert_eq!(looking.is_answered_by(&begin()), Err(Failure::NotAskedFor));
        assert_eq!(looking.is_answered_by(&Begin { dry_run: true, ..begin() }), Ok(()));
        let deleting = Asked { delete: Some(Vec::new()), ..asked(&["a"]) };
        let pattern = Pattern { include: false, written: b"x".to_vec() };
        for delete in [None, Some(vec![pattern])] {
            assert_eq!(deleting.is_answered_by(&Begin { delete, ..begin() }), Err(Failure::NotAskedFor));
        }
        assert_eq!(
            asked(&["a"]).is_answered_by(&Begin { delete: deleting.delete, ..begin() }),
            Err(Failure::NotAskedFor)
        );
        let trusting = Asked { quick: true, ..asked(&["a"]) };
        assert_eq!(trusting.is_answered_by(&Begin { quick: true, ..begin() }), Ok(()));
    }

    #[test]
    fn what_was_asked_for_by_name_must_be_offered_or_reported() {
        let asked = asked(&["a/b", "c/", "/d", "e"]);
        assert_eq!(asked.unanswered(), [&b"a/b"[..], b"/d", b"e"]);
        asked.answered.offered([Name::new(b"b").expect("a name")].iter());
        asked.reported(b"/d/below");
        assert_eq!(asked.unanswered(), [b"e"]);
        asked.reported(b"e");
        assert_eq!(asked.unanswered(), [b""; 0]);
        let alone = self::asked(&["a"]);
        assert_eq!(alone.unanswered(), [b"a"]);
        alone.answered.offered([Name::new(b"new").expect("a name")].iter());
        assert_eq!(alone.unanswered(), [b""; 0], "the destination may have given it another name");
    }

    #[test]
    fn nothing_is_removed_but_after_a_whole_offer_and_no_more_than_may_be() {
        let deleting = |sources: &[&str]| Asked { delete: Some(Vec::new()), max_delete: Some(2), ..asked(sources) };
        let contents = deleting(&["a/"]);
        assert!(contents.may_prune(None, None) && contents.may_prune(Some(0), None));
        assert_eq!([(); 3].map(|()| contents.may_delete()), [true, true, false]);
        contents.failed();
        assert!(!contents.may_prune(None, None), "after a failure");
        let named = deleting(&["a"]);
        let names = named.names(None);
        assert!(!named.may_prune(Some(0), names.as_ref()), "nothing was heard of it");
        named.answered.offered(names.iter().flatten());
        assert!(named.may_prune(Some(0), names.as_ref()));
        assert!(!named.may_prune(None, names.as_ref()), "the destination itself is not the source's");
        assert!(!asked(&["a/"]).may_prune(None, None), "it was not asked for");
    }

    #[test]
    fn several_sources_are_no_single_file() {
        let single = Begin { single_file: true, ..begin() };
        assert_eq!(asked(&["a"]).is_answered_by(&single), Ok(()));
        for sources in [&["a", "b"][..], &["a/"], &["."]] {
            assert_eq!(asked(sources).is_answered_by(&single), Err(Failure::NotAskedFor));
        }
    }
}
