//! Many items become one: batches by count, by bytes, by age.
//!
//! An open batch holds the bytes of its items, but no slot of the window: a batch may need more morsels than the window
//! has. What holds bytes without a slot must not hold up the run, so when the gate refuses a source while no morsel is in
//! flight, open batches are let go early.

use super::Driver;
use super::gate::Permit;
use super::morsel::{Morsel, Origin, Recycler};
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

/// Full batches on their way out.
struct Full<T> {
    batches: Vec<Vec<T>>,
    origin: Option<Origin>,
    born: u64,
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
            shared,
            out,
            emptied: Recycler::new(),
            open: Open { items: Vec::new(), bytes: 0, position: 0, born: 0, opened: 0 },
            held: None,
            next_seq: 0,
            source_items: 0,
        }
    }

    fn start(&self) -> Full<T> {
        Full { batches: self.emptied.get(), origin: None, born: 0 }
    }

    fn add(&mut self, item: T, position: u64, born: u64, full: &mut Full<T>) {
        let bytes = self.scale.one(&item);
        if !self.open.items.is_empty() && self.open.bytes.saturating_add(bytes) > self.limits.bytes {
            self.close_open(full);
        }
        if self.open.items.is_empty() {
            (self.open.position, self.open.born, self.open.opened) = (position, born, self.shared.now());
        }
        self.open.items.push(item);
        self.open.bytes += bytes;
        if self.open.items.len() >= self.limits.count || self.open.bytes >= self.limits.bytes {
            self.close_open(full);
        }
    }

    fn close_open(&mut self, full: &mut Full<T>) {
        // The next batch is likely to be as large as this one.
        let next = Vec::with_capacity(self.open.items.len());
        let batch = std::mem::replace(&mut self.open.items, next);
        self.open.bytes = 0;
        if full.origin.is_none() {
            full.born = self.open.born;
        }
        let origin = full.origin.get_or_insert_with(|| Origin::at(self.open.position));
        let made = full.batches.len();
        let position = self.open.position;
        origin.follow(made, made + 1, || position);
        self.cell.combined.fetch_add(batch.len() as u64 - 1, Relaxed);
        full.batches.push(batch);
    }

    fn send(&mut self, full: Full<T>, permit: Permit, driver: Driver<'_, 'env>) {
        self.cell.items_out.fetch_add(full.batches.len() as u64, Relaxed);
        self.cell.latency.record(self.shared.now().saturating_sub(full.born), full.batches.len() as u64);
        let morsel = Morsel {
            seq: self.next_seq,
            items: full.batches,
            origin: full.origin.unwrap_or_default(),
            permit,
            born: full.born,
            source_items: std::mem::take(&mut self.source_items),
            home: Some(Arc::clone(&self.emptied)),
            shared: Arc::clone(&self.shared),
        };
        self.next_seq += 1;
        self.out.push(morsel, driver);
    }

    /// Sends the open batch as it is.
    fn send_open(&mut self, driver: Driver<'_, 'env>) {
        let Some(mut permit) = self.held.take().filter(|_| !self.open.items.is_empty()) else { return };
        permit.put_slot(Arc::new(self.shared.gate.force()));
        let mut full = self.start();
        self.close_open(&mut full);
        self.send(full, permit, driver);
    }
}

impl<'env, T: Send> Consumer<'env, T> for Batcher<'env, T> {
    fn consume(&mut self, mut morsel: Morsel<T>, driver: Driver<'_, 'env>) {
        let began = self.shared.now();
        let mut full = self.start();
        let mut permit = morsel.permit.take();
        self.cell.items_in.fetch_add(morsel.items.len() as u64, Relaxed);
        self.source_items += morsel.source_items;
        let origin = std::mem::take(&mut morsel.origin);
        let mut items = std::mem::take(&mut morsel.items);
        for (index, item) in items.drain(..).enumerate() {
            self.add(item, origin.position(index), morsel.born, &mut full);
        }
        morsel.items = items;
        drop(morsel);
        let slot = permit.take_slot();
        if let Some(held) = self.held.take() {
            permit.absorb(held);
        }
        self.cell.busy_nanos.fetch_add(self.shared.now() - began, Relaxed);
        if full.batches.is_empty() {
            self.emptied.put(full.batches);
            drop(slot);
            self.held = Some(permit);
            return;
        }
        // The full batches go on with the slot of the morsel that filled them; the open one keeps its bytes.
        let open_bytes = self.open.bytes;
        self.held = Some(permit.split(open_bytes, None));
        if let Some(slot) = slot {
            permit.put_slot(slot);
        }
        self.send(full, permit, driver);
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
