//! A drawn pipeline, run as its seed decides, and what came of it.

use super::disk::{Buried, Checked, Commits, Disk, Shelf, Through, bury};
use super::drawn::{Drawn, End, Failing, Interruption, KEYS, Order, Policy, Shedding, Stage, StageKind};
use super::item::Item;
use super::line::Line;
use super::oracle::{Expected, Told, source_fails};
use super::service::{Notes, Pauses, Service};
use anyhow::{Context, bail, ensure};
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use gristmill::{Bytes, Checkpoint, Error, Guard, Joined, Last, Report, Shed, source};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How runs end.
pub(super) const ENDS: [&str; 4] = ["whole", "with an error", "drained", "crashed"];

/// What a seed came to.
pub(super) struct Played {
    pub(super) events: u64,
    pub(super) items: u64,
    pub(super) failures: u64,
    pub(super) fell_back: u64,
    /// An index of [`ENDS`].
    pub(super) end: u8,
}

/// What the stores of a run got.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) stored: Shelf<Item>,
    /// One for each stage.
    pub(super) sides: Vec<Shelf<Item>>,
    /// One for each stage, and one for the end.
    pub(super) dead: Vec<Shelf<Buried>>,
    pub(super) shed: Shelf<Buried>,
    /// Of each stage, and of the end.
    pub(super) notes: Vec<Notes>,
    /// No batch mixes the positions of items.
    exact_positions: bool,
}

impl Kept {
    pub(super) fn of(drawn: &Drawn) -> Self {
        Kept {
            stored: Shelf::default(),
            sides: drawn.stages.iter().map(|_| Shelf::default()).collect(),
            dead: (0..=drawn.stages.len()).map(|_| Shelf::default()).collect(),
            shed: Shelf::default(),
            notes: (0..=drawn.stages.len()).map(|_| Notes::default()).collect(),
            exact_positions: !drawn.has_batch(),
        }
    }

    /// That no service has seen what must not be.
    pub(super) fn check_services(&self) -> anyhow::Result<()> {
        match self.notes.iter().enumerate().find_map(|(at, notes)| Some((at, notes.broken()?))) {
            Some((at, broken)) => bail!("stage {at}: {broken}"),
            None => Ok(()),
        }
    }
}

/// What is made of a drawn pipeline.
struct Making<'a> {
    drawn: &'a Drawn,
    simulation: &'a Simulation,
    kept: &'a Kept,
    checkpoint: Option<(Checkpoint, Commits)>,
    /// Of each stage that has one.
    lines: Vec<Option<Line>>,
    pauses: Pauses,
}

/// Plays a seed twice: both must go the same way.
pub(super) fn play(seed: u64) -> anyhow::Result<Played> {
    let drawn = Drawn::new(seed);
    let first = Simulation::new(seed);
    let played = check(&drawn, &first)?;
    if seed.is_multiple_of(16) {
        let second = Simulation::new(seed);
        check(&drawn, &second).context("the second time")?;
        ensure!(first.trace() == second.trace(), "went another way the second time");
    }
    Ok(played)
}

fn check(drawn: &Drawn, simulation: &Simulation) -> anyhow::Result<Played> {
    let kept = Kept::of(drawn);
    let ran = run(drawn, simulation, &kept, None);
    let (end, report) = match &ran {
        Ok(report) => (0, Some(report)),
        Err(error) if error.is_crash() => (3, error.report()),
        Err(error) if error.is_hang() => bail!("hangs: {error}"),
        Err(error) => (1, error.report()),
    };
    let report = report.context("an error without a report")?;
    let extracted = report.totals().extracted;
    let drained = matches!(drawn.interruption, Interruption::Drain(_)) && extracted < drawn.items;
    let shed: HashSet<u64> = kept.shed.take().into_iter().map(|(_, item, _)| item.position).collect();
    ensure!(end == 3 || report.totals().shed == shed.len() as u64, "shed {}, not {}", report.totals().shed, shed.len());
    kept.check_services()?;
    let expected = Expected::of(drawn, extracted, Told { shed: &shed, notes: &kept.notes });
    let played = Played {
        events: simulation.events(),
        items: extracted,
        failures: expected.failures.iter().sum(),
        fell_back: expected.fell_back,
        end: if drained && end == 0 { 2 } else { end },
    };
    match &ran {
        Ok(report) => check_whole(drawn, report, &expected, &kept, drained)?,
        Err(error) => check_broken(drawn, error, &expected, &kept)?,
    }
    Ok(played)
}

