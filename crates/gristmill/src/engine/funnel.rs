//! Many hand in, one at a time takes out, in the order that was asked for.
//!
//! A store, a batch and a merge are serial: their user code runs on one morsel at a time. A funnel gives that turn to
//! whoever hands in a morsel that may go next, so nobody waits: the others leave theirs behind and go on. A store with a
//! thread of its own waits for the turns instead.
//!
//! # Protocol
//!
//! 1. [`Funnel::offer`] puts a morsel in place. If nobody has the turn and something may go next, the offerer gets the
//!    turn.
//! 2. Who has the turn calls [`Funnel::turn`] and takes what it returns, until it says [`Turn::Leave`], which gives the
//!    turn back *in the same step* in which nothing was found to take.
//! 3. [`Funnel::close`] says that nothing more will be offered. The one who finds the funnel closed and empty gets
//!    [`Turn::Finish`], once.
//!
//! A funnel may have an owner, a thread that alone gets the turns and sleeps between them. To wake it for each morsel takes
//! longer than many a morsel did, so a worker hands in *quietly*:
//!
//! 4. [`Funnel::offer_quietly`] puts a morsel in place and wakes the owner only if several wait. Otherwise it leaves a note.
//! 5. [`Funnel::announce`] wakes the owner if there is a note, and takes it away. A worker calls it after a step that took
//!    long, and before it rests; and so does every tick, for those that are in the middle of such a step.
//!
//! # Invariants
//!
//! - At most one has the turn, so what it does with a morsel is serial, and in the order of the turns.
//! - If nobody has the turn, nothing that may go next is inside: every offer and the close check both under one lock.
//! - User code never runs under the lock.
//! - While the owner sleeps and something may go next, it is being woken, or there is a note: notes are left and taken under
//!   the same lock, by the owner when it finds nothing to take.
//!
//! # The race that almost was
//!
//! Looking for the next morsel and giving up the turn in two steps lets an offer slip in between: it sees the turn taken
//! and leaves its morsel to somebody who has already looked.
//!
//! A note that is left after the lock was given back: the owner finds nothing, another's note comes, and it is the owner who
//! takes it away before it sleeps.

use super::sync::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a funnel arranges.
pub(crate) trait Sequenced {
    /// The place in the source's order: 0, 1, 2 … without gaps.
    fn seq(&self) -> u64;
}

/// The keys of a morsel, as 256 bits of a Bloom filter: two that share no bit share no key.
pub(crate) type Keys = [u64; 4];

/// Which morsel may go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Any, as they come.
    Unordered,
    /// In the order of the source.
    Source,
    /// One that shares no key with an earlier one that has not gone yet.
    Key,
}

#[derive(Debug)]
pub(crate) struct Funnel<T> {
    state: Mutex<State<T>>,
    arrival: Condvar,
}

/// The owner is woken for so many morsels at once: a fraction of the smallest window. A model has few.
const QUIETLY: usize = if cfg!(loom) { 2 } else { 8 };

#[derive(Debug)]
struct State<T> {
    waiting: Waiting<T>,
    taken: bool,
    closed: bool,
    finished: bool,
    /// Something was handed in quietly since the owner looked.
    note: bool,
}

#[derive(Debug)]
enum Waiting<T> {
    Unordered(VecDeque<T>),
    /// `slots[i]` is for the morsel `next + i`.
    Source {
        next: u64,
        slots: VecDeque<Option<T>>,
    },
    Key {
        expected: BTreeMap<u64, Keys>,
        arrived: BTreeMap<u64, T>,
    },
}

/// What the holder of the turn is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    /// Consume this and ask again.
    Take(T),
    /// Everything has been taken and nothing more will come; said once.
    Finish,
    /// The turn is given back.
    Leave,
}

