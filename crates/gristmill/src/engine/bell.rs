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
    use super::super::crew::Crew;
    use super::super::gate::Gate;
    use super::super::pace::Pace;
    use super::super::{Clock, Driver, Engine, Hands};
    use super::*;
    use crate::CancelToken;
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

    /// What a run of one worker shares, with room for one morsel.
    fn shared(clock: Clock) -> Arc<Shared> {
        let (gate, crew, pace) = (Gate::new(1, None), Crew::new(1), Pace::new(None));
        Arc::new(Shared::new(gate, crew, pace, CancelToken::new(), Duration::from_millis(1), clock))
    }

    #[test]
    fn a_call_rings_for_the_threads_of_the_stage_or_has_workers_look() {
        let (shared, bell) = (shared(Clock::simulated(1)), Arc::new(Bell::new()));
        Caller::new(Arc::clone(&shared), Some(Arc::clone(&bell))).call();
        assert_eq!((bell.seen(), shared.take_call()), (1, false));
        Caller::new(Arc::clone(&shared), None).call();
        assert_eq!((bell.seen(), shared.take_call()), (1, true));
    }

    #[test]
    fn the_time_of_a_call_means_the_same_to_all_runs() {
        let caller = Caller::new(shared(Clock::real()), None);
        // A clock that is made now began now.
        let now = || Clock::real().began();
        while now() < 1_000 {}
        let (before, time, after) = (now(), caller.now(), now());
        assert!(before <= time && time <= after, "{before} {time} {after}");
    }

    #[test]
    fn who_settles_wakes_a_worker_for_a_return_for_a_call_and_for_both_at_once() {
        for (returned, called) in [(false, false), (true, false), (false, true), (true, true)] {
            let shared = shared(Clock::real());
            let engine =
                Arc::new(Engine { shared: Arc::clone(&shared), nodes: Vec::new(), quiet: Vec::new(), watchdog: None });
            let raised = rayon::in_place_scope(|scope| {
                if returned {
                    let (slot, _) = shared.gate.enter().unwrap();
                    assert!(shared.gate.enter().is_err(), "there is room for one");
                    drop(slot);
                }
                if called {
                    shared.call_workers();
                }
                Driver { hands: Hands::Pool { scope, is_worker: false }, engine: &engine }.settle();
                shared.crew.seen()
            });
            assert_eq!(raised, u32::from(returned || called), "returned {returned}, called {called}");
        }
    }
}
