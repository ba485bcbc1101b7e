//! Sums of square roots: of the integers of a range, or of the numbers in a file.
//!
//! The sum has the same bits whatever the number of workers, the size of the pieces they get and the instructions the
//! processor has. Three rules make it so:
//!
//! 1. Every root is the one IEEE 754 asks for: the representable number nearest to the true root. See [`Kernel`].
//! 2. Numbers are added in blocks of [`BLOCK`], by position, in one fixed order: element `k` of a block goes to lane
//!    `k` modulo 64, and the 64 lanes are added pairwise.
//! 3. The sums of blocks are added exactly, in fixed point, so their order does not matter. See [`RootSum`].
//!
//! # Error
//!
//! Let `u` be 2⁻⁵³. A root is off by at most `u`, a lane adds at most 64 of them, and six more additions join the lanes.
//! Nothing is negative, so relative errors do not grow by cancellation, and the sum of a block is off by at most `71 u`.
//! Blocks are added exactly and rounded once. So the result differs from the true sum by less than `72 u`, 8 · 10⁻¹⁵ of
//! it, however many numbers there are. In practice errors cancel: the sum of the first 10⁹ roots is the number nearest to the true sum.
//!
//! # Examples
//!
//! ```
//! use gristmill::prelude::*;
//! use gristmill_sqrt_sum::{Kernel, RootSum, spans};
//!
//! let kernel = Kernel::detect();
//! let report = Pipeline::extract(spans(1..1_000_001))
//!     .map(|span| RootSum::of_range(kernel, span))
//!     .fold(RootSum::default, |total, part| total.merge(&part), |total, other| total.merge(&other))
//!     .run()?;
//! assert_eq!(report.output.value(), 666_667_166.458_822_1);
//! # Ok::<(), gristmill::Error>(())
//! ```

#![deny(unsafe_code)]

mod exact;
mod file;
mod kernel;
mod lanes;
#[allow(unsafe_code)]
mod map;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;
mod span;
mod sum;

pub use file::{FileError, Floats, Reader};
pub use kernel::Kernel;
pub use lanes::BLOCK;
pub use span::{MAX_INTEGER, SPAN, Spans, spans};
pub use sum::RootSum;