/// A run that went through: everything is where it belongs.
fn check_whole(drawn: &Drawn, report: &Report, expected: &Expected, kept: &Kept, drained: bool) -> anyhow::Result<()> {
    let totals = report.totals();
    ensure!(totals.balance(), "the accounts do not balance: {totals:?}");
    ensure!(drained || totals.extracted == drawn.items, "extracted {} of {}", totals.extracted, drawn.items);
    ensure!(!expected.aborts(drawn), "went through although a stage had to stop it");
    ensure!(totals.lost == 0, "lost {} items", totals.lost);
    ensure!(totals.skipped == expected.skipped, "skipped {}, not {}", totals.skipped, expected.skipped);
    ensure!(totals.filtered == expected.filtered, "filtered {}, not {}", totals.filtered, expected.filtered);
    ensure!(totals.dead == expected.dead.len() as u64, "{} dead, not {}", totals.dead, expected.dead.len());
    ensure!(totals.fell_back == expected.fell_back, "{} fell back, not {}", totals.fell_back, expected.fell_back);
    ensure!(totals.retried == expected.retried, "retried {}, not {}", totals.retried, expected.retried);
    check_order(drawn, &kept.stored.take(), &expected.stored).context("the store")?;
    for (at, (side, expected)) in kept.sides.iter().zip(&expected.sides).enumerate() {
        check_order(drawn, &side.take(), expected).with_context(|| format!("the side store of stage {at}"))?;
    }
    let (mut dead, mut expected_dead) =
        (kept.dead.iter().flat_map(Shelf::take).collect::<Vec<_>>(), expected.dead.clone());
    dead.sort_unstable();
    expected_dead.sort_unstable();
    ensure!(dead == expected_dead, "the dead letters differ: {dead:?}, not {expected_dead:?}");
    Ok(())
}

/// The items of a store, in the order that was asked for.
fn check_order(drawn: &Drawn, stored: &[Item], expected: &[Item]) -> anyhow::Result<()> {
    let in_order = drawn.order == Order::Source || (drawn.order == Order::Key && drawn.has_batch());
    if in_order && drawn.order == Order::Source {
        ensure!(stored == expected, "has {stored:?}, not {expected:?}");
    }
    for key in 0..KEYS {
        let of_key = |items: &[Item]| {
            let mut items: Vec<_> = items.iter().filter(|item| item.position % KEYS == key).copied().collect();
            if drawn.order == Order::Unordered {
                items.sort_unstable();
            }
            items
        };
        let (stored, expected) = (of_key(stored), of_key(expected));
        ensure!(stored == expected, "has of key {key} {stored:?}, not {expected:?}");
    }
    Ok(())
}

/// A run that was stopped: it had reason to, its accounts balance, and nothing is there twice.
fn check_broken(drawn: &Drawn, error: &Error, expected: &Expected, kept: &Kept) -> anyhow::Result<()> {
    let Some(report) = error.report() else { bail!("an error without a report: {error:?}") };
    let crashed = error.is_crash();
    ensure!(
        crashed == matches!(drawn.interruption, Interruption::Crash(_)) || !crashed,
        "crashed by itself: {error:?}"
    );
    let cancelled = error.is_cancelled() && matches!(drawn.interruption, Interruption::Cancel(_));
    ensure!(crashed || cancelled || expected.aborts(drawn), "failed without reason: {error:?}");
    ensure!(crashed || report.totals().balance(), "the accounts do not balance: {:?}", report.totals());
    let stored = kept.stored.take();
    // A crash leaves nobody to say what was shed just before.
    let knows_all = !crashed || drawn.shedding.is_none();
    if drawn.order == Order::Source && knows_all {
        ensure!(
            expected.stored.starts_with(&stored),
            "stored {stored:?}, which {:?} does not begin with",
            expected.stored
        );
    }
    let mut left: HashMap<Item, i64> = HashMap::new();
    expected.stored.iter().for_each(|item| *left.entry(*item).or_default() += 1);
    for item in stored {
        let left = left.entry(item).or_default();
        *left -= 1;
        ensure!(*left >= 0, "stored {item:?} too often");
    }
    Ok(())
}