impl<T: Sequenced> Funnel<T> {
    pub(crate) fn new(order: Order) -> Self {
        let waiting = match order {
            Order::Unordered => Waiting::Unordered(VecDeque::new()),
            Order::Source => Waiting::Source { next: 0, slots: VecDeque::new() },
            Order::Key => Waiting::Key { expected: BTreeMap::new(), arrived: BTreeMap::new() },
        };
        let state = State { waiting, taken: false, closed: false, finished: false, note: false };
        Funnel { state: Mutex::new(state), arrival: Condvar::new() }
    }

    /// Announces the keys of a morsel that will be offered; in the order of the source, before any of it can arrive.
    pub(crate) fn expect(&self, seq: u64, keys: Keys) {
        if let Waiting::Key { expected, .. } = &mut self.state.lock().waiting {
            expected.insert(seq, keys);
        }
    }

    /// Hands a morsel in. When it returns true, the caller has the turn.
    #[must_use]
    pub(crate) fn offer(&self, morsel: T) -> bool {
        let mut state = self.state.lock();
        state.waiting.insert(morsel);
        self.grab(state)
    }

    /// Hands a morsel in to the owner, who need not be woken for it. Whoever calls this calls [`Funnel::announce`] before he
    /// rests.
    pub(crate) fn offer_quietly(&self, morsel: T) {
        let mut state = self.state.lock();
        debug_assert!(state.taken, "a funnel without an owner");
        state.waiting.insert(morsel);
        if !state.waiting.has_next() {
            return;
        }
        state.note = state.waiting.len() < QUIETLY;
        if !state.note {
            drop(state);
            self.arrival.notify_all();
        }
    }

    /// Wakes the owner if something waits that was handed in quietly; says whether there was.
    pub(crate) fn announce(&self) -> bool {
        let noted = std::mem::take(&mut self.state.lock().note);
        if noted {
            self.arrival.notify_all();
        }
        noted
    }

    /// Nothing more will be offered. When it returns true, the caller has the turn.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        self.grab(state)
    }

    /// Takes the turn, if nobody has it, without handing anything in: for work on the consumer that no morsel brings. When
    /// it returns true, the caller has the turn and must call [`Funnel::turn`] until that gives it back.
    #[must_use]
    pub(crate) fn try_take(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().taken, true)
    }

    /// Takes the next morsel, or gives the turn back. Only for the holder of the turn.
    pub(crate) fn turn(&self) -> Turn<T> {
        let mut state = self.state.lock();
        let turn = state.next();
        if matches!(turn, Turn::Leave) {
            state.taken = false;
        }
        turn
    }

    /// Makes the calling thread the only one that ever gets the turn.
    pub(crate) fn own(&self) {
        self.state.lock().taken = true;
    }

    /// Waits for the next morsel; for the owner. [`Turn::Leave`] means that `limit` went by or [`Funnel::wake`] was
    /// called. What was `stopped` before the call to `wake` is not waited for.
    pub(crate) fn wait_turn(&self, limit: Duration, stopped: impl Fn() -> bool) -> Turn<T> {
        let mut state = self.state.lock();
        let turn = state.next();
        // Asked under the lock that `wake` takes: who was woken before he slept sees why.
        if !matches!(turn, Turn::Leave) || stopped() {
            return turn;
        }
        state.note = false;
        (state, _) = self.arrival.wait_for(state, limit);
        state.next()
    }

    /// Wakes the owner.
    pub(crate) fn wake(&self) {
        drop(self.state.lock());
        self.arrival.notify_all();
    }

    fn grab(&self, mut state: MutexGuard<'_, State<T>>) -> bool {
        let something = state.waiting.has_next() || (state.closed && state.waiting.is_empty() && !state.finished);
        let mine = something && !state.taken;
        state.taken |= mine;
        drop(state);
        if something && !mine {
            self.arrival.notify_all();
        }
        mine
    }
}

