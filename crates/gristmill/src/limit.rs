//! How often and how many at once: limits that several stages may share.

use crate::engine::Caller;
use crate::engine::sync::{AtomicU64, Mutex, Ordering};
use crate::places::Places;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// So many attempts a second, with bursts.
///
/// Clones are the same limit: give one to several stages, or keep one to change the rate while the run goes on. An attempt
/// that must wait is put aside, as for a [`Retry`](crate::Retry): no thread sleeps.
///
/// The rate is exact over time, to a nanosecond from one attempt to the next; as what waits is looked after about every
/// millisecond, up to 5 ms' worth of attempts may begin together.
///
/// It is the generic cell rate algorithm (ITU-T I.371), a token bucket in one number: the time at which the bucket will be
/// full again.
///
/// # Examples
///
/// ```
/// use gristmill::{RateLimit, prelude::*};
/// use std::time::{Duration, Instant};
///
/// let limit = RateLimit::per_second(1_000.0).burst(10);
/// let began = Instant::now();
/// let report = Pipeline::extract(0..60u32).map_blocking(4, |item| item).rate_limit(&limit).count().run()?;
/// assert_eq!(report.output, 60);
/// assert!(began.elapsed() >= Duration::from_millis(49)); // 10 at once, then one each millisecond.
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone)]
pub struct RateLimit(Arc<Bucket>);

/// A token bucket.
///
/// # Changing the rate
///
/// At a higher rate a bucket that is empty now is full earlier, so `full_at` must be brought forward, once: who did so
/// each time that he asks would find it empty each time.
///
/// 1. Whoever changes the interval leaves a mark after it (`changed`).
/// 2. Who asks takes the mark away first, and reads the interval then. If there was a mark he brings `full_at` forward.
/// 3. Who has taken a token looks whether the interval is still the one that he went by. If not he leaves the mark again.
///
/// Without the order of step 2 the mark was taken away by one who still went by the old interval, and nobody brought
/// `full_at` forward. Without step 3 one who was slow wrote down the time of the old interval after that was done. Either
/// way who waits did so for as long as the old rate says, which may be hours. `full_at` is only ever changed in one step
/// from what it was, with what was seen handed on: of two changes the later one sees what the earlier one saw.
pub(crate) struct Bucket {
    /// When it will be full, in nanoseconds.
    full_at: AtomicU64,
    /// From one token to the next, in nanoseconds.
    interval: AtomicU64,
    burst: AtomicU64,
    /// One when the rate was changed and nobody has asked since.
    changed: AtomicU64,
}

/// Who waits may be woken so much too late and still have what came meanwhile, in nanoseconds.
const LATE: u64 = 5_000_000;
/// The interval that lets nothing pass.
const CLOSED: u64 = u64::MAX;

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("rate", &self.rate()).finish_non_exhaustive()
    }
}

impl RateLimit {
    /// So many attempts a second, one at a time. Zero, or what is not a number, lets nothing pass until the rate is set
    /// again.
    #[must_use]
    pub fn per_second(rate: f64) -> Self {
        RateLimit(Arc::new(Bucket::new(interval(rate), 1)))
    }

    /// Lets so many attempts pass at once when none have for a while; at least one.
    ///
    /// # Default
    ///
    /// One.
    #[must_use]
    pub fn burst(self, attempts: u32) -> Self {
        self.0.burst.store(u64::from(attempts.max(1)), Ordering::Relaxed);
        self
    }

    /// Changes the rate, for all that share the limit. What waits already feels it within 50 ms.
    pub fn set_rate(&self, rate: f64) {
        self.0.set_interval(interval(rate));
    }

    /// The rate, in attempts a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match self.0.interval.load(Ordering::Relaxed) {
            CLOSED => 0.0,
            interval => 1e9 / interval as f64,
        }
    }

    /// How many attempts could begin, about.
    pub(crate) fn room(&self, now: u64) -> usize {
        self.0.tokens(now)
    }

    pub(crate) fn try_take(&self, since: u64, now: u64) -> Result<(), u64> {
        self.0.try_take_since(since, now)
    }
}

fn interval(rate: f64) -> u64 {
    if rate > 0.0 { ((1e9 / rate) as u64).min(CLOSED - 1) } else { CLOSED }
}

impl Bucket {
    pub(crate) fn new(interval: u64, burst: u64) -> Self {
        Bucket {
            full_at: AtomicU64::new(0),
            interval: AtomicU64::new(interval),
            burst: AtomicU64::new(burst),
            changed: AtomicU64::new(0),
        }
    }

