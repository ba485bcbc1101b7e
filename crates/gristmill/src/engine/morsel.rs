//! A run of consecutive items that moves as one.

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

    /// The positions from the item at `first` on.
    pub(crate) fn tail(&self, first: usize) -> Origin {
        match &self.offsets {
            None => Origin::at(self.start + first as u64),
            Some(offsets) => {
                Origin { start: self.start, offsets: Some(offsets.get(first..).unwrap_or_default().to_vec()) }
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
    buffers: Mutex<Vec<Vec<T>>>,
}

/// More than these are freed; a window of buffers is in use elsewhere.
const KEPT_BUFFERS: usize = 64;
/// A buffer that once grew beyond this is freed rather than kept.
const KEPT_BYTES: usize = 1 << 20;

impl<T> Recycler<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Recycler { buffers: Mutex::new(Vec::new()) })
    }

    /// An empty buffer; the one used last, which is likeliest to be in the cache.
    pub(crate) fn get(&self) -> Vec<T> {
        self.buffers.lock().pop().unwrap_or_default()
    }

    pub(crate) fn put(&self, mut buffer: Vec<T>) {
        // Outside the lock: dropping what is left inside runs user code.
        buffer.clear();
        if buffer.capacity() == 0 || buffer.capacity() * size_of::<T>() > KEPT_BYTES {
            return;
        }
        let mut buffers = self.buffers.lock();
        if buffers.len() < KEPT_BUFFERS {
            buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
