//! Parallel data processing on one machine: extract → transform → store.

pub mod prelude;
pub mod source;
pub mod store;

mod cancel;
mod chunk;
mod engine;
mod error;
mod monitor;
mod op;
mod pipeline;
mod policy;
mod report;
mod weight;

pub use cancel::CancelToken;
pub use chunk::{Chunk, ChunkError, Chunks, IntoLines, LineChunks};
pub use error::{BoxError, Error};
pub use monitor::Monitor;
pub use op::{Each, Expand, Extracted, Handle, Last, Operator, Then};
pub use pipeline::{
    Collect, Extended, Extraction, ForEach, GroupBy, Groups, IntoIter, IntoPipeline, Oks, Pipeline, Pool, Reduce,
    Resumed, Run, StoreEnd, Terminal,
};
pub use policy::{Cause, DeadLetter, OnError};
pub use report::{Failure, Kind, Report, StageReport, Totals, Verdict};
pub use source::Source;
pub use store::{Outcome, Store};
pub use weight::{Bytes, Weight};
