//! Runs of all kinds, one after another, for minutes or by the thousand: nothing may pile up.
//!
//! ```text
//! cargo run --release -p gristmill-torture -- soak --minutes 10
//! cargo run --release -p gristmill-torture -- soak --runs 10000
//! cargo run --release -p gristmill-torture -- soak --runs 2000 --leak memory    # must fail: also threads, descriptors
//! ```
//!
//! After a warm-up of a fifth, what the process has is sampled between runs. It fails if the memory that is resident grows by
//! more than two mebibytes in all, by a straight line fitted through the samples, or if at the end there is a thread or a
//! descriptor more than after the warm-up. What an allocator keeps goes up and down by as much; `--memory-kib` allows more,
//! for a few runs without a warm-up to speak of.

mod mix;
mod process;

use anyhow::{Context, ensure};
use lexopt::{Arg, Parser, ValueExt};
use mix::Mix;
use process::Usage;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// What the fitted line may grow by, from the end of the warm-up on.
const MOST_GROWTH_KIB: u64 = 2_048;
/// So many samples are taken, but for those that would come faster than runs end.
const SAMPLES: f64 = 500.0;

/// How long to go on.
#[derive(Debug, Clone)]
pub struct Soak {
    length: Length,
    /// How often a line is printed.
    every: Duration,
    most_growth_kib: u64,
    leak: Option<Leak>,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Time(Duration),
    Runs(u64),
}

impl Length {
    /// Which part of it is over: from 0 to 1.
    fn part(self, runs: u64, elapsed: Duration) -> f64 {
        match self {
            Length::Time(length) => elapsed.as_secs_f64() / length.as_secs_f64(),
            Length::Runs(length) => runs as f64 / length as f64,
        }
    }
}

/// What is leaked on purpose, a little with each run, to see that it is found.
#[derive(Debug, Clone, Copy)]
enum Leak {
    Memory,
    Threads,
    Descriptors,
}

impl Leak {
    fn parse(what: &str) -> anyhow::Result<Self> {
        match what {
            "memory" => Ok(Leak::Memory),
            "threads" => Ok(Leak::Threads),
            "descriptors" => Ok(Leak::Descriptors),
            other => anyhow::bail!("--leak takes memory, threads or descriptors, not `{other}`"),
        }
    }

    fn happen(self, runs: u64) -> anyhow::Result<()> {
        match self {
            Leak::Memory => {
                std::hint::black_box(Vec::leak(vec![1u8; 64 << 10]));
            }
            Leak::Threads if runs % 100 == 0 => {
                std::thread::Builder::new().spawn(|| {
                    loop {
                        std::thread::park();
                    }
                })?;
            }
            Leak::Descriptors if runs % 100 == 0 => std::mem::forget(File::open("/dev/null")?),
            Leak::Threads | Leak::Descriptors => {}
        }
        Ok(())
    }
}

