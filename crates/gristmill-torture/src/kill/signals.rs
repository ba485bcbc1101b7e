//! Drains a real process again and again, at moments that move to where there is work, and lets it go on.
//!
//! After a drain the checkpoint is where the outputs are: nothing comes again, with whichever store. Every fourth time a
//! second signal follows, which cancels: then what came after the last checkpoint may come again where that is promised, and
//! the process must end soon.

use super::job::{Kept, Place, Results, Task};
use super::kind::Kind;
use super::{History, Landed, Moments, store};
use anyhow::{Context, ensure};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A process that does not end is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// How often to send signals.
#[derive(Debug, Clone)]
pub struct Drains {
    stores: Vec<Kind>,
    times: u64,
    seed: u64,
    /// What a process may take to end after the second signal.
    within: Duration,
}

/// What came of the signals.
#[derive(Debug, Default)]
struct Seen {
    /// The run stored what was in flight and kept a checkpoint, with work left.
    drained: u64,
    /// A second signal cancelled it.
    cancelled: u64,
    /// It was over before, or there was nothing left to do.
    late: u64,
    /// The process had no handler yet, so the signal ended it.
    early: u64,
    slowest: Duration,
}

impl Seen {
    fn all(&self) -> u64 {
        self.drained + self.cancelled + self.late + self.early
    }
}

impl Drains {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut drains = Drains { stores: Vec::new(), times: 25, seed: 1, within: Duration::from_secs(1) };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("store") => drains.stores.push(store(&mut parser)?),
                Arg::Long("times") => drains.times = crate::sim::args::number(&mut parser, "--times")?,
                Arg::Long("seed") => drains.seed = crate::sim::args::number(&mut parser, "--seed")?,
                Arg::Long("within-ms") => drains.within = Duration::from_millis(parser.value()?.parse()?),
                other => return Err(other.unexpected().into()),
            }
        }
        if drains.stores.is_empty() {
            // Those that go on, and listen to signals.
            drains.stores = vec![Kind::SqliteAndFile, Kind::WholeLines, Kind::TwoEnds, Kind::FromFn];
        }
        let refused = drains.stores.iter().find(|kind| !kind.has_checkpoint() || **kind == Kind::Sqlite);
        ensure!(refused.is_none(), "a job with {:?} does not listen to signals, or does not go on", refused);
        Ok(drains)
    }

    /// Sends signals to jobs with one store after another, and says what came of it.
    ///
    /// # Errors
    ///
    /// When something is missing or comes twice, or a process ends in another way than it should.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        for kind in &self.stores {
            self.run_with(*kind, out).with_context(|| format!("with the store {kind}, seed {}", self.seed))?;
            out.flush()?;
        }
        Ok(())
    }

    fn run_with(&self, kind: Kind, out: &mut impl Write) -> anyhow::Result<()> {
        let place = Place::new(kind, usize::MAX)?;
        let began = Instant::now();
        let whole = place.job("reference")?.finish(&mut History::default())?;
        let mut moments = Moments::new(self.seed, began.elapsed());
        let (mut seen, mut jobs) = (Seen::default(), 0);
        while seen.all() < self.times {
            jobs += 1;
            let job = place.job(&format!("job-{jobs}"))?;
            let results = self.signal_until_done(&job, &mut moments, &mut seen)?;
            ensure!(results == whole, "job {jobs} made {results:?}, not {whole:?}");
            job.clear()?;
        }
        let Seen { drained, cancelled, late, early, slowest } = &seen;
        writeln!(
            out,
            "{kind}: {} signals; {jobs} jobs, {jobs} equal to one that was left alone. {drained} drained and gone on with, \
             {cancelled} cancelled by a second signal within {slowest:.0?}, {late} over before, {early} not yet listening; \
             all together {:.0?}",
            seen.all(),
            began.elapsed(),
        )?;
        place.remove()
    }

    /// Runs the job, sends it signals, and runs it again, until it is done.
    fn signal_until_done(&self, job: &Task, moments: &mut Moments, seen: &mut Seen) -> anyhow::Result<Results> {
        let (mut from, mut history) = (Kept::default(), History::default());
        while !job.is_done()? && seen.all() < self.times {
            let twice = seen.all() % 4 == 3;
            let status = self.signal_after(job, moments.next(), twice, seen)?;
            let to = job.kept()?;
            job.look(&mut history, status.success())?;
            let (count, landed) = match (status.code(), status.signal()) {
                (Some(0), _) if job.is_done()? => (&mut seen.late, Landed::Late),
                (Some(0), _) => {
                    ensure!(history.is_level(), "{job}: it was drained, and what was stored comes again");
                    (&mut seen.drained, if to == from { Landed::Early } else { Landed::Middle })
                }
                (Some(1), _) if twice && job.said()?.contains("cancelled") => (&mut seen.cancelled, Landed::Middle),
                (_, Some(2 | 15)) => (&mut seen.early, Landed::Early),
                _ => anyhow::bail!("{job}: {status} after a signal: {}", job.said()?),
            };
            *count += 1;
            moments.learn(landed);
            from = to;
        }
        job.finish(&mut history)
    }

    /// Lets a process live for so long, and then sends it one signal or two.
    fn signal_after(&self, job: &Task, moment: Duration, twice: bool, seen: &mut Seen) -> anyhow::Result<ExitStatus> {
        let mut child = job.spawn()?;
        std::thread::sleep(moment);
        // Two different ones: of two equal signals the second may be lost while the first is pending.
        let names = if seen.all() % 2 == 0 { ["-TERM", "-INT"] } else { ["-INT", "-TERM"] };
        for name in &names[..if twice { 2 } else { 1 }] {
            // A process that has ended is still there to be sent one until it is waited for.
            let sent = Command::new("kill").args([name, &*child.id().to_string()]).status()?;
            ensure!(sent.success(), "could not send {name}");
        }
        let began = Instant::now();
        let status = end_of(&mut child).with_context(|| format!("{job}: {}", job.said().unwrap_or_default()))?;
        if twice {
            let took = began.elapsed();
            ensure!(took <= self.within, "{job}: it took {took:?} to end after the second signal");
            seen.slowest = seen.slowest.max(took);
        }
        Ok(status)
    }
}

/// Waits for the end. A process that does not end is killed, and an error.
fn end_of(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > STUCK {
            child.kill()?;
            anyhow::bail!("the process did not end within {STUCK:?} of a signal");
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}
