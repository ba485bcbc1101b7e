//! Why a run could not begin, or did not go through.

use crate::engine::CheckpointError;
use crate::report::Report;
use std::fmt;
use std::time::Duration;

/// Any error a user's function may return: what `E: Into<BoxError>` turns into. `String` and `&str` do as well.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a pipeline could not be built, or stopped before its source ran dry.
///
/// One opaque type: ask it with the predicates, show it with `Display`, follow [`source`](std::error::Error::source) to
/// the cause. When a run had begun, [`report`](Error::report) tells how far it came.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    report: Option<Report>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorKind {
    #[error("stage `{stage}` failed on item {position}, attempt {attempts}")]
    Item { stage: String, position: u64, attempts: u32, source: BoxError },
    #[error("stage `{stage}` panicked on item {position}, attempt {attempts}: {message}")]
    Panicked { stage: String, position: u64, attempts: u32, message: String },
    #[error("stage `{stage}` took longer than {limit:?} over item {position}, attempt {attempts}")]
    TimedOut { stage: String, position: u64, attempts: u32, limit: Duration },
    #[error("stage `{stage}` refused item {position}, as its breaker is open")]
    Refused { stage: String, position: u64 },
    #[error("the run took longer than {limit:?}")]
    RunDeadline { limit: Duration },
    #[error("stage `{stage}` gave up: more than {limit} items failed, the last of them item {position}")]
    TooMany { stage: String, limit: u64, position: u64, source: BoxError },
    #[error("stage `{stage}` could not {action}")]
    Stage { stage: String, action: &'static str, source: BoxError },
    #[error("setting `{setting}` {problem}")]
    Setting { setting: &'static str, problem: String },
    #[error(transparent)]
    Checkpoint(CheckpointError),
    #[error("the run was cancelled")]
    Cancelled,
    #[error("draining took longer than {limit:?}")]
    DrainDeadline { limit: Duration },
    #[error("the watchdog ended the run: {message}")]
    Stalled { message: String },
    #[error("the simulation crashed the run at event {event}")]
    Crashed { event: u64 },
    #[error("the run hangs: the simulation gave it up at event {event}")]
    Hangs { event: u64 },
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Error(Box::new(Inner { kind, report: None }))
    }

    pub(crate) fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        Error::new(ErrorKind::Setting { setting, problem: problem.into() })
    }

    pub(crate) fn stage(stage: &str, action: &'static str, source: BoxError) -> Self {
        Error::new(ErrorKind::Stage { stage: stage.to_owned(), action, source })
    }

    pub(crate) fn with_report(mut self, report: Report) -> Self {
        self.0.report = Some(report);
        self
    }

    /// Whether a setting was refused; nothing has run.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Setting { .. })
    }

    /// Whether a checkpoint could not be read, kept or gone on from: the message says what to do. If there is no
    /// [`report`](Error::report) nothing has run.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Checkpoint(_))
    }

    /// Whether the run was cancelled by its token, or by dropping its iterator.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Cancelled)
    }

    /// Whether a user's function panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Panicked { .. })
    }

    /// Whether a drain took longer than [its deadline](crate::Pipeline::drain_deadline).
    #[must_use]
    pub fn is_drain_deadline(&self) -> bool {
        matches!(self.0.kind, ErrorKind::DrainDeadline { .. })
    }

    /// Whether a [watchdog](crate::Watchdog) ended the run.
    #[must_use]
    pub fn is_stall(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Stalled { .. })
    }

    /// Whether a [simulation](crate::testing::Simulation) crashed the run on purpose.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Crashed { .. })
    }

    /// Whether a [simulation](crate::testing::Simulation) found that the run does not end.
    #[must_use]
    pub fn is_hang(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Hangs { .. })
    }

    /// Whether an attempt, or the whole run, took longer than its deadline.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::TimedOut { .. } | ErrorKind::RunDeadline { .. })
    }

    /// The stage that failed.
    #[must_use]
    pub fn stage_name(&self) -> Option<&str> {
        match &self.0.kind {
            ErrorKind::Item { stage, .. }
            | ErrorKind::Panicked { stage, .. }
            | ErrorKind::TimedOut { stage, .. }
            | ErrorKind::Refused { stage, .. }
            | ErrorKind::TooMany { stage, .. }
            | ErrorKind::Stage { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// The position in the source, counted from zero, of the item that failed.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        match &self.0.kind {
            ErrorKind::Item { position, .. }
            | ErrorKind::Panicked { position, .. }
            | ErrorKind::TimedOut { position, .. }
            | ErrorKind::Refused { position, .. }
            | ErrorKind::TooMany { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// How often the stage tried the item that failed.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        match &self.0.kind {
            ErrorKind::Item { attempts, .. }
            | ErrorKind::Panicked { attempts, .. }
            | ErrorKind::TimedOut { attempts, .. } => Some(*attempts),
            _ => None,
        }
    }

    /// What the run had done until it stopped; `None` if it never began.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.0.report.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.kind, f)
    }
}

