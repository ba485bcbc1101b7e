//! The engine: morsels, permits, and who drives them.
//!
//! ```text
//!  a waiting source            workers of the pool: CPU segments            a waiting store
//!  has a thread           ┌────────────────────────────────────────┐        has a thread
//! ┌────────┐  intake      │ fill or take ─▶ map ∘ filter ∘ map ─▶  │ funnel ┌───────┐
//! │ source │═════════════▶│ a morsel        (fused, one loop)      │═══════▶│ store │
//! └────────┘              └────▲───────────────────────────────────┘        └───┬───┘
//!                              └────────── permits: the only place to wait ─────┘
//! ```
//!
//! A source that never waits has no thread: the worker that wants work fills a morsel from it. A store that never waits
//! has none either: whoever hands in the morsel that may go next stores it. So in the simplest pipeline one worker does
//! everything for a morsel while it is in its cache, and a second worker does the same for the next.
//!
//! # Rules
//!
//! 1. Nothing but the gate makes anybody wait for room, and only sources wait at it. Every push is into a queue that the
//!    window bounds, so a push never waits.
//! 2. A worker on the pool waits for nobody: it finds a step to do or goes home ([`crew`]). While it runs user code it
//!    holds no lock that another would wait for: only, in a serial stage, the turn, which the others pass by. So a pool
//!    of one thread is enough, and a user's own rayon calls can run our steps while they wait.
//! 3. Workers look for work from the end of the pipeline to its source: what is nearly done leaves before more enters.
//! 4. User code that unwinds is caught at the item ([`crate::op`]); where no item is to blame (a weigher, a key, a drop)
//!    it aborts the run ([`Driver::contain`]). A run that stops drops what is in flight, counts it as lost, wakes
//!    everybody who waits, and joins every thread before `run` returns.

mod aside;
mod barrier;
mod batch;
mod bell;
mod blocking;
mod clock;
mod context;
mod crew;
mod dead;
mod feed;
mod fold;
mod fork;
mod funnel;
mod gate;
mod lot;
mod merge;
#[cfg(all(test, loom))]
mod models;
mod morsel;
mod pace;
mod plan;
mod relay;
mod segment;
mod serial;
mod shared;
mod shed;
mod simulate;
pub(crate) mod sync;
mod task;
mod watch;

pub use aside::{Aside, Waiting};
pub use context::Context;
pub use dead::DeadLane;
pub use plan::{Inlet, Plan};

pub(crate) use aside::{Entry, Hole};
pub(crate) use barrier::{CheckpointError, Seat};
pub(crate) use batch::{BatchLimits, Batcher, batch_scale};
pub(crate) use bell::{Bell, Caller};
pub(crate) use blocking::BlockingNode;
pub(crate) use clock::Clock;
pub(crate) use feed::{Feed, source_head};
pub(crate) use fold::{FoldInlet, Folding};
pub(crate) use fork::{Copies, Fork, Forks, Splits};
pub(crate) use funnel::{Funnel, Order, Turn};
pub(crate) use merge::MergeInlet;
pub(crate) use morsel::{Draining, Morsel};
pub(crate) use plan::{AnyInlet, Node, Quiet, Step};
pub(crate) use segment::{Segment, SegmentLayout};
pub(crate) use serial::{Consumer, Outlet, Serial, StoreThread};
use shared::LONGEST_TICK;
pub(crate) use shared::Shared;
pub(crate) use simulate::Script;
use simulate::Simulator;
use task::OwnThread;
pub(crate) use watch::{Watch, Watched};

