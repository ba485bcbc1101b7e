//! What must come of a pipeline: worked out by plain loops, one item after another.

use super::drawn::{Drawn, End, Failing, Policy, Stage, StageKind};
use super::item::{Fate, Item};
use std::collections::HashSet;

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
    pub(super) filtered: u64,
    /// Failures of each stage, and of the end; of the source last.
    pub(super) failures: Vec<u64>,
}

impl Expected {
    /// Of the first `items` of the source, of which some were shed.
    pub(super) fn of(drawn: &Drawn, items: u64, shed: &HashSet<u64>) -> Self {
        let ends = drawn.stages.len();
        let mut expected =
            Expected { failures: vec![0; ends + 2], sides: vec![Vec::new(); ends], ..Expected::default() };
        for position in (0..items).filter(|position| !shed.contains(position)) {
            let item = Item::new(position);
            if source_fails(drawn, item) {
                expected.failures[ends + 1] += 1;
                expected.skipped += 1;
            } else {
                expected.pass(drawn, 0, item);
            }
        }
        expected
    }

    /// Whether some stage must have stopped the run.
    pub(super) fn aborts(&self, drawn: &Drawn) -> bool {
        (0..=drawn.stages.len())
            .any(|at| failing(drawn, at).is_some_and(|failing| self.failures[at] > limit(failing.policy)))
    }

    fn pass(&mut self, drawn: &Drawn, at: usize, item: Item) {
        let Some(Stage { salt, kind }) = drawn.stages.get(at) else {
            return self.end(drawn, item);
        };
        match kind {
            StageKind::Map | StageKind::Blocking(_) | StageKind::State => self.pass(drawn, at + 1, item.changed(*salt)),
            StageKind::Batch(_) | StageKind::BatchWithin(_) => self.pass(drawn, at + 1, item),
            StageKind::Filter(out_of) if item.die(*salt) < *out_of => self.filtered += 1,
            StageKind::Filter(_) => self.pass(drawn, at + 1, item),
            StageKind::TryMap(failing) | StageKind::TryBlocking(_, failing) => {
                if self.attempt(at, item, *salt, failing) {
                    self.pass(drawn, at + 1, item.changed(*salt));
                }
            }
            StageKind::Expand => {
                let before = item.expanded(*salt).count();
                self.filtered += u64::from(before == 0);
                item.expanded(*salt).for_each(|part| self.pass(drawn, at + 1, part));
            }
            StageKind::Broadcast => {
                self.sides[at].push(item);
                self.pass(drawn, at + 1, item);
            }
            StageKind::Route(out_of) if item.die(*salt) < *out_of => self.sides[at].push(item),
            StageKind::Route(_) => self.pass(drawn, at + 1, item),
        }
    }

    fn end(&mut self, drawn: &Drawn, item: Item) {
        match &drawn.end {
            End::Waiting(salt, failing) if !self.attempt(drawn.stages.len(), item, *salt, failing) => {}
            End::Memory | End::Waiting(..) => self.stored.push(item),
        }
    }

    /// Whether the item passes, sooner or later.
    fn attempt(&mut self, at: usize, item: Item, salt: u64, failing: &Failing) -> bool {
        let mut attempt = 1;
        loop {
            let again = match item.fate(salt, attempt, failing.rates) {
                Fate::Passes => return true,
                Fate::Fails => true,
                Fate::Panics => failing.after_panics,
            };
            if !again || attempt == failing.attempts {
                self.fail(at, item, failing.policy, attempt);
                return false;
            }
            self.retried += 1;
            attempt += 1;
        }
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
