//! The only place where a pipeline makes anybody wait: permits, counted in morsels and in bytes.
//!
//! A morsel enters with a [`Slot`], one of `window`, and with its bytes charged to the budget. It keeps both until it is
//! stored, dropped, or merged into a batch. As every morsel in flight holds a slot, no lane inside the pipeline ever
//! holds more than `window` morsels, so a send inside the pipeline never waits; only the source does.
//!
//! # Bytes
//!
//! A morsel is charged what it is *predicted* to weigh at its heaviest: its weight at the source times the growth that
//! earlier morsels showed on their way. Until the first morsel has come through, a run with a budget admits one at a
//! time, as nothing is known about growth yet. If a morsel turns out heavier than predicted the charge follows, so the
//! next ones wait.
//!
//! # Invariants
//!
//! - `charged` is the sum of the charges of all living permits, plus what fillers have reserved, plus what open batches
//!   and the buffers of source threads hold.
//! - A refusal leaves a mark (`refused`); whoever gives something back while the mark stands wakes the refused. Mark and
//!   counters are under one lock, so there is no gap between them.
//! - One item larger than the whole budget passes when it is alone: nothing else is charged.
//!
//! # The race that almost was
//!
//! A filler enters while one morsel is in flight, so it is not alone. The morsel ends and finds no mark. The filler pulls
//! an item larger than the budget, may not take it, gives its grant back and leaves a mark for somebody who has gone: the
//! run hung. So a grant carries the number of returns at its time, and one that is out of date is not a refusal.

use super::sync::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Gate {
    window: usize,
    /// Bytes; `None` is unbounded.
    budget: Option<usize>,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    charged: usize,
    /// What the morsels in flight really weigh, as last measured.
    bytes: usize,
    peak: usize,
    growth: Growth,
    /// Somebody was refused since the last wake-up.
    refused: bool,
    /// Something was given back since: the refused should look again.
    freed: bool,
    /// How often something was given back: a grant made before the last time may be out of date.
    returns: u64,
    stopped: bool,
}

/// What a filler may take: its reserve is charged until it settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Bytes charged for the filler; `usize::MAX` when the budget is unbounded.
    pub(crate) reserved: usize,
    /// Bytes at the source that the reserve is good for.
    pub(crate) allowance: usize,
    /// Nothing else is in flight or charged, so one item of any size may pass.
    pub(crate) alone: bool,
    /// The gate's returns when this was granted.
    returns: u64,
}

impl Grant {
    /// For items that are charged already.
    pub(crate) const UNLIMITED: Grant = Grant { reserved: 0, allowance: usize::MAX, alone: true, returns: 0 };
}

/// What came of charging an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// It is in flight, charged so many bytes.
    Charged(usize),
    /// There is no room yet.
    Refused,
    /// The run has stopped.
    Stopped,
}

/// How long a source with a thread waits for room before it looks again.
const BACKSTOP: Duration = Duration::from_millis(5);

impl Gate {
    pub(crate) fn new(window: usize, budget: Option<usize>) -> Arc<Self> {
        Arc::new(Gate { window, budget, state: Mutex::new(State::default()), room: Condvar::new() })
    }

    /// Bytes; `None` is unbounded.
    pub(crate) fn budget(&self) -> Option<usize> {
        self.budget
    }

