//! CSV in, SQLite out: a year of flights in a second.
//!
//! ```text
//! cargo run --release --example flights
//! cargo run --release --example flights -- --db flights.db --memory 64MiB flights.csv
//! ```
//!
//! Without arguments it reads the flights of January 2013 that come with the project. Rows that cannot be parsed go to a
//! file of their own with path, line and reason. What was counted on the way is compared with what the database says.
//! The parts are in `src/flights/`; `run` there holds the pipeline.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::Context;
use gristmill_examples::flights::args::{self, Command, HELP, Options};
use gristmill_examples::flights::tables::TablePaths;
use gristmill_examples::flights::{Job, run};
use std::io::{ErrorKind, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use tempfile::TempDir;

/// The run failed.
const FAILED: u8 = 1;
/// There was no run, as the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => fly(options),
        Err(error) => {
            eprintln!("error: {error}\n\nTry --help.");
            return ExitCode::from(USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn fly(options: Options) -> anyhow::Result<()> {
    // Removed on the way out, unless the run succeeds.
    let scratch = match &options.database {
        Some(_) => None,
        None => {
            Some(tempfile::Builder::new().prefix("gristmill-flights-").tempdir().context("no temporary directory")?)
        }
    };
    let in_scratch = || scratch.as_ref().map(|scratch| scratch.path().join("flights.db"));
    let database = options.database.clone().or_else(in_scratch).unwrap_or_default();
    let dead_letters = options.dead_letters.unwrap_or_else(|| beside(&database));
    let summary = run(&Job {
        inputs: options.inputs,
        tables: TablePaths::shipped(),
        database,
        dead_letters,
        existing: options.existing,
        workers: options.workers,
        memory: options.memory,
        ordered: options.ordered,
    })?;
    scratch.map(TempDir::keep);
    print(&summary.to_string())
}

/// Where rejected rows go if nothing else is said.
fn beside(database: &std::path::Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".rejected.tsv");
    path.into()
}

/// Prints to whatever standard output is: a pipe that nobody reads any more is no failure, a full disk is.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(()),
    }
}
