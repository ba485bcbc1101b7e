//! Models of the engine's synchronization: loom tries every interleaving of them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gristmill --release --lib models`

mod checkpoint;
mod limits;
mod put_aside;
mod stop;

use super::bell::Bell;
use super::crew::Crew;
use super::funnel::{Funnel, Order, Sequenced, Turn};
use super::gate::{Charge, Gate};
use super::sync::{AtomicU64, Mutex, Ordering};
use crate::limit::Bucket;
use crate::places::{Called, Places};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

/// Work that arrives while the last worker is about to go home is done by somebody.
fn no_work_is_left_behind(max: usize, producers: usize) {
    loom::model(move || {
        let crew = Arc::new(Crew::new(max));
        let work = Arc::new(Mutex::new(0u32));
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                let (crew, work) = (Arc::clone(&crew), Arc::clone(&work));
                thread::spawn(move || {
                    *work.lock() += 1;
                    if crew.raise() {
                        work_until_idle(&crew, &work, max);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*work.lock(), 0, "work was left behind");
        assert_eq!(crew.active(), 0);
    });
}

fn work_until_idle(crew: &Crew, work: &Mutex<u32>, max: usize) {
    loop {
        assert!(crew.active() <= max);
        let seen = crew.seen();
        let mut left = work.lock();
        let found = *left > 0;
        *left -= u32::from(found);
        drop(left);
        if !found && crew.retire(seen) {
            return;
        }
    }
}

#[test]
fn a_crew_of_one_leaves_no_work_behind() {
    no_work_is_left_behind(1, 3);
}

#[test]
fn a_crew_of_two_leaves_no_work_behind() {
    no_work_is_left_behind(2, 3);
}

struct Numbered(u64);

impl Sequenced for Numbered {
    fn seq(&self) -> u64 {
        self.0
    }
}

/// Hands in `seq`, and takes turns if they are to be had.
fn hand_in(funnel: &Funnel<Numbered>, consumed: &Mutex<Vec<u64>>, mine: bool) {
    if !mine {
        return;
    }
    loop {
        match funnel.turn() {
            Turn::Take(Numbered(seq)) => consumed.lock().push(seq),
            Turn::Finish => consumed.lock().push(u64::MAX),
            Turn::Leave => return,
        }
    }
}

/// Everything handed in is consumed, in order, by somebody; then the end is seen, once.
fn all_is_consumed(order: Order, morsels: u64) {
    loom::model(move || {
        let funnel = Arc::new(Funnel::new(order));
        let consumed = Arc::new(Mutex::new(Vec::new()));
        let left = Arc::new(Mutex::new(morsels));
        for seq in 0..morsels {
            // Strangers, each with a key of its own.
            funnel.expect(seq, [1 << seq, 0, 0, 0]);
        }
        let threads: Vec<_> = (0..morsels)
            .map(|seq| {
                let (funnel, consumed, left) = (Arc::clone(&funnel), Arc::clone(&consumed), Arc::clone(&left));
                thread::spawn(move || {
                    let mine = funnel.offer(Numbered(seq));
                    hand_in(&funnel, &consumed, mine);
                    let mut left = left.lock();
                    *left -= 1;
                    let last = *left == 0;
                    drop(left);
                    if last {
                        let mine = funnel.close();
                        hand_in(&funnel, &consumed, mine);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut consumed = consumed.lock();
        assert_eq!(consumed.pop(), Some(u64::MAX), "the end was not seen, or not last");
        if order != Order::Source {
            consumed.sort_unstable();
        }
        assert_eq!(*consumed, (0..morsels).collect::<Vec<_>>());
    });
}

/// Who takes the turn without bringing a morsel (an old batch is let go) neither misses one that comes meanwhile nor meets
/// another who has the turn.
#[test]
fn a_turn_taken_in_between_loses_nothing() {
    loom::model(|| {
        let funnel = Arc::new(Funnel::new(Order::Unordered));
        let consumed = Arc::new(Mutex::new(Vec::new()));
        let busy = Arc::new(AtomicU64::new(0));
        let offerer = {
            let (funnel, consumed) = (Arc::clone(&funnel), Arc::clone(&consumed));
            let busy = Arc::clone(&busy);
            thread::spawn(move || {
                for seq in 0..2 {
                    if funnel.offer(Numbered(seq)) {
                        assert_eq!(busy.load(Ordering::Relaxed), 0, "two have the turn");
                        hand_in(&funnel, &consumed, true);
                    }
                }
            })
        };
        if funnel.try_take() {
            busy.store(1, Ordering::Relaxed);
            thread::yield_now();
            busy.store(0, Ordering::Relaxed);
            hand_in(&funnel, &consumed, true);
        }
        offerer.join().unwrap();
        let mine = funnel.close();
        hand_in(&funnel, &consumed, mine);
        assert_eq!(*consumed.lock(), [0, 1, u64::MAX]);
    });
}

/// The owner of a funnel who is about to sleep is woken by a stop. A timeout would hide a lost wake-up; here it never
/// comes, and loom reports the sleep as a deadlock.
#[test]
fn an_owner_never_sleeps_through_a_stop() {
    loom::model(|| {
        let funnel = Arc::new(Funnel::<Numbered>::new(Order::Unordered));
        let stopped = Arc::new(AtomicU64::new(0));
        funnel.own();
        let owner = {
            let (funnel, stopped) = (Arc::clone(&funnel), Arc::clone(&stopped));
            thread::spawn(move || {
                let is_stopped = || stopped.load(Ordering::Relaxed) == 1;
                while !is_stopped() {
                    funnel.wait_turn(Duration::ZERO, is_stopped);
                }
            })
        };
        stopped.store(1, Ordering::Release);
        funnel.wake();
        owner.join().unwrap();
    });
}

/// The owner of a funnel gets everything that workers hand in quietly, if each announces it before he rests. Here, too, a
/// wake-up that is lost is a deadlock.
fn quiet_morsels_are_not_slept_through(order: Order, morsels: u64) {
    loom::model(move || {
        let funnel = Arc::new(Funnel::new(order));
        funnel.own();
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let funnel = Arc::clone(&funnel);
                thread::spawn(move || {
                    (worker..morsels).step_by(2).for_each(|seq| funnel.offer_quietly(Numbered(seq)));
                    funnel.announce();
                })
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < morsels as usize {
            if let Turn::Take(Numbered(seq)) = funnel.wait_turn(Duration::ZERO, || false) {
                taken.push(seq);
            }
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        taken.sort_unstable_by_key(|seq| if order == Order::Source { 0 } else { *seq });
        assert_eq!(taken, (0..morsels).collect::<Vec<_>>());
    });
}

#[test]
fn an_owner_gets_two_quiet_morsels_and_three_in_any_order() {
    quiet_morsels_are_not_slept_through(Order::Unordered, 2);
    quiet_morsels_are_not_slept_through(Order::Unordered, 3);
}

#[test]
fn an_owner_gets_quiet_morsels_in_source_order() {
    quiet_morsels_are_not_slept_through(Order::Source, 3);
}

#[test]
fn a_funnel_in_source_order_consumes_all() {
    all_is_consumed(Order::Source, 3);
}

#[test]
fn an_unordered_funnel_consumes_all() {
    all_is_consumed(Order::Unordered, 3);
}

#[test]
fn a_funnel_in_key_order_consumes_all() {
    all_is_consumed(Order::Key, 2);
}

/// Whoever the gate refuses is called by whoever gives something back: nobody is left outside an open gate.
fn the_refused_are_called(window: usize, budget: Option<usize>, item: usize) {
    loom::model(move || {
        let gate = Gate::new(window, budget);
        // Growth is known from here on, and one morsel of 5 bytes is in flight.
        let (slot, grant) = gate.enter().unwrap();
        drop(gate.settle(slot, grant, 1));
        let (slot, grant) = gate.enter().unwrap();
        let in_flight = gate.settle(slot, grant, 5);
        let leaver = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                drop(in_flight);
                gate.take_freed()
            })
        };
        let entered = enter(&gate, item);
        let called = leaver.join().unwrap();
        assert!(entered || called || gate.take_freed(), "refused, and nobody called");
        if !entered {
            assert!(enter(&gate, item), "called into a closed gate");
        }
        assert_eq!(gate.bytes().0, 0);
    });
}

/// Tries to bring in an item as a filler does; false when refused.
fn enter(gate: &Arc<Gate>, item: usize) -> bool {
    loop {
        let Ok((slot, grant)) = gate.enter() else { return false };
        if item <= grant.allowance || grant.alone {
            drop(gate.settle(slot, grant, item));
            return true;
        }
        if gate.decline(slot, grant).is_some() {
            return false;
        }
    }
}

#[test]
fn a_full_window_calls_the_refused() {
    the_refused_are_called(1, None, 1);
}

#[test]
fn a_spent_budget_calls_the_refused() {
    the_refused_are_called(4, Some(10), 7);
}

#[test]
fn an_item_larger_than_the_budget_is_called_when_it_is_alone() {
    the_refused_are_called(4, Some(10), 100);
}

/// What a source with a thread does for one item that it has pulled. No backstop helps here.
fn charge_in_the_end(gate: &Gate, bytes: usize) -> Charge {
    loop {
        match gate.charge(bytes, Duration::ZERO, || ()) {
            Charge::Refused => {}
            done => return done,
        }
    }
}

/// Who sleeps until there is room is woken by what is given back.
#[test]
fn a_source_that_waits_for_room_is_woken() {
    loom::model(|| {
        let gate = Gate::new(2, Some(10));
        assert_eq!(gate.charge_at_once(10), Ok(Charge::Charged(10)));
        let in_flight = gate.adopt(Some(gate.force()), 10, 10);
        let source = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || charge_in_the_end(&gate, 10))
        };
        drop(in_flight);
        assert_eq!(source.join().unwrap(), Charge::Charged(10));
    });
}

/// Who sleeps until there is room, or until something is given back, is woken by a stop.
#[test]
fn sources_that_wait_for_room_are_woken_by_a_stop() {
    loom::model(|| {
        let gate = Gate::new(2, Some(10));
        let _in_flight = (gate.force(), gate.charge_at_once(10));
        let source = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || charge_in_the_end(&gate, 10))
        };
        let shedder = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                while gate.charge_at_once(10) != Ok(Charge::Stopped) {
                    gate.wait_for_return(Duration::ZERO);
                }
            })
        };
        gate.stop();
        assert_eq!(source.join().unwrap(), Charge::Stopped);
        shedder.join().unwrap();
    });
}

