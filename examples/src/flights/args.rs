//! The command line.

use super::database::Existing;
use super::source::Input;
use super::tables::shipped;
use gristmill::Bytes;
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Puts flights from CSV files into an SQLite database, and shows who was late.

Usage: flights [OPTIONS] [PATH...]

Arguments:
  [PATH...]  CSV files of flights; without any, those of January 2013 that come with the project

Options:
  --db FILE            where the database is to be [default: in a new temporary directory]
  --dead-letters FILE  where rows go that cannot be parsed [default: beside the database, `.rejected.tsv`]
  --replace            replace both files if they are there
  --workers N          threads that parse [default: as many as there are cores]
  --memory BYTES       bytes in flight at most, such as 64MiB [default: no bound but the window]
  --resume             keep checkpoints, and go on where a run with the same arguments was killed
  --ordered            store rows in the order of the files
  --mmap               map the files into memory; nobody may change or truncate them meanwhile
  --help               print this
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The help.
    Help,
    /// A run.
    Run(Options),
}

/// What a run is to do, as far as the user has said.
#[derive(Debug)]
#[expect(missing_docs, reason = "as in the help")]
pub struct Options {
    pub inputs: Vec<Input>,
    pub database: Option<PathBuf>,
    pub dead_letters: Option<PathBuf>,
    pub existing: Existing,
    pub workers: Option<usize>,
    pub memory: Option<Bytes>,
    pub ordered: bool,
    pub resume: bool,
}

/// The most workers that are taken for a serious wish.
const MOST_WORKERS: usize = 1_024;

/// Reads the arguments, without the name of the program.
///
/// # Errors
///
/// When one is unknown, lacks its value, or has one that cannot be.
pub fn parse(arguments: impl IntoIterator<Item: Into<OsString>>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_args(arguments);
    let mut paths: Vec<PathBuf> = Vec::new();
    let (mut database, mut dead_letters, mut workers, mut memory) = (None, None, None, None);
    let (mut existing, mut ordered, mut resume, mut mapped) = (Existing::Refuse, false, false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("db") => database = Some(path(parser.value()?, "--db")?),
            Arg::Long("dead-letters") => dead_letters = Some(path(parser.value()?, "--dead-letters")?),
            Arg::Long("replace") => existing = Existing::Replace,
            Arg::Long("workers") => workers = Some(parse_workers(&parser.value()?.string()?)?),
            Arg::Long("memory") => memory = Some(parse_memory(&parser.value()?.string()?)?),
            Arg::Long("ordered") => ordered = true,
            Arg::Long("resume") => resume = true,
            Arg::Long("mmap") => mapped = true,
            Arg::Value(value) => paths.push(path(value, "PATH")?),
            unknown => return Err(unknown.unexpected()),
        }
    }
    if resume && database.is_none() {
        return Err("--resume needs --db: a new temporary directory is found by no other run".into());
    }
    let inputs = if paths.is_empty() {
        // SAFETY: the data of the project are changed by nobody while its examples run.
        vec![unsafe { Input::map(shipped("flights-2013-01.csv")) }]
    } else if mapped {
        // SAFETY: the user vouches for that with `--mmap`; the help says so.
        paths.into_iter().map(|path| unsafe { Input::map(path) }).collect()
    } else {
        paths.into_iter().map(Input::read).collect()
    };
    Ok(Command::Run(Options { inputs, database, dead_letters, existing, workers, memory, ordered, resume }))
}

fn path(value: OsString, option: &str) -> Result<PathBuf, lexopt::Error> {
    if value.is_empty() { Err(format!("{option} is an empty path").into()) } else { Ok(value.into()) }
}

fn parse_workers(text: &str) -> Result<usize, lexopt::Error> {
    match text.parse() {
        Ok(workers @ 1..=MOST_WORKERS) => Ok(workers),
        _ => Err(format!("--workers must be a number from 1 to {MOST_WORKERS}, not `{text}`").into()),
    }
}

fn parse_memory(text: &str) -> Result<Bytes, lexopt::Error> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => Some(0),
        "KiB" | "K" => Some(10),
        "MiB" | "M" => Some(20),
        "GiB" | "G" => Some(30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes @ 1..) => Ok(Bytes::new(bytes)),
        _ => Err(format!("--memory must be a number of bytes above zero, such as 64MiB, not `{text}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, String> {
        match parse(arguments) {
            Ok(Command::Run(options)) => Ok(options),
            Ok(Command::Help) => Err("help".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn arguments_are_taken_or_refused_by_name() {
        let all =
            options(&["--db=x.db", "--workers", "3", "--memory", "64MiB", "--ordered", "a.csv", "b.csv"]).unwrap();
        assert_eq!((all.workers, all.memory, all.ordered), (Some(3), Some(Bytes::mib(64)), true));
        assert_eq!(all.inputs.len(), 2);
        assert_eq!(options(&[]).unwrap().inputs[0].path(), shipped("flights-2013-01.csv"));

        let refused = |arguments: &[&str], word: &str| {
            let error = options(arguments).unwrap_err();
            assert!(error.contains(word), "{arguments:?}: {error}");
        };
        for workers in ["0", "-1", "many", "", "1e9", "99999999999999999999999"] {
            refused(&["--workers", workers], "--workers");
        }
        for memory in ["0", "0MiB", "MiB", "-5", "64 parsecs", "99999999999999999999GiB", "18446744073709551615K"] {
            refused(&["--memory", memory], "--memory");
        }
        refused(&["--db"], "--db");
        refused(&["--db", ""], "--db");
        refused(&["--wrokers", "2"], "--wrokers");
        refused(&["--resume"], "--db");
        refused(&["--help"], "help");
    }

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, bytes) in
            [("1", 1), ("10B", 10), ("2K", 2_048), ("2 KiB", 2_048), ("3MiB", 3 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(parse_memory(text).unwrap(), Bytes::new(bytes), "{text}");
        }
    }
}
