//! The promises, one module each, against the real engine.

#![allow(missing_docs)]

mod budget;
mod errors;
mod order;
mod pools;
mod report;
mod settings;
mod shapes;
mod state;
mod stop;
mod support;
mod timely;
