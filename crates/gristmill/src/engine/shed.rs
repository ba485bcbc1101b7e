//! Letting items go when the pipeline is full: what a source's thread does instead of waiting, if it is told to.
//!
//! # Protocol
//!
//! The source's thread is the only one that lays items down; workers only take. For each item that has come it
//!
//! 1. looks whether the intake is full. If it is, somebody must go: the item itself, if the newest is to go, or one of
//!    those that are laid ([`Laid::victim`]);
//! 2. charges the item to the budget, at once. If that is refused, the same: the item itself goes, or as many of those
//!    that are laid as are charged for what is missing. If all of them are not enough, none of them goes in vain: the item
//!    does;
//! 3. lays the item down, and, under the same lock, takes out who is to go for it.
//!
//! Between 1 and 3 workers may have made room. Then nobody goes.
//!
//! # Invariants
//!
//! - Nobody goes while there is room: each that goes is in the way of one that could not be laid at that moment.
//! - What is laid stays in the order of the source, each with its position, as there are gaps.
//! - Each item is held, laid, in a morsel, or counted as shed. What goes is counted before it is dropped, and dropped when the
//!   item that it went for is laid, as a drop may unwind.
//! - A failure of the source never goes. With nothing but failures in the way, the thread waits as one that sheds nothing.
//! - Letters that wait for the store of what is shed are no more than the intake may hold (and what one item displaced).

use super::feed::{Intake, Laid, Weighed};
use super::gate::Charge;
use super::shared::Shared;
use super::{DeadLane, Driver, Plan};
use crate::error::Error;
use crate::policy::{Cause, DeadLetter};
use crate::report::Tally;
use crate::shed::{Shed, Which};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// An intake holds so many items before any is shed, if nobody says otherwise.
const HOLDING: usize = 1_024;

/// What a source's thread sheds by.
pub(crate) struct Shedder<'env, T> {
    which: Which,
    holding: Option<usize>,
    /// Where what is shed goes, if anywhere, and the stage that it is from.
    letters: Option<Arc<dyn DeadLane<T, Infallible> + 'env>>,
    stage: String,
}

/// An item that has come from the source, before it is laid down.
pub(super) struct Coming<T, E> {
    pub(super) item: Result<T, E>,
    pub(super) bytes: usize,
    pub(super) position: u64,
}

/// What became of it.
pub(super) enum Came<T, E> {
    /// It was laid, or shed.
    Placed,
    /// It must wait, for this.
    Waits(Coming<T, E>, For),
    /// The run is over.
    Stopped(Coming<T, E>),
}

/// What a source that sheds waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// The intake has only failures.
    Room,
    /// The budget has no room for a failure.
    Budget,
    /// The store of what is shed is behind.
    Letters,
}

/// What is in the way of an item.
enum Way {
    Free,
    /// One that is laid may go.
    Laid,
    /// Nobody that is laid may go.
    Blocked,
}

