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
use job::{Kept, Place, Results, Task};
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
        let mut moments = Moments::new(self.seed, took);
        let mut seen = Seen::default();
        let mut jobs = 0;
        while seen.kills() < self.times {
            jobs += 1;
            let job = place.job(&format!("job-{jobs}"))?;
            let results = kill_until_done(&job, &mut moments, &mut seen, self.times)?;
            ensure!(results == whole, "job {jobs} of seed {} made {results:?}, not {whole:?}", self.seed);
            job.clear()?;
        }
        writeln!(
            out,
            "{} kills in {jobs} jobs of {} rows and {} rejected: all as uninterrupted. {seen}; an uninterrupted run took \
             {took:.0?}, all together {:.0?}",
            seen.kills(),
            whole.rows,
            whole.rejected,
            began.elapsed(),
        )?;
        place.remove()
    }
}

/// What was seen to happen: a kill counts when the process died of it.
#[derive(Debug, Default)]
struct Seen {
    /// Before the process had stored anything more than it found.
    early: u64,
    /// When it had stored something, and something was left.
    middle: u64,
    /// When all was stored, and the database not yet in its place.
    late: u64,
    /// Runs that stored something, or ended: from where they went on.
    from_the_beginning: u64,
    from_the_middle: u64,
    from_the_end: u64,
}

impl Seen {
    fn kills(&self) -> u64 {
        self.early + self.middle + self.late
    }

    /// A process that found `from` was killed when it had come `to`.
    fn kill(&mut self, from: Kept, to: Kept) -> Landed {
        let (count, landed) = match (to.complete, to.position > from.position) {
            (true, _) => (&mut self.late, Landed::Late),
            (false, true) => (&mut self.middle, Landed::Middle),
            (false, false) => (&mut self.early, Landed::Early),
        };
        *count += 1;
        landed
    }

    fn went_on(&mut self, from: Kept) {
        let count = match from {
            Kept { complete: true, .. } => &mut self.from_the_end,
            Kept { position: 0, .. } => &mut self.from_the_beginning,
            Kept { .. } => &mut self.from_the_middle,
        };
        *count += 1;
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { early, middle, late, from_the_beginning, from_the_middle, from_the_end } = self;
        write!(
            f,
            "{middle} landed in the middle of the work, {early} before anything was stored, {late} after all was; of the \
             runs that stored something or ended {from_the_beginning} began, {from_the_middle} went on in the middle, \
             {from_the_end} when all was done"
        )
    }
}

/// Where a process was when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landed {
    Early,
    Middle,
    Late,
    /// It was not killed.
    Missed,
}

/// When to kill: between two moments that move to where kills land in the middle, however fast the machine is just now; and
/// every eighth time at any moment up to three times the later of them, for the beginning and the end.
struct Moments {
    seed: u64,
    low: Duration,
    high: Duration,
}

impl Moments {
    fn new(seed: u64, took: Duration) -> Self {
        Moments { seed, low: took / 20, high: took / 4 }
    }

    /// By SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> Duration {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let (from, to) = if mixed % 8 == 0 { (Duration::ZERO, self.high * 3) } else { (self.low, self.high) };
        from + (to - from).mul_f64((mixed >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// The shares of those that are too early and too late settle where the steps up and down weigh the same.
    fn learn(&mut self, landed: Landed) {
        self.low = self.low.mul_f64(if landed == Landed::Early { 1.08 } else { 0.98 });
        self.high = self.high.mul_f64(if matches!(landed, Landed::Missed | Landed::Late) { 0.85 } else { 1.03 });
        self.high = self.high.max(Duration::from_micros(100));
        self.low = self.low.min(self.high.mul_f64(0.9));
    }
}

/// Runs the job, kills it, and runs it again, until it is done.
fn kill_until_done(job: &Task, moments: &mut Moments, seen: &mut Seen, times: u64) -> anyhow::Result<Results> {
    let mut from = Kept::default();
    let mut killed_when_done = false;
    // What has nothing more to store is killed once more, and then let be: there is more to be learned elsewhere.
    while !job.is_done() && !killed_when_done && seen.kills() < times {
        killed_when_done = from.complete;
        let moment = if from.complete { moments.high } else { moments.next() };
        let status = kill_after(job.spawn()?, moment)?;
        let killed = status.signal() == Some(9);
        ensure!(killed || status.success(), "{job}: {status}, and nobody killed it: {}", job.said()?);
        let to = job.kept()?;
        let landed = if killed { seen.kill(from, to) } else { Landed::Missed };
        if !from.complete {
            moments.learn(landed);
        }
        if !killed || to != from {
            seen.went_on(from);
        }
        from = to;
    }
    if !job.is_done() {
        seen.went_on(from);
    }
    job.finish()
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
