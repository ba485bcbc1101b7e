//! The output: a table or one JSON object a line.

use std::fmt::Display;
use std::io::{self, Write};

use crate::contenders::{EXCLUSIONS, SEQUENTIAL};
use crate::measure::Measurement;

/// One line of the output.
#[derive(Clone, Debug)]
pub struct Row {
    /// The times.
    pub measurement: Measurement,
    /// Peak memory of a run on its own, in MiB, if known.
    pub peak_rss_mib: Option<f64>,
}

/// Writes the rows of one case as JSON, one object a line.
///
/// # Errors
///
/// If writing fails.
pub fn write_json(out: &mut dyn Write, case: &dyn Display, rows: &[Row]) -> io::Result<()> {
    rows.iter().try_for_each(|row| write_json_row(out, case, row))
}

fn write_json_row(out: &mut dyn Write, case: &dyn Display, row: &Row) -> io::Result<()> {
    let Row { measurement, peak_rss_mib } = row;
    let peak = peak_rss_mib.map_or_else(|| "null".to_owned(), |mib| format!("{mib:.1}"));
    // No name has a character that JSON escapes.
    writeln!(
        out,
        "{{\"case\": \"{case}\", \"contender\": \"{}\", \"items\": {}, \"ns_per_item\": {:.2}, \
         \"median_s\": {:.6}, \"min_s\": {:.6}, \"max_s\": {:.6}, \"peak_rss_mib\": {peak}}}",
        measurement.contender,
        measurement.items,
        measurement.ns_per_item(),
        measurement.median(),
        measurement.min(),
        measurement.max(),
    )
}

/// Writes the rows of one case as a table; `rayon` is the name of the contender to compare with beside the sequential
/// one.
///
/// # Errors
///
/// If writing fails.
pub fn write_table(out: &mut dyn Write, case: &dyn Display, rows: &[Row], rayon: &str) -> io::Result<()> {
    writeln!(
        out,
        "{:<24}{:>11}{:>12}{:>10}{:>10}{:>10}{:>8}{:>12}{:>10}",
        case.to_string(),
        "items",
        "ns/item",
        "median s",
        "min s",
        "max s",
        "/ seq",
        format!("/ {rayon}"),
        "peak MiB"
    )?;
    rows.iter().try_for_each(|row| write_table_row(out, row, rows, rayon))?;
    writeln!(out)
}

fn write_table_row(out: &mut dyn Write, row: &Row, rows: &[Row], rayon: &str) -> io::Result<()> {
    let measurement = &row.measurement;
    writeln!(
        out,
        "  {:<22}{:>11}{:>12.1}{:>10.4}{:>10.4}{:>10.4}{:>8}{:>12}{:>10}",
        measurement.contender,
        measurement.items,
        measurement.ns_per_item(),
        measurement.median(),
        measurement.min(),
        measurement.max(),
        cell(ratio(measurement, SEQUENTIAL, rows), 2),
        cell(ratio(measurement, rayon, rows), 2),
        cell(row.peak_rss_mib, 1),
    )
}

/// What an item costs here, in items of the contender of that name.
fn ratio(measurement: &Measurement, name: &str, rows: &[Row]) -> Option<f64> {
    let base = rows.iter().find(|row| row.measurement.contender == name)?;
    Some(measurement.ns_per_item() / base.measurement.ns_per_item())
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// Writes what is left out and why.
///
/// # Errors
///
/// If writing fails.
pub fn write_exclusions(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Left out:")?;
    EXCLUSIONS.iter().try_for_each(|exclusion| writeln!(out, "  {exclusion}"))
}
