//! The ends of a pipeline: stores, collections, folds.

use super::run::Harvest;
use super::{Pipeline, Run, Terminal};
use crate::checkpoint::{Progress, Receipt};
use crate::engine::{
    AnyInlet, Consumer, Context, Draining, Driver, FoldInlet, Folding, Morsel, Order, Plan, Seat, Serial, Shared,
    StoreThread, Watched,
};
use crate::error::{BoxError, Error, panic_message};
use crate::op::Operator;
use crate::policy::{Cause, OnError, Policy};
use crate::report::{Kind, StageCell, Tally};
use crate::retry::Retry;
use crate::store::{Outcome, Store};
use parking_lot::Mutex;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Pipeline<'env, In, Op> {
    /// Ends in a store. One that [may wait](Store::may_wait) runs on a thread of its own.
    ///
    /// Give `&mut store` to look at it after the run.
    pub fn store<S>(self, store: S) -> Run<'env, Op::Out, StoreEnd<'env, S, Op::Out, S::Error>>
    where
        S: Store<Op::Out> + 'env,
        S::Error: 'env,
    {
        let end = StoreEnd { store, policy: Policy::new("store".to_owned()) };
        Run::new(self.seal(), "store", end)
    }

    /// Ends in a closure that is called with one item after another. It runs on the pool, so it should not wait; one that
    /// does belongs in [`store::from_fn`](crate::store::from_fn).
    pub fn for_each<F>(self, f: F) -> Run<'env, Op::Out, StoreEnd<'env, ForEach<F>, Op::Out, Infallible>>
    where
        F: FnMut(Op::Out) + Send + 'env,
    {
        let end = StoreEnd { store: ForEach(f), policy: Policy::new("for_each".to_owned()) };
        Run::new(self.seal(), "for_each", end)
    }

    /// Ends in a collection: the output of the report.
    pub fn collect<C>(self) -> Run<'env, Op::Out, Collect<C>>
    where
        C: Default + Extend<Op::Out> + Send + 'env,
    {
        Run::new(self.seal(), "collect", Collect(C::default()))
    }

    /// Ends by counting: the output of the report.
    pub fn count(self) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = u64>> {
        self.folded("count", || 0u64, |count, _| *count += 1, |count, other| *count += other)
    }

    /// Ends by folding: each worker takes items into an accumulator of its own, and the accumulators are merged in
    /// parallel at the end. The output of the report is the merged one.
    ///
    /// Which worker gets which item is as it happens, in any order, so `merge` should be associative and commutative, and
    /// `init` neutral. A panic in any of the three aborts the run, as it may leave an accumulator half changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let report = Pipeline::extract(1..=1_000u64)
    ///     .map(|number| number * number)
    ///     .fold(|| 0, |sum, square| *sum += square, |sum, other| *sum += other)
    ///     .run()?;
    /// assert_eq!(report.output, 333_833_500);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn fold<A: Send + 'env>(
        self,
        init: impl Fn() -> A + Send + Sync + 'env,
        add: impl Fn(&mut A, Op::Out) + Send + Sync + 'env,
        merge: impl Fn(&mut A, A) + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = A>> {
        self.folded("fold", init, add, merge)
    }

    /// Ends by reducing two items to one until there is one left: the output of the report, `None` if there were no
    /// items. `f` should be associative and commutative.
    pub fn reduce(
        self,
        f: impl Fn(Op::Out, Op::Out) -> Op::Out + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = Option<Op::Out>>> {
        let f = Arc::new(f);
        let merge = Arc::clone(&f);
        self.folded(
            "reduce",
            || None,
            move |left: &mut Option<Op::Out>, item| *left = Some(reduce_two(left.take(), item, &*f)),
            move |left, right| {
                if let Some(right) = right {
                    *left = Some(reduce_two(left.take(), right, &*merge));
                }
            },
        )
    }

    pub(super) fn folded<A: Send + 'env>(
        self,
        method: &'static str,
        init: impl Fn() -> A + Send + Sync + 'env,
        add: impl Fn(&mut A, Op::Out) + Send + Sync + 'env,
        merge: impl Fn(&mut A, A) + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = A>> {
        let whole = move |init: &(dyn Fn() -> A + Sync), accumulators: Vec<A>| {
            let merged = accumulators.into_par_iter().reduce_with(|mut left, right| {
                merge(&mut left, right);
                left
            });
            merged.unwrap_or_else(init)
        };
        Run::new(self.seal(), method, Reduce::new(init, add, whole))
    }
}

