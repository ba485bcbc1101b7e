//! How a source gets into the pipeline.
//!
//! A source that never waits is a feed itself: whichever worker wants work fills a morsel from it. One that may wait has
//! a thread, which puts items into an *intake*; the workers take what is there. Nobody has to flush: an idle worker is
//! woken by the first item, and busy workers come back for the rest, so an item waits only while every worker is busy.
//!
//! When the intake is full its thread waits, or lets items go: see [`shed`](super::shed).

use super::barrier::{CheckpointError, Keeper, Start};
use super::gate::{Charge, Gate};
use super::morsel::Origin;
use super::plan::Plan;
use super::shared::Shared;
use super::shed::{Came, Coming, Shedder};
use super::task::{Task, Turned};
use super::{Driver, Head};
use crate::checkpoint::Standing;
use crate::error::{Error, panic_message};
use crate::op::SharedShed;
use crate::report::{StageCell, Tally};
use crate::source::{Source, TimedOut};
use crate::weight::Scale;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where a segment gets the items of a source.
pub trait Feed<T>: Send {
    /// Tells the feed where its items are counted.
    fn attach(&mut self, cell: &Arc<StageCell>);

    /// The source is not to be asked any more; what it has given is still to be had.
    fn drain(&mut self, shared: &Shared);

    /// Whether asking makes sense now.
    fn is_ready(&self) -> bool;

    /// At most how many items are still to come.
    fn remaining(&self) -> Option<usize>;

    /// Whether its items are charged to the budget before they are taken.
    fn charges(&self) -> bool;

    /// A barrier is to come after what is filled next: the feed has given `given` items of its source so far, and notes
    /// where that stands.
    fn note(&mut self, given: u64);

    /// Where the source stood after some of the first `given` items, that is all the feed has given; after all of them, if
    /// that is known.
    fn stand(&mut self, given: u64) -> Option<Standing>;

    /// Whether the source itself has ended, and not only the feed.
    fn is_exhausted(&self) -> bool;

    /// Puts up to `want` items that weigh up to `allowance` bytes into `items`; a first one of any weight if `alone`.
    fn fill(&mut self, items: &mut Vec<T>, want: usize, allowance: usize, alone: bool, shared: &Shared) -> Filled;
}

/// What a feed gave.
#[derive(Debug, Default)]
pub struct Filled {
    /// Bytes of the items.
    pub(crate) bytes: usize,
    /// Bytes charged for them already.
    pub(crate) charge: usize,
    /// Nothing more will come.
    pub(crate) ended: bool,
    /// When the first of them was extracted, if that was before now.
    pub(crate) born: Option<u64>,
    /// Where they come from, if they do not just follow those before.
    pub(crate) origin: Option<Origin>,
}

/// What a source's items are before its failures are dealt with.
type Yield<S> = Result<<S as Source>::Item, <S as Source>::Error>;

/// A source as the head of a pipeline.
pub(crate) fn source_head<'env, S>(source: S, name: String, shed: SharedShed<'env, S::Item>) -> Head<'env, Yield<S>>
where
    S: Source + Send + 'env,
    S::Item: 'env,
    S::Error: 'env,
{
    let mut source = source;
    Head::Source(Box::new(move |plan, scale| {
        plan.shared.mapped.lock().extend(source.mapped_bytes());
        let start = plan.begin_source(&name, &mut source);
        let shedder = shed.lock().take().map(|shed| Shedder::open(shed, source.may_wait(), plan));
        if source.may_wait() && !start.done {
            open_intake(source, name, &start, plan, scale, shedder)
        } else {
            let mut rest = Rest::new(&start);
            rest.ended = start.done;
            Box::new(Inline { source, held: None, scale, rest, cell: None })
        }
    }))
}

/// A source that never waits.
struct Inline<'env, S: Source> {
    source: S,
    /// An item that did not fit, with its weight.
    held: Option<(Yield<S>, usize)>,
    scale: Scale<'env, Yield<S>>,
    rest: Rest,
    cell: Option<Arc<StageCell>>,
}

