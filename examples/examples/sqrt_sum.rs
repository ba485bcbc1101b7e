//! Adds up square roots on all cores, to the same bits on any computer.
//!
//! ```text
//! cargo run --release --example sqrt_sum
//! cargo run --release --example sqrt_sum -- --mmap numbers.f64
//! ```
//!
//! Without arguments it adds up the roots of the first billion integers, and compares the sum with the formula
//! of Euler and Maclaurin. The parts are in `src/sqrt_sum/` and in the crate `gristmill-sqrt-sum`.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::Context;
use gristmill_examples::sqrt_sum::args::{self, Command, HELP};
use gristmill_examples::sqrt_sum::run;
use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;

/// The run failed.
const FAILED: u8 = 1;
/// There was no run, as the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => run(&options).and_then(|summary| print(&summary.to_string())),
        Err(error) => {
            eprintln!("error: {error}\n\nTry --help.");
            return ExitCode::from(USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Prints to whatever standard output is: a pipe that nobody reads any more is no failure, a full disk is.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(()),
    }
}
