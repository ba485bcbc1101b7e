//! What stands before an attempt, in this order: deadline, breaker, limits. Retry and policy come after it.

use crate::breaker::{Answer, Breaker, Ticket};
use crate::engine::Caller;
use crate::limit::{ConcurrencyLimit, InLine, RateLimit};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The guards of a stage.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    pub(crate) deadline: Option<Duration>,
    pub(crate) breaker: Option<Breaker>,
    /// Nobody waits for the breaker, as there is a fallback.
    pub(crate) falls_back: bool,
    pub(crate) concurrency: Option<ConcurrencyLimit>,
    pub(crate) rate: Option<RateLimit>,
}

/// No attempt now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Ask again then.
    Until(u64),
    /// All places are taken: line up, and ask again when called.
    Full,
    /// The breaker is open, and fails fast, or there is a fallback.
    Open,
}

/// A limit that was changed is felt by those who wait after so many nanoseconds at most.
const LATEST: u64 = 50_000_000;

impl Guards {
    /// Whether none of them ever lets an attempt wait.
    #[inline]
    pub(crate) fn are_open(&self) -> bool {
        self.breaker.is_none() && self.concurrency.is_none() && self.rate.is_none()
    }

    /// Whether none of them looks at a clock.
    #[inline]
    fn are_none(&self) -> bool {
        self.are_open() && self.deadline.is_none()
    }

    /// Gets ready for a run: `stage` is called when it may have a place.
    pub(crate) fn open(&mut self, stage: impl FnOnce() -> Arc<Caller>) {
        self.concurrency = self.concurrency.take().map(|limit| limit.of_stage(stage()));
    }

    /// Lines the stage up for a place.
    pub(crate) fn line_up(&self) -> Option<InLine> {
        self.concurrency.as_ref().map(ConcurrencyLimit::line_up)
    }

    /// Whether there is a place under the concurrency limit.
    pub(crate) fn have_room(&self) -> bool {
        self.concurrency.as_ref().is_some_and(ConcurrencyLimit::has_room)
    }

    /// How many attempts the limits would let begin now, about.
    pub(crate) fn room(&self, now: u64) -> usize {
        let places = self.concurrency.as_ref().map_or(usize::MAX, ConcurrencyLimit::room);
        places.min(self.rate.as_ref().map_or(usize::MAX, |limit| limit.room(now)))
    }

    /// Asks for an attempt. `now` tells nanoseconds that mean the same to all who share a guard, and since when who asks
    /// has waited for his turn to ask.
    #[inline]
    pub(crate) fn admit(&self, now: impl FnOnce() -> (u64, u64)) -> Result<Pass<'_>, Refusal> {
        if self.are_none() {
            return Ok(Pass { guards: self, began: 0, ticket: None, place: None, settled: true });
        }
        let (now, since) = now();
        self.admit_at(now, since)
    }

    fn admit_at(&self, now: u64, since: u64) -> Result<Pass<'_>, Refusal> {
        // A pass that is dropped on the way gives back what it has.
        let mut pass = Pass { guards: self, began: now, ticket: None, place: None, settled: false };
        let refused = pass.ask(now, since).err();
        match refused {
            None => Ok(pass),
            Some(refusal) => {
                pass.give_back();
                Err(match refusal {
                    Refusal::Until(at) => Refusal::Until(at.clamp(now.saturating_add(1), now.saturating_add(LATEST))),
                    Refusal::Full | Refusal::Open => refusal,
                })
            }
        }
    }
}

/// The right to one attempt. When it is dropped unsettled, by unwinding, the attempt has failed.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    guards: &'a Guards,
    began: u64,
    ticket: Option<Ticket>,
    /// It has a place under the concurrency limit; the last one, perhaps.
    place: Option<bool>,
    settled: bool,
}

impl Pass<'_> {
    fn ask(&mut self, now: u64, since: u64) -> Result<(), Refusal> {
        if let Some(breaker) = &self.guards.breaker {
            match breaker.ask(now) {
                Answer::Go(ticket) => self.ticket = Some(ticket),
                Answer::Wait(at) if !self.guards.falls_back => return Err(Refusal::Until(at)),
                Answer::Wait(_) => return Err(Refusal::Open),
                Answer::Refused => return Err(Refusal::Open),
            }
        }
        if let Some(limit) = &self.guards.concurrency {
            self.place = Some(limit.try_enter().ok_or(Refusal::Full)?);
        }
        // Last, as a token cannot be given back.
        self.guards.rate.as_ref().map_or(Ok(()), |limit| limit.try_take(since, now)).map_err(Refusal::Until)
    }

    /// There was no attempt.
    fn give_back(mut self) {
        self.settled = true;
        if let (Some(limit), Some(_)) = (&self.guards.concurrency, self.place) {
            limit.give_back();
        }
        if let (Some(breaker), Some(ticket)) = (&self.guards.breaker, self.ticket) {
            breaker.tell(ticket, None, self.began);
        }
    }

    /// The attempt has ended by itself. Returns the deadline that it missed, if it did: then it has failed.
    #[inline]
    pub(crate) fn settle(mut self, succeeded: bool, now: impl FnOnce() -> u64) -> Option<Duration> {
        if self.guards.are_none() {
            return None;
        }
        self.settled = true;
        let now = now();
        let took = now.saturating_sub(self.began);
        let missed = self.guards.deadline.filter(|limit| u128::from(took) > limit.as_nanos());
        self.tell(now, (succeeded && missed.is_none()).then_some(took));
        missed
    }

    /// `took` is `None` if the attempt failed.
    fn tell(&self, now: u64, took: Option<u64>) {
        if let (Some(limit), Some(was_last)) = (&self.guards.concurrency, self.place) {
            limit.leave(now, took, was_last);
        }
        if let (Some(breaker), Some(ticket)) = (&self.guards.breaker, self.ticket) {
            breaker.tell(ticket, Some(took.is_none()), now);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.tell(self.began, None);
        }
    }
}

