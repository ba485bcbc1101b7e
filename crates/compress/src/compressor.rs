//! Compressing one block.

use crate::blocks::Block;
use crate::encoding::{Encoding, Format};
use crate::error::CompressError;
use libdeflater::CompressionLvl;
use std::fmt;
use std::io;
use zstd::zstd_safe::{self, CParameter};

/// Compresses blocks, one at a time: the state of a worker. Its tables and buffers are used again.
pub struct Compressor {
    engine: Engine,
    /// Where a block is compressed to, before it is known how long it becomes.
    scratch: Vec<u8>,
}

enum Engine {
    Zstd(zstd::bulk::Compressor<'static>),
    Gzip(libdeflater::Compressor),
}

impl Compressor {
    pub(crate) fn new(encoding: Encoding) -> Result<Self, CompressError> {
        let Encoding { format, level, checksum, .. } = encoding;
        let engine = match format {
            Format::Zstd => zstd_engine(level, checksum)
                .map(Engine::Zstd)
                .map_err(|source| CompressError::Compress { format, offset: 0, source })?,
            Format::Gzip => {
                let (least, most) = format.levels().into_inner();
                let known = CompressionLvl::new(level);
                let known = known.map_err(|_| CompressError::Level { format, level, least, most })?;
                Engine::Gzip(libdeflater::Compressor::new(known))
            }
        };
        Ok(Compressor { engine, scratch: Vec::new() })
    }

    /// Makes a whole frame or member of a block.
    ///
    /// # Errors
    ///
    /// When the library fails, as it does if there is no memory for its tables.
    pub fn compress(&mut self, block: &Block) -> Result<Vec<u8>, CompressError> {
        let len = self.fill_scratch(block.bytes());
        let len =
            len.map_err(|source| CompressError::Compress { format: self.format(), offset: block.offset(), source })?;
        Ok(self.scratch[..len].to_vec())
    }

    fn fill_scratch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bound = match &mut self.engine {
            Engine::Zstd(_) => zstd_safe::compress_bound(bytes.len()),
            Engine::Gzip(gzip) => gzip.gzip_compress_bound(bytes.len()),
        };
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        match &mut self.engine {
            Engine::Zstd(zstd) => zstd.compress_to_buffer(bytes, &mut self.scratch[..]),
            Engine::Gzip(gzip) => gzip.gzip_compress(bytes, &mut self.scratch).map_err(io::Error::other),
        }
    }

    fn format(&self) -> Format {
        match self.engine {
            Engine::Zstd(_) => Format::Zstd,
            Engine::Gzip(_) => Format::Gzip,
        }
    }
}

fn zstd_engine(level: i32, checksum: bool) -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut engine = zstd::bulk::Compressor::new(level)?;
    engine.set_parameter(CParameter::ChecksumFlag(checksum))?;
    Ok(engine)
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("format", &self.format()).finish_non_exhaustive()
    }
}
