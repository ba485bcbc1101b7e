//! Leaving a service alone that fails too often.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A circuit breaker: when too many attempts fail it *opens*, and lets none through for a while; then it is *half open* and
/// lets a few through to see.
///
/// While it is open items wait, so the source is soon held back as well; or they [fail fast](Breaker::fail_fast), or go to a
/// [fallback](crate::Pipeline::breaker_or). Clones are the same breaker: give one to all stages that use a service, or keep one to [look](Breaker::state) at it. An error, a panic
/// and an attempt past its deadline are failures; so put what is the item's own fault, such as a record that cannot be
/// parsed, into a stage before.
///
/// As Nygard describes it in *Release It!* (2007).
///
/// # Examples
///
/// ```
/// use gristmill::{Breaker, prelude::*};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// let breaker = Breaker::new().window(10).open_for(Duration::from_millis(5));
/// let calls = AtomicU32::new(0);
/// let report = Pipeline::extract(0..100u32)
///     .try_map_blocking(2, |item| if calls.fetch_add(1, Ordering::Relaxed) < 20 { Err("down") } else { Ok(item) })
///     .breaker(&breaker)
///     .retry(Retry::constant(30, Duration::from_micros(100)))
///     .count()
///     .run()?;
/// assert_eq!(report.output, 100);
/// assert!(breaker.opened() >= 1);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Breaker(Arc<Mutex<Circuit>>);

/// What a breaker does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Lets nothing through. It stays so until somebody asks after its time.
    Open,
    /// Lets a few through to see.
    HalfOpen,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("state", &self.state()).field("opened", &self.opened()).finish()
    }
}

impl Breaker {
    /// A closed one.
    ///
    /// # Default
    ///
    /// It opens when half of the last 100 attempts failed, for 10 s, and closes after 3 that succeed.
    #[must_use]
    pub fn new() -> Self {
        Breaker::default()
    }

    /// Opens when this share of the attempts in the window failed, from above 0 to 1.
    #[must_use]
    pub fn failure_rate(self, rate: f64) -> Self {
        self.rule(|rules| rules.rate = rate)
    }

    /// Looks at so many attempts, and at no fewer: before there are as many it does not open. At least one; a run refuses more
    /// than a million, each of which is remembered.
    #[must_use]
    pub fn window(self, attempts: usize) -> Self {
        self.rule(|rules| rules.window = attempts.max(1))
    }

    /// Stays open for so long.
    #[must_use]
    pub fn open_for(self, time: Duration) -> Self {
        self.rule(|rules| rules.open_for = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Closes when so many attempts in a row succeeded after that, and lets no more than these through meanwhile. At least
    /// one.
    #[must_use]
    pub fn probes(self, attempts: u32) -> Self {
        self.rule(|rules| rules.probes = attempts.max(1))
    }

    /// Lets items fail while it is open, with [`Cause::Refused`](crate::Cause::Refused): there is no attempt and no retry, and the
    /// stage's policy decides.
    ///
    /// # Default
    ///
    /// They wait.
    #[must_use]
    pub fn fail_fast(self) -> Self {
        self.rule(|rules| rules.fail_fast = true)
    }

    /// What it does now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.0.lock().state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.0.lock().opened
    }

    fn rule(self, set: impl FnOnce(&mut Rules)) -> Self {
        set(&mut self.0.lock().rules);
        self
    }

    pub(crate) fn problem(&self) -> Option<&'static str> {
        let rules = &self.0.lock().rules;
        if !(rules.rate > 0.0 && rules.rate <= 1.0) {
            return Some("has a failure rate that is not above 0 and up to 1");
        }
        (rules.window > WIDEST).then_some("has a window of more than a million attempts")
    }

    pub(crate) fn ask(&self, now: u64) -> Answer {
        self.0.lock().ask(now)
    }

    /// Says how an attempt ended: a failure or not, or `None` if there was none after all.
    pub(crate) fn tell(&self, ticket: Ticket, failed: Option<bool>, now: u64) {
        self.0.lock().tell(ticket, failed, now);
    }
}

/// How many attempts it may look at: it remembers how each of them ended.
const WIDEST: usize = 1_000_000;