impl<T: Sequenced> State<T> {
    fn next(&mut self) -> Turn<T> {
        if let Some(morsel) = self.waiting.take_next() {
            return Turn::Take(morsel);
        }
        if self.closed && !self.finished && self.waiting.is_empty() {
            self.finished = true;
            return Turn::Finish;
        }
        Turn::Leave
    }
}

impl<T: Sequenced> Waiting<T> {
    fn insert(&mut self, morsel: T) {
        match self {
            Waiting::Unordered(queue) => queue.push_back(morsel),
            Waiting::Source { next, slots } => {
                let place = (morsel.seq() - *next) as usize;
                if place >= slots.len() {
                    slots.resize_with(place + 1, || None);
                }
                debug_assert!(slots[place].is_none(), "two morsels with one number");
                slots[place] = Some(morsel);
            }
            Waiting::Key { arrived, .. } => {
                arrived.insert(morsel.seq(), morsel);
            }
        }
    }

    /// How many wait; some of them perhaps for others.
    fn len(&self) -> usize {
        match self {
            Waiting::Unordered(queue) => queue.len(),
            Waiting::Source { slots, .. } => slots.len(),
            Waiting::Key { arrived, .. } => arrived.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Waiting::Unordered(queue) => queue.is_empty(),
            Waiting::Source { slots, .. } => slots.iter().all(Option::is_none),
            Waiting::Key { arrived, .. } => arrived.is_empty(),
        }
    }

    fn has_next(&self) -> bool {
        match self {
            Waiting::Unordered(queue) => !queue.is_empty(),
            Waiting::Source { slots, .. } => slots.front().is_some_and(Option::is_some),
            Waiting::Key { .. } => self.free_key().is_some(),
        }
    }

    fn take_next(&mut self) -> Option<T> {
        if let Waiting::Key { .. } = self {
            let seq = self.free_key()?;
            let Waiting::Key { expected, arrived } = self else { return None };
            expected.remove(&seq);
            return arrived.remove(&seq);
        }
        match self {
            Waiting::Unordered(queue) => queue.pop_front(),
            Waiting::Source { next, slots } => {
                let morsel = slots.front_mut()?.take()?;
                slots.pop_front();
                *next += 1;
                Some(morsel)
            }
            Waiting::Key { .. } => None,
        }
    }

