//! Hunts for broken promises: what the `gristmill-torture` program does, for tests to call.

pub mod endless;
pub mod heavy;
#[cfg(feature = "jobs")]
pub mod job;
#[cfg(feature = "jobs")]
pub mod kill;
pub mod planted;
pub mod sim;
pub mod soak;
