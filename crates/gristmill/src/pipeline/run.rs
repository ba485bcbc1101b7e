//! A pipeline that is closed, and its run.

use super::Sealed;
use super::settings::Pool;
use crate::engine::{self, AnyInlet, Order, Plan, Script, Shared};
use crate::error::Error;
use crate::report::Report;
use std::sync::Arc;

/// What closes a pipeline. Sealed: what the type of a run is made of.
pub trait Terminal<'env, T>: Send + Sized + 'env {
    /// What the run makes.
    type Output: Send;

    /// Whether what it has is still there when the process is not, so that a checkpoint makes sense.
    #[doc(hidden)]
    const LASTS: bool = false;

    #[doc(hidden)]
    fn open(self, name: &str, order: Order, plan: &mut Plan<'env>) -> (AnyInlet<'env, T>, Harvest<'env, Self::Output>);
}

/// Fetches what the end made once the run is over.
pub(crate) type Harvest<'env, O> = Box<dyn FnOnce() -> Result<O, Error> + Send + 'env>;

/// A pipeline with an end, ready to run.
#[must_use = "nothing happens until `run` is called"]
pub struct Run<'env, T, K> {
    sealed: Sealed<'env, T>,
    name: String,
    kind: K,
}

impl<T, K> std::fmt::Debug for Run<'_, T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("end", &self.name).finish_non_exhaustive()
    }
}

impl<'env, T: Send + 'env, K: Terminal<'env, T>> Run<'env, T, K> {
    pub(crate) fn new(mut sealed: Sealed<'env, T>, method: &'static str, kind: K) -> Self {
        let name = sealed.lineage.name(method);
        Run { sealed, name, kind }
    }

    pub(crate) fn kind_mut(&mut self) -> &mut K {
        &mut self.kind
    }

    pub(crate) fn refuse(&mut self, setting: &'static str, problem: &str) {
        self.sealed.settings.refuse(setting, problem);
    }

    /// Names the end, for errors and the report.
    ///
    /// # Default
    ///
    /// The name of the method.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Runs the pipeline until its source has run dry and everything is stored.
    ///
    /// Blocks the calling thread meanwhile; called on a thread of the pool itself, that thread works along.
    ///
    /// # Errors
    ///
    /// - A setting that cannot be: nothing has run, and nothing of the source was touched.
    /// - The first item that failed or panicked in a stage whose policy is to abort; or one too many that were allowed.
    /// - A store, a state or a thread that could not be opened or closed.
    /// - The run was cancelled.
    ///
    /// Whatever happened, every thread that the run started has ended, and [`Error::report`] says what was done.
    pub fn run(self) -> Result<Report<K::Output>, Error> {
        self.prepare()?.execute()
    }

    /// Runs the pipeline as a simulation decides.
    pub(crate) fn run_simulated(mut self, script: &Arc<Script>) -> Result<Report<K::Output>, Error> {
        self.sealed.settings.simulation = Some(Arc::clone(script));
        self.prepare()?.execute()
    }

    /// What a model is to run: on two workers, in virtual time.
    #[cfg(all(loom, test))]
    pub(crate) fn plan_simulated(mut self, script: &Arc<Script>) -> Result<Plan<'env>, Error> {
        self.sealed.settings.simulation = Some(Arc::clone(script));
        Ok(self.prepare()?.plan)
    }

    pub(crate) fn prepare(mut self) -> Result<Prepared<'env, K::Output>, Error> {
        self.sealed.settings.check()?;
        let mut settings = std::mem::take(&mut self.sealed.settings);
        settings.order_checkpoint()?;
        let monitor = settings.monitor.clone();
        let mut plan = Plan::new(settings);
        plan.open_checkpoint()?;
        let harvest = self.connect(&mut plan);
        if let Some(problem) = plan.take_problem() {
            return Err(problem);
        }
        let shared = Arc::clone(&plan.shared);
        // Set nowhere else.
        let _ = shared.stages.set(plan.stages());
        if let Some(monitor) = monitor {
            monitor.attach(&shared);
        }
        Ok(Prepared { plan, shared, harvest })
    }

    fn connect(self, plan: &mut Plan<'env>) -> Harvest<'env, K::Output> {
        let Run { sealed, name, kind } = self;
        plan.shared.open_end();
        if !K::LASTS {
            plan.refuse_checkpoint(format!("cannot be gone on from: what stage `{name}` has is gone with the process"));
        }
        let order = sealed.lineage.order(plan.settings.order);
        let (inlet, harvest) = kind.open(&name, order, plan);
        sealed.head.connect(plan, sealed.scale, inlet);
        harvest
    }
}

/// A side branch, as the fork sees it.
impl<'env, T: Send + 'env, K: Terminal<'env, T, Output = ()>> Run<'env, T, K> {
    /// Opens the branch in the plan of the main one.
    pub(super) fn open(self, plan: &mut Plan<'env>) {
        let _nothing: Harvest<'env, ()> = self.connect(plan);
    }

    /// The threads of the branch's blocking stages, and the first of its settings that was refused.
    pub(super) fn take_settings(&mut self) -> (usize, Option<(&'static str, String)>) {
        if self.sealed.settings.checkpoint.is_some() {
            self.sealed.settings.refuse("checkpoint", "belongs to the main pipeline, and is kept for all its branches");
        }
        (self.sealed.settings.own_threads, self.sealed.settings.problem.take())
    }
}

/// A run whose parts are connected.
pub(crate) struct Prepared<'env, O> {
    plan: Plan<'env>,
    pub(crate) shared: Arc<Shared>,
    harvest: Harvest<'env, O>,
}

impl<O: Send> Prepared<'_, O> {
    pub(crate) fn execute(self) -> Result<Report<O>, Error> {
        let Prepared { plan, shared, harvest } = self;
        let pool = plan.settings.pool.clone();
        let ran = engine::run(plan).and_then(|()| match pool {
            Some(Pool::Borrowed(pool)) => pool.install(harvest),
            Some(Pool::Shared(pool)) => pool.install(harvest),
            None => harvest(),
        });
        shared.stop_clock();
        let report = Report::read(&shared);
        let crashed = ran.as_ref().is_err_and(Error::is_crash);
        debug_assert!(
            crashed || report.totals().balance(),
            "the accounts do not balance: {:?}\n{report}",
            report.totals()
        );
        match ran {
            Ok(output) => Ok(report.exchange(output).0),
            Err(error) => Err(error.with_report(report)),
        }
    }
}
