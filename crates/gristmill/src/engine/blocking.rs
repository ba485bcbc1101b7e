//! A stage that waits, on threads of its own.
//!
//! Its items may each take milliseconds, so a morsel is not one thread's: the threads share its items out among
//! themselves, a few at a time when they are quick and one at a time when they are slow, and whoever finishes the last of
//! them puts the results together in the order of the items and hands the morsel on.
//!
//! A share of which something was put aside (see [`aside`](super::aside)) is parked, and its thread is free for others. The
//! thread that finds it due takes it up; a tick wakes one that sleeps.

use super::Driver;
use super::aside::{Parked, Progress, Waiting};
use super::context::Context;
use super::gate::Permit;
use super::morsel::{Draining, Morsel, Origin};
use super::plan::{AnyInlet, Inlet, Node, Plan, Step};
use super::segment::Runner;
use super::shared::Shared;
use super::task::{Task, Turned};
use crate::op::Operator;
use crate::weight::Scale;
use parking_lot::{Condvar, Mutex};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A thread takes so much work at a time.
const SHARE_NANOS: u64 = 20_000;

pub(crate) struct BlockingNode<'env, In, Op: Operator<'env, In>> {
    shared: Arc<Shared>,
    runner: Runner<'env, In, Op>,
    threads: usize,
    state: Mutex<State<'env, In, Op>>,
    arrival: Condvar,
    out: AnyInlet<'env, Op::Out>,
    over: AtomicBool,
}

struct State<'env, In, Op: Operator<'env, In>> {
    jobs: VecDeque<Job<'env, In, Op>>,
    /// Shares of which something was put aside.
    parked: BinaryHeap<Parked<Unfinished<'env, In, Op>>>,
    /// Morsels whose items are not all done.
    open: usize,
    closed: bool,
    finished: bool,
}

/// A morsel whose items are being shared out.
struct Job<'env, In, Op: Operator<'env, In>> {
    rest: std::vec::IntoIter<In>,
    next: usize,
    assembly: Arc<Assembly<'env, In, Op>>,
}

/// A few neighbouring items of a morsel.
struct Share<'env, In, Op: Operator<'env, In>> {
    items: Vec<In>,
    first: usize,
    assembly: Arc<Assembly<'env, In, Op>>,
}

/// A share without its items, and how far they have come.
struct Unfinished<'env, In, Op: Operator<'env, In>> {
    first: usize,
    taken: usize,
    progress: Progress<'env, In, Op>,
    assembly: Arc<Assembly<'env, In, Op>>,
}

/// Where the results of a morsel are put together.
struct Assembly<'env, In, Op: Operator<'env, In>> {
    /// The emptied morsel, for all it carries but the items.
    morsel: Mutex<Option<Morsel<In>>>,
    positions: Origin,
    /// The morsel's slot, and what an item of it weighed.
    permit: Permit,
    item_bytes: usize,
    parts: Mutex<Parts<Op::Out>>,
    shared: Arc<Shared>,
}

struct Parts<Out> {
    done: Vec<Part<Out>>,
    left: usize,
}

/// The results of a few neighbouring items.
struct Part<Out> {
    first: usize,
    out: Vec<Out>,
    positions: Vec<u64>,
}

