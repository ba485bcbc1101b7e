//! Many items become one: batches by count, by bytes, by age.
//!
//! An open batch holds the bytes of its items, but no slot of the window: a batch may need more morsels than the window
//! has. What holds bytes without a slot must not hold up the run, so when the gate refuses a source while no morsel is in
//! flight, open batches are let go early.
//!
//! A batch is closed at the barrier of a checkpoint, which goes on with it, or alone.

use super::Driver;
use super::gate::Permit;
use super::morsel::{Draining, Morsel, Origin, Recycler};
use super::plan::AnyInlet;
use super::serial::{Consumer, LetGo};
use super::shared::Shared;
use crate::report::{StageCell, Tally};
use crate::weight::Scale;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Option<Duration>,
}

pub(crate) struct Batcher<'env, T> {
    limits: BatchLimits,
    scale: Scale<'env, T>,
    cell: Arc<StageCell>,
    shared: Arc<Shared>,
    out: AnyInlet<'env, Vec<T>>,
    emptied: Arc<Recycler<Vec<T>>>,
    open: Open<T>,
    /// The bytes of the open batch.
    held: Option<Permit>,
    next_seq: u64,
    /// Items of the source since the last morsel that went out.
    source_items: u64,
}

/// A batch that is not full.
struct Open<T> {
    items: Vec<T>,
    bytes: usize,
    /// Of its first item.
    position: u64,
    born: u64,
    opened: u64,
}

impl<'env, T: Send> Batcher<'env, T> {
    pub(crate) fn new(
        limits: BatchLimits,
        scale: Scale<'env, T>,
        cell: Arc<StageCell>,
        shared: Arc<Shared>,
        out: AnyInlet<'env, Vec<T>>,
    ) -> Self {
        Batcher {
            limits,
            scale,
            cell,
            out,
            emptied: Recycler::new(shared.gate.budget()),
            open: Open { items: Vec::new(), bytes: 0, position: 0, born: 0, opened: 0 },
            held: None,
            next_seq: 0,
            source_items: 0,
            shared,
        }
    }

    /// A morsel for full batches.
    fn start(&self, permit: Permit) -> Morsel<Vec<T>> {
        Morsel {
            seq: 0,
            items: self.emptied.get(),
            origin: Origin::default(),
            permit,
            born: 0,
            source_items: 0,
            barrier: None,
            home: Some(Arc::clone(&self.emptied)),
            shared: Arc::clone(&self.shared),
        }
    }

    fn add(&mut self, item: T, bytes: usize, (position, born): (u64, u64), full: &mut Morsel<Vec<T>>) {
        if !self.open.items.is_empty() && self.open.bytes.saturating_add(bytes) > self.limits.bytes {
            self.close_open(full);
        }
        if self.open.items.is_empty() {
            (self.open.position, self.open.born, self.open.opened) = (position, born, self.shared.now());
            if self.limits.age.is_some() {
                self.shared.hurry();
            }
        }
        self.open.items.push(item);
        self.open.bytes = self.open.bytes.saturating_add(bytes);
        if self.open.items.len() >= self.limits.count || self.open.bytes >= self.limits.bytes {
            self.close_open(full);
        }
    }

    fn close_open(&mut self, full: &mut Morsel<Vec<T>>) {
        // The next batch is likely to be as large as this one.
        let next = Vec::with_capacity(self.open.items.len());
        let batch = std::mem::replace(&mut self.open.items, next);
        self.open.bytes = 0;
        let (made, position) = (full.items.len(), self.open.position);
        if made == 0 {
            full.born = self.open.born;
            full.origin = Origin::at(position);
        }
        full.origin.follow(made, made + 1, || position);
        self.cell.combined.fetch_add(batch.len() as u64 - 1, Relaxed);
        self.cell.items_out.fetch_add(1, Relaxed);
        full.items.push(batch);
    }

    fn send(&mut self, mut full: Morsel<Vec<T>>, driver: Driver<'_, 'env>) {
        self.cell.latency.record(self.shared.now().saturating_sub(full.born), full.items.len() as u64);
        full.seq = self.next_seq;
        full.source_items = std::mem::take(&mut self.source_items);
        self.next_seq += 1;
        self.out.push(full, driver);
    }