impl Soak {
    /// Reads the arguments: `--minutes`, or `--runs`; `--every` with seconds; `--leak`.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut soak = Soak {
            length: Length::Time(Duration::from_secs(600)),
            every: Duration::from_secs(30),
            most_growth_kib: MOST_GROWTH_KIB,
            leak: None,
        };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("minutes") => {
                    let minutes: f64 = parser.value()?.parse().context("--minutes takes a number")?;
                    soak.length = Length::Time(Duration::try_from_secs_f64(minutes * 60.0)?);
                }
                Arg::Long("runs") => soak.length = Length::Runs(crate::sim::args::number(&mut parser, "--runs")?),
                Arg::Long("every") => {
                    soak.every = Duration::from_secs(crate::sim::args::number(&mut parser, "--every")?);
                }
                Arg::Long("memory-kib") => {
                    soak.most_growth_kib = crate::sim::args::number(&mut parser, "--memory-kib")?;
                }
                Arg::Long("leak") => soak.leak = Some(Leak::parse(&parser.value()?.string()?)?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(soak)
    }

    /// Runs, and says what there is on the way.
    ///
    /// # Errors
    ///
    /// When something piles up, or a run makes what it should not.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut mix = Mix::new()?;
        let began = Instant::now();
        let (mut samples, mut rested) = (Samples::default(), None);
        let (mut next_line, mut next_sample) = (self.every, 0.2);
        loop {
            mix.run()?;
            if let Some(leak) = self.leak {
                leak.happen(mix.runs())?;
            }
            let elapsed = began.elapsed();
            let part = self.length.part(mix.runs(), elapsed);
            if part >= next_sample {
                next_sample = part + 0.8 / SAMPLES;
                rested.get_or_insert_with(|| Usage::at_rest(None));
                samples.push(elapsed, Usage::now().rss_kib);
            }
            if elapsed >= next_line {
                next_line += self.every;
                mix.say(elapsed, Usage::now(), out)?;
            }
            if part >= 1.0 {
                break;
            }
        }
        let rested = rested.context("it was too short for a warm-up")?;
        let end = Usage::at_rest(Some(rested));
        mix.say(began.elapsed(), end, out)?;
        self.judge(rested, end, &samples, out)
    }

    /// Says what has grown since the warm-up.
    fn judge(&self, rested: Usage, end: Usage, samples: &Samples, out: &mut impl Write) -> anyhow::Result<()> {
        let growth = samples.growth();
        writeln!(
            out,
            "since the warm-up: memory {growth:+.0} KiB by a line through {} samples of {} to {} KiB, threads {} to {}, \
         descriptors {} to {}",
            samples.0.len(),
            samples.least(),
            samples.most(),
            rested.threads,
            end.threads,
            rested.descriptors,
            end.descriptors
        )?;
        let most = self.most_growth_kib;
        ensure!(growth <= most as f64, "memory grows: {growth:.0} KiB, and {most} are allowed");
        ensure!(end.threads <= rested.threads, "threads are left: {} became {}", rested.threads, end.threads);
        ensure!(
            end.descriptors <= rested.descriptors,
            "descriptors are left: {} became {}",
            rested.descriptors,
            end.descriptors
        );
        Ok(())
    }
}

/// How much memory was resident, and when: seconds and KiB.
#[derive(Debug, Default)]
struct Samples(Vec<(f64, f64)>);

impl Samples {
    fn push(&mut self, at: Duration, kib: u64) {
        self.0.push((at.as_secs_f64(), kib as f64));
    }

    fn least(&self) -> f64 {
        self.0.iter().map(|sample| sample.1).fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.0.iter().map(|sample| sample.1).fold(0.0, f64::max)
    }

    /// What the line of least squares grows by from the first sample to the last.
    fn growth(&self) -> f64 {
        let count = self.0.len() as f64;
        let mean = |value: fn(&(f64, f64)) -> f64| self.0.iter().map(value).sum::<f64>() / count;
        let (mean_at, mean_kib) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let covariance: f64 = self.0.iter().map(|(at, kib)| (at - mean_at) * (kib - mean_kib)).sum();
        let variance: f64 = self.0.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        let span = self.0.last().zip(self.0.first()).map_or(0.0, |(last, first)| last.0 - first.0);
        if variance > 0.0 { covariance / variance * span } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_finds_growth_under_noise_and_none_in_noise() {
        let noise = |at: u64| (at * 7_919 % 1_000) as f64 - 500.0;
        let flat = Samples((0..500).map(|at| (at as f64, 50_000.0 + noise(at))).collect());
        assert!(flat.growth().abs() < 100.0, "{}", flat.growth());
        let grown = Samples((0..500).map(|at| (at as f64, 50_000.0 + 4.0 * at as f64 + noise(at))).collect());
        assert!((grown.growth() - 1_996.0).abs() < 100.0, "{}", grown.growth());
        assert_eq!(Samples::default().growth(), 0.0);
    }
}
