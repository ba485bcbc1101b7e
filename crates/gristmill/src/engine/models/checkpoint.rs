//! The barrier of a checkpoint: nobody commits before all ends have arrived and the letters from before it are stored.

use super::super::DeadLane;
use super::super::barrier::{Barrier, Keeper, Seat};
use super::super::dead::{DeadQueue, Next};
use super::super::plan::DeadEnd;
use super::super::shared::Shared;
use super::super::sync::Mutex;
use crate::cancel::CancelToken;
use crate::checkpoint::{Checkpoint, Receipt};
use crate::policy::{Cause, DeadLetter};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Never over in a model: who relies on it is reported as a deadlock.
const PATIENCE: Duration = Duration::from_millis(10);
/// A time at which every checkpoint is due, unless one is under way.
const LATE: u64 = u64::MAX - 1;

type Letters = Arc<DeadQueue<u64, ()>>;

fn shared() -> Arc<Shared> {
    Arc::new(Shared::small(CancelToken::new()))
}

fn post(letters: &Letters, shared: &Shared, position: u64) {
    let letter = DeadLetter { item: None, stage: "parse".into(), attempts: 1, position, cause: Cause::Error(()) };
    letters.post(letter, shared.gate.adopt(None, 0, 0));
}

/// What the thread of an end does at a barrier; `look` is what it can see when it may commit.
fn pass(seat: &mut Seat<'_>, barrier: &Arc<Barrier>, look: impl FnOnce(Option<&Receipt>)) {
    seat.arrive(Arc::clone(barrier));
    let (barrier, progress) = loop {
        if let Some(passed) = seat.pass(PATIENCE) {
            break passed;
        }
    };
    look(progress.receipt("letters 0: parse"));
    seat.committed(&barrier, Receipt::none()).unwrap();
}

/// Stores letters until those of a barrier are durable.
fn bury(letters: &Letters, keeper: &Keeper<'_>, stored: &Mutex<Vec<u64>>) {
    loop {
        match letters.next(PATIENCE) {
            Next::Letter(letter, permit) => {
                stored.lock().push(letter.position);
                drop(permit);
            }
            Next::Settle(barrier, number) => {
                let receipt = Receipt::new([stored.lock().len() as u8]);
                return keeper.settled(&barrier, number, receipt);
            }
            Next::Nothing => {}
            Next::Closed => return,
        }
    }
}

/// Two ends and a store of dead letters. Each end has a letter from before the barrier; one from behind it comes meanwhile.
#[test]
fn nobody_commits_before_the_letters_are_stored() {
    loom::model(|| {
        let shared = shared();
        let keeper = Keeper::open(&Checkpoint::in_store(), &shared).unwrap();
        let seats = [keeper.join("left", None), keeper.join("right", None)];
        let letters: Letters = Arc::new(DeadQueue::new(Arc::clone(&shared), true));
        keeper.join_letters("parse", letters.clone(), false);
        let barrier = keeper.issue(2, None, false);
        let (stored, arrived) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let [mut left, mut right] = seats;
        let burial = {
            let (letters, keeper, stored) = (letters.clone(), keeper.clone(), stored.clone());
            thread::spawn(move || bury(&letters, &keeper, &stored))
        };
        let may_commit = {
            let (keeper, stored, arrived) = (keeper.clone(), stored.clone(), arrived.clone());
            move |receipt: Option<&Receipt>| {
                assert_eq!(arrived.load(Relaxed), 2, "an end has not arrived");
                assert_eq!(*stored.lock(), [0, 1], "the letters from before, in order");
                assert_eq!(receipt.map(Receipt::bytes), Some(&[2][..]));
                assert!(!keeper.is_due(LATE), "two checkpoints are under way");
            }
        };
        let other = {
            let (letters, shared, barrier) = (letters.clone(), shared.clone(), barrier.clone());
            let (arrived, may_commit) = (arrived.clone(), may_commit.clone());
            thread::spawn(move || {
                post(&letters, &shared, 1);
                post(&letters, &shared, 7);
                arrived.fetch_add(1, Relaxed);
                pass(&mut right, &barrier, may_commit);
            })
        };
        post(&letters, &shared, 0);
        arrived.fetch_add(1, Relaxed);
        pass(&mut left, &barrier, may_commit);
        other.join().unwrap();
        burial.join().unwrap();
        assert!(keeper.is_due(LATE), "no checkpoint is ever due again");
        assert!(letters.holds_letters(), "the letter from behind the barrier");
    });
}

/// Two ends at one barrier after another: each waits for the other, and the next is due when both have committed.
#[test]
fn ends_meet_at_each_barrier() {
    loom::model(|| {
        let shared = shared();
        let keeper = Keeper::open(&Checkpoint::in_store(), &shared).unwrap();
        let mut right = keeper.join("right", None);
        let mut left = keeper.join("left", None);
        let barriers = [keeper.issue(1, None, false), keeper.issue(2, None, true)];
        let arrived = Arc::new(AtomicUsize::new(0));
        let other = {
            let (barriers, arrived) = (barriers.clone(), arrived.clone());
            thread::spawn(move || {
                for (number, barrier) in barriers.iter().enumerate() {
                    arrived.fetch_add(1, Relaxed);
                    pass(&mut right, barrier, |_| assert!(arrived.load(Relaxed) >= 2 * (number + 1)));
                }
            })
        };
        for (number, barrier) in barriers.iter().enumerate() {
            arrived.fetch_add(1, Relaxed);
            pass(&mut left, barrier, |_| assert!(arrived.load(Relaxed) >= 2 * (number + 1)));
        }
        other.join().unwrap();
        assert!(keeper.is_due(LATE), "no checkpoint is ever due again");
    });
}