/// The attempt under way: what a stage's function can ask about itself, by [`attempt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    number: u32,
    deadline: Option<Instant>,
}

thread_local! {
    static ATTEMPT: Cell<Option<Attempt>> = const { Cell::new(None) };
}

/// The attempt under way on this thread, for a function of a stage that has a [retry](crate::Pipeline::retry), a
/// [deadline](crate::Pipeline::deadline) or another guard; `None` elsewhere, on threads that the function has started itself
/// too.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use std::time::Duration;
///
/// let report = Pipeline::extract(0..3u32)
///     .try_map_blocking(2, |item| {
///         let attempt = gristmill::attempt().expect("the stage has a retry");
///         assert!(attempt.remaining().unwrap() <= Duration::from_secs(5));
///         if attempt.number() < 3 { Err("not yet") } else { Ok(item) }
///     })
///     .retry(Retry::constant(3, Duration::from_millis(1)))
///     .deadline(Duration::from_secs(5))
///     .count()
///     .run()?;
/// assert_eq!((report.output, report.totals().retried), (3, 6));
/// assert_eq!(gristmill::attempt(), None);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[must_use]
pub fn attempt() -> Option<Attempt> {
    ATTEMPT.get()
}

impl Attempt {
    /// Which attempt of its item it is, counted from one.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How long it may go on: what to give a socket as its timeout. Zero when the deadline has passed, `None` when there is
    /// none.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Calls a stage's function, which can ask about the attempt meanwhile.
#[inline]
pub(crate) fn with_attempt<R>(number: u32, guards: &Guards, call: impl FnOnce() -> R) -> R {
    /// Puts back what was there, as a rayon call inside a function may run another item on its thread.
    struct Before(Option<Attempt>);
    impl Drop for Before {
        fn drop(&mut self) {
            ATTEMPT.set(self.0);
        }
    }
    let deadline = guards.deadline.and_then(|limit| Instant::now().checked_add(limit));
    let _before = Before(ATTEMPT.replace(Some(Attempt { number, deadline })));
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_before_a_refusal_is_given_back() {
        let guards = Guards {
            breaker: Some(Breaker::new().window(1).probes(1).open_for(Duration::from_nanos(10))),
            concurrency: Some(ConcurrencyLimit::new(1)),
            rate: Some(RateLimit::per_second(1e6)),
            ..Guards::default()
        };
        guards.admit_at(0, 0).unwrap().settle(false, || 0);
        assert_eq!(guards.admit_at(5, 5).unwrap_err(), Refusal::Until(10));
        // The breaker lets a probe through and there is a place, but no token.
        assert_eq!(guards.admit_at(10, 10).unwrap_err(), Refusal::Until(1_000));
        let probe = guards.admit_at(1_000, 1_000).unwrap();
        assert_eq!(guards.admit_at(1_001, 1_001).unwrap_err(), Refusal::Until(1_001 + 1_000_000));
        assert_eq!(probe.settle(true, || 1_500), None);
        assert_eq!(guards.breaker.as_ref().unwrap().state(), crate::BreakerState::Closed);
    }

    #[test]
    fn an_attempt_that_unwinds_has_failed_and_leaves_its_place() {
        let guards = Guards {
            breaker: Some(Breaker::new().window(1)),
            concurrency: Some(ConcurrencyLimit::new(1)),
            ..Guards::default()
        };
        drop(guards.admit_at(0, 0).unwrap());
        assert_eq!(guards.breaker.as_ref().unwrap().opened(), 1);
        assert!(guards.concurrency.as_ref().unwrap().try_enter().is_some());
    }

    #[test]
    fn an_attempt_that_ends_late_has_failed() {
        let deadline = Duration::from_nanos(10);
        let guards = Guards { deadline: Some(deadline), breaker: Some(Breaker::new().window(1)), ..Guards::default() };
        assert_eq!(guards.admit_at(0, 0).unwrap().settle(true, || 10), None);
        assert_eq!(guards.admit_at(0, 0).unwrap().settle(true, || 11), Some(deadline));
        assert_eq!(guards.breaker.as_ref().unwrap().opened(), 1);
    }
}
