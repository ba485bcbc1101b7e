//! The files, one after another, as one source of chunks.

use super::flight::Columns;
use anyhow::Context;
use gristmill::chunk::{Delimited, Pieces};
use gristmill::{BoxError, Bytes, Chunk, ChunkError, Chunks, Mark, Source, Weight};
use gristmill_connect::csv::Header;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A CSV file to be read.
#[derive(Debug, Clone)]
pub struct Input {
    path: PathBuf,
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Map,
}

impl Input {
    /// A file that is read into buffers, whatever others do to it meanwhile. It may be a pipe.
    pub fn read(path: impl Into<PathBuf>) -> Self {
        Input { path: path.into(), access: Access::Read }
    }

    /// A file that is mapped into memory.
    ///
    /// # Safety
    ///
    /// Nobody may change or truncate the file while the flights are read from it.
    pub unsafe fn map(path: impl Into<PathBuf>) -> Self {
        Input { path: path.into(), access: Access::Map }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self) -> Result<Chunks, ChunkError> {
        match self.access {
            Access::Read => Chunks::open(&self.path),
            // SAFETY: whoever made this input vouched for it in `Input::map`.
            Access::Map => unsafe { Chunks::map(&self.path) },
        }
    }
}

/// Some rows of one file, and where its columns are. Cheap to clone, which each dead letter does.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct Piece {
    pub path: Arc<Path>,
    pub columns: Arc<Columns>,
    pub chunk: Chunk,
}

/// Yields the pieces of all files: a source of its own, made of those that gristmill has.
#[derive(Debug)]
pub struct FlightFiles {
    inputs: std::vec::IntoIter<Input>,
    /// How many files were opened.
    opened: u64,
    target: Bytes,
    current: Option<OpenFile>,
    waits: bool,
    expected_pieces: u64,
}

#[derive(Debug)]
struct OpenFile {
    path: Arc<Path>,
    chunks: Pieces<Delimited>,
    /// Known from the first chunk on.
    columns: Option<Arc<Columns>>,
}

impl FlightFiles {
    /// Looks whether all files can be opened and have the columns, before anything is done.
    ///
    /// # Errors
    ///
    /// When one cannot or has not.
    pub fn open(inputs: Vec<Input>, target: Bytes) -> anyhow::Result<Self> {
        let mut expected_pieces = 0;
        for Input { path, .. } in &inputs {
            let found = path.metadata().with_context(|| format!("could not open `{}`", path.display()))?;
            // A pipe can be read only once: its header is looked at on the way.
            if found.is_file() || found.is_dir() {
                Columns::of(Header::of(path)?)?;
                expected_pieces += found.len().div_ceil(target.get() as u64);
            }
        }
        let waits = inputs.iter().any(|input| input.access == Access::Read);
        Ok(FlightFiles { inputs: inputs.into_iter(), opened: 0, target, current: None, waits, expected_pieces })
    }

    /// About how many pieces there will be, as far as file sizes tell.
    #[must_use]
    pub fn expected_pieces(&self) -> u64 {
        self.expected_pieces
    }

    /// Opens the next file, if there is one.
    fn open_next(&mut self) -> Result<bool, BoxError> {
        let Some(input) = self.inputs.next() else { return Ok(false) };
        self.opened += 1;
        let chunks = input.open()?.target(self.target).lines();
        self.current = Some(OpenFile { path: input.path.into(), chunks, columns: None });
        Ok(true)
    }

    fn next_piece(&mut self) -> Result<Option<Piece>, BoxError> {
        loop {
            if self.current.is_none() {
                if !self.open_next()? {
                    return Ok(None);
                }
            }
            if let Some(file) = &mut self.current
                && let Some(piece) = file.next_piece()?
            {
                return Ok(Some(piece));
            }
            self.current = None;
        }
    }
}

impl OpenFile {
    fn next_piece(&mut self) -> Result<Option<Piece>, BoxError> {
        let chunk = self.chunks.pull().transpose()?;
        let columns = match (&self.columns, &chunk) {
            (Some(columns), _) => Arc::clone(columns),
            // The first chunk has the header. It stays in there, so that lines keep their numbers; an empty file has none.
            (None, chunk) => {
                let text: &[u8] = chunk.as_deref().unwrap_or_default();
                let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let columns = Arc::new(Columns::of(Header::parse_of(&*self.path, line)?)?);
                Arc::clone(self.columns.insert(columns))
            }
        };
        Ok(chunk.map(|chunk| Piece { path: Arc::clone(&self.path), columns, chunk }))
    }
}

impl Source for FlightFiles {
    type Item = Piece;
    type Error = BoxError;

    fn pull(&mut self) -> Option<Result<Piece, BoxError>> {
        self.next_piece().transpose()
    }

    /// How many files were opened, and a mark in the last of them.
    fn mark(&mut self) -> Option<Mark> {
        let mut bytes = self.opened.to_le_bytes().to_vec();
        if let Some(file) = &mut self.current {
            bytes.extend(file.chunks.mark()?.bytes());
        }
        Some(Mark::new(bytes))
    }

    fn seek(&mut self, mark: &Mark) -> Result<(), BoxError> {
        let (opened, inner) = mark.bytes().split_first_chunk().ok_or("no place in flights")?;
        let opened = u64::from_le_bytes(*opened);
        let whole = opened - u64::from(!inner.is_empty() && opened > 0);
        self.opened = whole;
        self.inputs.by_ref().take(usize::try_from(whole)?).for_each(drop);
        if !inner.is_empty() && self.open_next()? {
            let file = self.current.as_mut().ok_or("no such file")?;
            // The header is at the beginning, which is behind us.
            file.columns = Some(Arc::new(Columns::of(Header::of(&*file.path)?)?));
            file.chunks.seek(&Mark::new(inner))?;
        }
        Ok(())
    }

    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        let paths = self.inputs.as_slice().iter().map(Input::path);
        Chunks::open_all(paths).target(self.target).lines().fingerprint()
    }

    fn may_wait(&self) -> bool {
        self.waits
    }

    fn weigher() -> Option<fn(&Piece) -> usize> {
        Some(|piece| size_of::<Piece>() + piece.chunk.weight())
    }
}