/// A stage whose threads sleep at a bell.
struct Stage(Bell);

impl Called for Stage {
    fn call(&self) {
        self.0.ring(1);
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What a thread of a stage does for one item: takes a place, or lines up and sleeps until it is called. No timeout and no
/// tick helps; a wake-up that is lost is a deadlock.
fn pass_through(places: &Places<Stage>, stage: &Arc<Stage>, inside: &AtomicU64, limit: u64) {
    let mut in_line = false;
    loop {
        let seen = stage.0.seen();
        if places.try_enter(Some(stage)).is_some() {
            break;
        }
        if !in_line {
            places.want(stage);
            in_line = true;
            continue;
        }
        stage.0.wait(seen, Duration::ZERO);
    }
    if in_line {
        places.unwant(stage);
    }
    assert!(inside.fetch_add(1, Ordering::AcqRel) < limit);
    inside.fetch_sub(1, Ordering::AcqRel);
    places.leave(Some(stage));
}

/// Everybody gets a place in the end: threads of as many stages, with a limit of one.
fn all_get_a_place(stages: usize) {
    loom::model(move || {
        let places = Arc::new(Places::new(1));
        let inside = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..stages)
            .map(|_| {
                let (places, inside) = (Arc::clone(&places), Arc::clone(&inside));
                thread::spawn(move || pass_through(&places, &Arc::new(Stage(Bell::new())), &inside, 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(places.try_enter(None), Some(true), "somebody is still in the line");
    });
}

#[test]
fn two_stages_get_their_places() {
    all_get_a_place(2);
}

#[test]
fn three_stages_get_their_places() {
    all_get_a_place(3);
}

/// Who waits for a limit to be raised is called.
#[test]
fn a_raised_limit_calls_who_waits() {
    loom::model(|| {
        let places = Arc::new(Places::new(0));
        let inside = Arc::new(AtomicU64::new(0));
        let thread = {
            let (places, inside) = (Arc::clone(&places), Arc::clone(&inside));
            thread::spawn(move || pass_through(&places, &Arc::new(Stage(Bell::new())), &inside, 1))
        };
        places.set_limit(1);
        thread.join().unwrap();
    });
}

/// However many take tokens at the same moment, no more get one than there are.
#[test]
fn a_bucket_gives_no_token_twice() {
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(10, 2));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || (0..2).filter(|_| bucket.try_take(100).is_ok()).count())
            })
            .collect();
        let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(taken, 2);
        assert_eq!(bucket.try_take(100), Err(110));
    });
}

/// Who enters, leaves and changes the limit at once never are more inside than the highest limit, and none is forgotten.
#[test]
fn places_are_never_more_than_the_limit() {
    loom::model(|| {
        let places = Arc::new(Places::<Stage>::new(1));
        let inside = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (places, inside) = (Arc::clone(&places), Arc::clone(&inside));
                thread::spawn(move || {
                    if places.try_enter(None).is_some() {
                        assert!(inside.fetch_add(1, Ordering::AcqRel) < 2);
                        inside.fetch_sub(1, Ordering::AcqRel);
                        places.leave(None);
                    }
                })
            })
            .collect();
        places.set_limit(2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let enter = || places.try_enter(None);
        assert_eq!([enter(), enter(), enter()], [Some(false), Some(true), None]);
    });
}
