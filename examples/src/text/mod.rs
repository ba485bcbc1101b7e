//! What the programs that read one large file of text have in common: `brc` and `word_count`.

use crate::program::{end, print, refuse};
use gristmill::{ChunkError, Chunks};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the command line says.
#[derive(Debug, Default)]
pub struct Arguments<O> {
    /// The file, if one is given.
    pub path: Option<PathBuf>,
    /// Whether to map it.
    pub is_mapped: bool,
    /// Options of this program.
    pub options: O,
}

impl<O> Arguments<O> {
    /// The file, read, or mapped if the user wants that.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or mapped, as a pipe cannot.
    pub fn chunks(&self, path: &Path) -> Result<Chunks, ChunkError> {
        if self.is_mapped {
            // SAFETY: the user vouches for the file with `--mmap`; the help says so.
            unsafe { Chunks::map(path) }
        } else {
            Chunks::open(path)
        }
    }
}

/// Options that only one program has.
pub trait Options: Default {
    /// Takes the option of this name, and its value from the parser. False if there is no such option.
    ///
    /// # Errors
    ///
    /// If the value is missing or cannot be.
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool, lexopt::Error>;
}

/// No options.
impl Options for () {
    fn take(&mut self, _: &str, _: &mut Parser) -> Result<bool, lexopt::Error> {
        Ok(false)
    }
}

/// Reads the command line, and prints the help or calls `run`.
pub fn main<O: Options>(help: &str, run: impl FnOnce(Arguments<O>) -> anyhow::Result<()>) -> ExitCode {
    let done = match parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => run(arguments),
        Ok(None) => print(help),
        Err(error) => return refuse(&error),
    };
    end(done)
}

/// `None` when help is asked for.
fn parse<O: Options>(arguments: impl Iterator<Item = OsString>) -> Result<Option<Arguments<O>>, lexopt::Error> {
    let mut parser = Parser::from_args(arguments);
    let mut parsed = Arguments { path: None, is_mapped: false, options: O::default() };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("mmap") => parsed.is_mapped = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                if !parsed.options.take(&name, &mut parser)? {
                    return Err(Arg::Long(&name).unexpected());
                }
            }
            Arg::Value(path) if parsed.path.is_none() && !path.is_empty() => parsed.path = Some(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(parsed))
}

/// The number of the line that begins at a byte of a file.
///
/// # Errors
///
/// If the file cannot be read.
pub fn line_of(path: &Path, offset: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?.take(offset));
    let mut line = 1;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(line);
        }
        line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let len = bytes.len();
        reader.consume(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often `--twice` was given.
    #[derive(Debug, Default)]
    struct Twice(u32);

    impl Options for Twice {
        fn take(&mut self, name: &str, _: &mut Parser) -> Result<bool, lexopt::Error> {
            self.0 += u32::from(name == "twice");
            Ok(name == "twice")
        }
    }

    fn parsed(arguments: &[&str]) -> Result<Option<Arguments<Twice>>, String> {
        parse(arguments.iter().map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_has_one_file_and_its_own_options() {
        let arguments = parsed(&["--twice", "--mmap", "file", "--twice"]).unwrap().unwrap();
        assert_eq!((arguments.path, arguments.is_mapped), (Some(PathBuf::from("file")), true));
        assert_eq!(arguments.options.0, 2);
        assert!(parsed(&["--help"]).unwrap().is_none());
        for wrong in [&["--thrice"][..], &["a", "b"], &[""], &["-x"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\nc").unwrap();
        let lines = [0, 2, 4, 100].map(|offset| line_of(file.path(), offset).unwrap());
        assert_eq!(lines, [1, 2, 3, 3]);
    }
}
