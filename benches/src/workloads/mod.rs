//! Whole jobs: what gristmill's workload crates do, beside what people use for it today.

pub mod brc;
pub mod compress;
pub mod frames;
pub mod hash;
pub mod resize;
pub mod sqrt_sum;
pub mod words;

use crate::contest::{Contest, Failure, Setup};

/// A workload that `compare` knows by name.
#[derive(Debug)]
pub struct Workload {
    /// The command.
    pub name: &'static str,
    /// Makes missing inputs, and the contests on them.
    pub contests: fn(&Setup) -> Result<Vec<Contest>, Failure>,
}

/// All of them.
pub const WORKLOADS: &[Workload] =
    &[hash::HASH, brc::BRC, sqrt_sum::SQRT_SUM, words::WORDS, compress::COMPRESS, frames::FRAMES, resize::RESIZE];
