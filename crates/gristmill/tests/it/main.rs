//! The promises, one module each, against the real engine.

#![allow(missing_docs)]
// A watchdog must outlive what it watches, and a channel without a bound is a scripted user.
#![allow(clippy::disallowed_methods)]

mod budget;
mod checkpoint;
mod chunks;
mod control;
mod endings;
mod errors;
mod fallback;
mod groups;
#[cfg(target_os = "linux")]
mod guard;
mod lifecycle;
mod limits;
mod order;
#[cfg(all(target_os = "linux", feature = "pin"))]
mod pin;
mod pools;
mod report;
mod retry;
mod settings;
mod shapes;
mod shed;
mod simulation;
mod state;
mod stop;
mod support;
mod timely;
mod unwinding;
mod waiting;
