//! A run of fused operators, worked on by the pool.
//!
//! # Protocol
//!
//! A segment has an input (a lane of morsels, or the feed of a source) under one lock, with the number of workers inside.
//! A worker that steps in:
//!
//! 1. takes a morsel under the lock and counts itself in; or takes the feed out, fills a morsel from it without the lock,
//!    and puts it back;
//! 2. runs the operators over the items with a state of its own, without any lock;
//! 3. pushes the results on, even if there are none, so that those who restore order can count; or parks the morsel if
//!    something of it was put aside, to be taken up in step 1 when it is due (see [`aside`](super::aside));
//! 4. counts itself out. The one who finds the input closed, the lane empty, nothing parked and nobody inside closes what
//!    follows, once.
//!
//! A source's segment also makes the barriers of checkpoints: see [`barrier`](super::barrier).
//!
//! While the feed is out, another worker that finds nothing else says so (`wanted`) and is called when it is back.

use super::aside::{Progress, Splices, Waiting};
use super::barrier::{Barrier, Keeper};
use super::context::{Context, NOBODY};
use super::feed::{Feed, Filled};
use super::funnel::Keys;
use super::gate::{Grant, Permit, Refused, Slot};
use super::lot::{Lot, Parkable, Rank};
use super::morsel::{Draining, Morsel, Origin, Recycler};
use super::pace::Cost;
use super::plan::{AnyInlet, Inlet, Node, Plan, Step};
use super::shared::Shared;
use super::sync::Mutex;
use super::{Driver, Head};
use crate::error::{Error, panic_message};
use crate::op::Operator;
use crate::report::{StageCell, Tally, Workforce};
use crate::store::Outcome;
use crate::weight::Scale;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) struct Segment<'env, In, Op: Operator<'env, In>> {
    shared: Arc<Shared>,
    runner: Runner<'env, In, Op>,
    input: Mutex<Input<'env, In, Op>>,
    /// How many workers may be inside.
    limit: usize,
    /// Workers fill morsels from the source themselves.
    fills: bool,
    keys: Option<KeyScribe<'env, In>>,
    /// If there is a source and the run keeps checkpoints.
    keeper: Option<Arc<Keeper<'env>>>,
    filled: Arc<Recycler<In>>,
    out: AnyInlet<'env, Op::Out>,
}

struct Input<'env, In, Op: Operator<'env, In>> {
    lane: VecDeque<Morsel<In>>,
    /// Morsels of which something was put aside.
    parked: Lot<Box<Unfinished<'env, In, Op>>>,
    feed: FeedPlace<'env, In>,
    inside: usize,
    /// Nothing more will come in.
    closed: bool,
    finished: bool,
    next_seq: u64,
    next_position: u64,
    /// Since when the gate refuses the source.
    refused_since: Option<u64>,
}

/// A morsel without its items, and how far they have come.
struct Unfinished<'env, In, Op: Operator<'env, In>> {
    morsel: Morsel<In>,
    item_bytes: usize,
    progress: Progress<'env, In, Op>,
}

impl<'env, In, Op: Operator<'env, In>> Parkable for Box<Unfinished<'env, In, Op>> {
    type Waiting = Op::Waiting;

    fn waiting(&self) -> &Op::Waiting {
        &self.progress.waiting
    }

    fn rank(&self) -> Rank {
        (self.morsel.seq, 0)
    }
}

/// What came of a morsel.
enum Ran<'env, In, Op: Operator<'env, In>> {
    Out(Morsel<Op::Out>),
    Aside(Box<Unfinished<'env, In, Op>>),
    /// The run is stopping.
    Nothing,
}

enum FeedPlace<'env, In> {
    /// The input is a lane, or the feed has ended.
    None,
    Here(Box<dyn Feed<In> + 'env>),
    /// A worker is filling a morsel.
    Out {
        wanted: bool,
    },
}

/// Writes down the keys of each morsel of a source, for whoever restores order by key.
pub(crate) struct KeyScribe<'env, In> {
    pub(crate) key_bits: Arc<dyn Fn(&In) -> u64 + Send + Sync + 'env>,
    pub(crate) announce: Vec<Arc<dyn Fn(u64, Keys) + Send + Sync + 'env>>,
}

