//! The state of a run that everybody sees and nobody owns.

use super::clock::Clock;
use super::crew::Crew;
use super::gate::Gate;
use super::pace::Pace;
use super::watch::Watch;
use crate::cancel::CancelToken;
use crate::chunk::MappedBytes;
use crate::error::{Error, ErrorKind};
use crate::random::Draws;
use crate::report::{Failure, StageCell};
use crate::store::Outcome;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Details kept of items that failed under [`OnError::collect`](crate::OnError::collect).
const KEPT_FAILURES: usize = 1_000;

/// The run is looked after at least this often.
pub(crate) const LONGEST_TICK: Duration = Duration::from_millis(10);

/// Nobody waits longer than this without looking around: a clock cannot add up any number of years.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) crew: Crew,
    pub(crate) pace: Pace,
    pub(crate) cancel: CancelToken,
    pub(crate) random: Draws,
    pub(crate) flush_interval: Duration,
    pub(crate) clock: Clock,
    /// Items dropped with their morsel.
    pub(crate) lost: AtomicU64,
    /// In the order of the pipeline; set when the run begins.
    pub(crate) stages: OnceLock<Vec<Arc<StageCell>>>,
    /// Those of the sources that have any; set while the run is planned.
    pub(crate) mapped: Mutex<Vec<MappedBytes>>,
    /// Where the run goes on, if it does; set while it is planned.
    pub(crate) resumed_at: OnceLock<u64>,
    /// Counts flush intervals: a clock that costs one relaxed load.
    pub(crate) ticks: AtomicU64,
    /// When the next tick is due, in nanoseconds since the run began.
    next_tick: AtomicU64,
    /// Nanoseconds the run took; zero while it goes on.
    pub(crate) took_nanos: AtomicU64,
    /// When the run began to drain, in nanoseconds since it began; zero before.
    drains_since: AtomicU64,
    /// A drain ended the source before it ran dry.
    drained: AtomicBool,
    drain_deadline: Option<Duration>,
    pub(crate) run_deadline: Option<Duration>,
    pub(crate) watch: Option<Watch>,
    /// The caller of `run` sleeps for longer than a tick, and nobody has hurried him.
    sleeps_long: AtomicBool,
    /// Workers were called to look at what waits for a place.
    called: AtomicBool,
    stopped: AtomicBool,
    error: Mutex<Option<Error>>,
    failures: Mutex<Vec<Failure>>,
    open_ends: Mutex<usize>,
    ended: Condvar,
    closing: Mutex<Closing>,
    closed: Condvar,
}

/// How far the end of the run has come.
#[derive(Debug, Default)]
struct Closing {
    /// Threads that still deal with items.
    at_work: usize,
    /// Every item is dealt with, dead letters too: it is known how the run ends, and stores may be finished.
    decided: Option<Outcome>,
}

impl Shared {
    pub(crate) fn new(
        gate: Arc<Gate>,
        crew: Crew,
        pace: Pace,
        cancel: CancelToken,
        flush_interval: Duration,
        clock: Clock,
    ) -> Self {
        Shared {
            drains_since: AtomicU64::new(0),
            drained: AtomicBool::new(false),
            drain_deadline: None,
            run_deadline: None,
            watch: None,
            gate,
            crew,
            pace,
            cancel,
            random: Draws::new(clock.seed()),
            flush_interval,
            clock,
            lost: AtomicU64::new(0),
            stages: OnceLock::new(),
            mapped: Mutex::new(Vec::new()),
            resumed_at: OnceLock::new(),
            ticks: AtomicU64::new(0),
            next_tick: AtomicU64::new(0),
            took_nanos: AtomicU64::new(0),
            sleeps_long: AtomicBool::new(false),
            called: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            error: Mutex::new(None),
            failures: Mutex::new(Vec::new()),
            open_ends: Mutex::new(0),
            ended: Condvar::new(),
            closing: Mutex::new(Closing::default()),
            closed: Condvar::new(),
        }
    }

    /// One more thread deals with items.
    pub(crate) fn begin_work(&self) {
        self.closing.lock().at_work += 1;
    }

    /// A thread will touch no more items.
    pub(crate) fn end_work(&self) {
        self.closing.lock().at_work -= 1;
        self.closed.notify_all();
    }

    /// How many threads deal with items.
    pub(crate) fn at_work(&self) -> usize {
        self.closing.lock().at_work
    }