fn reduce_two<T>(left: Option<T>, right: T, f: impl Fn(T, T) -> T) -> T {
    match left {
        Some(left) => f(left, right),
        None => right,
    }
}

/// Ends in a store: [`Pipeline::store`], [`Pipeline::for_each`].
pub struct StoreEnd<'env, S, T, E> {
    store: S,
    policy: Policy<'env, T, E>,
}

impl<S, T, E> std::fmt::Debug for StoreEnd<'_, S, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreEnd")
    }
}

impl<'env, S, T, E> Run<'env, T, StoreEnd<'env, S, T, E>>
where
    T: Send + 'env,
    StoreEnd<'env, S, T, E>: Terminal<'env, T>,
{
    /// Says what happens to an item that could not be stored: by an error or a panic.
    ///
    /// # Default
    ///
    /// [`OnError::abort`].
    pub fn on_error(mut self, on_error: OnError<'env, T, E>) -> Self {
        self.kind_mut().policy.set(on_error);
        self
    }

    /// Tries to store an item that failed again, up to a number of attempts; what fails for good is up to
    /// [`on_error`](Run::on_error).
    ///
    /// A store has a thread of its own then, even one that never [waits](Store::may_wait), and that thread waits between
    /// two attempts, as nothing may be stored out of turn. Stopping the run ends the wait. An attempt that fails must not
    /// have stored anything, or storing the item again must not matter.
    pub fn retry(mut self, retry: Retry<'env, E>) -> Self
    where
        T: Clone,
    {
        if let Some(problem) = retry.problem() {
            self.refuse("retry", problem);
        }
        self.kind_mut().policy.set_retry(retry, Clone::clone);
        self
    }
}

/// A closure as a store that never waits.
#[derive(Debug, Clone)]
pub struct ForEach<F>(F);

impl<T, F: FnMut(T) + Send> Store<T> for ForEach<F> {
    type Error = Infallible;

    #[inline]
    fn store(&mut self, item: T) -> Result<(), Infallible> {
        (self.0)(item);
        Ok(())
    }

    fn may_wait(&self) -> bool {
        false
    }
}

impl<'env, T, E, S> Terminal<'env, T> for StoreEnd<'env, S, T, E>
where
    T: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Store<T, Error = E> + 'env,
{
    type Output = ();
    const LASTS: bool = true;

    fn open(mut self, name: &str, order: Order, plan: &mut Plan<'env>) -> (AnyInlet<'env, T>, Harvest<'env, ()>) {
        self.policy.rename(name.to_owned());
        let seat = plan.take_seat(name, &mut self.store);
        plan.opens_end = true;
        self.policy.open(plan, 0);
        plan.opens_end = false;
        // At a checkpoint it may have to wait for other ends.
        let waits = self.store.may_wait() || self.policy.may_wait() || seat.is_some();
        let cell = end_cell(name, 1, waits, plan);
        let shared = Arc::clone(&plan.shared);
        let storing = Storing {
            store: self.store,
            policy: self.policy,
            cell: Arc::clone(&cell),
            shared,
            tally: Tally::default(),
            seat,
        };
        let inlet: AnyInlet<'env, T> = if waits {
            StoreThread::connect(storing, cell, order, plan, |mut storing, outcome| {
                if let Err(error) = storing.finish(outcome) {
                    storing.shared.abort(error);
                }
            })
        } else {
            let serial = Serial::connect(storing, order, plan);
            let ending = Arc::clone(&serial);
            plan.endings.push(Box::new(move |outcome| ending.consumer().finish(outcome)));
            serial
        };
        (inlet, Box::new(|| Ok(())))
    }
}

fn end_cell(name: &str, workers: usize, own_threads: bool, plan: &mut Plan<'_>) -> Arc<StageCell> {
    let cell = StageCell::new(name.to_owned(), Kind::Store, plan.segment(), workers);
    plan.add_stage(cell.leading().ending().on_own_threads(own_threads))
}

/// Stores items one after another.
struct Storing<'env, S, T, E> {
    store: S,
    policy: Policy<'env, T, E>,
    cell: Arc<StageCell>,
    shared: Arc<Shared>,
    tally: Tally,
    /// If the run keeps checkpoints.
    seat: Option<Seat<'env>>,
}

impl<'env, S: Store<T, Error = E>, T: Send, E: Into<BoxError> + Send> Storing<'env, S, T, E> {
    fn finish(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.attempt("finish", |store| store.finish(outcome))
    }

