//! Where items come from.

use crate::checkpoint::Mark;
use crate::chunk::MappedBytes;
use crate::error::BoxError;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::convert::Infallible;
use std::time::Duration;

/// Something that yields items one after another: the extract stage.
///
/// Every `Iterator` is a source that never fails and never waits. Implement the trait for anything else; the engine
/// calls [`pull`](Source::pull) from one thread at a time, though not always the same one.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// /// Counts down, and fails at unlucky numbers.
/// struct Countdown(u32);
///
/// impl Source for Countdown {
///     type Item = u32;
///     type Error = String;
///
///     fn pull(&mut self) -> Option<Result<u32, String>> {
///         self.0 = self.0.checked_sub(1)?;
///         Some(if self.0 == 13 { Err("thirteen".into()) } else { Ok(self.0) })
///     }
///
///     fn may_wait(&self) -> bool {
///         false
///     }
/// }
///
/// let report = Pipeline::extract(Countdown(20)).on_error(OnError::skip()).count().run()?;
/// assert_eq!(report.output, 19);
/// assert_eq!(report.totals().skipped, 1);
/// # Ok::<(), gristmill::Error>(())
/// ```
pub trait Source {
    /// What it yields.
    type Item: Send;
    /// What one item may fail with.
    type Error: Send;

    /// The next item, or the next failure; `None` at the end, after which it is not called again.
    ///
    /// A failure is that of one item: the policy of the extract stage decides about it, and if the run goes on, so does
    /// the source.
    fn pull(&mut self) -> Option<Result<Self::Item, Self::Error>>;

    /// Like [`pull`](Source::pull), but gives up after about `limit`.
    ///
    /// A source that may wait for ever should have its own: it is what lets a cancelled run end while nothing comes.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when nothing came in time; the engine looks whether the run goes on, and calls again.
    fn pull_within(&mut self, _limit: Duration) -> Result<Option<Result<Self::Item, Self::Error>>, TimedOut> {
        Ok(self.pull())
    }

    /// At most how many items are still to come, if that is known: then the last morsels are made smaller, so that all
    /// workers finish together.
    fn remaining(&self) -> Option<usize> {
        None
    }

    /// Whether `pull` may wait for something: a disk, a socket, another thread.
    ///
    /// A source that may wait gets a thread of its own. One that never does is pulled by the workers of the pool
    /// themselves, which saves the hand-over.
    ///
    /// # Default
    ///
    /// True: wrong only in speed.
    fn may_wait(&self) -> bool {
        true
    }

    /// Where the source stands: what [`seek`](Source::seek) needs so that the next [`pull`](Source::pull) gives what it
    /// would give now. Asked now and then when the run keeps a [checkpoint](crate::Pipeline::checkpoint), between two
    /// pulls.
    ///
    /// # Default
    ///
    /// `None`: a run that goes on pulls from the beginning and drops what was dealt with. That is right for every source
    /// that gives the same items again.
    fn mark(&mut self) -> Option<Mark> {
        None
    }

    /// Goes to a mark that a source of the same input has given: called before the first pull of a run that goes on.
    ///
    /// # Default
    ///
    /// An error, as a source without marks is never asked.
    ///
    /// # Errors
    ///
    /// When the mark means nothing here, or the input cannot be read from there. The run does not begin.
    fn seek(&mut self, _mark: &Mark) -> Result<(), BoxError> {
        Err("this source has no marks".into())
    }

    /// Says what the input is, so that a run does not go on with another one: paths, sizes, times; a line each. Asked
    /// before the first pull of a run that keeps a checkpoint.
    ///
    /// # Default
    ///
    /// `None`: any input is taken for the same.
    ///
    /// # Errors
    ///
    /// When that cannot be found out. The run does not begin.
    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        Ok(None)
    }

    /// The mapped bytes that its items hold, if they do: [`Chunks`](crate::Chunks) tells the report so. A source around
    /// another hands this on.
    ///
    /// # Default
    ///
    /// `None`.
    fn mapped_bytes(&self) -> Option<MappedBytes> {
        None
    }

    /// How to weigh an item, if the source knows better than by its size.
    ///
    /// # Default
    ///
    /// `None`: a type that owns no memory weighs its size; of another the pipeline must be told.
    fn weigher() -> Option<fn(&Self::Item) -> usize>
    where
        Self: Sized,
    {
        None
    }
}

/// Nothing came within the time that [`Source::pull_within`] was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl<I: Iterator<Item: Send>> Source for I {
    type Item = I::Item;
    type Error = Infallible;

    #[inline]
    fn pull(&mut self) -> Option<Result<I::Item, Infallible>> {
        Iterator::next(self).map(Ok)
    }

    #[inline]
    fn remaining(&self) -> Option<usize> {
        self.size_hint().1
    }

    fn may_wait(&self) -> bool {
        false
    }
}

/// An iterator of results as a source: each `Err` is the failure of one item.
///
/// # Examples
///
/// ```
/// use gristmill::{prelude::*, source};
///
/// let numbers = ["1", "2", "x", "4"].into_iter().map(str::parse::<i32>);
/// let report = Pipeline::extract(source::fallible(numbers)).on_error(OnError::skip()).collect::<Vec<_>>().run()?;
/// assert_eq!(report.output.len(), 3);
/// # Ok::<(), gristmill::Error>(())
/// ```
pub fn fallible<I, T, E>(results: I) -> Fallible<I::IntoIter>
where
    I: IntoIterator<Item = Result<T, E>>,
    T: Send,
    E: Send,
{
    Fallible(results.into_iter())
}

