//! Dead letters on their way to their store.
//!
//! A letter is posted by the worker whose item failed and stored by a thread of its own, as a CPU stage must not wait for
//! a disk. The letter keeps the slot of its morsel and is charged what an item of it weighs, so letters under way are
//! bounded by the window and by the budget, and a slow store of them slows the source. Letters are stored even when the run is aborted: they were counted as dead.

use super::Driver;
use super::gate::Permit;
use super::plan::DeadEnd;
use super::shared::Shared;
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

    /// Stores letters until the queue is closed and empty; then closes the store.
    pub(crate) fn run<S>(&self, mut store: S, stage: &str, driver: Driver<'_, '_>)
    where
        S: Store<DeadLetter<T, E>>,
        S::Error: Into<BoxError>,
    {
        let mut works = true;
        let mut fresh = false;
        loop {
            match self.next(fresh.then_some(self.shared.flush_interval)) {
                // Once the store has failed the run is aborted, and its error says that letters are missing.
                Next::Letter(letter, permit) => {
                    works = works && self.attempt(stage, "store a dead letter", || store.store(letter));
                    fresh = works;
                    drop(permit);
                    driver.settle();
                }
                Next::Idle => {
                    works = self.attempt(stage, "flush its dead letters", || store.flush());
                    fresh = false;
                }
                Next::Closed => break,
            }
        }
        self.attempt(stage, "finish its dead letters", || store.finish(self.shared.outcome()));
    }

    /// Calls the store; what fails or panics aborts the run.
    fn attempt<Failure: Into<BoxError>>(
        &self,
        stage: &str,
        action: &'static str,
        call: impl FnOnce() -> Result<(), Failure>,
    ) -> bool {
        let error = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.into(),
            Err(payload) => panic_message(payload).into(),
        };
        self.shared.abort(Error::stage(stage, action, error));
        false
    }

    /// Waits for the next letter, for `limit` if there is one.
    fn next(&self, limit: Option<Duration>) -> Next<T, E> {
        let mut state = self.state.lock();
        loop {
            if let Some((letter, permit)) = state.letters.pop_front() {
                return Next::Letter(letter, permit);
            }
            if state.closed {
                return Next::Closed;
            }
            match limit {
                Some(limit) if self.arrival.wait_for(&mut state, limit).timed_out() => return Next::Idle,
                Some(_) => {}
                None => self.arrival.wait(&mut state),
            }
        }
    }
}

enum Next<T, E> {
    Letter(DeadLetter<T, E>, Permit),
    /// Nothing has come for a while.
    Idle,
    Closed,
}
