//! What a run did, where its time went, and what holds it back.

mod histogram;
mod metrics;
mod table;
mod verdict;

pub use metrics::MorselBookkeeping;
pub(crate) use metrics::{StageCell, Tally, Workforce};
pub use verdict::Verdict;

use crate::chunk::MappedBytes;
use crate::engine::Shared;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

/// What a stage is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Yields items.
    Extract,
    /// Makes other items of them.
    Transform,
    /// Keeps them: the end of a branch.
    Store,
}

/// What a run did: one line a stage, totals, and a verdict.
///
/// `Display` prints it as a table. The same can be had [while the run goes on](crate::Monitor), or from the
/// [error](crate::Error::report) of a run that failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report<O = ()> {
    /// What the end of the pipeline made: what was collected, folded or counted; `()` for a store.
    pub output: O,
    /// The stages from the source to the end; a side branch stands before what follows its fork.
    pub stages: Vec<StageReport>,
    /// How long the run took, or has taken so far.
    pub elapsed: Duration,
    /// The most bytes that were in flight at one time. What the pipeline was not told to [weigh](crate::Weight) counts
    /// its size only.
    pub peak_bytes: usize,
    /// Bytes in flight now: zero at the end of a run.
    pub bytes_in_flight: usize,
    /// The most [mapped bytes](crate::chunk::MappedBytes) that chunks held, added up over the sources.
    pub peak_mapped_bytes: usize,
    /// Items dropped between two stages when the run was aborted.
    pub dropped: u64,
    /// Threads of the pool that CPU stages shared.
    pub pool_threads: usize,
    /// The first thousand items that failed under [`OnError::collect`](crate::OnError::collect), in the order of their
    /// positions, though workers may have come to them in another.
    pub failures: Vec<Failure>,
    /// The run was drained before its source ran dry.
    pub drained: bool,
    /// How many items of the source earlier runs had dealt with, if this one went on from a
    /// [checkpoint](crate::Pipeline::checkpoint). They are not in the accounts.
    pub resumed_at: Option<u64>,
}

/// What one stage did. Counts are of items; times are added up over its workers.
///
/// `items_in + expanded = items_out + combined + filtered + skipped + dead + shed + lost` once the run is over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StageReport {
    /// The name it was given, or that of the method that made it.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Stages with the same number were fused into one loop; their times are on the first of them.
    pub segment: usize,
    /// Whether this line carries the times of its segment.
    pub leads_segment: bool,
    /// Whether it is the end of a branch.
    pub ends_branch: bool,
    /// How many workers or threads it may keep busy at once; if that was changed, in the end.
    pub workers: usize,
    /// The most that it could keep busy at any time.
    pub most_workers: usize,
    /// How many there were in the mean over the run.
    pub mean_workers: f64,
    /// Whether they are threads of its own, not of the pool.
    pub own_threads: bool,
    /// Items that entered; for an extract stage, that the source yielded, failures included.
    pub items_in: u64,
    /// Items that left; at the end of a branch, that were stored.
    pub items_out: u64,
    /// Items that came on top: all results of a `flat_map` but the first of each, and copies for branches.
    pub expanded: u64,
    /// Items that went up in a batch with others: all but one of each batch.
    pub combined: u64,
    /// Items that a filter left out, or that were expanded into nothing.
    pub filtered: u64,
    /// Items that failed and were left out by policy.
    pub skipped: u64,
    /// Items that failed and became dead letters.
    pub dead: u64,
    /// Items that a source [let go of](crate::Shed), as there was no room for them.
    pub shed: u64,
    /// Items that were inside when the run was aborted, and the one that made it abort.
    pub lost: u64,
    /// Attempts beyond the first of an item.
    pub retried: u64,
    /// Items that a [fallback](crate::Pipeline::breaker_or) answered for, as the breaker was open.
    pub fell_back: u64,
    /// Time in user code.
    pub busy: Duration,
    /// Time a source was refused, as the window or the budget was used up: what follows holds it back.
    pub blocked: Duration,
    /// Time its threads waited for items; for a CPU stage, the time its workers did something else or slept.
    pub starved: Duration,
    /// Time from extraction until an item left this stage: half, 95 % and 99 % of the items took less.
    pub latency: [Duration; 3],
}

