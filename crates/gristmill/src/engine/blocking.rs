//! A stage that waits, on threads of its own.
//!
//! Its items may each take milliseconds, so a morsel is not one thread's: the threads share its items out among
//! themselves, a few at a time when they are quick and one at a time when they are slow, and whoever finishes the last of
//! them puts the results together in the order of the items and hands the morsel on.
//!
//! # How many threads
//!
//! [`Workers`] says how many are wanted, and may say something else at any time. A thread looks whether it is wanted before it
//! takes something, never in between. Those with the highest numbers are not wanted first: they *rest*, at a bell of their own, so
//! that nobody who has work to hand out wakes them instead of another. Before it rests a thread rings once, as it may have been
//! woken for something. A tick wakes those that are wanted again; the caller of `run` starts those that never were, the next
//! time it looks after the run.
//!
//! # What waits
//!
//! A share of which something was put aside (see [`aside`](super::aside)) is parked, and its thread is free for others.
//! Threads look for what is due first, and then for new items. One of those that sleep sleeps only until the next is due:
//! it has set the *alarm*. Who takes something up rings if the next is due as well, or if nobody sleeps with an alarm any
//! more. What waits for a place is called by who gives one back, through the [`Bell`]; a tick looks as well.

use super::Driver;
use super::aside::{NEVER, Progress, Waiting};
use super::bell::Bell;
use super::context::Context;
use super::gate::Permit;
use super::lot::{Lot, Parkable, Rank};
use super::morsel::{Draining, Morsel, Origin};
use super::plan::{AnyInlet, Inlet, Node, Plan, Step};
use super::segment::Runner;
use super::shared::Shared;
use super::task::{Task, Turned};
use crate::op::Operator;
use crate::report::Workforce;
use crate::tuner::{Look, Tuner};
use crate::weight::Scale;
use crate::workers::Workers;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A thread takes so much work at a time.
const SHARE_NANOS: u64 = 20_000;

pub(crate) struct BlockingNode<'env, In, Op: Operator<'env, In>> {
    shared: Arc<Shared>,
    runner: Runner<'env, In, Op>,
    /// How many threads are wanted, the most that there can be, and how many have been started.
    workers: Workers,
    most: usize,
    started: AtomicUsize,
    /// For those that are not wanted at the moment.
    rest: Bell,
    /// Threads that are in a call, and items that have left.
    busy: AtomicUsize,
    done: AtomicU64,
    control: Mutex<Control>,
    state: Mutex<State<'env, In, Op>>,
    bell: Arc<Bell>,
    out: AnyInlet<'env, Op::Out>,
    over: AtomicBool,
}

struct State<'env, In, Op: Operator<'env, In>> {
    jobs: VecDeque<Job<'env, In, Op>>,
    /// Shares of which something was put aside.
    parked: Lot<Unfinished<'env, In, Op>>,
    /// When a thread that sleeps looks at what is parked.
    alarm: u64,
    asleep: usize,
    /// Since when there has always been somebody in line, or a new item behind: they may have what of a rate came meanwhile.
    backlog_since: u64,
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
    since: u64,
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
    seq: u64,
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
struct Hand<'env, In, Op: Operator<'env, In>> {
    node: Arc<BlockingNode<'env, In, Op>>,
    number: usize,
    begun: bool,
    resting: bool,
}

/// What is known at a tick of the number of threads.
struct Control {
    /// What those that rest, and the report, were told.
    wanted: usize,
    present: usize,
    tuner: Option<Tuner>,
}

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
        if !std::mem::replace(&mut self.begun, true) {
            self.node.started.fetch_add(1, Ordering::Relaxed);
            self.node.note_threads(&mut self.node.control.lock());
        }
        if !self.is_wanted() {
            return self.rest(patience);
        }
        self.resting = false;
        let node = &self.node;
        let waited_from = node.shared.now();
        let taken = node.take(self.number, patience);
        let began = node.shared.now();
        if let Taken::Share(_) | Taken::Unfinished(_) = &taken {
            node.runner.lead().starved_nanos.fetch_add(began - waited_from, Ordering::Relaxed);
            node.busy.fetch_add(1, Ordering::Relaxed);
        }
        match taken {
            Taken::Share(share) => node.process(share, began, driver),
            Taken::Unfinished(unfinished) => node.go_on(unfinished, began, driver),
            Taken::Nothing => return Turned::Idle,
            Taken::Over => return Turned::Ended,
        }
        node.busy.fetch_sub(1, Ordering::Relaxed);
        driver.settle();
        Turned::Worked
    }

    fn is_wanted(&self) -> bool {
        self.number < self.node.threads()
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Hand<'env, In, Op> {
    /// Sleeps until it is wanted again, or the run is over.
    fn rest(&mut self, patience: Duration) -> Turned {
        let node = &self.node;
        let seen = node.rest.seen();
        if node.is_over() {
            return Turned::Ended;
        }
        if self.number < node.threads() {
            return Turned::Idle;
        }
        // It was told, so a tick that finds it wanted again wakes it, also if no tick came since it was not.
        let mut control = node.control.lock();
        control.wanted = control.wanted.min(self.number);
        drop(control);
        if !std::mem::replace(&mut self.resting, true) {
            // It may have been woken for something, or have given back a place that others of the stage wait for.
            node.bell.ring(1);
        }
        node.rest.wait(seen, patience);
        Turned::Idle
    }
}

