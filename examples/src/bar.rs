//! A progress bar on a terminal, for programs that know how many items will come.

use crossbeam_channel::{RecvTimeoutError, bounded};
use gristmill::Monitor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// Calls `run` while a thread draws how many items have left the source. If standard error is not a terminal there is
/// neither a bar nor a thread. With `None` for the number expected, there is a count and no bar.
pub fn watch<T>(monitor: &Monitor, expected: Option<u64>, run: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() {
        return run();
    }
    let (running, ended) = bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bar = bar(expected);
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

fn bar(expected: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(expected, ProgressDrawTarget::stderr());
    let template = if expected.is_some() { "{bar:40} {percent:>3}%  {elapsed}" } else { "{pos} pieces  {elapsed}" };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
