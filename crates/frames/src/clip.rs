//! A file of frames as a source.

use crate::format::{Format, FormatError, MAGIC};
use crate::frame::Frame;
use gristmill::chunk::{BadRecord, MappedBytes, Pieces, Splitter};
use gristmill::{Bytes, Chunk, ChunkError, Chunks, Source, Weight};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// An open file of frames: a source of them.
///
/// A frame that is read is a copy of its bytes in the file; one that is mapped is the file's bytes themselves. A frame
/// that is cut off at the end of the file is a failure of the extract stage.
#[derive(Debug)]
pub struct Clip {
    pieces: Pieces<FrameEnds>,
    format: Format,
}

impl Clip {
    /// Opens a file to be read: a pipe will do.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or read, or does not begin with a header of supported video.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        Clip::begin(Chunks::open(path)?)
    }

    /// Maps a file: frames are not copied.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Clip::open), and when it cannot be mapped, as a pipe cannot.
    ///
    /// # Safety
    ///
    /// That of [`Chunks::map`]: no process may write to or truncate the file while a frame of it lives.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        // SAFETY: the caller keeps the file as it is.
        let chunks = unsafe { Chunks::map(path) }?;
        Clip::begin(chunks)
    }

    /// What the header says.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.format
    }

    fn begin(chunks: Chunks) -> Result<Self, ClipError> {
        let frame_bytes = Arc::new(OnceLock::new());
        // Each record, the header too, is a chunk of its own.
        let mut pieces = chunks.target(Bytes::new(1)).split(FrameEnds { frame_bytes: Arc::clone(&frame_bytes) });
        let header = pieces.pull().ok_or_else(|| FormatError("it is empty".to_owned()))??;
        let line = header.strip_suffix(b"\n").unwrap_or(&header);
        let format = Format::parse(line)?;
        // Nobody else sets it.
        let _ = frame_bytes.set(format.frame_bytes());
        Ok(Clip { pieces, format })
    }
}

impl Source for Clip {
    type Item = Frame;
    type Error = ChunkError;

    fn pull(&mut self) -> Option<Result<Frame, ChunkError>> {
        let frame_bytes = self.format.frame_bytes();
        let chunk: Result<Chunk, ChunkError> = self.pieces.pull()?;
        // The frame's own header goes up to its planes.
        Some(chunk.map(|chunk| Frame::new(chunk.slice(chunk.len() - frame_bytes..))))
    }

    fn may_wait(&self) -> bool {
        self.pieces.may_wait()
    }

    fn weigher() -> Option<fn(&Frame) -> usize> {
        Some(Frame::weight)
    }

    fn mapped_bytes(&self) -> Option<MappedBytes> {
        self.pieces.mapped_bytes()
    }
}

/// A header line may be so long.
const LONGEST_HEADER: usize = 4_096;

/// Finds the end of the file's header, and then of each frame.
#[derive(Debug, Clone)]
struct FrameEnds {
    /// Known once the header was read.
    frame_bytes: Arc<OnceLock<usize>>,
}

impl Splitter for FrameEnds {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        let Some(frame_bytes) = self.frame_bytes.get() else {
            return end_of_line(bytes, MAGIC);
        };
        let Some(start) = end_of_line(bytes, "FRAME")? else { return Ok(None) };
        let end = start + frame_bytes;
        Ok((end <= bytes.len()).then_some(end))
    }

    fn wanted(&self, bytes: &[u8]) -> Option<usize> {
        let start = end_of_line(bytes, "FRAME").ok()??;
        Some(start + self.frame_bytes.get()?)
    }

    fn check_rest(&self, bytes: &[u8]) -> Result<(), BadRecord> {
        if self.frame_bytes.get().is_none() {
            return Ok(());
        }
        Err(BadRecord::new(format!("the file ends {} bytes into a frame", bytes.len())))
    }

    fn has_lines(&self) -> bool {
        false
    }
}

/// The end of a line that begins with a word.
fn end_of_line(bytes: &[u8], word: &str) -> Result<Option<usize>, BadRecord> {
    let known = bytes.len().min(word.len());
    if bytes[..known] != word.as_bytes()[..known] {
        return Err(BadRecord::new(format!("`{word}` does not follow")));
    }
    let end = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n');
    match end {
        Some(end) => Ok(Some(end + 1)),
        None if bytes.len() >= LONGEST_HEADER => Err(BadRecord::new("a header line does not end")),
        None => Ok(None),
    }
}

/// A file could not be opened, or is no video that is supported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// It could not be opened, mapped or read.
    #[error(transparent)]
    File(#[from] ChunkError),
    /// Its header is not one of supported video.
    #[error("it is no Y4M video that can be read")]
    Format(#[from] FormatError),
}