    /// Bytes in flight now, and the most there have been.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.bytes, state.peak)
    }

    /// Takes one of the window's slots for items that are charged already.
    pub(crate) fn enter_charged(self: &Arc<Self>) -> Result<Slot, Refused> {
        let mut state = self.state.lock();
        self.check_window(&mut state)?;
        state.in_flight += 1;
        Ok(self.slot())
    }

    /// Takes one of the window's slots and, under a budget, reserves what is left of it.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<(Slot, Grant), Refused> {
        let mut state = self.state.lock();
        self.check_window(&mut state)?;
        let grant = match self.budget {
            None => Grant::UNLIMITED,
            Some(budget) => {
                let alone = state.in_flight == 0 && state.charged == 0;
                let left = budget.saturating_sub(state.charged);
                if left == 0 {
                    state.refused = true;
                    return Err(Refused { quiet: state.in_flight == 0 });
                }
                state.charged += left;
                Grant { reserved: left, allowance: state.growth.unpredict(left), alone, returns: state.returns }
            }
        };
        state.in_flight += 1;
        Ok((self.slot(), grant))
    }

    /// A slot outside the window, for what must leave a batch whatever the window says.
    pub(crate) fn force(self: &Arc<Self>) -> Slot {
        self.state.lock().in_flight += 1;
        self.slot()
    }

    /// Turns a reserve into the charge of a morsel that weighs `bytes` at the source.
    pub(crate) fn settle(self: &Arc<Self>, slot: Slot, grant: Grant, bytes: usize) -> Permit {
        let mut state = self.state.lock();
        let charge = if self.budget.is_some() { state.growth.predict(bytes) } else { 0 };
        self.recharge(&mut state, grant.reserved, charge);
        state.add_bytes(bytes);
        drop(state);
        Permit { slot: Some(Arc::new(slot)), gate: Arc::clone(self), charge, bytes, source_bytes: bytes }
    }

    /// Gives slot and reserve back unused, as the next item does not fit. Leaves the mark of a refusal; or, if something
    /// was given back since the grant, returns `None`: the item may fit now, and who gave back has seen no mark.
    pub(crate) fn decline(&self, mut slot: Slot, grant: Grant) -> Option<Refused> {
        slot.gate = None;
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.charged -= grant.reserved;
        if state.returns != grant.returns {
            return None;
        }
        // Others whom this reserve kept out are not woken: what kept this one out is still in flight, and will wake all.
        state.refused = true;
        Some(Refused { quiet: state.in_flight == 0 })
    }

    /// The permit for items that a source thread has charged already; without a slot, only to be dropped.
    pub(crate) fn adopt(self: &Arc<Self>, slot: Option<Slot>, charge: usize, bytes: usize) -> Permit {
        Permit { slot: slot.map(Arc::new), gate: Arc::clone(self), charge, bytes, source_bytes: bytes }
    }

    /// Charges one item of a source with a thread, which waits for room, once and no longer than `patience`.
    pub(crate) fn charge(&self, bytes: usize, patience: Duration, on_wait: impl Fn()) -> Charge {
        let mut state = self.state.lock();
        if let Some(done) = self.try_charge(&mut state, bytes) {
            return done;
        }
        state.refused = true;
        if state.in_flight == 0 {
            // Only open batches and buffers hold bytes: ask for them to be let go, outside the lock.
            drop(state);
            on_wait();
            state = self.state.lock();
            if let Some(done) = self.try_charge(&mut state, bytes) {
                return done;
            }
        }
        // The limit is a backstop for bytes that batches hold, which only a tick lets go.
        (state, _) = self.room.wait_for(state, patience.min(BACKSTOP));
        drop(state);
        Charge::Refused
    }

    /// Charges one item of a source with a thread, if it fits at once; else says how much charge must be given back for it
    /// to fit. Who is refused so does not wait, so open batches are let go by a tick.
    pub(crate) fn charge_at_once(&self, bytes: usize) -> Result<Charge, usize> {
        let mut state = self.state.lock();
        if let Some(done) = self.try_charge(&mut state, bytes) {
            return Ok(done);
        }
        state.refused = true;
        let over = (state.charged + state.growth.predict(bytes)).saturating_sub(self.budget.unwrap_or(usize::MAX));
        Err(over.min(state.charged))
    }

    /// Waits until something is given back, for a moment at most.
    pub(crate) fn wait_for_return(&self, patience: Duration) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.refused = true;
            drop(self.room.wait_for(state, patience.min(BACKSTOP)));
        }
    }

    /// A permit for something beside the budget: its bytes are counted, and nothing is charged.
    pub(crate) fn beside(self: &Arc<Self>, bytes: usize) -> Permit {
        self.state.lock().add_bytes(bytes);
        self.adopt(None, 0, bytes)
    }

    fn try_charge(&self, state: &mut MutexGuard<'_, State>, bytes: usize) -> Option<Charge> {
        if state.stopped {
            return Some(Charge::Stopped);
        }
        let charge = if self.budget.is_some() { state.growth.predict(bytes) } else { 0 };
        let fits = self.budget.is_none_or(|budget| state.charged == 0 || state.charged + charge <= budget);
        fits.then(|| {
            state.charged += charge;
            state.add_bytes(bytes);
            Charge::Charged(charge)
        })
    }

    /// How many morsels are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().in_flight
    }

    /// Whether somebody was refused while no morsel is in flight: only open batches can hold what he waits for.
    pub(crate) fn is_held_up(&self) -> bool {
        let state = self.state.lock();
        state.refused && state.in_flight == 0
    }

    /// Whether somebody was refused and nothing was given back since.
    pub(crate) fn is_refusing(&self) -> bool {
        self.state.lock().refused
    }

    /// Takes the mark that something was given back to somebody refused.
    pub(crate) fn take_freed(&self) -> bool {
        std::mem::take(&mut self.state.lock().freed)
    }

    /// Nothing is admitted any more; sleepers go home.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.room.notify_all();
    }

    fn slot(self: &Arc<Self>) -> Slot {
        Slot { gate: Some(Arc::clone(self)) }
    }

    fn check_window(&self, state: &mut MutexGuard<'_, State>) -> Result<(), Refused> {
        let window = if self.budget.is_some() && !state.growth.known { 1 } else { self.window };
        if state.in_flight < window {
            return Ok(());
        }
        state.refused = true;
        Err(Refused { quiet: false })
    }

    fn recharge(&self, state: &mut MutexGuard<'_, State>, from: usize, to: usize) {
        state.charged = state.charged - from + to;
        if to < from {
            self.wake(state);
        }
    }

    fn wake(&self, state: &mut MutexGuard<'_, State>) {
        state.returns += 1;
        if std::mem::take(&mut state.refused) {
            state.freed = true;
            self.room.notify_all();
        }
    }

    fn release_slot(&self) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.growth.known = true;
        self.wake(&mut state);
    }

    fn release_bytes(&self, charge: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.charged -= charge;
        state.bytes -= bytes;
        self.wake(&mut state);
    }
}

