//! Where a node keeps morsels, or shares of them, of which something was put aside.
//!
//! What waits for a time of its own (a backoff) is found by that time. What stands in line to be let in is found by its
//! rank, the oldest first, and only the oldest asks: all in line ask the same guards, so what one is told holds for those
//! behind it. While they are told to wait until a time nobody is taken up before that time; while there is no place, nobody is
//! before there is one. So what waits costs nothing until it can go on, however much of it there is.
//!
//! What the last one was told holds for the oldest, but for this: if the last one found no place, and the oldest had been told
//! to wait until a time, the oldest asks at that time. It does not wait for a place, so nobody would let it go on, and those
//! behind it stand behind it.
//!
//! A chain may have several operators that let items wait. Those that stand in line before the same operators are in the same
//! line here.

use super::aside::{NEVER, Waiting};
use std::collections::{BTreeMap, BTreeSet};

/// The order in which things in line are taken: the number of their morsel, and of their first item in it.
pub(crate) type Rank = (u64, usize);

/// Something that is parked.
pub(crate) trait Parkable {
    type Waiting: Waiting;

    fn waiting(&self) -> &Self::Waiting;

    fn rank(&self) -> Rank;
}

pub(crate) struct Lot<P> {
    spaces: BTreeMap<u64, P>,
    /// By the time when something of it is due.
    timed: BTreeSet<(u64, u64)>,
    lines: Vec<Line>,
    /// When the first in the line before each operator may ask again.
    ask_at: Vec<u64>,
    next: u64,
}

/// What stands in line before the same operators.
struct Line {
    /// A bit for each.
    before: u64,
    order: BTreeSet<(Rank, u64)>,
}

