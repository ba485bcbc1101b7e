//! The command line.

use anyhow::Context;
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::ops::Range;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Command {
    seeds: Range<u64>,
    verbose: bool,
    help: bool,
}

impl Command {
    /// To play these seeds.
    #[must_use]
    pub fn seeds_in(seeds: Range<u64>) -> Self {
        Command { seeds, verbose: false, help: false }
    }

    pub(super) fn seeds(&self) -> Range<u64> {
        self.seeds.clone()
    }

    /// What is to be printed instead.
    pub(super) fn help(&self) -> Option<&'static str> {
        self.help.then_some(HELP)
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }
}

/// How to call the program.
pub const HELP: &str = "\
Plays pipelines drawn by seeds, each in an order drawn by its seed, with faults, and checks every promise.

Usage: gristmill-torture [--seeds N] [--first S] [--seed S]

  --seeds N   how many seeds (2000)
  --first S   the first of them (0)
  --seed S    one seed, and say what it draws
  --help      this
";

/// Reads the arguments.
///
/// # Errors
///
/// Names the argument that cannot be understood.
pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Command> {
    let mut parser = Parser::from_args(args);
    let (mut first, mut count, mut only) = (0u64, 2_000u64, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("seeds") => count = number(&mut parser, "--seeds")?,
            Arg::Long("first") => first = number(&mut parser, "--first")?,
            Arg::Long("seed") => only = Some(number(&mut parser, "--seed")?),
            Arg::Long("help") | Arg::Short('h') => {
                return Ok(Command { seeds: 0..0, verbose: false, help: true });
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(match only {
        Some(seed) => Command { seeds: seed..seed.saturating_add(1), verbose: true, help: false },
        None => Command { seeds: first..first.saturating_add(count), verbose: false, help: false },
    })
}

pub(crate) fn number(parser: &mut Parser, name: &str) -> anyhow::Result<u64> {
    parser.value()?.parse().with_context(|| format!("{name} takes a whole number"))
}
