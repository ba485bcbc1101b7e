//! A stage that waits, on threads of its own.
//!
//! Its items may each take milliseconds, so a morsel is not one thread's: the threads share its items out among
//! themselves, a few at a time when they are quick and one at a time when they are slow, and whoever finishes the last of
//! them puts the results together in the order of the items and hands the morsel on.

use super::Driver;
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
use std::collections::VecDeque;
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
    /// These items, from this place of their morsel on.
    Share(Vec<In>, usize, Arc<Assembly<'env, In, Op>>),
    Nothing,
    /// There will be nothing any more.
    Over,
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Task<'env> for Hand<'env, In, Op> {
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let Hand(node) = self;
        let waited_from = node.shared.now();
        let (items, first, assembly) = match node.take_share(patience) {
            Taken::Share(items, first, assembly) => (items, first, assembly),
            Taken::Nothing => return Turned::Idle,
            Taken::Over => return Turned::Ended,
        };
        let began = node.shared.now();
        node.runner.lead().starved_nanos.fetch_add(began - waited_from, Ordering::Relaxed);
        node.process((items, first, assembly), began, driver);
        driver.settle();
        Turned::Worked
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
            state: Mutex::new(State { jobs: VecDeque::new(), open: 0, closed: false, finished: false }),
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

    /// Waits for the next few items.
    fn take_share(&self, patience: Duration) -> Taken<'env, In, Op> {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            if self.over.load(Ordering::Acquire) || self.shared.is_stopped() {
                return Taken::Over;
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
                return Taken::Share(items, first, assembly);
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

    fn process(
        &self,
        (mut items, first, assembly): (Vec<In>, usize, Arc<Assembly<'env, In, Op>>),
        began: u64,
        driver: Driver<'_, 'env>,
    ) {
        let Some(mut worker) = self.runner.hire() else {
            self.shared.lost.fetch_add(items.len() as u64, Ordering::Relaxed);
            return;
        };
        let taken = items.len();
        let watched = self.shared.watched(self.runner.lead(), assembly.positions.position(first), taken);
        let mut part = Part { first, out: Vec::with_capacity(taken), positions: Vec::new() };
        let mut origin = Origin::at(assembly.positions.position(first));
        let positions = assembly.positions.part(first, taken);
        let mut rest = Draining::new(&mut items, &self.shared);
        let tallies = &mut worker.tallies;
        let mut cx = Context::new(tallies, &positions, &self.shared, &assembly.permit, assembly.item_bytes);
        let entered = self.runner.run_items(&mut worker.state, &mut cx, &mut rest, &mut part.out, &mut origin);
        drop(watched);
        self.runner.dismiss(worker, entered, part.out.len());
        let took = self.shared.now() - began;
        self.runner.lead().busy_nanos.fetch_add(took, Ordering::Relaxed);
        // Several threads share the work, so an item costs the pipeline less than it costs a thread.
        self.runner.cost.learn(took / self.threads as u64, taken as u64);
        part.positions = (0..part.out.len()).map(|index| origin.position(index)).collect();
        driver.pause();
        self.put_together(&assembly, part, taken, driver);
        // Last, as the drop of what is left may unwind.
        drop(rest);
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

    fn wake(&self) {
        drop(self.state.lock());
        self.arrival.notify_all();
    }
}
