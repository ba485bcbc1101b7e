//! How much was read.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what is read through it.
#[derive(Debug)]
pub struct Counted<'a, R> {
    reader: R,
    bytes: &'a AtomicU64,
}

impl<'a, R> Counted<'a, R> {
    /// Adds to this counter.
    pub fn new(reader: R, bytes: &'a AtomicU64) -> Self {
        Counted { reader, bytes }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
