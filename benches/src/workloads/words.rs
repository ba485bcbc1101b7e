//! Counting words.
//!
//! `sequential`, `threads` and `rayon` are what one writes: a fast hash map, strings for keys where letters are lowered.
//! `rayon-counter` has gristmill's counter, and shows what the pipeline costs.

use std::fs::File;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use gristmill::{Chunks, Pipeline};
use gristmill_word_count::{Case, Counter, Counts, Spaces, Words};
use memmap2::Mmap;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::data::make_missing;
use crate::data::pieces::pieces;
use crate::data::words::{Text, VOCABULARY};
use crate::python::Program;
use crate::workloads::{BUDGET, CHUNK, Workload};

/// `compare -- words`.
pub const WORDS: Workload = Workload { name: "words", contests };

/// Bytes of a piece of those that cut by hand: large enough that a hand-over costs nothing, small enough that all finish together.
const TARGET: usize = 1 << 20;
/// The most frequent words that an answer names.
const TOP: usize = 20;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Bytes between white space of ASCII.
    Ascii,
    /// Lowered characters between white space of Unicode.
    Unicode,
}

/// Bytes as they are, and lowered characters.
///
/// # Errors
///
/// If the input cannot be made.
fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let (mib, vocabulary) = if setup.quick { (2, 10_000) } else { (256, VOCABULARY) };
    let text = Text { bytes: mib << 20, vocabulary, seed: 1 };
    let path = setup.data.join(format!("words-{mib}-{vocabulary}-1.txt"));
    make_missing(&path, |out| text.write(out))?;
    let items = gristmill(&path, Mode::Ascii)?.total();
    let contest = |name: &str, mode| Contest { case: format!("{name} words"), items, entrants: entrants(&path, mode) };
    Ok(vec![contest("ascii", Mode::Ascii), contest("unicode", Mode::Unicode)])
}

fn entrants(path: &Path, mode: Mode) -> Vec<Entrant> {
    let entrant = |name, run: fn(&Path, Mode) -> Result<String, Failure>| {
        let path = PathBuf::from(path);
        Entrant::new(name, move || run(&path, mode))
    };
    let mut entrants = vec![
        entrant("gristmill", |path, mode| Ok(answer(&gristmill(path, mode)?))),
        entrant("gristmill-read", |path, mode| Ok(answer(&gristmill_read(path, mode)?))),
        entrant("sequential", sequential),
        entrant("threads", threads),
        entrant("rayon", rayon),
        entrant("rayon-counter", |path, mode| Ok(answer(&rayon_counter(path, mode)?))),
    ];
    entrants.extend(python(mode).entrants(path));
    entrants
}

/// What polars and duckdb run.
fn python(mode: Mode) -> Program {
    let options: &[&str] = match mode {
        Mode::Ascii => &["kept"],
        Mode::Unicode => &["lowered"],
    };
    Program { code: include_str!("../../python/words.py"), options, answer: printed_answer }
}

/// The answer for a list of words with their counts.
fn printed_answer(list: &str) -> Result<String, Failure> {
    let mut counts = Plain::default();
    for line in list.lines() {
        let (word, count) = line.split_once(' ').ok_or("a word without a count")?;
        counts.insert(word, count.parse()?);
    }
    Ok(plain_answer(&counts))
}

/// A map of the file.
fn map(path: &Path) -> Result<Mmap, Failure> {
    // SAFETY: inputs are changed by nobody while a contest is held; a new one replaces the file as a whole.
    Ok(unsafe { Mmap::map(&File::open(path)?)? })
}

fn finish(counter: Counter, mode: Mode) -> Counts {
    match mode {
        Mode::Ascii => counter.finish(Words::Ascii, Case::Kept),
        Mode::Unicode => counter.finish(Words::Unicode, Case::Lowered),
    }
}

/// A pipeline over a map.
///
/// # Errors
///
/// If the file cannot be read.
pub fn gristmill(path: &Path, mode: Mode) -> Result<Counts, Failure> {
    // SAFETY: as in `map`.
    run(unsafe { Chunks::map(path) }?, mode)
}

/// A pipeline over a file that is read.
fn gristmill_read(path: &Path, mode: Mode) -> Result<Counts, Failure> {
    run(Chunks::open(path)?.target(CHUNK), mode)
}

fn run(chunks: Chunks, mode: Mode) -> Result<Counts, Failure> {
    let run = Pipeline::extract(chunks.split(Spaces).without_lines()).memory_budget(BUDGET);
    let report = run.fold(Counter::new, Counter::add, Counter::merge).run()?;
    Ok(finish(report.output, mode))
}