impl<P: Parkable> Lot<P> {
    pub(crate) fn new() -> Self {
        Lot { spaces: BTreeMap::new(), timed: BTreeSet::new(), lines: Vec::new(), ask_at: Vec::new(), next: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// Whether anything stands in line.
    pub(crate) fn has_line(&self) -> bool {
        self.lines.iter().any(|line| !line.order.is_empty())
    }

    /// Whether there is anything in line that waits for a place, and not for a time.
    pub(crate) fn waits_for_place(&self) -> bool {
        let is_full = |line: &Line| {
            let mut told = self.ask_at.iter().enumerate().filter(|(at, _)| line.before & bit(*at as u32) != 0);
            told.all(|(_, ask_at)| *ask_at == NEVER)
        };
        self.lines.iter().any(|line| !line.order.is_empty() && is_full(line))
    }

    pub(crate) fn park(&mut self, what: P) {
        let mut before = 0;
        self.ask_at.resize(P::Waiting::LINES as usize, NEVER);
        what.waiting().each_line(0, &mut |operator, ask_at| {
            before |= bit(operator);
            self.ask_at[operator as usize] = ask_at;
        });
        let due = what.waiting().due();
        let space = self.next;
        self.next += 1;
        if due != NEVER {
            self.timed.insert((due, space));
        }
        if before != 0 {
            self.line(before).order.insert((what.rank(), space));
        }
        self.spaces.insert(space, what);
    }

    fn line(&mut self, before: u64) -> &mut Line {
        let at = self.lines.iter().position(|line| line.before == before).unwrap_or_else(|| {
            self.lines.push(Line { before, order: BTreeSet::new() });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// The next that may be taken up: it is due, or it is the first of those that may be let in.
    fn find(&self, now: u64, may_enter: impl Fn(&P::Waiting) -> bool) -> Option<u64> {
        if let Some((_, space)) = self.timed.first().filter(|(due, _)| *due <= now) {
            return Some(*space);
        }
        let firsts = self.lines.iter().filter_map(|line| line.order.first().map(|first| (line, first)));
        let open = firsts.filter(|(line, (_, space))| {
            self.opens_at(line) <= now || self.spaces.get(space).is_some_and(|first| may_enter(first.waiting()))
        });
        open.map(|(_, first)| first).min().map(|(_, space)| *space)
    }

    pub(crate) fn is_due(&self, now: u64, may_enter: impl Fn(&P::Waiting) -> bool) -> bool {
        !self.is_empty() && self.find(now, may_enter).is_some()
    }

    pub(crate) fn take(&mut self, now: u64, may_enter: impl Fn(&P::Waiting) -> bool) -> Option<P> {
        if self.is_empty() {
            return None;
        }
        let space = self.find(now, may_enter)?;
        let what = self.spaces.remove(&space)?;
        self.timed.remove(&(what.waiting().due(), space));
        let rank = what.rank();
        self.lines.iter_mut().for_each(|line| {
            line.order.remove(&(rank, space));
        });
        Some(what)
    }

    /// When the next is due, as far as that is known.
    pub(crate) fn due(&self) -> u64 {
        let lines = self.lines.iter().filter(|line| !line.order.is_empty()).map(|line| self.opens_at(line));
        lines.chain(self.timed.first().map(|(due, _)| *due)).min().unwrap_or(NEVER)
    }

    fn opens_at(&self, line: &Line) -> u64 {
        let times = self.ask_at.iter().enumerate().filter(|(operator, _)| line.before & bit(*operator as u32) != 0);
        match times.map(|(_, ask_at)| *ask_at).min() {
            None | Some(NEVER) => self.first_asks_at(line),
            Some(time) => time,
        }
    }

    /// When the first in a line was told to ask again itself.
    fn first_asks_at(&self, line: &Line) -> u64 {
        let mut first = NEVER;
        if let Some(what) = line.order.first().and_then(|(_, space)| self.spaces.get(space)) {
            what.waiting().each_line(0, &mut |_, ask_at| first = first.min(ask_at));
        }
        first
    }
}

/// Chains of more than 64 such operators share bits: what stands before one is then asked about both.
fn bit(operator: u32) -> u64 {
    1 << (operator % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    struct Waits {
        due: u64,
        ask_at: Option<u64>,
    }

    impl Waiting for Waits {
        const LINES: u32 = 1;

        fn len(&self) -> usize {
            1
        }

        fn due(&self) -> u64 {
            self.due
        }

        fn queue(&self, _: u64) -> Option<u64> {
            None
        }

        fn each_line(&self, from: u32, note: &mut dyn FnMut(u32, u64)) {
            if let Some(ask_at) = self.ask_at {
                note(from, ask_at);
            }
        }
    }

    #[derive(Debug, PartialEq)]
    struct Thing(u64, Waits);

    impl Parkable for Thing {
        type Waiting = Waits;

        fn waiting(&self) -> &Waits {
            &self.1
        }

        fn rank(&self) -> Rank {
            (self.0, 0)
        }
    }

    fn in_line(rank: u64, ask_at: u64) -> Thing {
        Thing(rank, Waits { due: NEVER, ask_at: Some(ask_at) })
    }

    #[test]
    fn what_is_due_comes_by_its_time() {
        let mut lot = Lot::new();
        [30, 10, 20].into_iter().for_each(|due| lot.park(Thing(due, Waits { due, ask_at: None })));
        assert_eq!((lot.due(), lot.take(9, |_| false)), (10, None));
        let taken: Vec<u64> = std::iter::from_fn(|| lot.take(25, |_| true)).map(|thing| thing.0).collect();
        assert_eq!((taken, lot.due()), (vec![10, 20], 30));
    }

    #[test]
    fn the_oldest_in_line_asks_for_all() {
        let mut lot = Lot::new();
        [7, 5, 6].into_iter().for_each(|rank| lot.park(in_line(rank, 100)));
        // The last one that asked was told a later time: that holds for all.
        lot.park(in_line(9, 200));
        assert_eq!((lot.due(), lot.take(150, |_| false)), (200, None));
        assert_eq!(lot.take(200, |_| false).map(|thing| thing.0), Some(5));
        // It was told so as well.
        lot.park(in_line(5, 300));
        assert_eq!((lot.is_due(299, |_| false), lot.due()), (false, 300));
        assert_eq!(lot.take(0, |_| true).map(|thing| thing.0), Some(5));
        assert_eq!(lot.take(0, |_| true).map(|thing| thing.0), Some(6));
    }

    #[test]
    fn what_waits_for_a_place_is_never_due() {
        let mut lot = Lot::new();
        [2, 1].into_iter().for_each(|rank| lot.park(in_line(rank, NEVER)));
        assert!(!lot.is_due(NEVER - 1, |_| false) && lot.due() == NEVER);
        assert_eq!(lot.take(0, |_| true).map(|thing| thing.0), Some(1));
        assert!(!lot.is_empty());
    }

    #[test]
    fn who_waits_for_a_time_before_others_that_wait_for_a_place_asks_at_that_time() {
        let mut lot = Lot::new();
        lot.park(in_line(1, 100));
        lot.park(in_line(2, NEVER));
        // No place that is given back lets the first one go on, as it does not wait for one.
        assert_eq!((lot.waits_for_place(), lot.due(), lot.is_due(99, |_| false)), (true, 100, false));
        assert_eq!(lot.take(100, |_| false).map(|thing| thing.0), Some(1));
        assert_eq!((lot.due(), lot.take(NEVER - 1, |_| false)), (NEVER, None));
        // An older one that finds no place says nothing about when the next one asks.
        lot.park(in_line(3, 200));
        lot.park(in_line(0, NEVER));
        assert_eq!([0; 2].map(|_| lot.take(100, |_| true).map(|thing| thing.0)), [Some(0), Some(2)]);
        assert_eq!((lot.due(), lot.take(200, |_| false).map(|thing| thing.0)), (200, Some(3)));
    }

    #[test]
    fn it_says_whether_anything_stands_in_line_and_whether_for_a_place() {
        let mut lot = Lot::new();
        lot.park(Thing(1, Waits { due: 50, ask_at: None }));
        assert_eq!(
            (lot.has_line(), lot.waits_for_place(), lot.is_due(49, |_| true), lot.is_due(50, |_| true)),
            (false, false, false, true)
        );
        lot.park(in_line(2, 100));
        assert_eq!((lot.has_line(), lot.waits_for_place()), (true, false));
        lot.park(in_line(3, NEVER));
        assert_eq!((lot.has_line(), lot.waits_for_place()), (true, true));
        assert_eq!([0; 3].map(|_| lot.take(60, |_| true).map(|thing| thing.0)), [Some(1), Some(2), Some(3)]);
        assert_eq!((lot.has_line(), lot.waits_for_place(), lot.is_due(NEVER, |_| true)), (false, false, false));
    }

    /// It stands in line before one of two operators, or before both.
    #[derive(Debug, Default, PartialEq)]
    struct Before([Option<u64>; 2]);

    impl Waiting for Before {
        const LINES: u32 = 2;

        fn len(&self) -> usize {
            1
        }

        fn due(&self) -> u64 {
            NEVER
        }

        fn queue(&self, _: u64) -> Option<u64> {
            None
        }

        fn each_line(&self, from: u32, note: &mut dyn FnMut(u32, u64)) {
            for (operator, ask_at) in self.0.iter().enumerate() {
                ask_at.iter().for_each(|ask_at| note(from + operator as u32, *ask_at));
            }
        }
    }

    #[derive(Debug, PartialEq)]
    struct Item(u64, Before);

    impl Parkable for Item {
        type Waiting = Before;

        fn waiting(&self) -> &Before {
            &self.1
        }

        fn rank(&self) -> Rank {
            (self.0, 0)
        }
    }

    #[test]
    fn what_one_operator_says_does_not_hold_for_those_before_another() {
        let mut lot = Lot::new();
        lot.park(Item(1, Before([Some(500), None])));
        lot.park(Item(2, Before([None, Some(100)])));
        lot.park(Item(3, Before([None, Some(100)])));
        assert_eq!((lot.due(), lot.is_due(99, |_| false)), (100, false));
        let mut taken = |now| lot.take(now, |_| false).map(|item| item.0);
        assert_eq!([taken(100), taken(100), taken(100), taken(500)], [Some(2), Some(3), None, Some(1)]);
        // Before both: whichever asks first.
        lot.park(Item(4, Before([Some(900), Some(800)])));
        assert_eq!(
            (lot.due(), lot.take(799, |_| false), lot.take(800, |_| false).map(|item| item.0)),
            (800, None, Some(4))
        );
        assert!(lot.is_empty());
    }

    #[test]
    fn what_waits_for_both_is_taken_once() {
        let mut lot = Lot::new();
        lot.park(Thing(1, Waits { due: 50, ask_at: Some(10) }));
        assert_eq!(lot.take(20, |_| false).map(|thing| thing.0), Some(1));
        assert_eq!((lot.take(100, |_| true), lot.due(), lot.is_empty()), (None, NEVER, true));
    }
}
