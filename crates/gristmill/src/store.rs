//! Where items end.

use crate::error::BoxError;
use std::convert::Infallible;

/// How a run ended, as a store or a worker's state is told when it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The source ran dry, or was drained, and everything that came out of it was dealt with. The run may still fail: when
    /// another store cannot be finished.
    Completed,
    /// The run was aborted by an error, or cancelled; items in flight were dropped.
    Aborted,
}

/// Something that keeps items: the store stage.
///
/// The engine calls it from one thread at a time, in the order the pipeline was asked for. `&mut S` is a store wherever
/// `S` is, so a store on the caller's stack can be looked at after the run; `Vec<T>` stores by pushing.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// struct Total { sum: u64, closed: bool }
///
/// impl Store<u64> for Total {
///     type Error = String;
///
///     fn store(&mut self, item: u64) -> Result<(), String> {
///         self.sum = self.sum.checked_add(item).ok_or("too much")?;
///         Ok(())
///     }
///
///     fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
///         self.closed = outcome == Outcome::Completed;
///         Ok(())
///     }
/// }
///
/// let mut total = Total { sum: 0, closed: false };
/// Pipeline::extract(1..=100).store(&mut total).run()?;
/// assert_eq!((total.sum, total.closed), (5_050, true));
/// # Ok::<(), gristmill::Error>(())
/// ```
pub trait Store<T>: Send {
    /// Why an item could not be stored.
    type Error: Into<BoxError> + Send;

    /// Stores one item.
    ///
    /// # Errors
    ///
    /// A failure is that of this item; the policy of the store stage decides what follows.
    fn store(&mut self, item: T) -> Result<(), Self::Error>;

    /// Hands on what is buffered. Called when nothing has come for the flush interval, on the store's own thread; a store
    /// that never [waits](Store::may_wait) has none, so the engine calls only its [`finish`](Store::finish).
    ///
    /// # Errors
    ///
    /// Aborts the run.
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Closes the store: called once, whatever happened, after the last [`store`](Store::store). What was stored must be
    /// as durable as the store promises when this returns.
    ///
    /// # Errors
    ///
    /// Makes the run fail, if it had not failed already.
    fn finish(&mut self, _outcome: Outcome) -> Result<(), Self::Error> {
        self.flush()
    }

    /// Whether storing may wait for something: a disk, a socket, a lock.
    ///
    /// A store that may wait gets a thread of its own. One that never does is called by whichever worker hands in the
    /// next morsel.
    ///
    /// # Default
    ///
    /// True: wrong only in speed.
    fn may_wait(&self) -> bool {
        true
    }
}

impl<T, S: Store<T> + ?Sized> Store<T> for &mut S {
    type Error = S::Error;

    fn store(&mut self, item: T) -> Result<(), S::Error> {
        (**self).store(item)
    }

    fn flush(&mut self) -> Result<(), S::Error> {
        (**self).flush()
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), S::Error> {
        (**self).finish(outcome)
    }

    fn may_wait(&self) -> bool {
        (**self).may_wait()
    }
}

impl<T: Send> Store<T> for Vec<T> {
    type Error = Infallible;

    fn store(&mut self, item: T) -> Result<(), Infallible> {
        self.push(item);
        Ok(())
    }

    fn may_wait(&self) -> bool {
        false
    }
}

/// A closure as a store that may wait.
///
/// # Examples
///
/// ```
/// use gristmill::{prelude::*, store};
/// use std::io::Write;
///
/// let mut file = Vec::new(); // or a real one
/// Pipeline::extract(0..3).ordered().store(store::from_fn(|number| writeln!(file, "{number}"))).run()?;
/// assert_eq!(file, b"0\n1\n2\n");
/// # Ok::<(), gristmill::Error>(())
/// ```
pub fn from_fn<F>(store: F) -> FromFn<F> {
    FromFn(store)
}

/// Returned by [`from_fn`].
#[derive(Debug, Clone)]
pub struct FromFn<F>(F);

impl<T, E: Into<BoxError> + Send, F: FnMut(T) -> Result<(), E> + Send> Store<T> for FromFn<F> {
    type Error = E;

    fn store(&mut self, item: T) -> Result<(), E> {
        (self.0)(item)
    }
}
