//! A pipeline being made ready to run: nodes, threads and counters, collected from the end to the source.
//!
//! A pipeline is built from its source towards its end, but connected the other way round: each node needs the inlet of
//! the next one. So a terminal makes its inlet first and hands it to the last segment, that makes its own and hands it to
//! the one before, until a source is reached. At a fork the side branch is connected in between.

use super::barrier::{Barrier, Keeper, Seat, Start};
use super::crew::Crew;
use super::dead::{Burial, DeadQueue, LetterSeat};
use super::funnel::Keys;
use super::gate::Gate;
use super::morsel::Morsel;
use super::pace::Pace;
use super::shared::Shared;
use super::task::{OwnThread, Task};
use super::{Bell, Caller, DeadLane, Driver, Watch};
use crate::error::{BoxError, Error, panic_message};
use crate::pipeline::Settings;
use crate::policy::DeadLetter;
use crate::report::StageCell;
use crate::source::Source;
use crate::store::{Outcome, Store};
use crate::weight::Scale;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Where morsels go: a segment, a fork, a store. Pushing never waits.
pub trait Inlet<'env, T>: Send + Sync {
    /// Hands a morsel in.
    #[doc(hidden)]
    fn push(&self, morsel: Morsel<T>, driver: Driver<'_, 'env>);

    /// Nothing more will be pushed.
    #[doc(hidden)]
    fn close(&self, driver: Driver<'_, 'env>);
}

pub(crate) type AnyInlet<'env, T> = Arc<dyn Inlet<'env, T> + 'env>;

/// Something that the workers look at when they look for work.
pub(crate) trait Node<'env>: Send + Sync {
    /// Does one piece of work, if there is one.
    fn step(&self, driver: Driver<'_, 'env>) -> Step;

    /// A flush interval has gone by. Says whether something waits for a time, so that the next tick must not be late.
    fn tick(&self, _driver: Driver<'_, 'env>) -> bool {
        false
    }

    /// Lets go of what it holds back only for efficiency.
    fn relieve(&self, _driver: Driver<'_, 'env>) {}

    /// Wakes the threads of the node, so that they see that the run is over.
    fn wake(&self) {}
}

/// What workers hand in to without waking its thread each time.
pub(crate) trait Quiet: Send + Sync {
    /// Wakes the thread if something was handed in since it looked; says whether that was so.
    fn announce(&self) -> bool;
}

/// What came of looking for work at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Some was done.
    Done,
    /// There is none.
    Nothing,
    /// There is some, but somebody else must finish first what takes no longer than filling a morsel.
    Busy,
}

type Ending<'env> = Box<dyn FnOnce(Outcome) -> Result<(), Error> + Send + 'env>;
type Announce<'env> = Arc<dyn Fn(u64, Keys) + Send + Sync + 'env>;

/// The parts of a run.
pub struct Plan<'env> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings<'env>,
    /// From the end to the source.
    pub(crate) nodes: Vec<Arc<dyn Node<'env> + 'env>>,
    pub(crate) quiet: Vec<Arc<dyn Quiet + 'env>>,
    pub(crate) threads: Vec<OwnThread<'env>>,
    /// What is to be done when everything has stopped.
    pub(crate) endings: Vec<Ending<'env>>,
    pub(crate) dead: Vec<(Arc<dyn DeadEnd + 'env>, OwnThread<'env>)>,
    /// If the run keeps checkpoints.
    pub(crate) keeper: Option<Arc<Keeper<'env>>>,
    /// Of the threads of the stage that opens its policy, if it has any.
    pub(crate) bell: Option<Arc<Bell>>,
    /// The stage that opens its policy is the end that has just joined the keeper.
    pub(crate) opens_end: bool,
    stages: Vec<Arc<StageCell>>,
    announce: Vec<Announce<'env>>,
    segments: usize,
    problem: Option<Error>,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("stages", &self.stages.len()).finish()
    }
}

/// A queue of dead letters that can be told that no more will come.
pub(crate) trait DeadEnd: Send + Sync {
    fn close(&self);

    /// Stores the letters from before a barrier, commits, and says so to the keeper under this number.
    fn settle(&self, barrier: &Arc<Barrier>, number: usize);

    /// Whether letters wait for a barrier.
    fn holds_letters(&self) -> bool;
}

impl<'env> Plan<'env> {
    pub(crate) fn new(settings: Settings<'env>) -> Self {
        let workers = settings.workers();
        let gate = Gate::expecting(settings.window_morsels(), settings.budget_bytes(), settings.expected_growth);
        let shared = Shared::new(
            gate,
            Crew::new(workers),
            Pace::new(settings.morsel),
            settings.cancel.clone(),
            settings.flush(),
            settings.clock(),
        );
        let watch = settings.watchdog.as_ref().map(|watchdog| Watch::new(watchdog.limit()));
        let mut shared = shared.limited(settings.drain_deadline, watch);
        shared.run_deadline = settings.run_deadline;
        Plan {
            shared: Arc::new(shared),
            settings,
            nodes: Vec::new(),
            quiet: Vec::new(),
            threads: Vec::new(),
            endings: Vec::new(),
            dead: Vec::new(),
            keeper: None,
            bell: None,
            opens_end: false,
            stages: Vec::new(),
            announce: Vec::new(),
            segments: 0,
            problem: None,
        }
    }

    /// Whom a limit calls when the stage that opens its policy may have a place.
    pub(crate) fn caller(&self) -> Arc<Caller> {
        Arc::new(Caller::new(Arc::clone(&self.shared), self.bell.clone()))
    }

    /// Notes what makes the run impossible; the problem nearest to the source wins.
    pub(crate) fn refuse(&mut self, problem: Error) {
        self.problem = Some(problem);
    }

