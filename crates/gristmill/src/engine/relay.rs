//! The threads of a simulation, of which one at a time goes on: a *baton* that is handed from one to the next.
//!
//! A function of the user's may be left in the middle of a call, while others go on, only if it has a stack of its own. So a
//! simulation is played by one thread until a function [pauses](Relay::pause), and by more from then on: the thread of the
//! function stands still, and another plays on, until it is drawn that the function goes on.
//!
//! # Protocol
//!
//! 1. Who has the baton plays. All others wait, each for a message of its own: the baton.
//! 2. A function that pauses hands the baton to a thread that *stands by*, and waits among the *paused*. If nobody stands by
//!    it goes on at once, and whoever plays starts a thread before the next event.
//! 3. Who plays, and has no event under way on its stack, may hand the baton to a paused one, and stands by itself.
//! 4. When the run is over paused ones are let go on, one after another, until there are none. Then the baton goes home, to
//!    the thread of the caller; that lets go of those who stand by, and their threads end.
//!
//! # Invariants
//!
//! - There is one baton. What a message was sent to is out of the lists, so nobody is sent a second one.
//! - The caller's thread is never let go of, as it keeps its own message (`home`).
//! - Who has the baton decides by what the seed draws alone. How the system schedules threads decides nothing.
//!
//! Nothing here waits with a lock held, and what is behind the lock is changed by who has the baton alone. There is nothing for
//! a model to interleave.

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::cell::Cell;

/// So many functions are paused at once.
const MOST_PAUSED: usize = 6;

thread_local! {
    /// The relay that this thread plays in, by its address; zero if it is in none.
    static PLAYS_IN: Cell<usize> = const { Cell::new(0) };
}

/// The right to go on.
#[derive(Debug)]
struct Baton;

/// Who waits for the baton.
#[derive(Debug, Default)]
pub(crate) struct Relay(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    paused: Vec<Sender<Baton>>,
    standing_by: Vec<Sender<Baton>>,
    /// The caller's thread, while it stands by.
    home: Option<Sender<Baton>>,
    /// Somebody would have paused, and nobody stood by.
    wanted: bool,
}

/// Whose thread it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The caller's of the simulation.
    Caller,
    Relay,
}

/// A place among those who stand by, for a thread that is about to start.
#[derive(Debug)]
pub(crate) struct Place(Receiver<Baton>);

/// A thread plays in a relay until this is dropped.
#[derive(Debug)]
pub(crate) struct Playing(usize);

impl Drop for Playing {
    fn drop(&mut self) {
        PLAYS_IN.set(self.0);
    }
}

impl Place {
    /// Waits for the baton; false if it will not come any more.
    pub(crate) fn wait(self) -> bool {
        self.0.recv().is_ok()
    }
}

impl Relay {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Says that this thread plays here.
    pub(crate) fn enter(&self) -> Playing {
        Playing(PLAYS_IN.replace(self.address()))
    }

    /// Lets others go on in the middle of a call, until it is drawn that this one does. At once if this thread plays elsewhere or
    /// nowhere, or if there is nobody to go on.
    pub(crate) fn pause(&self) {
        if PLAYS_IN.get() != self.address() {
            return;
        }
        let mut waiting = self.0.lock();
        if waiting.paused.len() >= MOST_PAUSED {
            return;
        }
        let Some(next) = waiting.standing_by.pop().or_else(|| waiting.home.take()) else {
            waiting.wanted = true;
            return;
        };
        let place = place_in(&mut waiting.paused);
        drop(waiting);
        hand(&next);
        place.wait();
    }

    /// How many functions are paused.
    pub(crate) fn paused(&self) -> usize {
        self.0.lock().paused.len()
    }

    /// Lets a paused one go on, and stands by; false if the thread is to end.
    pub(crate) fn let_go_on(&self, which: usize, whose: Whose) -> bool {
        let mut waiting = self.0.lock();
        let next = waiting.paused.swap_remove(which);
        let place = match whose {
            Whose::Caller => {
                let (baton, place) = bounded(1);
                waiting.home = Some(baton);
                Place(place)
            }
            Whose::Relay => place_in(&mut waiting.standing_by),
        };
        drop(waiting);
        hand(&next);
        place.wait()
    }

    /// A place for one more thread, if one is wanted.
    pub(crate) fn wanted(&self) -> Option<Place> {
        let mut waiting = self.0.lock();
        std::mem::take(&mut waiting.wanted).then(|| place_in(&mut waiting.standing_by))
    }

    /// The thread of the place that was given last could not be started.
    pub(crate) fn not_started(&self) {
        self.0.lock().standing_by.pop();
    }

    /// Nobody is paused, and there is nothing to play any more: the caller goes on, and the others end.
    pub(crate) fn end(&self, whose: Whose) {
        let mut waiting = self.0.lock();
        match whose {
            Whose::Caller => waiting.standing_by.clear(),
            Whose::Relay => {
                if let Some(home) = waiting.home.take() {
                    drop(waiting);
                    hand(&home);
                }
            }
        }
    }
}

fn place_in(list: &mut Vec<Sender<Baton>>) -> Place {
    let (baton, place) = bounded(1);
    list.push(baton);
    Place(place)
}

fn hand(to: &Sender<Baton>) {
    // Nobody leaves a place without the baton, and there is one baton: it is delivered, and there is room for it.
    let _ = to.try_send(Baton);
}