impl State {
    fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
    }
}

/// Nobody may enter now; a mark was left, and whoever gives something back raises a hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// No morsel is in flight, so nothing will come back by itself: only open batches hold bytes.
    pub(crate) quiet: bool,
}

/// The right of one morsel to be in flight; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    /// `None` once it was given back by other means.
    gate: Option<Arc<Gate>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.release_slot();
        }
    }
}

/// What a morsel carries: a slot, which branches of the pipeline may share, and the bytes charged for it.
#[derive(Debug)]
pub struct Permit {
    slot: Option<Arc<Slot>>,
    gate: Arc<Gate>,
    charge: usize,
    bytes: usize,
    source_bytes: usize,
}

impl Permit {
    /// Charges what the morsel weighs now, and learns how much it has grown.
    pub(crate) fn reweigh(&mut self, bytes: usize) {
        let bounded = self.gate.budget.is_some();
        if bytes == self.bytes && !bounded {
            return;
        }
        let mut state = self.gate.state.lock();
        state.bytes -= self.bytes;
        state.add_bytes(bytes);
        self.bytes = bytes;
        if bounded {
            state.growth.learn(self.source_bytes, bytes);
            if bytes > self.charge {
                state.charged += bytes - self.charge;
                self.charge = bytes;
            }
        }
    }

    /// Moves the permit out, leaving one that holds nothing.
    pub(crate) fn take(&mut self) -> Permit {
        let source_bytes = self.source_bytes;
        self.split(usize::MAX, None).with_slot(self.slot.take(), source_bytes)
    }

    fn with_slot(mut self, slot: Option<Arc<Slot>>, source_bytes: usize) -> Permit {
        self.slot = slot;
        self.source_bytes = source_bytes;
        self
    }

    /// A permit for something that outlives the morsel, such as a dead letter under way: the same slot, bytes on top.
    pub(crate) fn share(&self, bytes: usize) -> Permit {
        let charge = if self.gate.budget.is_some() { bytes } else { 0 };
        if bytes > 0 {
            let mut state = self.gate.state.lock();
            state.charged += charge;
            state.add_bytes(bytes);
        }
        Permit { slot: self.slot.clone(), gate: Arc::clone(&self.gate), charge, bytes, source_bytes: bytes }
    }

    /// Splits off a branch that weighs `bytes` of this permit; both have its slot.
    pub(crate) fn branch(&mut self, bytes: usize) -> Permit {
        let slot = self.slot.clone();
        self.split(bytes, slot)
    }

    /// What the morsel weighs.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the bytes of another permit to this one; its slot is given back.
    pub(crate) fn absorb(&mut self, mut other: Permit) {
        self.charge += std::mem::take(&mut other.charge);
        self.bytes += std::mem::take(&mut other.bytes);
        self.source_bytes += other.source_bytes;
    }

    /// Splits off `bytes` of this permit, with a slot or without.
    pub(crate) fn split(&mut self, bytes: usize, slot: Option<Arc<Slot>>) -> Permit {
        let bytes = bytes.min(self.bytes);
        let share = |whole: usize| {
            if self.bytes == 0 { 0 } else { (whole as u128 * bytes as u128 / self.bytes as u128) as usize }
        };
        let (charge, source_bytes) = (share(self.charge), share(self.source_bytes));
        self.bytes -= bytes;
        self.charge -= charge;
        self.source_bytes -= source_bytes;
        Permit { slot, gate: Arc::clone(&self.gate), charge, bytes, source_bytes }
    }

    /// Takes the slot out.
    pub(crate) fn take_slot(&mut self) -> Option<Arc<Slot>> {
        self.slot.take()
    }

    /// Gives the permit a slot.
    pub(crate) fn put_slot(&mut self, slot: Arc<Slot>) {
        self.slot = Some(slot);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.charge > 0 || self.bytes > 0 {
            self.gate.release_bytes(self.charge, self.bytes);
        }
    }
}

/// How much heavier items get on their way, as learned.
#[derive(Debug)]
struct Growth {
    /// Heaviest weight on the way per byte at the source; never below one.
    ratio: f64,
    known: bool,
}

impl Default for Growth {
    fn default() -> Self {
        Growth { ratio: 1.0, known: false }
    }
}

impl Growth {
    /// A jump up is believed at once; what is not seen again is forgotten slowly.
    fn learn(&mut self, source_bytes: usize, bytes: usize) {
        let seen = bytes as f64 / source_bytes.max(1) as f64;
        self.ratio = if seen >= self.ratio { seen } else { (self.ratio * 0.995 + seen * 0.005).max(1.0) };
    }

    fn predict(&self, bytes: usize) -> usize {
        if self.ratio == 1.0 { bytes } else { (bytes as f64 * self.ratio).min(usize::MAX as f64 / 4.0) as usize }
    }

    fn unpredict(&self, charge: usize) -> usize {
        if self.ratio == 1.0 { charge } else { (charge as f64 / self.ratio) as usize }
    }
}
