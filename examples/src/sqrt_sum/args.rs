//! The command line.

use crate::values;
use gristmill_sqrt_sum::{Kernel, MAX_INTEGER};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Adds up square roots: of the integers from 1 to N, or of the numbers in a file.

Usage: sqrt_sum [OPTIONS] [FILE]

Arguments:
  [FILE]  64-bit floating-point numbers, little-endian, and nothing else

Options:
  --to N         without a file: the last integer [default: 1000000000]
  --mmap         map the file into memory; nobody may change or truncate it meanwhile
  --kernel NAME  portable, avx2, avx512 or avx512-newton [default: the fastest that the processor has]
  --workers N    threads that add [default: as many as there are cores]
  --help         print this
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The help.
    Help,
    /// A sum.
    Run(Options),
}

/// What to add up, and how.
#[derive(Debug)]
#[expect(missing_docs, reason = "as in the help")]
pub struct Options {
    pub file: Option<PathBuf>,
    pub last: u64,
    pub mapped: bool,
    pub kernel: Kernel,
    pub workers: Option<usize>,
}

/// Reads the arguments, without the name of the program.
///
/// # Errors
///
/// When one is unknown, lacks its value, or has one that cannot be.
pub fn parse(arguments: impl IntoIterator<Item: Into<OsString>>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_args(arguments);
    let mut options =
        Options { file: None, last: 1_000_000_000, mapped: false, kernel: Kernel::detect(), workers: None };
    let mut has_last = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("to") => {
                options.last = values::number(&mut parser, "--to", 0, MAX_INTEGER - 1)?;
                has_last = true;
            }
            Arg::Long("mmap") => options.mapped = true,
            Arg::Long("kernel") => options.kernel = kernel(&parser.value()?.string()?)?,
            Arg::Long("workers") => options.workers = Some(values::threads(&mut parser, "--workers")?),
            Arg::Value(path) if options.file.is_none() && !path.is_empty() => options.file = Some(path.into()),
            unknown => return Err(unknown.unexpected()),
        }
    }
    match (&options.file, has_last, options.mapped) {
        (Some(_), true, _) => Err("--to is for integers, not for a file".into()),
        (None, _, true) => Err("--mmap needs a file".into()),
        _ => Ok(Command::Run(options)),
    }
}

fn kernel(name: &str) -> Result<Kernel, lexopt::Error> {
    let names = || Kernel::available().map(Kernel::name).collect::<Vec<_>>().join(", ");
    Kernel::named(name)
        .ok_or_else(|| format!("--kernel must be one that this processor can run ({}), not `{name}`", names()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &[&str]) -> String {
        parse(arguments).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn arguments_are_taken_or_refused_by_name() {
        let Ok(Command::Run(options)) = parse(["--mmap", "--kernel=portable", "--workers", "3", "a.f64"]) else {
            panic!("they are right")
        };
        assert_eq!((options.mapped, options.kernel.name(), options.workers), (true, "portable", Some(3)));
        assert!(matches!(parse(["-h"]), Ok(Command::Help)));

        for text in ["-1", "", "many", "9007199254740992", "99999999999999999999999"] {
            assert!(error(&["--to", text]).contains("--to"));
        }
        assert!(error(&["--workers", "0"]).contains("--workers"));
        assert!(error(&["--kernel", "mmx"]).contains("portable"));
        assert!(error(&["--mmap"]).contains("needs a file"));
        assert!(error(&["a", "b"]).contains("\"b\""));
        assert!(error(&["--to", "3", "a"]).contains("not for a file"));
        assert!(error(&["--too", "3"]).contains("--too"));
    }
}
