//! Sources and stores for [gristmill], on well-kept libraries, one Cargo feature each.
//!
//! | module | for | feature |
//! | --- | --- | --- |
//! | `csv` | rows of CSV, parsed on all workers or read on one thread | `csv`, on by default |
//! | `sqlite` | batches into a database, one transaction each | `sqlite`, on by default |
//! | `dead_letters` | dead letters as lines of JSON, and back into a pipeline | `json`, on by default |
//! | [`lines`] | items as lines of a file: dead letters | always there |
//!
//! What each promises when a batch fails, a disk is full or the power goes is said in its module.

#![forbid(unsafe_code)]

#[cfg(feature = "csv")]
pub mod csv;
#[cfg(feature = "json")]
pub mod dead_letters;
pub mod lines;
#[cfg(feature = "sqlite")]
pub mod sqlite;