/// What is still to be had of a source.
struct Rest {
    /// It is not to be pulled any more.
    ended: bool,
    /// It has given all it had.
    exhausted: bool,
    /// Items that an earlier run has dealt with, to be pulled and dropped.
    skip: u64,
    /// Where the run goes on.
    position: u64,
    /// Where it stood when that was last asked.
    noted: Option<Standing>,
}

impl Rest {
    fn new(start: &Start) -> Self {
        Rest {
            ended: false,
            exhausted: false,
            skip: start.skip(),
            position: start.position,
            noted: start.standing.clone(),
        }
    }

    fn exhaust(&mut self) {
        (self.ended, self.exhausted) = (true, true);
    }

    /// Pulls some of what was dealt with before, if there is any left. Says whether there was.
    fn skip<S: Source>(&mut self, source: &mut S, shared: &Shared, patience: Duration) -> bool {
        if self.skip == 0 || self.ended {
            return false;
        }
        if shared.is_draining() {
            // Once it has ended nobody looks whether it was a drain.
            shared.note_drained();
            self.ended = true;
        }
        self.ended |= shared.is_stopped();
        if self.ended {
            return false;
        }
        for _ in 0..self.skip.min(SKIPPED_AT_ONCE) {
            match source.pull_within(patience) {
                Ok(Some(item)) => drop(item),
                Ok(None) => {
                    self.ended = true;
                    let found = self.position - self.skip;
                    shared.abort(CheckpointError::Short { found, position: self.position }.into());
                    return false;
                }
                Err(TimedOut) => return true,
            }
            self.skip -= 1;
        }
        true
    }
}

/// So many items that were dealt with are pulled before looking whether the run goes on.
const SKIPPED_AT_ONCE: u64 = 256;

impl<S: Source> Drop for Inline<'_, S> {
    fn drop(&mut self) {
        count_lost(self.cell.as_deref(), usize::from(self.held.is_some()));
    }
}

impl<S: Source + Send> Feed<Yield<S>> for Inline<'_, S> {
    fn attach(&mut self, cell: &Arc<StageCell>) {
        self.cell = Some(Arc::clone(cell));
    }

    fn drain(&mut self, shared: &Shared) {
        if !std::mem::replace(&mut self.rest.ended, true) {
            shared.note_drained();
        }
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn remaining(&self) -> Option<usize> {
        self.source.remaining().map(|rest| rest.saturating_add(usize::from(self.held.is_some())))
    }

    fn charges(&self) -> bool {
        false
    }

    fn note(&mut self, given: u64) {
        if self.rest.skip == 0 {
            let position = given + u64::from(self.held.is_some());
            let mark = self.source.mark();
            self.rest.noted = mark.map(|mark| Standing { mark, position }).or(self.rest.noted.take());
        }
    }

    fn stand(&mut self, given: u64) -> Option<Standing> {
        // With an item that was pulled and not given, the source is one too far.
        if self.held.is_none() {
            self.note(given);
        }
        self.rest.noted.clone().filter(|noted| noted.position <= given)
    }

    fn is_exhausted(&self) -> bool {
        self.rest.exhausted
    }

    fn fill(
        &mut self,
        items: &mut Vec<Yield<S>>,
        want: usize,
        allowance: usize,
        alone: bool,
        shared: &Shared,
    ) -> Filled {
        while self.rest.skip(&mut self.source, shared, SOURCE_PATIENCE) {}
        let bytes = match &self.scale {
            Scale::Flat { .. } => {
                let size = size_of::<Yield<S>>().max(1);
                let fits = if allowance == usize::MAX { want } else { want.min(allowance / size) };
                self.fill_flat(items, fits.max(usize::from(alone)), shared);
                items.len() * size
            }
            Scale::By(_) => self.fill_weighed(items, want, allowance, alone, shared),
        };
        Filled { bytes, ended: self.rest.ended && self.held.is_none(), ..Filled::default() }
    }
}

