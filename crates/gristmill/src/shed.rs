//! What a live source lets go of when the pipeline is full.

use crate::engine::{DeadLane, Plan};
use crate::policy::{DeadLetter, DeadStore, OneStore};
use crate::store::Store;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Load shedding: a source that cannot be held back lets items go when the pipeline is full, instead of waiting for room.
///
/// Set it with [`Pipeline::shed`](crate::Pipeline::shed). It is for live sources: a socket, a sensor, a queue that others
/// fill. They give what they give, and would drop it themselves, out of sight, if nobody took it.
///
/// Between the source's thread and the workers is the *intake*. The pipeline is full when the intake
/// [holds](Shed::holding) as many items as it may, or when the [memory budget](crate::Pipeline::memory_budget) has no room for
/// one more at this moment. Nothing is let go while there is room. What remains keeps its order and its position in the
/// source. A shed item is counted as [`shed`](crate::Totals::shed), and dropped on the source's thread, or handed
/// [to a store](Shed::to). A failure of the source is never shed, as the policy of the extract stage is to see it: it takes an
/// item's place, or waits if there are only failures.
///
/// # Examples
///
/// ```
/// use gristmill::{Shed, prelude::*, source};
///
/// let (open, gate) = crossbeam_channel::bounded::<()>(0);
/// let (sender, receiver) = crossbeam_channel::bounded(0);
/// let mut late = Vec::new();
/// let report = std::thread::scope(|scope| {
///     scope.spawn(move || {
///         (0..1_000u64).for_each(|item| sender.send(item).unwrap());
///         drop(open); // Not before all have been given.
///     });
///     Pipeline::extract(source::channel(receiver))
///         .shed(Shed::oldest().holding(10).to(&mut late))
///         .inspect(move |_| drop(gate.recv()))
///         .ordered()
///         .collect::<Vec<_>>()
///         .run()
/// })?;
/// let totals = report.totals();
/// assert_eq!((totals.extracted, totals.shed), (1_000, late.len() as u64));
/// assert!(report.output.ends_with(&(990..1_000).collect::<Vec<_>>()), "the newest are there");
/// # Ok::<(), gristmill::Error>(())
/// ```
#[must_use]
pub struct Shed<'env, T> {
    pub(crate) which: Which,
    pub(crate) holding: Option<usize>,
    store: Option<Box<dyn DeadStore<'env, T, Infallible> + 'env>>,
    /// Where it is shed.
    pub(crate) stage: String,
}

/// Which item goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Newest,
    Oldest,
}

impl<T> fmt::Debug for Shed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shed").field("which", &self.which).field("holding", &self.holding).finish_non_exhaustive()
    }
}

impl<'env, T> Shed<'env, T> {
    /// Lets the item go that has just come: what was there first is worked on. For what is no better when it is new, such as
    /// orders or events.
    pub fn newest() -> Self {
        Shed { which: Which::Newest, holding: None, store: None, stage: String::new() }
    }

    /// Lets the item go that has waited longest in the intake, so that what is worked on is as new as can be. For what grows
    /// stale, such as prices, positions or frames.
    ///
    /// If the budget is used up by what the workers have, so that nothing in the intake would make enough room, it is the
    /// item that has just come which goes.
    pub fn oldest() -> Self {
        Shed { which: Which::Oldest, ..Shed::newest() }
    }

    /// Lets the intake hold so many items, at least one. What workers have taken out of it is on top of that, within the
    /// [window](crate::Pipeline::window).
    ///
    /// # Default
    ///
    /// 1,024, or the items of two morsels if that is more: a burst that the pipeline gets over in no time is nothing to shed
    /// for.
    pub fn holding(mut self, items: usize) -> Self {
        self.holding = Some(items);
        self
    }

    /// Hands what is shed to a store of its own, which runs on a thread of its own, as a dead letter with
    /// [`Cause::Shed`](crate::Cause::Shed) and no attempt. It is counted as shed, not as dead.
    ///
    /// The store should be quick. No more letters wait for it than the intake may hold; then the source waits, as what was to
    /// be kept must not be lost. They are on top of the budget. If the store fails, the run is aborted.
    pub fn to<S>(mut self, store: S) -> Self
    where
        S: Store<DeadLetter<T, Infallible>> + 'env,
        T: Send + 'env,
    {
        self.store = Some(Box::new(OneStore(store)));
        self
    }

    /// Starts its store, if it has one.
    pub(crate) fn open(&mut self, plan: &mut Plan<'env>) -> Option<Arc<dyn DeadLane<T, Infallible> + 'env>> {
        self.store.take().map(|store| store.open(plan, &self.stage))
    }
}
