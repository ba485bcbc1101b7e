//! The job of the example `flights`: CSV to SQLite, with rows that are none in a file of their own. Its table has no
//! constraint that would hide a row that comes twice.

use super::job::{Kept, Results, Task, digest_of};
use anyhow::ensure;
use gristmill::Progress;
use gristmill_connect::sqlite::rusqlite::{Connection, OpenFlags};
use gristmill_examples::flights::database::Existing;
use gristmill_examples::flights::source::Input;
use gristmill_examples::flights::tables::{TablePaths, shipped};
use gristmill_examples::flights::{Job, run};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Makes the input: the flights of January, some of which are none.
pub(super) fn make_input(folder: &Path, rows: usize) -> anyhow::Result<()> {
    let text = fs::read_to_string(shipped("flights-2013-01.csv"))?;
    let mut input = BufWriter::new(File::create(folder.join("flights.csv"))?);
    for (number, line) in text.lines().enumerate().take(rows.saturating_add(1)) {
        // A year that is none.
        let broken = number % 997 == 500;
        writeln!(input, "{}{line}", if broken { "x" } else { "" })?;
    }
    Ok(input.flush()?)
}

/// How far it has come, as the database says.
pub(super) fn kept(job: &Task) -> anyhow::Result<Kept> {
    if job.path(".db").exists() {
        return Ok(Kept { position: u64::MAX, complete: true });
    }
    Ok(job.with_copy(".db.partial", kept_in)?.unwrap_or_default())
}

fn kept_in(copy: &Connection) -> anyhow::Result<Kept> {
    let made: bool =
        copy.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'gristmill_progress')", (), |row| {
            row.get(0)
        })?;
    if !made {
        return Ok(Kept::default());
    }
    let mut query = copy.prepare("SELECT progress FROM gristmill_progress")?;
    let mut rows = query.query(())?;
    let Some(row) = rows.next()? else { return Ok(Kept::default()) };
    let progress = Progress::from_bytes(&row.get::<_, Vec<u8>>(0)?)?;
    Ok(Kept { position: progress.position(), complete: progress.is_complete() })
}

/// Every value of every row, in the order in which they were stored.
pub(super) fn results(job: &Task) -> anyhow::Result<Results> {
    let database = Connection::open_with_flags(job.path(".db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let intact: String = database.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
    ensure!(intact == "ok", "the database of {job} is not intact: {intact}");
    let mut query = database.prepare("SELECT * FROM flights ORDER BY rowid")?;
    let columns = query.column_count();
    let mut digest = DefaultHasher::new();
    let mut rows = query.query(())?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            format!("{:?}", row.get_ref(column)?).hash(&mut digest);
        }
    }
    let rejected = fs::read(job.path(".rejected")).unwrap_or_default();
    Ok(Results {
        rows: count,
        digest: digest.finish(),
        rejected: rejected.split(|byte| *byte == b'\n').count().saturating_sub(1) as u64,
        rejected_digest: digest_of(&rejected),
    })
}

/// The job itself, in the process that may be killed.
pub(super) fn work(folder: &Path, name: &str, every: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let path = |suffix: &str| folder.join(format!("{name}{suffix}"));
    let summary = run(&Job {
        inputs: vec![Input::read(folder.join("flights.csv"))],
        tables: TablePaths::shipped(),
        database: path(".db"),
        dead_letters: path(".rejected"),
        existing: Existing::Refuse,
        workers: Some(2),
        // Small pieces, so that there are many.
        memory: Some(gristmill::Bytes::kib(512)),
        ordered: true,
        checkpoint: Some(every),
    })?;
    writeln!(out, "{}", summary.report)?;
    Ok(())
}
