//! Dead letters on their way to their store.
//!
//! A letter is posted by the worker whose item failed and stored by a thread of its own, as a CPU stage must not wait for
//! a disk. The letter keeps the slot of its morsel and is charged what an item of it weighs, so letters under way are
//! bounded by the window and by the budget, and a slow store of them slows the source. Letters are stored even when the run is aborted: they were counted as dead.

use super::Driver;
use super::gate::Permit;
use super::plan::DeadEnd;
use super::shared::Shared;
use super::task::{Task, Turned};
use crate::error::{BoxError, Error, panic_message};
use crate::policy::DeadLetter;
use crate::store::Store;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Where a stage posts its dead letters.
pub trait DeadLane<T, E>: Send + Sync {
    /// Posts a letter; never waits.
    #[doc(hidden)]
    fn post(&self, letter: DeadLetter<T, E>, permit: Permit);
}

pub(crate) struct DeadQueue<T, E> {
    shared: Arc<Shared>,
    state: Mutex<State<T, E>>,
    arrival: Condvar,
}

struct State<T, E> {
    letters: VecDeque<(DeadLetter<T, E>, Permit)>,
    closed: bool,
}

impl<T: Send, E: Send> DeadLane<T, E> for DeadQueue<T, E> {
    fn post(&self, letter: DeadLetter<T, E>, permit: Permit) {
        self.state.lock().letters.push_back((letter, permit));
        self.arrival.notify_all();
    }
}

impl<T: Send, E: Send> DeadEnd for DeadQueue<T, E> {
    fn close(&self) {
        self.state.lock().closed = true;
        self.arrival.notify_all();
    }
}

impl<T, E> DeadQueue<T, E> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let state = State { letters: VecDeque::new(), closed: false };
        DeadQueue { shared, state: Mutex::new(state), arrival: Condvar::new() }
    }

    /// Waits for the next letter, for `patience` at most.
    fn next(&self, patience: Duration) -> Next<T, E> {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            if let Some((letter, permit)) = state.letters.pop_front() {
                return Next::Letter(letter, permit);
            }
            if state.closed {
                return Next::Closed;
            }
            if waited {
                return Next::Nothing;
            }
            self.arrival.wait_for(&mut state, patience);
            waited = true;
        }
    }
}

enum Next<T, E> {
    Letter(DeadLetter<T, E>, Permit),
    Nothing,
    Closed,
}

/// Stores letters until their queue is closed and empty; then closes the store.
pub(crate) struct Burial<T, E, S> {
    queue: Arc<DeadQueue<T, E>>,
    store: S,
    stage: String,
    /// The store has not failed.
    works: bool,
    /// When the last letter was stored, if nothing was flushed since.
    fresh_since: Option<u64>,
}

impl<'env, T, E, S> Task<'env> for Burial<T, E, S>
where
    T: Send,
    E: Send,
    S: Store<DeadLetter<T, E>>,
    S::Error: Into<BoxError>,
{
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        match self.queue.next(patience.min(self.until_flush())) {
            Next::Letter(letter, permit) => {
                // Once the store has failed the run is aborted, and its error says that letters are missing.
                self.works = self.works && self.attempt("store a dead letter", |store| store.store(letter));
                self.fresh_since = self.works.then(|| self.queue.shared.now());
                drop(permit);
                driver.settle();
                Turned::Worked
            }
            Next::Nothing if self.until_flush().is_zero() => {
                self.fresh_since = None;
                self.works = self.attempt("flush its dead letters", S::flush);
                Turned::Worked
            }
            Next::Nothing => Turned::Idle,
            Next::Closed => {
                let outcome = self.queue.shared.outcome();
                self.attempt("finish its dead letters", |store| store.finish(outcome));
                Turned::Ended
            }
        }
    }
}

impl<T, E, S> Burial<T, E, S>
where
    S: Store<DeadLetter<T, E>>,
    S::Error: Into<BoxError>,
{
    pub(crate) fn new(queue: Arc<DeadQueue<T, E>>, store: S, stage: String) -> Self {
        Burial { queue, store, stage, works: true, fresh_since: None }
    }

    /// How long it takes until something is to be flushed.
    fn until_flush(&self) -> Duration {
        let shared = &self.queue.shared;
        self.fresh_since.map_or(Duration::MAX, |since| {
            shared.flush_interval.saturating_sub(Duration::from_nanos(shared.now().saturating_sub(since)))
        })
    }

    /// Calls the store; what fails or panics aborts the run.
    fn attempt(&mut self, action: &'static str, call: impl FnOnce(&mut S) -> Result<(), S::Error>) -> bool {
        let error = match catch_unwind(AssertUnwindSafe(|| call(&mut self.store))) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.into(),
            Err(payload) => panic_message(payload).into(),
        };
        self.queue.shared.abort(Error::stage(&self.stage, action, error));
        false
    }
}
