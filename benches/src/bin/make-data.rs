//! Makes inputs for workloads.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use gristmill_benches::contest::Failure;
use gristmill_benches::data::brc::{CITIES, Measurements};
use gristmill_benches::data::make;
use gristmill_benches::data::photos::{self, Origin, Photos};
use gristmill_benches::data::words::{Text, VOCABULARY};
use gristmill_image_resize::Size;
use lexopt::prelude::*;

const HELP: &str = "\
Makes inputs for workloads. The same arguments make the same file everywhere.

Usage: make-data brc --rows N [--stations N] [--seed N] [PATH]
       make-data words --mib N [--vocabulary N] [--seed N] [PATH]
       make-data photos [--size WIDTHxHEIGHT] [--wallpapers FOLDER] [FOLDER]
       make-data photos --generated N [--size WIDTHxHEIGHT] [FOLDER]

Commands:
  brc     lines of `station;temperature`
  words   text in which few words are frequent and many are rare
  photos  JPEGs of real photographs, from Debian's packages of wallpapers; generated ones where those cannot be had

Options:
  --rows N              brc: how many lines
  --stations N          brc: how many stations [default: 413, with names as long as those of cities]
  --mib N               words: how large a text, in MiB
  --vocabulary N        words: how many different words [default: 200000]
  --seed N              another file [default: 1]
  --size WIDTHxHEIGHT   photos: pixels; real ones keep their shape, and have the longer side [default: 4000x3000]
  --wallpapers FOLDER   photos: real photographs; fetched into it if it is not there [default: wallpapers]
  --generated N         photos: so many generated ones, in any case
  -h, --help            this text

Without PATH or FOLDER it is called measurements.txt, words.txt or photos. A folder must not be there yet.
";

fn main() -> ExitCode {
    match perform(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if even that fails.
            let _ = writeln!(io::stderr(), "make-data: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let mut parser = lexopt::Parser::from_args(args);
    match parser.next()? {
        Some(Value(command)) if command == "brc" => brc(&mut parser),
        Some(Value(command)) if command == "words" => words(&mut parser),
        Some(Value(command)) if command == "photos" => photos(&mut parser),
        Some(Short('h') | Long("help")) => help(),
        Some(other) => Err(other.unexpected().into()),
        None => Err("missing command; see --help".into()),
    }
}

fn help() -> Result<(), Failure> {
    Ok(io::stdout().write_all(HELP.as_bytes())?)
}

fn brc(parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut measurements = Measurements { rows: 0, stations: CITIES, seed: 1 };
    let mut path = PathBuf::from("measurements.txt");
    while let Some(arg) = parser.next()? {
        match arg {
            Long("rows") => measurements.rows = parser.value()?.parse()?,
            Long("stations") => measurements.stations = parser.value()?.parse()?,
            Long("seed") => measurements.seed = parser.value()?.parse()?,
            Value(value) => path = value.into(),
            Short('h') | Long("help") => return help(),
            other => return Err(other.unexpected().into()),
        }
    }
    if measurements.rows == 0 {
        return Err("--rows must be at least 1".into());
    }
    make(&path, |out| measurements.write(out))
}

fn words(parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut text = Text { bytes: 0, vocabulary: VOCABULARY, seed: 1 };
    let mut path = PathBuf::from("words.txt");
    while let Some(arg) = parser.next()? {
        match arg {
            Long("mib") => text.bytes = parser.value()?.parse::<u32>().map(|mib| u64::from(mib) << 20)?,
            Long("vocabulary") => text.vocabulary = parser.value()?.parse()?,
            Long("seed") => text.seed = parser.value()?.parse()?,
            Value(value) => path = value.into(),
            Short('h') | Long("help") => return help(),
            other => return Err(other.unexpected().into()),
        }
    }
    if text.bytes == 0 {
        return Err("--mib must be at least 1".into());
    }
    make(&path, |out| text.write(out))
}

fn photos(parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut made = Photos { size: Size::new(4_000, 3_000), count: 20 };
    let (mut folder, mut wallpapers) = (PathBuf::from("photos"), PathBuf::from("wallpapers"));
    let mut is_generated = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("size") => made.size = parser.value()?.parse_with(size)?,
            Long("wallpapers") => wallpapers = parser.value()?.into(),
            Long("generated") => (is_generated, made.count) = (true, parser.value()?.parse()?),
            Value(value) => folder = value.into(),
            Short('h') | Long("help") => return help(),
            other => return Err(other.unexpected().into()),
        }
    }
    if folder.exists() {
        return Err(format!("`{}` is there already", folder.display()).into());
    }
    let mut origin = Origin::Generated;
    photos::make_missing(&folder, |draft| {
        origin = if is_generated { made.generate(draft)? } else { made.make(draft, &wallpapers)? };
        Ok(())
    })?;
    if origin == Origin::Generated && !is_generated {
        writeln!(io::stderr(), "the real photographs could not be fetched: these are generated")?;
    }
    Ok(())
}

/// Reads `4000x3000`.
fn size(text: &str) -> Result<Size, String> {
    let side = |text: &str| text.parse::<u16>().ok().filter(|&pixels| pixels > 0);
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides
        .map(|(width, height)| Size::new(width.into(), height.into()))
        .ok_or_else(|| format!("a size is like 4000x3000, with sides from 1 to 65535, not `{text}`"))
}
