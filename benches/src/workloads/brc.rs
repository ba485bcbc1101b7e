//! The One Billion Row Challenge.
//!
//! `sequential`, `threads` and `rayon` have the same loop as gristmill, so they show what the pipeline costs.
//! `rayon-plain` is what one writes in ten minutes: lines, a parsed float, a fast hash map.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use gristmill::{Chunks, Pipeline};
use gristmill_brc::Tally;
use memmap2::Mmap;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::data::brc::{CITIES, Measurements};
use crate::data::make_missing;
use crate::data::pieces::pieces;
use crate::python::Program;
use crate::workloads::{BUDGET, CHUNK, Workload};

/// `compare -- brc`.
pub const BRC: Workload = Workload { name: "brc", contests };

/// What polars and duckdb run.
const PYTHON: Program = Program {
    code: include_str!("../../python/brc.py"),
    options: &[],
    answer: |printed| Ok(printed.trim_end().to_owned()),
};

/// Bytes of a piece of those that cut by hand: large enough that a hand-over costs nothing, small enough that all finish together.
const TARGET: usize = 2 << 20;

/// Few stations with short names, and many with names of up to 100 bytes.
///
/// # Errors
///
/// If an input cannot be made.
fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let rows = |full| if setup.quick { 100_000 } else { full };
    let few = Measurements { rows: rows(50_000_000), stations: CITIES, seed: 1 };
    let many = Measurements { rows: rows(10_000_000), stations: 10_000, seed: 1 };
    Ok(vec![contest("413-stations brc", setup, few)?, contest("10k-stations brc", setup, many)?])
}

fn contest(case: &str, setup: &Setup, measurements: Measurements) -> Result<Contest, Failure> {
    let Measurements { rows, stations, seed } = measurements;
    let path = setup.data.join(format!("brc-{rows}-{stations}-{seed}.txt"));
    make_missing(&path, |out| measurements.write(out))?;
    let entrant = |name, run: fn(&Path) -> Result<String, Failure>| {
        let path = PathBuf::clone(&path);
        Entrant::new(name, move || run(&path))
    };
    let mut entrants = vec![
        entrant("gristmill", gristmill),
        entrant("gristmill-read", gristmill_read),
        entrant("sequential", sequential),
        entrant("threads", threads),
        entrant("rayon", rayon),
        entrant("rayon-plain", rayon_plain),
    ];
    entrants.extend(PYTHON.entrants(&path));
    Ok(Contest { case: case.to_owned(), items: rows, entrants })
}

/// A map of the file.
fn map(path: &Path) -> Result<Mmap, Failure> {
    // SAFETY: inputs are changed by nobody while a contest is held; a new one replaces the file as a whole.
    Ok(unsafe { Mmap::map(&File::open(path)?)? })
}

/// A pipeline over a map.
///
/// # Errors
///
/// If the file cannot be read or has a bad row.
pub fn gristmill(path: &Path) -> Result<String, Failure> {
    // SAFETY: as in `map`.
    run(unsafe { Chunks::map(path) }?)
}

/// A pipeline over a file that is read.
fn gristmill_read(path: &Path) -> Result<String, Failure> {
    run(Chunks::open(path)?.target(CHUNK))
}

fn run(chunks: Chunks) -> Result<String, Failure> {
    let run = Pipeline::extract(chunks.lines().without_lines()).memory_budget(BUDGET);
    answer(run.fold(Tally::new, Tally::add, Tally::merge).run()?.output)
}

/// One thread.
///
/// # Errors
///
/// If the file cannot be read or has a bad row.
pub fn sequential(path: &Path) -> Result<String, Failure> {
    let file = map(path)?;
    let mut tally = Tally::new();
    tally.add_lines(&file, 0);
    answer(tally)
}

/// Threads that take pieces from a channel.
///
/// # Errors
///
/// If the file cannot be read or has a bad row.
pub fn threads(path: &Path) -> Result<String, Failure> {
    let file = map(path)?;
    let workers = std::thread::available_parallelism()?.get();
    let (sender, receiver) = crossbeam_channel::bounded(2 * workers);
    let merged = std::thread::scope(|scope| {
        let tallies = (0..workers).map(|_| receiver.clone()).map(|receiver| {
            scope.spawn(move || {
                let mut tally = Tally::new();
                receiver.iter().for_each(|(offset, lines)| tally.add_lines(lines, offset));
                tally
            })
        });
        let tallies: Vec<_> = tallies.collect();
        pieces(&file, TARGET).try_for_each(|piece| sender.send(piece)).map_err(|_| "all threads have ended")?;
        drop(sender);
        let merged = tallies.into_iter().filter_map(|tally| tally.join().ok()).reduce(merged);
        Ok::<_, Failure>(merged.unwrap_or_default())
    });
    answer(merged?)
}

/// Rayon.
///
/// # Errors
///
/// If the file cannot be read or has a bad row.
pub fn rayon(path: &Path) -> Result<String, Failure> {
    let file = map(path)?;
    let pieces: Vec<_> = pieces(&file, TARGET).collect();
    let add = |mut tally: Tally, (offset, lines): &(u64, &[u8])| {
        tally.add_lines(lines, *offset);
        tally
    };
    // A table for each eighth of the work of a thread, not for each piece.
    let least = pieces.len() / (8 * rayon::current_num_threads());
    answer(pieces.par_iter().with_min_len(least).fold(Tally::new, add).reduce(Tally::new, merged))
}

fn merged(mut left: Tally, right: Tally) -> Tally {
    left.merge(right);
    left
}

fn answer(tally: Tally) -> Result<String, Failure> {
    Ok(tally.finish()?.to_string())
}

/// Min, max, sum and count.
type Plain = (f64, f64, f64, u64);

/// Rayon without tricks.
fn rayon_plain(path: &Path) -> Result<String, Failure> {
    let file = map(path)?;
    let pieces: Vec<_> = pieces(&file, TARGET).collect();
    let maps = pieces.par_iter().try_fold(FxHashMap::default, |stations, (_, lines)| plain(stations, lines));
    let stations: FxHashMap<&str, Plain> = maps.try_reduce(FxHashMap::default, |mut left, right| {
        right.into_iter().for_each(|(name, stats)| add_plain(&mut left, name, stats));
        Ok(left)
    })?;
    let sorted: BTreeMap<_, _> = stations.into_iter().collect();
    let shown = sorted.iter().map(|(name, (min, max, sum, count))| {
        // Sums of tenths are exact as integers.
        let mean = ((sum * 10.0).round() / *count as f64 + 0.5).floor() / 10.0;
        format!("{name}={min:.1}/{mean:.1}/{max:.1}")
    });
    Ok(format!("{{{}}}", shown.collect::<Vec<_>>().join(", ")).replace("-0.0/", "0.0/"))
}

fn plain<'a>(mut stations: FxHashMap<&'a str, Plain>, text: &'a [u8]) -> Result<FxHashMap<&'a str, Plain>, Failure> {
    for line in std::str::from_utf8(text)?.lines() {
        let (name, number) = line.split_once(';').ok_or("a line without `;`")?;
        let degrees: f64 = number.parse()?;
        add_plain(&mut stations, name, (degrees, degrees, degrees, 1));
    }
    Ok(stations)
}

fn add_plain<'a>(stations: &mut FxHashMap<&'a str, Plain>, name: &'a str, (min, max, sum, count): Plain) {
    let own = stations.entry(name).or_insert((f64::INFINITY, f64::NEG_INFINITY, 0.0, 0));
    *own = (own.0.min(min), own.1.max(max), own.2 + sum, own.3 + count);
}
