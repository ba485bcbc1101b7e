//! Counts the words of a text, and prints the most frequent.
//!
//! ```text
//! cargo run --release -p gristmill-examples --example word_count
//! cargo run --release -p gristmill-examples --example word_count -- --top 50 --mmap book.txt
//! ```
//!
//! Without arguments it makes a text whose counts are known, and checks the result. Each worker has a table of its own;
//! they are merged in parts, in parallel.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::{Context, ensure};
use gristmill::{Bytes, Monitor, Pipeline, Report};
use gristmill_examples::bar;
use gristmill_examples::program::print;
use gristmill_examples::text::{self, Arguments};
use gristmill_word_count::{Case, Counter, Counts, Spaces, Words};
use lexopt::{Parser, ValueExt};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Counts the words of a text, and prints the most frequent.

Usage: word_count [OPTIONS] [PATH]

Arguments:
  [PATH]  a text; without it, a small one is made and the result checked

Options:
  --top N      how many words to print [default: 20]
  --ascii      words are bytes between white space of ASCII [default: characters between white space of Unicode]
  --keep-case  `The` is not `the`
  --mmap       map the file into memory, which is faster; nobody may change or truncate it meanwhile
  --help       print this
";

/// What only this program can be told.
#[derive(Debug)]
struct Options {
    top: usize,
    words: Words,
    case: Case,
}

impl Default for Options {
    fn default() -> Self {
        Options { top: 20, words: Words::Unicode, case: Case::Lowered }
    }
}

impl text::Options for Options {
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        match name {
            "top" => self.top = parser.value()?.parse()?,
            "ascii" => self.words = Words::Ascii,
            "keep-case" => self.case = Case::Kept,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Bytes of a chunk.
const TARGET: Bytes = Bytes::kib(512);
/// What of a file that is read may be in flight: as much as fits in a cache.
const BUDGET: Bytes = Bytes::mib(16);

fn main() -> ExitCode {
    text::main(HELP, |arguments: Arguments<Options>| match &arguments.path {
        Some(path) => count(path, &arguments).map(drop),
        None => check(&arguments),
    })
}

/// Counts, prints what came of it, and returns it.
fn count(path: &Path, arguments: &Arguments<Options>) -> anyhow::Result<Counts> {
    let monitor = Monitor::new();
    let len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let expected = len.div_ceil(TARGET.get() as u64);
    let run = Pipeline::extract(arguments.chunks(path)?.target(TARGET).split(Spaces).without_lines()).monitor(&monitor);
    let run = run.memory_budget(BUDGET).fold(Counter::new, Counter::add, Counter::merge).named("count");
    let report = bar::watch(&monitor, Some(expected), || run.run());
    let report = report.with_context(|| format!("`{}` could not be counted", path.display()))?;
    let (counter, report) = report.into_parts();
    let Options { top, words, case } = arguments.options;
    let counts = counter.finish(words, case);
    print(&shown(&counts, top, &report)?)?;
    Ok(counts)
}

fn shown(counts: &Counts, top: usize, report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (word, count) in counts.top(top) {
        writeln!(text, "{count:>12}  {}", String::from_utf8_lossy(word))?;
    }
    writeln!(text, "\n{} words, {} of them different\n\n{report}", counts.total(), counts.len())?;
    Ok(text)
}

/// Makes a text of known counts: each word once more often than the one before it.
fn check(arguments: &Arguments<Options>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary directory")?;
    let path = folder.path().join("words.txt");
    let lines: String = (0..2_000).flat_map(|last| (0..=last).map(move |number| (number, last))).fold(
        String::new(),
        |mut text, (number, last)| {
            let space = if number == last { '\n' } else { ' ' };
            text.extend([format!("word{number}"), space.to_string()]);
            text
        },
    );
    std::fs::write(&path, lines)?;
    let counts = count(&path, arguments)?;
    ensure!(counts.len() == 2_000, "there should be 2000 different words, not {}", counts.len());
    for (rank, (word, count)) in counts.top(2_000).into_iter().enumerate() {
        let known = (format!("word{rank}"), 2_000 - rank as u64);
        ensure!((word, count) == (known.0.as_bytes(), known.1), "the result is wrong at rank {rank}");
    }
    Ok(())
}
