//! Two lanes become one.
//!
//! Each input keeps its own order; which comes first where they meet is as it happens. Morsels get new numbers where they
//! meet, so that what follows can restore *that* order.

use super::Driver;
use super::funnel::Order;
use super::morsel::Morsel;
use super::plan::{AnyInlet, Plan};
use super::serial::{Consumer, Serial};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Where the inputs of a merge meet.
struct Meeting<'env, T> {
    out: AnyInlet<'env, T>,
    next_seq: AtomicU64,
    open: AtomicUsize,
}

/// One input of a merge.
pub(crate) struct MergeInlet<'env, T> {
    meeting: Arc<Meeting<'env, T>>,
}

impl<'env, T: Send + 'env> MergeInlet<'env, T> {
    /// The two inlets of a merge into `out`.
    pub(crate) fn connect(
        order: Order,
        plan: &mut Plan<'env>,
        out: AnyInlet<'env, T>,
    ) -> (AnyInlet<'env, T>, AnyInlet<'env, T>) {
        let meeting = Arc::new(Meeting { out, next_seq: AtomicU64::new(0), open: AtomicUsize::new(2) });
        let other = MergeInlet { meeting: Arc::clone(&meeting) };
        (Serial::connect(MergeInlet { meeting }, order, plan), Serial::connect(other, order, plan))
    }
}

impl<'env, T: Send> Consumer<'env, T> for MergeInlet<'env, T> {
    fn consume(&mut self, mut morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        morsel.seq = self.meeting.next_seq.fetch_add(1, Ordering::Relaxed);
        self.meeting.out.push(morsel, driver);
    }

    fn close(&mut self, driver: Driver<'_, 'env>) {
        // AcqRel: the last to close must see all that the other has pushed.
        if self.meeting.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.meeting.out.close(driver);
        }
    }
}