/// The stage with its retry and its limits, if it has any.
fn guarded<'env, In, Op>(
    stage: Pipeline<'env, In, Op>,
    failing: &Failing,
    service: &Arc<Service>,
    line: Option<&Line>,
) -> Joined<'env, Item>
where
    In: Send + 'env,
    Op: Guard<'env, In, Out = Item> + Last<'env, Failed = Item, Error = String>,
{
    let (Some(limits), Some(line)) = (failing.limits, line) else {
        return if failing.attempts == 1 { stage.boxed() } else { stage.retry(retry(failing)).boxed() };
    };
    let stage = stage
        .retry(retry(failing))
        .rate_limit(&RateLimit::per_second(limits.rate).burst(limits.burst))
        .concurrency_limit(line.limit());
    if limits.falls_back {
        stage.breaker_or(line.breaker(), service.fallback()).boxed()
    } else {
        stage.breaker(line.breaker()).boxed()
    }
}

fn retry<'env>(failing: &Failing) -> Retry<'env, String> {
    let retry = Retry::exponential(failing.attempts).from(Duration::from_millis(2));
    if failing.after_panics { retry.and_panics() } else { retry }
}

/// Runs it, with a checkpoint in all its stores or without.
pub(super) fn run(
    drawn: &Drawn,
    simulation: &Simulation,
    kept: &Kept,
    checkpoint: Option<(Checkpoint, Commits)>,
) -> Result<Report, Error> {
    let lines = Line::all_of(drawn);
    let pauses = Pauses::new(simulation, drawn.pauses);
    let ran = Making { drawn, simulation, kept, checkpoint, lines: lines.clone(), pauses }.run();
    for (line, notes) in lines.iter().zip(&kept.notes) {
        line.iter().for_each(|line| line.check_after(drawn, notes));
    }
    ran
}

impl Making<'_> {
    fn run(self) -> Result<Report, Error> {
        let mut pipeline = extract(self.drawn, self.simulation, self.pauses.clone(), &self.kept.shed);
        for (at, stage) in self.drawn.stages.iter().enumerate() {
            pipeline = self.add(pipeline, at, stage);
        }
        let token = CancelToken::new();
        let mut pipeline = configure(pipeline, self.drawn, &token);
        if let Some((checkpoint, _)) = self.checkpoint.clone() {
            pipeline = pipeline.checkpoint(checkpoint);
        }
        let pipeline = interrupt(pipeline, self.drawn, self.simulation, &token);
        match &self.drawn.end {
            End::Memory => self.simulation.run(pipeline.store(self.disk(&self.kept.stored, false))),
            End::Waiting(salt, failing) => {
                let notes = &self.kept.notes[self.drawn.stages.len()];
                let attempt = Service::new(*salt, failing.rates, notes, None, self.pauses.clone()).calls();
                let store = Checked(self.disk(&self.kept.stored, true), move |item| attempt(item).map(drop));
                let run = pipeline.store(store).on_error(self.policy(failing, self.drawn.stages.len()));
                self.simulation.run(if failing.attempts > 1 { run.retry(retry(failing)) } else { run })
            }
        }
    }

    fn disk<R>(&self, shelf: &Shelf<R>, waits: bool) -> Disk<R> {
        shelf.store(waits, self.checkpoint.as_ref().map(|(_, commits)| commits.clone()))
    }

    fn policy<'env, E: Send + 'env>(&self, failing: &Failing, at: usize) -> OnError<'env, Item, E> {
        match failing.policy {
            Policy::Abort => OnError::abort(),
            Policy::Skip => OnError::skip(),
            Policy::AtMost(failures) => OnError::skip().at_most(failures),
            Policy::Collect => OnError::collect(),
            Policy::Dead => {
                let disk = self.disk(&self.kept.dead[at], true);
                OnError::dead_letter(Through(disk, bury(at, self.kept.exact_positions)))
            }
        }
    }

    fn add<'env>(&self, pipeline: Joined<'env, Item>, at: usize, stage: &Stage) -> Joined<'env, Item> {
        let salt = stage.salt;
        let slow = self.simulation.clone();
        let (side, notes, line) = (&self.kept.sides[at], &self.kept.notes[at], self.lines[at].as_ref());
        match &stage.kind {
            StageKind::Map => pipeline.map(move |item| item.changed(salt)).boxed(),
            &StageKind::Filter(out_of) => pipeline.filter(move |item| item.die(salt) >= out_of).boxed(),
            StageKind::TryMap(failing) => {
                let service = Service::new(salt, failing.rates, notes, line, self.pauses.clone());
                guarded(pipeline.try_map(service.calls()).on_error(self.policy(failing, at)), failing, &service, line)
            }
            StageKind::Expand => pipeline.flat_map(move |item| item.expanded(salt)).boxed(),
            &StageKind::Blocking(workers) => {
                // Some find their number, and some are changed by their own items.
                let workers = match salt % 3 {
                    0 => Workers::new(workers),
                    1 => Workers::new(workers).up_to(2 * workers),
                    _ => Workers::auto(1..=workers),
                };
                let (control, pauses) = (workers.clone(), self.pauses.clone());
                let work = move |item: Item| {
                    slow.sleep(Duration::from_micros(slow.below(2_000) as u64));
                    pauses.perhaps();
                    let changed = item.changed(salt);
                    control.set(1 + (salt as usize + slow.events() as usize) % 8);
                    changed
                };
                pipeline.map_blocking(workers, work).boxed()
            }
            StageKind::TryBlocking(workers, failing) => {
                let service = Service::new(salt, failing.rates, notes, line, self.pauses.clone());
                let stage = pipeline.try_map_blocking(*workers, service.calls());
                guarded(stage.on_error(self.policy(failing, at)), failing, &service, line)
            }
            StageKind::State => pipeline
                .map_init(
                    || Ok::<_, String>(0u64),
                    move |seen, item| {
                        *seen += 1;
                        item.changed(salt)
                    },
                )
                .boxed(),
            &StageKind::Batch(count) => pipeline.batch(count).unbatch().boxed(),
            &StageKind::BatchWithin(count) => pipeline.batch_within(count, Duration::from_millis(3)).unbatch().boxed(),
            StageKind::Broadcast => pipeline.broadcast(|copies| copies.store(self.disk(side, false))),
            &StageKind::Route(out_of) => {
                pipeline.route(move |item| item.die(salt) < out_of, |some| some.store(self.disk(side, true)))
            }
        }
    }
}

