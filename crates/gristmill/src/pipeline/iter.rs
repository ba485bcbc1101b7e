//! Pulling results in a `for` loop.

use super::run::{Harvest, Prepared};
use super::{Pipeline, Run, Terminal};
use crate::engine::{AnyInlet, Funnel, Morsel, Order, Outlet, Plan, Shared, Turn};
use crate::error::{Error, ErrorKind, panic_message};
use crate::op::Operator;
use crate::report::{Kind, Report, StageCell, Tally};
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

impl<In, Op> IntoIterator for Pipeline<'static, In, Op>
where
    In: Send + 'static,
    Op: Operator<'static, In>,
{
    type Item = Result<Op::Out, Error>;
    type IntoIter = IntoIter<Op::Out>;

    /// Runs the pipeline on a thread of its own, and yields its results while it works ahead.
    ///
    /// What waits to be pulled is in flight and counts. If the run fails, its error is the last thing yielded. Dropping
    /// the iterator early cancels the run and joins all its threads.
    ///
    /// For a pipeline that borrows from the stack use [`for_each`](Pipeline::for_each). CPU stages run on rayon's global
    /// pool, unless the pipeline names [another](Pipeline::pool). The loop waits for them, so it must not itself run on
    /// a thread of that pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let mut first = Vec::new();
    /// for square in Pipeline::extract(0u64..).map(|number| number * number).ordered() {
    ///     first.push(square?);
    ///     if first.len() == 4 {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(first, [0, 1, 4, 9]);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    fn into_iter(self) -> IntoIter<Op::Out> {
        let place = Arc::new(Mutex::new(None));
        let end = Pull { place: Arc::clone(&place) };
        match Run::new(self.seal(), "into_iter", end).prepare() {
            Ok(prepared) => IntoIter::start(prepared, place.lock().take()),
            Err(error) => IntoIter { pulling: None, failed: Some(error), report: None },
        }
    }
}

/// The end whose morsels the caller's thread takes.
struct Pull<T> {
    place: Arc<Mutex<Option<Source<T>>>>,
}

/// Where the iterator gets morsels from.
struct Source<T> {
    funnel: Arc<Funnel<Morsel<T>>>,
    cell: Arc<StageCell>,
    /// Never sent on: that it is gone tells the run that nothing is held here any more.
    _held: Sender<()>,
}

impl<T: Send + 'static> Terminal<'static, T> for Pull<T> {
    type Output = ();

    fn open(self, name: &str, order: Order, plan: &mut Plan<'static>) -> (AnyInlet<'static, T>, Harvest<'static, ()>) {
        let segment = plan.segment();
        let cell = plan.add_stage(StageCell::new(name.to_owned(), Kind::Store, segment, 1).leading().ending());
        let (outlet, funnel) = Outlet::connect(order, plan);
        let (held, released) = crossbeam_channel::bounded(0);
        *self.place.lock() = Some(Source { funnel, cell, _held: held });
        // What the caller's thread holds is in flight, so the accounts wait for it.
        plan.endings.push(Box::new(move |_| {
            let _ = released.recv();
            Ok(())
        }));
        (outlet, Box::new(|| Ok(())))
    }
}

/// The results of a pipeline, as it goes on in the background.
pub struct IntoIter<T> {
    pulling: Option<Pulling<T>>,
    failed: Option<Error>,
    report: Option<Report>,
}

struct Pulling<T> {
    source: Source<T>,
    shared: Arc<Shared>,
    run: JoinHandle<Result<Report, Error>>,
    /// The morsel under way, its items to be popped from the end.
    current: Option<Morsel<T>>,
}

impl<T> std::fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntoIter").field("running", &self.pulling.is_some()).finish_non_exhaustive()
    }
}

/// How long to sleep before looking whether the run was stopped; it is woken when it is.
const PATIENCE: Duration = Duration::from_millis(100);

impl<T: Send + 'static> IntoIter<T> {
    fn start(prepared: Prepared<'static, ()>, source: Option<Source<T>>) -> Self {
        let shared = Arc::clone(&prepared.shared);
        let run = std::thread::Builder::new().name("gristmill".to_owned()).spawn(move || prepared.execute());
        match (run, source) {
            (Ok(run), Some(source)) => {
                let pulling = Pulling { source, shared, run, current: None };
                IntoIter { pulling: Some(pulling), failed: None, report: None }
            }
            (Err(error), _) => {
                let failed = Error::stage("into_iter", "start its thread", error.into());
                IntoIter { pulling: None, failed: Some(failed), report: None }
            }
            (Ok(_), None) => unreachable!("the end was opened when the run was prepared"),
        }
    }
}

impl<T> IntoIter<T> {
    /// What the run did; `None` while it goes on, or if it failed.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    fn finish(&mut self) -> Option<Error> {
        let Pulling { source, current, run, .. } = self.pulling.take()?;
        // The run is joined even if the drop of a user's value unwinds.
        let dropped = catch_unwind(AssertUnwindSafe(move || drop((current, source))));
        let joined = run.join();
        if let Err(payload) = dropped
            && !std::thread::panicking()
        {
            resume_unwind(payload);
        }
        match joined {
            Ok(Ok(report)) => {
                self.report = Some(report);
                None
            }
            Ok(Err(error)) => Some(error),
            Err(payload) => {
                Some(Error::stage("into_iter", "go on after a panic outside an item", panic_message(payload).into()))
            }
        }
    }
}

impl<T> Pulling<T> {
    fn pop(&mut self) -> Option<T> {
        let item = self.current.as_mut()?.items.pop();
        if item.is_some() {
            self.source.cell.add(&Tally { items_in: 1, items_out: 1, ..Tally::default() });
        } else {
            self.current = None;
            self.shared.nudge();
        }
        item
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        loop {
            let pulling = self.pulling.as_mut()?;
            if let Some(item) = pulling.pop() {
                return Some(Ok(item));
            }
            match pulling.source.funnel.wait_turn(PATIENCE, || pulling.shared.is_stopped()) {
                Turn::Take(mut morsel) => {
                    morsel.items.reverse();
                    let waited = pulling.shared.now().saturating_sub(morsel.born);
                    pulling.source.cell.latency.record(waited, morsel.items.len() as u64);
                    pulling.current = Some(morsel);
                }
                Turn::Finish => {
                    pulling.shared.end();
                    return self.finish().map(Err);
                }
                Turn::Leave if pulling.shared.is_stopped() => return self.finish().map(Err),
                Turn::Leave => {}
            }
        }
    }
}

impl<T> Drop for IntoIter<T> {
    fn drop(&mut self) {
        if let Some(pulling) = &self.pulling {
            pulling.shared.abort(Error::new(ErrorKind::Cancelled));
            drop(self.finish());
        }
    }
}