/// One of the threads of a blocking stage.
struct Hand<'env, In, Op: Operator<'env, In>>(Arc<BlockingNode<'env, In, Op>>);

/// What a thread finds to do.
enum Taken<'env, In, Op: Operator<'env, In>> {
    Share(Share<'env, In, Op>),
    /// Something of this is due.
    Unfinished(Unfinished<'env, In, Op>),
    Nothing,
    /// There will be nothing any more.
    Over,
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Task<'env> for Hand<'env, In, Op> {
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let Hand(node) = self;
        let waited_from = node.shared.now();
        let taken = node.take(patience);
        let began = node.shared.now();
        if let Taken::Share(_) | Taken::Unfinished(_) = &taken {
            node.runner.lead().starved_nanos.fetch_add(began - waited_from, Ordering::Relaxed);
        }
        match taken {
            Taken::Share(share) => node.process(share, began, driver),
            Taken::Unfinished(unfinished) => node.go_on(unfinished, began, driver),
            Taken::Nothing => return Turned::Idle,
            Taken::Over => return Turned::Ended,
        }
        driver.settle();
        Turned::Worked
    }
}

impl<Out> Part<Out> {
    fn new(first: usize, out: Vec<Out>, origin: &Origin) -> Self {
        let positions = (0..out.len()).map(|index| origin.position(index)).collect();
        Part { first, out, positions }
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> State<'env, In, Op> {
    /// Whether the first of what is parked may be taken up: it is due, or what it waits for is there.
    fn is_due(&self, node: &BlockingNode<'env, In, Op>) -> bool {
        self.parked
            .peek()
            .is_some_and(|first| first.due <= node.shared.now() || node.runner.may_enter(&first.what.progress.waiting))
    }
}

impl<'env, In, Op: Operator<'env, In>> Drop for Job<'env, In, Op> {
    fn drop(&mut self) {
        self.assembly.shared.lost.fetch_add(self.rest.len() as u64, Ordering::Relaxed);
    }
}

impl<'env, In, Op: Operator<'env, In>> Drop for Assembly<'env, In, Op> {
    fn drop(&mut self) {
        let lost: usize = self.parts.lock().done.iter().map(|part| part.out.len()).sum();
        self.shared.lost.fetch_add(lost as u64, Ordering::Relaxed);
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> BlockingNode<'env, In, Op> {
    /// Makes the stage and its threads; what is returned is its inlet.
    pub(crate) fn connect(
        mut op: Op,
        threads: usize,
        scale: Scale<'env, Op::Out>,
        plan: &mut Plan<'env>,
        out: AnyInlet<'env, Op::Out>,
    ) -> AnyInlet<'env, In> {
        let mut cells = Vec::new();
        op.open(plan, &mut cells);
        let segment = plan.segment();
        for (at, cell) in cells.iter_mut().enumerate() {
            (cell.segment, cell.workers, cell.leads, cell.own_threads) = (segment, threads, at == 0, true);
        }
        let cells = plan.add_stages(cells);
        let name = cells.first().map_or_else(String::new, |cell| cell.name.clone());
        plan.check_scale(&scale, &name);
        let node = Arc::new(BlockingNode {
            runner: Runner::new(op, cells, false, scale, plan),
            shared: Arc::clone(&plan.shared),
            threads,
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                parked: BinaryHeap::new(),
                open: 0,
                closed: false,
                finished: false,
            }),
            arrival: Condvar::new(),
            out,
            over: AtomicBool::new(false),
        });
        plan.nodes.push(Arc::clone(&node) as Arc<dyn Node<'env> + 'env>);
        for number in 0..threads {
            plan.add_task(format!("{name}-{number}"), Hand(Arc::clone(&node)));
        }
        let ending = Arc::clone(&node);
        plan.endings.push(Box::new(move |outcome| {
            ending.runner.close(outcome);
            Ok(())
        }));
        node
    }

    /// Waits for something that is due, or for the next few items.
    fn take(&self, patience: Duration) -> Taken<'env, In, Op> {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            if self.over.load(Ordering::Acquire) || self.shared.is_stopped() {
                return Taken::Over;
            }
            if Op::DEFERS && state.is_due(self) {
                let first = state.parked.pop();
                if state.is_due(self) {
                    self.arrival.notify_one();
                }
                return first.map_or(Taken::Nothing, |first| Taken::Unfinished(first.what));
            }
            if let Some(job) = state.jobs.front_mut() {
                let first = job.next;
                let most = self.share_of(job.rest.len());
                let items: Vec<In> = job.rest.by_ref().take(most).collect();
                job.next += items.len();
                let assembly = Arc::clone(&job.assembly);
                if job.rest.len() == 0 {
                    state.jobs.pop_front();
                }
                return Taken::Share(Share { items, first, assembly });
            }
            if waited {
                return Taken::Nothing;
            }
            self.arrival.wait_for(&mut state, patience);
            waited = true;
        }
    }

    fn share_of(&self, items: usize) -> usize {
        let quick = self.runner.cost.share(SHARE_NANOS, self.threads);
        quick.min(items.div_ceil(self.threads)).max(1)
    }

    fn process(&self, share: Share<'env, In, Op>, began: u64, driver: Driver<'_, 'env>) {
        let Share { mut items, first, assembly } = share;
        let Some(mut worker) = self.runner.hire() else {
            self.shared.lost.fetch_add(items.len() as u64, Ordering::Relaxed);
            return;
        };
        let taken = items.len();
        let watched = self.shared.watched(self.runner.lead(), assembly.positions.position(first), taken);
        let mut out = Vec::with_capacity(taken);
        let mut origin = Origin::at(assembly.positions.position(first));
        let positions = assembly.positions.part(first, taken);
        let mut rest = Draining::new(&mut items, &self.shared);
        let tallies = &mut worker.tallies;
        let mut cx = Context::new(tallies, &positions, &self.shared, &assembly.permit, assembly.item_bytes);
        let entered = self.runner.run_items(&mut worker.state, &mut cx, &mut rest, &mut out, &mut origin);
        drop(watched);
        let splices = cx.into_splices();
        let waiting = self.runner.take_waiting(&mut worker);
        self.runner.dismiss(worker, entered, out.len());
        let took = self.shared.now() - began;
        self.runner.lead().busy_nanos.fetch_add(took, Ordering::Relaxed);
        // Several threads share the work, so an item costs the pipeline less than it costs a thread.
        if let Some(queue) = waiting.queue(began + took) {
            self.runner.cost.learn((took / self.threads as u64).saturating_add(queue), taken as u64);
        }
        if Op::DEFERS && waiting.len() > 0 {
            let progress = self.runner.progress(out, origin, positions, waiting, splices);
            self.park(Unfinished { first, taken, progress, assembly });
        } else {
            driver.pause();
            self.put_together(&assembly, Part::new(first, out, &origin), taken, driver);
        }
        // Last, as the drop of what is left may unwind.
        drop(rest);
    }

    /// Goes on with a share of which something is due.
    fn go_on(&self, mut unfinished: Unfinished<'env, In, Op>, began: u64, driver: Driver<'_, 'env>) {
        let Unfinished { first, taken, progress, assembly } = &mut unfinished;
        let watched = self.shared.watched(self.runner.lead(), progress.positions.position(0), progress.waiting.len());
        self.runner.go_on(progress, &assembly.permit, assembly.item_bytes, began);
        drop(watched);
        self.runner.lead().busy_nanos.fetch_add(self.shared.now() - began, Ordering::Relaxed);
        if progress.waiting.len() > 0 {
            self.park(unfinished);
            return;
        }
        let (out, origin) = progress.finish();
        self.put_together(assembly, Part::new(*first, out, &origin), *taken, driver);
    }

    /// Sets a share aside until something of it is due.
    fn park(&self, unfinished: Unfinished<'env, In, Op>) {
        let due = unfinished.progress.waiting.due();
        self.shared.expect(due);
        self.state.lock().parked.push(Parked { due, what: unfinished });
    }

    fn put_together(
        &self,
        assembly: &Assembly<'env, In, Op>,
        part: Part<Op::Out>,
        taken: usize,
        driver: Driver<'_, 'env>,
    ) {
        let mut parts = assembly.parts.lock();
        parts.done.push(part);
        parts.left -= taken;
        if parts.left > 0 {
            return;
        }
        let done = std::mem::take(&mut parts.done);
        drop(parts);
        let morsel = assembly.morsel.lock().take();
        if let Some(mut morsel) = morsel {
            let (out, origin) = join(done, assembly.positions.position(0));
            self.runner.observe_latency(self.shared.now().saturating_sub(morsel.born), out.len() as u64);
            let out = self.runner.follow(&mut morsel, out, origin);
            drop(morsel);
            self.out.push(out, driver);
        }
        self.state.lock().open -= 1;
        self.finish_if_done(driver);
    }

    fn finish_if_done(&self, driver: Driver<'_, 'env>) {
        let mut state = self.state.lock();
        let done = state.closed && state.open == 0 && !state.finished;
        state.finished |= done;
        drop(state);
        if done && !self.shared.is_stopped() {
            self.out.close(driver);
            self.over.store(true, Ordering::Release);
            self.wake();
        }
    }
}

