//! The judge: what must hold of a state of the receiver's disk, seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful::protocol::entry::{Name, is_staging_name};
use careful::protocol::receipt::{Durable, Origin, ReceiptFile, Stored};
use careful::seams::disk::{Kind, Timestamp};
use careful::send::Ended;

use super::configuration::{Configuration, SOURCE, Version};
use super::transfer::Told;
use crate::crash_disk::{Content, FileView, Tree};

/// Which promise was broken, by the numbers of the reference, section 6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Under a final name is the old file, or none where there was none, or the complete new one.
    I1,
    /// What a receipt was given for is there, complete, after every crash.
    I3,
    /// A receipt says what is true, and the sender ends well only with one for every file.
    I4,
    /// The same transfer, once more without faults, comes to its end.
    I5,
    /// Nothing is left over, and nothing but staging files ever lies beside what was asked for.
    I6,
    /// The source is never touched.
    I13,
}

/// A broken promise, and what was seen.
pub(super) type Broken = (Invariant, String);

/// Knows what may be where.
#[derive(Debug)]
pub(super) struct Judge {
    files: BTreeMap<PathBuf, Expected>,
    directories: BTreeSet<PathBuf>,
    /// Staging files, by the targets that they are for.
    staging: BTreeMap<PathBuf, PathBuf>,
    /// Further names, and the names of their files.
    links: Vec<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
struct Expected {
    /// Path in the receipt.
    below: PathBuf,
    new: Version,
    modified: Timestamp,
    old: Option<Old>,
}

/// The old file keeps sharing its bytes with every state in which it was not touched.
#[derive(Debug)]
struct Old {
    content: Arc<Content>,
    mode: u32,
}

impl Judge {
    pub(super) fn new(configuration: &Configuration, sources: &Tree, before: &Tree) -> Self {
        let (mut files, mut staging) = (BTreeMap::new(), BTreeMap::new());
        for file in &configuration.files {
            let target = configuration.destination.join(&file.path);
            let modified = sources.file(&Path::new(SOURCE).join(&file.path)).expect("a source").modified;
            let name = target.file_name().unwrap_or_default().as_encoded_bytes();
            let name = Name::new(name).expect("a name");
            for staged in [name.staging(), name.staging_of_link()] {
                staging.insert(target.with_file_name(staged), target.clone());
            }
            let old = before.file(&target).map(|old| Old { content: Arc::clone(old.content), mode: old.mode });
            files.insert(target, Expected { below: file.path.clone(), new: file.new.clone(), modified, old });
        }
        let links = configuration.target_links().collect();
        Self { files, directories: configuration.target_directories().collect(), staging, links }
    }

    /// What must hold at every instant, when receipts were given for these files below the destination.
    pub(super) fn state(&self, tree: &Tree, promised: &BTreeSet<PathBuf>) -> Result<(), Broken> {
        for (path, kind) in tree.paths() {
            let is_known = match kind {
                Kind::Directory => self.directories.contains(&path),
                _ => self.files.contains_key(&path) || self.staging.contains_key(&path),
            };
            if !is_known {
                return Err((Invariant::I6, format!("{} is there", path.display())));
            }
        }
        self.files.iter().try_for_each(|(path, expected)| {
            let found = tree.file(path);
            if found.is_some_and(|found| expected.is_new(found)) {
                return Ok(());
            }
            if promised.contains(&expected.below) {
                return Err((Invariant::I3, format!("{}: a receipt, and {}", path.display(), expected.seen(found))));
            }
            match (found, &expected.old) {
                (None, None) => Ok(()),
                (Some(found), Some(old)) if old.is(found) => Ok(()),
                _ => Err((Invariant::I1, format!("{}: {}", path.display(), expected.seen(found)))),
            }
        })
    }

    /// Whether a staging file holds something that its source does not: what a rerun must not believe.
    pub(super) fn has_damage(&self, tree: &Tree) -> bool {
        self.staging.iter().any(|(staging, target)| {
            tree.file(staging).is_some_and(|found| found.content.is_damaged(&self.files[target].new.bytes))
        })
    }

    /// What must hold after a transfer that nothing disturbed.
    pub(super) fn end(&self, tree: &Tree, told: &Told) -> Result<(), Broken> {
        if !matches!(told.ended, Some(Ended::Complete)) || !told.failures.is_empty() {
            return Err((Invariant::I5, format!("the transfer ended as {:?}, {:?}", told.ended, told.failures)));
        }
        let promised: BTreeSet<PathBuf> = self.files.values().map(|expected| expected.below.clone()).collect();
        for expected in self.files.values() {
            match told.receipts.get(&expected.below) {
                None => return Err((Invariant::I4, format!("no receipt for {}", expected.below.display()))),
                Some(receipt) if expected.is_told_by(receipt) => {}
                Some(receipt) => return Err((Invariant::I4, format!("a receipt that is not true: {receipt:?}"))),
            }
        }
        self.state(tree, &promised)?;
        // Names of one file share its content; two equal files do not.
        let is_joined = |[name, file]: [&Path; 2]| {
            let content = [name, file].map(|path| tree.file(path).map(|found| Arc::as_ptr(found.content)));
            content[0].is_some() && content[0] == content[1]
        };
        if let Some((name, _)) = self.links.iter().find(|(name, file)| !is_joined([name, file])) {
            return Err((Invariant::I4, format!("{} is a file of its own", name.display())));
        }
        let is_staging = |path: &Path| path.file_name().is_some_and(|name| is_staging_name(name.as_encoded_bytes()));
        match tree.paths().into_iter().find(|(path, _)| is_staging(path)) {
            Some((left, _)) => Err((Invariant::I6, format!("{} is left", left.display()))),
            None => Ok(()),
        }
    }
}

impl Expected {
    fn is_new(&self, found: FileView<'_>) -> bool {
        found.mode == self.new.mode && found.modified == self.modified && found.content.equals(&self.new.bytes)
    }

    fn is_told_by(&self, receipt: &ReceiptFile) -> bool {
        let proof = receipt.proof;
        receipt.length_bytes == self.new.bytes.len() as u64
            && receipt.root == *blake3::hash(&self.new.bytes).as_bytes()
            && (proof.origin, proof.stored, proof.durable) == (Origin::Reread, Stored::Device, Durable::Yes)
    }

    fn seen(&self, found: Option<FileView<'_>>) -> String {
        let Some(found) = found else { return "nothing is there".to_owned() };
        let bytes = if found.content.equals(&self.new.bytes) {
            "the new bytes"
        } else if self.old.as_ref().is_some_and(|old| old.content.equals(&found.content.to_vec())) {
            "the old bytes"
        } else {
            "other bytes"
        };
        let time = if found.modified == self.modified { "the new time" } else { "another time" };
        format!("{bytes}, {} of them, mode {:04o}, {time}", found.content.length_bytes(), found.mode)
    }
}

impl Old {
    fn is(&self, found: FileView<'_>) -> bool {
        let is_same = Arc::ptr_eq(&self.content, found.content) || found.content.equals(&self.content.to_vec());
        is_same && found.mode == self.mode
    }
}
