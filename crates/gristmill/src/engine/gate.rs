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
//! time, as nothing is known about growth yet, unless the user has said what he expects. If a morsel turns out heavier than
//! predicted the charge follows, so the next ones wait.
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
    /// One that learns how much heavier items get from the first.
    #[cfg(test)]
    pub(crate) fn new(window: usize, budget: Option<usize>) -> Arc<Self> {
        Self::expecting(window, budget, None)
    }

    /// One that need not learn first how many times heavier items get.
    pub(crate) fn expecting(window: usize, budget: Option<usize>, growth: Option<f64>) -> Arc<Self> {
        let growth = growth.map_or_else(Growth::default, |ratio| Growth { ratio: ratio.max(1.0), known: true });
        Arc::new(Gate { window, budget, state: Mutex::new(State { growth, ..State::default() }), room: Condvar::new() })
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

/// How much heavier items get on their way, as said and learned.
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

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const QUIET: Refused = Refused { quiet: true };
    const BUSY: Refused = Refused { quiet: false };

    /// A gate through which a morsel has come already, so that it admits more than one at a time.
    fn used(window: usize, budget: usize) -> Arc<Gate> {
        let gate = Gate::new(window, Some(budget));
        drop(gate.force());
        gate
    }

    /// Brings in a morsel that weighs `bytes`, whatever the grant says.
    fn bring(gate: &Arc<Gate>, bytes: usize) -> Permit {
        let (slot, grant) = gate.enter().unwrap();
        gate.settle(slot, grant, bytes)
    }

    /// A gate that has learned that items get `times` as heavy.
    fn grown(budget: usize, times: usize) -> Arc<Gate> {
        let gate = used(8, budget);
        bring(&gate, 10).reweigh(10 * times);
        gate
    }

    /// What is charged, seen from outside: what the next grant leaves of the budget.
    fn charged(gate: &Arc<Gate>) -> usize {
        let budget = gate.budget().unwrap();
        let Ok((slot, grant)) = gate.enter() else { return budget };
        assert!(gate.decline(slot, grant).is_some());
        budget - grant.reserved
    }

    fn charge(gate: &Gate, bytes: usize) -> Charge {
        gate.charge(bytes, Duration::ZERO, || panic!("morsels are in flight: they will give back"))
    }

    #[test]
    fn as_many_morsels_enter_as_the_window_is_wide() {
        let gate = Gate::new(2, None);
        let (first, grant) = gate.enter().unwrap();
        assert_eq!((grant, gate.budget()), (Grant::UNLIMITED, None));
        let second = gate.enter_charged().unwrap();
        assert_eq!(gate.in_flight(), 2);
        assert!(!gate.is_refusing());
        assert_eq!(gate.enter().unwrap_err(), BUSY);
        assert_eq!(gate.enter_charged().unwrap_err(), BUSY);
        assert!(gate.is_refusing());
        drop(first);
        assert_eq!(gate.in_flight(), 1);
        let third = gate.enter_charged().unwrap();
        assert!(gate.enter().is_err());
        drop((second, third));
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn a_forced_slot_does_not_ask_the_window_and_counts_in_it() {
        let gate = Gate::new(1, None);
        let first = gate.enter_charged().unwrap();
        let forced = gate.force();
        assert_eq!(gate.in_flight(), 2);
        drop(first);
        assert!(gate.enter().is_err());
        drop(forced);
        assert!(gate.enter().is_ok());
    }

    #[test]
    fn only_who_was_refused_is_called_and_only_once() {
        let gate = Gate::new(1, None);
        drop(gate.enter());
        assert!(!gate.take_freed(), "nobody was refused");
        let slot = gate.enter_charged().unwrap();
        assert!(gate.enter().is_err());
        assert!(!gate.take_freed(), "nothing was given back");
        drop(slot);
        assert!(!gate.is_refusing());
        assert!(gate.take_freed());
        assert!(!gate.take_freed());
    }

    #[test]
    fn a_budget_admits_one_morsel_until_it_is_known_how_they_grow() {
        let gate = Gate::new(4, Some(100));
        let first = bring(&gate, 10);
        assert_eq!(gate.enter().unwrap_err(), BUSY);
        drop(first);
        let [_second, _third] = [bring(&gate, 10), bring(&gate, 10)];
    }

    #[test]
    fn what_is_expected_need_not_be_learned_first() {
        let gate = Gate::expecting(4, Some(100), Some(2.0));
        let [_first, _second] = [bring(&gate, 25), bring(&gate, 25)];
        assert_eq!(gate.enter().unwrap_err(), BUSY, "each is charged twice its weight");
        let shrinking = Gate::expecting(4, Some(100), Some(0.5));
        let _first = bring(&shrinking, 60);
        assert_eq!(charged(&shrinking), 60, "nothing is charged less than it weighs at the source");
    }

    #[test]
    fn what_is_learned_replaces_what_was_expected() {
        let gate = Gate::expecting(8, Some(1_000), Some(1.0));
        bring(&gate, 10).reweigh(40);
        let _second = bring(&gate, 10);
        assert_eq!(charged(&gate), 40);
    }

    #[test]
    fn a_grant_reserves_what_is_left_of_the_budget() {
        let gate = used(4, 100);
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!((grant.reserved, grant.allowance, grant.alone), (100, 100, true));
        assert_eq!(gate.enter().unwrap_err(), BUSY);
        let first = gate.settle(slot, grant, 30);
        assert!(gate.take_freed(), "what it did not need, another may have");
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!((grant.reserved, grant.allowance, grant.alone), (70, 70, false));
        let second = gate.settle(slot, grant, 70);
        assert_eq!(gate.enter().unwrap_err(), BUSY);
        drop(first);
        assert_eq!(charged(&gate), 70);
        drop(second);
        assert_eq!(charged(&gate), 0);
    }

    #[test]
    fn who_uses_all_of_the_reserve_calls_nobody() {
        let gate = used(4, 100);
        let (slot, grant) = gate.enter().unwrap();
        assert!(gate.enter().is_err());
        let morsel = gate.settle(slot, grant, 100);
        assert!(gate.is_refusing() && !gate.take_freed());
        drop(morsel);
        assert!(gate.take_freed());
    }

    #[test]
    fn alone_is_where_no_morsel_is_in_flight_and_nothing_is_charged() {
        let gate = used(4, 100);
        let slot = gate.force();
        assert!(!gate.enter().unwrap().1.alone, "a morsel is in flight");
        drop(slot);

        let gate = used(4, 100);
        assert_eq!(gate.charge_at_once(60), Ok(Charge::Charged(60)));
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!((grant.reserved, grant.alone), (40, false), "something is charged");
        assert_eq!(gate.decline(slot, grant), Some(QUIET));
    }

    #[test]
    fn where_no_morsel_is_in_flight_a_refusal_says_so() {
        let gate = used(4, 100);
        assert_eq!(gate.charge_at_once(100), Ok(Charge::Charged(100)));
        assert!(!gate.is_held_up());
        assert_eq!(gate.enter().unwrap_err(), QUIET);
        assert!(gate.is_held_up());
        let slot = gate.force();
        assert_eq!(gate.enter().unwrap_err(), BUSY);
        assert!(!gate.is_held_up());
        drop(slot);
    }

    #[test]
    fn who_declines_gives_slot_and_reserve_back_and_is_called_later() {
        let gate = used(4, 100);
        let morsel = bring(&gate, 60);
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!(gate.in_flight(), 2);
        assert_eq!(gate.decline(slot, grant), Some(BUSY));
        assert_eq!((gate.in_flight(), charged(&gate)), (1, 60));
        assert!(gate.is_refusing() && !gate.take_freed());
        drop(morsel);
        assert!(gate.take_freed());

        assert_eq!(gate.charge_at_once(60), Ok(Charge::Charged(60)));
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!(gate.decline(slot, grant), Some(QUIET));
    }

    #[test]
    fn to_decline_a_grant_that_is_out_of_date_is_no_refusal() {
        let gate = used(4, 100);
        let morsel = bring(&gate, 60);
        let (slot, grant) = gate.enter().unwrap();
        drop(morsel);
        assert_eq!(gate.decline(slot, grant), None);
        assert!(!gate.is_refusing());
        assert_eq!((gate.in_flight(), charged(&gate)), (0, 0));
    }

    #[test]
    fn an_item_is_charged_up_to_the_last_byte_of_the_budget() {
        let gate = used(4, 100);
        assert_eq!(gate.charge_at_once(60), Ok(Charge::Charged(60)));
        assert_eq!(gate.charge_at_once(40), Ok(Charge::Charged(40)));
        assert_eq!(gate.charge_at_once(1), Err(1));
        assert_eq!((gate.bytes(), charged(&gate)), ((100, 100), 100));
        drop(gate.adopt(None, 60, 60));
        assert_eq!(gate.bytes(), (40, 100), "the most there have been stays");
        assert_eq!(charged(&gate), 40);
    }

    #[test]
    fn an_item_larger_than_the_budget_is_charged_when_nothing_else_is() {
        let gate = used(4, 100);
        assert_eq!(gate.charge_at_once(1_000), Ok(Charge::Charged(1_000)));
        assert_eq!(gate.charge_at_once(0), Err(900));
        drop(gate.adopt(None, 1_000, 1_000));
        assert_eq!(gate.charge_at_once(1), Ok(Charge::Charged(1)));
    }

    #[test]
    fn who_is_not_charged_at_once_is_told_how_much_must_come_back() {
        let gate = used(4, 100);
        assert_eq!(gate.charge_at_once(80), Ok(Charge::Charged(80)));
        assert_eq!(gate.charge_at_once(50), Err(30));
        assert!(gate.is_refusing());
        assert_eq!(gate.charge_at_once(500), Err(80), "no more than is charged");
    }

    #[test]
    fn without_a_budget_bytes_are_counted_and_not_charged() {
        let gate = Gate::new(1, None);
        assert_eq!(gate.charge_at_once(70), Ok(Charge::Charged(0)));
        let mut morsel = bring(&gate, 30);
        assert_eq!((gate.bytes(), morsel.bytes()), ((100, 100), 30));
        morsel.reweigh(50);
        assert_eq!((gate.bytes(), morsel.bytes()), ((120, 120), 50));
        drop(morsel);
        assert_eq!(gate.bytes(), (70, 120));
    }

    #[test]
    fn a_source_without_room_asks_for_batches_only_where_no_morsel_is_in_flight() {
        let gate = used(4, 100);
        let morsel = bring(&gate, 100);
        assert_eq!(charge(&gate, 1), Charge::Refused);
        assert!(gate.is_refusing());
        drop(morsel);
        assert_eq!(charge(&gate, 100), Charge::Charged(100));
        let batch = gate.adopt(None, 100, 100);
        let asked = std::cell::Cell::new(0);
        let ask = || asked.set(asked.get() + 1);
        assert_eq!(gate.charge(1, Duration::ZERO, ask), Charge::Refused);
        assert_eq!(asked.get(), 1);
        let batch = std::cell::Cell::new(Some(batch));
        assert_eq!(gate.charge(1, Duration::ZERO, || drop(batch.take())), Charge::Charged(1));
    }

    #[test]
    fn who_waits_for_a_return_is_called() {
        let gate = used(4, 100);
        gate.wait_for_return(Duration::ZERO);
        assert!(gate.is_refusing());
        gate.stop();
        let gate = used(4, 100);
        gate.stop();
        gate.wait_for_return(Duration::ZERO);
        assert!(!gate.is_refusing(), "who comes after a stop waits for nothing");
    }

    #[test]
    fn nothing_is_charged_after_a_stop() {
        let gate = used(4, 100);
        gate.stop();
        assert_eq!(gate.charge_at_once(1), Ok(Charge::Stopped));
        assert_eq!(charge(&gate, 1), Charge::Stopped);
        assert_eq!((gate.bytes(), charged(&gate)), ((0, 0), 0));
    }

    #[test]
    fn what_is_beside_the_budget_is_counted_only() {
        let gate = used(4, 100);
        let beside = gate.beside(500);
        assert_eq!((gate.bytes(), charged(&gate), gate.in_flight()), ((500, 500), 0, 0));
        drop(beside);
        assert_eq!(gate.bytes(), (0, 500));
    }

    #[test]
    fn the_charge_follows_what_gets_heavier_and_keeps_what_gets_lighter() {
        let gate = used(4, 100);
        let mut morsel = bring(&gate, 20);
        morsel.reweigh(50);
        assert_eq!((gate.bytes(), charged(&gate)), ((50, 50), 50));
        morsel.reweigh(10);
        assert_eq!((gate.bytes(), charged(&gate)), ((10, 50), 50), "it may grow again");
        morsel.reweigh(0);
        assert_eq!((gate.bytes(), charged(&gate)), ((0, 50), 50));
        drop(morsel);
        assert_eq!((gate.bytes(), charged(&gate)), ((0, 50), 0));
    }

    #[test]
    fn admission_is_by_the_predicted_peak() {
        let gate = grown(1_000, 4);
        let (slot, grant) = gate.enter().unwrap();
        assert_eq!((grant.reserved, grant.allowance), (1_000, 250));
        let morsel = gate.settle(slot, grant, 100);
        assert_eq!((gate.bytes().0, charged(&gate)), (100, 400));
        assert_eq!(gate.charge_at_once(200), Err(200));
        assert_eq!(gate.charge_at_once(150), Ok(Charge::Charged(600)));
        drop(morsel);
        assert_eq!(charged(&gate), 600);
    }

    #[test]
    fn growth_is_believed_at_once_and_forgotten_slowly() {
        let gate = grown(1 << 20, 2);
        let predicted = |gate: &Arc<Gate>| {
            let permit = bring(gate, 100_000);
            permit.charge
        };
        assert_eq!(predicted(&gate), 200_000);
        bring(&gate, 10).reweigh(10);
        assert_eq!(predicted(&gate), 199_500, "one part in two hundred of what it was seen to be");
        bring(&gate, 10).reweigh(30);
        assert_eq!(predicted(&gate), 300_000);
        (0..10_000).for_each(|_| bring(&gate, 10).reweigh(1));
        assert_eq!(predicted(&gate), 100_000, "what gets lighter is charged what it weighs at first");
    }

    #[test]
    fn items_of_no_weight_grow_by_what_they_weigh_later() {
        let gate = used(4, 1_000);
        bring(&gate, 0).reweigh(5);
        assert_eq!(bring(&gate, 10).charge, 50);
    }

    #[test]
    fn no_growth_is_too_large_to_add_to_what_is_charged() {
        let gate = used(8, 100);
        bring(&gate, 1).reweigh(usize::MAX / 8);
        assert_eq!(gate.charge_at_once(1), Ok(Charge::Charged(usize::MAX / 8 + 1)), "as a float has it");
        assert_eq!(gate.charge_at_once(100), Err(usize::MAX / 8 + 1));
    }

    #[test]
    fn a_permit_is_taken_whole_and_nothing_is_left() {
        let gate = grown(1_000, 2);
        let mut permit = bring(&gate, 100);
        let taken = permit.take();
        assert_eq!((permit.bytes(), permit.charge, permit.source_bytes), (0, 0, 0));
        assert_eq!((taken.bytes(), taken.charge, taken.source_bytes), (100, 200, 100));
        drop(permit);
        assert_eq!((gate.in_flight(), gate.bytes().0), (1, 100));
        drop(taken);
        assert_eq!((gate.in_flight(), gate.bytes().0, charged(&gate)), (0, 0, 0));
    }

    #[test]
    fn the_parts_of_a_permit_are_the_whole() {
        let gate = grown(1_000, 2);
        let mut permit = bring(&gate, 40);
        let part = permit.split(10, None);
        assert_eq!((part.bytes(), part.charge, part.source_bytes), (10, 20, 10));
        assert_eq!((permit.bytes(), permit.charge, permit.source_bytes), (30, 60, 30));
        let rest = permit.split(usize::MAX, None);
        assert_eq!((rest.bytes(), rest.charge, rest.source_bytes), (30, 60, 30));
        let nothing = permit.split(5, None);
        assert_eq!((nothing.bytes(), nothing.charge, nothing.source_bytes), (0, 0, 0));
        assert_eq!(gate.bytes().0, 40);
        drop((part, rest, nothing));
        assert_eq!((gate.bytes().0, charged(&gate), gate.in_flight()), (0, 0, 1));
    }

    #[test]
    fn branches_have_the_slot_until_the_last_is_gone() {
        let gate = used(4, 1_000);
        let mut permit = bring(&gate, 100);
        let branch = permit.branch(25);
        assert_eq!((branch.bytes(), permit.bytes(), gate.bytes().0), (25, 75, 100));
        drop(permit);
        assert_eq!((gate.in_flight(), gate.bytes().0), (1, 25));
        drop(branch);
        assert_eq!((gate.in_flight(), gate.bytes().0), (0, 0));
    }

    #[test]
    fn what_shares_a_slot_is_charged_on_top() {
        let gate = used(4, 1_000);
        let permit = bring(&gate, 100);
        let shared = permit.share(30);
        assert_eq!((shared.bytes(), gate.bytes().0, charged(&gate)), (30, 130, 130));
        drop(permit);
        assert_eq!((gate.in_flight(), gate.bytes().0, charged(&gate)), (1, 30, 30));
        drop(shared);
        assert_eq!((gate.in_flight(), gate.bytes().0, charged(&gate)), (0, 0, 0));

        let gate = Gate::new(4, None);
        let permit = bring(&gate, 100);
        let shared = permit.share(30);
        assert_eq!((shared.charge, gate.bytes().0), (0, 130));
    }

    #[test]
    fn what_is_absorbed_gives_its_slot_back_and_keeps_its_bytes() {
        let gate = grown(1_000, 2);
        let [mut batch, morsel] = [bring(&gate, 40), bring(&gate, 60)];
        batch.absorb(morsel);
        assert_eq!((batch.bytes(), batch.charge, batch.source_bytes), (100, 200, 100));
        assert_eq!((gate.in_flight(), gate.bytes().0, charged(&gate)), (1, 100, 200));
        drop(batch);
        assert_eq!((gate.in_flight(), gate.bytes().0, charged(&gate)), (0, 0, 0));
    }

    #[test]
    fn a_slot_moves_from_permit_to_permit() {
        let gate = used(4, 100);
        let mut permit = bring(&gate, 10);
        let slot = permit.take_slot().unwrap();
        assert!(permit.take_slot().is_none());
        drop(permit);
        assert_eq!((gate.in_flight(), gate.bytes().0), (1, 0));
        let mut other = gate.adopt(None, 0, 0);
        other.put_slot(slot);
        assert_eq!(gate.in_flight(), 1);
        drop(other);
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn a_permit_that_holds_nothing_calls_nobody() {
        let gate = Gate::new(1, None);
        let slot = gate.enter_charged().unwrap();
        assert!(gate.enter().is_err());
        drop(gate.adopt(None, 0, 0));
        assert!(gate.is_refusing());
        drop(slot);
        assert!(!gate.is_refusing());
    }
}
