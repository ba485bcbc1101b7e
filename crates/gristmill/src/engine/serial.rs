//! One at a time: what consumes morsels serially, on whoever's thread or on its own.

use super::funnel::{Funnel, Order, Turn};
use super::morsel::Morsel;
use super::plan::{AnyInlet, Inlet, Node, Plan, Quiet, Step};
use super::shared::Shared;
use super::task::{Task, Turned};
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

    /// Called before anything else on the consumer's own thread.
    fn open(&mut self, _driver: Driver<'_, 'env>) {}

    /// Whether the consumer must wait before it can go on, at the barrier of a checkpoint; waits for that up to `limit`.
    /// Called on the consumer's own thread.
    fn is_held(&mut self, _limit: Duration, _driver: Driver<'_, 'env>) -> bool {
        false
    }

    /// Everything has been consumed.
    fn close(&mut self, driver: Driver<'_, 'env>);

    /// Nothing has come for a flush interval.
    fn idle(&mut self, _driver: Driver<'_, 'env>) {}

    /// Lets go of what is held back only for efficiency: because of its age, or whatever its age.
    fn let_go(&mut self, _driver: Driver<'_, 'env>, _now: LetGo) {}

    /// Whether something is held back that grows too old.
    fn is_ageing(&self) -> bool {
        false
    }
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
            driver.pause();
            driver.settle();
            breathe();
        }
    }

    /// Whoever has the turn now lets go of nothing; it is asked again at the next tick. Says whether anything may be left
    /// that grows too old.
    fn try_let_go<'env>(&self, driver: Driver<'_, 'env>, which: LetGo) -> bool
    where
        C: Consumer<'env, T>,
    {
        if !self.funnel.try_take() {
            return true;
        }
        let mut consumer = self.consumer.lock();
        consumer.let_go(driver, which);
        let is_ageing = consumer.is_ageing();
        drop(consumer);
        self.take_turns(driver);
        is_ageing
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

    fn tick(&self, driver: Driver<'_, 'env>) -> bool {
        self.try_let_go(driver, LetGo::Overdue)
    }

    fn relieve(&self, driver: Driver<'_, 'env>) {
        self.try_let_go(driver, LetGo::All);
    }
}

/// A consumer that may wait, on a thread of its own.
pub(crate) struct StoreThread<T> {
    funnel: Arc<Funnel<Morsel<T>>>,
}

/// How long a thread waits at a barrier before it looks whether the run goes on.
const BARRIER_PATIENCE: Duration = Duration::from_millis(10);

impl<T: Send> StoreThread<T> {
    /// A node whose turns somebody is to take who sleeps in between.
    fn new<'env>(order: Order, plan: &mut Plan<'env>) -> Arc<Self>
    where
        T: 'env,
    {
        let funnel = open_funnel(order, plan);
        funnel.own();
        let node = Arc::new(StoreThread { funnel });
        plan.nodes.push(Arc::clone(&node) as Arc<dyn Node<'env> + 'env>);
        plan.quiet.push(Arc::clone(&node) as Arc<dyn Quiet + 'env>);
        node
    }

    /// Adds the task. `finish` is called on its thread at the very end, whatever happened, with the outcome.
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
        let node = Self::new(order, plan);
        let funnel = Arc::clone(&node.funnel);
        plan.add_task(cell.name.clone(), Consuming { funnel, consumer, cell, open: false, fresh_since: None, finish });
        node
    }
}

/// What the thread of a consumer does.
struct Consuming<T, C, F> {
    funnel: Arc<Funnel<Morsel<T>>>,
    consumer: C,
    cell: Arc<StageCell>,
    open: bool,
    /// When the last morsel was consumed, if nothing was flushed since.
    fresh_since: Option<u64>,
    finish: F,
}

impl<'env, T, C, F> Task<'env> for Consuming<T, C, F>
where
    T: Send,
    C: Consumer<'env, T>,
    F: FnOnce(C, Outcome) + Send,
{
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let shared = driver.shared();
        if shared.is_stopped() {
            return Turned::Ended;
        }
        if !std::mem::replace(&mut self.open, true) {
            self.consumer.open(driver);
            return Turned::Worked;
        }
        if self.consumer.is_held(patience.min(BARRIER_PATIENCE), driver) {
            return Turned::Idle;
        }
        let waited_from = shared.now();
        let patience = patience.min(self.until_flush(shared, waited_from));
        let turn = self.funnel.wait_turn(patience, || shared.is_stopped());
        self.cell.starved_nanos.fetch_add(shared.now() - waited_from, Relaxed);
        let turned = match turn {
            Turn::Take(morsel) => {
                self.consumer.consume(morsel, driver);
                self.fresh_since = Some(shared.now());
                Turned::Worked
            }
            Turn::Finish => {
                self.consumer.close(driver);
                Turned::Ended
            }
            Turn::Leave if self.until_flush(shared, shared.now()).is_zero() => {
                self.fresh_since = None;
                self.consumer.idle(driver);
                Turned::Worked
            }
            Turn::Leave => Turned::Idle,
        };
        driver.settle();
        turned
    }

    fn close(self: Box<Self>, outcome: Outcome) {
        (self.finish)(self.consumer, outcome);
    }
}

impl<T, C, F> Consuming<T, C, F> {
    /// How long it takes until something is to be flushed.
    fn until_flush(&self, shared: &Shared, now: u64) -> Duration {
        self.fresh_since.map_or(Duration::MAX, |since| {
            shared.flush_interval.saturating_sub(Duration::from_nanos(now.saturating_sub(since)))
        })
    }
}

impl<'env, T: Send> Inlet<'env, T> for StoreThread<T> {
    fn push(&self, morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        if driver.looks_again() {
            return self.funnel.offer_quietly(morsel);
        }
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

impl<T: Send> Quiet for StoreThread<T> {
    fn announce(&self) -> bool {
        self.funnel.announce()
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
        let node = StoreThread::new(order, plan);
        let funnel = Arc::clone(&node.funnel);
        (node, funnel)
    }
}
