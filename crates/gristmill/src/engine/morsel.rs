//! A run of consecutive items that moves as one.

use super::barrier::Barrier;
use super::funnel::Sequenced;
use super::gate::Permit;
use super::shared::Shared;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Items on their way, with what they carry: their place, their permit, the time they were extracted.
///
/// Items that are dropped with their morsel count as lost.
pub struct Morsel<T> {
    pub(crate) seq: u64,
    pub(crate) items: Vec<T>,
    pub(crate) origin: Origin,
    pub(crate) permit: Permit,
    /// When the first item was extracted, in nanoseconds since the run began.
    pub(crate) born: u64,
    /// How many items of the source it stands for: what a cost is divided by.
    pub(crate) source_items: u64,
    /// A checkpoint is to be made after its items; nearly always there is none.
    pub(crate) barrier: Option<Arc<Barrier>>,
    /// Where the emptied buffer goes.
    pub(crate) home: Option<Arc<Recycler<T>>>,
    pub(crate) shared: Arc<Shared>,
}

impl<T> Sequenced for Morsel<T> {
    fn seq(&self) -> u64 {
        self.seq
    }
}

impl<T> Drop for Morsel<T> {
    fn drop(&mut self) {
        if !self.items.is_empty() {
            self.shared.lost.fetch_add(self.items.len() as u64, Ordering::Relaxed);
        }
        if let Some(home) = self.home.take() {
            home.put(std::mem::take(&mut self.items));
        }
    }
}

impl<T> Morsel<T> {
    /// The morsel that comes of this one: in its place, with all it carries but the permit.
    pub(crate) fn follow<U>(
        &self,
        items: Vec<U>,
        origin: Origin,
        permit: Permit,
        home: &Arc<Recycler<U>>,
    ) -> Morsel<U> {
        Morsel {
            seq: self.seq,
            items,
            origin,
            permit,
            born: self.born,
            source_items: self.source_items,
            barrier: self.barrier.clone(),
            home: Some(Arc::clone(home)),
            shared: Arc::clone(&self.shared),
        }
    }

    /// What one of its items weighs, about.
    pub(crate) fn item_bytes(&self) -> usize {
        self.permit.bytes().checked_div(self.items.len()).unwrap_or(0)
    }
}

/// Items as they are taken out of a morsel, one after another. What is left when this is dropped counts as lost, whether
/// the run was stopped or user code unwound.
pub(crate) struct Draining<'a, T> {
    items: std::vec::Drain<'a, T>,
    shared: &'a Shared,
}

impl<'a, T> Draining<'a, T> {
    pub(crate) fn new(items: &'a mut Vec<T>, shared: &'a Shared) -> Self {
        Draining { items: items.drain(..), shared }
    }

    /// The item that comes next.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.items.as_slice().first()
    }
}

impl<T> Iterator for Draining<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T> Drop for Draining<'_, T> {
    fn drop(&mut self) {
        if self.items.len() > 0 {
            self.shared.lost.fetch_add(self.items.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Where the items of a morsel came from: positions in the source, counted from zero.
///
/// While nothing was dropped or multiplied, the positions are consecutive and need no list.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub(crate) start: u64,
    offsets: Option<Vec<u32>>,
}

impl Origin {
    pub(crate) fn at(start: u64) -> Self {
        Origin { start, offsets: None }
    }

    /// The position of the item at `index`.
    pub(crate) fn position(&self, index: usize) -> u64 {
        match &self.offsets {
            None => self.start + index as u64,
            Some(offsets) => self.start + offsets.get(index).copied().map_or(index as u64, u64::from),
        }
    }

    /// The positions of `count` items from the one at `first` on.
    pub(crate) fn part(&self, first: usize, count: usize) -> Origin {
        match &self.offsets {
            None => Origin::at(self.start + first as u64),
            Some(offsets) => {
                let part = offsets.get(first..).unwrap_or_default();
                Origin { start: self.start, offsets: Some(part[..count.min(part.len())].to_vec()) }
            }
        }
    }

    /// Whether the positions are anything but consecutive.
    #[inline]
    pub(crate) fn is_scattered(&self) -> bool {
        self.offsets.is_some()
    }

    /// Records that the outputs from `before` to `len` come from one position. To be called for every input item, except
    /// that it may be left out for as long as exactly one has come of each and they came from consecutive positions.
    #[inline]
    pub(crate) fn follow(&mut self, before: usize, len: usize, position: impl FnOnce() -> u64) {
        let position = position();
        let consecutive = self.offsets.is_none() && len == before + 1 && self.start + before as u64 == position;
        if !consecutive {
            self.spill(before, len, position);
        }
    }

    #[cold]
    fn spill(&mut self, before: usize, len: usize, position: u64) {
        let offset = u32::try_from(position.saturating_sub(self.start)).unwrap_or(u32::MAX);
        let offsets = self.offsets.get_or_insert_with(|| (0..before as u32).collect());
        offsets.resize(len, offset);
    }
}

/// Emptied buffers, to be filled again: no allocation in the steady state.
#[derive(Debug)]
pub struct Recycler<T> {
    kept: Mutex<Kept<T>>,
    /// Bytes that it may keep.
    room: usize,
}

#[derive(Debug)]
struct Kept<T> {
    buffers: Vec<Vec<T>>,
    bytes: usize,
}

/// What a lane keeps without a budget, in bytes.
const ROOM: usize = 8 << 20;
/// What a lane keeps with one: this part of the budget, as what is kept is on top of it.
const ROOM_OF_BUDGET: usize = 64;

impl<T> Recycler<T> {
    pub(crate) fn new(budget: Option<usize>) -> Arc<Self> {
        let room = budget.map_or(ROOM, |budget| (budget / ROOM_OF_BUDGET).min(ROOM));
        Arc::new(Recycler { kept: Mutex::new(Kept { buffers: Vec::new(), bytes: 0 }), room })
    }

    /// An empty buffer; the one used last, which is likeliest to be in the cache.
    pub(crate) fn get(&self) -> Vec<T> {
        let mut kept = self.kept.lock();
        let buffer = kept.buffers.pop().unwrap_or_default();
        kept.bytes -= bytes_of(&buffer);
        buffer
    }

    pub(crate) fn put(&self, mut buffer: Vec<T>) {
        // Outside the lock: dropping what is left inside runs user code.
        buffer.clear();
        let bytes = bytes_of(&buffer);
        let mut kept = self.kept.lock();
        if bytes > 0 && kept.bytes + bytes <= self.room {
            kept.bytes += bytes;
            kept.buffers.push(buffer);
        }
    }
}

fn bytes_of<T>(buffer: &Vec<T>) -> usize {
    buffer.capacity().saturating_mul(size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_used_again_is_empty() {
        let recycler = Recycler::new(None);
        recycler.put(vec![1, 2, 3]);
        let again = recycler.get();
        assert!(again.is_empty() && again.capacity() >= 3, "{again:?}");
    }

    #[test]
    fn positions_stay_right_when_items_are_dropped_and_multiplied() {
        let mut origin = Origin::at(100);
        let outputs_of = [1, 1, 0, 3, 1];
        let mut len = 0;
        for (index, outputs) in outputs_of.iter().enumerate() {
            origin.follow(len, len + outputs, || 100 + index as u64);
            len += outputs;
        }
        let positions: Vec<u64> = (0..len).map(|index| origin.position(index)).collect();
        assert_eq!(positions, [100, 101, 103, 103, 103, 104]);
    }
}
