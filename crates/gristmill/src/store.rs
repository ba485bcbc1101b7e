//! Where items end.

use crate::checkpoint::{Progress, Receipt};
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
    /// A run that was drained has completed. If it kept a checkpoint another run goes on, so a store that puts something
    /// into its place only when it is whole asks the progress of the last commit whether it
    /// [is complete](Progress::is_complete).
    ///
    /// # Errors
    ///
    /// Makes the run fail, if it had not failed already.
    fn finish(&mut self, _outcome: Outcome) -> Result<(), Self::Error> {
        self.flush()
    }

    /// Makes everything that was stored so far durable, for a [checkpoint](crate::Pipeline::checkpoint). A store that
    /// [keeps the progress](Store::keeps_progress) puts it into the same transaction.
    ///
    /// What is returned is handed to [`resume`](Store::resume) if a later run goes on from this checkpoint: all that the
    /// store needs to forget what it was given after it. The engine keeps the checkpoint only after this has returned, so
    /// what is stored by then is never asked for again.
    ///
    /// # Default
    ///
    /// [`flush`](Store::flush), and [no receipt](Receipt::none): what is stored after a checkpoint comes again after a
    /// resume, so items are stored at least once.
    ///
    /// # Errors
    ///
    /// Ends the run. The checkpoint before this one stands.
    fn commit(&mut self, _progress: &Progress) -> Result<Receipt, Self::Error> {
        self.flush()?;
        Ok(Receipt::none())
    }

    /// Goes back to what was stored at a checkpoint: called before the first item when a run goes on, with the receipt that
    /// [`commit`](Store::commit) returned then. If everything had been stored, [`finish`](Store::finish) follows at once,
    /// perhaps for the second time.
    ///
    /// # Default
    ///
    /// Does nothing.
    ///
    /// # Errors
    ///
    /// Ends the run before it has begun.
    fn resume(&mut self, _receipt: &Receipt) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Whether [`commit`](Store::commit) makes the progress durable together with what was stored, and
    /// [`progress`](Store::progress) finds it again: for [`Checkpoint::in_store`](crate::Checkpoint::in_store).
    ///
    /// # Default
    ///
    /// False.
    fn keeps_progress(&self) -> bool {
        false
    }

    /// The progress that the last commit has kept; `None` if there was none. Asked before a run begins that
    /// [goes by it](crate::Checkpoint::in_store), of a store that [keeps progress](Store::keeps_progress), and of no other: who is
    /// not asked knows that the progress is kept elsewhere, and must be durable when [`commit`](Store::commit) returns.
    ///
    /// # Errors
    ///
    /// The run does not begin.
    fn progress(&mut self) -> Result<Option<Progress>, Self::Error> {
        Ok(None)
    }

    /// Whether storing may wait for something: a disk, a socket, a lock.
    ///
    /// A store that may wait gets a thread of its own, and so does any store of a run with a
    /// [checkpoint](crate::Pipeline::checkpoint). One that never does is called by whichever worker hands in the next
    /// morsel.
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

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, S::Error> {
        (**self).commit(progress)
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), S::Error> {
        (**self).resume(receipt)
    }

    fn keeps_progress(&self) -> bool {
        (**self).keeps_progress()
    }

    fn progress(&mut self) -> Result<Option<Progress>, S::Error> {
        (**self).progress()
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
