//! A crash, or an error, at the first, second, third … system call of each kind.
//!
//! strace counts the calls of each thread, and lets the N-th kill the process or fail. N grows until a run comes through.

use super::job::{Place, Results, Task};
use super::kind::Kind;
use super::{History, or_all, store};
use anyhow::{Context, ensure};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Those by which a job makes anything durable.
const CALLS: [&str; 9] =
    ["openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate", "unlink", "fcntl"];
/// What fails, and how.
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];

/// What is done to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Crash,
    /// One call fails.
    Error(&'static str),
    /// That call fails, and all after it: a disk that stays full.
    Lasting(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Crash => f.write_str("a crash"),
            Fault::Error(error) => write!(f, "{error} once"),
            Fault::Lasting(error) => write!(f, "{error} from then on"),
        }
    }
}

/// How often a fault was seen to land, and how the process ended: by the fault, with a clean error, or well all the same.
#[derive(Debug, Default)]
struct Landed {
    crashed: u64,
    failed: u64,
    well: u64,
}

impl Landed {
    fn all(&self) -> u64 {
        self.crashed + self.failed + self.well
    }
}

/// Which calls to look at.
#[derive(Debug, Clone)]
pub struct Calls {
    stores: Vec<Kind>,
    rows: usize,
    /// Of a call, so many are looked at.
    most: u64,
    errors: bool,
}

impl Calls {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut calls = Calls { stores: Vec::new(), rows: 1_500, most: 400, errors: false };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("store") => calls.stores.push(store(&mut parser)?),
                Arg::Long("rows") => calls.rows = crate::sim::args::number(&mut parser, "--rows")?.try_into()?,
                Arg::Long("most") => calls.most = crate::sim::args::number(&mut parser, "--most")?,
                Arg::Long("errors") => calls.errors = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Calls { stores: or_all(calls.stores), ..calls })
    }

    /// Crashes at each of them, with one store after another, and says what came of it.
    ///
    /// # Errors
    ///
    /// When what is made in the end is not what an undisturbed run makes, or there is no strace.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        Command::new("strace").arg("-V").output().context("this needs strace")?;
        for kind in &self.stores {
            self.run_with(*kind, out).with_context(|| format!("with the store {kind}"))?;
        }
        Ok(())
    }

    fn run_with(&self, kind: Kind, out: &mut impl Write) -> anyhow::Result<()> {
        let place = Place::new(kind, self.rows)?;
        let whole = place.job("reference")?.finish(&mut History::default())?;
        let faults: Vec<Fault> = if self.errors {
            // What is interrupted is tried again, for as long as it is interrupted.
            let lasting = ERRORS.into_iter().filter(|error| *error != "EINTR").map(Fault::Lasting);
            ERRORS.into_iter().map(Fault::Error).chain(lasting).collect()
        } else {
            vec![Fault::Crash]
        };
        let mut all = 0;
        for fault in faults {
            for call in CALLS {
                // A lock that is taken with an error is another lock.
                if fault != Fault::Crash && call == "fcntl" {
                    continue;
                }
                let landed = self.enumerate(&place, call, fault, &whole)?;
                all += landed.all();
                writeln!(
                    out,
                    "{kind}: {fault} at {call}: {} runs, each as undisturbed in the end; {} came through, {} ended with an error",
                    landed.all(),
                    landed.well,
                    landed.failed
                )?;
                out.flush()?;
            }
        }
        writeln!(out, "{kind}: {all} faults landed, all as undisturbed in the end")?;
        out.flush()?;
        place.remove()
    }

    /// Lets the fault land at the first call, the second, and so on, until a run has no more of them.
    fn enumerate(&self, place: &Place, call: &str, fault: Fault, whole: &Results) -> anyhow::Result<Landed> {
        let mut landed = Landed::default();
        for number in 1..=self.most {
            let job = place.job(&format!("{call}-{number}"))?;
            let before = landed.all();
            let ended_well = disturb(&job, call, fault, number, &mut landed)?;
            let mut history = History::default();
            job.look(&mut history, ended_well).with_context(|| format!("after {fault} at {call} {number}"))?;
            let results = job.finish(&mut history).with_context(|| format!("after {fault} at {call} {number}"))?;
            ensure!(results == *whole, "{fault} at {call} {number} made {results:?}, not {whole:?}");
            // What could not be removed is left behind.
            if fault == Fault::Crash { job.clear() } else { job.sweep() }?;
            if landed.all() == before {
                break;
            }
        }
        Ok(landed)
    }
}

/// Runs the job with a fault at the call of a number; whether it came through.
fn disturb(job: &Task, call: &str, fault: Fault, number: u64, landed: &mut Landed) -> anyhow::Result<bool> {
    let inject = match fault {
        Fault::Crash => format!("inject={call}:signal=SIGKILL:when={number}"),
        Fault::Error(error) => format!("inject={call}:error={error}:when={number}"),
        Fault::Lasting(error) => format!("inject={call}:error={error}:when={number}+"),
    };
    let mut command: Vec<OsString> = ["strace", "-f", "-qq", "-e", &inject, "-e"].map(OsString::from).into();
    command.push(format!("trace={call}").into());
    command.extend(job.command());
    let status = job.spawn_as(&command)?.wait()?;
    if fault == Fault::Crash {
        landed.crashed += u64::from(status.signal() == Some(9) || status.code() == Some(137));
        return Ok(status.success());
    }
    // strace and the process complain to the same file.
    let said = job.said()?;
    let is_clean = match status.code() {
        Some(0) => true,
        // Nor can it say so when nothing can be written any more.
        Some(1) => said.contains("error: ") || (call == "write" && matches!(fault, Fault::Lasting(_))),
        // Its libraries could not be opened, so nothing of ours has run.
        Some(127) => call == "openat",
        _ => false,
    };
    ensure!(is_clean && !said.contains("panicked"), "{fault} at {call} {number}: it ended by {status}: {said}");
    if said.contains("(INJECTED)") {
        *(if status.success() { &mut landed.well } else { &mut landed.failed }) += 1;
    }
    Ok(status.success())
}