    fn attempt<R>(&mut self, action: &'static str, call: impl FnOnce(&mut S) -> Result<R, E>) -> Result<R, Error> {
        let error = match catch_unwind(AssertUnwindSafe(|| call(&mut self.store))) {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(error)) => error.into(),
            Err(payload) => panic_message(payload).into(),
        };
        Err(Error::stage(&self.cell.name, action, error))
    }

    /// Goes on behind a barrier, if nothing is to be waited for any more: commits what came before it.
    fn pass(&mut self, limit: Duration) -> Result<(), Error> {
        let Some(seat) = &mut self.seat else { return Ok(()) };
        let has = seat.has();
        let Some((barrier, progress)) = seat.pass(limit) else { return Ok(()) };
        // A store that is ahead has committed more than this.
        let receipt = if progress.position() < has { Receipt::none() } else { self.commit(&progress)? };
        self.seat.as_ref().map_or(Ok(()), |seat| seat.committed(&barrier, receipt))
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, Error> {
        let began = self.shared.now();
        let receipt = self.attempt("commit for a checkpoint", |store| store.commit(progress));
        self.cell.busy_nanos.fetch_add(self.shared.now() - began, Relaxed);
        receipt
    }

    /// How many items at the front of a morsel the store has from an earlier run.
    fn stored_before(&self, morsel: &Morsel<T>) -> usize {
        let has = self.seat.as_ref().map_or(0, Seat::has);
        (0..morsel.items.len()).take_while(|index| morsel.origin.position(*index) < has).count()
    }

    fn store_all(&mut self, morsel: &mut Morsel<T>) {
        let before = self.stored_before(morsel);
        let mut positions = std::mem::take(&mut morsel.origin);
        if before > 0 {
            positions = positions.part(before, morsel.items.len() - before);
        }
        let (store, policy, shared) = (&mut self.store, &self.policy, &*self.shared);
        let tally = std::slice::from_mut(&mut self.tally);
        let item_bytes = morsel.item_bytes();
        let mut items = std::mem::take(&mut morsel.items);
        let mut rest = Draining::new(&mut items, shared);
        drop_stored(&mut rest, before, shared);
        let mut cx = Context::new(tally, &positions, shared, &morsel.permit, item_bytes);
        let watched = shared.watched(&self.cell, positions.position(0), rest.size_hint().0);
        let entered = if policy.may_wait() {
            store_patiently(store, policy, &mut rest, &mut cx, shared, watched.as_ref())
        } else {
            store_each(store, policy, &mut rest, &mut cx)
        };
        drop(watched);
        let entered = before + entered;
        self.tally.derive_out(entered as u64);
        self.cell.add(&std::mem::take(&mut self.tally));
        // Last, as the drop of what is left may unwind.
        drop(rest);
        morsel.items = items;
    }
}

/// Drops items that the store has already.
fn drop_stored<T>(rest: &mut Draining<'_, T>, items: usize, shared: &Shared) {
    for item in rest.take(items) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(item))) {
            shared.abort(Error::stage("pipeline", "drop what was stored before", panic_message(payload).into()));
        }
    }
}

/// Stores items until they are used up or the run is over. Returns how many were tried.
fn store_each<S: Store<T>, T>(
    store: &mut S,
    policy: &Policy<'_, T, S::Error>,
    rest: &mut Draining<'_, T>,
    cx: &mut Context<'_>,
) -> usize {
    let mut entered = 0;
    let mut kept = None;
    loop {
        let stored = catch_unwind(AssertUnwindSafe(|| {
            while !cx.is_stopped() {
                let Some(item) = rest.next() else { break };
                cx.set_index(entered);
                entered += 1;
                let item = policy.keep(&mut kept, item);
                if let Err(error) = store.store(item) {
                    policy.fail(cx, kept.take(), Cause::Error(error), 1);
                }
            }
        }));
        let Err(payload) = stored else { return entered };
        policy.fail(cx, kept.take(), Cause::Panic(panic_message(payload)), 1);
    }
}

/// The same, trying again what failed as the policy says.
fn store_patiently<S: Store<T>, T>(
    store: &mut S,
    policy: &Policy<'_, T, S::Error>,
    rest: &mut Draining<'_, T>,
    cx: &mut Context<'_>,
    shared: &Shared,
    watched: Option<&Watched<'_>>,
) -> usize {
    let mut entered = 0;
    let mut trying = Trying { item: None, kept: None, attempt: 0 };
    let mut panicked = None;
    loop {
        let stored = catch_unwind(AssertUnwindSafe(|| {
            if let Some(message) = panicked.take() {
                let wait = trying.settle(policy, cx, Cause::Panic(message));
                wait_out(wait, cx, rest, shared, watched);
            }
            while !cx.is_stopped() {
                if trying.item.is_none() {
                    trying.item = rest.next();
                    cx.set_index(entered);
                    entered += usize::from(trying.item.is_some());
                    trying.attempt = 0;
                }
                let Some(item) = trying.take(policy, cx) else { break };
                if let Err(error) = store.store(item) {
                    let wait = trying.settle(policy, cx, Cause::Error(error));
                    wait_out(wait, cx, rest, shared, watched);
                }
            }
        }));
        let Err(payload) = stored else { break };
        panicked = Some(panic_message(payload));
    }
    cx.tally(0).lost += u64::from(trying.item.is_some());
    entered
}

