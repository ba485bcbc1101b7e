//! The One Billion Row Challenge: min, mean and max temperature per weather station.
//!
//! ```text
//! cargo run --release -p gristmill-examples --example brc
//! cargo run --release -p gristmill-examples --example brc -- --mmap measurements.txt
//! ```
//!
//! Without arguments it makes a small file of known contents, and checks the result. With a file it prints what the
//! challenge wants. Each worker has a table of its own; they are merged at the end.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::{Context, ensure};
use gristmill::{Bytes, Monitor, Pipeline, Report};
use gristmill_brc::Tally;
use gristmill_examples::bar;
use gristmill_examples::program::print;
use gristmill_examples::text::{Arguments, line_of};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Prints min, mean and max temperature per weather station, as the One Billion Row Challenge wants it.

Usage: brc [OPTIONS] [PATH]

Arguments:
  [PATH]  a file of lines `station;temperature`; without it, a small one is made and the result checked

Options:
  --mmap   map the file into memory, which is faster; nobody may change or truncate it meanwhile
  --help   print this
";

/// Bytes of a chunk.
const TARGET: Bytes = Bytes::kib(512);
/// What of a file that is read may be in flight: as much as fits in a cache.
const BUDGET: Bytes = Bytes::mib(16);

fn main() -> ExitCode {
    gristmill_examples::text::main(HELP, |arguments: Arguments<()>| match &arguments.path {
        Some(path) => {
            let report = count(path, &arguments)?;
            show(path, report).map(drop)
        }
        None => check(&arguments),
    })
}

fn count(path: &Path, arguments: &Arguments<()>) -> anyhow::Result<Report<Tally>> {
    let monitor = Monitor::new();
    let len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let expected = len.div_ceil(TARGET.get() as u64);
    let run = Pipeline::extract(arguments.chunks(path)?.target(TARGET).lines().without_lines()).monitor(&monitor);
    let run = run.memory_budget(BUDGET).fold(Tally::new, Tally::add, Tally::merge).named("tally");
    bar::watch(&monitor, Some(expected), || run.run())
        .with_context(|| format!("`{}` could not be counted", path.display()))
}

/// Prints the result and the report, and returns the result.
fn show(path: &Path, report: Report<Tally>) -> anyhow::Result<String> {
    let (tally, report) = report.into_parts();
    let summary = tally.finish().map_err(|bad| {
        let line = line_of(path, bad.offset()).map_or_else(|_| "?".to_owned(), |line| line.to_string());
        anyhow::Error::new(bad).context(format!("`{}` has a bad row in line {line}", path.display()))
    })?;
    let (rows, stations) = (summary.rows(), summary.len());
    let per_second = rows as f64 / report.elapsed.as_secs_f64().max(1e-9) / 1e6;
    print(&format!(
        "{summary}\n\n{rows} rows, {stations} stations, {per_second:.1} million rows a second\n\n{report}\n"
    ))?;
    Ok(summary.to_string())
}

/// Makes a file whose result is known.
fn check(arguments: &Arguments<()>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary directory")?;
    let path = folder.path().join("measurements.txt");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for row in 0..1_000_000u32 {
        // From -50.0 to 49.9 in each city, all equally often: the mean of that is -0.05, which is rounded up.
        let (city, tenths) = (["Bern", "Oslo", "Ürümqi", "東京"][row as usize % 4], (row / 4 % 1_000) as i32 - 500);
        let sign = if tenths < 0 { "-" } else { "" };
        writeln!(file, "{city};{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)?;
    }
    file.into_inner().context("the file could not be written")?;
    let result = show(&path, count(&path, arguments)?)?;
    let known = "{Bern=-50.0/0.0/49.9, Oslo=-50.0/0.0/49.9, Ürümqi=-50.0/0.0/49.9, 東京=-50.0/0.0/49.9}";
    ensure!(result == known, "the result is wrong: it should be {known}");
    Ok(())
}