#[derive(Debug)]
struct Rules {
    rate: f64,
    window: usize,
    open_for: u64,
    probes: u32,
    fail_fast: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { rate: 0.5, window: 100, open_for: 10_000_000_000, probes: 3, fail_fast: false }
    }
}

#[derive(Debug)]
enum State {
    /// Whether each of the last attempts failed, and how many did.
    Closed {
        last: VecDeque<bool>,
        failures: usize,
    },
    Open {
        until: u64,
    },
    HalfOpen {
        begun: u32,
        succeeded: u32,
    },
}

impl Default for State {
    fn default() -> Self {
        State::Closed { last: VecDeque::new(), failures: 0 }
    }
}

/// The state machine.
#[derive(Debug, Default)]
struct Circuit {
    rules: Rules,
    state: State,
    /// Changes of state: an attempt that began before the last one says nothing about now.
    changes: u64,
    opened: u64,
}

/// The right to one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Go(Ticket),
    /// Ask again then.
    Wait(u64),
    Refused,
}

/// How often what waits for a probe asks again, in nanoseconds.
const PROBE_AGAIN: u64 = 1_000_000;

impl Circuit {
    fn ask(&mut self, now: u64) -> Answer {
        let again = match &mut self.state {
            State::Closed { .. } => return Answer::Go(Ticket(self.changes)),
            State::Open { until } if now >= *until => {
                self.change(State::HalfOpen { begun: 1, succeeded: 0 });
                return Answer::Go(Ticket(self.changes));
            }
            State::HalfOpen { begun, .. } if *begun < self.rules.probes => {
                *begun += 1;
                return Answer::Go(Ticket(self.changes));
            }
            State::Open { until } => *until,
            State::HalfOpen { .. } => now.saturating_add(PROBE_AGAIN),
        };
        if self.rules.fail_fast { Answer::Refused } else { Answer::Wait(again) }
    }

    fn tell(&mut self, Ticket(changes): Ticket, failed: Option<bool>, now: u64) {
        if changes != self.changes {
            return;
        }
        match (&mut self.state, failed) {
            (State::Closed { last, failures }, Some(failed)) => {
                last.push_back(failed);
                *failures += usize::from(failed);
                if last.len() > self.rules.window {
                    *failures -= usize::from(last.pop_front() == Some(true));
                }
                if last.len() >= self.rules.window && *failures as f64 >= self.rules.rate * last.len() as f64 {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, Some(true)) => self.open(now),
            (State::HalfOpen { succeeded, .. }, Some(false)) => {
                *succeeded += 1;
                if *succeeded >= self.rules.probes {
                    self.change(State::default());
                }
            }
            (State::HalfOpen { begun, .. }, None) => *begun -= 1,
            (State::Closed { .. }, None) | (State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: u64) {
        self.opened += 1;
        self.change(State::Open { until: now.saturating_add(self.rules.open_for) });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 2_000 }))]

