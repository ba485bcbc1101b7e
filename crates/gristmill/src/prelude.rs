//! What most programs need: `use gristmill::prelude::*`.

pub use crate::{
    Breaker, Bytes, CancelToken, Cause, ConcurrencyLimit, DeadLetter, IntoPipeline, Monitor, OnError, Outcome,
    Pipeline, RateLimit, Report, Retry, Source, Store, Weight, Workers,
};
