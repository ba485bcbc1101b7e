//! Reducing without a funnel: an accumulator for each worker, merged at the end.

use super::Driver;
use super::morsel::{Draining, Morsel};
use super::plan::Inlet;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, panic_message};
use crate::report::{StageCell, Tally};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How items are taken into an accumulator.
pub(crate) trait Folding<T>: Send + Sync {
    type Acc: Send;

    fn start(&self) -> Self::Acc;

    fn add(&self, acc: &mut Self::Acc, item: T);
}

/// The end of a pipeline that folds.
pub(crate) struct FoldInlet<F, A> {
    folding: F,
    /// Accumulators that no worker holds. There are never more in all than threads that hand items in at once.
    free: Mutex<Vec<A>>,
    cell: Arc<StageCell>,
    shared: Arc<Shared>,
}

impl<F, A> FoldInlet<F, A> {
    pub(crate) fn new(folding: F, cell: Arc<StageCell>, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(FoldInlet { folding, free: Mutex::new(Vec::new()), cell, shared })
    }

    pub(crate) fn folding(&self) -> &F {
        &self.folding
    }

    /// The accumulators, one for each worker that had anything to do.
    pub(crate) fn take(&self) -> Vec<A> {
        std::mem::take(&mut self.free.lock())
    }
}

impl<'env, T: Send, A: Send, F: Folding<T, Acc = A>> Inlet<'env, T> for FoldInlet<F, A> {
    fn push(&self, mut morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        if morsel.items.is_empty() {
            return;
        }
        let began = self.shared.now();
        let free = self.free.lock().pop();
        let mut entered = 0;
        let mut items = std::mem::take(&mut morsel.items);
        let mut rest = Draining::new(&mut items, &self.shared);
        let folded = catch_unwind(AssertUnwindSafe(|| {
            let mut acc = free.unwrap_or_else(|| self.folding.start());
            for item in rest.by_ref() {
                entered += 1;
                self.folding.add(&mut acc, item);
            }
            acc
        }));
        // The item that an accumulator failed at is lost; those after it never entered.
        let lost = u64::from(folded.is_err()).min(entered);
        self.cell.add(&Tally { items_in: entered, items_out: entered - lost, lost, ..Tally::default() });
        let ended = self.shared.now();
        self.cell.busy_nanos.fetch_add(ended - began, Relaxed);
        self.cell.latency.record(ended.saturating_sub(morsel.born), entered);
        match folded {
            Ok(acc) => self.free.lock().push(acc),
            // The accumulator may be half changed, so no policy could save the run.
            Err(payload) => driver.abort(Error::new(ErrorKind::Panicked {
                stage: self.cell.name.clone(),
                position: morsel.origin.position(entered.saturating_sub(1) as usize),
                attempts: 1,
                message: panic_message(payload),
            })),
        }
        // Last, as the drop of what is left may unwind.
        drop(rest);
        morsel.items = items;
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        driver.shared().end();
    }
}
