//! Dead letters on their way to their store.
//!
//! A letter is posted by the worker whose item failed and stored by a thread of its own, as a CPU stage must not wait for
//! a disk. The letter keeps the slot of its morsel and is charged what an item of it weighs, so letters under way are
//! bounded by the window and by the budget, and a slow store of them slows the source. Letters are stored even when the run is aborted: they were counted as dead.
//!
//! When the run keeps checkpoints, letters are held back until a barrier, and then stored in the order of the source: see
//! [`barrier`](super::barrier).

use super::Driver;
use super::barrier::{Barrier, Keeper};
use super::gate::Permit;
use super::plan::DeadEnd;
use super::shared::Shared;
use super::sync::{Condvar, Mutex};
use super::task::{Task, Turned};
use crate::error::{BoxError, Error, panic_message};
use crate::policy::DeadLetter;
use crate::store::Store;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Where a stage posts its dead letters.
pub trait DeadLane<T, E>: Send + Sync {
    /// Posts a letter; never waits.
    #[doc(hidden)]
    fn post(&self, letter: DeadLetter<T, E>, permit: Permit);

    /// Whether fewer than `most` letters wait to be stored; waits for that up to `patience`. For who posts from a thread
    /// of his own, as nothing else bounds his letters.
    #[doc(hidden)]
    fn has_room(&self, most: usize, patience: Duration) -> bool;
}

pub(crate) struct DeadQueue<T, E> {
    shared: Arc<Shared>,
    /// Letters wait for a checkpoint.
    holds: bool,
    state: Mutex<State<T, E>>,
    arrival: Condvar,
    /// A letter has left.
    room: Condvar,
}

struct State<T, E> {
    /// To be dealt with now.
    due: VecDeque<Next<T, E>>,
    /// To be stored at the next checkpoint after their position.
    held: Vec<(DeadLetter<T, E>, Permit)>,
    closed: bool,
}

impl<T, E> State<T, E> {
    /// Makes the letters from before a position due, in the order of the source.
    fn release(&mut self, position: u64) {
        let held = std::mem::take(&mut self.held);
        let (mut due, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|(letter, _)| letter.position < position);
        due.sort_by_key(|(letter, _)| letter.position);
        self.due.extend(due.into_iter().map(|(letter, permit)| Next::Letter(letter, permit)));
        self.held = held;
    }
}

/// The checkpoints that a store of dead letters takes part in.
pub(crate) struct LetterSeat<'env> {
    pub(crate) keeper: Arc<Keeper<'env>>,
    pub(crate) key: String,
}

impl<T: Send, E: Send> DeadLane<T, E> for DeadQueue<T, E> {
    fn post(&self, letter: DeadLetter<T, E>, permit: Permit) {
        let mut state = self.state.lock();
        if self.holds {
            state.held.push((letter, permit));
            return;
        }
        state.due.push_back(Next::Letter(letter, permit));
        drop(state);
        self.arrival.notify_all();
    }

    fn has_room(&self, most: usize, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if state.due.len() >= most && !patience.is_zero() {
            (state, _) = self.room.wait_for(state, patience);
        }
        state.due.len() < most
    }
}

impl<T: Send, E: Send> DeadEnd for DeadQueue<T, E> {
    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        // No checkpoint will come: what is left is that of a run that was stopped.
        state.release(u64::MAX);
        drop(state);
        self.arrival.notify_all();
    }

    fn settle(&self, barrier: &Arc<Barrier>, number: usize) {
        let mut state = self.state.lock();
        state.release(barrier.position);
        state.due.push_back(Next::Settle(Arc::clone(barrier), number));
        drop(state);
        self.arrival.notify_all();
    }

    fn holds_letters(&self) -> bool {
        !self.state.lock().held.is_empty()
    }
}

impl<T, E> DeadQueue<T, E> {
    pub(crate) fn new(shared: Arc<Shared>, holds: bool) -> Self {
        let state = State { due: VecDeque::new(), held: Vec::new(), closed: false };
        DeadQueue { shared, holds, state: Mutex::new(state), arrival: Condvar::new(), room: Condvar::new() }
    }

    /// Waits for the next letter, for `patience` at most.
    pub(super) fn next(&self, patience: Duration) -> Next<T, E> {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            if let Some(next) = state.due.pop_front() {
                self.room.notify_one();
                return next;
            }
            if state.closed {
                return Next::Closed;
            }
            if waited {
                return Next::Nothing;
            }
            (state, _) = self.arrival.wait_for(state, patience);
            waited = true;
        }
    }
}

pub(super) enum Next<T, E> {
    Letter(DeadLetter<T, E>, Permit),
    /// All before a barrier are stored: to be committed.
    Settle(Arc<Barrier>, usize),
    Nothing,
    Closed,
}

/// Stores letters until their queue is closed and empty; then closes the store.
pub(crate) struct Burial<'env, T, E, S> {
    queue: Arc<DeadQueue<T, E>>,
    store: S,
    stage: String,
    /// If the run keeps checkpoints.
    seat: Option<LetterSeat<'env>>,
    /// The store has gone back to what it had at the checkpoint, if there is one.
    open: bool,
    /// The store has not failed.
    works: bool,
    /// When the last letter was stored, if nothing was flushed since.
    fresh_since: Option<u64>,
}

impl<'env, T, E, S> Task<'env> for Burial<'env, T, E, S>
where
    T: Send,
    E: Send,
    S: Store<DeadLetter<T, E>>,
    S::Error: Into<BoxError>,
{
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        if !std::mem::replace(&mut self.open, true) {
            self.resume();
        }
        match self.queue.next(patience.min(self.until_flush())) {
            Next::Letter(letter, permit) => {
                // Once the store has failed the run is aborted, and its error says that letters are missing.
                self.works = self.works && self.attempt("store a dead letter", |store| store.store(letter));
                self.fresh_since = self.works.then(|| self.queue.shared.now());
                drop(permit);
                driver.settle();
                Turned::Worked
            }
            Next::Settle(barrier, number) => {
                self.commit(&barrier, number);
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

impl<'env, T, E, S> Burial<'env, T, E, S>
where
    S: Store<DeadLetter<T, E>>,
    S::Error: Into<BoxError>,
{
    pub(crate) fn new(queue: Arc<DeadQueue<T, E>>, store: S, stage: String, seat: Option<LetterSeat<'env>>) -> Self {
        Burial { queue, store, stage, seat, open: false, works: true, fresh_since: None }
    }

    /// Lets the store go back to what it had at the checkpoint that the run goes on from.
    fn resume(&mut self) {
        if let Some(receipt) = self.seat.as_ref().and_then(|seat| seat.keeper.receipt_of_letters(&seat.key)) {
            self.works = self.attempt("resume its dead letters", |store| store.resume(&receipt));
        }
    }

    /// Commits the letters from before a barrier. If that fails the run is aborted, and nobody waits for the barrier.
    fn commit(&mut self, barrier: &Barrier, number: usize) {
        let Some(seat) = self.seat.as_ref().filter(|_| self.works) else { return };
        let keeper = Arc::clone(&seat.keeper);
        let progress = keeper.progress_of_letters(barrier);
        let mut receipt = None;
        self.works =
            self.attempt("commit its dead letters", |store| store.commit(&progress).map(|given| receipt = Some(given)));
        if let Some(receipt) = receipt {
            keeper.settled(barrier, number, receipt);
        }
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
