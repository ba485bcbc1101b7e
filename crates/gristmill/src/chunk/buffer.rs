//! Bytes that were read, in buffers that are used again.

use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// What was read of a file at once. The last chunk of it to be dropped gives the buffer back.
#[derive(Debug)]
pub(super) struct Buffer {
    /// The file's bytes, and at the end whatever was there before.
    pub(super) bytes: Vec<u8>,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// How many line ends of the file are before it, if it has lines.
    pub(super) line_ends: Option<u64>,
    pub(super) file: Option<Arc<Path>>,
    pub(super) home: Option<Arc<Pool>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.put(std::mem::take(&mut self.bytes));
        }
    }
}

/// Buffers that nobody uses. One that was touched before needs no page of the system.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
    /// How many bytes are kept at most, but for one buffer; the others are in flight.
    room: usize,
}

/// How many buffers of the target's size are kept.
const KEPT: usize = 8;

impl Pool {
    pub(super) fn new(target: usize) -> Arc<Self> {
        Arc::new(Pool { free: Mutex::new(Vec::new()), room: target.saturating_mul(KEPT).max(KEPT << 20) })
    }

    /// A buffer of any length, with any bytes in it.
    pub(super) fn get(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    fn put(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock();
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if free.is_empty() || (free.len() < KEPT && kept.saturating_add(buffer.capacity()) <= self.room) {
            free.push(buffer);
        }
    }
}
