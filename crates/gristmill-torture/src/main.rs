//! Hunts for broken promises.
//!
//! ```text
//! cargo run --release -p gristmill-torture -- --seeds 100000
//! cargo run --release -p gristmill-torture -- --seed 4711
//! ```

use gristmill_torture::sim;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match sim::args::parse(std::env::args_os().skip(1)).and_then(|command| sim::run(&command, &mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that even this could not be said.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
