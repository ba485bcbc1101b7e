//! Going on where a run that died has stopped.
//!
//! A [`Checkpoint`] says where the progress of a run is kept: in a file of its own, or in the store's transaction. The
//! protocol by which a run finds out what is durable is at the head of `engine/barrier.rs`.

pub(crate) mod crc;
pub(crate) mod file;
mod progress;

pub(crate) use progress::Standing;
pub use progress::{BadProgress, Mark, Progress, Receipt};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where, and how often, the progress of a run is kept, and what a run does with the progress that it finds: for
/// [`Pipeline::checkpoint`](crate::Pipeline::checkpoint).
///
/// # Examples
///
/// ```
/// use gristmill::{Checkpoint, prelude::*};
///
/// # let folder = std::env::temp_dir().join(format!("gristmill-doc-checkpoint-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("numbers.checkpoint");
/// let mut stored = Vec::new();
/// let job = |stored: &mut Vec<u64>, dies_at: u64| {
///     Pipeline::extract(0..1_000u64)
///         .try_map(|number| if number == dies_at { Err("the power fails") } else { Ok(number) })
///         .checkpoint(Checkpoint::file(&path).every(std::time::Duration::ZERO))
///         .store(stored)
///         .run()
/// };
/// assert!(job(&mut stored, 800).is_err());
/// let report = job(&mut stored, u64::MAX)?; // a vector does not forget what came after the checkpoint
/// let resumed_at = report.resumed_at.unwrap_or(0);
/// assert!(resumed_at <= 800 && stored.ends_with(&(resumed_at..1_000).collect::<Vec<_>>()));
///
/// let report = job(&mut stored, u64::MAX)?;
/// assert_eq!((report.resumed_at, report.totals().extracted), (Some(1_000), 0)); // it is complete
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Checkpoint {
    pub(crate) place: Place,
    pub(crate) every: Duration,
    pub(crate) start_over: bool,
    pub(crate) accept_changed_input: bool,
}

/// Where progress is kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Store,
}

impl Checkpoint {
    fn new(place: Place) -> Self {
        Checkpoint { place, every: Duration::from_secs(1), start_over: false, accept_changed_input: false }
    }

    /// Keeps the progress in a file of its own, which is replaced as a whole each time: written beside it, synced,
    /// renamed, and its directory synced.
    ///
    /// With a store that can go back to what it had at the checkpoint (see [`Store::resume`](crate::Store::resume)) every
    /// item is stored exactly once; with any other at least once.
    ///
    /// Beside it a file with `.lock` at the end of its name keeps two runs from using it at once. It stays.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Checkpoint::new(Place::File(path.as_ref().to_owned()))
    }

    /// Lets the store keep the progress in its own transaction: what is stored and how far the run has come become durable
    /// in one step, so every item is stored exactly once.
    ///
    /// Every end of the pipeline must be a store that can do that: one whose
    /// [`keeps_progress`](crate::Store::keeps_progress) holds.
    pub fn in_store() -> Self {
        Checkpoint::new(Place::Store)
    }

    /// How long after one checkpoint the next one is begun. What a run that dies must do again is what it did since. Zero
    /// begins the next as soon as one is kept.
    ///
    /// # Default
    ///
    /// One second. When the source ends or the run is drained there is always one.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Begins at the beginning, whatever progress there is. What earlier runs have stored is not taken away.
    ///
    /// # Default
    ///
    /// A run goes on from the progress that it finds.
    pub fn start_over(mut self) -> Self {
        self.start_over = true;
        self
    }

    /// Goes on although the input is not what it was: for one that only grows. A file that ends before the place to go on at
    /// is refused all the same.
    ///
    /// # Default
    ///
    /// An input whose [`fingerprint`](crate::Source::fingerprint) has changed is refused.
    pub fn accept_changed_input(mut self) -> Self {
        self.accept_changed_input = true;
        self
    }
}
