//! Items that wait without anybody waiting for them.
//!
//! An attempt that must wait, for a backoff or for a limit, is *put aside*: its item stays in the operator that will try
//! again, with the time when it is due, and the loop goes on with the next item. What the others of its morsel become is
//! kept with it. When something put aside is due, a worker takes the morsel up again, and when nothing is left aside it
//! goes on as a whole. Nobody sleeps, and a pool of one thread gets on with all the other morsels meanwhile.
//!
//! # Protocol
//!
//! 1. An operator that wants to wait puts the item into an [`Aside`] in the state of the worker. The first time it opens a
//!    *hole* in the results: where in `out` its results belong.
//! 2. After the items of a morsel, the worker moves what its operators hold aside out of its state. If there is any, the
//!    morsel becomes a [`Progress`], which its node parks in its [`Lot`](super::lot::Lot). It keeps permit and number.
//! 3. A tick, or whoever gives back the place that it waits for, has a worker look at the node, which takes the morsel up:
//!    it gives the operators what they held, and lets them try what is due ([`Operator::take_up`]).
//! 4. When nothing is aside any more, the results of the holes are moved to where they belong ([`Splices::arrange`]).
//!
//! # Invariants
//!
//! - Nothing is aside in the state of a worker that runs no morsel.
//! - What is put aside anew is due later than the moment at which the pass over the due ones began, so a pass ends.
//! - A node with something parked is not finished. What is parked when a run is aborted is dropped and counted as lost.

use super::morsel::Origin;
use super::shared::Shared;
use crate::limit::InLine;
use crate::op::Operator;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// No time: nothing will ever be due.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the operators of a chain hold aside of one morsel.
pub trait Waiting: Default + Send {
    /// Before how many operators items may stand in line.
    const LINES: u32;

    /// How many items.
    fn len(&self) -> usize;

    /// When the first of them is due that waits for a time of its own; [`NEVER`] when there are none. What would stand
    /// behind others in line is never due.
    fn due(&self) -> u64;

    /// When the first of them goes on, if that is known, in its line or by a time of its own; `None` if it waits for a place.
    fn expected(&self) -> Option<u64> {
        let mut first = self.due();
        self.each_line(0, &mut |_, ask_at| first = first.min(ask_at));
        (first != NEVER).then_some(first)
    }

    /// Names the operators before which somebody stands in line, counted up from `from`, with the time when the first may
    /// ask again; [`NEVER`] if it waits for a place.
    fn each_line(&self, from: u32, note: &mut dyn FnMut(u32, u64));

    /// How long those in line will take to be let in, if it goes on like this: what they cost, in nanoseconds from `now`.
    /// `None` if nobody can say, as it depends on others.
    fn queue(&self, now: u64) -> Option<u64>;
}

impl Waiting for () {
    const LINES: u32 = 0;

    fn each_line(&self, _: u32, _: &mut dyn FnMut(u32, u64)) {}

    fn len(&self) -> usize {
        0
    }

    fn due(&self) -> u64 {
        NEVER
    }

    fn queue(&self, _: u64) -> Option<u64> {
        Some(0)
    }
}

impl<A: Waiting, B: Waiting> Waiting for (A, B) {
    const LINES: u32 = A::LINES + B::LINES;

    fn each_line(&self, from: u32, note: &mut dyn FnMut(u32, u64)) {
        self.0.each_line(from, note);
        self.1.each_line(from + A::LINES, note);
    }

    fn len(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn due(&self) -> u64 {
        self.0.due().min(self.1.due())
    }

    fn queue(&self, now: u64) -> Option<u64> {
        Some(self.0.queue(now)?.saturating_add(self.1.queue(now)?))
    }
}

/// An item put aside.
pub(crate) struct Entry<T> {
    pub(crate) item: T,
    /// The attempt that it waits for, counted from one.
    pub(crate) attempt: u32,
    /// Which item of the morsel it came from.
    pub(crate) index: usize,
    /// Where its results belong.
    pub(crate) hole: Hole,
}

/// What one operator holds aside of one morsel.
pub struct Aside<T> {
    /// Waiting for a time of their own.
    timed: BinaryHeap<Parked<Entry<T>>>,
    /// Waiting in line to be let in.
    line: VecDeque<Entry<T>>,
    /// When the first in line may ask again.
    ask_at: u64,
    /// What it waits for is a place that others have.
    place: Option<InLine>,
}

impl<T> std::fmt::Debug for Aside<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aside({} + {})", self.timed.len(), self.line.len())
    }
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Aside { timed: BinaryHeap::new(), line: VecDeque::new(), ask_at: 0, place: None }
    }
}

