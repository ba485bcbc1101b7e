//! Flights from CSV files into an SQLite database, with figures taken on the way.
//!
//! ```text
//!                             rayon pool                         a thread of its own
//! ┌────────────┐ pieces ┌──────────────────────────────┐ rows ┌──────────────────┐
//! │ FlightFiles│═══════▶│ parse ─▶ enrich ─▶ broadcast │═════▶│ batch ─▶ SQLite  │
//! └────────────┘        └───┬─────────────────────┬────┘      └──────────────────┘
//!                           │ rows that are wrong │ the same rows
//!                           ▼                     ▼
//!                   dead-letter file      group by carrier and route
//! ```
//!
//! - A row that does not parse is not the end: it goes to a file with its path, line and reason, and is counted.
//! - A carrier or airport that the tables do not know is stored without a name.
//! - The database is made in a directory beside its place and moved there when all has succeeded: there is either a whole
//!   one or none. `--replace` keeps the old one until then. A run that is killed leaves its `.flights-` directory behind,
//!   which may be removed.
//! - With `--resume` a run that is killed is gone on with by the same command (`resume.rs`): the database is made in a file
//!   beside its place, and has the progress of the run in the transactions of its rows.

pub mod args;
pub mod code;
pub mod database;
pub mod flight;
pub mod rejected;
mod resume;
pub mod source;
pub mod summary;
pub mod tables;
pub mod tally;

use crate::bar;
use anyhow::{Context, ensure};
use database::{Draft, Existing};
use flight::{Flight, FlightRow};
use gristmill::{Bytes, DeadLetter, Groups, Monitor, OnError, Pipeline, Report, Store};
use gristmill_connect::csv;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rejected::{Rejected, rejected_file};
use source::{FlightFiles, Input, Piece};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use summary::Summary;
use tables::{TablePaths, Tables};
use tally::{Key, Tally, roll_up};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// The files, one after another.
    pub inputs: Vec<Input>,
    /// Names of airlines and airports.
    pub tables: TablePaths,
    /// Where the database is to be.
    pub database: PathBuf,
    /// Where rows go that are none. No file is made if there are none of them.
    pub dead_letters: PathBuf,
    /// What to do if these files are there.
    pub existing: Existing,
    /// Threads that parse; `None` for as many as there are cores.
    pub workers: Option<usize>,
    /// Bytes in flight at most.
    pub memory: Option<Bytes>,
    /// Whether rows are stored in the order of the files.
    pub ordered: bool,
    /// How often a checkpoint is kept, for a run that may be killed and gone on with; `None` for none.
    pub checkpoint: Option<Duration>,
}

/// Rows a transaction: enough that its cost does not count.
const BATCH_ROWS: usize = 8_192;