impl StageReport {
    /// Calls of the stage's function: one for each item that entered, and its retries.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.items_in + self.retried
    }

    /// Items that failed for good, and, if the run was aborted, what was lost inside the stage.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.skipped + self.dead + self.lost
    }

    /// Items that entered a second.
    #[must_use]
    pub fn throughput(&self, elapsed: Duration) -> f64 {
        rate(self.items_in, elapsed)
    }

    /// Share of its workers' time that it was busy; 1.0 is all of it.
    #[must_use]
    pub fn utilization(&self, elapsed: Duration) -> f64 {
        let whole = elapsed.as_secs_f64() * self.mean_workers.max(1.0);
        if whole > 0.0 { self.busy.as_secs_f64() / whole } else { 0.0 }
    }
}

/// Where all items ended. The accounts balance:
/// `extracted + expanded = stored + combined + filtered + skipped + dead + shed + lost`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// What the sources yielded, failures included.
    pub extracted: u64,
    /// What came on top of that.
    pub expanded: u64,
    /// What reached the end of a branch and stayed there.
    pub stored: u64,
    /// What went up in a batch with others.
    pub combined: u64,
    /// What was filtered out.
    pub filtered: u64,
    /// What failed and was left out.
    pub skipped: u64,
    /// What failed and became a dead letter.
    pub dead: u64,
    /// What a source [let go of](crate::Shed), as there was no room for it; stored elsewhere or not.
    pub shed: u64,
    /// What was in flight when the run was aborted; zero otherwise.
    pub lost: u64,
    /// Attempts beyond the first of an item; not part of the balance.
    pub retried: u64,
    /// What a [fallback](crate::Pipeline::breaker_or) answered for; not part of the balance.
    pub fell_back: u64,
}

impl Totals {
    /// Whether every item ended exactly once. Holds at the end of every run; in a live snapshot items are under way.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.extracted + self.expanded
            == self.stored + self.combined + self.filtered + self.skipped + self.dead + self.shed + self.lost
    }
}

/// An item that failed under [`OnError::collect`](crate::OnError::collect).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stage that it failed in.
    pub stage: String,
    /// Where in the source it came from, counted from zero.
    pub position: u64,
    /// How often the stage tried.
    pub attempts: u32,
    /// What went wrong, with its causes.
    pub message: String,
}

impl Report {
    /// Reads the counters of a run, at its end or while it goes on.
    pub(crate) fn read(shared: &Shared) -> Report {
        let took = shared.took_nanos.load(Acquire);
        let elapsed = Duration::from_nanos(if took > 0 { took } else { shared.now() });
        let (bytes_in_flight, peak_bytes) = shared.gate.bytes();
        let cells = shared.stages.get().map_or(&[][..], Vec::as_slice);
        Report {
            output: (),
            stages: cells.iter().map(|cell| read_stage(cell, elapsed)).collect(),
            elapsed,
            peak_bytes,
            bytes_in_flight,
            peak_mapped_bytes: shared.mapped.lock().iter().map(MappedBytes::peak).sum(),
            dropped: shared.lost.load(Relaxed),
            pool_threads: shared.crew.max(),
            failures: shared.failures(),
            drained: shared.was_drained(),
            resumed_at: shared.resumed_at.get().copied(),
        }
    }
}

impl<O> Report<O> {
    /// What the end of the pipeline made, and the report without it.
    pub fn into_parts(self) -> (O, Report) {
        let (report, output) = self.exchange(());
        (output, report)
    }

    /// The same report with another output.
    pub(crate) fn exchange<P>(self, output: P) -> (Report<P>, O) {
        let report = Report {
            output,
            stages: self.stages,
            elapsed: self.elapsed,
            peak_bytes: self.peak_bytes,
            bytes_in_flight: self.bytes_in_flight,
            peak_mapped_bytes: self.peak_mapped_bytes,
            dropped: self.dropped,
            pool_threads: self.pool_threads,
            failures: self.failures,
            drained: self.drained,
            resumed_at: self.resumed_at,
        };
        (report, self.output)
    }

    /// Just what the end of the pipeline made.
    pub fn into_output(self) -> O {
        self.output
    }

    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&StageReport> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// Where all items ended.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { lost: self.dropped, ..Totals::default() };
        for stage in &self.stages {
            totals.extracted += if stage.kind == Kind::Extract { stage.items_in } else { 0 };
            totals.stored += if stage.ends_branch { stage.items_out } else { 0 };
            totals.expanded += stage.expanded;
            totals.combined += stage.combined;
            totals.filtered += stage.filtered;
            totals.skipped += stage.skipped;
            totals.dead += stage.dead;
            totals.shed += stage.shed;
            totals.lost += stage.lost;
            totals.retried += stage.retried;
            totals.fell_back += stage.fell_back;
        }
        totals
    }

    /// Items a second, at the stage that most items entered: rows, say, where the source yields chunks and the store takes
    /// batches. What was shed does not count.
    pub fn throughput(&self) -> f64 {
        let most = self.stages.iter().map(|stage| stage.items_in.saturating_sub(stage.shed)).max().unwrap_or(0);
        rate(most, self.elapsed)
    }

    /// What holds the pipeline back, and what would help.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.stages, self.elapsed, self.pool_threads)
    }
}