    /// Waits until no thread deals with items any more.
    pub(crate) fn wait_for_threads(&self) {
        let mut closing = self.closing.lock();
        while closing.at_work > 0 {
            self.closed.wait(&mut closing);
        }
    }

    /// Decides how the run ends, unless that is decided.
    pub(crate) fn decide(&self) -> Outcome {
        let outcome = *self.closing.lock().decided.get_or_insert(self.outcome());
        self.closed.notify_all();
        outcome
    }

    /// Waits until it is decided how the run ends.
    pub(crate) fn wait_decided(&self) -> Outcome {
        let mut closing = self.closing.lock();
        loop {
            if let Some(outcome) = closing.decided {
                return outcome;
            }
            self.closed.wait(&mut closing);
        }
    }

    /// The run has taken as long as it takes.
    pub(crate) fn stop_clock(&self) {
        self.took_nanos.store(self.now().max(1), Ordering::Release);
    }

    /// Has workers look at what waits for a place. Whoever calls may belong to another run, and so cannot start one: the
    /// next of this run that settles does, and the caller of `run` is woken for it.
    pub(crate) fn call_workers(&self) {
        self.called.store(true, Ordering::Release);
        self.nudge();
    }

    /// Whether workers were called since.
    pub(crate) fn take_call(&self) -> bool {
        self.called.load(Ordering::Relaxed) && self.called.swap(false, Ordering::AcqRel)
    }

    /// How the run would end now.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.is_stopped() { Outcome::Aborted } else { Outcome::Completed }
    }

    /// How often the run is looked after.
    pub(crate) fn tick_interval(&self) -> Duration {
        self.flush_interval.clamp(Duration::from_micros(100), LONGEST_TICK)
    }

    /// Whether a tick is due; who is told so does it.
    pub(crate) fn take_tick(&self) -> bool {
        self.take_tick_at(self.now())
    }

    /// The same, for who has looked at the clock.
    pub(crate) fn take_tick_at(&self, now: u64) -> bool {
        let due = self.next_tick.load(Ordering::Relaxed);
        let next = now + self.tick_interval().as_nanos() as u64;
        now >= due && self.next_tick.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Says whether the caller of `run` sleeps for longer than a tick, so that one who is in a hurry wakes him.
    pub(crate) fn may_be_hurried(&self, is_asleep: bool) {
        self.sleeps_long.store(is_asleep, Ordering::Relaxed);
    }

    /// Something begins to wait for a time: the next tick must not be late. If the caller of `run` is just about to sleep it
    /// is, by as much as he sleeps at most.
    pub(crate) fn hurry(&self) {
        if self.sleeps_long.load(Ordering::Relaxed) && self.sleeps_long.swap(false, Ordering::Relaxed) {
            self.nudge();
        }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Whether the run is aborted: what is in flight is dropped.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Bounds how long a drain may take, and has what is under way watched.
    pub(crate) fn limited(mut self, drain_deadline: Option<Duration>, watch: Option<Watch>) -> Self {
        (self.drain_deadline, self.watch) = (drain_deadline, watch);
        self
    }

    /// Whether sources should end; a token that was cancelled stops the run here and now.
    ///
    /// The token is asked for the drain first: were it the other way round, a cancellation that comes between the two
    /// questions would end the source as a drain does, and a run that was cancelled could return `Ok`.
    pub(crate) fn is_draining(&self) -> bool {
        let is_draining = self.cancel.is_draining();
        if is_draining {
            self.heed_cancel();
        }
        is_draining
    }

    /// A source that had not run dry was ended, as the run drains.
    pub(crate) fn note_drained(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    /// Whether a drain ended the source before it ran dry.
    pub(crate) fn was_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Aborts a run that takes too long.
    pub(crate) fn heed_run_deadline(&self) {
        let Some(limit) = self.run_deadline else { return };
        if u128::from(self.now()) >= limit.as_nanos() && !self.is_over() {
            self.abort(Error::new(ErrorKind::RunDeadline { limit }));
        }
    }

    /// Aborts a run that drains for too long.
    pub(crate) fn heed_drain_deadline(&self) {
        let Some(limit) = self.drain_deadline else { return };
        if !self.cancel.is_draining() || self.is_over() {
            return;
        }
        let now = self.now().max(1);
        let since = match self.drains_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        };
        if u128::from(now.saturating_sub(since)) >= limit.as_nanos() {
            self.abort(Error::new(ErrorKind::DrainDeadline { limit }));
        }
    }

    /// Stops the run; the first error wins.
    pub(crate) fn abort(&self, error: Error) {
        let mut first = self.error.lock();
        if first.is_none() {
            *first = Some(error);
        }
        drop(first);
        self.stopped.store(true, Ordering::Release);
        self.gate.stop();
        drop(self.open_ends.lock());
        self.ended.notify_all();
    }

    /// Turns a cancelled token into a stop, unless everything was dealt with.
    pub(crate) fn heed_cancel(&self) {
        if self.cancel.is_cancelled() && !self.is_over() {
            self.abort(Error::new(ErrorKind::Cancelled));
        }
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        self.error.lock().take()
    }

    pub(crate) fn note_failure(&self, failure: Failure) {
        let mut failures = self.failures.lock();
        if failures.len() < KEPT_FAILURES {
            failures.push(failure);
        }
    }

    /// What has failed, from the source's first item on.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        let mut failures = self.failures.lock().clone();
        failures.sort_by_key(|failure| failure.position);
        failures
    }

    /// One more branch must end before the run has.
    pub(crate) fn open_end(&self) {
        *self.open_ends.lock() += 1;
    }

    /// A branch has ended.
    pub(crate) fn end(&self) {
        let mut open = self.open_ends.lock();
        *open -= 1;
        if *open == 0 {
            self.ended.notify_all();
        }
    }

    /// Whether every branch has ended, or the run was stopped.
    pub(crate) fn is_over(&self) -> bool {
        *self.open_ends.lock() == 0 || self.is_stopped()
    }

    /// Lets whoever waits in [`wait_over`](Shared::wait_over) look after the run at once.
    pub(crate) fn nudge(&self) {
        drop(self.open_ends.lock());
        self.ended.notify_all();
    }

    /// Waits until the run is over, for `limit` at most.
    pub(crate) fn wait_over(&self, limit: Duration) -> bool {
        let mut open = self.open_ends.lock();
        if *open > 0 && !self.is_stopped() {
            self.ended.wait_for(&mut open, limit);
        }
        *open == 0 || self.is_stopped()
    }

    /// Waits, on a thread that is a stage's own, unless the run is stopped first.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = self.now().saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        self.expect(until);
        while !self.is_stopped() {
            let left = until.saturating_sub(self.now());
            if left == 0 {
                return;
            }
            if self.clock.is_virtual() {
                self.clock.advance(left);
                return;
            }
            self.wait_over(Duration::from_nanos(left).min(LONGEST_WAIT));
        }
    }
}