/// Rayon with gristmill's counter.
fn rayon_counter(path: &Path, mode: Mode) -> Result<Counts, Failure> {
    let file = map(path)?;
    let pieces: Vec<_> = pieces(&file, TARGET).collect();
    let add = |mut counter: Counter, (_, piece): &(u64, &[u8])| {
        counter.add(piece);
        counter
    };
    // A table for each eighth of the work of a thread, not for each piece.
    let least = pieces.len() / (8 * rayon::current_num_threads());
    let counters = pieces.par_iter().with_min_len(least).fold(Counter::new, add);
    let merged = counters.reduce(Counter::new, |mut left, right| {
        left.merge(right);
        left
    });
    Ok(finish(merged, mode))
}

fn answer(counts: &Counts) -> String {
    shown(counts.len(), counts.total(), checksum(counts.iter()), &counts.top(TOP))
}

fn shown(words: usize, total: u64, checksum: u64, top: &[(&[u8], u64)]) -> String {
    let top: String = top.iter().map(|(word, count)| format!(" {}={count}", word.escape_ascii())).collect();
    format!("{words} of {total}, {checksum:x}:{top}")
}

/// A number that depends on every word and its count, but not on their order.
fn checksum<'a>(counts: impl Iterator<Item = (&'a [u8], u64)>) -> u64 {
    let hash =
        |word: &[u8]| word.iter().fold(1u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    counts.fold(0, |sum, (word, count)| sum.wrapping_add(hash(word).wrapping_mul(count)))
}

/// One thread and a map.
///
/// # Errors
///
/// If the file cannot be read.
pub fn sequential(path: &Path, mode: Mode) -> Result<String, Failure> {
    let file = map(path)?;
    Ok(match mode {
        Mode::Ascii => plain_answer(&ascii(FxHashMap::default(), &file)),
        Mode::Unicode => plain_answer(&unicode(FxHashMap::default(), &file)),
    })
}

/// Threads that take pieces from a channel.
///
/// # Errors
///
/// If the file cannot be read.
pub fn threads(path: &Path, mode: Mode) -> Result<String, Failure> {
    let file = map(path)?;
    Ok(match mode {
        Mode::Ascii => plain_answer(&on_threads(&file, ascii)?),
        Mode::Unicode => plain_answer(&on_threads(&file, unicode)?),
    })
}

/// Rayon and a map for each split.
///
/// # Errors
///
/// If the file cannot be read.
pub fn rayon(path: &Path, mode: Mode) -> Result<String, Failure> {
    let file = map(path)?;
    Ok(match mode {
        Mode::Ascii => plain_answer(&on_rayon(&file, ascii)),
        Mode::Unicode => plain_answer(&on_rayon(&file, unicode)),
    })
}

type Plain<K> = FxHashMap<K, u64>;

fn ascii<'a>(mut counts: Plain<&'a [u8]>, text: &'a [u8]) -> Plain<&'a [u8]> {
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn unicode(mut counts: Plain<String>, text: &[u8]) -> Plain<String> {
    for word in String::from_utf8_lossy(text).split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

fn on_threads<'a, K: Eq + Hash + Send>(
    text: &'a [u8],
    count: fn(Plain<K>, &'a [u8]) -> Plain<K>,
) -> Result<Plain<K>, Failure> {
    let workers = std::thread::available_parallelism()?.get();
    let (sender, receiver) = crossbeam_channel::bounded(2 * workers);
    std::thread::scope(|scope| {
        let counting = (0..workers).map(|_| receiver.clone()).map(|receiver| {
            scope.spawn(move || receiver.iter().fold(Plain::default(), |counts, (_, piece)| count(counts, piece)))
        });
        let counting: Vec<_> = counting.collect();
        pieces(text, TARGET).try_for_each(|piece| sender.send(piece)).map_err(|_| "all threads have ended")?;
        drop(sender);
        Ok(counting.into_iter().filter_map(|counts| counts.join().ok()).reduce(plain_merged).unwrap_or_default())
    })
}

fn on_rayon<'a, K: Eq + Hash + Send>(text: &'a [u8], count: fn(Plain<K>, &'a [u8]) -> Plain<K>) -> Plain<K> {
    let pieces: Vec<_> = pieces(text, TARGET).collect();
    // As in `rayon_counter`, where it helps as well.
    let least = pieces.len() / (8 * rayon::current_num_threads());
    let counts = pieces.par_iter().with_min_len(least).fold(Plain::default, |counts, (_, piece)| count(counts, piece));
    counts.reduce(Plain::default, plain_merged)
}

fn plain_merged<K: Eq + Hash>(left: Plain<K>, right: Plain<K>) -> Plain<K> {
    let (mut large, small) = if left.len() < right.len() { (right, left) } else { (left, right) };
    small.into_iter().for_each(|(word, count)| *large.entry(word).or_default() += count);
    large
}

fn plain_answer<K: AsRef<[u8]>>(counts: &Plain<K>) -> String {
    let mut words: Vec<(&[u8], u64)> = counts.iter().map(|(word, count)| (word.as_ref(), *count)).collect();
    let total = words.iter().map(|(_, count)| count).sum();
    let checksum = checksum(words.iter().copied());
    words.sort_unstable_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
    words.truncate(TOP);
    shown(counts.len(), total, checksum, &words)
}