impl<S: Source> Inline<'_, S> {
    fn fill_flat(&mut self, items: &mut Vec<Yield<S>>, want: usize, shared: &Shared) {
        if self.rest.ended {
            return;
        }
        let tick = shared.ticks.load(Relaxed);
        items.reserve(want.min(1 << 16));
        while items.len() < want {
            let Some(item) = self.source.pull() else { return self.rest.exhaust() };
            items.push(item);
            // A source that turns out to trickle must not make its items wait for company.
            if shared.ticks.load(Relaxed) != tick {
                return;
            }
        }
    }

    fn fill_weighed(
        &mut self,
        items: &mut Vec<Yield<S>>,
        want: usize,
        allowance: usize,
        alone: bool,
        shared: &Shared,
    ) -> usize {
        let tick = shared.ticks.load(Relaxed);
        let mut bytes = 0usize;
        while items.len() < want {
            let Some((item, weight)) = self.take_weighed() else { break };
            let fits = bytes.saturating_add(weight) <= allowance || (alone && items.is_empty());
            if !fits {
                self.held = Some((item, weight));
                break;
            }
            bytes = bytes.saturating_add(weight);
            items.push(item);
            if shared.ticks.load(Relaxed) != tick {
                break;
            }
        }
        bytes
    }

    fn take_weighed(&mut self) -> Option<(Yield<S>, usize)> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        if self.rest.ended {
            return None;
        }
        let Some(item) = self.source.pull() else {
            self.rest.exhaust();
            return None;
        };
        // Held while it is weighed: should the weigher unwind, it is accounted for.
        let weight = self.scale.one(&self.held.insert((item, 0)).0);
        self.held.take().map(|(item, _)| (item, weight))
    }
}

/// Items that a source's thread has put down and no worker has taken yet.
pub(super) struct Intake<T> {
    pub(super) state: Mutex<Laid<T>>,
    room: Condvar,
    /// Where its items are counted.
    pub(super) cell: OnceLock<Arc<StageCell>>,
}

pub(super) struct Laid<T> {
    pub(super) items: VecDeque<T>,
    /// The weight and the charge of each.
    pub(super) weights: VecDeque<(usize, usize)>,
    /// The position of each, if the source sheds: then there may be gaps.
    positions: Option<VecDeque<u64>>,
    /// When the first was laid down.
    born: u64,
    ended: bool,
    /// The source has given all it had.
    exhausted: bool,
    /// Where the source stood after so many items, the latest last.
    marks: VecDeque<Standing>,
    /// The source sleeps until no more than so many items are left.
    wake_at: Option<usize>,
}

/// An item of the intake, with its weight and its charge.
pub(super) struct Weighed<T> {
    pub(super) item: T,
    pub(super) weight: (usize, usize),
    pub(super) position: u64,
}