        /// Attempts begin and end as they like; seen from outside, the rules hold.
        #[test]
        fn the_rules_hold_whatever_happens(
            window in 1..10usize, probes in 1..4u32, open_for in 1..50u64,
            events in proptest::collection::vec((0..10u64, 0..5u32, any::<prop::sample::Index>()), 0..300),
        ) {
            let breaker = Breaker::new().window(window).probes(probes).open_for(Duration::from_nanos(open_for));
            let (mut now, mut under_way, mut opened_at) = (0, Vec::new(), None);
            for (gap, what, which) in events {
                now += gap;
                let before = breaker.state();
                if what < 2 || under_way.is_empty() {
                    match breaker.ask(now) {
                        Answer::Go(ticket) => {
                            under_way.push(ticket);
                            if before == BreakerState::Open {
                                // Let through only after its time.
                                prop_assert!(opened_at.is_some_and(|at| now >= at + open_for));
                                prop_assert_eq!(breaker.state(), BreakerState::HalfOpen);
                            }
                        }
                        Answer::Wait(at) => prop_assert!(at > now && before != BreakerState::Closed),
                        Answer::Refused => prop_assert!(false, "it waits"),
                    }
                    let current = Ticket(breaker.0.lock().changes);
                    let probing = under_way.iter().filter(|ticket| **ticket == current).count();
                    prop_assert!(breaker.state() != BreakerState::HalfOpen || probing <= probes as usize);
                } else {
                    let ticket = under_way.swap_remove(which.index(under_way.len()));
                    breaker.tell(ticket, [Some(true), Some(false), None][what as usize - 2], now);
                    match (before, breaker.state()) {
                        // Only a failure opens; or what makes the window full.
                        (from, BreakerState::Open) if from != BreakerState::Open => {
                            prop_assert!(what == 2 || (what == 3 && from == BreakerState::Closed));
                            opened_at = Some(now);
                        }
                        // Only a success closes.
                        (from, BreakerState::Closed) if from != BreakerState::Closed => prop_assert_eq!(what, 3),
                        (from, to) => prop_assert_eq!(from, to),
                    }
                }
            }
        }
    }

    /// Attempts one after another.
    fn attempts(breaker: &Breaker, now: u64, failures: &[bool]) {
        for failed in failures {
            let Answer::Go(ticket) = breaker.ask(now) else { panic!("it is open") };
            breaker.tell(ticket, Some(*failed), now);
        }
    }

    #[test]
    fn it_opens_at_its_rate_and_not_before_its_window_is_full() {
        let breaker = Breaker::new().window(4).failure_rate(0.5);
        attempts(&breaker, 0, &[true, true, false]);
        assert_eq!(breaker.state(), BreakerState::Closed);
        attempts(&breaker, 0, &[false]);
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let breaker = Breaker::new().window(4).failure_rate(0.5);
        for _ in 0..10 {
            attempts(&breaker, 0, &[true, false, false, false]);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        attempts(&breaker, 0, &[true, true]);
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
    }

    #[test]
    fn a_probe_that_was_none_leaves_its_turn_to_another() {
        let breaker = Breaker::new().window(1).probes(2).open_for(Duration::from_nanos(10));
        for opened in 1..=3 {
            attempts(&breaker, 0, &[true]);
            assert_eq!(breaker.opened(), opened);
            let now = 20;
            for _ in 0..5 {
                let (Answer::Go(first), Answer::Go(second)) = (breaker.ask(now), breaker.ask(now)) else {
                    panic!("no probe")
                };
                assert_eq!(breaker.ask(now), Answer::Wait(now + PROBE_AGAIN));
                breaker.tell(first, None, now);
                breaker.tell(second, None, now);
            }
            attempts(&breaker, now, &[false, false]);
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
    }

    #[test]
    fn it_closes_after_its_probes_and_opens_again_when_one_fails() {
        let breaker = Breaker::new().window(1).probes(2).open_for(Duration::from_nanos(10));
        attempts(&breaker, 0, &[true]);
        assert_eq!(breaker.ask(9), Answer::Wait(10));
        attempts(&breaker, 10, &[false, true]);
        assert_eq!((breaker.state(), breaker.ask(19)), (BreakerState::Open, Answer::Wait(20)));
        attempts(&breaker, 20, &[false, false]);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn an_attempt_from_before_says_nothing_about_now() {
        let breaker = Breaker::new().window(1).probes(1).open_for(Duration::from_nanos(10));
        let Answer::Go(old) = breaker.ask(0) else { panic!("it is closed") };
        attempts(&breaker, 0, &[true]);
        attempts(&breaker, 10, &[false]);
        breaker.tell(old, Some(true), 11);
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Closed, 1));
    }

    #[test]
    fn it_refuses_when_it_is_to_fail_fast() {
        let breaker = Breaker::new().window(1).fail_fast();
        attempts(&breaker, 0, &[true]);
        assert_eq!(breaker.ask(1), Answer::Refused);
    }

    #[test]
    fn a_rate_that_cannot_be_is_a_problem() {
        for rate in [0.0, -1.0, 1.1, f64::NAN] {
            assert!(Breaker::new().failure_rate(rate).problem().is_some(), "{rate}");
        }
        assert!(Breaker::new().failure_rate(1.0).problem().is_none());
    }
}
