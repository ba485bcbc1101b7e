//! A pipeline being made ready to run: nodes, threads and counters, collected from the end to the source.
//!
//! A pipeline is built from its source towards its end, but connected the other way round: each node needs the inlet of
//! the next one. So a terminal makes its inlet first and hands it to the last segment, that makes its own and hands it to
//! the one before, until a source is reached. At a fork the side branch is connected in between.

use super::crew::Crew;
use super::dead::{Burial, DeadQueue};
use super::funnel::Keys;
use super::gate::Gate;
use super::morsel::Morsel;
use super::pace::Pace;
use super::shared::Shared;
use super::task::{OwnThread, Task};
use super::{DeadLane, Driver, Watch};
use crate::error::{BoxError, Error};
use crate::pipeline::Settings;
use crate::policy::DeadLetter;
use crate::report::StageCell;
use crate::store::{Outcome, Store};
use crate::weight::Scale;
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

    /// A flush interval has gone by.
    fn tick(&self, _driver: Driver<'_, 'env>) {}

    /// Lets go of what it holds back only for efficiency.
    fn relieve(&self, _driver: Driver<'_, 'env>) {}

    /// Wakes the threads of the node, so that they see that the run is over.
    fn wake(&self) {}
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
    pub(crate) threads: Vec<OwnThread<'env>>,
    /// What is to be done when everything has stopped.
    pub(crate) endings: Vec<Ending<'env>>,
    pub(crate) dead: Vec<(Arc<dyn DeadEnd + 'env>, OwnThread<'env>)>,
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
}

impl<'env> Plan<'env> {
    pub(crate) fn new(settings: Settings<'env>) -> Self {
        let workers = settings.workers();
        let gate = Gate::new(settings.window_morsels(), settings.budget_bytes());
        let shared = Shared::new(
            gate,
            Crew::new(workers),
            Pace::new(settings.morsel),
            settings.cancel.clone(),
            settings.flush(),
            settings.clock(),
        );
        let watch = settings.watchdog.as_ref().map(|watchdog| Watch::new(watchdog.limit()));
        let shared = shared.limited(settings.drain_deadline, watch);
        Plan {
            shared: Arc::new(shared),
            settings,
            nodes: Vec::new(),
            threads: Vec::new(),
            endings: Vec::new(),
            dead: Vec::new(),
            stages: Vec::new(),
            announce: Vec::new(),
            segments: 0,
            problem: None,
        }
    }

    /// Notes what makes the run impossible; the problem nearest to the source wins.
    pub(crate) fn refuse(&mut self, problem: Error) {
        self.problem = Some(problem);
    }

    pub(crate) fn take_problem(&mut self) -> Option<Error> {
        self.problem.take()
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
        let queue = Arc::new(DeadQueue::new(Arc::clone(&self.shared)));
        let name = format!("{stage}: dead letters");
        let task = Box::new(Burial::new(Arc::clone(&queue), store, stage.to_owned()));
        self.dead.push((Arc::clone(&queue) as Arc<dyn DeadEnd + 'env>, OwnThread { name, task }));
        queue
    }
}
