//! A crash, or an error, at the first, second, third … system call of each kind.
//!
//! strace counts the calls of each thread, and lets the N-th kill the process or fail. N grows until a run comes through.

use super::job::{Place, Results, Task};
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
    Error(&'static str),
}

/// Which calls to look at.
#[derive(Debug, Clone)]
pub struct Calls {
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
        let mut calls = Calls { rows: 1_500, most: 400, errors: false };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("rows") => calls.rows = crate::sim::args::number(&mut parser, "--rows")?.try_into()?,
                Arg::Long("most") => calls.most = crate::sim::args::number(&mut parser, "--most")?,
                Arg::Long("errors") => calls.errors = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(calls)
    }

    /// Crashes at each of them, and says what came of it.
    ///
    /// # Errors
    ///
    /// When what is made in the end is not what an undisturbed run makes, or there is no strace.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        Command::new("strace").arg("-V").output().context("this needs strace")?;
        let place = Place::new(self.rows)?;
        let whole = place.job("reference")?.finish()?;
        let faults: Vec<Fault> = if self.errors { ERRORS.map(Fault::Error).into() } else { vec![Fault::Crash] };
        for fault in faults {
            for call in CALLS {
                // A lock that is taken with an error is another lock.
                if fault != Fault::Crash && call == "fcntl" {
                    continue;
                }
                let landed = self.enumerate(&place, call, fault, &whole)?;
                writeln!(out, "{fault:?} at {call}: {landed} runs, each as undisturbed in the end")?;
                out.flush()?;
            }
        }
        place.remove()
    }

    /// Returns how often the fault has landed.
    fn enumerate(&self, place: &Place, call: &str, fault: Fault, whole: &Results) -> anyhow::Result<u64> {
        let mut landed = 0;
        for number in 1..=self.most {
            let job = place.job(&format!("{call}-{number}"))?;
            let hit = disturb(&job, call, fault, number)?;
            landed += u64::from(hit);
            let results = job.finish().with_context(|| format!("after {fault:?} at {call} {number}"))?;
            ensure!(results == *whole, "{fault:?} at {call} {number} made {results:?}, not {whole:?}");
            // What could not be removed is left behind.
            if fault == Fault::Crash { job.clear() } else { job.sweep() }?;
            if !hit {
                break;
            }
        }
        Ok(landed)
    }
}

/// Runs the job with a fault at the call of a number; says whether that was seen to land.
fn disturb(job: &Task, call: &str, fault: Fault, number: u64) -> anyhow::Result<bool> {
    let what = match fault {
        Fault::Crash => "signal=SIGKILL".to_owned(),
        Fault::Error(error) => format!("error={error}"),
    };
    let inject = format!("inject={call}:{what}:when={number}");
    let mut command: Vec<OsString> = ["strace", "-f", "-qq", "-e", &inject, "-e"].map(OsString::from).into();
    command.push(format!("trace={call}").into());
    command.extend(job.command());
    let status = job.spawn_as(&command)?.wait()?;
    let said = job.said()?;
    match fault {
        Fault::Crash => Ok(status.signal() == Some(9) || status.code() == Some(137)),
        Fault::Error(_) => {
            ensure!(status.code().is_some(), "{call} {number}: an error made it end by {status}");
            Ok(said.contains("(INJECTED)"))
        }
    }
}