impl<T> Laid<T> {
    fn push(&mut self, laid: Weighed<T>) {
        self.items.push_back(laid.item);
        self.weights.push_back(laid.weight);
        if let Some(positions) = &mut self.positions {
            positions.push_back(laid.position);
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, at: usize) -> Option<Weighed<T>> {
        let position = self.positions.as_mut().and_then(|positions| positions.remove(at)).unwrap_or_default();
        Some(Weighed { item: self.items.remove(at)?, weight: self.weights.remove(at)?, position })
    }

    /// How many of the first `most` items are so near to each other that one morsel can name their positions.
    fn together(&self, most: usize) -> usize {
        let most = most.min(self.items.len());
        let Some((positions, first)) = self.positions.as_ref().and_then(|all| Some((all, *all.front()?))) else {
            return most;
        };
        most.min(positions.partition_point(|position| position - first <= u64::from(u32::MAX)))
    }

    /// Takes the positions of the first items.
    fn take_origin(&mut self, items: usize) -> Option<Origin> {
        let positions = self.positions.as_mut()?;
        let mut origin = Origin::at(*positions.front()?);
        for (at, position) in positions.drain(..items).enumerate() {
            origin.follow(at, at + 1, || position);
        }
        Some(origin)
    }
}

/// How long a source is waited for before looking whether the run goes on.
const SOURCE_PATIENCE: Duration = Duration::from_millis(20);

fn open_intake<'env, S>(
    source: S,
    name: String,
    start: &Start,
    plan: &mut Plan<'env>,
    scale: Scale<'env, Yield<S>>,
    shedder: Option<Shedder<'env, S::Item>>,
) -> Box<dyn Feed<Yield<S>> + 'env>
where
    S: Source + Send + 'env,
    S::Item: 'env,
    S::Error: 'env,
{
    let laid = Laid {
        items: VecDeque::new(),
        weights: VecDeque::new(),
        positions: shedder.is_some().then(VecDeque::new),
        born: 0,
        ended: false,
        exhausted: false,
        marks: start.standing.clone().into_iter().collect(),
        wake_at: None,
    };
    let scout = Scout { keeper: plan.keeper.clone(), given: start.position, next: 0 };
    let intake = Arc::new(Intake { state: Mutex::new(laid), room: Condvar::new(), cell: OnceLock::new() });
    let feed = IntakeFeed { intake: Arc::clone(&intake) };
    let (left, gate) = (Arc::clone(&intake), Arc::clone(&plan.shared.gate));
    plan.endings.push(Box::new(move |_| {
        left.sweep(&gate);
        Ok(())
    }));
    let (source, rest) = (Some(source), Rest::new(start));
    let given = start.position;
    plan.add_task(
        name.clone(),
        Drawing { name, source, scale, intake, held: None, rest, scout, lap: 0, room: 0, shedder, given },
    );
    Box::new(feed)
}

/// Notes now and then where a source stands that has run ahead.
struct Scout<'env> {
    keeper: Option<Arc<Keeper<'env>>>,
    /// How many items were laid down.
    given: u64,
    /// When to look next.
    next: u64,
}

impl Scout<'_> {
    /// An item was laid down.
    fn look<S: Source>(&mut self, intake: &Intake<Yield<S>>, source: &mut S, shared: &Shared) {
        let Some(keeper) = &self.keeper else { return };
        self.given += 1;
        let now = shared.now();
        if now < self.next {
            return;
        }
        self.next = now.saturating_add(keeper.mark_interval());
        if let Some(mark) = source.mark() {
            intake.state.lock().marks.push_back(Standing { mark, position: self.given });
        }
    }
}

/// Pulls a source until it ends or the run does.
struct Drawing<'env, S: Source> {
    name: String,
    /// `None` once it has ended.
    source: Option<S>,
    scale: Scale<'env, Yield<S>>,
    intake: Arc<Intake<Yield<S>>>,
    /// What is not charged yet, with its weight.
    held: Option<(Yield<S>, usize)>,
    rest: Rest,
    scout: Scout<'env>,
    /// When something was last added to a counter of time.
    lap: u64,
    /// At least so many items find room in the intake: workers only take.
    room: usize,
    shedder: Option<Shedder<'env, S::Item>>,
    /// How many items came before the one that is held.
    given: u64,
}

impl<'env, S: Source + Send> Task<'env> for Drawing<'env, S> {
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let drawn = catch_unwind(AssertUnwindSafe(|| self.draw(driver, patience)));
        match drawn {
            Ok(Turned::Ended) | Err(_) => {
                self.end(drawn.map(drop), driver);
                Turned::Ended
            }
            Ok(turned) => turned,
        }
    }
}

