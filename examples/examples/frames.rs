//! Scales raw video on all cores, frame by frame, and writes it in order.
//!
//! ```text
//! cargo run --release --example frames
//! cargo run --release --example frames -- --width 640 clip.y4m small.y4m
//! ```
//!
//! Without arguments it makes a clip of its own, scales it, and checks every frame of the result against one that was
//! scaled alone.

use anyhow::{Context, ensure};
use gristmill::prelude::*;
use gristmill::{Bytes, Monitor, Report};
use gristmill_examples::program::{end, print, refuse};
use gristmill_examples::{bar, values};
use gristmill_frames::{Clip, Format, FormatError, Frame, Histogram, Scaler, Writer};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const HELP: &str = "\
Scales raw video (Y4M) on all cores, frame by frame, and writes it in order.

Usage: frames [OPTIONS] [INPUT OUTPUT]

Without INPUT and OUTPUT it makes a clip, scales it in a temporary folder, and checks the result.

Options:
  --width N       columns of the result; rows follow (default: half of the input's)
  --memory BYTES  of frames in flight at most (default: 256MiB)
  --mmap          map INPUT instead of reading it; nobody may change it meanwhile
  -h, --help      this text
";

#[derive(Debug)]
struct Options {
    paths: Option<(PathBuf, PathBuf)>,
    width: Option<u32>,
    memory: Bytes,
    mmap: bool,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(Some(options)) => options,
        Ok(None) => return end(print(HELP)),
        Err(error) => return refuse(&error),
    };
    let done = match &options.paths {
        Some((input, output)) => scale(input, output, &options).and_then(|result| print_result(&result)),
        None => demonstrate(&options),
    };
    end(done)
}

fn parse() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options { paths: None, width: None, memory: Bytes::mib(256), mmap: false };
    let mut paths = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("width") => options.width = Some(parser.value()?.parse()?),
            Long("memory") => options.memory = values::bytes(&mut parser, "--memory")?,
            Long("mmap") => options.mmap = true,
            Short('h') | Long("help") => return Ok(None),
            Value(path) => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected()),
        }
    }
    options.paths = match <[PathBuf; 2]>::try_from(paths) {
        Ok([input, output]) => Some((input, output)),
        Err(paths) if paths.is_empty() => None,
        Err(paths) => return Err(format!("there must be an INPUT and an OUTPUT, not {}", paths.len()).into()),
    };
    Ok(Some(options))
}

/// What came of a clip.
struct Scaled {
    from: Format,
    to: Format,
    frames: u64,
    /// Of all frames together.
    luma: Histogram,
    report: Report,
}

/// The job: decode, transform, encode.
fn scale(input: &Path, output: &Path, options: &Options) -> anyhow::Result<Scaled> {
    let clip = if options.mmap {
        // SAFETY: whoever says `--mmap` says that nobody changes the file.
        unsafe { Clip::map(input) }
    } else {
        Clip::open(input)
    };
    let clip = clip.with_context(|| format!("`{}`", input.display()))?;
    let from = clip.format().clone();
    let (width, height) = size(&from, options.width);
    let scaler = Scaler::new(&from, width, height)?;
    let to = scaler.format().clone();
    let monitor = Monitor::new();
    let bytes = input.metadata().map_or(0, |metadata| metadata.len());
    let expected = bytes / from.frame_bytes() as u64;
    let luma = Mutex::new(Histogram::default());
    let run = Pipeline::extract(clip)
        .monitor(&monitor)
        .map_init(|| Ok::<_, FormatError>(scaler.clone()), |scaler, frame: Frame| scaler.scale(&frame))
        .named("scale")
        .weigh()
        .inspect(|frame| {
            let histogram = frame.luma_histogram(&to);
            luma.lock().unwrap_or_else(PoisonError::into_inner).merge(&histogram);
        })
        .named("histogram")
        .ordered()
        .memory_budget(options.memory)
        .store(Writer::create(output, to.clone())?);
    let report = bar::watch(&monitor, Some(expected), || run.run())?;
    let frames = report.totals().stored;
    let luma = luma.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Scaled { from, to, frames, luma, report })
}

/// The size asked for, its sides in the proportion that they had.
fn size(from: &Format, width: Option<u32>) -> (u32, u32) {
    let width = width.unwrap_or(from.width() / 2).max(1);
    let height = u64::from(from.height()) * u64::from(width) / u64::from(from.width());
    (width, u32::try_from(height).unwrap_or(u32::MAX).max(1))
}

fn print_result(result: &Scaled) -> anyhow::Result<()> {
    let Scaled { from, to, frames, luma, report } = result;
    let [half, most, almost] = report.stage("store").map_or([Duration::ZERO; 3], |store| store.latency);
    print(&format!(
        "{from}\n→ {to}\n\n{frames} frames, average brightness {:.1} of 255\nfrom the file to the file: half of the frames \
         in {half:.1?}, 95 % in {most:.1?}, 99 % in {almost:.1?}\n\n{report}\n",
        luma.mean()
    ))
}

/// Makes a clip, scales it, and looks at every frame of the result.
fn demonstrate(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("could not make a temporary folder")?;
    let (input, output) = (folder.path().join("clip.y4m"), folder.path().join("small.y4m"));
    let format = Format::new(640, 360)?;
    let picture = |number: usize| picture(&format, number);
    Pipeline::extract(0..120usize).map(picture).ordered().store(Writer::create(&input, format.clone())?).run()?;

    let result = scale(&input, &output, options)?;
    print_result(&result)?;

    ensure!(result.frames == 120, "there should be 120 frames, not {}", result.frames);
    let (width, height) = (result.to.width(), result.to.height());
    let mut alone = Scaler::new(&format, width, height)?;
    let scaled = Pipeline::extract(Clip::open(&output)?).ordered().collect::<Vec<_>>().run()?.output;
    for (number, frame) in scaled.iter().enumerate() {
        ensure!(frame.bytes() == alone.scale(&picture(number)).bytes(), "frame {number} is not what it should be");
    }
    Ok(())
}

/// A bright ball that crosses a dark gradient.
fn picture(format: &Format, number: usize) -> Frame {
    let plane = |(width, height): (u32, u32)| {
        let (across, down) = (i64::from(width) * number as i64 / 120, i64::from(height) / 2);
        (0..height).flat_map(move |y| {
            (0..width).map(move |x| {
                let (dx, dy) = (i64::from(x) - across, i64::from(y) - down);
                let is_ball = dx * dx + dy * dy < i64::from(height) * i64::from(height) / 16;
                if is_ball { 235 } else { (x * 128 / width) as u8 }
            })
        })
    };
    Frame::from(format.planes().flat_map(plane).collect::<Vec<u8>>())
}
