//! How the example programs speak and end.
#![allow(clippy::print_stderr, reason = "called by programs: this is how they speak")]

use anyhow::Context;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;

/// There was no run, as the command line was wrong.
const USAGE: u8 = 2;

/// Says what went wrong, if anything did, and how the program ends.
pub fn end(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, and how the program ends.
pub fn refuse(error: &dyn Display) -> ExitCode {
    eprintln!("error: {error}\n\nTry --help.");
    ExitCode::from(USAGE)
}

/// Prints to whatever standard output is: a pipe that nobody reads any more is no failure, a full disk is.
///
/// # Errors
///
/// If it cannot be written to.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(()),
    }
}