impl<T: Send> Waiting for Aside<T> {
    const LINES: u32 = 1;

    fn each_line(&self, from: u32, note: &mut dyn FnMut(u32, u64)) {
        if self.has_line() {
            note(from, if self.wants_place() { NEVER } else { self.ask_at });
        }
    }

    fn len(&self) -> usize {
        self.timed.len() + self.line.len()
    }

    fn due(&self) -> u64 {
        if self.has_line() { NEVER } else { self.timed.peek().map_or(NEVER, |first| first.due) }
    }

    fn queue(&self, now: u64) -> Option<u64> {
        let line = self.ask_at.saturating_sub(now).saturating_mul(self.line.len() as u64);
        (!self.wants_place()).then_some(line)
    }
}

impl<T> Aside<T> {
    /// Puts an item aside until a time.
    pub(crate) fn put_until(&mut self, due: u64, entry: Entry<T>) {
        self.timed.push(Parked { due, what: entry });
    }

    /// Moves what is due to the line.
    pub(crate) fn line_up(&mut self, now: u64) {
        if self.line.is_empty() {
            self.ask_at = now;
        }
        while self.timed.peek().is_some_and(|first| first.due <= now) {
            self.line.extend(self.timed.pop().map(|first| first.what));
        }
    }

    /// Whether anybody is in line, so that others must stand behind.
    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        !self.line.is_empty()
    }

    /// Puts an item at the end of the line.
    pub(crate) fn stand_behind(&mut self, entry: Entry<T>) {
        self.line.push_back(entry);
    }

    /// Puts the first one back, as it is not let in before a time.
    pub(crate) fn stand_first(&mut self, ask_at: u64, entry: Entry<T>) {
        self.line.push_front(entry);
        (self.ask_at, self.place) = (ask_at, None);
    }

    /// Puts the first one back, as there is no place for it. Its stage has lined up, and asks for what else it needs only
    /// when it has one.
    pub(crate) fn stand_for_place(&mut self, place: Option<InLine>, entry: Entry<T>) {
        self.line.push_front(entry);
        (self.ask_at, self.place) = (NEVER, place);
    }

    /// The first one has been let in, so nobody waits for a place any more before he is refused one.
    pub(crate) fn let_in(&mut self) {
        self.place = None;
    }

    /// Whether the first in line waits for a place.
    pub(crate) fn wants_place(&self) -> bool {
        self.place.is_some() && self.has_line()
    }

    /// When the first in line could have asked at the earliest.
    pub(crate) fn ask_at(&self) -> u64 {
        self.ask_at
    }

    /// The next in line.
    pub(crate) fn next_in_line(&mut self) -> Option<Entry<T>> {
        let next = self.line.pop_front();
        if next.is_none() {
            self.place = None;
        }
        next
    }
}

/// Something with the time when it is due. Greater is what is due earlier, as a heap has its greatest on top.
pub(crate) struct Parked<P> {
    pub(crate) due: u64,
    pub(crate) what: P,
}

impl<P> PartialEq for Parked<P> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<P> Eq for Parked<P> {}

impl<P> PartialOrd for Parked<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Parked<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

/// A place among the results of a morsel that is filled later: its number, counted from one; zero is no place yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole(usize);

impl Hole {
    pub(crate) const NONE: Hole = Hole(0);
}

/// Where the results of items that were put aside belong.
///
/// All results of a morsel are in one list, in the order in which they were made. The results of the items that were
/// tried at once are the *root*. Those of an item that was put aside come later, in one run, and belong into its hole,
/// which is in the root or in another such run.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    holes: Vec<Place>,
    /// Whose results are made now; zero is the root.
    current: usize,
    /// The root ends here.
    root: usize,
    /// How many results there are.
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// In whose results.
    parent: usize,
    /// Before which of all results, or at their end.
    at: usize,
    /// Its own.
    first: usize,
    end: usize,
}

impl Splices {
    /// Says how many results there are.
    #[inline]
    pub(crate) fn note_len(&mut self, len: usize) {
        self.len = len;
    }

    /// A hole here.
    pub(crate) fn open(&mut self) -> Hole {
        self.holes.push(Place { parent: self.current, at: self.len, first: 0, end: 0 });
        Hole(self.holes.len())
    }

    /// What comes now belongs into a hole.
    pub(crate) fn enter(&mut self, hole: Hole) {
        self.leave();
        if let Some(place) = hole.0.checked_sub(1).and_then(|at| self.holes.get_mut(at)) {
            (place.first, place.end) = (self.len, self.len);
            self.current = hole.0;
        }
    }