impl<'env, S: Source> Drawing<'env, S> {
    /// Brings one item nearer to the workers.
    fn draw(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let shared = driver.shared();
        let patience = patience.min(SOURCE_PATIENCE);
        if let Some(source) = &mut self.source
            && self.rest.skip(source, shared, patience)
        {
            return Turned::Worked;
        }
        if self.held.is_none() {
            if shared.is_stopped() {
                return Turned::Ended;
            }
            if shared.is_draining() {
                shared.note_drained();
                return Turned::Ended;
            }
            if self.shedder.is_none() && !self.find_room(shared, patience) {
                return Turned::Idle;
            }
            let pulled = self.pull(patience);
            self.lap(shared, |cell| &cell.busy_nanos);
            if pulled != Turned::Worked {
                return pulled;
            }
        }
        if self.shedder.is_some() { self.place(driver, patience) } else { self.lay(driver, patience) }
    }

    /// Whether there is room for one more item; waits for it.
    fn find_room(&mut self, shared: &Shared, patience: Duration) -> bool {
        if self.room == 0 {
            self.lap(shared, |cell| &cell.busy_nanos);
            self.room = self.intake.wait_for_room(most(shared), shared, patience);
            self.lap(shared, |cell| &cell.blocked_nanos);
        }
        self.room > 0
    }

    fn pull(&mut self, patience: Duration) -> Turned {
        let Some(source) = &mut self.source else { return Turned::Ended };
        let item = match source.pull_within(patience) {
            Ok(Some(item)) => item,
            Ok(None) => {
                self.intake.state.lock().exhausted = true;
                return Turned::Ended;
            }
            Err(TimedOut) => return Turned::Idle,
        };
        let weight = self.scale.one(&item);
        self.held = Some((item, weight));
        Turned::Worked
    }

    /// Charges what is held and puts it down.
    fn lay(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let Some((item, weight)) = self.held.take() else { return Turned::Idle };
        let gate = &driver.shared().gate;
        let charge = gate.charge_at_once(weight).unwrap_or_else(|_| {
            self.lap(driver.shared(), |cell| &cell.busy_nanos);
            let charge = gate.charge(weight, patience, || driver.relieve());
            self.lap(driver.shared(), |cell| &cell.blocked_nanos);
            charge
        });
        match charge {
            Charge::Charged(charge) => {
                self.put(item, (weight, charge), driver);
                if let Some(source) = &mut self.source {
                    self.scout.look(&self.intake, source, driver.shared());
                }
                Turned::Worked
            }
            Charge::Refused => {
                self.held = Some((item, weight));
                Turned::Idle
            }
            Charge::Stopped => {
                // Nothing was counted in flight, and the sweep finds the item.
                self.put(item, (0, 0), driver);
                Turned::Ended
            }
        }
    }

    fn put(&mut self, item: Yield<S>, weight: (usize, usize), driver: Driver<'_, 'env>) {
        self.intake.lay(Weighed { item, weight, position: self.given }, driver, |_| None);
        self.given += 1;
        self.room = self.room.saturating_sub(1);
    }

