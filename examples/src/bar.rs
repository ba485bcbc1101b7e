//! A progress bar, on a terminal.

use crossbeam_channel::{RecvTimeoutError, bounded};
use gristmill::{Monitor, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// Calls `run` while a thread draws how many items have left the source, from the counters of the run: the workers know
/// nothing of it. If standard error is not a terminal there is neither a bar nor a thread. With `None` for the number
/// expected, there is a count and no bar.
pub fn watch<T>(monitor: &Monitor, expected: Option<u64>, run: impl FnOnce() -> T) -> T {
    let say = |snapshot: &Report| match expected {
        Some(_) => String::new(),
        None => format!("{} pieces", snapshot.totals().extracted),
    };
    watch_saying(monitor, expected, say, run)
}

/// [`watch`], with a few words beside the bar, or instead of it.
pub fn watch_saying<T>(
    monitor: &Monitor,
    expected: Option<u64>,
    say: impl Fn(&Report) -> String + Send,
    run: impl FnOnce() -> T,
) -> T {
    if !stderr().is_terminal() {
        return run();
    }
    let (running, ended) = bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bar = bar(expected);
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if let Some(snapshot) = monitor.snapshot() {
                    bar.set_position(snapshot.totals().extracted);
                    bar.set_message(say(&snapshot));
                }
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
    let template =
        if expected.is_some() { "{bar:40} {percent:>3}%  {msg}  {elapsed}" } else { "{spinner} {msg}  {elapsed}" };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
