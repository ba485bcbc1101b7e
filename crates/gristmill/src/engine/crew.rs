//! How many workers of a run are awake, and the hand-over that never loses a wake-up.
//!
//! A run's CPU stages are worked on by up to `max` tasks on the rayon pool. A worker looks for a step to do, does it,
//! and looks again; when it finds nothing it *retires*, and its pool thread is free for others. Whoever makes work
//! available *raises* a hand, which may start a worker.
//!
//! # Protocol
//!
//! One atomic word holds two numbers: how many workers are active, and how often a hand was raised.
//!
//! 1. Whoever makes work available makes it visible first (under the lock of its queue), then calls [`Crew::raise`].
//!    It adds one to the raises and, if fewer than `max` are active, one to the active: then the caller must start a
//!    worker.
//! 2. A worker reads [`Crew::seen`] *before* it looks around.
//! 3. If it found nothing it calls [`Crew::retire`] with that number. It may go only if nobody raised a hand since; if
//!    somebody did, it looks again.
//!
//! # Invariants
//!
//! - Work that is visible when a hand is raised is looked at by somebody after that moment: by a worker that was
//!   started, or, if all `max` were active, by each of them, as none can retire without a look that began after it.
//! - At most `max` workers are active.
//!
//! # The race that almost was
//!
//! With a plain counter, a worker that has just looked in vain and is about to go still counts as active; work that
//! arrives in that gap sees `max` active workers, starts nobody, and waits for ever. Folding the raises into the same
//! word makes "nothing was raised since I looked" and "one fewer is active" a single step. The raises wrap after 2³²;
//! a worker would have to sleep through exactly that many between two instructions to be fooled.

use super::sync::{AtomicU64, Ordering};

const ACTIVE: u64 = 1 << 32;

#[derive(Debug)]
pub(crate) struct Crew {
    max: u64,
    /// Active workers in the high half, raises in the low half.
    word: AtomicU64,
}

impl Crew {
    pub(crate) fn new(max: usize) -> Self {
        Crew { max: max as u64, word: AtomicU64::new(0) }
    }

    /// The most workers that may be active at once.
    pub(crate) fn max(&self) -> usize {
        self.max as usize
    }

    /// How many workers are active.
    pub(crate) fn active(&self) -> usize {
        (self.word.load(Ordering::Acquire) / ACTIVE) as usize
    }

    /// Says that there is work to look at. When it returns true, the caller must start a worker.
    pub(crate) fn raise(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let starts = word / ACTIVE < self.max;
            let raised = (word & !(ACTIVE - 1)) | u64::from((word as u32).wrapping_add(1));
            let next = if starts { raised + ACTIVE } else { raised };
            // Release: a worker whose retire fails because of this raise must see the work made visible before it.
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return starts,
                Err(now) => word = now,
            }
        }
    }

    /// The number of raises so far, to be read before looking for work.
    pub(crate) fn seen(&self) -> u32 {
        self.word.load(Ordering::Acquire) as u32
    }

    /// Ends this worker unless a hand was raised since `seen`; then it returns false and the worker looks again.
    pub(crate) fn retire(&self, seen: u32) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word as u32 != seen {
                return false;
            }
            match self.word.compare_exchange_weak(word, word - ACTIVE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Ends this worker whatever happened: only for a run that is stopping.
    pub(crate) fn leave(&self) {
        self.word.fetch_sub(ACTIVE, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_raise_starts_a_worker_while_fewer_than_all_are_active() {
        let crew = Crew::new(2);
        assert_eq!((crew.max(), crew.active()), (2, 0));
        assert_eq!([crew.raise(), crew.raise(), crew.raise()], [true, true, false]);
        assert_eq!((crew.active(), crew.seen()), (2, 3));
    }

    #[test]
    fn a_worker_may_go_only_if_nobody_raised_a_hand_since_it_looked() {
        let crew = Crew::new(1);
        assert!(crew.raise());
        let seen = crew.seen();
        assert!(!crew.raise());
        assert!(!crew.retire(seen));
        assert_eq!(crew.active(), 1);
        assert!(crew.retire(crew.seen()));
        assert_eq!((crew.active(), crew.seen()), (0, 2), "who goes raises nothing");
    }

    #[test]
    fn who_leaves_asks_nobody() {
        let crew = Crew::new(2);
        assert!(crew.raise() && crew.raise());
        crew.leave();
        assert_eq!((crew.active(), crew.seen()), (1, 2));
    }

    #[test]
    fn raises_wrap_and_leave_the_active_alone() {
        let crew = Crew { max: 1, word: AtomicU64::new(ACTIVE - 1) };
        assert_eq!((crew.active(), crew.seen()), (0, u32::MAX));
        assert!(crew.raise());
        assert_eq!((crew.active(), crew.seen()), (1, 0));
        assert!(crew.retire(0));
    }
}
