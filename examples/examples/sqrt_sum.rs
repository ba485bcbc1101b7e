//! Adds up square roots on all cores, to the same bits on any computer.
//!
//! ```text
//! cargo run --release --example sqrt_sum
//! cargo run --release --example sqrt_sum -- --mmap numbers.f64
//! ```
//!
//! Without arguments it adds up the roots of the first billion integers, and compares the sum with the formula
//! of Euler and Maclaurin. The parts are in `src/sqrt_sum/` and in the crate `gristmill-sqrt-sum`.

use gristmill_examples::program::{end, print, refuse};
use gristmill_examples::sqrt_sum::args::{self, Command, HELP};
use gristmill_examples::sqrt_sum::run;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => run(&options).and_then(|summary| print(&summary.to_string())),
        Err(error) => return refuse(&error),
    };
    end(done)
}
