//! Checksums of files and trees on every core, as stages for [gristmill]: BLAKE3, SHA-256 and XXH3.
//!
//! ```text
//!  Files            Task::hash, on every core              list::write_line
//! ┌────────────┐ tasks ┌───────────────────────────┐ Hashed ┌─────────────┐
//! │ walk, list │══════▶│ small file: one read      │═══════▶│ b3sum lists │
//! │ cut large  │       │ large file: one piece     │        └─────────────┘
//! └────────────┘       └─────────────┬─────────────┘
//!                                    ▼ FileError: the file is named, the run goes on
//! ```
//!
//! - [`Files`] walks trees or reads the entries of a list, and yields tasks.
//! - [`Task::hash`] does one, with a [`Buffer`] of the worker.
//! - [`list`] reads and writes what `b3sum`, `sha256sum` and `xxhsum` write and read.
//!
//! # Sizes
//!
//! A file below 256 KiB is read with one system call, larger ones in blocks of so much: a block stays in the cache of a
//! core until it is hashed. For BLAKE3 a file above 8 MiB is cut into pieces of 8 MiB or more, each a task of its own.
//!
//! # Memory
//!
//! A buffer of 256 KiB for each worker; with [`mapped`](Files::mapped) instead a window of 8 MiB of a file, which the
//! system may take back at any time. 32 bytes for each piece of the large files at work. The window of the pipeline
//! bounds the tasks in flight, not the number of files.
//!
//! # Files that change
//!
//! A file's size and time of modification are compared before and after. If they differ, the digest would be that of a
//! state that never was, and the file is an [error](FileError::is_changed). A write that changes neither is not seen.

mod algorithm;
mod error;
mod files;
pub mod list;
mod map;
mod read;
mod split;
mod task;

pub use algorithm::{Algorithm, Digest, UnknownAlgorithm};
pub use error::FileError;
pub use files::{Files, Links};
pub use read::Buffer;
pub use task::{Hashed, Task};
