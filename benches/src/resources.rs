//! What contenders keep between runs.

use std::cell::OnceCell;
use std::io;

use rayon::ThreadPool;
use tokio::runtime::Runtime;

/// Thread pools, started when first asked for and kept for all runs with as many workers, as a
/// program would. Contenders whose interface starts threads for each run do so in each run.
#[derive(Debug)]
pub struct Resources {
    workers: usize,
    pool: OnceCell<ThreadPool>,
    runtime: OnceCell<Runtime>,
}

impl Resources {
    /// Nothing started yet; pools will have `workers` threads.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { workers, pool: OnceCell::new(), runtime: OnceCell::new() }
    }

    /// A rayon pool.
    ///
    /// # Panics
    ///
    /// If its threads cannot be started.
    #[must_use]
    pub fn pool(&self) -> &ThreadPool {
        self.pool.get_or_init(|| {
            rayon::ThreadPoolBuilder::new().num_threads(self.workers).build().expect("the rayon pool starts")
        })
    }

    /// A tokio runtime with one thread for tasks (the caller's) and `workers` for blocking ones.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.runtime.get_or_init(|| self.start_runtime().expect("the tokio runtime starts"))
    }

    fn start_runtime(&self) -> io::Result<Runtime> {
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(self.workers).build()
    }
}