impl<'env, T: Send + 'env> Shedder<'env, T> {
    /// Takes over what a source is to shed, if it can shed anything.
    pub(super) fn open(mut shed: Shed<'env, T>, waits: bool, plan: &mut Plan<'env>) -> Self {
        if !waits {
            let problem = "is of no use for a source that never waits, as that is asked only when there is room; if it is \
                           live, put it into `source::waiting`";
            plan.refuse(Error::setting("shed", problem));
        }
        plan.refuse_checkpoint("cannot be kept of a source that sheds; one that can give its items again can wait");
        let letters = shed.open(plan);
        Shedder { which: shed.which, holding: shed.holding, letters, stage: shed.stage }
    }

    fn most(&self, shared: &Shared) -> usize {
        self.holding.unwrap_or_else(|| shared.pace.last().saturating_mul(2).max(HOLDING))
    }

    /// Lays an item down, or sheds it or others. Waits for nothing but locks. What goes and is to be dropped is put into
    /// `gone`.
    pub(super) fn place<E: Send>(
        &self,
        intake: &Intake<Result<T, E>>,
        coming: Coming<T, E>,
        gone: &mut Vec<Result<T, E>>,
        driver: Driver<'_, '_>,
    ) -> Came<T, E> {
        let shared = driver.shared();
        let most = self.most(shared);
        // Otherwise one that is laid goes first.
        let goes_itself = coming.item.is_ok() && self.which == Which::Newest;
        let way = intake.state.lock().way(most, self.which);
        match way {
            Way::Free => {}
            Way::Laid | Way::Blocked if goes_itself => return self.shed_coming(intake, coming, gone, shared),
            Way::Laid if !self.takes_letters(shared) => return Came::Waits(coming, For::Letters),
            Way::Laid => {}
            Way::Blocked if coming.item.is_ok() => return self.shed_coming(intake, coming, gone, shared),
            Way::Blocked => return Came::Waits(coming, For::Room),
        }
        loop {
            let missing = match shared.gate.charge_at_once(coming.bytes) {
                Ok(Charge::Charged(charge)) => {
                    self.lay(intake, coming, charge, gone, driver);
                    return Came::Placed;
                }
                Ok(Charge::Stopped | Charge::Refused) => return Came::Stopped(coming),
                Err(missing) => missing,
            };
            if goes_itself {
                return self.shed_coming(intake, coming, gone, shared);
            }
            if !self.takes_letters(shared) {
                return Came::Waits(coming, For::Letters);
            }
            let victims = intake.state.lock().worth(missing, self.which);
            if victims.is_empty() {
                return match &coming.item {
                    Ok(_) => self.shed_coming(intake, coming, gone, shared),
                    Err(_) => Came::Waits(coming, For::Budget),
                };
            }
            for victim in victims {
                self.shed_laid(intake, victim, gone, shared);
            }
        }
    }

    /// Lays a charged item down, and takes out another if it must.
    fn lay<E: Send>(
        &self,
        intake: &Intake<Result<T, E>>,
        coming: Coming<T, E>,
        charge: usize,
        gone: &mut Vec<Result<T, E>>,
        driver: Driver<'_, '_>,
    ) {
        let Coming { item, bytes, position } = coming;
        let most = self.most(driver.shared());
        let victim = intake.lay(Weighed { item, weight: (bytes, charge), position }, driver, |laid| {
            if laid.items.len() >= most { laid.victim(self.which) } else { None }
        });
        if let Some(victim) = victim {
            self.shed_laid(intake, victim, gone, driver.shared());
        }
    }

    /// Waits until there may be what an item waits for.
    pub(super) fn wait<E>(&self, what: For, intake: &Intake<Result<T, E>>, shared: &Shared, patience: Duration) {
        let most = self.most(shared);
        match (what, &self.letters) {
            (For::Letters, Some(letters)) => drop(letters.has_room(most, patience)),
            (For::Letters, None) => {}
            (For::Room, _) => {
                intake.wait_for_room(most, shared, patience);
            }
            (For::Budget, _) => shared.gate.wait_for_return(patience),
        }
    }

    /// Whether the store of what is shed keeps up, if there is one.
    fn takes_letters(&self, shared: &Shared) -> bool {
        self.letters.as_ref().is_none_or(|letters| letters.has_room(self.most(shared), Duration::ZERO))
    }

    /// Sheds the item that has come.
    fn shed_coming<E>(
        &self,
        intake: &Intake<Result<T, E>>,
        coming: Coming<T, E>,
        gone: &mut Vec<Result<T, E>>,
        shared: &Shared,
    ) -> Came<T, E> {
        if !self.takes_letters(shared) {
            return Came::Waits(coming, For::Letters);
        }
        self.shed(intake, coming, gone, shared);
        Came::Placed
    }

    /// Sheds an item that was in the intake: what was charged for it is given back.
    fn shed_laid<E>(
        &self,
        intake: &Intake<Result<T, E>>,
        victim: Weighed<Result<T, E>>,
        gone: &mut Vec<Result<T, E>>,
        shared: &Shared,
    ) {
        let Weighed { item, weight: (bytes, charge), position } = victim;
        drop(shared.gate.adopt(None, charge, bytes));
        self.shed(intake, Coming { item, bytes, position }, gone, shared);
    }

    /// Counts an item that is nowhere any more, and hands it on, or leaves it to be dropped.
    fn shed<E>(
        &self,
        intake: &Intake<Result<T, E>>,
        item: Coming<T, E>,
        gone: &mut Vec<Result<T, E>>,
        shared: &Shared,
    ) {
        if let Some(cell) = intake.cell.get() {
            cell.add(&Tally { items_in: 1, shed: 1, ..Tally::default() });
        }
        match (item.item, &self.letters) {
            (Ok(shed), Some(letters)) => {
                let (stage, position) = (self.stage.clone(), item.position);
                let letter = DeadLetter { item: Some(shed), stage, attempts: 0, position, cause: Cause::Shed };
                letters.post(letter, shared.gate.beside(item.bytes));
            }
            (shed, _) => gone.push(shed),
        }
    }
}

impl<T, E> Laid<Result<T, E>> {
    /// What is in the way of one more item.
    fn way(&self, most: usize, which: Which) -> Way {
        match (self.items.len() >= most, self.first_to_go(which)) {
            (false, _) => Way::Free,
            (true, Some(_)) => Way::Laid,
            (true, None) => Way::Blocked,
        }
    }

    /// Which of those laid goes first.
    fn first_to_go(&self, which: Which) -> Option<usize> {
        match which {
            Which::Newest => self.items.iter().rposition(Result::is_ok),
            Which::Oldest => self.items.iter().position(Result::is_ok),
        }
    }

    /// Takes the first to go out.
    fn victim(&mut self, which: Which) -> Option<Weighed<Result<T, E>>> {
        self.first_to_go(which).and_then(|at| self.remove(at))
    }

    /// Takes out those that are charged for at least `missing` together; none, if all of them are not.
    fn worth(&mut self, missing: usize, which: Which) -> Vec<Weighed<Result<T, E>>> {
        let charges = self.items.iter().zip(&self.weights).filter(|(item, _)| item.is_ok()).map(|(_, weight)| weight.1);
        let charged = charges.fold(0, usize::saturating_add);
        let (mut victims, mut found) = (Vec::new(), 0usize);
        while charged >= missing && found < missing {
            let Some(victim) = self.victim(which) else { break };
            found = found.saturating_add(victim.weight.1);
            victims.push(victim);
        }
        victims
    }
}
