//! A picture.

use crate::{Format, Histogram};
use gristmill::{Chunk, Weight};

/// One picture: its planes, one after another. Cheap to clone: clones share the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Chunk,
}

impl Frame {
    /// From bytes without the frame's own header.
    pub(crate) fn new(bytes: Chunk) -> Self {
        Frame { bytes }
    }

    /// All planes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The planes of a frame of this format, each with its columns and rows.
    ///
    /// # Panics
    ///
    /// If the frame is not of this format.
    pub fn planes<'a>(&'a self, format: &'a Format) -> impl Iterator<Item = (u32, u32, &'a [u8])> {
        assert_eq!(self.bytes.len(), format.frame_bytes(), "a frame of another format");
        let mut rest = self.bytes();
        format.planes().map(move |(width, height)| {
            let (plane, after) = rest.split_at(width as usize * height as usize);
            rest = after;
            (width, height, plane)
        })
    }

    /// How often each brightness occurs.
    ///
    /// # Panics
    ///
    /// If the frame is not of this format.
    #[must_use]
    pub fn luma_histogram(&self, format: &Format) -> Histogram {
        self.planes(format).next().map_or_else(Histogram::default, |(_, _, luma)| Histogram::of(luma))
    }
}

impl From<Vec<u8>> for Frame {
    fn from(planes: Vec<u8>) -> Self {
        Frame::new(planes.into())
    }
}

impl Weight for Frame {
    fn heap(&self) -> usize {
        self.bytes.heap()
    }
}
