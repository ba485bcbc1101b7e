//! Makes inputs for workloads.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use gristmill_benches::contest::Failure;
use gristmill_benches::data::brc::{CITIES, Measurements};
use gristmill_benches::data::make;
use gristmill_benches::data::words::{Text, VOCABULARY};
use lexopt::prelude::*;

const HELP: &str = "\
Makes inputs for workloads. The same arguments make the same file everywhere.

Usage: make-data brc --rows N [--stations N] [--seed N] [PATH]
       make-data words --mib N [--vocabulary N] [--seed N] [PATH]

Commands:
  brc    lines of `station;temperature`
  words  text in which few words are frequent and many are rare

Options:
  --rows N        brc: how many lines
  --stations N    brc: how many stations [default: 413, with names as long as those of cities]
  --mib N         words: how large a text, in MiB
  --vocabulary N  words: how many different words [default: 200000]
  --seed N        another file [default: 1]
  -h, --help      this text

Without PATH the file is called measurements.txt or words.txt.
";

fn main() -> ExitCode {
    match perform(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if even that fails.
            let _ = writeln!(io::stderr(), "make-data: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let mut parser = lexopt::Parser::from_args(args);
    match parser.next()? {
        Some(Value(command)) if command == "brc" => brc(&mut parser),
        Some(Value(command)) if command == "words" => words(&mut parser),
        Some(Short('h') | Long("help")) => help(),
        Some(other) => Err(other.unexpected().into()),
        None => Err("missing command; see --help".into()),
    }
}

fn help() -> Result<(), Failure> {
    Ok(io::stdout().write_all(HELP.as_bytes())?)
}

fn brc(parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut measurements = Measurements { rows: 0, stations: CITIES, seed: 1 };
    let mut path = PathBuf::from("measurements.txt");
    while let Some(arg) = parser.next()? {
        match arg {
            Long("rows") => measurements.rows = parser.value()?.parse()?,
            Long("stations") => measurements.stations = parser.value()?.parse()?,
            Long("seed") => measurements.seed = parser.value()?.parse()?,
            Value(value) => path = value.into(),
            Short('h') | Long("help") => return help(),
            other => return Err(other.unexpected().into()),
        }
    }
    if measurements.rows == 0 {
        return Err("--rows must be at least 1".into());
    }
    make(&path, |out| measurements.write(out))
}

fn words(parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut text = Text { bytes: 0, vocabulary: VOCABULARY, seed: 1 };
    let mut path = PathBuf::from("words.txt");
    while let Some(arg) = parser.next()? {
        match arg {
            Long("mib") => text.bytes = parser.value()?.parse::<u32>().map(|mib| u64::from(mib) << 20)?,
            Long("vocabulary") => text.vocabulary = parser.value()?.parse()?,
            Long("seed") => text.seed = parser.value()?.parse()?,
            Value(value) => path = value.into(),
            Short('h') | Long("help") => return help(),
            other => return Err(other.unexpected().into()),
        }
    }
    if text.bytes == 0 {
        return Err("--mib must be at least 1".into());
    }
    make(&path, |out| text.write(out))
}
