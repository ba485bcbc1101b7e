//! Places that stages share, and who waits for one.
//!
//! One word holds the limit, how many places are taken, and whether anybody waits. While nobody does, taking and giving
//! back are one compare-and-swap. Who is refused lines up with its *stage*: a stage stands in the line once, however much
//! of it waits, and the stage itself gives the place to its oldest.
//!
//! # Protocol
//!
//! 1. Whoever is refused first lines up ([`Places::want`], which sets the mark in the word under the lock of the line), and
//!    then asks again, or looks again, before it goes to sleep.
//! 2. While the mark is set, places are taken under the lock, and in turn: a stage may take one if more places are free
//!    than stages stand before it. A stage that took one goes to the end of the line; who does not stand in it comes after
//!    all who do.
//! 3. Whoever gives a place back, or raises the limit, calls the stages whose turn it is and that were not called since
//!    they asked last. A stage does not call itself: the thread that gave the place back is its own and looks next.
//! 4. A stage that was called and does not come (all its threads are busy with something else) goes to the end after
//!    [`PATIENCE`]: a place is not kept for longer than that. Ticks see to it that somebody asks.
//! 5. When nothing of a stage waits any more it leaves the line, and those behind it are called.
//!
//! # Invariants
//!
//! - No more places are taken than the limit, but for those that were when it was lowered.
//! - No wake-up is lost: mark and count are in one word, so whoever gives a place back after the mark was set sees it and
//!   calls; and who lines up after the place was given back finds it free in step 1.
//! - Nobody starves: a stage in the line moves up whenever another takes a place, and none can take one past it.
//!
//! # The race that almost was
//!
//! If a stage that was called and was refused after all (the limit was lowered meanwhile) still counted as called, nobody
//! would call it again. So a refusal takes the call back.

use crate::engine::sync::{AtomicU64, Mutex, Ordering};
use std::sync::Arc;

/// A stage that can be called when it may take a place.
pub(crate) trait Called {
    /// Has somebody look at what waits.
    fn call(&self);

    /// The time, in nanoseconds that mean the same to all that share the places.
    fn now(&self) -> u64;
}

/// A place is kept so long for a stage that was called.
const PATIENCE: u64 = 1_000_000;

const LIMIT: u64 = 1 << 32;
/// Somebody stands in the line.
const WAITING: u64 = 1 << 31;

/// The limit in the high half of a word; in the low half the mark and how many are taken.
pub(crate) struct Places<S> {
    word: AtomicU64,
    line: Mutex<Vec<Waiter<S>>>,
}

struct Waiter<S> {
    stage: Arc<S>,
    /// How many of its morsels or shares wait.
    wanting: usize,
    called_at: Option<u64>,
}

fn taken(word: u64) -> u64 {
    word % WAITING
}

fn free(word: u64) -> usize {
    (word / LIMIT).saturating_sub(taken(word)) as usize
}

impl<S: Called> Places<S> {
    pub(crate) fn new(limit: u32) -> Self {
        Places { word: AtomicU64::new(u64::from(limit) * LIMIT), line: Mutex::new(Vec::new()) }
    }

