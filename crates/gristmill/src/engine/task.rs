//! Work that waits, and so has a thread for itself: a source, a store, a worker of a blocking stage, dead letters.
//!
//! A task is a state machine that whoever drives the run advances turn by turn. On a thread of its own it is given all
//! the time it wants. A simulation gives it none: a turn that finds nothing to do says so and returns.

use super::Driver;
use super::shared::Shared;
use crate::error::{Error, panic_message};
use crate::store::Outcome;
use std::io;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

pub(crate) trait Task<'env>: Send {
    /// Does the next piece of work, waiting for it no longer than `patience`.
    fn turn(&mut self, driver: Driver<'_, 'env>, patience: Duration) -> Turned;

    /// Whether it is to have a thread now. Who is not wanted when the run begins gets one when that has changed.
    fn is_wanted(&self) -> bool {
        true
    }

    /// Called at the very end, whatever happened: nobody deals with items any more, dead letters are stored, and it is
    /// decided how the run ends.
    fn close(self: Box<Self>, _outcome: Outcome) {}
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Something was done.
    Worked,
    /// There was nothing to do for as long as the turn could wait.
    Idle,
    /// There will be nothing to do any more.
    Ended,
}

/// How long a task on a thread of its own sleeps at once; it is woken when there is something to do.
const LONG: Duration = Duration::from_secs(1);

/// A task and its name.
pub(crate) struct OwnThread<'env> {
    pub(crate) name: String,
    pub(crate) task: Box<dyn Task<'env> + 'env>,
}

/// A thread deals with items until this is dropped, by unwinding too.
struct AtWork<'a>(&'a Shared);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.end_work();
    }
}

impl<'env> OwnThread<'env> {
    /// Starts a thread that deals with items, and closes its task when everything is decided. If there can be none the run
    /// is aborted.
    pub(crate) fn start_work<'scope, 'outer>(
        self,
        scope: &'scope std::thread::Scope<'scope, 'outer>,
        driver: Driver<'scope, 'env>,
    ) -> Option<ScopedJoinHandle<'scope, ()>>
    where
        'env: 'scope,
    {
        let name = self.name.clone();
        let started = self.start_more_work(scope, driver);
        started.map_err(|error| driver.abort(Error::stage(&name, "start its thread", error.into()))).ok()
    }

    /// The same for a thread without which the run can go on.
    pub(crate) fn start_more_work<'scope, 'outer>(
        self,
        scope: &'scope std::thread::Scope<'scope, 'outer>,
        driver: Driver<'scope, 'env>,
    ) -> io::Result<ScopedJoinHandle<'scope, ()>>
    where
        'env: 'scope,
    {
        let shared = Arc::clone(driver.shared());
        let thread = self.spawn(scope, move |mut task| {
            let shared = driver.shared();
            let work = AtWork(shared);
            turn_to_end(&mut *task, driver);
            drop(work);
            task.close(shared.wait_decided());
        });
        if thread.is_err() {
            shared.end_work();
        }
        thread
    }

    /// Starts a thread that is joined before anything is decided. If there can be none the run is aborted.
    pub(crate) fn start<'scope, 'outer>(
        self,
        scope: &'scope std::thread::Scope<'scope, 'outer>,
        driver: Driver<'scope, 'env>,
    ) -> Option<ScopedJoinHandle<'scope, ()>>
    where
        'env: 'scope,
    {
        let name = self.name.clone();
        let started = self.spawn(scope, move |mut task| turn_to_end(&mut *task, driver));
        started.map_err(|error| driver.abort(Error::stage(&name, "start its thread", error.into()))).ok()
    }

    fn spawn<'scope, 'outer>(
        self,
        scope: &'scope std::thread::Scope<'scope, 'outer>,
        body: impl FnOnce(Box<dyn Task<'env> + 'env>) + Send + 'scope,
    ) -> io::Result<ScopedJoinHandle<'scope, ()>>
    where
        'env: 'scope,
    {
        let OwnThread { name, task } = self;
        // A name with a NUL in it is no reason not to run.
        let builder = std::thread::Builder::new().name(name.replace('\0', "\u{fffd}"));
        builder.spawn_scoped(scope, move || body(task))
    }
}

/// Where a task is gone nobody takes its work, so a run that went on after it unwound would hang.
fn turn_to_end<'env>(task: &mut (dyn Task<'env> + 'env), driver: Driver<'_, 'env>) {
    driver.contain(|| while task.turn(driver, LONG) != Turned::Ended {});
}

/// Waits until the thread is gone, not only done. What unwinds out of one is the drop of a user's value.
pub(crate) fn join(thread: ScopedJoinHandle<'_, ()>, driver: Driver<'_, '_>) {
    let name = thread.thread().name().unwrap_or("pipeline").to_owned();
    if let Err(payload) = thread.join() {
        driver.abort(Error::stage(&name, "go on after a panic outside an item", panic_message(payload).into()));
    }
}
