//! What happens to an item that failed for good.

use crate::engine::{Context, DeadLane, Plan};
use crate::error::{BoxError, ErrorKind};
use crate::guards::Guards;
use crate::random::Draws;
use crate::report::Failure;
use crate::retry::Retry;
use crate::store::Store;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An item that failed for good, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<T, E> {
    /// The item as it entered the stage.
    pub item: Option<T>,
    /// The stage that it failed in.
    pub stage: String,
    /// How often the stage tried.
    pub attempts: u32,
    /// Where in the source it came from, counted from zero.
    pub position: u64,
    /// What went wrong.
    pub cause: Cause<E>,
}

/// What an attempt ended with, if not with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause<E> {
    /// The user's function returned this.
    Error(E),
    /// The user's function panicked and said this.
    Panic(String),
    /// It ended later than the [deadline](crate::Pipeline::deadline) allowed, this long; what it returned is dropped.
    TimedOut(Duration),
    /// There was no attempt, as the stage's [breaker](crate::Breaker::fail_fast) is open.
    Refused,
    /// There was no room for it, and the source [sheds](crate::Shed) what there is no room for.
    Shed,
}

impl<E> Cause<E> {
    /// The same with the error borrowed.
    pub fn as_ref(&self) -> Cause<&E> {
        match self {
            Cause::Error(error) => Cause::Error(error),
            Cause::Panic(message) => Cause::Panic(message.clone()),
            Cause::TimedOut(limit) => Cause::TimedOut(*limit),
            Cause::Refused => Cause::Refused,
            Cause::Shed => Cause::Shed,
        }
    }

    /// The same with another error.
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Cause<F> {
        match self {
            Cause::Error(error) => Cause::Error(f(error)),
            Cause::Panic(message) => Cause::Panic(message),
            Cause::TimedOut(limit) => Cause::TimedOut(limit),
            Cause::Refused => Cause::Refused,
            Cause::Shed => Cause::Shed,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Error(error) => error.fmt(f),
            Cause::Panic(message) => write!(f, "panic: {message}"),
            Cause::TimedOut(limit) => write!(f, "took longer than {limit:?}"),
            Cause::Refused => f.write_str("the breaker is open"),
            Cause::Shed => f.write_str("the pipeline was full"),
        }
    }
}

/// What a stage does with an item that failed: an error returned, or a panic.
///
/// The default is [`abort`](OnError::abort). Whatever is chosen, the report counts the item.
#[must_use]
pub struct OnError<'env, T, E> {
    mode: Mode<'env, T, E>,
    limit: u64,
}

enum Mode<'env, T, E> {
    Abort,
    Skip,
    Collect,
    DeadLetter {
        /// Taken when the run opens it on a thread of its own. Locked only so that policies can be shared.
        store: Mutex<Option<Box<dyn DeadStore<'env, T, E> + 'env>>>,
        keep: fn(&T) -> T,
    },
}

impl<T, E> fmt::Debug for OnError<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Abort => "Abort",
            Mode::Skip => "Skip",
            Mode::Collect => "Collect",
            Mode::DeadLetter { .. } => "DeadLetter",
        };
        f.debug_struct(mode).field("limit", &self.limit).finish()
    }
}

impl<'env, T, E> OnError<'env, T, E> {
    /// Stops the run: `run` returns an error that names the stage, the item and the cause. The first one wins.
    pub fn abort() -> Self {
        OnError { mode: Mode::Abort, limit: 0 }
    }

    /// Leaves the item out and counts it.
    pub fn skip() -> Self {
        OnError { mode: Mode::Skip, limit: u64::MAX }
    }

    /// Leaves the item out and puts stage, position and message into the report's
    /// [`failures`](crate::Report::failures): the first thousand of them; all are counted.
    pub fn collect() -> Self {
        OnError { mode: Mode::Collect, limit: u64::MAX }
    }

    /// Hands the item to a store of its own, which runs on a thread of its own.
    ///
    /// To have the item when it has failed, it is cloned before each attempt; make that cheap, or let the error carry
    /// what is worth keeping. Dead letters under way count as in flight, so a slow store of them slows the source. If
    /// that store fails, the run is aborted: nothing is lost silently.
    pub fn dead_letter<S>(store: S) -> Self
    where
        S: Store<DeadLetter<T, E>> + 'env,
        T: Clone + Send + 'env,
        E: Send + 'env,
    {
        OnError {
            mode: Mode::DeadLetter { store: Mutex::new(Some(Box::new(OneStore(store)))), keep: T::clone },
            limit: u64::MAX,
        }
    }

