//! Whole jobs: what gristmill's workload crates do, beside what people use for it today.

pub mod brc;
pub mod compress;
pub mod frames;
pub mod hash;
pub mod resize;
pub mod sqrt_sum;
pub mod words;

use gristmill::Bytes;

use crate::contest::{Contest, Failure, Setup};

/// Of a file that is read, so much at a time: it stays in a core's second cache until it is worked on.
const CHUNK: Bytes = Bytes::kib(512);
/// How much of a file that is read is in flight at most. More leaves the third cache, and costs a quarter of the time.
const BUDGET: Bytes = Bytes::mib(16);

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