/// Does the whole job. When this returns an error there is no database, or still the old one.
///
/// # Errors
///
/// When a file cannot be read or is not one of flights, or the database or the dead letters cannot be written.
pub fn run(job: &Job) -> anyhow::Result<Summary> {
    check_places(job)?;
    if let Some(every) = job.checkpoint {
        return resume::run(job, every);
    }
    let draft = Draft::create(&job.database, job.existing)?;
    let workers = start_workers(job.workers)?;
    let files = FlightFiles::open(job.inputs.clone(), piece_target(job.memory, workers.current_num_threads()))?;
    let expected_pieces = files.expected_pieces();
    // On the stack of this function, like all that the pipeline borrows: `run` is a scope.
    let tables = Tables::load(&job.tables)?;
    let mut rows = draft.store()?;
    // Last, as it may remove an old file.
    let rejected = replace_rejected(&job.dead_letters, job.existing)?;

    let monitor = Monitor::new();
    let mut pipeline = Pipeline::extract(files)
        .named("read")
        .pool(&workers)
        .monitor(&monitor)
        // A piece becomes thousands of rows. Whichever worker has it splits and parses them.
        .try_flat_map(|Piece { path, columns, chunk }| {
            let header = columns.header().clone();
            csv::rows(chunk, &header, move |row| columns.parse(row))
                .without_header()
                .map(move |row| row.map_err(|row| Rejected { path: path.clone(), row }))
        })
        .named("parse")
        .on_error(OnError::dead_letter(rejected))
        .map(|flight: Flight| tables.enrich(flight))
        .named("enrich")
        // Copies are cheap: a row owns nothing, and its names are borrowed from the tables.
        .broadcast(|flights| flights.batch(BATCH_ROWS).store(&mut rows).named("sqlite"));
    if let Some(memory) = job.memory {
        pipeline = pipeline.memory_budget(memory);
    }
    if job.ordered {
        pipeline = pipeline.ordered();
    }
    let pipeline = pipeline
        .group_by(|row: &FlightRow<'_>| Key::of(&row.flight))
        .fold(Tally::default, |tally, row| tally.add(&row.flight), |tally, other| tally.merge(&other))
        .named("group");
    let report = bar::watch_saying(&monitor, Some(expected_pieces), progress, || pipeline.run())
        .with_context(|| format!("the run failed, and `{}` was not written", job.database.display()))?;
    let stored = rows.stored_rows();
    drop(rows);
    finish(job, draft, stored, report)
}

/// What is said beside the progress bar.
fn progress(snapshot: &Report) -> String {
    let rows = snapshot.stage("enrich").map_or(0, |stage| stage.items_out);
    format!("{rows} rows, {} rejected", snapshot.totals().dead)
}

/// Reads the figures back, compares them with those taken on the way, and puts the database in its place.
fn finish(job: &Job, draft: Draft, stored: u64, report: Report<Groups<Key, Tally>>) -> anyhow::Result<Summary> {
    let database = draft.read()?;
    let (carriers, routes) = database::carriers_and_routes(&database).context("could not read the database back")?;
    drop(database);

    let groups: BTreeMap<Key, Tally> = report.output.iter().map(|(key, tally)| (*key, *tally)).collect();
    let counted = roll_up(&groups, |key| Some(key.carrier));
    let read = carriers.iter().map(|line| (line.code(0), line.tally)).collect();
    ensure!(counted == read, "the carriers in the database are not those that were counted on the way");
    let counted = roll_up(&groups, |key| (Some(key.origin), Some(key.dest)));
    let read = routes.iter().map(|line| ((line.code(0), line.code(1)), line.tally)).collect();
    ensure!(counted == read, "the routes in the database are not those that were counted on the way");
    let all: u64 = groups.values().map(|tally| tally.flights).sum();
    ensure!(all == stored, "{stored} rows were stored, but {all} were counted on the way");

    draft.publish()?;
    let (_, report) = report.into_parts();
    Ok(Summary {
        database: job.database.clone(),
        stored,
        rejected: report.totals().dead,
        dead_letters: job.dead_letters.clone(),
        groups,
        carriers,
        routes,
        report,
    })
}

fn start_workers(workers: Option<usize>) -> anyhow::Result<ThreadPool> {
    let builder = ThreadPoolBuilder::new().thread_name(|worker| format!("worker-{worker}"));
    let builder = workers.into_iter().fold(builder, ThreadPoolBuilder::num_threads);
    builder.build().context("could not start the workers")
}

/// How large pieces should be: a few for each worker must fit in the budget, with the rows that become of them.
fn piece_target(memory: Option<Bytes>, n_workers: usize) -> Bytes {
    /// Rows and the copies of them weigh several times the text.
    const GROWTH: usize = 8;
    let largest = Bytes::kib(256);
    memory.map_or(largest, |memory| Bytes::new(memory.get() / (GROWTH * (n_workers + 1))).clamp(Bytes::kib(4), largest))
}

/// Refuses to write where something is read from.
fn check_places(job: &Job) -> anyhow::Result<()> {
    let real = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let tables = [&job.tables.airlines, &job.tables.airports];
    let sources = job.inputs.iter().map(Input::path).chain(tables.map(PathBuf::as_path));
    let read: Vec<PathBuf> = sources.filter_map(real).collect();
    for written in [&job.database, &job.dead_letters] {
        let clash = real(written).is_some_and(|written| read.contains(&written));
        ensure!(!clash, "`{}` is read from, and cannot be written as well", written.display());
    }
    let same = job.database == job.dead_letters
        || real(&job.database).is_some_and(|database| real(&job.dead_letters) == Some(database));
    ensure!(!same, "`{}` cannot hold both the database and the dead letters", job.database.display());
    Ok(())
}

/// The file of dead letters, for which an old one makes room.
fn replace_rejected(
    path: &Path,
    existing: Existing,
) -> anyhow::Result<impl Store<DeadLetter<Piece, Rejected>> + use<>> {
    if existing.allows(path)? {
        std::fs::remove_file(path).with_context(|| format!("could not replace `{}`", path.display()))?;
    }
    Ok(rejected_file(path)?)
}
