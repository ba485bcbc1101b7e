//! Sums of square roots, checked.

pub mod args;

use crate::bar;
use anyhow::{Context, ensure};
use args::Options;
use gristmill::{Monitor, Pipeline, Report};
use gristmill_sqrt_sum::{FileError, Floats, Kernel, RootSum, Spans, spans};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug)]
pub struct Summary {
    /// The sum.
    pub sum: RootSum,
    kernel: Kernel,
    elapsed: Duration,
    check: String,
    report: Report<RootSum>,
}

/// Adds up what the options say, and looks whether that can be.
///
/// # Errors
///
/// When the file cannot be read, is none of numbers, or has one without a root; or the sum is wrong.
pub fn run(options: &Options) -> anyhow::Result<Summary> {
    match &options.file {
        None => run_range(options),
        Some(path) => run_file(options, path),
    }
}

fn run_range(options: &Options) -> anyhow::Result<Summary> {
    let range = 1..options.last + 1;
    let summary =
        add_up(options, spans(range), || move |span| Ok(RootSum::of_range(options.kernel, span)), "the integers")?;
    let expected = euler_maclaurin(options.last);
    let error = (summary.sum.value() - expected).abs();
    // The formula is worked out with the precision of a number, too.
    ensure!(error <= 1e-13 * expected, "the sum is {:?}, but the formula says {expected:?}", summary.sum.value());
    Ok(Summary { check: format!("{expected:?} by the formula of Euler and Maclaurin"), ..summary })
}

/// √1 + … + √n, nearly.
fn euler_maclaurin(n: u64) -> f64 {
    /// Riemann's ζ(-1/2).
    const ZETA: f64 = -0.207_886_224_977_354_57;
    if n < 100 {
        return (1..n + 1).map(|integer| (integer as f64).sqrt()).sum();
    }
    let n = n as f64;
    let root = n.sqrt();
    2.0 / 3.0 * n * root + 0.5 * root + ZETA + 1.0 / (24.0 * root) - 1.0 / (1_920.0 * n * n * root)
}

fn run_file(options: &Options, path: &Path) -> anyhow::Result<Summary> {
    let floats = if options.mapped {
        // SAFETY: the user vouches for that with `--mmap`; the help says so.
        unsafe { Floats::map(path) }
    } else {
        Floats::open(path)
    }?;
    ensure!(floats.count() > 0, "`{}` is empty", path.display());
    let adder = || {
        let mut reader = floats.reader();
        move |span| reader.sum(options.kernel, span)
    };
    let summary = add_up(options, floats.spans(), adder, &path.display().to_string())?;
    if let Some(index) = summary.sum.first_without_root() {
        anyhow::bail!("number {index} of `{}` (from 0) is negative or none, and has no root", path.display());
    }
    ensure!(summary.sum.count() == floats.count(), "the file has {} numbers, not as many", floats.count());
    Ok(Summary { check: check_beginning(&floats, options.kernel)?, ..summary })
}

/// Adds the first numbers once more, in a plain loop.
fn check_beginning(floats: &Floats, kernel: Kernel) -> anyhow::Result<String> {
    let first = 0..floats.count().min(100_000);
    let mut reader = floats.reader();
    let plain: f64 = reader.read(first.clone())?.iter().map(|bytes| f64::from_le_bytes(*bytes).sqrt()).sum();
    let sum = reader.sum(kernel, first.clone())?.value();
    let same = sum == plain || (sum - plain).abs() <= 1e-10 * plain;
    ensure!(same, "the sum of the first {} roots is {sum:?}, but a plain loop says {plain:?}", first.end);
    Ok(format!("the first {} roots make {sum:?}, and {plain:?} in a plain loop", first.end))
}

/// The pipeline: spans, their sums, and the sum of these.
fn add_up<A>(
    options: &Options,
    spans: Spans,
    adder: impl Fn() -> A + Send + Sync,
    what: &str,
) -> anyhow::Result<Summary>
where
    A: FnMut(Range<u64>) -> Result<RootSum, FileError> + Send,
{
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = options.workers.into_iter().fold(pool, rayon::ThreadPoolBuilder::num_threads);
    let pool = pool.build().context("could not start the workers")?;
    let monitor = Monitor::new();
    let expected = spans.size_hint().0 as u64;
    let pipeline = Pipeline::extract(spans)
        .pool(&pool)
        .monitor(&monitor)
        .try_map_init(|| Ok::<_, FileError>(adder()), |adder, span| adder(span))
        .named("roots")
        .fold(RootSum::default, |total, part| total.merge(&part), |total, other| total.merge(&other));
    let start = Instant::now();
    let report = bar::watch(&monitor, Some(expected), || pipeline.run());
    let report = report.with_context(|| format!("could not add up {what}"))?;
    let elapsed = start.elapsed();
    Ok(Summary { sum: report.output.clone(), kernel: options.kernel, elapsed, check: String::new(), report })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.sum.count() as f64 / seconds.max(1e-9) / 1e9;
        writeln!(f, "sum of {} roots: {:?}", self.sum.count(), self.sum.value())?;
        writeln!(f, "checked: {}", self.check)?;
        writeln!(f, "{seconds:.3} s, {rate:.2} billion roots a second by {}\n", self.kernel)?;
        writeln!(f, "{}", self.report)
    }
}
