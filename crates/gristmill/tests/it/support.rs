//! What the tests share: a watchdog, quiet panics, pools, and items that do as their hash says.

use gristmill::Report;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::{Condvar, Mutex, Once, mpsc};
use std::time::Duration;

/// How long a test may take: half a minute, so many times as [`slowness`] says.
pub fn patience() -> Duration {
    Duration::from_secs(30) * slowness()
}

/// How many times slower than usual a build may be that is slow on purpose, as `GRISTMILL_TEST_PATIENCE` says. A test that
/// compares the engine's times with those of its own naps makes both so many times longer.
pub fn slowness() -> u32 {
    std::env::var("GRISTMILL_TEST_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Runs `body`, and fails loudly if it has not ended after [`patience`].
pub fn within<R: Send + 'static>(what: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
    quiet_panics();
    let (done, wait) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let result = body();
        let _ = done.send(());
        result
    });
    if wait.recv_timeout(patience()) == Err(mpsc::RecvTimeoutError::Timeout) {
        // Not `eprintln!`, which the harness captures and would lose in the abort.
        let _ = writeln!(std::io::stderr(), "HANG: {what}");
        std::process::abort();
    }
    worker.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Tries something that a machine can spoil which is busy with other things, until it holds once. What is broken never holds.
#[track_caller]
pub fn in_a_quiet_moment(mut attempt: impl FnMut() -> Result<(), String>) {
    const ATTEMPTS: usize = 20;
    let mut spoiled = String::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(()) => return,
            Err(why) => spoiled = why,
        }
    }
    panic!("not once in {ATTEMPTS} times: {spoiled}");
}

/// Something that happens once, and that others wait for.
#[derive(Debug, Default)]
pub struct Event {
    happened: Mutex<bool>,
    told: Condvar,
}

impl Event {
    pub fn happens(&self) {
        *self.happened.lock().unwrap() = true;
        self.told.notify_all();
    }

    /// Waits for it, and panics if it has not come long before [`within`] would take the test for one that hangs.
    #[track_caller]
    pub fn wait(&self) {
        let happened = self.happened.lock().unwrap();
        let (happened, _) = self.told.wait_timeout_while(happened, patience() / 2, |happened| !*happened).unwrap();
        let has_come = *happened;
        drop(happened);
        assert!(has_come, "what is waited for does not come");
    }
}

/// Planned panics say so and are not printed.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let planned = info.payload().downcast_ref::<&str>().is_some_and(|text| text.starts_with("planned"))
                || info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with("planned"))
                || info.payload().is::<u32>();
            if !planned {
                usual(info);
            }
        }));
    });
}

pub fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

pub fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The accounts balance, in all and (unless items were dropped between stages) at every stage, and nothing is in flight.
#[track_caller]
pub fn assert_balanced<O>(report: &Report<O>) {
    let totals = report.totals();
    assert!(totals.balance(), "{totals:?}");
    assert_eq!(report.bytes_in_flight, 0);
    for stage in report.stages.iter().filter(|_| report.dropped == 0) {
        assert_eq!(
            stage.items_in + stage.expanded,
            stage.items_out + stage.combined + stage.filtered + stage.shed + stage.failed(),
            "{stage:?}"
        );
    }
}