impl<Out> Part<Out> {
    fn new(first: usize, out: Vec<Out>, origin: &Origin) -> Self {
        let positions = (0..out.len()).map(|index| origin.position(index)).collect();
        Part { first, out, positions }
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> State<'env, In, Op> {
    /// Whether something parked may be taken up: it is due, or what it waits for is there.
    fn is_due(&self, node: &BlockingNode<'env, In, Op>) -> bool {
        !self.parked.is_empty() && self.parked.is_due(node.shared.now(), |waiting| node.runner.may_enter(waiting))
    }

    fn take_due(&mut self, node: &BlockingNode<'env, In, Op>) -> Option<Unfinished<'env, In, Op>> {
        if self.parked.is_empty() {
            return None;
        }
        self.parked.take(node.shared.now(), |waiting| node.runner.may_enter(waiting))
    }

    /// The next few items of the first morsel that has any left.
    fn take_share(&mut self, node: &BlockingNode<'env, In, Op>) -> Option<Share<'env, In, Op>> {
        let job = self.jobs.front_mut()?;
        let first = job.next;
        let most = node.share_of(job.rest.len());
        let items: Vec<In> = job.rest.by_ref().take(most).collect();
        job.next += items.len();
        let assembly = Arc::clone(&job.assembly);
        if job.rest.len() == 0 {
            self.jobs.pop_front();
        }
        Some(Share { items, first, since: self.backlog_since, assembly })
    }

    /// The next thing to do. While others stand in line new items would stand behind them, so they stay where they are.
    fn find(&mut self, node: &BlockingNode<'env, In, Op>) -> Option<Taken<'env, In, Op>> {
        if Op::DEFERS {
            if let Some(due) = self.take_due(node) {
                return Some(Taken::Unfinished(due));
            }
            if self.parked.has_line() {
                return None;
            }
        }
        let share = self.take_share(node);
        if share.is_none() {
            self.backlog_since = NEVER;
        }
        share.map(Taken::Share)
    }

    /// How many of the threads that sleep have something to do, or will before a tick would find it.
    fn wanted(&self, node: &BlockingNode<'env, In, Op>) -> usize {
        if self.asleep == 0 || (self.parked.is_empty() && self.jobs.is_empty()) {
            return 0;
        }
        let soon = node.shared.now().saturating_add(node.shared.tick_interval().as_nanos() as u64);
        // One at least, who stands in line if there is no room, so that the stage is called when there is.
        let room = node.runner.room().clamp(1, self.asleep);
        let first = self.is_due(node) || (self.alarm == NEVER && self.parked.due() < soon);
        if self.parked.has_line() { usize::from(first) } else { room.min(self.new_items()).max(usize::from(first)) }
    }

    /// New items, as far as it takes to keep all threads busy.
    fn new_items(&self) -> usize {
        match self.jobs.len() {
            0 => 0,
            1 => self.jobs[0].rest.len(),
            _ => usize::MAX,
        }
    }

    /// How long a thread may sleep, and whether it has set the alarm, as something is due before any other thread looks.
    fn sleep_for(&mut self, node: &BlockingNode<'env, In, Op>, patience: Duration) -> (Duration, bool) {
        let due = self.parked.due();
        if due >= self.alarm {
            return (patience, false);
        }
        self.alarm = due;
        (patience.min(Duration::from_nanos(due.saturating_sub(node.shared.now()))), true)
    }
}

impl<'env, In, Op: Operator<'env, In>> Parkable for Unfinished<'env, In, Op> {
    type Waiting = Op::Waiting;

    fn waiting(&self) -> &Op::Waiting {
        &self.progress.waiting
    }

    fn rank(&self) -> Rank {
        (self.assembly.seq, self.first)
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
        workers: Workers,
        scale: Scale<'env, Op::Out>,
        plan: &mut Plan<'env>,
        out: AnyInlet<'env, Op::Out>,
    ) -> AnyInlet<'env, In> {
        let mut cells = Vec::new();
        let bell = Arc::new(Bell::new());
        plan.bell = Some(Arc::clone(&bell));
        op.open(plan, &mut cells);
        plan.bell = None;
        let segment = plan.segment();
        let most = workers.most();
        let threads = workers.get().clamp(1, most);
        for (at, cell) in cells.iter_mut().enumerate() {
            (cell.segment, cell.workers, cell.leads, cell.own_threads) =
                (segment, Workforce::new(threads), at == 0, true);
        }
        let cells = plan.add_stages(cells);
        let name = cells.first().map_or_else(String::new, |cell| cell.name.clone());
        plan.check_scale(&scale, &name);
        let node = Arc::new(BlockingNode {
            runner: Runner::new(op, cells, false, scale, plan),
            shared: Arc::clone(&plan.shared),
            control: Mutex::new(Control { wanted: threads, present: threads, tuner: workers.bounds().map(Tuner::new) }),
            workers,
            most,
            started: AtomicUsize::new(threads),
            rest: Bell::new(),
            busy: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                parked: Lot::new(),
                alarm: NEVER,
                asleep: 0,
                backlog_since: NEVER,
                open: 0,
                closed: false,
                finished: false,
            }),
            bell,
            out,
            over: AtomicBool::new(false),
        });
        plan.nodes.push(Arc::clone(&node) as Arc<dyn Node<'env> + 'env>);
        for number in 0..most {
            let hand = Hand { node: Arc::clone(&node), number, begun: number < threads, resting: false };
            plan.add_task(format!("{name}-{number}"), hand);
        }
        let ending = Arc::clone(&node);
        plan.endings.push(Box::new(move |outcome| {
            ending.runner.close(outcome);
            Ok(())
        }));
        node
    }