    /// Bounds how many items may fail: one more aborts the run.
    ///
    /// # Default
    ///
    /// No bound, except for [`abort`](OnError::abort), where it is zero.
    pub fn at_most(mut self, failures: u64) -> Self {
        if !matches!(self.mode, Mode::Abort) {
            self.limit = failures;
        }
        self
    }
}

impl<T, E> Default for OnError<'_, T, E> {
    fn default() -> Self {
        OnError::abort()
    }
}

/// A store of dead letters whose own type is forgotten.
pub(crate) trait DeadStore<'env, T, E>: Send {
    fn open(self: Box<Self>, plan: &mut Plan<'env>, stage: &str) -> Arc<dyn DeadLane<T, E> + 'env>;
}

pub(crate) struct OneStore<S>(pub(crate) S);

impl<'env, T, E, S> DeadStore<'env, T, E> for OneStore<S>
where
    S: Store<DeadLetter<T, E>> + 'env,
    T: Send + 'env,
    E: Send + 'env,
{
    fn open(self: Box<Self>, plan: &mut Plan<'env>, stage: &str) -> Arc<dyn DeadLane<T, E> + 'env> {
        plan.dead_lane(stage, self.0)
    }
}

/// A policy at its stage, while the run goes on.
pub struct Policy<'env, T, E> {
    on_error: OnError<'env, T, E>,
    stage: String,
    /// This stage's place among those of its segment.
    at: usize,
    lane: Option<Arc<dyn DeadLane<T, E> + 'env>>,
    failures: AtomicU64,
    retrying: Option<Retrying<'env, T, E>>,
    pub(crate) guards: Guards,
}

/// A retry, and how to have an item again.
struct Retrying<'env, T, E> {
    retry: Retry<'env, E>,
    copy: fn(&T) -> T,
}

impl<'env, T, E> Policy<'env, T, E> {
    pub(crate) fn new(stage: String) -> Self {
        Policy {
            on_error: OnError::abort(),
            stage,
            at: 0,
            lane: None,
            failures: AtomicU64::new(0),
            retrying: None,
            guards: Guards::default(),
        }
    }

    pub(crate) fn set(&mut self, on_error: OnError<'env, T, E>) {
        self.on_error = on_error;
    }

    pub(crate) fn set_retry(&mut self, retry: Retry<'env, E>, copy: fn(&T) -> T) {
        self.retrying = Some(Retrying { retry, copy });
    }

    /// Whether an attempt may have to wait.
    pub(crate) fn may_wait(&self) -> bool {
        self.retrying.is_some() || self.is_guarded()
    }

    /// Whether anything stands before an attempt.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guards.deadline.is_some() || !self.guards.are_open()
    }

    pub(crate) fn stage(&self) -> &str {
        &self.stage
    }

    pub(crate) fn rename(&mut self, stage: String) {
        self.stage = stage;
    }

    /// This stage's place in its segment, for the context's tallies.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Gets ready to run as stage `at` of a segment.
    pub(crate) fn open(&mut self, plan: &mut Plan<'env>, at: usize) {
        self.at = at;
        self.guards.open(|| plan.caller());
        if let Mode::DeadLetter { store, .. } = &mut self.on_error.mode {
            self.lane = store.get_mut().take().map(|store| store.open(plan, &self.stage));
        }
    }

    /// A copy of the item for the case that it fails, if the policy wants one.
    pub(crate) fn copy(&self, item: &T) -> Option<T> {
        match &self.on_error.mode {
            Mode::DeadLetter { keep, .. } => Some(keep(item)),
            _ => None,
        }
    }

    /// Puts a copy of the item into `kept` for the case that it fails, if the policy wants one. The item is moved in and out:
    /// borrowed, it would have to be put into memory where nobody wants a copy, too.
    #[inline]
    pub(crate) fn keep(&self, kept: &mut Option<T>, item: T) -> T {
        match &self.on_error.mode {
            Mode::DeadLetter { .. } => self.keep_copy(kept, item),
            _ => item,
        }
    }

    #[inline(never)]
    fn keep_copy(&self, kept: &mut Option<T>, item: T) -> T {
        // Should the copying panic, there must not be the copy of another.
        *kept = None;
        *kept = self.copy(&item);
        item
    }

    /// The same for an attempt that another may follow.
    #[inline]
    pub(crate) fn keep_for(&self, kept: &mut Option<T>, item: &T, attempt: u32) {
        *kept = None;
        *kept = match &self.retrying {
            Some(retrying) if retrying.retry.may_follow(attempt) => Some((retrying.copy)(item)),
            _ => self.copy(item),
        };
    }

    /// An item has entered the stage.
    #[inline]
    pub(crate) fn entered(&self) {
        if let Some(retrying) = &self.retrying {
            retrying.retry.entered();
        }
    }

    /// How long to wait until the attempt after this one, which failed; `None` if that was the last.
    pub(crate) fn wait_after(&self, attempt: u32, cause: &Cause<E>, random: &Draws) -> Option<Duration> {
        self.retrying.as_ref().and_then(|retrying| retrying.retry.wait_after(attempt, cause, random))
    }
}