    /// The results made now end here.
    pub(crate) fn leave(&mut self) {
        match self.current.checked_sub(1).and_then(|at| self.holes.get_mut(at)) {
            Some(place) => place.end = self.len,
            None => self.root = self.len,
        }
    }

    /// The places of all results in the order in which they belong.
    fn order(&self) -> Vec<usize> {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.holes.len() + 1];
        for (at, place) in self.holes.iter().enumerate() {
            children[place.parent].push(at + 1);
        }
        let mut order = Vec::with_capacity(self.len);
        // Whose results, from where on, and which of its holes is next.
        let mut open = vec![(0, 0, 0)];
        while let Some((run, from, hole)) = open.pop() {
            let end = if run == 0 { self.root } else { self.holes[run - 1].end };
            match children[run].get(hole) {
                Some(&child) => {
                    let at = self.holes[child - 1].at;
                    order.extend(from..at);
                    open.push((run, at, hole + 1));
                    open.push((child, self.holes[child - 1].first, 0));
                }
                None => order.extend(from..end),
            }
        }
        order
    }

    /// Moves all results to where they belong, with their positions.
    pub(crate) fn arrange<T>(&mut self, out: Vec<T>, origin: Origin) -> (Vec<T>, Origin) {
        self.leave();
        if self.holes.is_empty() {
            return (out, origin);
        }
        let order = self.order();
        debug_assert_eq!(order.len(), out.len());
        let mut made: Vec<Option<T>> = out.into_iter().map(Some).collect();
        let mut arranged = Vec::with_capacity(made.len());
        let mut positions = Origin::at(origin.start);
        for at in order {
            if let Some(item) = made[at].take() {
                arranged.push(item);
                positions.follow(arranged.len() - 1, arranged.len(), || origin.position(at));
            }
        }
        (arranged, positions)
    }
}

/// How far a morsel, or a share of one, has come in a node: what was made of it so far, and what is put aside.
pub(crate) struct Progress<'env, In, Op: Operator<'env, In>> {
    pub(crate) out: Vec<Op::Out>,
    pub(crate) origin: Origin,
    /// Where its items came from.
    pub(crate) positions: Origin,
    pub(crate) waiting: Op::Waiting,
    pub(crate) splices: Splices,
    /// How many items each result counts as.
    pub(crate) parts: u64,
    pub(crate) shared: Arc<Shared>,
}

impl<'env, In, Op: Operator<'env, In>> Progress<'env, In, Op> {
    /// What was made of it, in order, once nothing is put aside.
    pub(crate) fn finish(&mut self) -> (Vec<Op::Out>, Origin) {
        let (out, origin) = (std::mem::take(&mut self.out), std::mem::take(&mut self.origin));
        self.splices.arrange(out, origin)
    }
}