impl fmt::Debug for Error {
    /// The message and its causes on one line: what `fn main() -> Result<(), Error>` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.kind, f)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.kind.source()
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn panic_message(payload: Box<dyn std::any::Any + Send>) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    // A payload whose own drop panics must not take the worker with it.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(payload)));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn debug_prints_the_chain() {
        let cause: BoxError = "no such city".into();
        let kind = ErrorKind::Item { stage: "lookup".into(), position: 7, attempts: 1, source: cause };
        assert_eq!(format!("{:?}", Error::new(kind)), "stage `lookup` failed on item 7, attempt 1: no such city");
    }

    /// One error of each kind, with what is to be known of it: the predicate that holds, stage, position and attempts.
    fn kinds() -> Vec<(ErrorKind, &'static str, Option<&'static str>, Option<u64>, Option<u32>)> {
        let (stage, limit, message) = (|| "lookup".to_owned(), Duration::from_secs(1), || "no words".to_owned());
        let cause = || BoxError::from("no such city");
        let (name, at, tries) = (Some("lookup"), Some(7), Some(3));
        let (position, attempts) = (7, 3);
        vec![
            (ErrorKind::Item { stage: stage(), position, attempts, source: cause() }, "", name, at, tries),
            (ErrorKind::Panicked { stage: stage(), position, attempts, message: message() }, "panic", name, at, tries),
            (ErrorKind::TimedOut { stage: stage(), position, attempts, limit }, "timeout", name, at, tries),
            (ErrorKind::Refused { stage: stage(), position }, "", name, at, None),
            (ErrorKind::RunDeadline { limit }, "timeout", None, None, None),
            (ErrorKind::TooMany { stage: stage(), limit: 2, position, source: cause() }, "", name, at, None),
            (ErrorKind::Stage { stage: stage(), action: "begin", source: cause() }, "", name, None, None),
            (ErrorKind::Setting { setting: "window", problem: message() }, "setting", None, None, None),
            (ErrorKind::Checkpoint(CheckpointError::Short { found: 1, position: 2 }), "checkpoint", None, None, None),
            (ErrorKind::Cancelled, "cancelled", None, None, None),
            (ErrorKind::DrainDeadline { limit }, "drain deadline", None, None, None),
            (ErrorKind::Stalled { message: message() }, "stall", None, None, None),
            (ErrorKind::Crashed { event: 5 }, "crash", None, None, None),
            (ErrorKind::Hangs { event: 5 }, "hang", None, None, None),
        ]
    }

    /// The predicates that hold.
    fn is(error: &Error) -> String {
        let predicates = [
            (error.is_setting(), "setting"),
            (error.is_checkpoint(), "checkpoint"),
            (error.is_cancelled(), "cancelled"),
            (error.is_panic(), "panic"),
            (error.is_drain_deadline(), "drain deadline"),
            (error.is_stall(), "stall"),
            (error.is_crash(), "crash"),
            (error.is_hang(), "hang"),
            (error.is_timeout(), "timeout"),
        ];
        predicates.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect()
    }

    #[test]
    fn each_kind_answers_to_its_own_predicate_and_knows_its_place() {
        for (kind, predicate, stage, position, attempts) in kinds() {
            let error = Error::new(kind);
            assert_eq!(is(&error), predicate, "{error}");
            assert_eq!(
                (error.stage_name(), error.position(), error.attempts()),
                (stage, position, attempts),
                "{error}"
            );
            assert!(error.report().is_none());
            assert!(stage.is_none_or(|stage| error.to_string().contains(stage)), "{error}");
        }
    }
}