impl<T, E: Into<BoxError>> Policy<'_, T, E> {
    /// Deals with an item that failed, after so many attempts.
    #[cold]
    pub(crate) fn fail(&self, cx: &mut Context<'_>, item: Option<T>, cause: Cause<E>, attempts: u32) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        // What an error says is user code and may panic: first ask, then count.
        if failures > self.on_error.limit {
            let fatal = self.fatal(cx.position(), cause, attempts);
            drop(item);
            cx.tally(self.at).lost += 1;
            cx.abort(fatal);
            return;
        }
        match &self.on_error.mode {
            Mode::Abort => {}
            Mode::Skip => {
                // What says what failed, and the copy, are a user's values: dropped first, then counted.
                drop((item, cause));
                cx.tally(self.at).skipped += 1;
            }
            Mode::Collect => {
                let message = describe(cause);
                drop(item);
                cx.tally(self.at).skipped += 1;
                cx.note_failure(Failure { stage: self.stage.clone(), position: cx.position(), attempts, message });
            }
            Mode::DeadLetter { .. } => {
                let letter = DeadLetter { item, stage: self.stage.clone(), attempts, position: cx.position(), cause };
                if let Some(lane) = &self.lane {
                    lane.post(letter, cx.hold_copy());
                }
                cx.tally(self.at).dead += 1;
            }
        }
    }

    fn fatal(&self, position: u64, cause: Cause<E>, attempts: u32) -> ErrorKind {
        let stage = self.stage.clone();
        match (cause, self.on_error.limit) {
            (Cause::Error(error), 0) => ErrorKind::Item { stage, position, attempts, source: error.into() },
            (Cause::Panic(message), 0) => ErrorKind::Panicked { stage, position, attempts, message },
            (Cause::TimedOut(limit), 0) => ErrorKind::TimedOut { stage, position, attempts, limit },
            (Cause::Refused, 0) => ErrorKind::Refused { stage, position },
            (cause, limit) => ErrorKind::TooMany { stage, limit, position, source: describe(cause).into() },
        }
    }
}

/// The words of a failure, with its causes.
fn describe<E: Into<BoxError>>(cause: Cause<E>) -> String {
    match cause {
        Cause::Error(error) => {
            let error: BoxError = error.into();
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                message.push_str(": ");
                message.push_str(&error.to_string());
                cause = error.source();
            }
            message
        }
        other => other.map(|_| "").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes() -> [Cause<u32>; 5] {
        [
            Cause::Error(4),
            Cause::Panic("four".to_owned()),
            Cause::TimedOut(Duration::from_millis(4)),
            Cause::Refused,
            Cause::Shed,
        ]
    }

    #[test]
    fn a_cause_stays_what_it_is_whatever_becomes_of_its_error() {
        let words = ["4", "panic: four", "took longer than 4ms", "the breaker is open", "the pipeline was full"];
        assert_eq!(causes().map(|cause| cause.to_string()), words);
        assert_eq!(causes().map(|cause| cause.as_ref().map(|error| *error)), causes());
        let doubled = causes().map(|cause| cause.map(|error| error * 2));
        assert_eq!((&doubled[0], &doubled[1..]), (&Cause::Error(8), &causes()[1..]));
        assert_eq!(causes().map(describe_number), words);
    }

    fn describe_number(cause: Cause<u32>) -> String {
        describe(cause.map(|error| error.to_string()))
    }

    #[test]
    fn the_words_of_a_failure_have_its_causes() {
        let inner = std::io::Error::other("the disk is full");
        let outer: BoxError = crate::Error::stage("end", "store", inner.into()).into();
        assert_eq!(describe(Cause::Error(outer)), "stage `end` could not store: the disk is full");
    }
}
