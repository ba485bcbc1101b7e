//! The programs that people use.

use std::fs::File;
use std::process::{Command, Stdio};

use super::Job;
use crate::contest::Failure;

/// Whether a program can be started.
pub fn is_installed(name: &str) -> bool {
    let mut command = Command::new(name);
    let version = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Lets `zstd` or `pigz` do a job.
pub fn compress(name: &str, level: i32, threads: usize, job: &Job) -> Result<(), Failure> {
    let threads = match name {
        "zstd" => format!("-T{threads}"),
        _ => format!("-p{threads}"),
    };
    let mut command = Command::new(name);
    command.args(["-q", "-c", &format!("-{level}"), &threads]).arg(&job.input);
    let output = command.stdout(File::create(&job.output)?).stderr(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("it failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
