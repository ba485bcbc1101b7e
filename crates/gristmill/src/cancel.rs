//! Stopping a run from outside.

use crate::engine::sync::{AtomicU8, Ordering};
use std::sync::Arc;

/// Stops a run from another thread, or from inside a stage.
///
/// Clones stop the same run. A token that was used before `run` stops it at once; one token may be given to several
/// pipelines.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// let token = CancelToken::new();
/// let stopper = token.clone();
/// let error = Pipeline::extract(0u64..)
///     .inspect(move |&number| if number == 1_000 { stopper.cancel() })
///     .cancel_token(&token)
///     .count()
///     .run()
///     .unwrap_err();
/// assert!(error.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

const DRAIN: u8 = 1;
const CANCEL: u8 = 2;

impl CancelToken {
    /// A token that has not been used.
    #[must_use]
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Stops the run now: what is in flight is dropped and counted as lost, and `run` returns an error for which
    /// [`Error::is_cancelled`](crate::Error::is_cancelled) holds. A user's function that is running is waited for. A run
    /// that had dealt with everything already is complete, and returns its report.
    pub fn cancel(&self) {
        self.0.fetch_max(CANCEL, Ordering::Release);
    }

    /// Ends the run softly: nothing more is extracted, what is in flight is stored, and `run` returns a report.
    pub fn drain(&self) {
        self.0.fetch_max(DRAIN, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCEL
    }

    /// Whether [`drain`](Self::drain) or [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire) >= DRAIN
    }
}
