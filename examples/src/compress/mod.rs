//! A file or a pipe, compressed on all cores.

pub mod args;
pub mod count;
pub mod sample;

use crate::bar;
use anyhow::{Context, ensure};
use args::{Input, Options, Output};
use count::Counted;
use gristmill::{Monitor, Report, Store};
use gristmill_compress::{BlockWriter, CompressError, Encoding, Existing, Format, OutputFile};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug)]
pub struct Summary {
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    encoding: Encoding,
    elapsed: Duration,
    check: Option<String>,
    report: Report<()>,
}

/// Some 30 MB.
const SAMPLE_LINES: u32 = 1_000_000;

/// Compresses what the options say.
///
/// # Errors
///
/// When something cannot be read, compressed or written; then there is no output file.
pub fn run(options: &Options) -> anyhow::Result<Summary> {
    match &options.input {
        Input::Sample => run_on(options, sample::log(SAMPLE_LINES), None),
        Input::Stdin => run_on(options, io::stdin(), None),
        Input::Path(path) => {
            let opened = || format!("could not open `{}`", path.display());
            let file = File::open(path).with_context(opened)?;
            let found = file.metadata().with_context(opened)?;
            if found.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(opened);
            }
            refuse_own_input(path, &options.output)?;
            run_on(options, file, found.is_file().then_some(found.len()))
        }
    }
}

fn refuse_own_input(path: &Path, output: &Output) -> anyhow::Result<()> {
    let Output::Path(output, _) = output else { return Ok(()) };
    let same = output.canonicalize().is_ok_and(|output| path.canonicalize().is_ok_and(|path| path == output));
    ensure!(!same, "`{}` is read from, and cannot be written as well", path.display());
    Ok(())
}

fn run_on(options: &Options, input: impl Read + Send, len: Option<u64>) -> anyhow::Result<Summary> {
    match &options.output {
        Output::Stdout => {
            let mut store = BlockWriter::new(io::stdout());
            let summary = compress(options, input, len, &mut store)?;
            Ok(Summary { written: store.written(), ..summary })
        }
        Output::Path(path, existing) => {
            let mut store = OutputFile::create(path, *existing)?;
            let summary = compress(options, input, len, &mut store)?;
            Ok(Summary { written: store.written(), ..summary })
        }
        Output::Nowhere => {
            let folder = tempfile::tempdir().context("no temporary directory")?;
            let path = folder.path().join("sample");
            let mut store = OutputFile::create(&path, Existing::Refuse)?;
            let summary = compress(options, input, len, &mut store)?;
            let check = read_back(&path, options.encoding.format(), &sample::log(SAMPLE_LINES).into_inner())?;
            Ok(Summary { written: store.written(), check: Some(check), ..summary })
        }
    }
}

/// The pipeline.
fn compress(
    options: &Options,
    input: impl Read + Send,
    len: Option<u64>,
    store: impl Store<Vec<u8>, Error = CompressError>,
) -> anyhow::Result<Summary> {
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = options.workers.into_iter().fold(pool, rayon::ThreadPoolBuilder::num_threads);
    let pool = pool.build().context("could not start the workers")?;
    let (monitor, read) = (Monitor::new(), AtomicU64::new(0));
    let pipeline = options.encoding.read(Counted::new(input, &read))?.pool(&pool).monitor(&monitor);
    let pipeline = pipeline.store(store).named("write");
    let blocks = len.map(|len| len.div_ceil(options.encoding.block_bytes() as u64).max(1));
    let start = Instant::now();
    let report = bar::watch(&monitor, blocks, || pipeline.run()).context("nothing was kept")?;
    let (elapsed, read) = (start.elapsed(), read.into_inner());
    Ok(Summary { read, written: 0, encoding: options.encoding, elapsed, check: None, report })
}

/// Decompresses the sample with libraries that know nothing of blocks.
fn read_back(path: &Path, format: Format, sample: &str) -> anyhow::Result<String> {
    let file = File::open(path).context("could not read it back")?;
    let mut text = String::new();
    let read = match format {
        Format::Zstd => zstd::Decoder::new(file).and_then(|mut decoder| decoder.read_to_string(&mut text)),
        Format::Gzip => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
    };
    read.context("could not read it back")?;
    ensure!(text == sample, "what was read back is not what was compressed");
    Ok("read back, and the same".to_owned())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let ratio = self.read as f64 / self.written.max(1) as f64;
        let rate = self.read as f64 / seconds.max(1e-9) / 1e6;
        writeln!(f, "{} bytes became {} of {}: 1/{ratio:.2}", self.read, self.written, self.encoding.format())?;
        if let Some(check) = &self.check {
            writeln!(f, "checked: {check}")?;
        }
        writeln!(f, "{seconds:.3} s, {rate:.0} MB/s\n\n{}", self.report)
    }
}
