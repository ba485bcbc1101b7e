//! What a user may set, and what is chosen otherwise.

use crate::cancel::CancelToken;
use crate::checkpoint::Checkpoint;
use crate::engine::{Clock, Order, Script};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::watchdog::Watchdog;
use crate::weight::Bytes;
use rayon::ThreadPool;
use std::sync::Arc;
use std::time::Duration;

/// A rayon pool to run on: borrowed, or shared.
#[derive(Debug, Clone)]
pub enum Pool<'env> {
    /// One on the caller's stack.
    Borrowed(&'env ThreadPool),
    /// One that several own.
    Shared(Arc<ThreadPool>),
}

impl<'env> From<&'env ThreadPool> for Pool<'env> {
    fn from(pool: &'env ThreadPool) -> Self {
        Pool::Borrowed(pool)
    }
}

impl From<Arc<ThreadPool>> for Pool<'_> {
    fn from(pool: Arc<ThreadPool>) -> Self {
        Pool::Shared(pool)
    }
}

/// More threads than this for one stage are taken for a mistake.
pub(crate) const MOST_THREADS: usize = 4_096;

#[derive(Debug, Clone)]
pub(crate) struct Settings<'env> {
    pub(crate) pool: Option<Pool<'env>>,
    pub(crate) window: Option<usize>,
    pub(crate) budget: Option<Bytes>,
    pub(crate) expected_growth: Option<f64>,
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) cancel: CancelToken,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) order: Order,
    pub(crate) morsel: Option<usize>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Threads of the stages that wait: each should have a morsel.
    pub(crate) own_threads: usize,
    pub(crate) drain_deadline: Option<Duration>,
    pub(crate) run_deadline: Option<Duration>,
    pub(crate) watchdog: Option<Watchdog<'env>>,
    /// The run is a simulation.
    pub(crate) simulation: Option<Arc<Script>>,
    /// The first setting that was refused.
    pub(crate) problem: Option<(&'static str, String)>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Settings {
            pool: None,
            window: None,
            budget: None,
            expected_growth: None,
            flush_interval: None,
            cancel: CancelToken::new(),
            monitor: None,
            order: Order::Unordered,
            morsel: None,
            checkpoint: None,
            own_threads: 0,
            drain_deadline: None,
            run_deadline: None,
            watchdog: None,
            simulation: None,
            problem: None,
        }
    }
}

impl Settings<'_> {
    pub(crate) fn refuse(&mut self, setting: &'static str, problem: impl Into<String>) {
        if self.problem.is_none() {
            self.problem = Some((setting, problem.into()));
        }
    }

    pub(crate) fn refuse_zero(&mut self, setting: &'static str, value: usize) {
        if value == 0 {
            self.refuse(setting, "must be at least 1, not 0");
        }
    }

    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.problem.take().map_or(Ok(()), |(setting, problem)| Err(Error::setting(setting, problem)))
    }

    /// A checkpoint needs the order of the source.
    pub(crate) fn order_checkpoint(&mut self) -> Result<(), Error> {
        match (&self.checkpoint, self.order) {
            (None, _) | (Some(_), Order::Source) => Ok(()),
            (Some(_), Order::Key) => Err(Error::setting(
                "ordered_by_key",
                "cannot be combined with a checkpoint, which needs the order of all",
            )),
            (Some(_), Order::Unordered) => {
                self.order = Order::Source;
                Ok(())
            }
        }
    }

    pub(crate) fn pool_ref(&self) -> Option<&ThreadPool> {
        match &self.pool {
            None => None,
            Some(Pool::Borrowed(pool)) => Some(pool),
            Some(Pool::Shared(pool)) => Some(pool),
        }
    }

    pub(crate) fn pool_threads(&self) -> usize {
        self.pool_ref().map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads).max(1)
    }

    /// How many workers may be awake at once.
    pub(crate) fn workers(&self) -> usize {
        self.simulation.as_ref().map_or_else(|| self.pool_threads(), |script| script.workers)
    }

    pub(crate) fn clock(&self) -> Clock {
        self.simulation.as_ref().map_or_else(Clock::real, |script| Clock::simulated(script.seed))
    }

    pub(crate) fn window_morsels(&self) -> usize {
        self.window.unwrap_or_else(|| (8 * self.workers() + 2 * self.own_threads).max(32))
    }

    pub(crate) fn budget_bytes(&self) -> Option<usize> {
        self.budget.map(Bytes::get)
    }

    pub(crate) fn flush(&self) -> Duration {
        self.flush_interval.unwrap_or(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_what_its_setter_says() {
        let settings = Settings::default();
        assert_eq!(settings.flush(), Duration::from_millis(1));
        assert_eq!((settings.budget_bytes(), settings.order), (None, Order::Unordered));
        assert!(settings.window_morsels() >= 32);
    }

    #[test]
    fn the_first_setting_that_was_refused_is_the_one_that_is_told() {
        let mut settings = Settings::default();
        settings.refuse_zero("window", 1);
        assert!(settings.check().is_ok());
        settings.refuse_zero("batch", 0);
        settings.refuse("window", "is no window");
        assert_eq!(settings.check().unwrap_err().to_string(), "setting `batch` must be at least 1, not 0");
    }
}