/// Returned by [`fallible`].
#[derive(Debug, Clone)]
pub struct Fallible<I>(I);

impl<I: Iterator<Item = Result<T, E>>, T: Send, E: Send> Source for Fallible<I> {
    type Item = T;
    type Error = E;

    #[inline]
    fn pull(&mut self) -> Option<Result<T, E>> {
        self.0.next()
    }

    fn remaining(&self) -> Option<usize> {
        self.0.size_hint().1
    }

    fn may_wait(&self) -> bool {
        false
    }
}

/// A source that may wait, on a thread of its own.
///
/// An iterator that reads a socket, a pipe or a slow disk belongs in here: a pool thread that waited in it could not
/// work meanwhile. An item is passed on at once when a worker is idle, and never waits for its successor.
///
/// # Examples
///
/// ```
/// use gristmill::{prelude::*, source};
///
/// let text = std::io::Cursor::new("one\ntwo\nthree\n");
/// let lines = source::waiting(source::fallible(std::io::BufRead::lines(text)));
/// let report = Pipeline::extract(lines).map(|line| line.len()).ordered().collect::<Vec<_>>().run()?;
/// assert_eq!(report.output, [3, 3, 5]);
/// # Ok::<(), gristmill::Error>(())
/// ```
pub fn waiting<S: Source>(source: S) -> Waiting<S> {
    Waiting(source)
}

/// Returned by [`waiting`].
#[derive(Debug, Clone)]
pub struct Waiting<S>(S);

impl<S: Source> Source for Waiting<S> {
    type Item = S::Item;
    type Error = S::Error;

    fn pull(&mut self) -> Option<Result<S::Item, S::Error>> {
        self.0.pull()
    }

    fn pull_within(&mut self, limit: Duration) -> Result<Option<Result<S::Item, S::Error>>, TimedOut> {
        self.0.pull_within(limit)
    }

    fn remaining(&self) -> Option<usize> {
        self.0.remaining()
    }

    fn mark(&mut self) -> Option<Mark> {
        self.0.mark()
    }

    fn seek(&mut self, mark: &Mark) -> Result<(), BoxError> {
        self.0.seek(mark)
    }

    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        self.0.fingerprint()
    }

    fn mapped_bytes(&self) -> Option<MappedBytes> {
        self.0.mapped_bytes()
    }

    fn weigher() -> Option<fn(&S::Item) -> usize> {
        S::weigher()
    }
}

/// The receiving end of a crossbeam channel as a source, which ends when all senders are gone.
///
/// It waits on a thread of its own. What is in the channel is not in flight yet: its capacity is the caller's.
///
/// # Examples
///
/// ```
/// use gristmill::{prelude::*, source};
///
/// let (sender, receiver) = crossbeam_channel::bounded(4);
/// std::thread::scope(|scope| {
///     scope.spawn(move || (0..10).for_each(|number| sender.send(number).unwrap()));
///     let report = Pipeline::extract(source::channel(receiver)).map(|number: u64| number * 2).fold(
///         || 0, |sum, number| *sum += number, |sum, other| *sum += other,
///     ).run()?;
///     assert_eq!(report.output, 90);
///     Ok::<(), gristmill::Error>(())
/// })?;
/// # Ok::<(), gristmill::Error>(())
/// ```
pub fn channel<T: Send>(receiver: Receiver<T>) -> Channel<T> {
    Channel(receiver)
}

/// Returned by [`channel`].
#[derive(Debug, Clone)]
pub struct Channel<T>(Receiver<T>);

impl<T: Send> Source for Channel<T> {
    type Item = T;
    type Error = Infallible;

    fn pull(&mut self) -> Option<Result<T, Infallible>> {
        self.0.recv().ok().map(Ok)
    }

    fn pull_within(&mut self, limit: Duration) -> Result<Option<Result<T, Infallible>>, TimedOut> {
        match self.0.recv_timeout(limit) {
            Ok(item) => Ok(Some(Ok(item))),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(TimedOut),
        }
    }
}

/// A closure that makes one item a call, and ends with `None`. It may wait, and gets a thread of its own.
///
/// For one that only computes, `std::iter::from_fn` saves the thread.
///
/// # Examples
///
/// ```
/// use gristmill::{prelude::*, source};
///
/// let mut left = 3;
/// let countdown = source::generate(|| {
///     left -= 1;
///     (left >= 0).then_some(Ok::<i32, String>(left))
/// });
/// let report = Pipeline::extract(countdown).ordered().collect::<Vec<_>>().run()?;
/// assert_eq!(report.output, [2, 1, 0]);
/// # Ok::<(), gristmill::Error>(())
/// ```
pub fn generate<F, T, E>(next: F) -> Generate<F>
where
    F: FnMut() -> Option<Result<T, E>>,
    T: Send,
    E: Send,
{
    Generate(next)
}

/// Returned by [`generate`].
#[derive(Debug, Clone)]
pub struct Generate<F>(F);

impl<F: FnMut() -> Option<Result<T, E>>, T: Send, E: Send> Source for Generate<F> {
    type Item = T;
    type Error = E;

    fn pull(&mut self) -> Option<Result<T, E>> {
        (self.0)()
    }
}
