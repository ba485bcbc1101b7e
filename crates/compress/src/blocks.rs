//! A stream in blocks.

use crate::error::CompressError;
use gristmill::{Source, Weight};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// A piece of a stream. When it is dropped its buffer goes back to be filled again.
#[derive(Debug)]
pub struct Block {
    offset: u64,
    bytes: Vec<u8>,
    home: Arc<Spare>,
}

impl Block {
    /// Where in the stream it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.bytes));
    }
}

impl Weight for Block {
    fn heap(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Buffers that nobody has in use: no more of them than blocks were in flight at once. A large buffer that is freed goes
/// back to the system, and a new one costs a page fault every 4 KiB.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// The blocks of a stream, each as large as was asked for but the last: a source. An empty stream has one empty block.
#[derive(Debug)]
pub struct Blocks<R> {
    stream: R,
    block: usize,
    offset: u64,
    ended: bool,
    spare: Arc<Spare>,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(stream: R, block: usize) -> Self {
        Blocks { stream, block, offset: 0, ended: false, spare: Arc::default() }
    }
}

impl<R: Read> Source for Blocks<R> {
    type Item = Block;
    type Error = CompressError;

    fn pull(&mut self) -> Option<Result<Block, CompressError>> {
        if self.ended {
            return None;
        }
        let mut bytes = self.spare.take().unwrap_or_default();
        // The first one grows as it is read, in case the stream is short.
        bytes.reserve_exact(self.block.min(self.offset.try_into().unwrap_or(usize::MAX)));
        let read = self.stream.by_ref().take(self.block as u64).read_to_end(&mut bytes);
        // A block that is not full is the last one, and after a failure nobody knows what would come next.
        self.ended = read.as_ref().map_or(true, |read| *read < self.block);
        let offset = self.offset;
        match read {
            Err(source) => Some(Err(CompressError::Read { source })),
            Ok(0) if offset > 0 => None,
            Ok(read) => {
                self.offset += read as u64;
                Some(Ok(Block { offset, bytes, home: Arc::clone(&self.spare) }))
            }
        }
    }

    fn weigher() -> Option<fn(&Block) -> usize> {
        Some(Block::weight)
    }
}
