//! Kills a real process again and again, lets it go on, and compares what it has made with what an uninterrupted one makes.
//!
//! There is a job for each kind of store ([`kind`]). Nothing in it has a constraint that would hide what comes twice. The
//! oracle reads the outputs itself after each death, and believes no report: of the library it takes only the position that
//! a checkpoint says, to hold it against what is stored.
//!
//! ```text
//! cargo run --release -p gristmill-torture -- kill --times 1000                  # at random moments, with each store
//! cargo run --release -p gristmill-torture -- kill --store from-fn --times 1000
//! cargo run --release -p gristmill-torture -- crash --store whole-lines          # at every system call, by strace
//! cargo run --release -p gristmill-torture -- signals --times 200                # SIGTERM and SIGINT, which drain
//! cargo run --release -p gristmill-torture -- starve --of disk                   # too little of something
//! ```

pub mod calls;
mod flights;
pub mod job;
pub mod kind;
mod numbers;
mod oracle;
pub mod signals;
pub mod starve;

use anyhow::{Context, bail, ensure};
use job::{Kept, Place, Results, Task};
use kind::Kind;
use lexopt::{Arg, Parser};
pub use oracle::History;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How often to kill.
#[derive(Debug, Clone)]
pub struct Kills {
    stores: Vec<Kind>,
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
        let mut kills = Kills { stores: Vec::new(), times: 25, seed: 1, rows: usize::MAX };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("store") => kills.stores.push(store(&mut parser)?),
                Arg::Long("times") => kills.times = crate::sim::args::number(&mut parser, "--times")?,
                Arg::Long("seed") => kills.seed = crate::sim::args::number(&mut parser, "--seed")?,
                Arg::Long("rows") => kills.rows = crate::sim::args::number(&mut parser, "--rows")?.try_into()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Kills { stores: or_all(kills.stores), ..kills })
    }

    /// Kills with one store after another, and says what came of it.
    ///
    /// # Errors
    ///
    /// When an item is missing, comes twice where it must not or is another one, or a run fails that was not killed.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        for kind in &self.stores {
            self.run_with(*kind, out).with_context(|| format!("with the store {kind}, seed {}", self.seed))?;
            out.flush()?;
        }
        Ok(())
    }

    fn run_with(&self, kind: Kind, out: &mut impl Write) -> anyhow::Result<()> {
        let place = Place::new(kind, self.rows)?;
        let began = Instant::now();
        let whole = place.job("reference")?.finish(&mut History::default())?;
        let took = began.elapsed();
        let mut moments = Moments::new(self.seed, took);
        let (mut seen, mut jobs) = (Seen::default(), 0);
        while seen.kills() < self.times {
            jobs += 1;
            let job = place.job(&format!("job-{jobs}"))?;
            // Of what may come again there is a bound in items where no time goes by between two checkpoints.
            let job = if kind.may_repeat() && jobs % 2 == 1 { job.at_once() } else { job };
            let results = kill_until_done(&job, &mut moments, &mut seen, self.times)?;
            ensure!(results == whole, "job {jobs} made {results:?}, not {whole:?}");
            job.clear()?;
        }
        writeln!(
            out,
            "{kind}: {} kills, {} in the middle; {jobs} jobs of {} rows and {} rejected, {jobs} equal to one that was not \
             killed. {seen}; that one took {took:.0?}, all together {:.0?}",
            seen.kills(),
            seen.middle,
            whole.rows,
            whole.rejected,
            began.elapsed(),
        )?;
        place.remove()
    }
}

/// The value of `--store`.
fn store(parser: &mut Parser) -> anyhow::Result<Kind> {
    parser.value()?.to_string_lossy().parse()
}

/// Those that were named, or all.
fn or_all(stores: Vec<Kind>) -> Vec<Kind> {
    if stores.is_empty() { Kind::ALL.into() } else { stores }
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
    /// What was stored once more, where that may be.
    repeated: u64,
    most_repeated: u64,
}

impl Seen {
    fn kills(&self) -> u64 {
        self.early + self.middle + self.late
    }

    /// A process that found `from` was killed when it had come `to`.
    fn kill(&mut self, from: Kept, to: Kept) -> Landed {
        let (count, landed) = match (to.complete, to.position != from.position) {
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
        let Seen { early, middle: _, late, from_the_beginning, from_the_middle, from_the_end, .. } = self;
        write!(
            f,
            "{early} before anything was stored, {late} after all was; of the runs that stored something or ended \
             {from_the_beginning} began, {from_the_middle} went on in the middle, {from_the_end} when all was done"
        )?;
        if self.repeated > 0 {
            write!(f, "; {} rows came again, of one kill at most {}", self.repeated, self.most_repeated)?;
        }
        Ok(())
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
    let (mut from, mut history) = (Kept::default(), History::default());
    let mut killed_when_done = false;
    // What has nothing more to store is killed once more, and then let be: there is more to be learned elsewhere.
    while !job.is_done()? && !killed_when_done && seen.kills() < times {
        killed_when_done = from.complete;
        let moment = if from.complete { moments.high } else { moments.next() };
        let status = kill_after(job.spawn()?, moment)?;
        let killed = status.signal() == Some(9);
        ensure!(killed || status.success(), "{job}: {status}, and nobody killed it: {}", job.said()?);
        let to = job.kept()?;
        job.look(&mut history, !killed)?;
        let landed = if killed { seen.kill(from, to) } else { Landed::Missed };
        if !from.complete {
            moments.learn(landed);
        }
        if !killed || to != from {
            seen.went_on(if job.kind().has_checkpoint() { from } else { Kept::default() });
        }
        // What was left of a file that grows was taken away.
        from = if killed { job.kept()? } else { to };
    }
    if !job.is_done()? {
        seen.went_on(if job.kind().has_checkpoint() { from } else { Kept::default() });
    }
    let results = job.finish(&mut history)?;
    seen.repeated += history.repeated;
    seen.most_repeated = seen.most_repeated.max(history.most_repeated);
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
    let [kind, folder, name, every] = args.as_slice() else {
        bail!("a child needs a store, a folder, a name and microseconds")
    };
    let every = every.to_str().and_then(|every| every.parse().ok()).context("no microseconds")?;
    let kind = kind.to_string_lossy().parse()?;
    job::work(kind, folder.as_ref(), &name.to_string_lossy(), Duration::from_micros(every), out)
}
