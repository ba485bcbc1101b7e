//! A stream in blocks.

use crate::error::CompressError;
use gristmill::{Source, Weight};
use std::io::Read;

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where in the stream it begins.
    pub offset: u64,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Weight for Block {
    fn heap(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The blocks of a stream, each as large as was asked for but the last: a source. An empty stream has one empty block.
#[derive(Debug)]
pub struct Blocks<R> {
    stream: R,
    block: usize,
    offset: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(stream: R, block: usize) -> Self {
        Blocks { stream, block, offset: 0, ended: false }
    }
}

impl<R: Read> Source for Blocks<R> {
    type Item = Block;
    type Error = CompressError;

    fn pull(&mut self) -> Option<Result<Block, CompressError>> {
        if self.ended {
            return None;
        }
        // As much as the last one had: the first one grows as it is read, in case the stream is short.
        let mut bytes = Vec::with_capacity(self.block.min(self.offset.try_into().unwrap_or(usize::MAX)));
        let read = self.stream.by_ref().take(self.block as u64).read_to_end(&mut bytes);
        // A block that is not full is the last one, and after a failure nobody knows what would come next.
        self.ended = read.as_ref().map_or(true, |read| *read < self.block);
        let offset = self.offset;
        match read {
            Err(source) => Some(Err(CompressError::Read { source })),
            Ok(0) if offset > 0 => None,
            Ok(read) => {
                self.offset += read as u64;
                Some(Ok(Block { offset, bytes }))
            }
        }
    }

    fn weigher() -> Option<fn(&Block) -> usize> {
        Some(Block::weight)
    }
}
