//! Compresses a file or a pipe on all cores, in order, for `zstd -d` or `gzip -d` to read.
//!
//! ```text
//! cargo run --release --example compress
//! cargo run --release --example compress -- --level 9 big.tar
//! tar c folder | cargo run --release --example compress -- --format gzip - > folder.tar.gz
//! ```
//!
//! Without arguments it compresses a text that it makes itself, reads the result back and compares. The parts are in
//! `src/compress/` and in the crate `gristmill-compress`.
#![allow(clippy::print_stderr, reason = "it is a program: this is how it speaks")]

use anyhow::Context;
use gristmill_examples::compress::args::{self, Command, HELP, Output};
use gristmill_examples::compress::run;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

/// The run failed.
const FAILED: u8 = 1;
/// There was no run, as the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => run(&options).and_then(|summary| tell(&options.output, &summary.to_string())),
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

/// Standard output may have what was compressed; then what there is to say goes to standard error.
fn tell(output: &Output, text: &str) -> anyhow::Result<()> {
    if *output != Output::Stdout {
        return print(text);
    }
    // Somebody who closed it does not want to know.
    let _ = stderr().write_all(text.as_bytes());
    Ok(())
}

/// Prints to whatever standard output is: a pipe that nobody reads any more is no failure, a full disk is.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(()),
    }
}
