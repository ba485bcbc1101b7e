//! Compresses one stream on every core, block by block, and writes it in order.
//!
//! ```text
//!   a thread of its own            rayon pool               a thread of its own
//! ┌────────────────────┐ blocks ┌──────────────┐ frames ┌──────────────────────┐
//! │ read: file or pipe │═══════▶│   compress   │═══════▶│ write, in the order  │
//! └────────────────────┘        └──────────────┘        │ of the blocks        │
//!                                                       └──────────────────────┘
//! ```
//!
//! Each block becomes a zstd frame or a gzip member of its own. Both formats allow several, one after another, so `zstd -d`,
//! `gzip -d` and every library read the result as one stream. It is the same bytes whatever the number of workers.
//!
//! - *Ratio.* A block knows nothing of those before it, so repetitions across a border are lost. The blocks that are
//!   chosen if nothing is said are so large that this costs about two per cent at most: see [`Encoding::block`].
//! - *Memory.* So many blocks are in flight as [`Encoding::memory`] says, however long the stream is; beside that, each
//!   worker has the tables of its compressor: a few MiB at usual levels, some hundred at the highest ones of zstd.
//! - *Failure.* An [`OutputFile`] is under its name when everything is written, and not before.
//! - *Nothing to compress.* An empty stream becomes one empty frame or member, which is a valid file.
//!
//! # Examples
//!
//! ```
//! use gristmill_compress::{BlockWriter, Encoding};
//!
//! let text = "Every item ends exactly once. ".repeat(100_000);
//! let mut compressed = Vec::new();
//! Encoding::zstd().read(text.as_bytes())?.store(BlockWriter::new(&mut compressed)).run()?;
//! assert!(compressed.len() < text.len() / 100);
//! assert_eq!(zstd::decode_all(&compressed[..])?, text.as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod blocks;
mod compressor;
mod encoding;
mod error;
mod output;

pub use blocks::{Block, Blocks};
pub use compressor::Compressor;
pub use encoding::{Encoding, Format};
pub use error::CompressError;
pub use output::{BlockWriter, Existing, OutputFile};
