//! One at a time: what consumes morsels serially, on whoever's thread or on its own.

use super::funnel::{Funnel, Order, Turn};
use super::morsel::Morsel;
use super::plan::{AnyInlet, Inlet, Node, Plan, Step};
use super::{Driver, breathe};
use crate::report::StageCell;
use crate::store::Outcome;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What is done with morsels, one after another.
pub(crate) trait Consumer<'env, T>: Send {
    fn consume(&mut self, morsel: Morsel<T>, driver: Driver<'_, 'env>);

    /// Everything has been consumed.
    fn close(&mut self, driver: Driver<'_, 'env>);

    /// Nothing has come for a flush interval.
    fn idle(&mut self, _driver: Driver<'_, 'env>) {}

    /// Lets go of what is held back only for efficiency: because of its age, or whatever its age.
    fn let_go(&mut self, _driver: Driver<'_, 'env>, _now: LetGo) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetGo {
    Overdue,
    All,
}

/// A funnel for a pipeline's order; in key order it hears of the keys of every morsel.
pub(crate) fn open_funnel<'env, T: Send + 'env>(order: Order, plan: &mut Plan<'env>) -> Arc<Funnel<Morsel<T>>> {
    let funnel = Arc::new(Funnel::new(order));
    if order == Order::Key {
        let listener = Arc::clone(&funnel);
        plan.add_announcement(Arc::new(move |seq, keys| listener.expect(seq, keys)));
    }
    funnel
}

/// A consumer that never waits: whoever hands in the morsel that may go next runs it.
pub(crate) struct Serial<T, C> {
    funnel: Arc<Funnel<Morsel<T>>>,
    /// Locked only by the holder of the turn, so never contended.
    consumer: Mutex<C>,
}

impl<T: Send, C> Serial<T, C> {
    pub(crate) fn connect<'env>(consumer: C, order: Order, plan: &mut Plan<'env>) -> Arc<Self>
    where
        T: 'env,
        C: Consumer<'env, T> + 'env,
    {
        let serial = Arc::new(Serial { funnel: open_funnel(order, plan), consumer: Mutex::new(consumer) });
        plan.nodes.push(Arc::clone(&serial) as Arc<dyn Node<'env> + 'env>);
        serial
    }

    /// The consumer, when nobody has the turn any more.
    pub(crate) fn consumer(&self) -> parking_lot::MutexGuard<'_, C> {
        self.consumer.lock()
    }

    fn take_turns<'env>(&self, driver: Driver<'_, 'env>)
    where
        C: Consumer<'env, T>,
    {
        loop {
            match self.funnel.turn() {
                Turn::Take(morsel) => self.consumer.lock().consume(morsel, driver),
                Turn::Finish => self.consumer.lock().close(driver),
                Turn::Leave => return,
            }
            driver.settle();
            breathe();
        }
    }

    /// Whoever has the turn now lets go of nothing; it is asked again at the next tick.
    fn try_let_go<'env>(&self, driver: Driver<'_, 'env>, which: LetGo)
    where
        C: Consumer<'env, T>,
    {
        if self.funnel.try_take() {
            self.consumer.lock().let_go(driver, which);
            self.take_turns(driver);
        }
    }
}

impl<'env, T: Send, C: Consumer<'env, T>> Inlet<'env, T> for Serial<T, C> {
    fn push(&self, morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        if self.funnel.offer(morsel) {
            self.take_turns(driver);
        }
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        if self.funnel.close() {
            self.take_turns(driver);
        }
    }
}

impl<'env, T: Send, C: Consumer<'env, T>> Node<'env> for Serial<T, C> {
    fn step(&self, _: Driver<'_, 'env>) -> Step {
        Step::Nothing
    }

    fn tick(&self, driver: Driver<'_, 'env>) {
        self.try_let_go(driver, LetGo::Overdue);
    }

    fn relieve(&self, driver: Driver<'_, 'env>) {
        self.try_let_go(driver, LetGo::All);
    }
}

/// A consumer that may wait, on a thread of its own.
pub(crate) struct StoreThread<T> {
    funnel: Arc<Funnel<Morsel<T>>>,
}

/// How long the thread sleeps when nothing is to be flushed; it is woken when the run is over.
const LONG: Duration = Duration::from_secs(1);

impl<T: Send> StoreThread<T> {
    /// Starts the thread. `finish` is called on it at the very end, whatever happened, with the outcome.
    pub(crate) fn connect<'env, C>(
        consumer: C,
        cell: Arc<StageCell>,
        order: Order,
        plan: &mut Plan<'env>,
        finish: impl FnOnce(C, Outcome) + Send + 'env,
    ) -> Arc<Self>
    where
        T: 'env,
        C: Consumer<'env, T> + 'env,
    {
        let funnel = open_funnel(order, plan);
        funnel.own();
        let node = Arc::new(StoreThread { funnel: Arc::clone(&funnel) });
        plan.nodes.push(Arc::clone(&node) as Arc<dyn Node<'env> + 'env>);
        let name = cell.name.clone();
        plan.add_closing_thread(
            name,
            consumer,
            move |consumer, driver| consume_all(&funnel, consumer, &cell, driver),
            finish,
        );
        node
    }
}

fn consume_all<'env, T: Send>(
    funnel: &Funnel<Morsel<T>>,
    consumer: &mut impl Consumer<'env, T>,
    cell: &StageCell,
    driver: Driver<'_, 'env>,
) {
    let shared = driver.shared();
    let mut fresh = false;
    while !shared.is_stopped() {
        let waited_from = shared.now();
        let turn = funnel.wait_turn(if fresh { shared.flush_interval } else { LONG }, || shared.is_stopped());
        cell.starved_nanos.fetch_add(shared.now() - waited_from, Relaxed);
        match turn {
            Turn::Take(morsel) => {
                consumer.consume(morsel, driver);
                fresh = true;
            }
            Turn::Finish => {
                consumer.close(driver);
                return;
            }
            Turn::Leave => {
                if std::mem::take(&mut fresh) {
                    consumer.idle(driver);
                }
            }
        }
        driver.settle();
    }
}

impl<'env, T: Send> Inlet<'env, T> for StoreThread<T> {
    fn push(&self, morsel: Morsel<T>, _: Driver<'_, 'env>) {
        // The thread owns the turn: nobody else ever gets it.
        let mine = self.funnel.offer(morsel);
        debug_assert!(!mine);
    }

    fn close(&self, _: Driver<'_, 'env>) {
        let mine = self.funnel.close();
        debug_assert!(!mine);
    }
}

impl<'env, T: Send> Node<'env> for StoreThread<T> {
    fn step(&self, _: Driver<'_, 'env>) -> Step {
        Step::Nothing
    }

    fn wake(&self) {
        self.funnel.wake();
    }
}

/// An end whose turns somebody outside the run takes.
pub(crate) struct Outlet;

impl Outlet {
    /// The inlet, and the funnel to take turns at.
    pub(crate) fn connect<'env, T: Send + 'env>(
        order: Order,
        plan: &mut Plan<'env>,
    ) -> (AnyInlet<'env, T>, Arc<Funnel<Morsel<T>>>) {
        let funnel = open_funnel(order, plan);
        funnel.own();
        let node = Arc::new(StoreThread { funnel: Arc::clone(&funnel) });
        plan.nodes.push(Arc::clone(&node) as Arc<dyn Node<'env> + 'env>);
        (node, funnel)
    }
}
