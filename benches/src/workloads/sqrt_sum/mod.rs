//! Sums of square roots: of integers, and of a file of numbers.
//!
//! All contenders but `limit` run the same kernel over the same spans, so what differs is who deals them out. `limit` is
//! no contender but the bound: for integers, as many `vsqrtpd` on every core as there are roots to be taken, and nothing
//! else; for the file, reading every byte of the map once. It gives the answer that it is told.

mod data;
#[cfg(target_arch = "x86_64")]
mod limit;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gristmill::prelude::*;
use gristmill_sqrt_sum::{FileError, Floats, Kernel, RootSum, Spans, spans};
use rayon::prelude::*;

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::workloads::Workload;

/// As `compare` knows it.
pub const SQRT_SUM: Workload = Workload { name: "sqrt-sum", contests };

/// Who does the work.
pub const CONTENDERS: [Contender; 4] =
    [("gristmill", by_gristmill), ("sequential", by_loop), ("threads", by_threads), ("rayon", by_rayon)];

/// A name, and what adds up a job.
pub type Contender = (&'static str, fn(&Job) -> Result<RootSum, Failure>);

/// What is to be added.
#[derive(Clone, Debug)]
pub enum Job {
    /// The roots of these integers.
    Integers(Kernel, Range<u64>),
    /// The roots of the numbers in a file.
    File(Kernel, PathBuf, Access),
}

/// How to get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Access {
    Read,
    Map,
}

/// A job with its file open.
enum Input {
    Integers(Range<u64>),
    File(Floats),
}

impl Job {
    fn open(&self) -> Result<(Kernel, Input), FileError> {
        match self {
            Job::Integers(kernel, range) => Ok((*kernel, Input::Integers(range.clone()))),
            Job::File(kernel, path, Access::Read) => Ok((*kernel, Input::File(Floats::open(path)?))),
            // SAFETY: the file was made for this, and nobody changes it.
            Job::File(kernel, path, Access::Map) => Ok((*kernel, Input::File(unsafe { Floats::map(path)? }))),
        }
    }
}

impl Input {
    fn spans(&self) -> Spans {
        match self {
            Input::Integers(range) => spans(range.clone()),
            Input::File(floats) => floats.spans(),
        }
    }

    /// What adds up spans, for one worker.
    fn adder(&self, kernel: Kernel) -> impl FnMut(Range<u64>) -> Result<RootSum, FileError> + '_ {
        let mut reader = match self {
            Input::Integers(_) => None,
            Input::File(floats) => Some(floats.reader()),
        };
        move |span| match &mut reader {
            None => Ok(RootSum::of_range(kernel, span)),
            Some(reader) => reader.sum(kernel, span),
        }
    }
}

fn by_loop(job: &Job) -> Result<RootSum, Failure> {
    let (kernel, input) = job.open()?;
    let mut total = RootSum::default();
    let mut add = input.adder(kernel);
    for span in input.spans() {
        total.merge(&add(span)?);
    }
    Ok(total)
}

fn by_threads(job: &Job) -> Result<RootSum, Failure> {
    let (kernel, input) = job.open()?;
    let spans: Vec<Range<u64>> = input.spans().collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut total = RootSum::default();
        let mut add = input.adder(kernel);
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            total.merge(&add(span.clone())?);
        }
        Ok::<_, FileError>(total)
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut total = RootSum::default();
    for part in parts {
        total.merge(&part.map_err(|_| "a thread panicked")??);
    }
    Ok(total)
}

fn by_rayon(job: &Job) -> Result<RootSum, Failure> {
    let (kernel, input) = job.open()?;
    let spans: Vec<Range<u64>> = input.spans().collect();
    let parts = spans.into_par_iter().map_init(|| input.adder(kernel), |add, span| add(span));
    let total = parts.try_reduce(RootSum::default, |mut left, right| {
        left.merge(&right);
        Ok(left)
    });
    Ok(total?)
}

fn by_gristmill(job: &Job) -> Result<RootSum, Failure> {
    let (kernel, input) = job.open()?;
    let report = Pipeline::extract(input.spans())
        .try_map_init(|| Ok::<_, FileError>(input.adder(kernel)), |add, span| add(span))
        .fold(RootSum::default, |total, part| total.merge(&part), |total, other| total.merge(&other))
        .run()?;
    Ok(report.output)
}