impl<In> KeyScribe<'_, In> {
    fn write(&self, seq: u64, items: &[In]) {
        let mut keys: Keys = [0; 4];
        for item in items {
            let bit = (self.key_bits)(item) % 256;
            keys[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        self.announce.iter().for_each(|announce| announce(seq, keys));
    }
}

/// How a segment is to run.
pub(crate) struct SegmentLayout<'env, In, Out> {
    pub(crate) limit: Option<usize>,
    pub(crate) input_scale: Scale<'env, In>,
    pub(crate) output_scale: Scale<'env, Out>,
    pub(crate) key_bits: Option<Arc<dyn Fn(&In) -> u64 + Send + Sync + 'env>>,
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Segment<'env, In, Op> {
    /// Puts a segment between its head and what follows it.
    pub(crate) fn connect(
        mut op: Op,
        head: Head<'env, In>,
        layout: SegmentLayout<'env, In, Op::Out>,
        plan: &mut Plan<'env>,
        out: AnyInlet<'env, Op::Out>,
    ) {
        let shared = Arc::clone(&plan.shared);
        let limit = layout.limit.unwrap_or(usize::MAX).min(shared.crew.max());
        let mut cells = Vec::new();
        op.open(plan, &mut cells);
        let cells = number_stages(cells, matches!(head, Head::Source(_)), limit, plan);
        if let Some(last) = cells.last() {
            plan.check_scale(&layout.output_scale, &last.name);
        }
        let input_scale = layout.input_scale.clone();
        let (feed, stage_before) = match head {
            Head::Source(open) => {
                if let Some(first) = cells.first() {
                    plan.check_scale(&layout.input_scale, &first.name);
                }
                let mut feed = open(plan, layout.input_scale);
                feed.attach(&cells[0]);
                (FeedPlace::Here(feed), None)
            }
            Head::Stage(connect) => (FeedPlace::None, Some(connect)),
        };
        let has_feed = stage_before.is_none();
        let keeper = plan.keeper.clone().filter(|_| has_feed);
        // In the order of connecting: the source has just been put where the run begins.
        let start = shared.resumed_at.get().copied().filter(|_| has_feed).unwrap_or(0);
        let fills = matches!(&feed, FeedPlace::Here(feed) if !feed.charges());
        let keys = layout.key_bits.map(|key_bits| KeyScribe { key_bits, announce: plan.announcements() });
        let segment = Arc::new(Segment {
            runner: Runner::new(op, cells, has_feed, layout.output_scale, plan),
            input: Mutex::new(Input {
                lane: VecDeque::new(),
                parked: Lot::new(),
                feed,
                inside: 0,
                closed: false,
                finished: false,
                next_seq: 0,
                next_position: start,
                refused_since: None,
            }),
            limit,
            fills,
            keys,
            keeper,
            filled: Recycler::new(shared.gate.budget()),
            out,
            shared,
        });
        plan.nodes.push(Arc::clone(&segment) as Arc<dyn Node<'env> + 'env>);
        let ending = Arc::clone(&segment);
        plan.endings.push(Box::new(move |outcome| {
            ending.runner.close(outcome);
            Ok(())
        }));
        if let Some(connect) = stage_before {
            connect(plan, input_scale, segment);
        }
    }
}

