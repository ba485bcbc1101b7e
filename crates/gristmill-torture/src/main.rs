//! Hunts for broken promises.
//!
//! ```text
//! cargo run --release -p gristmill-torture -- --seeds 100000
//! cargo run --release -p gristmill-torture -- --seed 4711
//! cargo run --release -p gristmill-torture -- kill --times 1000
//! cargo run --release -p gristmill-torture -- crash [--errors]  # at every system call; needs strace
//! cargo run --release -p gristmill-torture -- signals --times 200
//! cargo run --release -p gristmill-torture -- starve            # of disk, memory, descriptors
//! cargo run --release -p gristmill-torture -- planted           # do the tests test?
//! cargo run --release -p gristmill-torture -- soak --minutes 10 # does anything pile up?
//! cargo run --release -p gristmill-torture -- heavy             # in a memory cgroup
//! cargo run --release -p gristmill-torture -- endless FILE      # then send it signals
//! ```

use gristmill_torture::endless::Endless;
use gristmill_torture::heavy::Heavy;
use gristmill_torture::job::Job;
use gristmill_torture::kill::Kills;
use gristmill_torture::kill::calls::Calls;
use gristmill_torture::kill::signals::Drains;
use gristmill_torture::kill::starve::Starve;
use gristmill_torture::soak::Soak;
use gristmill_torture::{kill, planted, sim};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that even this could not be said.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match args.first().and_then(|command| command.to_str()) {
        Some("endless") => Endless::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("heavy") => Heavy::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("job") => Job::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("kill") => Kills::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("crash") => Calls::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("signals") => Drains::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("starve") => Starve::parse(args.into_iter().skip(1))?.run(&mut out),
        Some("child") => kill::child(args.into_iter().skip(1), &mut out),
        Some("planted") => planted::run(args.into_iter().skip(1), &mut out),
        Some("soak") => Soak::parse(args.into_iter().skip(1))?.run(&mut out),
        _ => sim::run(&sim::args::parse(args.into_iter())?, &mut out),
    }
}
