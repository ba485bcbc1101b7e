//! The command line.

use super::Job;
use crate::values;
use gristmill_hashing::{Algorithm, Links};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Prints the digests of files, those in directories included, as b3sum, sha256sum and xxhsum do.

Usage: hash_tree [OPTIONS] [PATH...]
       hash_tree [OPTIONS] --check LIST

Arguments:
  [PATH...]  files and directories; without any, a small tree made for the purpose

Options:
  --algorithm NAME  blake3, sha256 or xxh3 (128 bits) [default: blake3]
  --check LIST      check the files of a list instead of making one; - for standard input
  --follow          follow symbolic links inside directories, which are passed over otherwise
  --mmap            map large files into memory; nobody may change or truncate them meanwhile
  --threads N       threads that read and hash [default: four for each core]
  --help            print this

The list goes to standard output, all else to standard error. The exit status is 1 if a file could not be read or
changed meanwhile, or if a file of the list, or a line of it, is not as it should be.
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The help.
    Help,
    /// A list of digests.
    Hash(Job),
    /// The check of a list.
    Check(Job, PathBuf),
}

/// Reads the arguments, without the name of the program.
///
/// # Errors
///
/// When one is unknown, lacks its value, or has one that cannot be.
pub fn parse(arguments: impl IntoIterator<Item: Into<OsString>>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_args(arguments);
    let mut job =
        Job { roots: Vec::new(), algorithm: Algorithm::Blake3, links: Links::Skip, mapped: false, threads: None };
    let mut list = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("algorithm") => job.algorithm = parser.value()?.parse()?,
            Arg::Long("check") => list = Some(PathBuf::from(parser.value()?)),
            Arg::Long("follow") => job.links = Links::Follow,
            Arg::Long("mmap") => job.mapped = true,
            Arg::Long("threads") => job.threads = Some(values::threads(&mut parser, "--threads")?),
            Arg::Value(value) if value.is_empty() => return Err("PATH is empty".into()),
            Arg::Value(value) => job.roots.push(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    match list {
        Some(_) if !job.roots.is_empty() => Err("--check takes no PATH beside the list".into()),
        Some(list) => Ok(Command::Check(job, list)),
        None => Ok(Command::Hash(job)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood() {
        let Ok(Command::Hash(job)) = parse(["--algorithm=sha256", "--threads", "3", "--follow", "--mmap", "a", "b"])
        else {
            panic!("not a list");
        };
        assert_eq!(
            (job.algorithm, job.threads, job.links, job.mapped),
            (Algorithm::Sha256, Some(3), Links::Follow, true)
        );
        assert_eq!(job.roots, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(matches!(parse(["--check", "list"]), Ok(Command::Check(_, list)) if list.as_os_str() == "list"));
        assert!(matches!(parse(["a", "-h"]), Ok(Command::Help)));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (vec!["--algorithm", "md5"], "no hash function is named `md5`"),
            (vec!["--threads", "0"], "from 1 to 1024"),
            (vec!["--check"], "--check"),
            (vec!["--check", "list", "path"], "no PATH"),
            (vec!["--mnap"], "--mnap"),
            (vec![""], "PATH is empty"),
        ];
        for (arguments, words) in cases {
            let error = parse(arguments.clone()).expect_err("a mistake").to_string();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
    }
}
