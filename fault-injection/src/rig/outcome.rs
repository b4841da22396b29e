//! What one run came to, and what is to be thought of it.
//!
//! The verdict on a file rests on the bytes under its final name, before and after, and on what the sender was told.

use std::sync::Arc;

use careful::progress::Snapshot;
use careful::protocol::entry::is_staging_name;
use careful::protocol::failure::Failure;
use careful::protocol::receipt::{Origin, ReceiptFile};
use careful::protocol::sending::Repairs;
use careful::send::Ended;

use super::base::Files;
use super::told::Words;
use super::{Care, Cost, last_component};
use crate::ladder::{Copied, Level};
use crate::matrix::report::Layer;
use crate::plan::{Checksum, Fault, Fired, Place, Plan, Side};

/// What one run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The plan, with what fired.
    pub plan: Arc<Plan>,
    /// The checks that were made.
    pub care: Care,
    /// How the sender ended; nothing if one of the halves did not end in time.
    pub ended: Option<Ending>,
    /// What it cost, from the first packet to the last.
    pub cost: Cost,
    /// The sender's books.
    pub counters: Snapshot,
    /// Lines for the person that are no failure.
    pub notices: Vec<String>,
    words: Words,
    trees: Trees,
}

/// What the sender said in the end.
#[derive(Debug)]
pub enum Ending {
    /// `careful`; what became of each file was told on the way.
    Careful(Ended),
    /// A baseline.
    Baseline(Copied),
}

/// Source and target.
#[derive(Debug)]
pub(super) struct Trees {
    pub(super) before: [Files; 2],
    /// The source may be another one, too: the plan can have somebody change it.
    pub(super) after: [Files; 2],
}

/// What became of one file. Everything but [`Verdict::SilentlyWrong`] and [`Verdict::Broken`] keeps the promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A receipt, and the target is what the source is.
    Right,
    /// Named as failed, no receipt; the target is what it was before, or absent as before.
    RefusedAndKept(Failure),
    /// Named as failed, no receipt; the target is the complete new file all the same.
    RefusedAndRight(Failure),
    /// A receipt, and the target is something else: the one thing that must not be.
    SilentlyWrong,
    /// Anything else; says what.
    Broken(String),
}

impl Outcome {
    /// Of a run under this plan.
    pub(super) fn new(
        plan: Arc<Plan>,
        care: Care,
        (ended, cost): (Option<Ending>, Cost),
        counters: Snapshot,
        mut words: Words,
        trees: Trees,
    ) -> Self {
        let notices = std::mem::take(&mut words.notices);
        Self { plan, care, ended, cost, counters, notices, words, trees }
    }