fn cores() -> usize {
    rayon::current_num_threads()
}

fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let integers = if setup.quick { 4_000_000 } else { 2_000_000_000 };
    let numbers = if setup.quick { 1 << 18 } else { 1 << 29 };
    let file = data::file(&setup.data, numbers)?;
    let mut contests = Vec::new();
    for (name, job) in jobs(&file, integers) {
        let items = if let Job::Integers(..) = job { integers } else { numbers };
        contests.push(contest(name, items, job)?);
    }
    Ok(contests)
}

/// Every job that this processor can do.
fn jobs(file: &Path, integers: u64) -> Vec<(&'static str, Job)> {
    let best = Kernel::detect();
    let mut jobs = vec![
        ("mapped numbers", Job::File(best, file.to_owned(), Access::Map)),
        ("read numbers", Job::File(best, file.to_owned(), Access::Read)),
    ];
    for (name, kernel) in [("newton integers", "avx512-newton"), ("vsqrtpd integers", "avx512")] {
        if let Some(kernel) = Kernel::named(kernel) {
            jobs.insert(0, (name, Job::Integers(kernel, 1..integers + 1)));
        }
    }
    if jobs.len() == 2 {
        jobs.insert(0, ("best integers", Job::Integers(best, 1..integers + 1)));
    }
    jobs
}

fn contest(case: &str, items: u64, job: Job) -> Result<Contest, Failure> {
    let job = Arc::new(job);
    let entrant = |(name, add): Contender| {
        let job = Arc::clone(&job);
        Entrant::new(name, move || add(&job).map(|sum| answer(&sum)))
    };
    let mut entrants: Vec<Entrant> = CONTENDERS.map(entrant).into();
    entrants.extend(limit(&job, items)?);
    Ok(Contest { case: case.to_owned(), items, entrants })
}

fn answer(sum: &RootSum) -> String {
    format!("{:?} is the sum of {} roots", sum.value(), sum.count())
}

/// The bound, where there is one.
#[cfg(target_arch = "x86_64")]
fn limit(job: &Arc<Job>, items: u64) -> Result<Option<Entrant>, Failure> {
    let bound: Box<dyn Fn() -> Result<(), Failure>> = match (&**job, limit::Avx512::detect()) {
        (_, None) | (Job::File(_, _, Access::Read), _) => return Ok(None),
        (Job::Integers(..), Some(avx512)) => Box::new(move || {
            on_every_core(|| avx512.take_roots(items / cores() as u64));
            Ok(())
        }),
        (Job::File(_, path, Access::Map), Some(_)) => {
            let path = path.clone();
            Box::new(move || read_every_byte(&path))
        }
    };
    // Worked out when it is first asked for: a run of another contender must not pay for it.
    let mut expected = None;
    let job = Arc::clone(job);
    Ok(Some(Entrant::new("limit", move || {
        bound()?;
        if expected.is_none() {
            expected = Some(answer(&by_threads(&job)?));
        }
        Ok(expected.clone().unwrap_or_default())
    })))
}

#[cfg(not(target_arch = "x86_64"))]
fn limit(_: &Arc<Job>, _: u64) -> Result<Option<Entrant>, Failure> {
    Ok(None)
}

#[cfg(target_arch = "x86_64")]
fn on_every_core(work: impl Fn() + Sync) {
    thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(&work))));
}

#[cfg(target_arch = "x86_64")]
fn read_every_byte(path: &Path) -> Result<(), Failure> {
    // SAFETY: the file was made for this, and nobody changes it.
    let floats = unsafe { Floats::map(path)? };
    let spans: Vec<Range<u64>> = floats.spans().collect();
    let next = AtomicUsize::new(0);
    on_every_core(|| {
        let mut reader = floats.reader();
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let numbers = reader.read(span.clone()).unwrap_or_default();
            std::hint::black_box(numbers.iter().fold(0, |all, bytes| all | u64::from_ne_bytes(*bytes)));
        }
    });
    Ok(())
}
