//! Checksums of files and trees on every core, as stages for gristmill: BLAKE3, SHA-256 and XXH3.
//!
//! ```text
//!  Files            Task::hash, on every core              list::write_line
//! ┌────────────┐ tasks ┌───────────────────────────┐ Hashed ┌─────────────┐
//! │ walk, list │══════▶│ small file: one read      │═══════▶│ b3sum lists │
//! └────────────┘       │ large file: in pieces     │        └─────────────┘
//!                      └─────────────┬─────────────┘
//!                                    ▼ FileError: the file is named, the run goes on
//! ```
//!
//! - [`Files`] walks trees or takes the entries of a list, and yields tasks.
//! - [`Task::hash`] does one, with a [`Buffer`] of the worker.
//! - [`list`] reads and writes what `b3sum`, `sha256sum` and `xxhsum` write and read.
//!
//! # Sizes
//!
//! A file below 256 KiB is read with one system call, larger ones in blocks of so much: a block stays in the cache of a
//! core until it is hashed. For BLAKE3 a file above 8 MiB is cut into pieces of 8 MiB, and smaller ones towards its end,
//! which the threads of the rayon pool share: those that are idle take pieces, and the worker that has the file does the
//! rest.
//!
//! # Where to run it
//!
//! In a stage of the pool, as above. In `map_blocking` it took 3 % more CPU time when everything was in memory (20,020
//! files, 2 GB), and gained nothing. From a cold disk more reads at once help: on two cores 3.3 s with two threads, 1.8 s
//! with sixteen, in a pool or in `map_blocking` alike. In memory, more threads than cores cost less than 2 %. So give the
//! pipeline a pool of several threads for each core if files may have to come from a disk.
//!
//! # Memory
//!
//! A buffer of 256 KiB for each worker; with [`mapped`](Files::mapped) instead a window of 8 MiB of a file, which the
//! system may take back at any time. For each large file at work, 32 bytes a piece and at most a buffer for each thread
//! of the pool. The window of the pipeline bounds the tasks in flight.
//!
//! # Files that change
//!
//! A file's size and time of modification are compared before the first read and after the last. If they differ, the
//! digest would be that of a state that never was, and the file is an [error](FileError::is_changed). A write that
//! changes neither is not seen.

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