use crate::error::{Error, panic_message};
use crate::watchdog::Watchdog;
use crate::weight::Scale;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// What a segment takes its items from.
pub enum Head<'env, T> {
    /// A source, to be opened when the run begins.
    Source(OpenSource<'env, T>),
    /// The stage before: given the scale for its results and the inlet to push to, it connects itself and all before it.
    Stage(ConnectStage<'env, T>),
}

/// Opens a source that is weighed by a scale.
pub(crate) type OpenSource<'env, T> =
    Box<dyn FnOnce(&mut Plan<'env>, Scale<'env, T>) -> Box<dyn Feed<T> + 'env> + Send + 'env>;
/// Connects a stage to what follows it.
pub(crate) type ConnectStage<'env, T> =
    Box<dyn FnOnce(&mut Plan<'env>, Scale<'env, T>, AnyInlet<'env, T>) + Send + 'env>;

impl<'env, T> Head<'env, T> {
    /// A stage that connects itself like this.
    pub(crate) fn stage(
        connect: impl FnOnce(&mut Plan<'env>, Scale<'env, T>, AnyInlet<'env, T>) + Send + 'env,
    ) -> Self {
        Head::Stage(Box::new(connect))
    }

    /// Connects a stage, and all before it. A source alone is never at the end of anything: its failures must be dealt
    /// with first, by a segment.
    pub(crate) fn connect(self, plan: &mut Plan<'env>, scale: Scale<'env, T>, out: AnyInlet<'env, T>) {
        match self {
            Head::Stage(connect) => connect(plan, scale, out),
            Head::Source(_) => unreachable!("a source is opened by its segment"),
        }
    }
}

impl<T> std::fmt::Debug for Head<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Head::Source(_) => "Source",
            Head::Stage(_) => "Stage",
        })
    }
}

/// A worker looks after others on its pool this often.
const TIME_SLICE: Duration = Duration::from_millis(2);
/// While the workers tick, or nothing waits for a time, the caller of `run` sleeps through so many ticks at most.
const TICKS_SLEPT: u32 = 4;
/// After a step of so many nanoseconds a worker announces what it has handed in: to wake a thread costs a fiftieth of it at most.
const LONG_STEP: u64 = 250_000;
/// How often a worker looks again while somebody fills a morsel, before it goes home: for about as long as it takes to fill
/// the largest.
const BUSY_LOOKS: u32 = 64;

/// The running pipeline.
pub(crate) struct Engine<'env> {
    shared: Arc<Shared>,
    /// From the end to the source.
    nodes: Vec<Arc<dyn Node<'env> + 'env>>,
    /// Those among them whose threads are woken late.
    quiet: Vec<Arc<dyn Quiet + 'env>>,
    watchdog: Option<Watchdog<'env>>,
}

/// The means to get work done: who does it, and the run they work for.
pub struct Driver<'a, 'env> {
    hands: Hands<'a, 'env>,
    engine: &'a Arc<Engine<'env>>,
}

/// Who does the work.
enum Hands<'a, 'env> {
    /// A worker on the pool, or a thread.
    Pool { scope: &'a rayon::Scope<'env>, is_worker: bool },
    /// One thread that plays them all.
    Simulated(&'a Simulator<'env>),
    /// Threads of a model; how many workers this one is still to start.
    #[cfg(all(loom, test))]
    Model(&'a std::sync::atomic::AtomicUsize),
}

impl Clone for Hands<'_, '_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Hands<'_, '_> {}

impl Clone for Driver<'_, '_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Driver<'_, '_> {}

impl std::fmt::Debug for Driver<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

impl<'env> Driver<'_, 'env> {
    /// Whether the caller looks for work again before it rests, and then announces what it has handed in.
    fn looks_again(&self) -> bool {
        matches!(self.hands, Hands::Pool { is_worker: true, .. })
    }

    /// A place where a thread may lose its core: in a simulation others go on here. Not to be called under a lock.
    #[inline]
    pub(crate) fn pause(&self) {
        if let Hands::Simulated(simulator) = self.hands {
            simulator.pause(*self);
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.engine.shared
    }

    /// Says that there is work to look at. To be called after it was made visible.
    pub(crate) fn notify(&self) {
        if !self.engine.shared.crew.raise() {
            return;
        }
        match self.hands {
            Hands::Pool { scope, .. } => {
                let engine = Arc::clone(self.engine);
                scope.spawn(move |scope| work(&engine, scope));
            }
            // It sees that one more is awake.
            Hands::Simulated(_) => {}
            #[cfg(all(loom, test))]
            Hands::Model(owed) => {
                owed.fetch_add(1, Relaxed);
            }
        }
    }

    /// Wakes those whom the gate has refused, if something was given back since, and workers that were called. To be called
    /// after permits may have been dropped, or places given back.
    pub(crate) fn settle(&self) {
        let shared = &self.engine.shared;
        if shared.gate.take_freed() | shared.take_call() {
            self.notify();
        }
    }

    /// Asks open batches to let go of what they hold.
    pub(crate) fn relieve(&self) {
        self.engine.nodes.iter().for_each(|node| node.relieve(*self));
    }

    /// Stops the run and wakes everybody.
    pub(crate) fn abort(&self, error: Error) {
        self.engine.shared.abort(error);
        self.engine.nodes.iter().for_each(|node| node.wake());
    }

    /// Calls what may run user code outside an item: the drop of a value, a weigher, a key. If that unwinds the run is
    /// aborted, as it must not hang on a worker that is gone.
    fn contain<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(result) => Some(result),
            Err(payload) => {
                let message = panic_message(payload);
                self.abort(Error::stage("pipeline", "go on after a panic outside an item", message.into()));
                None
            }
        }
    }
}

