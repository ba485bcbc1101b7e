//! Kills a real process again and again, lets it go on, and compares what it has made with what an uninterrupted one makes.
//!
//! The job is that of the example `flights`: CSV to SQLite, with rows that are none in a file of their own. Its table has no
//! constraint that would hide a row that comes twice. The oracle reads the database itself, and believes no report.
//!
//! ```text
//! cargo run --release -p gristmill-torture -- kill --times 1000    # at random moments
//! cargo run --release -p gristmill-torture -- crash                # at every system call of a kind, by strace
//! ```

pub mod calls;
pub mod job;

use anyhow::{Context, bail, ensure};
use job::{Place, Results};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How often to kill.
#[derive(Debug, Clone)]
pub struct Kills {
    times: u64,
    seed: u64,
    rows: usize,
}

impl Kills {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut kills = Kills { times: 25, seed: 1, rows: usize::MAX };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("times") => kills.times = crate::sim::args::number(&mut parser, "--times")?,
                Arg::Long("seed") => kills.seed = crate::sim::args::number(&mut parser, "--seed")?,
                Arg::Long("rows") => kills.rows = crate::sim::args::number(&mut parser, "--rows")?.try_into()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(kills)
    }

    /// Kills, and says what came of it.
    ///
    /// # Errors
    ///
    /// When a row is missing, comes twice or is another one, or a run fails that was not killed.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let place = Place::new(self.rows)?;
        let began = Instant::now();
        let whole = place.job("reference")?.finish()?;
        let took = began.elapsed();
        let mut moments = Moments { seed: self.seed, longest: took.mul_f64(0.8) };
        let mut seen = Seen::default();
        let mut jobs = 0;
        while seen.kills < self.times {
            jobs += 1;
            let results = kill_until_done(&place, &format!("job-{jobs}"), &mut moments, &mut seen, self.times)?;
            ensure!(results == whole, "job {jobs} of seed {} made {results:?}, not {whole:?}", self.seed);
        }
        writeln!(
            out,
            "{} kills in {jobs} jobs of {} rows and {} rejected: all as uninterrupted. {} runs went on in the middle, \
             {} at the beginning, {} when all was done; an uninterrupted run took {took:.0?}, all together {:.0?}",
            seen.kills,
            whole.rows,
            whole.rejected,
            seen.in_the_middle,
            seen.at_the_beginning,
            seen.when_done,
            began.elapsed(),
        )?;
        place.remove()
    }
}

/// What was seen to happen: a kill counts when the process died of it.
#[derive(Debug, Default)]
struct Seen {
    kills: u64,
    in_the_middle: u64,
    at_the_beginning: u64,
    when_done: u64,
}

/// When to kill: after no time at all, up to nearly as long as the job takes alone. What is gone on with takes less, so some
/// are not killed any more.
struct Moments {
    seed: u64,
    longest: Duration,
}

impl Moments {
    /// By SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> Duration {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.longest.mul_f64((mixed ^ mixed >> 31) as f64 / u64::MAX as f64)
    }
}

/// Runs the job, kills it, and runs it again, until it is done.
fn kill_until_done(
    place: &Place,
    name: &str,
    moments: &mut Moments,
    seen: &mut Seen,
    times: u64,
) -> anyhow::Result<Results> {
    let job = place.job(name)?;
    while !job.is_done() {
        if seen.kills == times {
            break;
        }
        let child = job.spawn()?;
        let status = kill_after(child, moments.next())?;
        if status.signal() == Some(9) {
            seen.kills += 1;
            continue;
        }
        ensure!(status.success(), "{name}: {status}, and nobody killed it: {}", job.said()?);
        match job.resumed_at()? {
            None | Some(0) => seen.at_the_beginning += 1,
            Some(position) if position >= place.pieces()? => seen.when_done += 1,
            Some(_) => seen.in_the_middle += 1,
        }
    }
    let results = job.finish()?;
    job.clear()?;
    Ok(results)
}

/// Lets a process live for so long.
fn kill_after(mut child: Child, moment: Duration) -> anyhow::Result<ExitStatus> {
    let deadline = Instant::now() + moment;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_micros(300).min(deadline.saturating_duration_since(Instant::now())));
    }
    child.kill().context("could not kill")?;
    Ok(child.wait()?)
}

/// Runs the job as the child that is killed.
///
/// # Errors
///
/// When the job fails.
pub fn child(args: impl Iterator<Item = OsString>, out: &mut impl Write) -> anyhow::Result<()> {
    let args: Vec<OsString> = args.collect();
    let [folder, name, every] = args.as_slice() else { bail!("a child needs a folder, a name and microseconds") };
    let every = every.to_str().and_then(|every| every.parse().ok()).context("no microseconds")?;
    job::work(folder.as_ref(), &name.to_string_lossy(), Duration::from_micros(every), out)
}
