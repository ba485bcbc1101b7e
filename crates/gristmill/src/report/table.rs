//! The report as a person reads it.

use super::{Kind, Report, StageReport, Totals};
use crate::weight::Bytes;
use std::fmt;
use std::time::Duration;

const HEADINGS: [&str; 14] = [
    "stage", "in", "out", "filtered", "skipped", "dead", "shed", "workers", "busy", "blocked", "starved", "p50", "p95",
    "p99",
];
/// The column that is there only if something was shed.
const SHED: usize = 6;

impl<O> fmt::Display for Report<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sheds = self.stages.iter().any(|stage| stage.shed > 0);
        let shown = |row: [String; 14]| -> Vec<String> {
            row.into_iter().enumerate().filter(|(at, _)| sheds || *at != SHED).map(|(_, cell)| cell).collect()
        };
        let headings = shown(HEADINGS.map(String::from));
        let rows: Vec<Vec<String>> = self.stages.iter().map(|stage| shown(row(stage))).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        write_row(f, &headings, &widths)?;
        for row in &rows {
            write_row(f, row, &widths)?;
        }
        writeln!(f, "{}", Sentence(&self.totals()))?;
        writeln!(
            f,
            "{}, {} items/s, peak {} in flight{}, {} pool threads",
            short(self.elapsed),
            group(self.throughput() as u64),
            Bytes::new(self.peak_bytes),
            Mapped(self.peak_mapped_bytes),
            self.pool_threads
        )?;
        if self.drained {
            writeln!(f, "drained before the source ran dry")?;
        }
        if let Some(position) = self.resumed_at {
            writeln!(f, "resumed after {} items of the source", group(position))?;
        }
        write!(f, "verdict: {}", self.verdict())
    }
}

/// What was mapped, if anything was.
struct Mapped(usize);

impl fmt::Display for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " and {} mapped", Bytes::new(self.0)) } else { Ok(()) }
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
    write!(f, "{:<width$}", cells[0], width = widths[0])?;
    for (cell, &width) in cells.iter().zip(widths).skip(1) {
        write!(f, "  {cell:>width$}")?;
    }
    writeln!(f)
}

fn row(stage: &StageReport) -> [String; 14] {
    let time = |duration: Duration| if stage.leads_segment { short(duration) } else { String::new() };
    let latency = |quantile: usize| match stage.latency[quantile] {
        Duration::ZERO => String::new(),
        duration => short(duration),
    };
    [
        if stage.leads_segment { stage.name.clone() } else { format!("└ {}", stage.name) },
        group(stage.items_in),
        group(stage.items_out),
        group(stage.filtered),
        group(stage.skipped),
        group(stage.dead),
        if stage.kind == Kind::Extract { group(stage.shed) } else { String::new() },
        if stage.leads_segment { workers(stage) } else { String::new() },
        time(stage.busy),
        time(stage.blocked),
        time(stage.starved),
        latency(0),
        latency(1),
        latency(2),
    ]
}

/// How many workers there are, and the most there were if that is another number.
fn workers(stage: &StageReport) -> String {
    let StageReport { workers, most_workers, .. } = stage;
    if workers == most_workers { workers.to_string() } else { format!("{workers} of {most_workers}") }
}

/// The accounts in one sentence, without what is zero.
struct Sentence<'a>(&'a Totals);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { extracted, expanded, stored, combined, filtered, skipped, dead, shed, lost, retried, fell_back } =
            *self.0;
        let sum = |parts: &[(u64, &str)]| {
            let parts = parts.iter().enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
            parts.map(|(_, (count, word))| format!("{} {word}", group(*count))).collect::<Vec<_>>().join(" + ")
        };
        let left = sum(&[(extracted, "extracted"), (expanded, "expanded")]);
        let right = sum(&[
            (stored, "stored"),
            (combined, "combined"),
            (filtered, "filtered"),
            (skipped, "skipped"),
            (dead, "dead"),
            (shed, "shed"),
            (lost, "lost"),
        ]);
        write!(f, "{left} {} {right}", if self.0.balance() { "=" } else { "→" })?;
        if retried > 0 {
            write!(f, ", after {} retries", group(retried))?;
        }
        if fell_back > 0 { write!(f, ", {} by a fallback", group(fell_back)) } else { Ok(()) }
    }
}

/// A number with its thousands apart.
fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration in three digits and a unit.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_readable() {
        assert_eq!([0, 999, 1_000, 336_776].map(group), ["0", "999", "1,000", "336,776"]);
        let durations = [0.0, 1.5e-8, 2.5e-6, 2.34e-3, 45.6, 150.0].map(Duration::from_secs_f64);
        assert_eq!(durations.map(short), ["0.00 ns", "15.0 ns", "2.50 µs", "2.34 ms", "45.6 s", "150 s"]);
        let units = [1, 1_000, 1_000_000, 1_000_000_000].map(Duration::from_nanos);
        assert_eq!(units.map(short), ["1.00 ns", "1.00 µs", "1.00 ms", "1.00 s"]);
    }
}