    pub(crate) fn limit(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) / LIMIT) as u32
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        free(self.word.load(Ordering::Relaxed))
    }

    /// Changes the limit.
    pub(crate) fn set_limit(&self, limit: u32) {
        self.change_limit(|_| Some(limit));
    }

    /// Changes the limit if it is still what it was.
    pub(crate) fn move_limit(&self, from: u32, to: u32) {
        self.change_limit(|limit| (limit == from).then_some(to));
    }

    fn change_limit(&self, change: impl Fn(u32) -> Option<u32>) {
        let before =
            self.update(|word| change((word / LIMIT) as u32).map(|limit| u64::from(limit) * LIMIT + word % LIMIT));
        if before.is_ok_and(|word| word & WAITING != 0) {
            self.call(None);
        }
    }

    /// Takes a place, and says whether it was the last one.
    pub(crate) fn try_enter(&self, stage: Option<&Arc<S>>) -> Option<bool> {
        let free_and_unmarked = |word| (free(word) > 0 && word & WAITING == 0).then_some(word + 1);
        match self.update(free_and_unmarked) {
            Ok(before) => Some(free(before) == 1),
            Err(word) if word & WAITING == 0 => None,
            Err(_) => self.enter_in_turn(stage),
        }
    }

    /// Whether a stage could take a place now.
    pub(crate) fn has_room(&self, stage: Option<&Arc<S>>) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if word & WAITING == 0 || free(word) == 0 {
            return free(word) > 0;
        }
        let mut line = self.line.lock();
        let turn = self.turn(&mut line, stage);
        drop(line);
        self.after_turn(turn, stage)
    }

    /// Gives a place back; `own` is the stage whose thread does and looks for more next.
    pub(crate) fn leave(&self, own: Option<&Arc<S>>) {
        // Release: who takes the place sees what was done in it.
        if self.word.fetch_sub(1, Ordering::AcqRel) & WAITING != 0 {
            self.call(own);
        }
    }

    /// Lines a stage up, for one more thing of it that waits.
    pub(crate) fn want(&self, stage: &Arc<S>) {
        let mut line = self.line.lock();
        match position(&line, stage) {
            Some(at) => line[at].wanting += 1,
            None => line.push(Waiter { stage: Arc::clone(stage), wanting: 1, called_at: None }),
        }
        self.word.fetch_or(WAITING, Ordering::AcqRel);
    }

    /// One thing less of a stage waits.
    pub(crate) fn unwant(&self, stage: &Arc<S>) {
        let mut line = self.line.lock();
        let Some(at) = position(&line, stage) else { return };
        line[at].wanting -= 1;
        if line[at].wanting > 0 {
            return;
        }
        let _gone = line.remove(at);
        if line.is_empty() {
            self.word.fetch_and(!WAITING, Ordering::AcqRel);
        } else {
            drop(line);
            self.call(None);
        }
    }

    fn enter_in_turn(&self, stage: Option<&Arc<S>>) -> Option<bool> {
        let mut line = self.line.lock();
        let turn = self.turn(&mut line, stage);
        // Others may have taken the last place since, if the line was empty and the mark is gone.
        let entered = turn.is_turn.then(|| self.update(|word| (free(word) > 0).then_some(word + 1)).ok()).flatten();
        if entered.is_some()
            && let Some(at) = stage.and_then(|stage| position(&line, stage))
        {
            line[at].called_at = None;
            line[at..].rotate_left(1);
        }
        drop(line);
        self.after_turn(turn, stage);
        entered.map(|before| free(before) == 1)
    }

    /// Whether it is a stage's turn. If not, a call to it is taken back, and those who do not come go to the end.
    fn turn(&self, line: &mut Vec<Waiter<S>>, stage: Option<&Arc<S>>) -> TurnOf {
        let free = free(self.word.load(Ordering::Acquire));
        let place = |line: &Vec<Waiter<S>>| stage.and_then(|stage| position(line, stage)).unwrap_or(line.len());
        let mut moved = false;
        if let Some(stage) = stage
            && place(line) >= free
        {
            let now = stage.now();
            let late = |waiter: &Waiter<S>| {
                waiter.called_at.is_some_and(|at| now.saturating_sub(at) >= PATIENCE)
                    && !Arc::ptr_eq(&waiter.stage, stage)
            };
            moved = line.iter().take(free).any(late);
            if moved {
                let (gone, rest): (Vec<_>, Vec<_>) = line.drain(..).partition(late);
                let gone = gone.into_iter().map(|waiter| Waiter { called_at: None, ..waiter });
                line.extend(rest.into_iter().chain(gone));
            }
        }
        let is_turn = place(line) < free;
        if !is_turn && let Some(at) = stage.and_then(|stage| position(line, stage)) {
            line[at].called_at = None;
        }
        TurnOf { is_turn, moved }
    }

    fn after_turn(&self, turn: TurnOf, stage: Option<&Arc<S>>) -> bool {
        if turn.moved {
            self.call(stage);
        }
        turn.is_turn
    }

    /// Calls the stages whose turn it is.
    fn call(&self, own: Option<&Arc<S>>) {
        let mut line = self.line.lock();
        let free = free(self.word.load(Ordering::Acquire));
        let mut called = Vec::new();
        for waiter in line.iter_mut().take(free).filter(|waiter| waiter.called_at.is_none()) {
            waiter.called_at = Some(waiter.stage.now());
            if !own.is_some_and(|own| Arc::ptr_eq(own, &waiter.stage)) {
                called.push(Arc::clone(&waiter.stage));
            }
        }
        drop(line);
        called.iter().for_each(|stage| stage.call());
    }

    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> Result<u64, u64> {
        let mut word = self.word.load(Ordering::Acquire);
        while let Some(next) = change(word) {
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(word),
                Err(now) => word = now,
            }
        }
        Err(word)
    }
}

/// What came of asking whose turn it is.
#[derive(Debug, Clone, Copy)]
struct TurnOf {
    is_turn: bool,
    /// Others have gone to the end of the line, so there may be somebody to call.
    moved: bool,
}

