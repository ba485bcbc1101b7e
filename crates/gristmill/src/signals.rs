//! SIGINT and SIGTERM end a run softly.

use crate::cancel::CancelToken;
use crate::monitor::Monitor;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Handle;
use signal_hook::low_level::emulate_default_handler;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

/// Ends runs softly on SIGINT and SIGTERM: the first drains the run of a token, the second cancels it, the third ends the
/// process as it would have without this.
///
/// A drained run stores what is in flight and returns a report that says so
/// ([`Report::drained`](crate::Report::drained)); a cancelled one returns an error. How long a drain may take is bounded
/// by [`Pipeline::drain_deadline`](crate::Pipeline::drain_deadline). A run that does not even end when it is cancelled, as
/// some function of the program never returns, can only be ended with its process: after a [grace](Signals::grace)
/// period, or by the third signal.
///
/// # Examples
///
/// ```
/// use gristmill::{Signals, prelude::*};
/// use std::time::Duration;
///
/// let token = CancelToken::new();
/// let watch = Signals::new(&token).watch()?; // until it is dropped
/// let report = Pipeline::extract(0u64..)
///     .inspect(|&number| {
///         if number == 1_000 {
///             signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
///         }
///     })
///     .cancel_token(&token)
///     .drain_deadline(Duration::from_secs(30))
///     .count()
///     .run()?;
/// assert!(report.drained && report.totals().lost == 0);
/// # drop(watch);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is watched until `watch` is called"]
pub struct Signals {
    token: CancelToken,
    grace: Option<Duration>,
    monitor: Option<Monitor>,
}

impl Signals {
    /// Signals for the runs of this token.
    pub fn new(token: &CancelToken) -> Self {
        Signals { token: token.clone(), grace: None, monitor: None }
    }

    /// Ends the process if its run has not ended so long after the second signal cancelled it, as that signal would have
    /// done by itself; says so on standard error before.
    ///
    /// # Default
    ///
    /// No such period: the run is waited for.
    pub fn grace(mut self, period: Duration) -> Self {
        self.grace = Some(period);
        self
    }

    /// The run whose report is printed before the process is ended: it shows which stage holds items.
    pub fn monitor(mut self, monitor: &Monitor) -> Self {
        self.monitor = Some(monitor.clone());
        self
    }

    /// Watches for signals on a thread of its own, until what is returned is dropped. From then on the signals are
    /// ignored, until the program sets another handler.
    ///
    /// # Errors
    ///
    /// If the handlers cannot be set, or the thread cannot be started.
    pub fn watch(self) -> std::io::Result<SignalWatch> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let (alive, ended) = bounded(0);
        let body = move || {
            for (earlier, signal) in signals.forever().enumerate() {
                self.take(signal, earlier, &ended);
            }
        };
        let thread = std::thread::Builder::new().name("gristmill: signals".to_owned()).spawn(body)?;
        Ok(SignalWatch { handle, thread: Some(thread), alive: Some(alive) })
    }

    fn take(&self, signal: i32, earlier: usize, ended: &Receiver<()>) {
        match earlier {
            0 => return self.token.drain(),
            1 => self.token.cancel(),
            // It came before the handler that ends the process was set.
            _ => self.end_process(signal),
        }
        for signal in [SIGINT, SIGTERM] {
            // It can only fail for signals that nobody may handle.
            let _ = signal_hook::flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)));
        }
        let Some(grace) = self.grace else { return };
        if ended.recv_timeout(grace) == Err(RecvTimeoutError::Timeout) {
            self.end_process(signal);
        }
    }

    fn end_process(&self, signal: i32) {
        let mut err = std::io::stderr().lock();
        // Nobody is left to hear that this could not be written.
        let _ = writeln!(err, "the run has not ended since it was cancelled, so the process is ended");
        if let Some(report) = self.monitor.as_ref().and_then(Monitor::snapshot) {
            let _ = writeln!(err, "{report}");
        }
        let _ = emulate_default_handler(signal);
    }
}

/// Returned by [`Signals::watch`].
#[derive(Debug)]
#[must_use = "signals are watched for as long as this lives"]
pub struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Never sent on: that it is gone says that the run has ended.
    alive: Option<Sender<()>>,
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.alive = None;
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_drains_even_if_the_program_has_done_so() {
        let token = CancelToken::new();
        token.drain();
        let (_alive, ended) = bounded(0);
        Signals::new(&token).take(SIGTERM, 0, &ended);
        assert!(token.is_draining() && !token.is_cancelled());
    }
}