/// What is below a worker on the stack of its thread, and so how long it may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// Nothing of ours: as long as there is work.
    Pool,
    /// Somebody of ours who let others have the thread for a while: a time slice.
    Break,
    /// A user's function in the middle of an item, which waits for a rayon call of its own: one step.
    Item,
}

thread_local! {
    static BELOW: Cell<Below> = const { Cell::new(Below::Pool) };
    /// When this thread let others in last.
    static BREATHED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs something with another mark of what is below.
fn with_below<R>(below: Below, call: impl FnOnce() -> R) -> R {
    let before = BELOW.replace(below);
    let result = call();
    BELOW.set(before);
    result
}

/// Lets others on the pool have this thread once; says whether there was anybody.
fn let_others_in() -> bool {
    with_below(Below::Break, rayon::yield_now) == Some(rayon::Yield::Executed)
}

/// Lets others in if nobody has been for a time slice.
fn breathe() {
    let now = Instant::now();
    if now.duration_since(BREATHED.get().unwrap_or(now)) > TIME_SLICE {
        let_others_in();
        BREATHED.set(Some(Instant::now()));
    } else if BREATHED.get().is_none() {
        BREATHED.set(Some(now));
    }
}

/// One worker: looks for steps to do until there are none, or until it is time to go.
fn work<'env>(engine: &Arc<Engine<'env>>, scope: &rayon::Scope<'env>) {
    let below = BELOW.get();
    let breathed = BREATHED.replace(Some(Instant::now()));
    let driver = Driver { hands: Hands::Pool { scope, is_worker: true }, engine };
    if with_below(Below::Item, || work_until_idle(driver, below)) == Life::GoesOn {
        let engine = Arc::clone(engine);
        scope.spawn(move |scope| work(&engine, scope));
    }
    BREATHED.set(breathed);
}

/// What becomes of a worker that must leave its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It has retired.
    Ended,
    /// Whoever is free takes it up.
    GoesOn,
}

fn work_until_idle(driver: Driver<'_, '_>, below: Below) -> Life {
    let engine = driver.engine;
    let crew = &engine.shared.crew;
    let began = Instant::now();
    let mut stepped = engine.shared.now();
    let mut looks = 0;
    loop {
        let seen = crew.seen();
        if engine.shared.is_stopped() {
            crew.leave();
            return Life::Ended;
        }
        match engine.step(driver) {
            Step::Done => {
                looks = 0;
                let now = engine.shared.now();
                if now.saturating_sub(std::mem::replace(&mut stepped, now)) > LONG_STEP {
                    engine.announce();
                }
                if engine.shared.take_tick_at(now) {
                    engine.tick(driver);
                }
                match below {
                    Below::Pool => breathe(),
                    Below::Break if began.elapsed() < TIME_SLICE => {}
                    Below::Break | Below::Item => return Life::GoesOn,
                }
            }
            Step::Busy if looks < BUSY_LOOKS && below == Below::Pool => {
                looks += 1;
                (0..32).for_each(|_| std::hint::spin_loop());
            }
            Step::Busy | Step::Nothing => {
                looks = 0;
                if crew.retire(seen) {
                    return Life::Ended;
                }
            }
        }
    }
}