    /// What became of a file of the source.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Verdict {
        let target = self.trees.after[1].get(name);
        // Of a source that somebody changed either version is right, and no mix.
        let is_right = [&self.trees.before, &self.trees.after].iter().any(|trees| trees[0].get(name) == target);
        let is_kept = target == self.trees.before[1].get(name);
        if let Some(Ending::Baseline(copied)) = &self.ended {
            return verdict_of_baseline(copied, name, is_right);
        }
        match (self.words.receipts.get(name), self.words.failures.get(name)) {
            (Some(receipt), _) if self.claims_too_much(receipt) => {
                Verdict::Broken(format!("the receipt claims a check that was switched off: {:?}", receipt.proof))
            }
            (Some(_), Some(failure)) => Verdict::Broken(format!("both a receipt and a failure: {failure}")),
            (Some(receipt), None) if is_right => self.judge_receipt(receipt, name),
            (Some(_), None) => Verdict::SilentlyWrong,
            (None, Some(failure)) if is_right => Verdict::RefusedAndRight(*failure),
            (None, Some(failure)) if is_kept => Verdict::RefusedAndKept(*failure),
            (None, Some(failure)) => Verdict::Broken(format!("neither old nor new under the name: {failure}")),
            (None, None) => Verdict::Broken(format!("no word about it; the sender ended with {:?}", self.ended)),
        }
    }

    fn claims_too_much(&self, receipt: &ReceiptFile) -> bool {
        let Care::Careful { origin, stored } = self.care else { return false };
        // After an alarm the source is read twice past its cache, asked for or not, and the word is earned.
        let may_be_reread = self.counters.repaired != Repairs::default();
        let most = if may_be_reread { origin.max(Origin::Reread) } else { origin };
        // What a second connection finds committed is read back past the cache before it is called equal.
        let may_be_read_back = !self.notices.is_empty();
        receipt.proof.origin > most || (receipt.proof.stored > stored && !may_be_read_back)
    }

    /// Whether the receipt says what lies there. The judge's root is computed without the program's own code.
    fn judge_receipt(&self, receipt: &ReceiptFile, name: &str) -> Verdict {
        let bytes = &self.trees.after[1][name];
        if receipt.root == *blake3::hash(bytes).as_bytes() && receipt.length_bytes == bytes.len() as u64 {
            Verdict::Right
        } else {
            Verdict::Broken(format!("the receipt names another content: {receipt:?}"))
        }
    }

    /// Whether the sender said that everything is done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.ended {
            Some(Ending::Careful(ended)) => matches!(ended, Ended::Complete),
            Some(Ending::Baseline(copied)) => copied.failed.is_empty(),
            None => false,
        }
    }

    /// Why this was named as failed, if it was: a directory, too.
    #[must_use]
    pub fn failure(&self, name: &str) -> Option<Failure> {
        self.words.failures.get(name).copied()
    }

    /// Staging files that are left.
    #[must_use]
    pub fn staging_files(&self) -> usize {
        self.trees.after[1].keys().filter(|path| is_staging_name(last_component(path).as_bytes())).count()
    }

    /// Which layer threw a struck packet away or broke off over a struck message, if there was one.
    #[must_use]
    pub fn caught_in_transit(&self) -> Layer {
        // A sum of words does not see their order: that passes the checksum that was kept.
        let is_in_sum = |fault: Fault| !matches!(fault, Fault::SwapWords { .. });
        let is_damage = |fault: Fault| fault.is_of_content() || matches!(fault, Fault::Truncate { .. });
        for fired in self.plan.fired() {
            match fired.entry.place {
                Place::Packet { checksum: Checksum::Kept, .. }
                    if is_damage(fired.entry.fault) && is_in_sum(fired.entry.fault) =>
                {
                    return Layer::UdpChecksum;
                }
                // Plain UDP has nothing that could notice.
                Place::Packet { .. } if is_damage(fired.entry.fault) && self.care != Care::Baseline(Level::L0) => {
                    return Layer::Aead;
                }
                // The one thing that the sender tells of without a failure is that it connects again.
                Place::Message { .. } if !self.notices.is_empty() || !self.is_complete() => return Layer::CommitCheck,
                _ => {}
            }
        }
        Layer::Nobody
    }

    /// What became of every file of the source, by its name.
    #[must_use]
    pub fn verdicts(&self) -> Vec<(&str, Verdict)> {
        self.trees.before[0].keys().map(|name| (name.as_str(), self.verdict(name))).collect()
    }

    /// Whether every file is right and has its receipt, and nothing is left over.
    #[must_use]
    pub fn is_all_right(&self) -> bool {
        self.is_complete()
            && self.staging_files() == 0
            && self.verdicts().iter().all(|(_, verdict)| *verdict == Verdict::Right)
    }

    /// Every promise that this run broke, in words; see `DESIGN.md`, section 1. A run that ended early owes no word on each
    /// file, but what it leaves must be right.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.ended.is_none() {
            broken.push(format!("it did not end within {} seconds", super::LIMIT.as_secs()));
        }
        for (name, verdict) in self.verdicts() {
            match verdict {
                Verdict::SilentlyWrong => broken.push(format!("{name}: silently wrong")),
                Verdict::Broken(_) if self.is_untold(name) => {}
                Verdict::Broken(what) => broken.push(format!("{name}: {what}")),
                Verdict::Right | Verdict::RefusedAndKept(_) | Verdict::RefusedAndRight(_) => {}
            }
        }
        let unknown = self.strays().into_iter().filter(|path| !self.is_misnamed_in_transit(path));
        broken.extend(unknown.map(|path| format!("{path}: nobody sent that")));
        if self.staging_files() > self.trees.before[0].len() {
            broken.push("more staging files than files are left".to_owned());
        }
        if self.is_complete() && self.staging_files() > self.words.failures.len() {
            broken.push("a staging file is left of a file that did not fail".to_owned());
        }
        broken
    }

    /// Files in the target under names that nobody sent and that were not there before; staging files are none.
    #[must_use]
    pub fn strays(&self) -> Vec<&str> {
        let known = |path: &&str| {
            let is_staging = is_staging_name(last_component(path).as_bytes());
            is_staging || self.trees.before.iter().any(|files| files.contains_key(*path))
        };
        self.trees.after[1].keys().map(String::as_str).filter(|path| !known(path)).collect()
    }

    /// A gateway that both sides trust can write another name into an offer, and the receiver cannot know which one was
    /// meant: what it then commits lies under a name that nobody sent. That is no false claim as long as the sender takes
    /// no receipt for that name; what the sender says of the file that it did send is judged by itself.
    fn is_misnamed_in_transit(&self, path: &str) -> bool {
        let is_control = |fired: &Fired| matches!(fired.entry.place, Place::Message { from: Side::Sender, .. });
        self.plan.fired().iter().any(is_control) && !self.words.receipts.contains_key(path)
    }

    /// Nothing was said of the file, rightly: the whole ended in an error, and old or new lies there.
    fn is_untold(&self, name: &str) -> bool {
        let target = self.trees.after[1].get(name);
        let is_old = target == self.trees.before[1].get(name);
        let is_new = target == self.trees.before[0].get(name);
        let no_word = !self.words.receipts.contains_key(name) && !self.words.failures.contains_key(name);
        let no_source = self.words.failures.keys().any(|path| !self.trees.before[0].contains_key(path));
        no_word && (is_old || is_new) && (!self.is_complete() || no_source)
    }

    /// Fails unless every fault of the plan had an effect.
    ///
    /// # Panics
    /// With the line that replays the run.
    #[track_caller]
    pub fn assert_fired(&self) {
        let missing: Vec<String> = self.plan.not_fired().iter().map(ToString::to_string).collect();
        assert!(missing.is_empty(), "never took effect: {missing:?}\nreplay: {}", self.plan);
    }

    /// Fails unless every fault fired and every file is right and has its receipt.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_all_right(&self) {
        self.assert_fired();
        for name in self.trees.before[0].keys() {
            self.assert_verdict(name, &Verdict::Right);
        }
        assert!(self.is_complete(), "{:?}\nreplay: {}", self.ended, self.plan);
        assert_eq!(self.staging_files(), 0, "a staging file is left\nreplay: {}", self.plan);
    }

    /// Fails unless this became of the file.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_verdict(&self, name: &str, expected: &Verdict) {
        assert_eq!(self.verdict(name), *expected, "{name}\nreplay: {}", self.plan);
    }

    /// Fails unless every fault fired and exactly this file is wrong under its name with a receipt that says it is right:
    /// the positive control of a check that is switched off.
    ///
    /// # Panics
    /// As above.
    #[track_caller]
    pub fn assert_silently_wrong(&self, name: &str) {
        self.assert_fired();
        for other in self.trees.before[0].keys() {
            let expected = if other == name { Verdict::SilentlyWrong } else { Verdict::Right };
            self.assert_verdict(other, &expected);
        }
    }
}

/// A baseline knows of no failure but its own errors.
fn verdict_of_baseline(copied: &Copied, name: &str, is_right: bool) -> Verdict {
    let is_delivered = copied.delivered.iter().any(|delivered| delivered == name);
    match (is_delivered, is_right) {
        (true, true) => Verdict::Right,
        (true, false) => Verdict::SilentlyWrong,
        (false, true) => Verdict::RefusedAndRight(Failure::TargetIo),
        (false, false) => Verdict::RefusedAndKept(Failure::TargetIo),
    }
}
