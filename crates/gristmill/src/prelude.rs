//! What most programs need: `use gristmill::prelude::*`.

pub use crate::{
    Bytes, CancelToken, Cause, DeadLetter, IntoPipeline, Monitor, OnError, Outcome, Pipeline, Report, Retry, Source,
    Store, Weight,
};
