//! Compression of one file to another, in order: zstd and gzip.
//!
//! The contenders in this process compress the same blocks by the same libraries, and make the same bytes. The programs
//! make other bytes of about the same size. What each makes is read back and compared with the input once, in the run that
//! is not timed.

mod data;
mod programs;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use gristmill::Source;
use gristmill_compress::{Block, BlockWriter, CompressError, Encoding, Format};
use rayon::prelude::*;

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::workloads::Workload;

/// As `compare` knows it.
pub const COMPRESS: Workload = Workload { name: "compress", contests };

/// Who does the work in this process.
pub const CONTENDERS: [Contender; 4] =
    [("gristmill", by_gristmill), ("sequential", by_loop), ("threads", by_threads), ("rayon", by_rayon)];

/// A name, and what does a job.
pub type Contender = (&'static str, fn(&Job) -> Result<(), Failure>);

/// A file to be compressed.
#[derive(Clone, Debug)]
pub struct Job {
    /// How.
    pub encoding: Encoding,
    /// From where.
    pub input: PathBuf,
    /// Where to.
    pub output: PathBuf,
}

fn by_gristmill(job: &Job) -> Result<(), Failure> {
    let blocks = job.encoding.read(File::open(&job.input)?)?;
    blocks.store(BlockWriter::new(File::create(&job.output)?)).run()?;
    Ok(())
}

fn by_loop(job: &Job) -> Result<(), Failure> {
    let mut blocks = job.encoding.blocks(File::open(&job.input)?)?;
    let mut compressor = job.encoding.compressor()?;
    let mut output = File::create(&job.output)?;
    while let Some(block) = blocks.pull().transpose()? {
        output.write_all(&compressor.compress(&block)?)?;
    }
    Ok(())
}

/// Batches of blocks: read one, compress it on all cores, write it.
fn by_rayon(job: &Job) -> Result<(), Failure> {
    let mut blocks = job.encoding.blocks(File::open(&job.input)?)?;
    let mut output = File::create(&job.output)?;
    loop {
        let batch = std::iter::from_fn(|| blocks.pull()).take(2 * cores()).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        let compress = |compressor: &mut Result<_, CompressError>, block: Block| match compressor {
            Ok(compressor) => gristmill_compress::Compressor::compress(compressor, &block).map_err(Failure::from),
            Err(error) => Err(error.to_string().into()),
        };
        let compressed = batch.into_par_iter().map_init(|| job.encoding.compressor(), compress);
        for block in compressed.collect::<Result<Vec<_>, Failure>>()? {
            output.write_all(&block)?;
        }
    }
}

type Numbered<T> = (u64, T);

/// A thread that reads, one for each core that compress, and this one, which puts blocks in order and writes them.
fn by_threads(job: &Job) -> Result<(), Failure> {
    let mut blocks = job.encoding.blocks(File::open(&job.input)?)?;
    let mut output = File::create(&job.output)?;
    let (to_workers, from_reader) = bounded::<Numbered<Block>>(cores());
    let (to_writer, from_workers) = bounded::<Numbered<Vec<u8>>>(cores());
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for number in 0.. {
                let Some(block) = blocks.pull().transpose()? else { break };
                if to_workers.send((number, block)).is_err() {
                    break;
                }
            }
            Ok::<_, CompressError>(())
        });
        let worker = move || {
            let mut compressor = job.encoding.compressor()?;
            for (number, block) in &from_reader {
                if to_writer.send((number, compressor.compress(&block)?)).is_err() {
                    break;
                }
            }
            Ok::<_, CompressError>(())
        };
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(worker.clone())).collect();
        drop(worker);
        write_in_order(&mut output, from_workers)?;
        for thread in workers.into_iter().chain([reader]) {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

fn write_in_order(output: &mut File, blocks: Receiver<Numbered<Vec<u8>>>) -> io::Result<()> {
    let (mut early, mut next) = (BTreeMap::new(), 0);
    for (number, block) in blocks {
        early.insert(number, block);
        while let Some(block) = early.remove(&next) {
            output.write_all(&block)?;
            next += 1;
        }
    }
    Ok(())
}

fn cores() -> usize {
    rayon::current_num_threads()
}

fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let input = data::file(&setup.data, setup.quick)?;
    let kib = input.metadata()?.len() >> 10;
    let cases = [(Encoding::zstd(), 3), (Encoding::zstd(), 1), (Encoding::gzip(), 6)];
    let contests = cases.into_iter().map(|(encoding, level)| {
        let case = format!("{}-{level} source code", encoding.format());
        Contest { entrants: entrants(encoding.level(level), level, &input, &setup.data), case, items: kib }
    });
    Ok(contests.collect())
}

fn entrants(encoding: Encoding, level: i32, input: &Path, folder: &Path) -> Vec<Entrant> {
    let job = |name: &str| {
        let output = folder.join(format!("compressed-{name}.{}", encoding.format().suffix()));
        Arc::new(Job { encoding, input: input.to_owned(), output })
    };
    let mut entrants = Vec::new();
    for (name, compress) in CONTENDERS {
        let job = job(name);
        entrants.push(Entrant::new(name, checked(Arc::clone(&job), move || compress(&job))));
    }
    let name = match encoding.format() {
        Format::Zstd => "zstd",
        Format::Gzip => "pigz",
    };
    if programs::is_installed(name) {
        let job = job(name);
        let compress = {
            let job = Arc::clone(&job);
            move || programs::compress(name, level, cores(), &job)
        };
        entrants.push(Entrant::outside(name, checked(job, compress)));
    }
    entrants
}

/// Reads back what the first run has made; later ones must make as many bytes.
fn checked(
    job: Arc<Job>,
    mut compress: impl FnMut() -> Result<(), Failure>,
) -> impl FnMut() -> Result<String, Failure> {
    let mut verified = None;
    move || {
        compress()?;
        let made = job.output.metadata()?.len();
        if verified != Some(made) {
            verify::same(&job)?;
            verified = Some(made);
        }
        Ok("what was there before".to_owned())
    }
}