    /// Takes a token for somebody who could have had one `since` then and was not asked, or says when to ask again.
    ///
    /// Who waits is woken by a tick, late. With a small burst the tokens of that time would be lost, and a high rate never
    /// be reached.
    pub(crate) fn try_take_since(&self, since: u64, now: u64) -> Result<(), u64> {
        let mut claim = since.clamp(now.saturating_sub(LATE), now);
        loop {
            match self.try_take(claim) {
                Err(at) if at <= now => claim = at,
                taken => return taken,
            }
        }
    }

    /// How many tokens there are, about, for those who have waited.
    fn tokens(&self, now: u64) -> usize {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == CLOSED {
            return 0;
        }
        let depth = interval.saturating_mul(self.burst.load(Ordering::Relaxed));
        let since = self.full_at.load(Ordering::Relaxed).max(now.saturating_sub(LATE));
        usize::try_from(now.saturating_add(depth).saturating_sub(since) / interval.max(1)).unwrap_or(usize::MAX)
    }

    /// Takes a token, or says when to ask again.
    pub(crate) fn try_take(&self, now: u64) -> Result<(), u64> {
        let changed = self.changed.load(Ordering::Relaxed) == 1 && self.changed.swap(0, Ordering::Acquire) == 1;
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == CLOSED {
            return Err(u64::MAX);
        }
        let depth = interval.saturating_mul(self.burst.load(Ordering::Relaxed));
        if changed {
            self.full_at.fetch_min(now.saturating_add(depth), Ordering::AcqRel);
        }
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(interval);
            let short = next.saturating_sub(now).saturating_sub(depth);
            if short > 0 {
                return Err(now.saturating_add(short));
            }
            match self.full_at.compare_exchange_weak(full_at, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    if self.interval.load(Ordering::Relaxed) != interval {
                        self.changed.store(1, Ordering::Release);
                    }
                    return Ok(());
                }
                Err(other) => full_at = other,
            }
        }
    }

    pub(crate) fn set_interval(&self, interval: u64) {
        self.interval.store(interval, Ordering::Relaxed);
        // Release: who takes the mark away sees the interval.
        self.changed.store(1, Ordering::Release);
    }
}

/// So many attempts at once, over all stages and runs that share it.
///
/// Clones are the same limit. An attempt that must wait is put aside: no thread sleeps. Whoever gives a place back calls
/// who waits: stages take turns, and within one the oldest comes first. For a stage with threads of its own the number of threads is a limit already; this one is for what several
/// stages share, for CPU stages, and for a limit that changes.
///
/// # Examples
///
/// ```
/// use gristmill::{ConcurrencyLimit, prelude::*};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// let limit = ConcurrencyLimit::new(2);
/// let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
/// let call = |item: u32| {
///     most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
///     std::thread::yield_now();
///     inside.fetch_sub(1, Ordering::Relaxed);
///     item
/// };
/// let report = Pipeline::extract(0..50)
///     .map_blocking(4, call)
///     .concurrency_limit(&limit)
///     .map_blocking(4, call)
///     .concurrency_limit(&limit)
///     .count()
///     .run()?;
/// assert_eq!(report.output, 50);
/// assert!(most.into_inner() <= 2);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimit {
    shared: Arc<Shared>,
    /// The stage that asks, when it is part of a run.
    stage: Option<Arc<Caller>>,
}

struct Shared {
    places: Places<Caller>,
    controller: Option<Mutex<Controller>>,
}

/// Something of a stage waits for a place, until this is dropped.
pub(crate) struct InLine(ConcurrencyLimit);

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(stage) = &self.0.stage {
            self.0.shared.places.unwant(stage);
        }
    }
}

impl fmt::Debug for ConcurrencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("limit", &self.limit())
            .field("adaptive", &self.shared.controller.is_some())
            .finish()
    }
}