#[cfg(test)]
impl Shared {
    /// What a run of one worker shares, with a window of eight morsels and a virtual clock.
    pub(crate) fn small(token: CancelToken) -> Self {
        let (gate, crew, pace) = (Gate::new(8, None), Crew::new(1), Pace::new(None));
        Shared::new(gate, crew, pace, token, Duration::from_millis(1), Clock::simulated(1))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn shared(token: CancelToken, open_ends: usize) -> Shared {
        let shared = Shared::small(token);
        (0..open_ends).for_each(|_| shared.open_end());
        shared
    }

    #[test]
    fn who_is_in_a_hurry_wakes_one_who_sleeps_for_long_and_nobody_else() {
        let shared = shared(CancelToken::new(), 1);
        shared.hurry();
        assert!(!shared.wait_over(Duration::ZERO), "the run goes on");
        let limit = Duration::from_secs(60);
        std::thread::scope(|scope| {
            let began = std::time::Instant::now();
            let sleeper = scope.spawn(|| shared.wait_over(limit));
            while !sleeper.is_finished() {
                // Lost if he does not sleep yet.
                shared.may_be_hurried(true);
                shared.hurry();
                assert!(!shared.sleeps_long.load(Ordering::Relaxed), "one wake-up is enough");
                std::thread::yield_now();
            }
            assert!(!sleeper.join().expect("nothing panics") && began.elapsed() < limit);
        });
    }

    #[test]
    fn a_drain_that_has_ended_is_not_aborted_for_its_deadline() {
        for (open_ends, outcome) in [(1, Outcome::Aborted), (0, Outcome::Completed)] {
            let token = CancelToken::new();
            token.drain();
            let shared = shared(token, open_ends).limited(Some(Duration::ZERO), None);
            shared.heed_drain_deadline();
            assert_eq!(shared.outcome(), outcome);
        }
    }
}