fn join<Out>(mut parts: Vec<Part<Out>>, start: u64) -> (Vec<Out>, Origin) {
    parts.sort_unstable_by_key(|part| part.first);
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.out.len()).sum());
    let mut origin = Origin::at(start);
    for part in parts {
        for (item, position) in part.out.into_iter().zip(part.positions) {
            origin.follow(out.len(), out.len() + 1, || position);
            out.push(item);
        }
    }
    (out, origin)
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Inlet<'env, In> for BlockingNode<'env, In, Op> {
    fn push(&self, mut morsel: Morsel<In>, driver: Driver<'_, 'env>) {
        if morsel.items.is_empty() {
            // Nothing to do, but those who restore order count it.
            let origin = std::mem::take(&mut morsel.origin);
            let out = self.runner.follow(&mut morsel, Vec::new(), origin);
            self.out.push(out, driver);
            return;
        }
        let item_bytes = morsel.item_bytes();
        let rest = std::mem::take(&mut morsel.items).into_iter();
        let items = rest.len();
        let assembly = Assembly {
            positions: std::mem::take(&mut morsel.origin),
            permit: morsel.permit.share(0),
            item_bytes,
            parts: Mutex::new(Parts { done: Vec::new(), left: items }),
            shared: Arc::clone(&self.shared),
            morsel: Mutex::new(Some(morsel)),
        };
        let mut state = self.state.lock();
        state.open += 1;
        state.jobs.push_back(Job { rest, next: 0, assembly: Arc::new(assembly) });
        drop(state);
        (0..items.min(self.threads)).for_each(|_| {
            self.arrival.notify_one();
        });
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        self.state.lock().closed = true;
        self.finish_if_done(driver);
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Node<'env> for BlockingNode<'env, In, Op> {
    fn step(&self, _: Driver<'_, 'env>) -> Step {
        Step::Nothing
    }

    fn tick(&self, _: Driver<'_, 'env>) {
        if Op::DEFERS && self.state.lock().is_due(self) {
            // Who takes up the first wakes another if there is more.
            self.arrival.notify_one();
        }
    }

    fn wake(&self) {
        drop(self.state.lock());
        self.arrival.notify_all();
    }
}
