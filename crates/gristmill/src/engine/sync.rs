//! The one door to locks and atomics, so that a model checker can stand behind it.
//!
//! The parts of the engine that synchronize ([`crew`](super::crew), [`gate`](super::gate), [`funnel`](super::funnel),
//! [`bell`](super::bell), [`barrier`](super::barrier) with the queues of dead letters, and the lock of a
//! [`segment`](super::segment)), the limits that stages share and the token that stops a run take what they need from here.
//! An ordinary build gets parking_lot and std; `--cfg loom` gets the same names on top of loom, which tries every
//! interleaving.

#[cfg(loom)]
pub(crate) use self::model::{AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use self::real::{AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64};
    use std::time::Duration;

    /// parking_lot's condition variable, with the guard passed through by value as std and loom have it.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar::default()
        }

        /// Waits for at most `limit`; the flag says whether the time ran out.
        pub(crate) fn wait_for<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            limit: Duration,
        ) -> (MutexGuard<'a, T>, bool) {
            let timed_out = self.0.wait_for(&mut guard, limit).timed_out();
            (guard, timed_out)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64};
    use std::time::Duration;

    /// parking_lot's mutex interface on loom's mutex.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics while it holds a lock")
        }
    }

    /// The condition variable. A timed wait waits for ever, so that a model which needs the timeout to make progress is
    /// reported as a deadlock.
    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, _: Duration) -> (MutexGuard<'a, T>, bool) {
            (self.0.wait(guard).expect("no model panics while it holds a lock"), false)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