fn rate(items: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { items as f64 / seconds } else { 0.0 }
}

fn read_stage(cell: &StageCell, elapsed: Duration) -> StageReport {
    let busy = Duration::from_nanos(cell.busy_nanos.load(Relaxed));
    let blocked = Duration::from_nanos(cell.blocked_nanos.load(Relaxed));
    let measured = Duration::from_nanos(cell.starved_nanos.load(Relaxed));
    let (workers, most_workers, mean_workers) = cell.workers.read(elapsed.as_nanos() as u64);
    let whole = elapsed.mul_f64(mean_workers);
    let idle = whole.saturating_sub(busy + blocked);
    StageReport {
        name: cell.name.clone(),
        kind: cell.kind,
        segment: cell.segment,
        leads_segment: cell.leads,
        ends_branch: cell.ends,
        workers,
        most_workers,
        mean_workers,
        own_threads: cell.own_threads,
        items_in: cell.items_in.load(Relaxed),
        items_out: cell.items_out.load(Relaxed),
        expanded: cell.expanded.load(Relaxed),
        combined: cell.combined.load(Relaxed),
        filtered: cell.filtered.load(Relaxed),
        skipped: cell.skipped.load(Relaxed),
        dead: cell.dead.load(Relaxed),
        shed: cell.shed.load(Relaxed),
        lost: cell.lost.load(Relaxed),
        retried: cell.retried.load(Relaxed),
        fell_back: cell.fell_back.load(Relaxed),
        busy,
        blocked,
        // Stages with threads of their own measure how long they waited; the others were idle for the rest of the run.
        starved: if measured > Duration::ZERO || !cell.leads { measured } else { idle },
        latency: cell.latency.quantiles([0.5, 0.95, 0.99]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn accounts_in_which_any_one_number_is_off_do_not_balance() {
        let sound = Totals {
            extracted: 100,
            expanded: 27,
            stored: 64,
            combined: 32,
            filtered: 16,
            skipped: 8,
            dead: 4,
            shed: 2,
            lost: 1,
            retried: 5,
            fell_back: 3,
        };
        assert!(sound.balance() && Totals::default().balance());
        let spoil: [fn(&mut Totals); 9] = [
            |totals| totals.extracted += 1,
            |totals| totals.expanded += 1,
            |totals| totals.stored += 1,
            |totals| totals.combined += 1,
            |totals| totals.filtered += 1,
            |totals| totals.skipped += 1,
            |totals| totals.dead += 1,
            |totals| totals.shed += 1,
            |totals| totals.lost += 1,
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            let mut totals = sound;
            spoil(&mut totals);
            assert!(!totals.balance(), "the {number}th");
        }
    }

    #[test]
    fn a_stage_is_told_by_what_it_counted() {
        let cell = StageCell::new("map".into(), Kind::Transform, 0, 2).leading();
        cell.add(&Tally { items_in: 100, skipped: 4, dead: 2, lost: 1, retried: 30, ..Tally::default() });
        cell.busy_nanos.store(1_000_000_000, Relaxed);
        let stage = read_stage(&cell, 2 * SECOND);
        assert_eq!((stage.attempts(), stage.failed()), (130, 7));
        assert_eq!([2 * SECOND, Duration::ZERO].map(|elapsed| stage.throughput(elapsed)), [50.0, 0.0]);
        assert_eq!([2 * SECOND, Duration::ZERO].map(|elapsed| stage.utilization(elapsed)), [0.25, 0.0]);
    }

    #[test]
    fn who_did_not_measure_its_waits_was_idle_for_the_rest() {
        let cell = StageCell::new("map".into(), Kind::Transform, 0, 2);
        cell.busy_nanos.store(1_000_000_000, Relaxed);
        cell.blocked_nanos.store(500_000_000, Relaxed);
        assert_eq!(read_stage(&cell, SECOND).starved, Duration::ZERO, "it is fused with another");
        let cell = cell.leading();
        assert_eq!(read_stage(&cell, SECOND).starved, SECOND / 2);
        cell.starved_nanos.store(100_000_000, Relaxed);
        assert_eq!(read_stage(&cell, SECOND).starved, SECOND / 10);
    }
}
