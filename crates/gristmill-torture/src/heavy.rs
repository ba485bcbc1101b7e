//! A run whose items are much more than its budget, for a kernel that kills who takes too much.
//!
//! ```text
//! gristmill-torture heavy --budget-mib 64 --items 20000     # in a memory cgroup, say of 128 MiB
//! gristmill-torture heavy --budget-mib 0 --items 20000      # without a budget: killed there
//! ```

use anyhow::ensure;
use gristmill::prelude::*;
use gristmill::store;
use lexopt::{Arg, Parser};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

/// The largest item.
const LARGEST: f64 = (8 << 20) as f64;

/// What to run.
#[derive(Debug, Clone)]
pub struct Heavy {
    /// `None` for none.
    budget: Option<Bytes>,
    items: u64,
}

impl Heavy {
    /// Reads the arguments: `--budget-mib`, zero for none, and `--items`.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut heavy = Heavy { budget: Some(Bytes::mib(64)), items: 20_000 };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("budget-mib") => {
                    let mib: usize = crate::sim::args::number(&mut parser, "--budget-mib")?.try_into()?;
                    heavy.budget = (mib > 0).then(|| Bytes::mib(mib));
                }
                Arg::Long("items") => heavy.items = crate::sim::args::number(&mut parser, "--items")?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(heavy)
    }

    /// Runs it, and says how much memory was resident at most.
    ///
    /// # Errors
    ///
    /// When bytes are missing.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut bytes = 0;
        let mut pipeline = Pipeline::extract((0..self.items).map(|item| vec![1u8; size(item)]))
            .weigh()
            .map(|mut item: Vec<u8>| {
                item.iter_mut().for_each(|byte| *byte += 1);
                item
            })
            .weigh()
            .ordered()
            // Wide enough that only the budget bounds anything.
            .window(1 << 16);
        if let Some(budget) = self.budget {
            pipeline = pipeline.memory_budget(budget);
        }
        let pipeline = pipeline.batch(32).weigh_by(|batch: &Vec<Vec<u8>>| batch.iter().map(Vec::capacity).sum());
        let report = pipeline
            .store(store::from_fn(|batch: Vec<Vec<u8>>| {
                // Slower than the rest, so that everything fills up before it.
                std::thread::sleep(Duration::from_micros(500));
                bytes += batch.iter().flatten().map(|byte| u64::from(*byte)).sum::<u64>();
                Ok::<(), Infallible>(())
            }))
            .run()?;
        ensure!(report.totals().balance() && report.totals().extracted == self.items, "{report}");
        let all: u64 = (0..self.items).map(|item| size(item) as u64).sum();
        ensure!(bytes == 2 * all, "{bytes} instead of {}", 2 * all);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: unknown");
        let most = report.peak_bytes >> 20;
        writeln!(out, "{} items, {} MiB in all, {most} MiB in flight at most; {peak}", self.items, all >> 20)?;
        Ok(())
    }
}

/// Sizes by a Pareto distribution: many that are small, and a few that are thousands of times as large.
fn size(item: u64) -> usize {
    let drawn = item.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    let uniform = (drawn as f64 + 1.0) / (1u64 << 53) as f64;
    (20_000.0 / uniform.powf(0.8)).min(LARGEST) as usize
}
