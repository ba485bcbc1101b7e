//! How to compress.

use crate::blocks::{Block, Blocks};
use crate::compressor::Compressor;
use crate::error::CompressError;
use gristmill::{Bytes, Operator, Pipeline};
use std::fmt;
use std::io::Read;
use std::ops::RangeInclusive;

/// What the result can be read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Frames of Zstandard: `zstd -d`. RFC 8878.
    Zstd,
    /// Members of gzip: `gzip -d`. RFC 1952.
    Gzip,
}

impl Format {
    /// The levels it has, from the fastest to the smallest. Those of gzip are libdeflate's, whose 10 to 12 are beyond what
    /// `gzip` has.
    #[must_use]
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Format::Zstd => 1..=*zstd::compression_level_range().end(),
            Format::Gzip => 1..=12,
        }
    }

    /// What file names end with.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Zstd => "zst",
            Format::Gzip => "gz",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Zstd => "zstd",
            Format::Gzip => "gzip",
        })
    }
}

/// The settings of a compression.
///
/// # Examples
///
/// ```
/// use gristmill::Bytes;
/// use gristmill_compress::Encoding;
///
/// let encoding = Encoding::gzip().level(9).block(Bytes::kib(128));
/// assert!(encoding.compressor().is_ok());
/// assert!(encoding.level(99).compressor().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Encoding {
    pub(crate) format: Format,
    pub(crate) level: i32,
    block: Option<usize>,
    pub(crate) checksum: bool,
    memory: Option<Bytes>,
}

impl Encoding {
    /// Frames of Zstandard.
    pub fn zstd() -> Self {
        Encoding { format: Format::Zstd, level: 3, block: None, checksum: true, memory: None }
    }

    /// Members of gzip.
    pub fn gzip() -> Self {
        Encoding { format: Format::Gzip, level: 6, block: None, checksum: true, memory: None }
    }

    /// The usual settings of a format.
    pub fn of(format: Format) -> Self {
        match format {
            Format::Zstd => Self::zstd(),
            Format::Gzip => Self::gzip(),
        }
    }

    /// Sets how hard to try: one of [`Format::levels`].
    ///
    /// # Default
    ///
    /// What the programs have: 3 for zstd, 6 for gzip.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the size of blocks, from 1 byte to 1 GiB. Smaller ones keep more cores busy on a short stream, and need less
    /// memory; larger ones find more repetitions.
    ///
    /// # Default
    ///
    /// 1 MiB for gzip. For zstd four times as far as the level looks back, from 2 MiB at level 1 to 32 MiB at the highest;
    /// 8 MiB at level 3. On 64 MiB of source code the result is 0.3 % larger than one block with gzip, and 1 % (level 1) to
    /// 2 % with zstd. That is as large as `pigz` and `zstd -T2` make it.
    pub fn block(mut self, bytes: Bytes) -> Self {
        self.block = Some(bytes.get());
        self
    }

    /// The size of blocks, said or chosen.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        let chosen = match (self.format, self.level) {
            (Format::Gzip, _) => 1 << 20,
            (Format::Zstd, ..=1) => 2 << 20,
            (Format::Zstd, 2) => 4 << 20,
            (Format::Zstd, 3..=8) => 8 << 20,
            (Format::Zstd, 9..=16) => 16 << 20,
            (Format::Zstd, _) => 32 << 20,
        };
        self.block.unwrap_or(chosen)
    }

    /// Sets whether frames end with a checksum of what was compressed, which is verified when they are read. For zstd;
    /// gzip always has one.
    ///
    /// # Default
    ///
    /// True, as in the program `zstd`.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    /// Bounds the bytes in flight: blocks that were read and are not written yet.
    ///
    /// # Default
    ///
    /// Three blocks for each core, and no less than six.
    pub fn memory(mut self, bytes: Bytes) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What one worker compresses with.
    ///
    /// # Errors
    ///
    /// When there is no such level, or blocks are too small or too large.
    pub fn compressor(&self) -> Result<Compressor, CompressError> {
        self.check()?;
        Compressor::new(*self)
    }

    /// Cuts a stream into blocks: a source, which has a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`compressor`](Self::compressor).
    pub fn blocks<R: Read>(&self, stream: R) -> Result<Blocks<R>, CompressError> {
        self.check()?;
        Ok(Blocks::new(stream, self.block_bytes()))
    }

    /// A pipeline that reads a stream and compresses its blocks, in order, to be closed with a store.
    ///
    /// # Errors
    ///
    /// As [`compressor`](Self::compressor).
    pub fn read<'env, R: Read + Send + 'env>(
        self,
        stream: R,
    ) -> Result<
        Pipeline<
            'env,
            Result<Block, CompressError>,
            impl Operator<'env, Result<Block, CompressError>, Out = Vec<u8>> + use<'env, R>,
        >,
        CompressError,
    > {
        let blocks = self.blocks(stream)?;
        let compressed = Pipeline::extract(blocks)
            .named("read")
            .try_map_init(move || self.compressor(), |compressor, block: Block| compressor.compress(&block))
            .named("compress")
            .weigh();
        // What cannot be compressed gets hardly larger.
        Ok(compressed.memory_budget(self.budget()).expected_growth(1.0).ordered())
    }

    fn check(&self) -> Result<(), CompressError> {
        let Encoding { format, level, .. } = *self;
        let block = self.block_bytes();
        let (least, most) = format.levels().into_inner();
        if !(least..=most).contains(&level) {
            return Err(CompressError::Level { format, level, least, most });
        }
        // The formats allow more, but nobody has many of these in memory.
        if !(1..=1 << 30).contains(&block) {
            return Err(CompressError::Block { bytes: block });
        }
        Ok(())
    }

    fn budget(&self) -> Bytes {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.memory.unwrap_or(Bytes::new(self.block_bytes().saturating_mul((3 * cores).max(6))))
    }
}
