//! Looking at a run from another thread.

use crate::engine::Shared;
use crate::report::Report;
use parking_lot::Mutex;
use std::sync::Arc;

/// Reads the report of a run while it goes on.
///
/// Clones look at the same run. Reading takes no lock of the pipeline that a worker would wait for.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// let monitor = Monitor::new();
/// let watcher = monitor.clone();
/// let mut seen = 0;
/// Pipeline::extract(0..100u64)
///     .monitor(&monitor)
///     .ordered()
///     .for_each(|number| {
///         if number == 99 {
///             // From a progress bar's thread in real life.
///             seen = watcher.snapshot().map_or(0, |report| report.totals().extracted);
///         }
///     })
///     .run()?;
/// assert_eq!(seen, 100);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Monitor(Arc<Mutex<Option<Arc<Shared>>>>);

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("attached", &self.0.lock().is_some()).finish()
    }
}

impl Monitor {
    /// A monitor that looks at nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Monitor::default()
    }

    /// What the run has done so far; after its end, what it did. `None` before it began.
    #[must_use]
    pub fn snapshot(&self) -> Option<Report> {
        let shared = self.0.lock().clone();
        shared.map(|shared| Report::read(&shared))
    }

    pub(crate) fn attach(&self, shared: &Arc<Shared>) {
        *self.0.lock() = Some(Arc::clone(shared));
    }
}
