//! The command line.

use crate::values;
use gristmill::Bytes;
use gristmill_compress::{Encoding, Existing, Format};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What `--help` prints.
pub const HELP: &str = "\
Compresses a file or a pipe on all cores, in blocks that `zstd -d` or `gzip -d` reads as one stream.

Usage: compress [OPTIONS] [FILE]

Arguments:
  [FILE]  what to compress; `-` is standard input; without any, a text that the program makes

Options:
  --format NAME    zstd or gzip [default: zstd]
  --level N        from 1; the highest is 22 for zstd and 12 for gzip [default: 3 and 6]
  --block BYTES    compressed alone, such as 1MiB [default: 2MiB to 32MiB by the level for zstd, 1MiB for gzip]
  --no-checksum    leave out the checksum of zstd
  --output FILE    where to write; `-` is standard output [default: FILE with .zst or .gz; `-` for standard input]
  --force          replace the output if it is there
  --memory BYTES   bytes in flight at most, such as 64MiB [default: three blocks for each core]
  --workers N      threads that compress [default: as many as there are cores]
  --help           print this
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The help.
    Help,
    /// A compression.
    Run(Options),
}

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A text that the program makes.
    Sample,
    /// Standard input.
    Stdin,
    /// A file, a pipe, whatever can be opened.
    Path(PathBuf),
}

/// Where bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A temporary file that is removed in the end.
    Nowhere,
    /// Standard output.
    Stdout,
    /// A file.
    Path(PathBuf, Existing),
}

/// What to compress, and how.
#[derive(Debug)]
#[expect(missing_docs, reason = "as in the help")]
pub struct Options {
    pub input: Input,
    pub output: Output,
    pub encoding: Encoding,
    pub workers: Option<usize>,
}

/// What was said, as it was said.
#[derive(Default)]
struct Said {
    format: Option<Format>,
    level: Option<i32>,
    block: Option<Bytes>,
    memory: Option<Bytes>,
    no_checksum: bool,
    force: bool,
    workers: Option<usize>,
    input: Option<OsString>,
    output: Option<OsString>,
}

/// Reads the arguments, without the name of the program.
///
/// # Errors
///
/// When one is unknown, lacks its value, or has one that cannot be.
pub fn parse(arguments: impl IntoIterator<Item: Into<OsString>>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_args(arguments);
    let mut said = Said::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("format") => said.format = Some(format(&parser.value()?.string()?)?),
            Arg::Long("level") => said.level = Some(number(&parser.value()?.string()?, "--level")?),
            Arg::Long("block") => said.block = Some(values::bytes(&mut parser, "--block")?),
            Arg::Long("memory") => said.memory = Some(values::bytes(&mut parser, "--memory")?),
            Arg::Long("no-checksum") => said.no_checksum = true,
            Arg::Long("force") => said.force = true,
            Arg::Long("workers") => said.workers = Some(values::threads(&mut parser, "--workers")?),
            Arg::Long("output") | Arg::Short('o') => said.output = Some(parser.value()?),
            Arg::Value(path) if said.input.is_none() && !path.is_empty() => said.input = Some(path),
            unknown => return Err(unknown.unexpected()),
        }
    }
    said.options().map(Command::Run)
}

impl Said {
    fn options(self) -> Result<Options, lexopt::Error> {
        let mut encoding = Encoding::of(self.format.unwrap_or(Format::Zstd)).checksum(!self.no_checksum);
        encoding = self.level.into_iter().fold(encoding, Encoding::level);
        encoding = self.block.into_iter().fold(encoding, Encoding::block);
        encoding = self.memory.into_iter().fold(encoding, Encoding::memory);
        let input = match self.input {
            None => Input::Sample,
            Some(path) if path == "-" => Input::Stdin,
            Some(path) => Input::Path(path.into()),
        };
        let existing = if self.force { Existing::Replace } else { Existing::Refuse };
        let output = match (self.output, &input) {
            (Some(path), _) if path.is_empty() => return Err("--output is an empty path".into()),
            (Some(path), _) if path == "-" => Output::Stdout,
            (Some(path), _) => Output::Path(path.into(), existing),
            (None, Input::Sample) => Output::Nowhere,
            (None, Input::Stdin) => Output::Stdout,
            (None, Input::Path(path)) => Output::Path(with_suffix(path, encoding.format()), existing),
        };
        Ok(Options { input, output, encoding, workers: self.workers })
    }
}

fn with_suffix(path: &Path, format: Format) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(format.suffix());
    path.into()
}

fn format(name: &str) -> Result<Format, lexopt::Error> {
    match name {
        "zstd" => Ok(Format::Zstd),
        "gzip" => Ok(Format::Gzip),
        _ => Err(format!("--format must be zstd or gzip, not `{name}`").into()),
    }
}

fn number(text: &str, option: &str) -> Result<i32, lexopt::Error> {
    text.parse().map_err(|_| format!("{option} must be a number, not `{text}`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        match parse(arguments) {
            Ok(Command::Run(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_output_has_a_name_of_its_own() {
        let to = |path: &str, existing| Output::Path(path.into(), existing);
        assert_eq!(options(&["a.txt"]).output, to("a.txt.zst", Existing::Refuse));
        assert_eq!(options(&["a.txt", "--format=gzip", "--force"]).output, to("a.txt.gz", Existing::Replace));
        assert_eq!(options(&["a.txt", "-o", "b"]).output, to("b", Existing::Refuse));
        assert_eq!(options(&["a.txt", "-o", "-"]).output, Output::Stdout);
        assert_eq!((options(&["-"]).input, options(&["-"]).output), (Input::Stdin, Output::Stdout));
        assert_eq!((options(&[]).input, options(&[]).output), (Input::Sample, Output::Nowhere));
    }

    #[test]
    fn arguments_are_taken_or_refused_by_name() {
        let all = options(&["--level=9", "--block", "2MiB", "--memory=1G", "--no-checksum", "--workers", "3", "a"]);
        let expected = Encoding::zstd().level(9).block(Bytes::mib(2)).memory(Bytes::mib(1_024)).checksum(false);
        assert_eq!((all.encoding, all.workers), (expected, Some(3)));
        for [option, value] in [
            ["--format", "rar"],
            ["--level", "high"],
            ["--block", "0"],
            ["--memory", "0"],
            ["--workers", "0"],
            ["--output", ""],
            ["--levle", "3"],
        ] {
            let error = parse([option, value]).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
        assert!(parse(["a", "b"]).is_err());
        assert!(matches!(parse(["-h"]), Ok(Command::Help)));
    }
}
