//! What is under way, for the watchdog to look at.
//!
//! Whoever runs user code over a morsel writes down stage, first position and time, and crosses it out when he is done: a
//! lock for each morsel, and only where there is a watchdog. The tick looks for entries that have grown old, and whether
//! anything at all has moved while something is in flight.
//!
//! What waits for a time that is known is not stuck: a morsel that is parked, a store in its backoff, a dead letter that is
//! held back until a checkpoint. Whoever begins such a wait says when it ends ([`Shared::expect`]), and nothing is said to
//! stand still before the limit has passed after that. The time of one who waits inside a stage counts from then on, too
//! ([`Watched::wait_until`]).

use super::shared::Shared;
use crate::report::{Kind, Report, StageCell};
use crate::watchdog::{Stall, Stalled};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Watch {
    limit: Duration,
    /// Until when somebody waits, as far as that is known; in nanoseconds since the run began.
    expected: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A place for each thread that is inside a stage; free ones are used again.
    entries: Vec<Option<Entry>>,
    /// What all stages had counted when that last changed, and when.
    counted: u64,
    moved_at: u64,
    /// That nothing moves was said.
    said: bool,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<StageCell>,
    position: u64,
    items: usize,
    since: u64,
    said: bool,
}

/// Crosses an entry out when it is dropped, by unwinding too.
pub(crate) struct Watched<'a> {
    watch: &'a Watch,
    place: usize,
}

impl Watched<'_> {
    /// The thread waits, and goes on then with so many items.
    pub(crate) fn wait_until(&self, time: u64, position: u64, items: usize) {
        if let Some(entry) = &mut self.watch.state.lock().entries[self.place] {
            (entry.position, entry.items, entry.since, entry.said) = (position, items, time, false);
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watch.state.lock().entries[self.place] = None;
    }
}

impl Watch {
    pub(crate) fn new(limit: Duration) -> Self {
        Watch { limit, expected: AtomicU64::new(0), state: Mutex::default() }
    }

    fn enter(&self, cell: &Arc<StageCell>, position: u64, items: usize, since: u64) -> Watched<'_> {
        let entry = Some(Entry { cell: Arc::clone(cell), position, items, since, said: false });
        let entries = &mut self.state.lock().entries;
        let place = match entries.iter().position(Option::is_none) {
            Some(place) => {
                entries[place] = entry;
                place
            }
            None => {
                entries.push(entry);
                entries.len() - 1
            }
        };
        Watched { watch: self, place }
    }

    /// What has taken too long and was not said yet.
    pub(crate) fn stalls(&self, shared: &Shared) -> Vec<Stall> {
        let now = shared.now();
        let mut found = self.state.lock().old_entries(now, self.limit);
        let in_flight = shared.gate.in_flight();
        // With nothing in flight, nothing need move.
        let expected = if in_flight > 0 { self.expected.load(Relaxed) } else { now };
        if self.state.lock().stands_still(counted(shared), expected, now, self.limit) && found.is_empty() {
            found.push((Stalled::Pipeline { morsels: in_flight }, self.limit));
        }
        found.into_iter().map(|(what, running)| Stall { what, running, report: Report::read(shared) }).collect()
    }
}

impl State {
    fn old_entries(&mut self, now: u64, limit: Duration) -> Vec<(Stalled, Duration)> {
        let mut old = Vec::new();
        for entry in self.entries.iter_mut().flatten().filter(|entry| !entry.said) {
            let running = Duration::from_nanos(now.saturating_sub(entry.since));
            if running >= limit {
                entry.said = true;
                let (stage, first, items) = (entry.cell.name.clone(), entry.position, entry.items);
                old.push((Stalled::Stage { stage, first, items }, running));
            }
        }
        old
    }

    /// Whether nothing has moved for too long, and that was not said. `expected` is a time before which nothing need.
    fn stands_still(&mut self, counted: u64, expected: u64, now: u64, limit: Duration) -> bool {
        if counted != self.counted || expected > self.moved_at {
            (self.counted, self.moved_at, self.said) = (counted, expected.max(now), false);
            return false;
        }
        let still = Duration::from_nanos(now.saturating_sub(self.moved_at)) >= limit;
        let news = still && !self.said;
        self.said |= still;
        news
    }
}