impl<'env> Engine<'env> {
    /// Does one step, as near to the end of the pipeline as there is one.
    fn step(&self, driver: Driver<'_, 'env>) -> Step {
        let step = driver.contain(|| {
            let mut best = Step::Nothing;
            for node in &self.nodes {
                match node.step(driver) {
                    Step::Done => return Step::Done,
                    Step::Busy => best = Step::Busy,
                    Step::Nothing => {}
                }
            }
            best
        });
        if step != Some(Step::Done) {
            self.announce();
        }
        driver.settle();
        step.unwrap_or(Step::Done)
    }

    fn run(self: &Arc<Self>, scope: &rayon::Scope<'env>, threads: Threads<'env>, in_pool: bool) {
        let driver = Driver { hands: Hands::Pool { scope, is_worker: false }, engine: self };
        std::thread::scope(|own_threads| {
            let queues: Vec<_> = threads.dead.iter().map(|(queue, _)| Arc::clone(queue)).collect();
            let dead: Vec<_> =
                threads.dead.into_iter().filter_map(|(_, thread)| thread.start(own_threads, driver)).collect();
            let (wanted, mut reserve): (Vec<_>, Vec<_>) =
                threads.own.into_iter().partition(|thread| thread.task.is_wanted());
            wanted.iter().for_each(|_| self.shared.begin_work());
            let mut own: Vec<_> =
                wanted.into_iter().filter_map(|thread| thread.start_work(own_threads, driver)).collect();
            (0..self.shared.crew.max()).for_each(|_| driver.notify());
            self.watch(driver, in_pool, || {
                while let Some(thread) = next_wanted(&mut reserve) {
                    self.shared.begin_work();
                    match thread.start_more_work(own_threads, driver) {
                        Ok(started) => own.push(started),
                        // The system has no more: those that there are go on.
                        Err(_) => reserve.clear(),
                    }
                }
            });
            self.nodes.iter().for_each(|node| node.wake());
            // In this order: nobody has an item any more, dead letters are stored, the outcome is decided, and with it
            // the stores are finished. Without threads the scope of the pool waits for the workers.
            if !(own.is_empty() && dead.is_empty()) {
                self.wait_for_workers(in_pool);
            }
            queues.iter().for_each(|queue| queue.close());
            dead.into_iter().for_each(|thread| join(thread, driver, in_pool));
            if !own.is_empty() {
                self.shared.decide();
            }
            own.into_iter().for_each(|thread| join(thread, driver, in_pool));
        });
    }

    /// Waits until no thread and no worker deals with items. The threads first: as long as there are any, workers may be
    /// started by them, and who starts one does so before he ends.
    fn wait_for_workers(&self, in_pool: bool) {
        if in_pool {
            wait_until(in_pool, || self.shared.at_work() == 0);
        } else {
            self.shared.wait_for_threads();
        }
        wait_until(in_pool, || self.shared.crew.active() == 0);
    }

    /// Looks after the run until it is over. Each look takes a core from a worker, so while the workers find the time to
    /// tick themselves, or nothing waits for a time, it comes more and more seldom, until somebody hurries.
    fn watch(&self, driver: Driver<'_, 'env>, in_pool: bool, mut start_wanted: impl FnMut()) {
        let interval = self.shared.tick_interval();
        let mut patience = interval;
        let mut ticks = self.shared.ticks.load(Relaxed);
        while !self.wait(patience, in_pool) {
            start_wanted();
            let is_awaited = if self.shared.take_tick() {
                self.tick(driver)
            } else {
                driver.settle();
                ticks == self.shared.ticks.load(Relaxed)
            };
            patience = if is_awaited { interval } else { (patience * 2).min(interval * TICKS_SLEPT).min(LONGEST_TICK) };
            self.shared.may_be_hurried(patience > interval);
            ticks = self.shared.ticks.load(Relaxed);
        }
    }

    /// Waits for `limit`, or until something is to be looked after; true when the run is over.
    fn wait(&self, limit: Duration, in_pool: bool) -> bool {
        if !in_pool {
            return self.shared.wait_over(limit);
        }
        // The caller is itself a thread of the pool, perhaps the only one: it works instead of waiting.
        let until = Instant::now() + limit;
        while !self.shared.is_over() && Instant::now() < until {
            if !let_others_in() {
                self.shared.wait_over(Duration::from_micros(50));
            }
        }
        self.shared.is_over()
    }

