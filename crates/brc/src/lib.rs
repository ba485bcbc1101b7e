//! The One Billion Row Challenge: min, mean and max temperature per weather station, from lines of
//! `station;temperature`.
//!
//! [`Tally`] is the accumulator of a [`fold`](gristmill::Pipeline::fold); each worker has one. It takes the
//! [lines](gristmill::Chunks::lines) of a file, read or mapped.
//!
//! ```
//! use gristmill::{Chunks, prelude::*};
//! use gristmill_brc::Tally;
//!
//! # let path = std::env::temp_dir().join("gristmill-doc-brc.txt");
//! std::fs::write(&path, "Oslo;-1.5\nBern;12.0\nOslo;3.0\n")?;
//! let report = Pipeline::extract(Chunks::open(&path)?.lines())
//!     .fold(Tally::new, Tally::add, Tally::merge)
//!     .run()?;
//! let summary = report.output.finish()?;
//! assert_eq!(summary.to_string(), "{Bern=12.0/12.0/12.0, Oslo=-1.5/0.8/3.0}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rows
//!
//! A name has 1 to 100 bytes of UTF-8 without `;`; a temperature is between -99.9 and 99.9 and has one decimal. Lines end
//! with `\n`, or with `\r\n`, which is slower; the last one need not end. Any number of stations will do. Anything else
//! is a [`BadRow`]: no row is left out silently, and the check costs a few instructions a row.
//!
//! Sums are exact, so the result does not depend on the number of workers. A mean in the middle of two tenths is rounded
//! up, as the challenge says.

#![deny(unsafe_code)]

mod bad_row;
mod number;
mod row;
#[allow(unsafe_code, reason = "the instructions of one kind of machine")]
mod scan;
mod stats;
mod summary;
mod table;
mod tally;
mod tenths;

pub use bad_row::{BadRow, Reason};
pub use stats::Stats;
pub use summary::Summary;
pub use tally::Tally;
pub use tenths::Tenths;
