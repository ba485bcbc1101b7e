//! The lines of a chunk.

use super::Chunk;
use memchr::memchr;

/// The lines of a chunk with their numbers: returned by [`Chunk::into_lines`].
#[derive(Debug, Clone)]
pub struct IntoLines {
    chunk: Chunk,
    at: usize,
    number: u64,
}

impl IntoLines {
    pub(super) fn new(chunk: Chunk) -> Self {
        IntoLines { number: chunk.first_line(), at: 0, chunk }
    }
}

impl Iterator for IntoLines {
    type Item = (u64, Chunk);

    fn next(&mut self) -> Option<(u64, Chunk)> {
        let (len, step) = line(&self.chunk[self.at..])?;
        let numbered = (self.number, self.chunk.slice(self.at..self.at + len));
        self.at += step;
        self.number += 1;
        Some(numbered)
    }
}

/// The lines of bytes: returned by [`Chunk::lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, step) = line(self.0)?;
        let text = &self.0[..len];
        self.0 = &self.0[step..];
        Some(text)
    }
}

/// The length of the first line without its end, and with it.
fn line(rest: &[u8]) -> Option<(usize, usize)> {
    if rest.is_empty() {
        return None;
    }
    let Some(end) = memchr(b'\n', rest) else { return Some((rest.len(), rest.len())) };
    let text = if rest[..end].ends_with(b"\r") { end - 1 } else { end };
    Some((text, end + 1))
}
