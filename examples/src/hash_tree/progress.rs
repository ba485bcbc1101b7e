//! A line of progress, on a terminal.

use crossbeam_channel::{RecvTimeoutError, bounded};
use gristmill::Monitor;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr, stdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// Calls `run` while a thread draws how far it is. Not if the list goes to the terminal as well: then that shows it.
pub(super) fn watch<T>(monitor: &Monitor, seen: &AtomicU64, run: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() || stdout().is_terminal() {
        return run();
    }
    let (running, ended) = bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let bar = match ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            };
            let began = Instant::now();
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                draw(&bar, monitor, seen.load(Ordering::Relaxed), began);
            }
            bar.finish_and_clear();
        });
        // Dropped also when `run` panics, which ends the thread.
        let _running = running;
        run()
    })
}

fn draw(bar: &ProgressBar, monitor: &Monitor, bytes: u64, began: Instant) {
    let Some(snapshot) = monitor.snapshot() else { return };
    let files = snapshot.stage("hash").map_or(0, |stage| stage.items_out);
    let rate = bytes as f64 / began.elapsed().as_secs_f64();
    bar.tick();
    bar.set_message(format!("{files} files, {}, {}/s", HumanBytes(bytes), HumanBytes(rate as u64)));
}