fn position<S>(line: &[Waiter<S>], stage: &Arc<S>) -> Option<usize> {
    line.iter().position(|waiter| Arc::ptr_eq(&waiter.stage, stage))
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[derive(Default)]
    struct Stage {
        calls: AtomicU64,
        now: AtomicU64,
    }

    impl Called for Stage {
        fn call(&self) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }

        fn now(&self) -> u64 {
            self.now.load(Ordering::Relaxed)
        }
    }

    impl Stage {
        fn calls(&self) -> u64 {
            self.calls.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn it_says_how_many_there_are_and_how_many_are_free() {
        let places = Places::<Stage>::new(3);
        assert_eq!((places.limit(), places.free(), places.has_room(None)), (3, 3, true));
        assert_eq!([0; 4].map(|_| places.try_enter(None)), [Some(false), Some(false), Some(true), None]);
        assert_eq!((places.limit(), places.free(), places.has_room(None)), (3, 0, false));
        places.set_limit(5);
        assert_eq!((places.limit(), places.free(), places.has_room(None)), (5, 2, true));
        places.set_limit(1);
        places.leave(None);
        assert_eq!((places.limit(), places.free(), places.has_room(None)), (1, 0, false), "two are taken");
        places.leave(None);
        places.leave(None);
        assert_eq!((places.free(), places.has_room(None)), (1, true));
    }

    #[test]
    fn a_limit_is_moved_only_from_what_it_was() {
        let (places, a) = (Places::new(3), Arc::new(Stage::default()));
        places.move_limit(2, 9);
        assert_eq!(places.limit(), 3);
        places.want(&a);
        places.move_limit(2, 9);
        assert_eq!((places.limit(), a.calls()), (3, 0));
        places.move_limit(3, 9);
        assert_eq!((places.limit(), a.calls()), (9, 1), "who waits is called");
    }

    #[test]
    fn with_nothing_free_nobody_in_line_has_room() {
        let (places, a) = (Places::new(1), Arc::new(Stage::default()));
        assert!(places.try_enter(None).is_some());
        places.want(&a);
        assert!(!places.has_room(Some(&a)) && !places.has_room(None));
        places.leave(Some(&a));
        assert!(places.has_room(Some(&a)) && !places.has_room(None), "a stranger comes after those in line");
        assert_eq!((a.calls(), places.free()), (0, 1));
    }

    #[test]
    fn stages_in_line_take_turns_and_nobody_passes_them() {
        let places = Places::new(1);
        let (a, b) = (Arc::new(Stage::default()), Arc::new(Stage::default()));
        assert_eq!(places.try_enter(Some(&a)), Some(true));
        places.want(&a);
        places.want(&b);
        for _ in 0..10 {
            places.leave(Some(&a));
            // A stranger and the second in line are refused, although a place is free.
            assert!(places.try_enter(None).is_none() && !places.has_room(Some(&b)) && places.has_room(Some(&a)));
            assert_eq!(places.try_enter(Some(&a)), Some(true));
            places.leave(Some(&a));
            assert!(places.try_enter(Some(&a)).is_none(), "a stage passes another");
            assert_eq!(places.try_enter(Some(&b)), Some(true));
        }
        // Its own thread gave the place back, so nobody called it.
        assert_eq!(a.calls(), 0);
        assert_eq!(b.calls(), 10);
    }

    #[test]
    fn a_stage_that_does_not_come_is_passed_by() {
        let places = Places::new(1);
        let (a, b) = (Arc::new(Stage::default()), Arc::new(Stage::default()));
        assert!(places.try_enter(None).is_some());
        places.want(&a);
        places.want(&b);
        places.leave(None);
        assert_eq!([a.calls(), b.calls()], [1, 0]);
        assert!(!places.has_room(Some(&b)));
        b.now.store(PATIENCE, Ordering::Relaxed);
        assert!(places.has_room(Some(&b)));
        assert_eq!(places.try_enter(Some(&b)), Some(true));
        // The one that did not come is called again when there is a place.
        places.leave(Some(&b));
        assert_eq!(a.calls(), 2);
    }

    #[test]
    fn who_leaves_the_line_lets_the_next_one_be_called() {
        let places = Places::new(1);
        let (a, b) = (Arc::new(Stage::default()), Arc::new(Stage::default()));
        assert!(places.try_enter(None).is_some());
        [&a, &a, &b].into_iter().for_each(|stage| places.want(stage));
        places.leave(None);
        places.unwant(&a);
        assert_eq!(b.calls(), 0);
        places.unwant(&a);
        assert_eq!([a.calls(), b.calls()], [1, 1]);
        places.unwant(&b);
        // Nobody waits: the short way.
        assert_eq!(places.try_enter(None), Some(true));
    }

    #[test]
    fn a_call_that_came_to_nothing_is_made_again() {
        let places = Places::new(1);
        let a = Arc::new(Stage::default());
        assert!(places.try_enter(None).is_some());
        places.want(&a);
        places.leave(None);
        places.set_limit(0);
        assert!(places.try_enter(Some(&a)).is_none());
        places.set_limit(2);
        assert_eq!(a.calls(), 2);
        assert_eq!([places.try_enter(Some(&a)), places.try_enter(Some(&a))], [Some(false), Some(true)]);
    }
}