/// A number that changes whenever an item gets anywhere.
fn counted(shared: &Shared) -> u64 {
    let cells = shared.stages.get().map_or(&[][..], Vec::as_slice);
    cells.iter().fold(0, |sum: u64, cell| sum.wrapping_add(moves(cell)))
}

/// How many items have come into a stage and gone out of it. What comes to a source may be shed, and has got nowhere, so
/// there it is what has gone out, or failed. (Not what came less what was shed: these are two counters, and while a source
/// sheds as fast as it can their difference is never twice the same.)
fn moves(cell: &StageCell) -> u64 {
    let sum =
        |counters: &[&AtomicU64]| counters.iter().fold(0u64, |sum, counter| sum.wrapping_add(counter.load(Relaxed)));
    match cell.kind {
        Kind::Extract => sum(&[&cell.items_out, &cell.skipped, &cell.dead]),
        Kind::Transform | Kind::Store => sum(&[&cell.items_in, &cell.items_out]),
    }
}

impl Shared {
    /// Says that something waits until a time, if that is known.
    #[inline]
    pub(crate) fn expect(&self, until: impl Into<Option<u64>>) {
        if let (Some(watch), Some(until)) = (&self.watch, until.into()) {
            watch.expected.fetch_max(until, Relaxed);
        }
    }

    /// Writes down that a thread runs a stage over so many items; `None` if nobody watches.
    #[inline]
    pub(crate) fn watched(&self, cell: &Arc<StageCell>, position: u64, items: usize) -> Option<Watched<'_>> {
        self.watch.as_ref().map(|watch| watch.enter(cell, position, items, self.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Tally;

    #[test]
    fn what_is_shed_is_no_move() {
        let cell = StageCell::new("extract".into(), Kind::Extract, 0, 1);
        cell.add(&Tally { items_in: 3, items_out: 2, skipped: 1, ..Tally::default() });
        let before = moves(&cell);
        cell.add(&Tally { items_in: 5, shed: 5, ..Tally::default() });
        assert_eq!((before, moves(&cell)), (3, 3));
        let stage = StageCell::new("map".into(), Kind::Transform, 0, 1);
        stage.add(&Tally { items_in: 3, ..Tally::default() });
        assert_eq!(moves(&stage), 3);
    }

    #[test]
    #[cfg(not(loom))]
    fn a_pipeline_that_moves_is_not_stuck_however_long_it_takes() {
        let shared = Shared::small(crate::CancelToken::new());
        let cell = Arc::new(StageCell::new("map".into(), Kind::Transform, 0, 1));
        assert!(shared.stages.set(vec![Arc::clone(&cell)]).is_ok());
        let _in_flight = shared.gate.force();
        let watch = Watch::new(Duration::from_secs(1));
        for _ in 0..3 {
            shared.clock.advance(900_000_000);
            cell.add(&Tally { items_in: 1, ..Tally::default() });
            assert!(watch.stalls(&shared).is_empty());
        }
        shared.clock.advance(1_100_000_000);
        assert_eq!(watch.stalls(&shared).len(), 1);
    }

    #[test]
    fn the_limit_counts_from_the_last_move_or_the_end_of_a_wait() {
        let (mut state, limit) = (State::default(), Duration::from_nanos(10));
        assert!(!state.stands_still(1, 0, 100, limit), "something has moved");
        assert!(!state.stands_still(1, 0, 109, limit));
        assert!(!state.stands_still(1, 120, 110, limit), "it waits until 120");
        assert!(!state.stands_still(1, 120, 129, limit));
        assert!(state.stands_still(1, 120, 130, limit));
        assert!(!state.stands_still(1, 120, 131, limit), "that was said");
        assert!(!state.stands_still(1, 150, 140, limit));
        assert!(state.stands_still(1, 150, 160, limit), "it is another");
    }
}