    /// What is to be done once in a flush interval: by a worker between two steps, or by the caller of `run`. Says whether
    /// the next must not be late.
    fn tick(&self, driver: Driver<'_, 'env>) -> bool {
        self.shared.ticks.fetch_add(1, Relaxed);
        if self.shared.cancel.is_cancelled() {
            self.shared.heed_cancel();
        }
        self.shared.heed_drain_deadline();
        self.shared.heed_run_deadline();
        let is_awaited = driver.contain(|| {
            self.look_for_stalls(driver);
            let nodes = self.nodes.iter().fold(false, |any, node| node.tick(driver) | any);
            let is_held_up = self.shared.gate.is_held_up();
            if is_held_up {
                driver.relieve();
            }
            self.announce() | nodes | is_held_up
        });
        driver.settle();
        is_awaited.unwrap_or(false)
    }
}

impl Engine<'_> {
    /// Wakes the threads that something was handed in to quietly; says whether there are any.
    fn announce(&self) -> bool {
        self.quiet.iter().fold(false, |any, node| node.announce() | any)
    }

    /// Tells the watchdog what takes too long.
    fn look_for_stalls(&self, driver: Driver<'_, '_>) {
        let (Some(watch), Some(watchdog)) = (&self.shared.watch, &self.watchdog) else { return };
        for stall in watch.stalls(&self.shared) {
            if let Some(error) = watchdog.bark(&stall) {
                driver.abort(error);
            }
        }
    }
}

/// Waits for others at the end of a run. A caller who is himself a thread of the pool, perhaps the only one, works along:
/// what he waits for may have called rayon and wait for him.
fn wait_until(in_pool: bool, done: impl Fn() -> bool) {
    while !done() {
        if !in_pool || !let_others_in() {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

/// Waits until a thread is gone.
fn join(thread: ScopedJoinHandle<'_, ()>, driver: Driver<'_, '_>, in_pool: bool) {
    if in_pool {
        wait_until(in_pool, || thread.is_finished());
    }
    task::join(thread, driver);
}

/// The next thread that was not wanted before and is now.
fn next_wanted<'env>(reserve: &mut Vec<OwnThread<'env>>) -> Option<OwnThread<'env>> {
    let at = reserve.iter().position(|thread| thread.task.is_wanted())?;
    Some(reserve.remove(at))
}

/// The threads of a run.
struct Threads<'env> {
    own: Vec<OwnThread<'env>>,
    dead: Vec<(Arc<dyn plan::DeadEnd + 'env>, OwnThread<'env>)>,
}

/// Runs a plan to its end. The first error, if any, is in what is shared.
pub(crate) fn run(plan: Plan<'_>) -> Result<(), Error> {
    let Plan { shared, settings, nodes, quiet, threads, endings, dead, .. } = plan;
    let threads = Threads { own: threads, dead };
    let watchdog = settings.watchdog.clone();
    let engine = Arc::new(Engine { shared: Arc::clone(&shared), nodes, quiet, watchdog });
    shared.heed_cancel();
    match (&settings.simulation, settings.pool_ref()) {
        (Some(script), _) => engine.simulate(script, threads),
        (None, Some(pool)) => {
            let in_pool = pool.current_thread_index().is_some();
            pool.in_place_scope(|scope| engine.run(scope, threads, in_pool));
        }
        (None, None) => {
            let in_pool = rayon::current_thread_index().is_some();
            rayon::in_place_scope(|scope| engine.run(scope, threads, in_pool));
        }
    }
    let outcome = shared.decide();
    let crashed = settings.simulation.as_ref().is_some_and(|script| script.has_crashed());
    for ending in endings.into_iter().filter(|_| !crashed) {
        if let Err(error) = ending(outcome) {
            shared.abort(error);
        }
    }
    // What was in flight when the run was aborted is dropped here, and a user's drop may unwind.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(engine))) {
        shared.abort(Error::stage("pipeline", "drop what was in flight", panic_message(payload).into()));
    }
    shared.take_error().map_or(Ok(()), Err)
}
