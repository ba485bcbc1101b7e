//! Peak memory, each contender's in a process of its own.

use std::ffi::OsStr;
use std::process::Command;
use std::{env, fs, io};

use crate::case::{self, Case};
use crate::contenders::Contender;
use crate::job::Job;
use crate::resources::Resources;

/// The option that makes the `compare` binary do [one run](run_one) and print its peak.
pub const ONE: &str = "one";

/// The most memory this process has had resident so far, in MiB, where the system tells.
#[must_use]
pub fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    parse_peak(&status)
}

fn parse_peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib / 1024.0)
}

/// Does one full run and returns the peak of this process.
#[must_use]
pub fn run_one(case: &Case, contender: &Contender) -> Option<f64> {
    let job = Job::new(case, contender.items(case), &case::calibrate());
    (contender.run)(&job, &Resources::new(case.workers));
    peak_rss_mib()
}

/// The peak of one full run in a child process, `None` where the system does not tell.
///
/// # Errors
///
/// If the child cannot be started or fails.
pub fn peak_in_child(case: &Case, contender: &str) -> io::Result<Option<f64>> {
    peak_of([format!("--{ONE}"), case.to_string(), contender.to_owned()])
}

/// The peak of this program called with other arguments, which make it print that.
///
/// # Errors
///
/// If the child cannot be started or fails.
pub fn peak_of<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> io::Result<Option<f64>> {
    let output = Command::new(env::current_exe()?).args(args).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
    } else {
        let message = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("a run alone, for its memory, failed: {}", message.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 4 kB\n"), Some(2.0));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }
}
