//! The rows of a chunk.

use super::header::Header;
use super::row::{Row, Splitter};
use gristmill::chunk::IntoLines;
use gristmill::{BoxError, Chunk};

/// Parses the rows of a chunk that was cut at line ends: for
/// [`try_flat_map`](gristmill::Pipeline::try_flat_map).
///
/// Lines with nothing on them are left out. The header must have been [skipped](gristmill::chunk::Pieces::skip_records), or is
/// [left out here](Rows::without_header).
pub fn rows<T, F>(chunk: Chunk, header: &Header, parse: F) -> Rows<F>
where
    F: FnMut(&Row<'_>) -> Result<T, BoxError>,
{
    Rows { lines: chunk.into_lines(), header: header.clone(), splitter: Splitter::default(), skipped: 0, parse }
}

/// Returned by [`rows`].
#[derive(Clone)]
pub struct Rows<F> {
    lines: IntoLines,
    header: Header,
    splitter: Splitter,
    /// Lines up to this number are left out.
    skipped: u64,
    parse: F,
}

impl<F> std::fmt::Debug for Rows<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<F> Rows<F> {
    /// Leaves out the first line of the file, if the chunk has it.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.skipped = 1;
        self
    }
}

impl<T, F> Iterator for Rows<F>
where
    F: FnMut(&Row<'_>) -> Result<T, BoxError>,
{
    type Item = Result<T, BadRow>;

    fn next(&mut self) -> Option<Result<T, BadRow>> {
        let (number, line) = self.lines.by_ref().find(|(number, line)| *number > self.skipped && !line.is_empty())?;
        let row = self.splitter.split(&self.header, &line).map_err(BoxError::from);
        let parsed = row.and_then(|row| (self.parse)(&row));
        Some(parsed.map_err(|reason| BadRow { line: number, text: line.to_vec(), reason }))
    }
}

/// A row that is not what it should be: where it is, what it says, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("line {line}")]
pub struct BadRow {
    /// The line of the file, counted from one, header included.
    pub line: u64,
    /// The whole row as it stands, which may be no UTF-8.
    pub text: Vec<u8>,
    /// What is wrong with it.
    #[source]
    pub reason: BoxError,
}