/// Waits before the next attempt, which the watchdog is not to take for one that lasts.
fn wait_out<T>(
    wait: Option<Duration>,
    cx: &Context<'_>,
    rest: &Draining<'_, T>,
    shared: &Shared,
    watched: Option<&Watched<'_>>,
) {
    let Some(wait) = wait else { return };
    if let Some(watched) = watched {
        let until = shared.now().saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        watched.wait_until(until, cx.position(), 1 + rest.size_hint().0);
    }
    shared.pause(wait);
}

/// The item that a store is to store next, or again.
struct Trying<T> {
    item: Option<T>,
    /// A copy of the one under way, if the policy wants one.
    kept: Option<T>,
    attempt: u32,
}

impl<T> Trying<T> {
    /// Takes the item for its next attempt.
    fn take<E: Into<BoxError>>(&mut self, policy: &Policy<'_, T, E>, cx: &mut Context<'_>) -> Option<T> {
        let item = self.item.take()?;
        self.attempt += 1;
        if self.attempt == 1 {
            policy.entered();
        } else {
            cx.tally(0).retried += 1;
        }
        policy.keep_for(&mut self.kept, &item, self.attempt);
        Some(item)
    }

    /// Deals with an attempt that failed: says how long to wait until the item is to be stored again, or lets the policy
    /// decide.
    fn settle<E: Into<BoxError>>(
        &mut self,
        policy: &Policy<'_, T, E>,
        cx: &mut Context<'_>,
        cause: Cause<E>,
    ) -> Option<Duration> {
        // Taken before user code is asked: should that unwind, the item is not tried again.
        let kept = self.kept.take();
        let wait = kept.as_ref().and_then(|_| policy.wait_after(self.attempt, &cause, cx.random()));
        match (wait, kept) {
            (Some(wait), Some(item)) => {
                self.item = Some(item);
                drop(cause);
                Some(wait)
            }
            (_, item) => {
                policy.fail(cx, item, cause, self.attempt);
                None
            }
        }
    }
}

impl<'env, S: Store<T, Error = E>, T: Send, E: Into<BoxError> + Send> Consumer<'env, T> for Storing<'env, S, T, E> {
    fn consume(&mut self, mut morsel: Morsel<T>, _: Driver<'_, 'env>) {
        if !morsel.items.is_empty() {
            let began = self.shared.now();
            let items = morsel.items.len() as u64;
            self.store_all(&mut morsel);
            let ended = self.shared.now();
            self.cell.busy_nanos.fetch_add(ended - began, Relaxed);
            self.cell.latency.record(ended.saturating_sub(morsel.born), items);
        }
        if let (Some(seat), Some(barrier)) = (&mut self.seat, morsel.barrier.take()) {
            seat.arrive(barrier);
        }
    }

    fn open(&mut self, driver: Driver<'_, 'env>) {
        let Some(receipt) = self.seat.as_ref().and_then(Seat::receipt) else { return };
        if let Err(error) = self.attempt("go back to what it had at the checkpoint", |store| store.resume(&receipt)) {
            driver.abort(error);
        }
    }

    fn is_held(&mut self, limit: Duration, driver: Driver<'_, 'env>) -> bool {
        if let Err(error) = self.pass(limit) {
            driver.abort(error);
        }
        self.seat.as_ref().is_some_and(Seat::is_held)
    }

    fn close(&mut self, driver: Driver<'_, 'env>) {
        driver.shared().end();
    }

    fn idle(&mut self, driver: Driver<'_, 'env>) {
        if let Err(error) = self.attempt("flush", S::flush) {
            driver.abort(error);
        }
    }
}

/// Ends in a collection: [`Pipeline::collect`].
#[derive(Debug, Clone)]
pub struct Collect<C>(C);

