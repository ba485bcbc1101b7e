//! Checksums of trees, and the check of a list.
//!
//! ```text
//!                    rayon pool                       a thread of its own
//! ┌───────┐ tasks ┌──────────────────────┐ Hashed ┌─────────────────────────┐
//! │ Files │══════▶│ hash: a file each    │═══════▶│ the list, in order      │
//! └───────┘       └──────────┬───────────┘        └─────────────────────────┘
//!                            ▼ noted: what has no digest, and why
//! ```
//!
//! With BLAKE3 all workers share a large file, so the list can be printed as the walk goes. A file for SHA-256 or XXH3
//! keeps one worker: the large ones go first, and the list is put in order at the end.

pub mod args;
pub mod check;
pub mod demo;

use crate::bar;
use anyhow::{Context, ensure};
use gristmill::{Bytes, Failure, Monitor, OnError, Operator, Pipeline, Report, store};
use gristmill_hashing::{Algorithm, Buffer, Files, Hashed, Links, Task, list};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::convert::Infallible;
use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// Files and directories.
    pub roots: Vec<PathBuf>,
    /// The hash function.
    pub algorithm: Algorithm,
    /// Whether links inside directories are followed.
    pub links: Links,
    /// Whether the user says that nobody touches the files meanwhile, so that they can be mapped.
    pub mapped: bool,
    /// How many threads read and hash; `None` for four for each core.
    pub threads: Option<usize>,
}

/// What came out.
#[derive(Debug)]
pub struct Summary {
    /// How many files have a digest.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// What has none, and why.
    pub rejected: Vec<Failure>,
    /// How long it took.
    pub elapsed: Duration,
    /// What the pipeline reports.
    pub report: Report<()>,
}

/// More threads than cores: while one waits for the disk another has work. In memory they cost nothing.
const THREADS_PER_CORE: usize = 4;

/// Hashes the files and writes the list.
///
/// # Errors
///
/// When the list cannot be written. A file without a digest is none; it is in the summary.
pub fn run(job: &Job, out: &mut (impl Write + Send)) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let pool = start_pool(job)?;
    let monitor = Monitor::new();
    let seen = Arc::new(AtomicU64::new(0));
    let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let count = |hashed: &Hashed| {
        files.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(hashed.bytes, Ordering::Relaxed);
    };
    let mut write = |hashed: Hashed| list::write_line(out, &hashed.digest, &hashed.path);

    let walk = job.origin(Files::walk_links(&job.roots, job.algorithm, job.links));
    let report = if job.algorithm == Algorithm::Blake3 {
        let pipeline = hash_all(walk, &seen).pool(&pool).monitor(&monitor).inspect(count).named("count");
        let run = pipeline.ordered().store(store::from_fn(write)).named("list");
        watch(&monitor, &seen, || run.run())?
    } else {
        let mut all = Vec::new();
        let pipeline = hash_all(walk.large_first(), &seen).pool(&pool).monitor(&monitor).inspect(count);
        let run = pipeline.named("count").store(&mut all).named("list");
        let report = watch(&monitor, &seen, || run.run())?;
        all.sort_unstable_by_key(|hashed: &Hashed| hashed.place);
        all.into_iter().try_for_each(&mut write).context("could not write the list")?;
        report
    };
    let (files, bytes) = (files.into_inner(), bytes.into_inner());
    ensure!(report.totals().balance(), "the accounts of the run do not balance");
    Ok(Summary { files, bytes, rejected: report.failures.clone(), elapsed: began.elapsed(), report })
}

/// The stages that both ways begin with.
fn hash_all<'env>(
    files: Files<'env>,
    seen: &'env Arc<AtomicU64>,
) -> Pipeline<'env, Result<Task, Infallible>, impl Operator<'env, Result<Task, Infallible>, Out = Hashed>> {
    Pipeline::extract(files)
        .named("walk")
        // A file takes longer than the default, and looking after the run takes a core from those who work.
        .flush_interval(FLUSH_INTERVAL)
        .try_map_init(|| Ok::<_, Infallible>(Buffer::counting(seen)), |buffer, task: Task| task.hash(buffer))
        .named("hash")
        .on_error(OnError::collect())
}

/// Shows how far it is, unless the list goes to the terminal as well: then that shows it.
fn watch<T>(monitor: &Monitor, seen: &AtomicU64, run: impl FnOnce() -> T) -> T {
    if stdout().is_terminal() {
        return run();
    }
    let say = |snapshot: &Report| {
        let files = snapshot.stage("hash").map_or(0, |stage| stage.items_out);
        let bytes = seen.load(Ordering::Relaxed);
        let rate = bytes as f64 / snapshot.elapsed.as_secs_f64().max(1e-9);
        format!("{files} files, {}, {}/s", Bytes::new(bytes as usize), Bytes::new(rate as usize))
    };
    bar::watch_saying(monitor, None, say, run)
}

const FLUSH_INTERVAL: Duration = Duration::from_millis(10);

impl Job {
    fn origin<'a>(&self, files: Files<'a>) -> Files<'a> {
        if self.mapped {
            // SAFETY: with `--mmap` the user says that nobody writes to or truncates the files.
            unsafe { files.mapped() }
        } else {
            files
        }
    }
}

fn start_pool(job: &Job) -> anyhow::Result<ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = job.threads.unwrap_or(THREADS_PER_CORE * cores);
    let builder = ThreadPoolBuilder::new().thread_name(|worker| format!("worker-{worker}"));
    builder.num_threads(threads).build().context("could not start the workers")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.rejected {
            writeln!(f, "rejected: {}", failure.message)?;
        }
        let rate = Bytes::new((self.bytes as f64 / self.elapsed.as_secs_f64()) as usize);
        let (bytes, elapsed) = (Bytes::new(self.bytes as usize), self.elapsed.as_secs_f64());
        writeln!(f, "{} files, {bytes}, in {elapsed:.2} s: {rate}/s; {} rejected\n", self.files, self.rejected.len())?;
        writeln!(f, "{}", self.report)
    }
}
