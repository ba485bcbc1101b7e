//! How threads sleep until there is something to look at: a count of rings.
//!
//! # Protocol
//!
//! 1. Whoever makes something available makes it visible first, then [rings](Bell::ring).
//! 2. A thread reads [`Bell::seen`] *before* it looks around. If it found nothing it waits with that number: it sleeps only
//!    if nobody has rung since.
//!
//! The count is changed and compared under one lock, so no ring falls between the comparison and the sleep. A bell belongs to
//! nobody's data: a stage of another run, which shares a limit with this one, can ring it.

use super::Shared;
use super::sync::{AtomicU64, Condvar, Mutex, Ordering};
use crate::places::Called;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Bell {
    rings: AtomicU64,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Bell { rings: AtomicU64::new(0), lock: Mutex::new(()), rung: Condvar::new() }
    }

    /// How often it was rung, to be read before looking around.
    pub(crate) fn seen(&self) -> u64 {
        self.rings.load(Ordering::Acquire)
    }

    /// Wakes so many threads of those that sleep.
    pub(crate) fn ring(&self, threads: usize) {
        let lock = self.lock.lock();
        self.rings.fetch_add(1, Ordering::AcqRel);
        drop(lock);
        (0..threads).for_each(|_| self.rung.notify_one());
    }

    /// Wakes all that sleep.
    pub(crate) fn ring_all(&self) {
        let lock = self.lock.lock();
        self.rings.fetch_add(1, Ordering::AcqRel);
        drop(lock);
        self.rung.notify_all();
    }

    /// Sleeps for `patience` at most, unless it was rung since `seen`.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) {
        let lock = self.lock.lock();
        if self.rings.load(Ordering::Acquire) == seen {
            drop(self.rung.wait_for(lock, patience));
        }
    }
}

/// A stage as a limit sees it: it can be called when it may have a place.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    /// Of its own threads, if it has any.
    bell: Option<Arc<Bell>>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("own_threads", &self.bell.is_some()).finish_non_exhaustive()
    }
}

impl Caller {
    pub(crate) fn new(shared: Arc<Shared>, bell: Option<Arc<Bell>>) -> Self {
        Caller { shared, bell }
    }
}

impl Called for Caller {
    fn call(&self) {
        match &self.bell {
            Some(bell) => bell.ring(1),
            None => self.shared.call_workers(),
        }
    }

    fn now(&self) -> u64 {
        self.shared.clock.began() + self.shared.now()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Longer than any test may take.
    const FOR_EVER: Duration = Duration::from_secs(3_600);

    #[test]
    fn who_was_rung_since_it_looked_does_not_sleep() {
        let bell = Bell::new();
        let seen = bell.seen();
        bell.ring(1);
        bell.wait(seen, FOR_EVER);
        let seen = bell.seen();
        bell.ring_all();
        bell.wait(seen, FOR_EVER);
        assert_eq!(bell.seen(), 2);
    }

    #[test]
    fn who_was_not_rung_sleeps_as_long_as_it_is_patient() {
        let (bell, began) = (Bell::new(), Instant::now());
        bell.wait(bell.seen(), Duration::from_millis(2));
        assert!(began.elapsed() >= Duration::from_millis(2));
    }
}
