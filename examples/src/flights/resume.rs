//! The job as a run that may be killed: the same command goes on where it was.
//!
//! Rows and progress are in one transaction, so each row is in the database once, whenever the process dies. The rejected
//! rows are cut back to what they were at that moment. Nothing is counted on the way, as what a fold has counted would be
//! gone with the process; the figures are those of the database.

use super::database::{self, Existing};
use super::rejected::{Rejected, resumable_rejected_file};
use super::source::{FlightFiles, Piece};
use super::summary::Summary;
use super::tables::Tables;
use super::{BATCH_ROWS, Job, piece_target, progress, start_workers};
use crate::bar;
use anyhow::{Context, ensure};
use gristmill::{Checkpoint, Monitor, OnError, Pipeline};
use gristmill_connect::csv;
use gristmill_connect::sqlite::rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Does what is left of the job.
pub(super) fn run(job: &Job, every: Duration) -> anyhow::Result<Summary> {
    job.existing.allows(&job.database)?;
    let partial = partial(&job.database);
    if !partial.exists() {
        make_room(&job.dead_letters, job.existing)?;
    }
    let workers = start_workers(job.workers)?;
    let files = FlightFiles::open(job.inputs.clone(), piece_target(job.memory, workers.current_num_threads()))?;
    let expected_pieces = files.expected_pieces();
    let tables = Tables::load(&job.tables)?;
    let monitor = Monitor::new();
    let mut pipeline = Pipeline::extract(files)
        .named("read")
        .pool(&workers)
        .monitor(&monitor)
        .checkpoint(Checkpoint::in_store().every(every))
        .try_flat_map(|Piece { path, columns, chunk }| {
            let header = columns.header().clone();
            csv::rows(chunk, &header, move |row| columns.parse(row))
                .without_header()
                .map(move |row| row.map_err(|row| Rejected { path: path.clone(), row }))
        })
        .named("parse")
        .on_error(OnError::dead_letter(resumable_rejected_file(&job.dead_letters)))
        .map(|flight| tables.enrich(flight))
        .named("enrich");
    if let Some(memory) = job.memory {
        pipeline = pipeline.memory_budget(memory);
    }
    let pipeline = pipeline.batch(BATCH_ROWS).store(database::open_partial(&partial)?).named("sqlite");
    let report = bar::watch_saying(&monitor, Some(expected_pieces), progress, || pipeline.run())
        .with_context(|| format!("the run failed; the same command goes on with `{}`", partial.display()))?;

    // Who may write takes the log away when it closes.
    let stored = Connection::open_with_flags(&partial, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let (carriers, routes) = database::carriers_and_routes(&stored).context("could not read the database back")?;
    let groups = database::groups(&stored).context("could not read the database back")?;
    drop(stored);
    let rejected = count_lines(&job.dead_letters)?;
    publish(&partial, job)?;
    Ok(Summary {
        database: job.database.clone(),
        stored: groups.values().map(|tally| tally.flights).sum(),
        rejected,
        dead_letters: job.dead_letters.clone(),
        groups,
        carriers,
        routes,
        report,
    })
}

/// Where the database is until it is whole.
fn partial(place: &Path) -> PathBuf {
    let mut name = OsString::from(place);
    name.push(".partial");
    name.into()
}

/// Removes an old file of rejected rows, if that is allowed.
fn make_room(path: &Path, existing: Existing) -> anyhow::Result<()> {
    if existing.allows(path)? {
        fs::remove_file(path).with_context(|| format!("could not replace `{}`", path.display()))?;
    }
    Ok(())
}

fn count_lines(path: &Path) -> anyhow::Result<u64> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file).split(b'\n').count() as u64),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("could not look at `{}`", path.display())),
    }
}

/// Puts the finished database in its place, in one step.
fn publish(partial: &Path, job: &Job) -> anyhow::Result<()> {
    // What SQLite keeps beside a database is gone when it was closed. A log that is left would belong to another.
    let log = PathBuf::from({
        let mut name = OsString::from(partial);
        name.push("-wal");
        name
    });
    ensure!(!log.exists(), "`{}` is still used by somebody", partial.display());
    job.existing.allows(&job.database)?;
    fs::rename(partial, &job.database)
        .with_context(|| format!("could not put the database at `{}`", job.database.display()))
}