impl<'env, In, Op: Operator<'env, In>> Drop for Progress<'env, In, Op> {
    fn drop(&mut self) {
        let lost = self.out.len() as u64 * self.parts + self.waiting.len() as u64;
        if lost > 0 {
            self.shared.lost.fetch_add(lost, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(item: u32) -> Entry<u32> {
        Entry { item, attempt: 1, index: 0, hole: Hole::NONE }
    }

    fn lines(aside: &impl Waiting) -> Vec<(u32, u64)> {
        let mut lines = Vec::new();
        aside.each_line(3, &mut |operator, ask_at| lines.push((operator, ask_at)));
        lines
    }

    #[test]
    fn what_is_due_lines_up_and_goes_in_turn() {
        let mut aside = Aside::default();
        assert_eq!((aside.len(), aside.due(), aside.expected(), aside.queue(0)), (0, NEVER, None, Some(0)));
        [30, 10, 20].into_iter().for_each(|due| aside.put_until(due, entry(due as u32)));
        assert_eq!((aside.len(), aside.due(), aside.expected(), lines(&aside)), (3, 10, Some(10), vec![]));
        aside.line_up(20);
        aside.stand_behind(entry(5));
        // What is due later would stand behind those in line, so it is not due.
        assert_eq!((aside.len(), aside.due(), aside.ask_at(), lines(&aside)), (4, NEVER, 20, vec![(3, 20)]));
        let first = aside.next_in_line().unwrap();
        assert_eq!(first.item, 10);
        aside.stand_first(25, first);
        assert_eq!((aside.expected(), lines(&aside)), (Some(25), vec![(3, 25)]));
        assert_eq!([24, 25, 26].map(|now| aside.queue(now)), [Some(3), Some(0), Some(0)]);
        aside.line_up(22);
        assert_eq!(aside.ask_at(), 25, "those in line were told when to ask");
        let items: Vec<u32> = std::iter::from_fn(|| aside.next_in_line().map(|entry| entry.item)).collect();
        assert_eq!((items, aside.len(), aside.due()), (vec![10, 20, 5], 1, 30));
    }

    #[test]
    fn who_waits_for_a_place_knows_no_time() {
        let mut aside = Aside::default();
        aside.stand_for_place(Some(crate::limit::ConcurrencyLimit::new(1).line_up()), entry(1));
        assert_eq!((aside.wants_place(), aside.expected(), aside.queue(0)), (true, None, None));
        assert_eq!(lines(&aside), [(3, NEVER)]);
        aside.let_in();
        assert!(!aside.wants_place() && aside.has_line());
        aside.stand_for_place(Some(crate::limit::ConcurrencyLimit::new(1).line_up()), entry(0));
        assert_eq!([0; 3].map(|_| aside.next_in_line().map(|entry| entry.item)), [Some(0), Some(1), None]);
        // Nobody is left to whom the place could be given.
        aside.stand_behind(entry(2));
        assert!(!aside.wants_place());
    }

    #[test]
    fn what_a_chain_holds_is_what_its_operators_hold() {
        let mut chain: ((Aside<u32>, ()), Aside<u32>) = Default::default();
        assert_eq!(
            (<((Aside<u32>, ()), Aside<u32>)>::LINES, chain.len(), chain.due(), chain.queue(0)),
            (2, 0, NEVER, Some(0))
        );
        chain.0.0.put_until(40, entry(1));
        chain.1.put_until(30, entry(2));
        chain.1.put_until(50, entry(3));
        assert_eq!((chain.len(), chain.due(), chain.expected()), (3, 30, Some(30)));
        chain.0.0.line_up(40);
        chain.1.line_up(30);
        assert_eq!((lines(&chain), chain.due()), (vec![(3, 40), (4, 30)], NEVER));
        assert_eq!(chain.queue(10), Some(30 + 20));
    }

    /// What becomes of an item: it is put aside so often, makes so many results, each of which goes through the same.
    #[derive(Debug, Clone)]
    struct Fate {
        aside: u32,
        results: Vec<Fate>,
    }

    fn fate(depth: u32) -> BoxedStrategy<Fate> {
        let results = if depth == 0 {
            Just(Vec::new()).boxed()
        } else {
            proptest::collection::vec(fate(depth - 1), 0..4).boxed()
        };
        (0..3u32, results).prop_map(|(aside, results)| Fate { aside, results }).boxed()
    }

    /// Plays the fates on one list of results, with the leaves numbered in the order in which they belong.
    struct Play {
        splices: Splices,
        out: Vec<usize>,
        waiting: Vec<(Fate, Hole, usize)>,
    }

    fn leaves(fate: &Fate) -> usize {
        if fate.results.is_empty() { 1 } else { fate.results.iter().map(leaves).sum() }
    }

    impl Play {
        fn push(&mut self, mut fate: Fate, hole: Hole, number: usize) {
            if fate.aside > 0 {
                fate.aside -= 1;
                let hole = if hole == Hole::NONE { self.splices.open() } else { hole };
                self.waiting.push((fate, hole, number));
                return;
            }
            if fate.results.is_empty() {
                self.out.push(number);
                self.splices.note_len(self.out.len());
                return;
            }
            let mut number = number;
            for part in fate.results {
                let next = number + leaves(&part);
                self.push(part, Hole::NONE, number);
                number = next;
            }
        }
    }

    proptest! {
        #[test]
        fn results_go_where_they_belong(fates in proptest::collection::vec(fate(3), 0..12), picks: u64) {
            let mut play = Play { splices: Splices::default(), out: Vec::new(), waiting: Vec::new() };
            let mut number = 0;
            for fate in fates {
                let next = number + leaves(&fate);
                play.push(fate, Hole::NONE, number);
                number = next;
            }
            let mut pick = picks;
            while !play.waiting.is_empty() {
                pick = pick.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let next = (pick >> 33) as usize % play.waiting.len();
                let (fate, hole, number) = play.waiting.swap_remove(next);
                play.splices.enter(hole);
                play.push(fate, hole, number);
            }
            let out = std::mem::take(&mut play.out);
            // The first two items came to nothing.
            let mut origin = Origin::at(5);
            for (at, made) in out.iter().enumerate() {
                origin.follow(at, at + 1, || 7 + *made as u64);
            }
            let (arranged, positions) = play.splices.arrange(out, origin);
            prop_assert_eq!(&arranged, &(0..number).collect::<Vec<_>>());
            for at in 0..number {
                prop_assert_eq!(positions.position(at), 7 + at as u64);
            }
        }
    }
}