impl<'env, T, C> Terminal<'env, T> for Collect<C>
where
    T: Send + 'env,
    C: Default + Extend<T> + Send + 'env,
{
    type Output = C;

    fn open(self, name: &str, order: Order, plan: &mut Plan<'env>) -> (AnyInlet<'env, T>, Harvest<'env, C>) {
        let cell = end_cell(name, 1, false, plan);
        let collection = Arc::new(Mutex::new(self.0));
        let collecting = Collecting { collection: Arc::clone(&collection), cell, shared: Arc::clone(&plan.shared) };
        let inlet = Serial::connect(collecting, order, plan);
        (inlet, Box::new(move || Ok(std::mem::take(&mut *collection.lock()))))
    }
}

struct Collecting<C> {
    /// Shared only with the harvest, after the run.
    collection: Arc<Mutex<C>>,
    cell: Arc<StageCell>,
    shared: Arc<Shared>,
}

impl<'env, T: Send, C: Extend<T> + Send> Consumer<'env, T> for Collecting<C> {
    fn consume(&mut self, mut morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        let began = self.shared.now();
        let mut items = std::mem::take(&mut morsel.items);
        let mut rest = Draining::new(&mut items, &self.shared);
        let mut entered = 0;
        let counted = rest.by_ref().inspect(|_| entered += 1);
        let extended = catch_unwind(AssertUnwindSafe(|| self.collection.lock().extend(counted)));
        let ended = self.shared.now();
        // What a collection took before it panicked is lost with it.
        let lost = if extended.is_ok() { 0 } else { entered };
        self.cell.add(&Tally { items_in: entered, items_out: entered - lost, lost, ..Tally::default() });
        self.cell.busy_nanos.fetch_add(ended - began, Relaxed);
        self.cell.latency.record(ended.saturating_sub(morsel.born), entered);
        if let Err(payload) = extended {
            driver.abort(Error::stage(&self.cell.name, "collect", panic_message(payload).into()));
        }
        drop(rest);
        morsel.items = items;
    }

    fn close(&mut self, driver: Driver<'_, 'env>) {
        driver.shared().end();
    }
}

/// Ends by folding: [`Pipeline::fold`] and its kin.
#[derive(Debug, Clone)]
pub struct Reduce<I, F, W> {
    init: I,
    add: F,
    whole: W,
}

impl<I, F, W> Reduce<I, F, W> {
    pub(super) fn new(init: I, add: F, whole: W) -> Self {
        Reduce { init, add, whole }
    }
}

impl<'env, T, A, I, F, W> Terminal<'env, T> for Reduce<I, F, W>
where
    T: Send + 'env,
    A: Send + 'env,
    I: Fn() -> A + Send + Sync + 'env,
    F: Fn(&mut A, T) + Send + Sync + 'env,
    W: WholeOf<A, Whole: Send> + Send + 'env,
{
    type Output = W::Whole;

    fn open(self, name: &str, _: Order, plan: &mut Plan<'env>) -> (AnyInlet<'env, T>, Harvest<'env, W::Whole>) {
        let Reduce { init, add, whole } = self;
        let workers = plan.shared.crew.max();
        let cell = end_cell(name, workers, false, plan);
        let inlet = FoldInlet::new(FoldBy { init, add }, cell, Arc::clone(&plan.shared));
        let folded = Arc::clone(&inlet);
        let name = name.to_owned();
        let harvest = move || {
            let merged = catch_unwind(AssertUnwindSafe(|| whole.whole(&folded.folding().init, folded.take())));
            merged.map_err(|payload| Error::stage(&name, "merge its accumulators", panic_message(payload).into()))
        };
        (inlet, Box::new(harvest))
    }
}

struct FoldBy<I, F> {
    init: I,
    add: F,
}

impl<T, A: Send, I: Fn() -> A + Send + Sync, F: Fn(&mut A, T) + Send + Sync> Folding<T> for FoldBy<I, F> {
    type Acc = A;

    fn start(&self) -> A {
        (self.init)()
    }

    #[inline]
    fn add(&self, acc: &mut A, item: T) {
        (self.add)(acc, item);
    }
}

/// Makes the whole of the accumulators of all workers.
pub trait WholeOf<A> {
    /// The whole.
    type Whole;

    #[doc(hidden)]
    fn whole(self, init: &(dyn Fn() -> A + Sync), parts: Vec<A>) -> Self::Whole;
}

impl<A, B, F: FnOnce(&(dyn Fn() -> A + Sync), Vec<A>) -> B> WholeOf<A> for F {
    type Whole = B;

    fn whole(self, init: &(dyn Fn() -> A + Sync), parts: Vec<A>) -> B {
        self(init, parts)
    }
}