    /// Sends the open batch as it is.
    fn send_open(&mut self, driver: Driver<'_, 'env>) {
        let Some(mut permit) = self.held.take().filter(|_| !self.open.items.is_empty()) else { return };
        permit.put_slot(Arc::new(self.shared.gate.force()));
        let mut full = self.start(permit);
        self.close_open(&mut full);
        self.send(full, driver);
    }
}

impl<'env, T: Send> Consumer<'env, T> for Batcher<'env, T> {
    fn consume(&mut self, mut morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        let began = self.shared.now();
        let mut full = self.start(morsel.permit.take());
        self.cell.items_in.fetch_add(morsel.items.len() as u64, Relaxed);
        self.source_items += morsel.source_items;
        let origin = std::mem::take(&mut morsel.origin);
        let mut items = std::mem::take(&mut morsel.items);
        let shared = Arc::clone(&self.shared);
        let mut rest = Draining::new(&mut items, &shared);
        let mut index = 0;
        // An item is weighed before it is taken: should the weigher unwind, it is accounted for.
        while let Some(bytes) = rest.peek().map(|item| self.scale.one(item)) {
            if let Some(item) = rest.next() {
                self.add(item, bytes, (origin.position(index), morsel.born), &mut full);
            }
            index += 1;
        }
        drop(rest);
        morsel.items = items;
        full.barrier = morsel.barrier.take();
        drop(morsel);
        if full.barrier.is_some() && !self.open.items.is_empty() {
            // What came before the barrier goes before it.
            self.close_open(&mut full);
        }
        let slot = full.permit.take_slot();
        if let Some(held) = self.held.take() {
            full.permit.absorb(held);
        }
        self.cell.busy_nanos.fetch_add(self.shared.now() - began, Relaxed);
        if full.items.is_empty() && full.barrier.is_none() {
            self.held = Some(full.permit.take());
            return;
        }
        // The full batches go on with the slot of the morsel that filled them; the open one keeps its bytes.
        self.held = Some(full.permit.split(self.open.bytes, None));
        if let Some(slot) = slot {
            full.permit.put_slot(slot);
        }
        self.send(full, driver);
    }

    fn close(&mut self, driver: Driver<'_, 'env>) {
        self.send_open(driver);
        self.held = None;
        self.out.close(driver);
    }

    fn let_go(&mut self, driver: Driver<'_, 'env>, which: LetGo) {
        let overdue = self.limits.age.is_some_and(|age| {
            !self.open.items.is_empty()
                && u128::from(self.shared.now().saturating_sub(self.open.opened)) >= age.as_nanos()
        });
        if (overdue || which == LetGo::All) && !self.shared.is_stopped() {
            self.send_open(driver);
        }
    }

    fn is_ageing(&self) -> bool {
        self.limits.age.is_some() && !self.open.items.is_empty()
    }
}

impl<T> Drop for Batcher<'_, T> {
    fn drop(&mut self) {
        let lost = self.open.items.len() as u64;
        self.cell.add(&Tally { lost, ..Tally::default() });
    }
}

/// The scale for batches of what another scale weighs.
pub(crate) fn batch_scale<'env, T: 'env>(scale: &Scale<'env, T>) -> Scale<'env, Vec<T>> {
    match scale.clone() {
        Scale::Flat { exact: false } => Scale::Flat { exact: false },
        scale => Scale::by(move |batch: &Vec<T>| {
            let spare = batch.capacity() - batch.len();
            size_of::<Vec<T>>() + spare * size_of::<T>() + scale.all(batch)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_weighs_what_is_in_it_and_the_room_that_it_has_left() {
        let mut batch = Vec::with_capacity(10);
        batch.extend([1u32, 2, 3]);
        let (shell, room) = (size_of::<Vec<u32>>(), batch.capacity() * 4);
        assert_eq!(batch_scale(&Scale::Flat { exact: true }).one(&batch), shell + room);
        let heavy = Scale::by(|number: &u32| *number as usize * 100);
        assert_eq!(batch_scale(&heavy).one(&batch), shell + room - 12 + 600);
    }
}
