//! Parallel data processing on one machine: **extract → transform → store**.
//!
//! Chain closures on a [`Pipeline`], close it with an end, and [`run`](Run::run) it: every core is busy, memory stays
//! under a stated number of bytes, order is kept when asked for, each bad record is accounted for, and the [`Report`]
//! names the bottleneck.
//!
//! ```
//! use gristmill::{Chunks, prelude::*};
//!
//! # let path = std::env::temp_dir().join("gristmill-doc-readings.csv");
//! # std::fs::write(&path, "paris,21.5\nlima,x\nparis,19.5\nlima,16.0\n").unwrap();
//! let report = Pipeline::extract(Chunks::open(&path).unwrap().lines()) // pieces of whole lines, read ahead
//!     .flat_map(|chunk| chunk.into_lines())
//!     .try_map(|(number, line)| parse(&line).ok_or(format!("line {number}"))) // on every core
//!     .on_error(OnError::collect()) // a bad line is noted, not fatal
//!     .group_by(|(city, _)| city.clone())
//!     .fold(|| (0.0, 0), |sum, (_, value)| { sum.0 += value; sum.1 += 1; }, |sum, other| { sum.0 += other.0; sum.1 += other.1; })
//!     .run()?;
//!
//! assert_eq!(report.output.get("paris"), Some(&(41.0, 2)));
//! assert_eq!(report.failures[0].message, "line 2");
//! println!("{report}"); // a line a stage, the accounts, and what held the run back
//! # fn parse(line: &[u8]) -> Option<(String, f64)> {
//! #     let (city, value) = std::str::from_utf8(line).ok()?.split_once(',')?;
//! #     Some((city.to_owned(), value.parse().ok()?))
//! # }
//! # Ok::<(), gristmill::Error>(())
//! ```
//!
//! # Words
//!
//! | word | means |
//! | --- | --- |
//! | item | one value travelling through the pipeline |
//! | stage | extract, transform or store; has a name |
//! | segment | stages fused into one loop |
//! | morsel | a run of consecutive items moved as one; the engine picks its size |
//! | window | how many morsels may be in flight |
//! | budget | how many bytes may be in flight |
//! | position | where in the source an item came from, counted from zero |
//! | dead letter | an item that failed for good, with stage, attempts, error and position |
//! | chunk | a piece of a file that holds whole records |
//!
//! # Where things run
//!
//! - Stages that compute (`map`, `filter`, `flat_map` …) run on rayon's global pool, or [another](Pipeline::pool), fused
//!   into one loop. They never block a pool thread, so a pool of one thread is enough for any pipeline, and rayon calls
//!   inside a transform use the same pool.
//! - What waits has threads of its own: [`map_blocking`](Pipeline::map_blocking), a source or a store that
//!   [may wait](Source::may_wait), a store of dead letters.
//! - A source or an end that never waits needs no thread: the workers pull and store, one at a time.
//! - The thread that calls `run` sleeps, and looks after the run every [flush interval](Pipeline::flush_interval).
//!
//! # Guarantees
//!
//! - Every item ends exactly once: stored, filtered, skipped, dead, [shed](Shed) by a source that was told to, or lost with a
//!   run that was aborted. The [accounts](Totals) balance.
//! - With a [memory budget](Pipeline::memory_budget), what is in flight stays within it, plus one item.
//! - [`ordered`](Pipeline::ordered) keeps source order whatever the stages do; [`ordered_by_key`](Pipeline::ordered_by_key)
//!   that of each key.
//! - A stage may [try again](Pipeline::retry): what waits for its next attempt keeps its bytes and its place in the order,
//!   and no thread sleeps for it. The same goes for [rates](Pipeline::rate_limit), [places](Pipeline::concurrency_limit) and
//!   [breakers](Pipeline::breaker). Rates, places and the [workers](Workers) of blocking stages can be changed while the run goes on.
//! - A panic in a closure is the failure of one item. The exceptions: in a fold, a source or a state's `init`, where it
//!   ends the run; and a panic while another unwinds, or a stack overflow, which end the process.
//! - A run always ends, and takes its threads along: [`Error::report`] says how far it came.
//!
//! - A run that keeps a [checkpoint](Pipeline::checkpoint) can die at any moment and be gone on with; with a store that
//!   commits its rows and the progress together, or can go back, every item is stored exactly once.

pub mod prelude;
pub mod source;
pub mod store;
pub mod testing;

mod breaker;
mod cancel;
mod checkpoint;
pub mod chunk;
mod engine;
mod error;
mod guards;
mod limit;
mod monitor;
mod op;
#[cfg(feature = "pin")]
mod pin;
mod pipeline;
mod places;
mod policy;
mod random;
mod report;
mod retry;
mod shed;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod tuner;
mod watchdog;
mod weight;
mod workers;

pub use breaker::{Breaker, BreakerState};
pub use cancel::CancelToken;
pub use checkpoint::{BadProgress, Checkpoint, Mark, Progress, Receipt};
pub use chunk::{Chunk, ChunkError, Chunks};
pub use error::{BoxError, Error};
pub use guards::{Attempt, attempt};
pub use limit::{ConcurrencyLimit, RateLimit};
pub use monitor::Monitor;
pub use op::{Each, Expand, Extracted, Guard, Guarded, Handle, Last, Operator, Then};
#[cfg(feature = "pin")]
pub use pin::PinError;
pub use pipeline::{
    Collect, Extended, Extraction, ForEach, GroupBy, Groups, IntoIter, IntoPipeline, Joined, Oks, Pipeline, Pool,
    Reduce, Resumed, Run, StoreEnd, Terminal,
};
pub use policy::{Cause, DeadLetter, OnError};
#[doc(hidden)]
pub use report::MorselBookkeeping;
pub use report::{Failure, Kind, Report, StageReport, Totals, Verdict};
pub use retry::Retry;
pub use shed::Shed;
#[cfg(all(unix, feature = "signals"))]
pub use signals::{SignalWatch, Signals};
pub use source::Source;
pub use store::{Outcome, Store};
pub use watchdog::{Stall, Stalled, Watchdog};
pub use weight::{Bytes, Weight};
pub use workers::Workers;

/// The program in the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