    pub(crate) fn take_problem(&mut self) -> Option<Error> {
        self.problem.take()
    }

    /// Takes hold of the checkpoint, if there is to be one.
    pub(crate) fn open_checkpoint(&mut self) -> Result<(), Error> {
        if let Some(checkpoint) = &self.settings.checkpoint {
            self.keeper = Some(Keeper::open(checkpoint, &self.shared)?);
        }
        Ok(())
    }

    /// Refuses a checkpoint that could not be gone on from.
    pub(crate) fn refuse_checkpoint(&mut self, why: impl Into<String>) {
        if self.keeper.is_some() {
            self.refuse(Error::setting("checkpoint", why));
        }
    }

    /// Takes the store of an end in among those that commit, and asks it what it has if it is the one to know.
    pub(crate) fn take_seat<T, S: Store<T>>(&mut self, name: &str, store: &mut S) -> Option<Seat<'env>> {
        let keeper = self.keeper.clone()?;
        if !keeper.is_in_store() {
            return Some(keeper.join(name, None));
        }
        if !store.keeps_progress() {
            let why =
                format!("cannot be kept in the store: that of stage `{name}` does not keep the progress of a run");
            self.refuse_checkpoint(why);
            return None;
        }
        match attempt(name, "read the progress that it has kept", || store.progress().map_err(Into::into)) {
            Ok(kept) => Some(keeper.join(name, kept)),
            Err(error) => {
                self.refuse(error);
                None
            }
        }
    }

    /// Puts a source where the run is to begin. It is left alone if the run cannot be.
    pub(crate) fn begin_source<S: Source>(&mut self, name: &str, source: &mut S) -> Start {
        let Some(keeper) = self.keeper.clone().filter(|_| self.problem.is_none()) else { return Start::default() };
        let begun = attempt(name, "say what its input is", || source.fingerprint())
            .and_then(|fingerprint| keeper.begin(fingerprint.as_deref()))
            .and_then(|start| match &start.standing {
                Some(standing) if !start.done => {
                    attempt(name, "go to where the checkpoint is", || source.seek(&standing.mark)).map(|()| start)
                }
                _ => Ok(start),
            });
        begun.unwrap_or_else(|error| {
            self.refuse(error);
            Start::default()
        })
    }

    /// A number for a new segment.
    pub(crate) fn segment(&mut self) -> usize {
        self.segments += 1;
        self.segments
    }

    /// Adds the stages of a segment, which are given from the source on.
    pub(crate) fn add_stages(&mut self, cells: Vec<StageCell>) -> Vec<Arc<StageCell>> {
        let cells: Vec<Arc<StageCell>> = cells.into_iter().map(Arc::new).collect();
        self.stages.extend(cells.iter().rev().cloned());
        cells
    }

    pub(crate) fn add_stage(&mut self, cell: StageCell) -> Arc<StageCell> {
        self.add_stages(vec![cell]).remove(0)
    }

    /// The stages, from the source on.
    pub(crate) fn stages(&self) -> Vec<Arc<StageCell>> {
        self.stages.iter().rev().cloned().collect()
    }

    /// Adds a task that deals with items, on a thread of its own.
    pub(crate) fn add_task(&mut self, name: String, task: impl Task<'env> + 'env) {
        self.threads.push(OwnThread { name, task: Box::new(task) });
    }

    /// Refuses a budget that could not be kept, as nobody can say what the items of a lane weigh.
    pub(crate) fn check_scale<T>(&mut self, scale: &Scale<'env, T>, after: &str) {
        if self.shared.gate.budget().is_some() && !scale.is_exact() {
            self.refuse(Error::setting(
                "memory_budget",
                format!(
                    "cannot be kept: what stage `{after}` hands on ({}) owns memory, and nothing says how much; \
                     follow the stage with `.weigh()` if its type implements `Weight`, or with `.weigh_by(|item| bytes)`",
                    std::any::type_name::<T>()
                ),
            ));
        }
    }

    /// Where the keys of each new morsel are announced, in key order.
    pub(crate) fn add_announcement(&mut self, announce: Announce<'env>) {
        self.announce.push(announce);
    }

    pub(crate) fn announcements(&self) -> Vec<Announce<'env>> {
        self.announce.clone()
    }

    /// Runs a store of dead letters on a thread of its own.
    pub(crate) fn dead_lane<T, E, S>(&mut self, stage: &str, store: S) -> Arc<dyn DeadLane<T, E> + 'env>
    where
        S: Store<DeadLetter<T, E>> + 'env,
        S::Error: Into<BoxError>,
        T: Send + 'env,
        E: Send + 'env,
    {
        let queue = Arc::new(DeadQueue::new(Arc::clone(&self.shared), self.keeper.is_some()));
        let seat = self.keeper.as_ref().map(|keeper| {
            let key = keeper.join_letters(stage, Arc::clone(&queue) as Arc<dyn DeadEnd + 'env>, self.opens_end);
            LetterSeat { keeper: Arc::clone(keeper), key }
        });
        let name = format!("{stage}: dead letters");
        let task = Box::new(Burial::new(Arc::clone(&queue), store, stage.to_owned(), seat));
        self.dead.push((Arc::clone(&queue) as Arc<dyn DeadEnd + 'env>, OwnThread { name, task }));
        queue
    }
}

/// Calls what a user wrote, before the run has begun.
fn attempt<R>(stage: &str, action: &'static str, call: impl FnOnce() -> Result<R, BoxError>) -> Result<R, Error> {
    let called = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(panic_message(payload).into()));
    called.map_err(|error| Error::stage(stage, action, error))
}