    /// The first arrived morsel that shares no key with an earlier one still expected.
    fn free_key(&self) -> Option<u64> {
        let Waiting::Key { expected, arrived } = self else { return None };
        let mut before: Keys = [0; 4];
        for (seq, keys) in expected {
            let free = before.iter().zip(keys).all(|(before, key)| before & key == 0);
            if free && arrived.contains_key(seq) {
                return Some(*seq);
            }
            before.iter_mut().zip(keys).for_each(|(before, key)| *before |= key);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Numbered(u64);

    impl Sequenced for Numbered {
        fn seq(&self) -> u64 {
            self.0
        }
    }

    fn drain(funnel: &Funnel<Numbered>) -> Vec<u64> {
        std::iter::from_fn(|| match funnel.turn() {
            Turn::Take(Numbered(seq)) => Some(seq),
            Turn::Finish | Turn::Leave => None,
        })
        .collect()
    }

    #[test]
    fn source_order_holds_back_what_came_early() {
        let funnel = Funnel::new(Order::Source);
        assert!(!funnel.offer(Numbered(2)));
        assert!(!funnel.offer(Numbered(1)));
        assert!(funnel.offer(Numbered(0)));
        assert_eq!(drain(&funnel), [0, 1, 2]);
        assert!(funnel.close());
        assert_eq!(funnel.turn(), Turn::Finish);
        assert_eq!(funnel.turn(), Turn::Leave);
    }

    #[test]
    fn numbers_go_on_after_what_was_taken() {
        let funnel = Funnel::new(Order::Source);
        assert!(funnel.offer(Numbered(0)));
        assert_eq!(drain(&funnel), [0]);
        assert!(!funnel.offer(Numbered(2)));
        assert!(funnel.offer(Numbered(1)));
        assert_eq!(drain(&funnel), [1, 2]);
        assert!(funnel.offer(Numbered(3)));
        assert_eq!(drain(&funnel), [3]);
    }

    #[test]
    fn without_order_what_came_first_goes_first_and_nobody_else_has_the_turn() {
        let funnel = Funnel::new(Order::Unordered);
        assert!(funnel.offer(Numbered(5)));
        assert!(!funnel.offer(Numbered(1)) && !funnel.try_take() && !funnel.close(), "the turn is taken");
        assert_eq!([funnel.turn(), funnel.turn()], [5, 1].map(|seq| Turn::Take(Numbered(seq))));
        assert_eq!([funnel.turn(), funnel.turn()], [Turn::Finish, Turn::Leave]);
        assert!(funnel.try_take() && !funnel.try_take());
        assert_eq!(funnel.turn(), Turn::Leave);
        assert!(funnel.try_take(), "it was given back");
    }

    #[test]
    fn the_owner_is_the_only_one_who_gets_the_turn() {
        let (funnel, patience) = (Funnel::new(Order::Source), Duration::ZERO);
        funnel.own();
        assert!(!funnel.offer(Numbered(1)) && !funnel.offer(Numbered(0)));
        assert_eq!(funnel.wait_turn(patience, || true), Turn::Take(Numbered(0)));
        assert_eq!(funnel.wait_turn(patience, || false), Turn::Take(Numbered(1)));
        assert_eq!(funnel.wait_turn(patience, || false), Turn::Leave);
        assert!(!funnel.try_take() && !funnel.close());
        assert_eq!(funnel.wait_turn(patience, || false), Turn::Finish);
    }

    #[test]
    fn what_is_handed_in_quietly_leaves_a_note_until_there_is_enough_or_it_is_taken() {
        let (funnel, patience) = (Funnel::new(Order::Source), Duration::ZERO);
        funnel.own();
        let is_noted = || funnel.state.lock().note;
        funnel.offer_quietly(Numbered(1));
        assert!(!is_noted(), "it cannot go before the first");
        funnel.offer_quietly(Numbered(0));
        assert!(is_noted());
        assert!(funnel.announce() && !is_noted());
        assert!(!funnel.announce(), "there is none any more");
        (2..9).for_each(|seq| {
            funnel.offer_quietly(Numbered(seq));
            assert_eq!(is_noted(), seq < 7, "{seq}");
        });
        assert_eq!(
            [0; 9].map(|_| funnel.wait_turn(patience, || true)),
            std::array::from_fn(|at| Turn::Take(Numbered(at as u64)))
        );
        funnel.offer_quietly(Numbered(9));
        assert_eq!(funnel.wait_turn(patience, || false), Turn::Take(Numbered(9)));
        assert_eq!(funnel.wait_turn(patience, || false), Turn::Leave);
        assert!(!is_noted(), "the owner has looked");
    }

    #[test]
    fn key_order_lets_strangers_overtake_and_kin_wait() {
        let funnel = Funnel::new(Order::Key);
        funnel.expect(0, [1, 0, 0, 0]);
        funnel.expect(1, [1, 0, 0, 0]);
        funnel.expect(2, [2, 0, 0, 0]);
        assert!(!funnel.offer(Numbered(1)), "its elder has not come yet");
        assert!(funnel.offer(Numbered(2)));
        assert_eq!(drain(&funnel), [2]);
        assert!(funnel.offer(Numbered(0)));
        assert_eq!(drain(&funnel), [0, 1]);
    }

    #[test]
    fn closing_waits_for_a_gap_to_be_filled() {
        let funnel = Funnel::new(Order::Source);
        assert!(!funnel.offer(Numbered(1)));
        assert!(!funnel.close());
        assert!(funnel.offer(Numbered(0)));
        assert_eq!(drain(&funnel), [0, 1]);
    }
}
