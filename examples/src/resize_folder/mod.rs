//! Thumbnails of a folder.
//!
//! ```text
//!                     rayon pool                    this thread
//! ┌────────┐ tasks ┌────────────────────────┐ Resized ┌──────────┐
//! │ Images │══════▶│ resize: read, decode,  │════════▶│ the sums │
//! └────────┘       │ filter, encode, write  │         └──────────┘
//!                  └───────────┬────────────┘
//!                              ▼ noted: what could not be resized, and why
//! ```

pub mod args;
pub mod demo;

use crate::bar;
use anyhow::{Context, ensure};
use args::Settings;
use gristmill::{Bytes, Failure, Monitor, OnError, Pipeline, Report};
use gristmill_image_resize::{Images, Resized, Resizer, Task};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// A folder, or one image.
    pub input: PathBuf,
    /// The folder for the outputs.
    pub output: PathBuf,
    /// How.
    pub settings: Settings,
}

/// What came out.
#[derive(Debug)]
pub struct Summary {
    /// What was written.
    pub sums: Sums,
    /// What was not, and why.
    pub rejected: Vec<Failure>,
    elapsed: Duration,
    report: Report<Sums>,
}

/// Sums over the images that were resized.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Sums {
    pub images: u64,
    pub pixels: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Sums {
    fn with(self, resized: &Resized) -> Self {
        Sums {
            images: self.images + 1,
            pixels: self.pixels + resized.original.pixels(),
            bytes_in: self.bytes_in + resized.bytes_in,
            bytes_out: self.bytes_out + resized.bytes_out,
        }
    }

    fn and(self, other: Sums) -> Self {
        Sums {
            images: self.images + other.images,
            pixels: self.pixels + other.pixels,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

/// Resizes the images of a folder.
///
/// # Errors
///
/// When the folder cannot be read, or the one for outputs not be made. An image that cannot be resized is none; it is in
/// the summary.
pub fn run(job: &Job) -> anyhow::Result<Summary> {
    let settings = &job.settings;
    let walk = || -> anyhow::Result<Images> {
        let mut images = Images::walk(&job.input, &job.output, &settings.options)?;
        images = if settings.every_file { images.every_file() } else { images };
        Ok(if settings.follow { images.follow_links() } else { images })
    };
    let images = walk()?;
    // Counting them costs little beside the work, and gives the bar its end.
    let expected = walk()?.count() as u64;
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = settings.workers.into_iter().fold(pool, rayon::ThreadPoolBuilder::num_threads);
    let pool = pool.build().context("could not start the workers")?;
    let monitor = Monitor::new();
    let pipeline = Pipeline::extract(images)
        .named("walk")
        .pool(&pool)
        .monitor(&monitor)
        .try_map_init(|| Resizer::new(&settings.options), |resizer, task: Task| resizer.run(task))
        .named("resize")
        .on_error(OnError::collect())
        .fold(Sums::default, |sums: &mut Sums, resized: Resized| *sums = sums.with(&resized), |a, b| *a = a.and(b));
    let began = Instant::now();
    let report = bar::watch(&monitor, Some(expected), || pipeline.run())?;
    let elapsed = began.elapsed();
    ensure!(report.totals().balance(), "the accounts of the run do not balance");
    Ok(Summary { sums: report.output, rejected: report.failures.clone(), elapsed, report })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.rejected {
            writeln!(f, "rejected: {}", failure.message)?;
        }
        let Sums { images, pixels, bytes_in, bytes_out } = self.sums;
        let (megapixels, seconds) = (pixels as f64 / 1e6, self.elapsed.as_secs_f64());
        let (from, to) = (Bytes::new(bytes_in as usize), Bytes::new(bytes_out as usize));
        writeln!(f, "{images} images of {megapixels:.1} megapixels became thumbnails: {from} became {to}")?;
        let rate = images as f64 / seconds.max(1e-9);
        writeln!(f, "{seconds:.2} s, {rate:.1} images/s; {} rejected\n", self.rejected.len())?;
        writeln!(f, "{}", self.report)
    }
}