fn extract<'env>(drawn: &Drawn, simulation: &Simulation, pauses: Pauses, shed: &Shelf<Buried>) -> Joined<'env, Item> {
    let (faults, simulation) = (drawn.clone(), simulation.clone());
    let items = (0..drawn.items).map(move |position| {
        let item = Item::new(position);
        pauses.perhaps();
        if simulation.chance(0.02) {
            simulation.sleep(Duration::from_millis(simulation.below(50) as u64));
        }
        if source_fails(&faults, item) { Err("planned, of the source") } else { Ok(item) }
    });
    let items = source::fallible(items);
    let key = |item: &Item| item.position % KEYS;
    let pipeline = match (drawn.waiting_source, drawn.shedding) {
        (false, _) => Pipeline::extract(items),
        (true, None) => Pipeline::extract(source::waiting(items)),
        (true, Some(Shedding { oldest, holding })) => {
            let shedding = if oldest { Shed::oldest() } else { Shed::newest() };
            let store = Through(shed.store(true, None), bury(usize::MAX, true));
            Pipeline::extract(source::waiting(items)).shed(shedding.holding(holding).to(store))
        }
    };
    let pipeline = pipeline.on_error(OnError::skip());
    if drawn.order == Order::Key { pipeline.ordered_by_key(key).boxed() } else { pipeline.boxed() }
}

fn configure<'env>(mut pipeline: Joined<'env, Item>, drawn: &Drawn, token: &CancelToken) -> Joined<'env, Item> {
    pipeline = match drawn.order {
        Order::Source => pipeline.ordered(),
        Order::Unordered | Order::Key => pipeline,
    };
    if let Some(window) = drawn.window {
        pipeline = pipeline.window(window);
    }
    if let Some(items) = drawn.budget {
        pipeline = pipeline.memory_budget(Bytes::new(items * size_of::<Item>()));
    }
    if let Some(items) = drawn.morsel {
        pipeline = pipeline.morsel_items(items);
    }
    pipeline.cancel_token(token)
}

fn interrupt<'env>(
    pipeline: Joined<'env, Item>,
    drawn: &Drawn,
    simulation: &Simulation,
    token: &CancelToken,
) -> Joined<'env, Item> {
    let (interruption, simulation, token) = (drawn.interruption, simulation.clone(), token.clone());
    pipeline
        .inspect(move |item| match interruption {
            Interruption::Drain(at) if item.position == at => token.drain(),
            Interruption::Cancel(at) if item.position == at => token.cancel(),
            Interruption::Crash(at) if item.position == at => simulation.crash(),
            _ => {}
        })
        .boxed()
}
