//! What may go wrong.

use crate::encoding::Format;
use std::io;
use std::path::PathBuf;

/// Why a stream was not compressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are in the messages")]
pub enum CompressError {
    /// The format has no such level.
    #[error("{format} has levels from {least} to {most}, not {level}")]
    Level { format: Format, level: i32, least: i32, most: i32 },
    /// Blocks are too small or too large.
    #[error("a block must have from 1 byte to 1 GiB, not {bytes} bytes")]
    Block { bytes: usize },
    /// The stream could not be read.
    #[error("could not read the stream")]
    Read { source: io::Error },
    /// A block could not be compressed.
    #[error("could not compress the block at byte {offset} by {format}")]
    Compress { format: Format, offset: u64, source: io::Error },
    /// What was compressed could not be written.
    #[error("could not write what was compressed")]
    Write { source: io::Error },
    /// The file could not be made or put in its place.
    #[error("could not {action} `{}`", path.display())]
    File { path: PathBuf, action: &'static str, source: io::Error },
}
