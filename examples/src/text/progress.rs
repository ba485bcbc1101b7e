//! A progress bar, on a terminal.

use crossbeam_channel::{RecvTimeoutError, bounded};
use gristmill::Monitor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// Calls `run` while a thread draws how many of the expected pieces it has taken, from the counters of the run. If
/// standard error is not a terminal there is neither a bar nor a thread.
pub fn watch<T>(monitor: &Monitor, expected_pieces: u64, run: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() {
        return run();
    }
    let (running, ended) = bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bar = bar(expected_pieces);
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                bar.set_position(monitor.snapshot().map_or(0, |snapshot| snapshot.totals().extracted));
            }
            bar.finish_and_clear();
        });
        // Dropped also when `run` panics, which ends the thread.
        let _running = running;
        run()
    })
}

fn bar(expected_pieces: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(expected_pieces), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {percent:>3}%  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
