//! What must come of a pipeline: worked out by plain loops, one item after another.

use super::drawn::{Drawn, End, Failing, Policy, Stage, StageKind};
use super::item::{Fate, Item};
use super::service::{Notes, fallback_fate, fallback_of};
use std::collections::HashSet;

/// What only the run knows, as it depends on its order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) shed: &'a HashSet<u64>,
    /// One for each stage, and one for the end.
    pub(super) notes: &'a [Notes],
}

/// What must come of the items.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// In the order of the source.
    pub(super) stored: Vec<Item>,
    /// Of each side branch, from the source on.
    pub(super) sides: Vec<Vec<Item>>,
    /// With the number of the stage (one past the last is the end) and of attempts.
    pub(super) dead: Vec<(usize, Item, u32)>,
    pub(super) skipped: u64,
    /// Attempts beyond the first of each item.
    pub(super) retried: u64,
    /// Items that a fallback answered for.
    pub(super) fell_back: u64,
    pub(super) filtered: u64,
    /// Failures of each stage, and of the end; of the source last.
    pub(super) failures: Vec<u64>,
}

impl Expected {
    /// Of the first `items` of the source, of which some were shed, and some went to a fallback.
    pub(super) fn of(drawn: &Drawn, items: u64, told: Told<'_>) -> Self {
        let ends = drawn.stages.len();
        let mut expected =
            Expected { failures: vec![0; ends + 2], sides: vec![Vec::new(); ends], ..Expected::default() };
        for position in (0..items).filter(|position| !told.shed.contains(position)) {
            let item = Item::new(position);
            if source_fails(drawn, item) {
                expected.failures[ends + 1] += 1;
                expected.skipped += 1;
            } else {
                expected.pass(drawn, told, 0, item);
            }
        }
        expected
    }

    /// Whether some stage must have stopped the run.
    pub(super) fn aborts(&self, drawn: &Drawn) -> bool {
        (0..=drawn.stages.len())
            .any(|at| failing(drawn, at).is_some_and(|failing| self.failures[at] > limit(failing.policy)))
    }

    fn pass(&mut self, drawn: &Drawn, told: Told<'_>, at: usize, item: Item) {
        let Some(Stage { salt, kind }) = drawn.stages.get(at) else {
            return self.end(drawn, told, item);
        };
        match kind {
            StageKind::Map | StageKind::Blocking(_) | StageKind::State => {
                self.pass(drawn, told, at + 1, item.changed(*salt));
            }
            StageKind::Batch(_) | StageKind::BatchWithin(_) => self.pass(drawn, told, at + 1, item),
            StageKind::Filter(out_of) if item.die(*salt) < *out_of => self.filtered += 1,
            StageKind::Filter(_) => self.pass(drawn, told, at + 1, item),
            StageKind::TryMap(failing) | StageKind::TryBlocking(_, failing) => {
                if let Some(made) = self.attempt(at, item, *salt, failing, &told.notes[at]) {
                    self.pass(drawn, told, at + 1, made);
                }
            }
            StageKind::Expand => {
                let before = item.expanded(*salt).count();
                self.filtered += u64::from(before == 0);
                item.expanded(*salt).for_each(|part| self.pass(drawn, told, at + 1, part));
            }
            StageKind::Broadcast => {
                self.sides[at].push(item);
                self.pass(drawn, told, at + 1, item);
            }
            StageKind::Route(out_of) if item.die(*salt) < *out_of => self.sides[at].push(item),
            StageKind::Route(_) => self.pass(drawn, told, at + 1, item),
        }
    }

    fn end(&mut self, drawn: &Drawn, told: Told<'_>, item: Item) {
        let at = drawn.stages.len();
        match &drawn.end {
            End::Waiting(salt, failing) if self.attempt(at, item, *salt, failing, &told.notes[at]).is_none() => {}
            End::Memory | End::Waiting(..) => self.stored.push(item),
        }
    }

    /// What is made of the item, sooner or later.
    fn attempt(&mut self, at: usize, item: Item, salt: u64, failing: &Failing, notes: &Notes) -> Option<Item> {
        let asked_after = notes.asked_after(&item);
        let mut attempt = 1;
        loop {
            if asked_after == Some(attempt - 1) {
                return self.fall_back(at, item, salt, failing, attempt);
            }
            self.retried += u64::from(attempt > 1);
            let again = match item.fate(salt, attempt, failing.rates) {
                Fate::Passes => return Some(item.changed(salt)),
                Fate::Fails => true,
                Fate::Panics => failing.after_panics,
            };
            if !again || attempt == failing.attempts {
                self.fail(at, item, failing.policy, attempt);
                return None;
            }
            attempt += 1;
        }
    }

    /// What the fallback makes of it: asked once, whatever it comes to.
    fn fall_back(&mut self, at: usize, item: Item, salt: u64, failing: &Failing, attempt: u32) -> Option<Item> {
        let passes = fallback_fate(item, salt) == Fate::Passes;
        if passes {
            self.fell_back += 1;
        } else {
            self.fail(at, item, failing.policy, attempt);
        }
        passes.then(|| fallback_of(item, salt))
    }

    fn fail(&mut self, at: usize, item: Item, policy: Policy, attempts: u32) {
        self.failures[at] += 1;
        match policy {
            Policy::Dead => self.dead.push((at, item, attempts)),
            Policy::Skip | Policy::Collect | Policy::AtMost(_) => self.skipped += 1,
            Policy::Abort => {}
        }
    }
}

/// How a stage fails, if it does.
fn failing(drawn: &Drawn, at: usize) -> Option<&Failing> {
    match drawn.stages.get(at).map(|stage| &stage.kind) {
        Some(StageKind::TryMap(failing) | StageKind::TryBlocking(_, failing)) => Some(failing),
        Some(_) => None,
        None => match &drawn.end {
            End::Memory => None,
            End::Waiting(_, failing) => Some(failing),
        },
    }
}

fn limit(policy: Policy) -> u64 {
    match policy {
        Policy::Abort => 0,
        Policy::AtMost(failures) => failures,
        Policy::Skip | Policy::Collect | Policy::Dead => u64::MAX,
    }
}

/// Whether the source fails at an item.
pub(super) fn source_fails(drawn: &Drawn, item: Item) -> bool {
    item.die(drawn.seed) < drawn.source_failures
}
