//! What the stages call, and what answers in its place while the breaker is open.
//!
//! Who of the two answers for an item depends on the order of the run, so the service notes it and the oracle is told. All else
//! follows from the item: what a call comes to, and what the fallback makes of it, which is another item than a call would
//! make. What must not be whatever the order the service finds itself: a fallback while the breaker is closed, anything
//! for an item that the fallback has answered for, and calls that should not have been let in ([`Line`]).
//!
//! A call may be left in its middle. Others begin and end meanwhile, so limits are used up, and probes of breakers are all under
//! way when somebody asks.

use super::item::{Fate, Item};
use super::line::Line;
use gristmill::BreakerState;
use gristmill::testing::Simulation;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many pauses there are in a run at most.
const MOST_PAUSES: u32 = 16;

/// What fallbacks fail with, of a thousand items: errors and panics.
const RATES: (u64, u64) = (100, 50);

/// Makes the fate at the fallback another than at a call.
const SALT: u64 = 0x6661_6C6C;

/// What the service of one stage has noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// After how many calls the fallback was asked for an item. Of a run that crashed it holds until a later one comes to the
    /// item.
    after: HashMap<Item, u32>,
    broken: Option<String>,
}

impl Notes {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how many calls the fallback was asked for this item, if it was.
    pub(super) fn asked_after(&self, item: &Item) -> Option<u32> {
        self.noted().after.get(item).copied()
    }

    pub(super) fn note_broken(&self, what: String) {
        self.noted().broken = Some(what);
    }

    /// What must not be, and was.
    pub(super) fn broken(&self) -> Option<String> {
        self.noted().broken.take()
    }
}

/// A service that fails as an item's fate says, attempt by attempt.
#[derive(Debug)]
pub(super) struct Service {
    salt: u64,
    rates: (u64, u64),
    /// Calls for an item in this run, and whether the fallback has been asked.
    calls: Mutex<HashMap<Item, (u32, bool)>>,
    notes: Notes,
    line: Option<Line>,
    pauses: Pauses,
}

/// Calls that are left in their middle.
#[derive(Debug, Clone)]
pub(super) struct Pauses {
    simulation: Simulation,
    chance: f64,
    /// How many there may still be in this run: each costs as much as some ten events.
    left: Arc<AtomicU32>,
}

impl Pauses {
    pub(super) fn new(simulation: &Simulation, chance: f64) -> Self {
        Pauses { simulation: simulation.clone(), chance, left: Arc::new(AtomicU32::new(MOST_PAUSES)) }
    }

    /// Lets others go on, perhaps.
    pub(super) fn perhaps(&self) {
        if self.left.load(Relaxed) > 0 && self.simulation.chance(self.chance) {
            self.left.fetch_sub(1, Relaxed);
            self.simulation.pause();
        }
    }
}

/// What panics in the pipelines say.
#[derive(Debug)]
struct Planned;

impl Service {
    pub(super) fn new(salt: u64, rates: (u64, u64), notes: &Notes, line: Option<&Line>, pauses: Pauses) -> Arc<Self> {
        Arc::new(Service { salt, rates, calls: Mutex::default(), notes: notes.clone(), line: line.cloned(), pauses })
    }

    /// The function of a stage.
    pub(super) fn calls(self: &Arc<Self>) -> impl Fn(Item) -> Result<Item, String> + Send + Sync + use<> {
        let service = Arc::clone(self);
        move |item| {
            let _inside = service.line.as_ref().map(|line| line.enter(&service.notes));
            let (calls, answered) = service.count(item, 1, false);
            if calls == 1 {
                service.notes.noted().after.remove(&item);
            }
            if answered {
                service.notes.note_broken(format!("called for {item:?} after its fallback"));
            }
            service.pauses.perhaps();
            answer(item.fate(service.salt, calls, service.rates), item, service.salt)
        }
    }

    /// The fallback of a stage.
    pub(super) fn fallback(self: &Arc<Self>) -> impl Fn(Item) -> Result<Item, String> + Send + Sync + use<> {
        let service = Arc::clone(self);
        move |item| {
            let (calls, answered) = service.count(item, 0, true);
            let mut noted = service.notes.noted();
            noted.after.insert(item, calls);
            if answered {
                noted.broken = Some(format!("a second fallback for {item:?}"));
            } else if service.line.as_ref().is_some_and(|line| line.breaker().state() == BreakerState::Closed) {
                noted.broken = Some(format!("a fallback for {item:?} while the breaker is closed"));
            }
            drop(noted);
            service.pauses.perhaps();
            answer(fallback_fate(item, service.salt), item, service.salt ^ SALT)
        }
    }

    /// Counts, and says how many calls there have been for the item, and whether the fallback was asked before.
    fn count(&self, item: Item, calls: u32, answers: bool) -> (u32, bool) {
        let mut all = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, answered) = all.entry(item).or_default();
        *made += calls;
        (*made, std::mem::replace(answered, *answered || answers))
    }
}

/// What a fallback does with an item.
pub(super) fn fallback_fate(item: Item, salt: u64) -> Fate {
    item.fate(salt ^ SALT, 0, RATES)
}

/// What a fallback makes of an item.
pub(super) fn fallback_of(item: Item, salt: u64) -> Item {
    item.changed(salt ^ SALT)
}

fn answer(fate: Fate, item: Item, salt: u64) -> Result<Item, String> {
    match fate {
        Fate::Passes => Ok(item.changed(salt)),
        Fate::Fails => Err(format!("planned, at {}", item.position)),
        // Not a panic that the hook reports.
        Fate::Panics => std::panic::resume_unwind(Box::new(Planned)),
    }
}
