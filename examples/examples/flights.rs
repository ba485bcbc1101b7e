//! CSV in, SQLite out: a year of flights in a second.
//!
//! ```text
//! cargo run --release --example flights
//! cargo run --release --example flights -- --db flights.db --memory 64MiB flights.csv
//! cargo run --release --example flights -- --db flights.db --resume flights.csv
//! ```
//!
//! Without arguments it reads the flights of January 2013 that come with the project. Rows that cannot be parsed go to a
//! file of their own with path, line and reason. What was counted on the way is compared with what the database says.
//! The parts are in `src/flights/`; `run` there holds the pipeline.

use anyhow::Context;
use gristmill_examples::flights::args::{self, Command, HELP, Options};
use gristmill_examples::flights::tables::TablePaths;
use gristmill_examples::flights::{Job, run};
use gristmill_examples::program::{end, print, refuse};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => fly(options),
        Err(error) => return refuse(&error),
    };
    end(done)
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
        checkpoint: options.resume.then_some(Duration::from_millis(250)),
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
