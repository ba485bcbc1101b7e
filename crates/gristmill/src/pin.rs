//! Pools whose workers keep to their cores.

use crate::pipeline::Pool;
use core_affinity::CoreId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;

/// Why there is no pinned pool.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PinError {
    /// The system does not say which cores there are.
    #[error("the system does not say which cores this process may use")]
    Unknown,
    /// No core was named.
    #[error("a pool needs at least one core")]
    NoCores,
    /// There is no such core, or this process may not use it.
    #[error("core {core} cannot be used by this process")]
    Refused {
        /// The number of the core, as the system counts them.
        core: usize,
    },
    /// The threads could not be started.
    #[error("the threads of the pool could not be started")]
    Pool(#[from] rayon::ThreadPoolBuildError),
}

/// No worker was refused its core.
const NONE: usize = usize::MAX;

impl Pool<'_> {
    /// A pool with a worker for each core that this process may use, each pinned to its core.
    ///
    /// It pays where a worker's caches matter and nothing else needs the cores. Otherwise the system places threads
    /// better. The threads of blocking stages, sources and stores are not pinned.
    ///
    /// # Errors
    ///
    /// If the system does not say which cores there are, refuses one, or cannot start the threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::{Pool, prelude::*};
    ///
    /// let report = Pipeline::extract(0..1_000u64).pool(Pool::pinned()?).map(|item| item + 1).count().run()?;
    /// assert_eq!(report.output, 1_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pinned() -> Result<Self, PinError> {
        Self::pinned_to(usable()?)
    }

    /// A pool with a worker for each of these cores; a core that is named twice has two.
    ///
    /// # Errors
    ///
    /// If no core is named, or one that this process may not use, or the threads cannot be started.
    pub fn pinned_to(cores: impl IntoIterator<Item = usize>) -> Result<Self, PinError> {
        let cores: Vec<usize> = cores.into_iter().collect();
        let usable = usable()?;
        if cores.is_empty() {
            return Err(PinError::NoCores);
        }
        if let Some(&core) = cores.iter().find(|core| !usable.contains(core)) {
            return Err(PinError::Refused { core });
        }
        let refused = Arc::new(AtomicUsize::new(NONE));
        let notice = Arc::clone(&refused);
        let pin = move |core: usize| {
            if !core_affinity::set_for_current(CoreId { id: core }) {
                notice.store(core, Ordering::Relaxed);
            }
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores.len());
        let pool = pool.start_handler(move |worker| pin(cores[worker])).build()?;
        // Threads pin themselves when they begin: each has when it has answered.
        pool.broadcast(|_| ());
        match refused.load(Ordering::Relaxed) {
            NONE => Ok(Pool::Shared(Arc::new(pool))),
            core => Err(PinError::Refused { core }),
        }
    }
}

fn usable() -> Result<Vec<usize>, PinError> {
    let cores = core_affinity::get_core_ids().filter(|cores| !cores.is_empty()).ok_or(PinError::Unknown)?;
    Ok(cores.into_iter().map(|core| core.id).collect())
}