    /// Waits for something that is due, or for the next few items, on a thread that is wanted.
    fn take(&self, number: usize, patience: Duration) -> Taken<'env, In, Op> {
        let mut patience = Some(patience);
        loop {
            let seen = self.bell.seen();
            if self.is_over() {
                return Taken::Over;
            }
            if number >= self.threads() {
                return Taken::Nothing;
            }
            let mut state = self.state.lock();
            if let Some(found) = state.find(self) {
                let wanted = if Op::DEFERS { state.wanted(self) } else { 0 };
                drop(state);
                if wanted > 0 {
                    self.bell.ring(wanted);
                }
                return found;
            }
            let Some(longest) = patience.take() else { return Taken::Nothing };
            state.asleep += 1;
            let (sleep, is_mine) = state.sleep_for(self, longest);
            let alarm = state.alarm;
            drop(state);
            self.bell.wait(seen, sleep);
            let mut state = self.state.lock();
            state.asleep -= 1;
            // Who had set the alarm is awake, though it may be too early.
            if is_mine && state.alarm == alarm {
                state.alarm = NEVER;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.shared.is_stopped()
    }

    /// How many threads are wanted.
    fn threads(&self) -> usize {
        self.workers.get().clamp(1, self.most)
    }

    fn share_of(&self, items: usize) -> usize {
        let threads = self.threads();
        let quick = self.runner.cost.share(SHARE_NANOS, threads);
        quick.min(items.div_ceil(threads)).max(1)
    }

    fn process(&self, share: Share<'env, In, Op>, began: u64, driver: Driver<'_, 'env>) {
        let Share { mut items, first, since, assembly } = share;
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
        let mut cx =
            Context::new(tallies, &positions, &self.shared, &assembly.permit, assembly.item_bytes).since(since);
        let entered = self.runner.run_items(&mut worker.state, &mut cx, &mut rest, &mut out, &mut origin);
        drop(watched);
        let splices = cx.into_splices();
        let waiting = self.runner.take_waiting(&mut worker);
        self.runner.dismiss(worker, entered, out.len());
        let took = self.shared.now() - began;
        self.runner.lead().busy_nanos.fetch_add(took, Ordering::Relaxed);
        // Several threads share the work, so an item costs the pipeline less than it costs a thread.
        if let Some(queue) = waiting.queue(began + took) {
            self.runner.cost.learn((took / self.threads() as u64).saturating_add(queue), taken as u64);
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
        self.shared.expect(unfinished.progress.waiting.expected());
        let mut state = self.state.lock();
        state.parked.park(unfinished);
        if state.backlog_since == NEVER && state.parked.has_line() {
            state.backlog_since = self.shared.now();
        }
    }

    fn put_together(
        &self,
        assembly: &Assembly<'env, In, Op>,
        part: Part<Op::Out>,
        taken: usize,
        driver: Driver<'_, 'env>,
    ) {
        self.done.fetch_add(taken as u64, Ordering::Relaxed);
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

    /// Wakes a thread if something parked is due; says whether anything is parked.
    fn look_after_parked(&self) -> bool {
        let state = self.state.lock();
        let is_waiting = !state.parked.is_empty();
        if self.shared.watch.is_some() && is_waiting && state.parked.waits_for_place() {
            // Others have it, perhaps in another run: this stage is not stuck.
            self.shared.expect(self.shared.now());
        }
        let is_due = is_waiting && state.is_due(self);
        drop(state);
        if is_due {
            // Who takes up the first wakes another if there is more.
            self.bell.ring(1);
        }
        is_waiting
    }

    /// Lets the tuner look, and calls those that rest if they are wanted again.
    fn look_after_threads(&self) {
        let Some(mut control) = self.control.try_lock() else { return };
        if let Some(tuner) = &mut control.tuner {
            let state = self.state.lock();
            let queued = !state.jobs.is_empty() && !state.parked.has_line();
            drop(state);
            let set = self.workers.get();
            let (workers, busy) = (set.clamp(1, self.most), self.busy.load(Ordering::Relaxed));
            let now = self.shared.now();
            let next = tuner.look(Look { now, workers, busy, queued, done: self.done.load(Ordering::Relaxed) });
            if next != workers {
                self.workers.shift(set, next);
            }
        }
        let wanted = self.threads();
        if wanted > std::mem::replace(&mut control.wanted, wanted) {
            self.rest.ring_all();
        }
        self.note_threads(&mut control);
    }

    /// Tells the report if the number of threads has changed.
    fn note_threads(&self, control: &mut Control) {
        let present = self.threads().min(self.started.load(Ordering::Relaxed));
        if present != std::mem::replace(&mut control.present, present) {
            self.runner.lead().workers.set(present, self.shared.now());
        }
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
            seq: morsel.seq,
            permit: morsel.permit.share(0),
            item_bytes,
            parts: Mutex::new(Parts { done: Vec::new(), left: items }),
            shared: Arc::clone(&self.shared),
            morsel: Mutex::new(Some(morsel)),
        };
        let mut state = self.state.lock();
        state.open += 1;
        state.jobs.push_back(Job { rest, next: 0, assembly: Arc::new(assembly) });
        // Those behind others in line are looked at when it is their turn.
        let behind = Op::DEFERS && state.parked.has_line();
        drop(state);
        if !behind {
            self.bell.ring(items.min(self.threads()));
        }
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

    fn tick(&self, _: Driver<'_, 'env>) -> bool {
        let is_waiting = Op::DEFERS && self.look_after_parked();
        self.look_after_threads();
        is_waiting || self.workers.bounds().is_some()
    }

    fn wake(&self) {
        self.bell.ring_all();
        self.rest.ring_all();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::{Engine, Hands};
    use super::*;
    use crate::op::Each;
    use crate::pipeline::Settings;
    use std::time::Instant;

    /// An end that nothing comes to.
    struct Unreached;

    impl Inlet<'_, u32> for Unreached {
        fn push(&self, _: Morsel<u32>, _: Driver<'_, '_>) {
            unreachable!("nothing is handed in");
        }

        fn close(&self, _: Driver<'_, '_>) {}
    }

    /// A stage with its threads, which nobody starts.
    fn stage(workers: Workers) -> (Plan<'static>, Arc<Engine<'static>>) {
        let mut plan = Plan::new(Settings::default());
        let op = Each::new("stage".to_owned(), |(): &mut (), item: u32| Ok::<_, String>(Some(item)));
        BlockingNode::connect(op, workers, Scale::Flat { exact: true }, &mut plan, Arc::new(Unreached));
        let shared = Arc::clone(&plan.shared);
        (plan, Arc::new(Engine { shared, nodes: Vec::new(), quiet: Vec::new(), watchdog: None }))
    }

    /// It may have been woken for an item that it does not take. Between two rests it is wanted again, each time.
    #[test]
    fn a_thread_that_is_not_wanted_any_more_wakes_another_before_it_rests() {
        let workers = Workers::new(2);
        let (plan, engine) = stage(workers.clone());
        let mut tasks: Vec<_> = plan.threads.into_iter().map(|thread| thread.task).collect();
        let [wanted, surplus] = &mut tasks[..] else { panic!("there are two") };
        let (limit, began) = (Duration::from_secs(60), Instant::now());
        rayon::in_place_scope(|pool| {
            let driver = Driver { hands: Hands::Pool { scope: pool, is_worker: false }, engine: &engine };
            std::thread::scope(|scope| {
                let sleeper = scope.spawn(|| wanted.turn(driver, limit));
                while !sleeper.is_finished() {
                    for number in [2, 1] {
                        workers.set(number);
                        assert_eq!(surplus.turn(driver, Duration::ZERO), Turned::Idle);
                    }
                    std::thread::yield_now();
                }
                assert_eq!(sleeper.join().expect("nothing panics"), Turned::Idle);
            });
        });
        assert!(began.elapsed() < limit, "it slept as long as it could");
    }
}
