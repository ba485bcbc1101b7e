//! What a run counts while it goes on: one cell of relaxed counters a stage, written once a morsel and read at will.
//!
//! A worker counts in its own registers while it runs a morsel and adds the sums here when it is done, so the cost is a
//! handful of atomic additions for each 20 to 200 µs of work. A reader sees sums that are at most one morsel old.

use super::Kind;
use super::histogram::Histogram;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// How many workers a stage has, and has had.
#[derive(Debug)]
pub(crate) struct Workforce(Mutex<Force>);

#[derive(Debug, Clone, Copy)]
struct Force {
    now: usize,
    most: usize,
    /// Since when.
    since: u64,
    /// Their time before that, all added up.
    nanos: f64,
}

impl Workforce {
    pub(crate) fn new(workers: usize) -> Self {
        Workforce(Mutex::new(Force { now: workers, most: workers, since: 0, nanos: 0.0 }))
    }

    /// There are so many from now on.
    pub(crate) fn set(&self, workers: usize, now: u64) {
        let mut force = self.0.lock();
        force.nanos += now.saturating_sub(force.since) as f64 * force.now as f64;
        (force.now, force.most, force.since) = (workers, force.most.max(workers), now);
    }

    /// How many there are, the most there were, and the mean up to a time.
    pub(crate) fn read(&self, now: u64) -> (usize, usize, f64) {
        let force = *self.0.lock();
        let nanos = force.nanos + now.saturating_sub(force.since) as f64 * force.now as f64;
        let mean = if now > 0 && force.since > 0 { nanos / now as f64 } else { force.now as f64 };
        (force.now, force.most, mean)
    }
}

/// The counters of one stage. The counts are of items, the times are in nanoseconds and added up over workers.
#[derive(Debug)]
pub struct StageCell {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Stages fused into one segment share its number.
    pub(crate) segment: usize,
    /// How many may run at once.
    pub(crate) workers: Workforce,
    /// They are threads of its own, not of the pool.
    pub(crate) own_threads: bool,
    /// The stage leads its segment: the segment's times are written here.
    pub(crate) leads: bool,
    /// The stage is the last of its branch.
    pub(crate) ends: bool,
    pub(crate) items_in: AtomicU64,
    pub(crate) items_out: AtomicU64,
    pub(crate) expanded: AtomicU64,
    pub(crate) combined: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) shed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) fell_back: AtomicU64,
    pub(crate) busy_nanos: AtomicU64,
    pub(crate) blocked_nanos: AtomicU64,
    pub(crate) starved_nanos: AtomicU64,
    /// Time from extraction until an item left this stage.
    pub(crate) latency: Histogram,
}

impl StageCell {
    pub(crate) fn new(name: String, kind: Kind, segment: usize, workers: usize) -> Self {
        StageCell {
            name,
            kind,
            segment,
            workers: Workforce::new(workers),
            own_threads: false,
            leads: false,
            ends: false,
            items_in: AtomicU64::new(0),
            items_out: AtomicU64::new(0),
            expanded: AtomicU64::new(0),
            combined: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            fell_back: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            blocked_nanos: AtomicU64::new(0),
            starved_nanos: AtomicU64::new(0),
            latency: Histogram::new(),
        }
    }

    pub(crate) fn leading(mut self) -> Self {
        self.leads = true;
        self
    }

    pub(crate) fn on_own_threads(mut self, own_threads: bool) -> Self {
        self.own_threads = own_threads;
        self
    }

    pub(crate) fn ending(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Adds the sums of one morsel.
    pub(crate) fn add(&self, tally: &Tally) {
        let pairs = [
            (&self.items_in, tally.items_in),
            (&self.items_out, tally.items_out),
            (&self.expanded, tally.expanded),
            (&self.combined, tally.combined),
            (&self.filtered, tally.filtered),
            (&self.skipped, tally.skipped),
            (&self.dead, tally.dead),
            (&self.shed, tally.shed),
            (&self.lost, tally.lost),
            (&self.retried, tally.retried),
            (&self.fell_back, tally.fell_back),
        ];
        for (counter, count) in pairs {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }
}

/// The same counts as plain numbers: what one worker has seen of one morsel at one stage.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub(crate) items_in: u64,
    pub(crate) items_out: u64,
    pub(crate) expanded: u64,
    pub(crate) combined: u64,
    pub(crate) filtered: u64,
    pub(crate) skipped: u64,
    pub(crate) dead: u64,
    /// Of a source only.
    pub(crate) shed: u64,
    pub(crate) lost: u64,
    /// Attempts beyond the first of an item.
    pub(crate) retried: u64,
    /// Answered by a fallback.
    pub(crate) fell_back: u64,
    /// Put aside inside the stage, and taken up again.
    pub(crate) aside: u64,
    pub(crate) resumed: u64,
}

impl Tally {
    /// What leaves the stage when `items_in` entered it and nothing is left inside but what was put aside.
    pub(crate) fn derive_out(&mut self, items_in: u64) -> u64 {
        self.items_in = items_in;
        let gone = self.combined + self.filtered + self.skipped + self.dead + self.lost + self.aside;
        self.items_out = (items_in + self.expanded + self.resumed).saturating_sub(gone);
        self.items_out
    }

    /// Counts as lost what should have left the stage and did not.
    pub(crate) fn lose(&mut self, items: u64) {
        self.items_out -= items;
        self.lost += items;
    }
}

/// What the engine measures and counts for one morsel, by itself: for the benchmark that shows what metrics cost.
#[doc(hidden)]
#[derive(Debug)]
pub struct MorselBookkeeping {
    cells: Vec<StageCell>,
    started: Instant,
}

impl MorselBookkeeping {
    /// For a pipeline of a source, so many fused stages, and a store.
    #[must_use]
    pub fn new(fused: usize) -> Self {
        let cell = |at| StageCell::new(String::new(), Kind::Transform, at, 1);
        MorselBookkeeping { cells: (0..fused + 2).map(cell).collect(), started: Instant::now() }
    }

    /// All clock readings, counters and histograms of one morsel on its way from the source to the store.
    pub fn record(&self, items: u64) {
        let now = || self.started.elapsed().as_nanos() as u64;
        let (began, filled, ran, storing, stored) = (now(), now(), now(), now(), now());
        let tally = Tally { items_in: items, items_out: items, ..Tally::default() };
        self.cells.iter().for_each(|cell| cell.add(&tally));
        let times = [filled - began, ran - filled, stored - storing];
        for (cell, time) in self.cells.iter().zip(times) {
            cell.busy_nanos.fetch_add(time, Relaxed);
        }
        for cell in self.cells.iter().rev().take(2) {
            cell.latency.record(stored - began, items);
        }
    }
}
