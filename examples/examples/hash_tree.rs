//! Checksums of trees, like `b3sum`, `sha256sum` and `xxhsum`, on every core.
//!
//! ```text
//! cargo run --release -p gristmill-examples --example hash_tree -- some/folder >list
//! cargo run --release -p gristmill-examples --example hash_tree -- --check list
//! ```
//!
//! Without arguments it makes a small tree, hashes it, compares every digest with that of a plain loop, and checks the
//! list. The list goes to standard output, all else to standard error. The parts are in `src/hash_tree/`.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::Context;
use gristmill_examples::hash_tree::args::{self, Command, HELP};
use gristmill_examples::hash_tree::{self, check, demo};
use std::io::{BufWriter, Error, ErrorKind, Write, stdout};
use std::process::ExitCode;

/// A file has no digest, or not the one it should have.
const REJECTED: u8 = 1;
/// There was no run, as the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("error: {error}\n\nTry --help.");
            return ExitCode::from(USAGE);
        }
    };
    match perform(&command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(REJECTED),
        // Who reads the list has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(REJECTED)
        }
    }
}

/// Does it, and tells whether all is as it should be.
fn perform(command: &Command) -> anyhow::Result<bool> {
    let mut out = BufWriter::new(stdout());
    let is_well = match command {
        Command::Help => {
            out.write_all(HELP.as_bytes())?;
            true
        }
        Command::Hash(job) if job.roots.is_empty() => {
            let summary = demo::run(job, &mut out)?;
            eprint!("{summary}");
            true
        }
        Command::Hash(job) => {
            let summary = hash_tree::run(job, &mut out)?;
            out.flush().context("could not print")?;
            eprint!("{summary}");
            summary.rejected.is_empty()
        }
        Command::Check(job, list) => {
            let summary = check::run(job, list, &mut out)?;
            out.flush().context("could not print")?;
            eprint!("{summary}");
            summary.is_well()
        }
    };
    out.flush().context("could not print")?;
    Ok(is_well)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<Error>()).any(|error| error.kind() == ErrorKind::BrokenPipe)
}