/// Numbers the stages of a segment. The extract stage is one of its own, as it runs on one worker at a time.
fn number_stages<'env>(
    cells: Vec<StageCell>,
    has_feed: bool,
    limit: usize,
    plan: &mut Plan<'env>,
) -> Vec<Arc<StageCell>> {
    let source = has_feed.then(|| plan.segment());
    let segment = plan.segment();
    let numbered = cells.into_iter().enumerate().map(|(at, mut cell)| {
        let is_source = at == 0 && has_feed;
        cell.segment = source.filter(|_| is_source).unwrap_or(segment);
        cell.workers = Workforce::new(if is_source { 1 } else { limit });
        cell.leads = at == 0 || (at == 1 && has_feed);
        cell
    });
    plan.add_stages(numbered.collect())
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Inlet<'env, In> for Segment<'env, In, Op> {
    fn push(&self, morsel: Morsel<In>, driver: Driver<'_, 'env>) {
        self.input.lock().lane.push_back(morsel);
        driver.notify();
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        self.input.lock().closed = true;
        self.finish_if_done(driver);
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Node<'env> for Segment<'env, In, Op> {
    fn step(&self, driver: Driver<'_, 'env>) -> Step {
        let mut input = self.input.lock();
        if input.inside >= self.limit {
            return Step::Nothing;
        }
        if Op::DEFERS
            && let Some(due) = input.take_due(&self.runner)
        {
            input.inside += 1;
            drop(input);
            self.take_up(due, driver);
            self.leave(driver);
            return Step::Done;
        }
        if let Some(morsel) = input.lane.pop_front() {
            input.inside += 1;
            drop(input);
            driver.pause();
            self.process(morsel, driver);
            self.leave(driver);
            return Step::Done;
        }
        match std::mem::replace(&mut input.feed, FeedPlace::Out { wanted: false }) {
            FeedPlace::Here(feed) if feed.is_ready() => {
                input.inside += 1;
                drop(input);
                let step = self.fill_and_process(feed, driver);
                self.leave(driver);
                step
            }
            FeedPlace::Out { .. } => {
                input.feed = FeedPlace::Out { wanted: true };
                Step::Busy
            }
            other => {
                input.feed = other;
                Step::Nothing
            }
        }
    }

    fn tick(&self, driver: Driver<'_, 'env>) -> bool {
        let input = self.input.lock();
        // Who fills a morsel from a source that trickles sees at a tick that it is time to let it go.
        let is_filling = matches!(input.feed, FeedPlace::Out { .. });
        let is_waiting = Op::DEFERS && !input.parked.is_empty();
        let is_due = is_waiting && input.is_due(&self.runner);
        if self.shared.watch.is_some() && is_waiting && input.parked.waits_for_place() {
            // Others have it, perhaps in another run: this stage is not stuck.
            self.shared.expect(self.shared.now());
        }
        drop(input);
        if is_due {
            driver.notify();
        }
        let is_pressed = self.keeper.as_ref().is_some_and(|keeper| {
            let is_pressed = keeper.is_pressed();
            if self.shared.watch.is_some() && is_pressed {
                // Dead letters are in flight until then.
                self.shared.expect(keeper.next_due());
            }
            self.send_barrier(keeper, driver);
            is_pressed
        });
        is_filling || is_waiting || is_pressed
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Input<'env, In, Op> {
    /// Whether something parked may be taken up: it is due, or what it waits for is there.
    fn is_due(&self, runner: &Runner<'env, In, Op>) -> bool {
        self.parked.is_due(runner.shared.now(), |waiting| runner.may_enter(waiting))
    }

    fn take_due(&mut self, runner: &Runner<'env, In, Op>) -> Option<Box<Unfinished<'env, In, Op>>> {
        if self.parked.is_empty() {
            return None;
        }
        self.parked.take(runner.shared.now(), |waiting| runner.may_enter(waiting))
    }
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Segment<'env, In, Op> {
    /// Takes a morsel from the source and runs it. The feed is this worker's for the time being.
    fn fill_and_process(&self, mut feed: Box<dyn Feed<In> + 'env>, driver: Driver<'_, 'env>) -> Step {
        if self.shared.is_draining() {
            feed.drain(&self.shared);
        }
        let (slot, grant) = match self.enter(&*feed) {
            Ok(entered) => entered,
            Err(refused) => return self.refuse(feed, refused.quiet, driver),
        };
        let began = self.shared.now();
        let mut want = self.shared.pace.want(size_of::<In>(), feed.remaining(), self.shared.crew.max());
        let due = self.keeper.as_ref().and_then(|keeper| self.due_barrier(keeper, began, &mut want));
        let mut items = self.filled.get();
        let filled = self.fill(&mut *feed, &mut items, want, grant, due, driver);
        if items.is_empty() && !filled.ended {
            // The next item does not fit beside what is in flight.
            self.filled.put(items);
            if let Some(refused) = self.shared.gate.decline(slot, grant) {
                return self.refuse(feed, refused.quiet, driver);
            }
            self.return_feed(Some(feed), began, false, driver);
            return Step::Done;
        }
        let permit = if feed.charges() {
            self.shared.gate.adopt(Some(slot), filled.charge, filled.bytes)
        } else {
            self.shared.gate.settle(slot, grant, filled.bytes)
        };
        let full = items.len() >= want;
        let barrier = self.make_barrier(&mut *feed, items.len(), due, filled.ended, driver);
        let ended = filled.ended;
        let morsel = self.number(items, permit, filled.born.unwrap_or(began), barrier, filled.origin);
        driver.pause();
        self.return_feed(if ended { None } else { Some(feed) }, began, full, driver);
        if let Some(morsel) = morsel {
            driver.pause();
            self.process_from(morsel, began, driver);
        }
        Step::Done
    }

    fn enter(&self, feed: &(dyn Feed<In> + 'env)) -> Result<(Slot, Grant), Refused> {
        if feed.charges() {
            self.shared.gate.enter_charged().map(|slot| (slot, Grant::UNLIMITED))
        } else {
            self.shared.gate.enter()
        }
    }

    /// Fills a morsel from the feed, which has ended if it panics.
    fn fill(
        &self,
        feed: &mut (dyn Feed<In> + 'env),
        items: &mut Vec<In>,
        want: usize,
        grant: Grant,
        due: Option<u64>,
        driver: Driver<'_, 'env>,
    ) -> Filled {
        let filled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(given) = due {
                feed.note(given);
            }
            feed.fill(items, want, grant.allowance, grant.alone, &self.shared)
        }));
        filled.unwrap_or_else(|payload| {
            let message = panic_message(payload);
            driver.abort(Error::stage(&self.runner.cells[0].name, "go on, as it panicked", message.into()));
            Filled { ended: true, ..Filled::default() }
        })
    }

    /// Gives a morsel its place in the order. Its items come from the next positions, unless the feed knows better.
    fn number(
        &self,
        items: Vec<In>,
        permit: Permit,
        born: u64,
        barrier: Option<Arc<Barrier>>,
        origin: Option<Origin>,
    ) -> Option<Morsel<In>> {
        if items.is_empty() && barrier.is_none() {
            self.filled.put(items);
            return None;
        }
        let source_items = items.len() as u64;
        self.runner.cells[0].items_in.fetch_add(source_items, Relaxed);
        let mut input = self.input.lock();
        let (seq, position) = (input.next_seq, input.next_position);
        input.next_seq += 1;
        input.next_position += source_items;
        drop(input);
        let morsel = Morsel {
            seq,
            items,
            origin: origin.unwrap_or_else(|| Origin::at(position)),
            permit,
            born,
            source_items,
            barrier,
            home: Some(Arc::clone(&self.filled)),
            shared: Arc::clone(&self.shared),
        };
        // The items are in their morsel already: should a key unwind, they are accounted for.
        if let Some(keys) = &self.keys {
            keys.write(seq, &morsel.items);
        }
        Some(morsel)
    }

    /// The gate lets nobody in: whoever gives something back will call.
    fn refuse(&self, feed: Box<dyn Feed<In> + 'env>, quiet: bool, driver: Driver<'_, 'env>) -> Step {
        let mut input = self.input.lock();
        input.refused_since.get_or_insert_with(|| self.shared.now());
        input.feed = FeedPlace::Here(feed);
        drop(input);
        if quiet {
            driver.relieve();
        }
        Step::Nothing
    }

    /// Puts the feed back, or ends it, and calls whoever missed it.
    fn return_feed(&self, feed: Option<Box<dyn Feed<In> + 'env>>, began: u64, more: bool, driver: Driver<'_, 'env>) {
        let Some(feed) = feed else {
            self.end_feed(driver);
            return;
        };
        let mut input = self.input.lock();
        if let Some(since) = input.refused_since.take() {
            self.runner.cells[0].blocked_nanos.fetch_add(began.saturating_sub(since), Relaxed);
        }
        let wanted = matches!(input.feed, FeedPlace::Out { wanted: true });
        input.feed = FeedPlace::Here(feed);
        drop(input);
        if wanted || more {
            driver.notify();
        }
    }

    fn end_feed(&self, driver: Driver<'_, 'env>) {
        let mut input = self.input.lock();
        input.feed = FeedPlace::None;
        input.closed = true;
        drop(input);
        driver.notify();
    }

    /// Whether a barrier is to come after the morsel that is about to be filled, and how many items come before that
    /// morsel. It may have to be smaller for that.
    fn due_barrier(&self, keeper: &Keeper<'env>, now: u64, want: &mut usize) -> Option<u64> {
        let given = self.input.lock().next_position;
        let cut = keeper.until_cut(given);
        if let Some(items) = cut.and_then(|items| usize::try_from(items).ok()) {
            *want = (*want).min(items);
        }
        (cut.is_some() || keeper.is_due(now)).then_some(given)
    }

    /// The barrier after `items` that the feed has just given, if there is to be one.
    fn make_barrier(
        &self,
        feed: &mut (dyn Feed<In> + 'env),
        items: usize,
        due: Option<u64>,
        ended: bool,
        driver: Driver<'_, 'env>,
    ) -> Option<Arc<Barrier>> {
        let keeper = self.keeper.as_ref()?;
        let position = self.input.lock().next_position + items as u64;
        let wanted = due.is_some() && (keeper.is_due(self.shared.now()) || keeper.is_cut(position));
        if !(wanted || ended) || self.shared.is_stopped() {
            return None;
        }
        let complete = ended && feed.is_exhausted();
        // A run that had nothing to do, and one that drains where the last checkpoint is, leave it as it is.
        if !keeper.is_behind(position) && !complete {
            return None;
        }
        let standing = driver.contain(|| feed.stand(position))?;
        Some(keeper.issue(position, standing, complete))
    }

    /// Sends a barrier without items, if one is due and no item brings it.
    fn send_barrier(&self, keeper: &Keeper<'env>, driver: Driver<'_, 'env>) {
        let now = self.shared.now();
        let mut input = self.input.lock();
        let given = input.next_position;
        let due = keeper.is_due(now) || (self.shared.gate.is_refusing() && keeper.is_pressed());
        if !due || input.closed || !keeper.is_behind(given) || self.shared.is_stopped() {
            return;
        }
        let mut feed = match std::mem::replace(&mut input.feed, FeedPlace::Out { wanted: false }) {
            FeedPlace::Here(feed) => feed,
            other => {
                input.feed = other;
                return;
            }
        };
        input.inside += 1;
        drop(input);
        let barrier = driver.contain(|| feed.stand(given)).map(|standing| keeper.issue(given, standing, false));
        // Outside the window: what it brings about may be what the window waits for.
        let permit = self.shared.gate.adopt(Some(self.shared.gate.force()), 0, 0);
        let morsel = self.number(self.filled.get(), permit, now, barrier, None);
        self.return_feed(Some(feed), now, false, driver);
        if let Some(mut morsel) = morsel {
            // No worker's state is needed for nothing.
            let origin = std::mem::take(&mut morsel.origin);
            let out = self.runner.follow(&mut morsel, Vec::new(), origin);
            self.out.push(out, driver);
        }
        self.leave(driver);
        // Who found the segment full has gone home, and this need not be a worker that looks again.
        driver.notify();
    }

    fn process_from(&self, morsel: Morsel<In>, began: u64, driver: Driver<'_, 'env>) {
        let filled_at = self.shared.now();
        // A source with a thread of its own measures itself.
        if self.fills {
            self.runner.cells[0].busy_nanos.fetch_add(filled_at - began, Relaxed);
        }
        let ran = self.runner.run(morsel, filled_at, began);
        self.hand_on(ran, driver);
    }

    fn process(&self, morsel: Morsel<In>, driver: Driver<'_, 'env>) {
        let began = self.shared.now();
        let ran = self.runner.run(morsel, began, began);
        self.hand_on(ran, driver);
    }

    fn take_up(&self, unfinished: Box<Unfinished<'env, In, Op>>, driver: Driver<'_, 'env>) {
        let ran = self.runner.take_up(unfinished);
        self.hand_on(ran, driver);
    }

    fn hand_on(&self, ran: Ran<'env, In, Op>, driver: Driver<'_, 'env>) {
        match ran {
            Ran::Out(morsel) => {
                driver.pause();
                self.out.push(morsel, driver);
            }
            Ran::Aside(unfinished) => {
                self.shared.expect(unfinished.progress.waiting.expected());
                self.input.lock().parked.park(unfinished);
                self.shared.hurry();
            }
            Ran::Nothing => {}
        }
    }

    fn leave(&self, driver: Driver<'_, 'env>) {
        self.input.lock().inside -= 1;
        self.finish_if_done(driver);
    }

    fn finish_if_done(&self, driver: Driver<'_, 'env>) {
        let mut input = self.input.lock();
        let done =
            input.closed && input.lane.is_empty() && input.parked.is_empty() && input.inside == 0 && !input.finished;
        input.finished |= done;
        drop(input);
        if done && !self.shared.is_stopped() {
            self.out.close(driver);
        }
    }
}

/// What one worker of a segment has for itself.
pub(crate) struct Worker<S> {
    pub(crate) state: S,
    /// One for each stage; all zero between morsels.
    pub(crate) tallies: Vec<Tally>,
}

/// Runs a chain of operators over morsels, with a state for each worker.
pub(crate) struct Runner<'env, In, Op: Operator<'env, In>> {
    op: Op,
    pub(crate) cells: Vec<Arc<StageCell>>,
    has_feed: bool,
    scale: Scale<'env, Op::Out>,
    workers: Mutex<Vec<Worker<Op::State>>>,
    emptied: Arc<Recycler<Op::Out>>,
    pub(crate) cost: Arc<Cost>,
    shared: Arc<Shared>,
}

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Runner<'env, In, Op> {
    pub(crate) fn new(
        op: Op,
        cells: Vec<Arc<StageCell>>,
        has_feed: bool,
        scale: Scale<'env, Op::Out>,
        plan: &Plan<'env>,
    ) -> Self {
        Runner {
            op,
            cells,
            has_feed,
            scale,
            workers: Mutex::new(Vec::new()),
            emptied: Recycler::new(plan.shared.gate.budget()),
            cost: plan.shared.pace.cost(),
            shared: Arc::clone(&plan.shared),
        }
    }

    /// A worker that is free, or a new one. There are never more than may be inside at once.
    pub(crate) fn hire(&self) -> Option<Worker<Op::State>> {
        if let Some(worker) = self.workers.lock().pop() {
            return Some(worker);
        }
        match catch_unwind(AssertUnwindSafe(|| self.op.state())) {
            Ok(Ok(state)) => return Some(Worker { state, tallies: vec![Tally::default(); self.cells.len()] }),
            Ok(Err(error)) => self.shared.abort(error),
            Err(payload) => {
                let message = panic_message(payload);
                self.shared.abort(Error::stage(self.last_name(), "make the state of a worker", message.into()));
            }
        }
        None
    }

    /// Whether something that waits for a place may have one.
    pub(crate) fn may_enter(&self, waiting: &Op::Waiting) -> bool {
        self.op.may_enter(waiting)
    }

    /// How many attempts could begin now, about.
    pub(crate) fn room(&self) -> usize {
        self.op.room(self.shared.clock.began() + self.shared.now())
    }

    /// What the operators hold aside of the morsel that a worker has run.
    pub(crate) fn take_waiting(&self, worker: &mut Worker<Op::State>) -> Op::Waiting {
        self.op.take_waiting(&mut worker.state)
    }

    /// Adds up what happened to `entered` items that `left` came of, and lets the worker go.
    pub(crate) fn dismiss(&self, mut worker: Worker<Op::State>, entered: u64, left: usize) {
        self.count(&mut worker.tallies, entered, left as u64 * self.op.parts());
        self.workers.lock().push(worker);
    }

    fn last_name(&self) -> &str {
        self.cells.last().map_or("pipeline", |cell| cell.name.as_str())
    }

    /// Runs a whole morsel.
    fn run(&self, mut morsel: Morsel<In>, began: u64, cost_from: u64) -> Ran<'env, In, Op> {
        let Some(mut worker) = self.hire() else { return Ran::Nothing };
        let watched = self.shared.watched(self.lead(), morsel.origin.position(0), morsel.items.len());
        let mut out = self.emptied.get();
        let mut origin = Origin::at(morsel.origin.position(0));
        let positions = std::mem::take(&mut morsel.origin);
        let item_bytes = morsel.item_bytes();
        let mut items = std::mem::take(&mut morsel.items);
        let mut rest = Draining::new(&mut items, &self.shared);
        let mut cx = Context::new(&mut worker.tallies, &positions, &self.shared, &morsel.permit, item_bytes);
        let entered = self.run_items(&mut worker.state, &mut cx, &mut rest, &mut out, &mut origin);
        drop(watched);
        let splices = cx.into_splices();
        let waiting = self.take_waiting(&mut worker);
        self.dismiss(worker, entered, out.len());
        let ended = self.shared.now();
        if let Some(queue) = waiting.queue(ended) {
            self.cost.learn((ended - cost_from).saturating_add(queue), morsel.source_items);
        }
        self.lead().busy_nanos.fetch_add(ended - began, Relaxed);
        if Op::DEFERS && waiting.len() > 0 {
            let progress = self.progress(out, origin, positions, waiting, splices);
            drop(rest);
            morsel.items = items;
            return self.put_aside(Box::new(Unfinished { morsel, item_bytes, progress }), 0, entered);
        }
        self.observe_latency(ended.saturating_sub(morsel.born), out.len() as u64);
        let out = self.follow(&mut morsel, out, origin);
        // Last, as the drop of what is left may unwind.
        drop(rest);
        morsel.items = items;
        Ran::Out(out)
    }

    /// What came of the items of a morsel, or of a share of one, of which something was put aside.
    pub(crate) fn progress(
        &self,
        out: Vec<Op::Out>,
        origin: Origin,
        positions: Origin,
        waiting: Op::Waiting,
        splices: Splices,
    ) -> Progress<'env, In, Op> {
        let (parts, shared) = (self.op.parts(), Arc::clone(&self.shared));
        Progress { out, origin, positions, waiting, splices, parts, shared }
    }

    /// Goes on with a morsel of which something is due.
    fn take_up(&self, mut unfinished: Box<Unfinished<'env, In, Op>>) -> Ran<'env, In, Op> {
        let began = self.shared.now();
        let Unfinished { morsel, item_bytes, progress } = &mut *unfinished;
        let (made, aside) = (progress.out.len(), progress.waiting.len());
        let watched = self.shared.watched(self.lead(), progress.positions.position(0), aside);
        self.go_on(progress, &morsel.permit, *item_bytes, began);
        drop(watched);
        let ended = self.shared.now();
        self.lead().busy_nanos.fetch_add(ended - began, Relaxed);
        let left = progress.waiting.len();
        if left > 0 {
            return self.put_aside(unfinished, made, aside.saturating_sub(left) as u64);
        }
        self.observe_latency(ended.saturating_sub(morsel.born), progress.out.len() as u64);
        let (out, origin) = progress.finish();
        Ran::Out(self.follow(morsel, out, origin))
    }

    /// A morsel that must wait: it weighs what was made of it, from the result `made` on of `done` items, and what is not.
    fn put_aside(&self, mut unfinished: Box<Unfinished<'env, In, Op>>, made: usize, done: u64) -> Ran<'env, In, Op> {
        let gone = unfinished.item_bytes.saturating_mul(done as usize);
        let came = self.scale.all(&unfinished.progress.out[made..]);
        let bytes = unfinished.morsel.permit.bytes().saturating_sub(gone).saturating_add(came);
        unfinished.morsel.permit.reweigh(bytes);
        Ran::Aside(unfinished)
    }

    /// Lets the operators try what is due.
    pub(crate) fn go_on(&self, progress: &mut Progress<'env, In, Op>, permit: &Permit, item_bytes: usize, now: u64) {
        let Some(mut worker) = self.hire() else { return };
        let made = progress.out.len();
        self.op.put_waiting(&mut worker.state, std::mem::take(&mut progress.waiting));
        let mut cx = Context::new(&mut worker.tallies, &progress.positions, &self.shared, permit, item_bytes)
            .with_splices(std::mem::take(&mut progress.splices));
        self.take_up_items(&mut worker.state, &mut cx, &mut progress.out, &mut progress.origin, now);
        progress.splices = cx.into_splices();
        progress.waiting = self.take_waiting(&mut worker);
        self.dismiss(worker, 0, progress.out.len() - made);
    }

    fn take_up_items(
        &self,
        state: &mut Op::State,
        cx: &mut Context<'_>,
        out: &mut Vec<Op::Out>,
        origin: &mut Origin,
        now: u64,
    ) {
        let mut interrupted = false;
        loop {
            let taken = catch_unwind(AssertUnwindSafe(|| {
                let mut emit = |cx: &mut Context<'_>, item| {
                    out.push(item);
                    cx.note_len(out.len());
                    origin.follow(out.len() - 1, out.len(), || cx.position());
                };
                if interrupted {
                    self.op.resume(state, cx, &mut emit);
                    interrupted = false;
                }
                self.op.take_up(state, cx, now, &mut emit);
            }));
            let Err(payload) = taken else { return };
            self.recover(state, cx, payload);
            interrupted = true;
        }
    }

    /// The morsel that comes of a morsel. It has its items before they are weighed: should the weigher unwind, they are
    /// accounted for.
    pub(crate) fn follow(&self, morsel: &mut Morsel<In>, out: Vec<Op::Out>, origin: Origin) -> Morsel<Op::Out> {
        let permit = morsel.permit.take();
        let mut out = morsel.follow(out, origin, permit, &self.emptied);
        let bytes = self.scale.all(&out.items);
        out.permit.reweigh(bytes);
        out
    }

    /// Pushes items through the operators until they are used up or the run is over. Returns how many were pushed.
    ///
    /// `out` and `origin` begin empty.
    pub(crate) fn run_items<I: Iterator<Item = In>>(
        &self,
        state: &mut Op::State,
        cx: &mut Context<'_>,
        items: &mut I,
        out: &mut Vec<Op::Out>,
        origin: &mut Origin,
    ) -> u64 {
        out.reserve(items.size_hint().0.min(1 << 16));
        let mut entered = 0;
        let put = |cx: &mut Context<'_>, out: &mut Vec<Op::Out>, item| {
            out.push(item);
            if Op::DEFERS {
                cx.note_len(out.len());
            }
        };
        // What had been put out before the current item, and whether that was interrupted.
        let mut before = 0;
        let mut interrupted = false;
        loop {
            let pushed = catch_unwind(AssertUnwindSafe(|| {
                if interrupted {
                    self.op.resume(state, cx, &mut |cx, item| put(cx, out, item));
                    origin.follow(before, out.len(), || cx.position());
                    interrupted = false;
                }
                let has_list = |cx: &Context<'_>, origin: &Origin| cx.is_scattered() || origin.is_scattered();
                let mut listed = has_list(cx, origin);
                while !cx.is_stopped() {
                    let Some(item) = items.next() else { break };
                    before = out.len();
                    cx.set_index(entered);
                    entered += 1;
                    self.op.push(state, cx, item, &mut |cx, item| put(cx, out, item));
                    // As long as one has come of each, positions are consecutive if those that came in are.
                    if listed || out.len() != entered {
                        origin.follow(before, out.len(), || cx.position());
                        listed = has_list(cx, origin);
                    }
                }
            }));
            let Err(payload) = pushed else { return entered as u64 };
            self.recover(state, cx, payload);
            interrupted = true;
        }
    }

    #[cold]
    fn recover(&self, state: &mut Op::State, cx: &mut Context<'_>, payload: Box<dyn std::any::Any + Send>) {
        let at = cx.panicked().replace(NOBODY);
        let message = panic_message(payload);
        let decided =
            at != NOBODY && catch_unwind(AssertUnwindSafe(|| self.op.recover(state, cx, at, &message))).is_ok();
        if !decided {
            // A drop, or an error's own conversion, panicked: nobody's policy covers that. Whether an item is missing for it
            // is seen when they are counted.
            cx.abort(crate::error::ErrorKind::Panicked {
                stage: self.last_name().to_owned(),
                position: cx.position(),
                attempts: 1,
                message,
            });
        }
    }

    fn count(&self, tallies: &mut [Tally], entered: u64, left: u64) {
        let mut items = entered;
        for (at, (tally, cell)) in tallies.iter_mut().zip(&self.cells).enumerate() {
            items = tally.derive_out(items);
            if at + 1 == self.cells.len() {
                tally.lose(items.saturating_sub(left));
            }
            if at == 0 && self.has_feed {
                // Counted when they were extracted.
                tally.items_in = 0;
            }
            cell.add(tally);
            *tally = Tally::default();
        }
    }

    /// The stage that the time of this segment is written to.
    pub(crate) fn lead(&self) -> &Arc<StageCell> {
        &self.cells[usize::from(self.has_feed && self.cells.len() > 1)]
    }

    pub(crate) fn observe_latency(&self, nanos: u64, items: u64) {
        if let Some(last) = self.cells.last() {
            last.latency.record(nanos, items);
        }
    }

    /// Closes the states of all workers.
    pub(crate) fn close(&self, outcome: Outcome) {
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            let closed = catch_unwind(AssertUnwindSafe(|| self.op.close(worker.state, outcome)));
            if let Err(payload) = closed {
                let message = panic_message(payload);
                self.shared.abort(Error::stage(self.last_name(), "finish the state of a worker", message.into()));
            }
        }
    }
}
