//! The command line.

use super::Job;
use gristmill_image_resize::{Enlarge, Options, Size};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Makes thumbnails of the JPEG, PNG and WebP images of a folder, in a tree like its own.

Usage: resize_folder [OPTIONS] IN OUT
       resize_folder [OPTIONS]

Arguments:
  IN   a folder, or one image; without any, a few images that the program makes
  OUT  the folder for the outputs; what is there under the same names is replaced

Options:
  --size N         pixels of the longer side, or WxH for a box [default: 256]
  --quality N      of JPEG and WebP, from 1 to 100 [default: 80]
  --format NAME    jpeg, png or webp for all outputs [default: each as its input]
  --enlarge        enlarge images that are smaller than the box
  --every-file     take files whose names promise no image, too
  --follow         follow symbolic links inside IN, which are passed over otherwise
  --workers N      images that are worked on at once [default: as many as there are cores]
  --help           print this

The exit status is 1 if an image could not be resized; the others are.
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The help.
    Help,
    /// Thumbnails of images that the program makes.
    Demo(Settings),
    /// Thumbnails of a folder.
    Run(Job),
}

/// What is to be done whatever the folder is.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in the help")]
pub struct Settings {
    pub options: Options,
    pub every_file: bool,
    pub follow: bool,
    pub workers: Option<usize>,
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
    let (mut size, mut quality, mut format, mut enlarge) = (Size::new(256, 256), None, None, Enlarge::Never);
    let (mut every_file, mut follow, mut workers) = (false, false, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("size") => size = parse_size(&parser.value()?.string()?)?,
            Arg::Long("quality") => quality = Some(parse_quality(&parser.value()?.string()?)?),
            Arg::Long("format") => format = Some(parser.value()?.parse()?),
            Arg::Long("enlarge") => enlarge = Enlarge::Always,
            Arg::Long("every-file") => every_file = true,
            Arg::Long("follow") => follow = true,
            Arg::Long("workers") => workers = Some(parse_workers(&parser.value()?.string()?)?),
            Arg::Value(path) if path.is_empty() => return Err("a path is empty".into()),
            Arg::Value(path) if paths.len() < 2 => paths.push(path.into()),
            unknown => return Err(unknown.unexpected()),
        }
    }
    let mut options = Options::within(size).enlarge(enlarge);
    options = quality.into_iter().fold(options, Options::quality);
    options = format.into_iter().fold(options, Options::format);
    let settings = Settings { options, every_file, follow, workers };
    match <[PathBuf; 2]>::try_from(paths) {
        Ok([input, output]) => Ok(Command::Run(Job { input, output, settings })),
        Err(paths) if paths.is_empty() => Ok(Command::Demo(settings)),
        Err(_) => Err("OUT is missing".into()),
    }
}

fn parse_size(text: &str) -> Result<Size, lexopt::Error> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=16_383).contains(side));
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match (side(width), side(height)) {
        (Some(width), Some(height)) => Ok(Size::new(width, height)),
        _ => Err(format!("--size takes a number from 1 to 16383 or two as in 640x480, not `{text}`").into()),
    }
}

fn parse_quality(text: &str) -> Result<u8, lexopt::Error> {
    match text.parse() {
        Ok(quality @ 1..=100) => Ok(quality),
        _ => Err(format!("--quality takes a number from 1 to 100, not `{text}`").into()),
    }
}

fn parse_workers(text: &str) -> Result<usize, lexopt::Error> {
    match text.parse() {
        Ok(workers @ 1..=MOST_WORKERS) => Ok(workers),
        _ => Err(format!("--workers takes a number from 1 to {MOST_WORKERS}, not `{text}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_image_resize::Format;

    #[test]
    fn options_are_understood() {
        let all = ["--size=640x480", "--quality", "70", "--format=webp", "--enlarge", "--workers=3", "in", "out"];
        let Ok(Command::Run(job)) = parse(all) else { panic!("not a run") };
        let expected = Options::within(Size::new(640, 480)).quality(70).format(Format::WebP).enlarge(Enlarge::Always);
        assert_eq!((&job.settings.options, job.settings.workers), (&expected, Some(3)));
        assert_eq!([job.input, job.output], [PathBuf::from("in"), PathBuf::from("out")]);
        assert!(matches!(parse(["-h"]), Ok(Command::Help)));
        assert!(matches!(parse(["--size", "99"]), Ok(Command::Demo(_))));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (vec!["--size", "0", "a", "b"], "1 to 16383"),
            (vec!["--size", "9x99999", "a", "b"], "1 to 16383"),
            (vec!["--quality", "101", "a", "b"], "1 to 100"),
            (vec!["--format", "gif", "a", "b"], "`gif`"),
            (vec!["--workers", "0", "a", "b"], "1 to 1024"),
            (vec!["a"], "OUT is missing"),
            (vec!["a", "b", "c"], "\"c\""),
            (vec!["", "b"], "empty"),
            (vec!["--sise", "3"], "--sise"),
        ];
        for (arguments, words) in cases {
            let error = parse(arguments.clone()).expect_err("a mistake").to_string();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
    }
}