    /// Puts what is held down, or sheds it or others.
    fn place(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned {
        let (Some(shedder), Some((item, bytes))) = (&self.shedder, self.held.take()) else { return Turned::Idle };
        let shared = driver.shared();
        if shared.is_stopped() {
            self.put(item, (0, 0), driver);
            return Turned::Ended;
        }
        let mut gone = Vec::new();
        let coming = Coming { item, bytes, position: self.given };
        let turned = match shedder.place(&self.intake, coming, &mut gone, driver) {
            Came::Placed => {
                self.given += 1;
                Turned::Worked
            }
            Came::Waits(coming, what) => {
                self.held = Some((coming.item, bytes));
                shedder.wait(what, &self.intake, shared, patience);
                self.lap(shared, |cell| &cell.blocked_nanos);
                Turned::Idle
            }
            Came::Stopped(coming) => {
                self.put(coming.item, (0, 0), driver);
                Turned::Ended
            }
        };
        // Last, as a drop may unwind; one at a time, as others may, too.
        for item in gone {
            driver.contain(|| drop(item));
        }
        turned
    }

    /// Lets the source go, and says that nothing more will come of it.
    fn end(&mut self, drawn: std::thread::Result<()>, driver: Driver<'_, 'env>) {
        let source = self.source.take();
        let dropped = catch_unwind(AssertUnwindSafe(move || drop(source)));
        if let Err(payload) = drawn.and(dropped) {
            driver.abort(Error::stage(&self.name, "go on, as it panicked", panic_message(payload).into()));
        }
        self.intake.state.lock().ended = true;
        driver.notify();
    }

    /// Adds the time since the last lap to a counter of the extract stage. Unless it waits the clock is read once an item.
    fn lap(&mut self, shared: &Shared, counter: fn(&StageCell) -> &AtomicU64) {
        let before = std::mem::replace(&mut self.lap, shared.now());
        if let Some(cell) = self.intake.cell.get() {
            counter(cell).fetch_add(self.lap - before, Relaxed);
        }
    }
}

impl<T> Intake<T> {
    /// Counts what no worker took before the run was stopped: it was extracted all the same.
    fn sweep(&self, gate: &Arc<Gate>) {
        let mut laid = self.state.lock();
        let left = std::mem::take(&mut laid.items);
        let (bytes, charge) = sum(std::mem::take(&mut laid.weights).into_iter());
        count_lost(self.cell.get().map(|cell| &**cell), left.len());
        drop(laid);
        drop(gate.adopt(None, charge, bytes));
    }

    /// Says for how many items there is room. If for none, waits until the intake is half empty, as to be woken for each
    /// item that is taken would cost more than a cheap one; or only until there is some room, if a morsel is dear, as the
    /// system may let the source wait for longer than one takes while all cores are busy; or until `patience` is at an end.
    pub(super) fn wait_for_room(&self, most: usize, shared: &Shared, patience: Duration) -> usize {
        let mut laid = self.state.lock();
        if laid.items.len() >= most && !shared.is_stopped() {
            laid.wake_at = Some(if shared.pace.is_dear() { most.saturating_sub(1) } else { most / 2 });
            self.room.wait_for(&mut laid, patience);
            laid.wake_at = None;
        }
        most.saturating_sub(laid.items.len())
    }

    /// Puts an item down, and takes out another that makes room for it.
    pub(super) fn lay(
        &self,
        item: Weighed<T>,
        driver: Driver<'_, '_>,
        make_room: impl FnOnce(&mut Laid<T>) -> Option<Weighed<T>>,
    ) -> Option<Weighed<T>> {
        let shared = driver.shared();
        let mut laid = self.state.lock();
        let displaced = make_room(&mut laid);
        let first = laid.items.is_empty();
        if first {
            laid.born = shared.now();
        }
        laid.push(item);
        drop(laid);
        if first {
            driver.notify();
        }
        displaced
    }
}

/// The workers' side of an intake.
struct IntakeFeed<T> {
    intake: Arc<Intake<T>>,
}

impl<T: Send> Feed<T> for IntakeFeed<T> {
    fn attach(&mut self, cell: &Arc<StageCell>) {
        // Set nowhere else.
        let _ = self.intake.cell.set(Arc::clone(cell));
    }

    /// The thread sees for itself that the run drains, and ends.
    fn drain(&mut self, _: &Shared) {}

    fn is_ready(&self) -> bool {
        let laid = self.intake.state.lock();
        laid.ended || !laid.items.is_empty()
    }

    fn remaining(&self) -> Option<usize> {
        None
    }

    fn charges(&self) -> bool {
        true
    }

    fn note(&mut self, _: u64) {}

    fn stand(&mut self, given: u64) -> Option<Standing> {
        let marks = &mut self.intake.state.lock().marks;
        while marks.get(1).is_some_and(|next| next.position <= given) {
            marks.pop_front();
        }
        marks.front().filter(|first| first.position <= given).cloned()
    }