impl ConcurrencyLimit {
    /// So many attempts at once. Zero lets nothing pass until the limit is set again.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        ConcurrencyLimit::with(Places::new(limit), None)
    }

    /// A limit that finds itself, within bounds, by how long attempts take and whether they fail.
    ///
    /// It begins at the lower bound. How much longer attempts take than they did when there were few says how many of them
    /// are only waiting at the service: with fewer than 3 one more is let in after each round of attempts, with more than 6
    /// one fewer; a tenth fewer when an attempt failed. That is TCP Vegas (Brakmo and Peterson, 1995), as Netflix's
    /// *concurrency-limits* applies it to services, with the decrease of AIMD.
    ///
    /// For blocking stages: give the stage as many threads as the upper bound.
    #[must_use]
    pub fn adaptive(bounds: RangeInclusive<u32>) -> Self {
        let least = (*bounds.start()).max(1);
        let controller = Controller::new(least, (*bounds.end()).max(least));
        ConcurrencyLimit::with(Places::new(least), Some(Mutex::new(controller)))
    }

    fn with(places: Places<Caller>, controller: Option<Mutex<Controller>>) -> Self {
        ConcurrencyLimit { shared: Arc::new(Shared { places, controller }), stage: None }
    }

    /// Changes the limit. Attempts under way go on; one that finds itself goes on from there.
    pub fn set_limit(&self, limit: u32) {
        self.shared.places.set_limit(limit);
    }

    /// How many attempts there may be at once.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.places.limit()
    }

    /// The same limit, for a stage of a run.
    pub(crate) fn of_stage(&self, stage: Arc<Caller>) -> Self {
        ConcurrencyLimit { shared: Arc::clone(&self.shared), stage: Some(stage) }
    }

    /// Whether there is a place for the stage.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.places.has_room(self.stage.as_ref())
    }

    /// How many places there are for the stage, about.
    pub(crate) fn room(&self) -> usize {
        if self.has_room() { self.shared.places.free() } else { 0 }
    }

    /// Takes a place, and says whether it was the last one.
    pub(crate) fn try_enter(&self) -> Option<bool> {
        self.shared.places.try_enter(self.stage.as_ref())
    }

    /// Lines the stage up for a place. Whoever does looks once more afterwards.
    pub(crate) fn line_up(&self) -> InLine {
        if let Some(stage) = &self.stage {
            self.shared.places.want(stage);
        }
        InLine(self.clone())
    }

    /// Gives a place back without an attempt.
    pub(crate) fn give_back(&self) {
        self.shared.places.leave(self.stage.as_ref());
    }

    /// Gives a place back after an attempt that took so long; `None` if it failed.
    pub(crate) fn leave(&self, now: u64, took: Option<u64>, was_last: bool) {
        self.give_back();
        if let Some(controller) = &self.shared.controller {
            let limit = self.limit();
            let next = controller.lock().note(limit, now, took, was_last);
            // Unless somebody has set another meanwhile.
            if next != limit {
                self.shared.places.move_limit(limit, next);
            }
        }
    }
}

/// With fewer calls than this waiting at the service the limit goes up, with more than that it goes down.
const FEW: f64 = 3.0;
const MANY: f64 = 6.0;
/// What is left of the limit after a round in which an attempt failed.
const DECREASE: f64 = 0.9;
/// A round has at least so many attempts, so that its mean means something.
const ROUND: f64 = 10.0;
/// After so many rounds the unloaded latency is measured anew, at half the limit.
const MEASURE_AFTER: u32 = 500;

/// Finds a limit from how many calls must be waiting at the service.
#[derive(Debug)]
struct Controller {
    least: u32,
    most: u32,
    /// The shortest mean latency of a round, in nanoseconds: that of a service without load.
    base: Option<f64>,
    rounds: u32,
    /// Of the round under way: latencies, how many, whether all places were taken at some time, whether an attempt failed.
    sum: f64,
    count: f64,
    reached: bool,
    failed: bool,
    ends_at: u64,
}

impl Controller {
    fn new(least: u32, most: u32) -> Self {
        let (sum, count, reached, failed) = (0.0, 0.0, false, false);
        Controller { least, most, base: None, rounds: 0, sum, count, reached, failed, ends_at: 0 }
    }

    /// Takes note of an attempt, and says what the limit should be.
    fn note(&mut self, limit: u32, now: u64, took: Option<u64>, was_last: bool) -> u32 {
        match took {
            Some(took) => (self.sum, self.count) = (self.sum + took as f64, self.count + 1.0),
            None => self.failed = true,
        }
        self.reached |= was_last;
        let whole = self.count >= ROUND || self.failed;
        if now < self.ends_at || !whole {
            return limit;
        }
        let next = self.next(limit);
        let round = self.sum / self.count.max(1.0);
        (self.sum, self.count, self.reached, self.failed) = (0.0, 0.0, false, false);
        self.ends_at = now.saturating_add(round as u64);
        next.clamp(self.least, self.most)
    }

