//! Raw video: every frame scaled to half its size, in order.

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::workloads::Workload;
use gristmill::prelude::*;
use gristmill_frames::{Clip, Format, FormatError, Frame, Scaler, Writer};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `compare -- frames`.
pub const FRAMES: Workload = Workload { name: "frames", contests };

/// Worker threads of those who start their own.
const WORKERS: usize = 2;

/// The clip, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Job {
    path: PathBuf,
    scaler: Scaler,
}

fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let (width, height, frames) = if setup.quick { (160, 90, 20) } else { (1280, 720, 600) };
    let job = Job::prepare(&setup.data, width, height, frames)?;
    let entrants: [(&'static str, fn(&Job) -> Result<Checksum, Failure>); 5] = [
        ("sequential", sequential),
        ("threads", threads),
        ("rayon", rayon),
        ("gristmill", gristmill),
        ("gristmill-mmap", gristmill_mapped),
    ];
    let entrants = entrants.map(|(name, run)| {
        let job = job.clone();
        Entrant::new(name, move || run(&job).map(|checksum| checksum.to_string()))
    });
    Ok(vec![Contest { case: format!("{width}x{height} frames"), items: frames, entrants: entrants.into() }])
}

impl Job {
    /// Makes the clip, unless it is there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn prepare(data: &Path, width: u32, height: u32, frames: u64) -> Result<Self, Failure> {
        std::fs::create_dir_all(data)?;
        let path = data.join(format!("frames-{width}x{height}-{frames}.y4m"));
        let format = Format::new(width, height)?;
        if !path.exists() {
            let picture = |number| picture(&format, number);
            Pipeline::extract(0..frames).map(picture).ordered().store(Writer::create(&path, format.clone())?).run()?;
        }
        let scaler = Scaler::new(&format, width / 2, height / 2)?;
        Ok(Job { path, scaler })
    }

    fn frames(&self) -> Result<impl Iterator<Item = Result<Frame, Failure>>, Failure> {
        let mut clip = Clip::open(&self.path)?;
        Ok(std::iter::from_fn(move || clip.pull().map(|frame| frame.map_err(Failure::from))))
    }
}

fn picture(format: &Format, number: u64) -> Frame {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    Frame::from((0..format.frame_bytes()).map(noise).collect::<Vec<u8>>())
}

/// What the frames come to, in their order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    fn add(&mut self, frame: &Frame) {
        let (words, rest) = frame.bytes().as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let sum = words.fold(rest.len() as u64, |sum, word| sum.wrapping_add(word).rotate_left(1));
        self.0 = self.0.wrapping_mul(31).wrapping_add(sum);
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One frame after another.
///
/// # Errors
///
/// When the clip cannot be read.
pub fn sequential(job: &Job) -> Result<Checksum, Failure> {
    let mut scaler = job.scaler.clone();
    let mut checksum = Checksum::default();
    for frame in job.frames()? {
        checksum.add(&scaler.scale(&frame?));
    }
    Ok(checksum)
}

/// A reader, workers, and a heap that restores order, joined by channels: as written by hand.
///
/// # Errors
///
/// When the clip cannot be read.
pub fn threads(job: &Job) -> Result<Checksum, Failure> {
    let (to_workers, from_reader) = crossbeam_channel::bounded(2 * WORKERS);
    let (to_sink, from_workers) = crossbeam_channel::bounded(2 * WORKERS);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || -> Result<(), Failure> {
            for (number, frame) in job.frames()?.enumerate() {
                // Nobody is left to send to only when the sink is gone.
                if to_workers.send((number, frame?)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for _ in 0..WORKERS {
            let (from_reader, to_sink) = (from_reader.clone(), to_sink.clone());
            scope.spawn(move || {
                let mut scaler = job.scaler.clone();
                for (number, frame) in from_reader {
                    if to_sink.send((number, scaler.scale(&frame))).is_err() {
                        break;
                    }
                }
            });
        }
        drop((from_reader, to_sink));
        let checksum = in_order(from_workers.into_iter());
        reader.join().map_err(|_| "the reader panicked")??;
        Ok(checksum)
    })
}

fn in_order(numbered: impl Iterator<Item = (usize, Frame)>) -> Checksum {
    let (mut checksum, mut next, mut early) = (Checksum::default(), 0, BTreeMap::new());
    for (number, frame) in numbered {
        early.insert(number, frame);
        while let Some(frame) = early.remove(&next) {
            checksum.add(&frame);
            next += 1;
        }
    }
    checksum
}

/// Batches of frames, each scaled by a parallel iterator.
///
/// # Errors
///
/// When the clip cannot be read.
pub fn rayon(job: &Job) -> Result<Checksum, Failure> {
    const BATCH: usize = 32;
    let mut checksum = Checksum::default();
    let mut frames = job.frames()?;
    loop {
        let batch = frames.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(checksum);
        }
        let scaled: Vec<Frame> = batch.par_iter().map_init(|| job.scaler.clone(), Scaler::scale).collect();
        scaled.iter().for_each(|frame| checksum.add(frame));
    }
}

/// A pipeline.
///
/// # Errors
///
/// When the clip cannot be read.
pub fn gristmill(job: &Job) -> Result<Checksum, Failure> {
    run(job, Clip::open(&job.path)?)
}

fn gristmill_mapped(job: &Job) -> Result<Checksum, Failure> {
    // SAFETY: the clip is the benchmark's own, and nobody changes it.
    run(job, unsafe { Clip::map(&job.path) }?)
}

fn run(job: &Job, clip: Clip) -> Result<Checksum, Failure> {
    let mut checksum = Checksum::default();
    Pipeline::extract(clip)
        .map_init(|| Ok::<_, FormatError>(job.scaler.clone()), |scaler, frame| scaler.scale(&frame))
        .ordered()
        .for_each(|frame| checksum.add(&frame))
        .run()?;
    Ok(checksum)
}