    fn is_exhausted(&self) -> bool {
        self.intake.state.lock().exhausted
    }

    fn fill(&mut self, items: &mut Vec<T>, want: usize, _: usize, _: bool, shared: &Shared) -> Filled {
        let mut laid = self.intake.state.lock();
        let born = laid.born;
        let taken = laid.together(want);
        let (bytes, charge) = sum(laid.weights.drain(..taken));
        let origin = laid.take_origin(taken);
        if taken == laid.items.len() && items.is_empty() {
            // Neither copies anything: the intake is filled from its beginning, unless it was emptied in part.
            let emptied = VecDeque::from(std::mem::take(items));
            *items = Vec::from(std::mem::replace(&mut laid.items, emptied));
        } else {
            items.extend(laid.items.drain(..taken));
            laid.born = shared.now();
        }
        let ended = laid.ended && laid.items.is_empty();
        let left = laid.items.len();
        let wakes = laid.wake_at.take_if(|wake_at| left <= *wake_at).is_some();
        drop(laid);
        if wakes {
            self.intake.room.notify_all();
        }
        Filled { bytes, charge, ended, born: Some(born), origin }
    }
}

/// How many items an intake holds before the source waits: when it is woken, there is still a morsel for each worker.
fn most(shared: &Shared) -> usize {
    shared.pace.last().saturating_mul(2 * shared.crew.max())
}

/// Weight and charge of several items.
fn sum(weights: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    weights.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn count_lost(cell: Option<&StageCell>, items: usize) {
    if let Some(cell) = cell {
        cell.add(&Tally { items_in: items as u64, lost: items as u64, ..Tally::default() });
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::CancelToken;
    use std::time::Instant;

    /// As many as the intake of these tests holds.
    const MOST: usize = 6;

    /// What a run shares whose morsels take so many nanoseconds.
    fn shared(nanos: u64) -> Shared {
        let shared = Shared::small(CancelToken::new());
        shared.pace.cost().learn(nanos, 1);
        shared.pace.want(1, None, 1);
        shared
    }

    fn full_intake() -> Arc<Intake<u32>> {
        let laid = Laid {
            items: VecDeque::new(),
            weights: VecDeque::new(),
            positions: None,
            born: 0,
            ended: false,
            exhausted: false,
            marks: VecDeque::new(),
            wake_at: None,
        };
        let intake = Intake { state: Mutex::new(laid), room: Condvar::new(), cell: OnceLock::new() };
        let items = (0..MOST as u32).map(|item| Weighed { item, weight: (4, 4), position: 0 });
        items.for_each(|item| intake.state.lock().push(item));
        Arc::new(intake)
    }

    /// How many items are left in a full intake when its source is woken, as they are taken one by one.
    fn left_at_wake_up(shared: &Shared) -> usize {
        let intake = full_intake();
        let mut feed = IntakeFeed { intake: Arc::clone(&intake) };
        let (limit, began) = (Duration::from_secs(60), Instant::now());
        let sleeps = || intake.state.lock().wake_at.is_some();
        let room = std::thread::scope(|scope| {
            let source = scope.spawn(|| intake.wait_for_room(MOST, shared, limit));
            while !sleeps() {
                std::thread::yield_now();
            }
            let mut taken = Vec::new();
            while sleeps() && taken.len() < MOST {
                feed.fill(&mut taken, 1, usize::MAX, false, shared);
            }
            source.join().expect("nothing panics")
        });
        assert!(began.elapsed() < limit, "it slept as long as it could");
        MOST - room
    }

    #[test]
    fn a_source_sleeps_until_its_intake_is_half_empty_or_only_until_there_is_room_if_morsels_are_dear() {
        assert_eq!([1_000, 1_000_000].map(|nanos| left_at_wake_up(&shared(nanos))), [3, 5]);
    }
}