    fn next(&mut self, limit: u32) -> u32 {
        if self.failed {
            return (f64::from(limit) * DECREASE) as u32;
        }
        self.rounds += 1;
        if self.rounds >= MEASURE_AFTER {
            (self.rounds, self.base) = (0, None);
            return limit / 2;
        }
        let mean = self.sum / self.count;
        let base = self.base.map_or(mean, |base| base.min(mean));
        self.base = Some(base);
        let waiting = f64::from(limit) * (1.0 - base / mean.max(1.0));
        if waiting > MANY {
            limit - 1
        } else if waiting < FEW && self.reached {
            limit.saturating_add(1)
        } else {
            limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 2_000 }))]

        #[test]
        fn no_window_of_time_has_more_than_its_share(
            interval in 1..1_000_000u64, burst in 1..20u64, gaps in proptest::collection::vec(0..3_000_000u64, 1..300),
        ) {
            let bucket = Bucket::new(interval, burst);
            let (mut now, mut taken) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                match bucket.try_take(now) {
                    Ok(()) => taken.push(now),
                    Err(at) => {
                        // Just before it is too early, and then it is time.
                        prop_assert!(at > now && bucket.try_take(at - 1).is_err());
                        prop_assert!(bucket.try_take(at).is_ok());
                        taken.push(at);
                        now = at;
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (count, at) in taken[first..].iter().enumerate() {
                    // The one at `at` included.
                    prop_assert!((count as u64) < burst + (at - from) / interval);
                }
            }
        }
    }

    #[test]
    fn who_waits_and_is_woken_late_gets_what_came_meanwhile() {
        let bucket = Bucket::new(100_000, 1);
        let (mut taken, mut ask_at) = (0, 0);
        for now in (0..1_000_000_000).step_by(1_000_000) {
            loop {
                match bucket.try_take_since(ask_at, now) {
                    Ok(()) => taken += 1,
                    Err(at) => break ask_at = at,
                }
            }
        }
        assert!((9_980..=10_001).contains(&taken), "{taken} tokens of 10,000");
        // But not what came while nobody wanted any.
        assert!(bucket.try_take_since(5_000_000_000, 5_000_000_000).is_ok());
        assert!(bucket.try_take_since(5_000_000_000, 5_000_000_000).is_err());
    }

    #[test]
    fn a_higher_rate_is_felt_at_once_and_none_lets_nothing_pass() {
        let limit = RateLimit::per_second(0.001);
        assert!(limit.0.try_take(5).is_ok());
        assert_eq!(limit.0.try_take(5), Err(5 + 1_000_000_000_000));
        limit.set_rate(1e6);
        assert_eq!(limit.0.try_take(5), Err(5 + 1_000));
        assert!(limit.0.try_take(5 + 1_000).is_ok());
        for rate in [0.0, -1.0, f64::NAN] {
            limit.set_rate(rate);
            assert_eq!((limit.0.try_take(1 << 60), limit.rate()), (Err(u64::MAX), 0.0));
        }
        limit.set_rate(f64::INFINITY);
        assert!((0..1_000).all(|_| limit.0.try_take(7).is_ok()));
    }

    /// A service that takes 10 ms for up to `capacity` calls at once, and longer for more.
    fn settles_at(capacity: u32, bounds: RangeInclusive<u32>) -> Vec<u32> {
        let limit = ConcurrencyLimit::adaptive(bounds);
        let mut now = 0;
        let mut limits = Vec::new();
        for _ in 0..3_000 {
            let calls: Vec<bool> = std::iter::from_fn(|| limit.try_enter()).collect();
            let load = (calls.len() as f64 / f64::from(capacity)).max(1.0);
            let took = (10e6 * load) as u64;
            now += took;
            for was_last in calls {
                limit.leave(now, Some(took), was_last);
            }
            limits.push(limit.limit());
        }
        limits.split_off(300)
    }

    #[test]
    fn an_adaptive_limit_hovers_around_what_the_service_bears() {
        for capacity in [5u32, 20, 60] {
            let limits = settles_at(capacity, 1..=200);
            let mean = limits.iter().sum::<u32>() / limits.len() as u32;
            assert!((capacity * 3 / 4..=capacity + 8).contains(&mean), "capacity {capacity}: {mean}, {limits:?}");
        }
        let unbothered = settles_at(1_000, 1..=30);
        assert!(unbothered.iter().filter(|limit| **limit == 30).count() > unbothered.len() * 9 / 10);
    }

    /// A round of attempts that took so long each.
    fn round(controller: &mut Controller, limit: u32, took: u64, was_last: bool) -> u32 {
        let now = controller.ends_at;
        (0..9).for_each(|_| {
            assert_eq!(controller.note(limit, now, Some(took), was_last), limit, "the round is not over");
        });
        controller.note(limit, now, Some(took), was_last)
    }

    #[test]
    fn how_much_longer_attempts_take_says_where_the_limit_goes() {
        let mut controller = Controller::new(2, 40);
        // The first round is what the service takes without load.
        assert_eq!(round(&mut controller, 20, 1_000, true), 21);
        // Of 20 calls 2, 4 and 10 wait: fewer than 3, between, more than 6.
        assert_eq!(round(&mut controller, 20, 1_111, true), 21);
        assert_eq!(round(&mut controller, 20, 1_111, false), 20, "not all places were taken");
        assert_eq!(round(&mut controller, 20, 1_250, true), 20);
        assert_eq!(round(&mut controller, 20, 2_000, true), 19);
        // A shorter latency is the new measure, and the bounds hold.
        assert_eq!(round(&mut controller, 20, 500, true), 21);
        assert_eq!(round(&mut controller, 20, 1_000, true), 19);
        assert_eq!(round(&mut controller, 40, 500, true), 40);
        let mut bounded = Controller::new(20, 40);
        assert_eq!([1_000, 2_000].map(|took| round(&mut bounded, 20, took, true)), [21, 20]);
    }

    #[test]
    fn a_limit_stays_while_few_wait_and_not_many() {
        // Of 16, six wait where a call takes 8 and would take 5, three where it would take 6.5.
        for (without_load, took) in [(5, 8), (13, 16)] {
            let mut controller = Controller::new(1, 40);
            assert_eq!(round(&mut controller, 16, without_load, true), 17);
            assert_eq!(round(&mut controller, 16, took, true), 16);
        }
    }

    #[test]
    fn a_round_lasts_as_long_as_a_call_at_least() {
        let mut controller = Controller::new(1, 40);
        let mut note = |now| controller.note(20, now, Some(300), true);
        assert_eq!([1_000; 10].map(&mut note)[9], 21);
        assert_eq!([1_299; 10].map(&mut note), [20; 10]);
        assert_eq!(note(1_300), 21);
    }

    #[test]
    fn the_latency_without_load_is_measured_anew_now_and_then() {
        let mut controller = Controller::new(1, 40);
        let limits: Vec<u32> = (0..MEASURE_AFTER).map(|_| round(&mut controller, 20, 1_250, false)).collect();
        let (last, before) = limits.split_last().unwrap();
        assert!(before.iter().all(|limit| *limit == 20) && *last == 10, "{limits:?}");
        assert!(controller.base.is_none());
    }

    #[test]
    fn the_room_of_a_rate_is_what_could_begin() {
        let limit = RateLimit::per_second(1_000.0).burst(20);
        let mut now = 1_000_000_000;
        // Full, and what came in the last 5 ms for those who have waited.
        assert_eq!(limit.room(now), 25);
        (0..20).for_each(|_| limit.try_take(now, now).unwrap());
        assert_eq!((limit.room(now), limit.try_take(now, now)), (0, Err(now + 1_000_000)));
        now += 3_000_000;
        assert_eq!(limit.room(now), 3);
        limit.set_rate(0.0);
        assert_eq!(limit.room(now), 0);
    }

    #[test]
    fn a_rate_is_told_as_it_was_set() {
        let limit = RateLimit::per_second(250.0);
        assert_eq!(limit.rate(), 250.0);
        limit.set_rate(0.5);
        assert_eq!(limit.rate(), 0.5);
    }

    #[test]
    fn failures_bring_an_adaptive_limit_down_to_its_lower_bound() {
        let limit = ConcurrencyLimit::adaptive(3..=50);
        limit.set_limit(50);
        for round in 1..100u64 {
            let was_last = limit.try_enter().unwrap();
            limit.leave(round * 1_000_000, None, was_last);
        }
        assert_eq!(limit.limit(), 3);
    }

    #[test]
    fn places_follow_the_limit_up_and_down() {
        let limit = ConcurrencyLimit::new(2);
        assert_eq!([limit.try_enter(), limit.try_enter(), limit.try_enter()], [Some(false), Some(true), None]);
        limit.set_limit(1);
        limit.give_back();
        assert_eq!(limit.try_enter(), None);
        limit.set_limit(3);
        assert_eq!(limit.try_enter(), Some(false));
    }
}
