//! The check of a list.

use super::{FLUSH_INTERVAL, Job, start_pool, watch};
use anyhow::{Context, ensure};
use gristmill::{Monitor, Pipeline, Report, store};
use gristmill_hashing::list::{self, Entry, ListError};
use gristmill_hashing::{Buffer, FileError, Files, Hashed, Task};
use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// What came out of a check.
#[derive(Debug)]
pub struct Summary {
    /// Files that are as they should be.
    pub good: u64,
    /// Files with another digest.
    pub bad: u64,
    /// Files that could not be read, and why.
    pub unreadable: Vec<FileError>,
    /// Lines of the list that are none.
    pub malformed: Vec<ListError>,
    /// What the pipeline reports.
    pub report: Report<()>,
}

impl Summary {
    /// Whether there was something to check, and all of it is as it should be.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.good > 0 && self.bad == 0 && self.unreadable.is_empty() && self.malformed.is_empty()
    }
}

/// Checks the files of a list and writes what became of each, in the order of the list.
///
/// # Errors
///
/// When the list cannot be read, or the outcomes not be written. A file that is missing is none; it is in the summary.
pub fn run(job: &Job, list: &Path, out: &mut (impl Write + Send)) -> anyhow::Result<Summary> {
    let could_not = || format!("could not read the list `{}`", list.display());
    let lines = open(list).with_context(could_not)?;
    let pool = start_pool(job)?;
    let monitor = Monitor::new();
    let (seen, malformed) = (Arc::new(AtomicU64::new(0)), Mutex::new(Vec::new()));
    let mut summary = (0, 0, Vec::new());
    let entries = list::read(lines, job.algorithm).filter_map(|entry| keep_good(entry, &malformed));
    let run = Pipeline::extract(job.origin(Files::listed(entries)))
        .named("list")
        .pool(&pool)
        .monitor(&monitor)
        .flush_interval(FLUSH_INTERVAL)
        .map_init(|| Ok::<_, Infallible>(Buffer::counting(&seen)), |buffer, task: Task| task.hash(buffer))
        .named("hash")
        .ordered()
        // A long file at the front holds back what comes after it, which is small.
        .window(WINDOW)
        .store(store::from_fn(|done| tell(done, out, &mut summary)))
        .named("outcome");
    let report = watch(&monitor, &seen, || run.run())?;
    ensure!(report.totals().balance(), "the accounts of the run do not balance");
    let (good, bad, unreadable) = summary;
    let mut malformed = malformed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = malformed.iter().position(|error| matches!(error, ListError::Read(_))) {
        return Err(malformed.swap_remove(at)).with_context(could_not);
    }
    Ok(Summary { good, bad, unreadable, malformed, report })
}

/// Morsels in flight at most: enough that nobody waits for one large file.
const WINDOW: usize = 1_024;

fn open(list: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    if list == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    if list.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(BufReader::new(File::open(list)?)))
}

fn keep_good(entry: Result<Entry, ListError>, malformed: &Mutex<Vec<ListError>>) -> Option<Entry> {
    entry.map_err(|error| malformed.lock().unwrap_or_else(PoisonError::into_inner).push(error)).ok()
}

fn tell(
    done: Result<Hashed, FileError>,
    out: &mut impl Write,
    (good, bad, unreadable): &mut (u64, u64, Vec<FileError>),
) -> io::Result<()> {
    let (path, outcome): (PathBuf, _) = match done {
        Ok(hashed) if hashed.is_as_expected() => {
            *good += 1;
            (hashed.path, "OK")
        }
        Ok(hashed) => {
            *bad += 1;
            (hashed.path, "FAILED")
        }
        Err(error) => {
            let path = error.path().to_owned();
            unreadable.push(error);
            (path, "FAILED open or read")
        }
    };
    list::write_outcome(out, &path, outcome)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.unreadable {
            writeln!(f, "unreadable: {error}")?;
        }
        for error in &self.malformed {
            writeln!(f, "malformed: {error}")?;
        }
        let (unreadable, malformed) = (self.unreadable.len(), self.malformed.len());
        writeln!(f, "{} OK, {} FAILED, {unreadable} unreadable, {malformed} lines malformed\n", self.good, self.bad)?;
        writeln!(f, "{}", self.report)
    }
}
