//! Rows that are not flights.

use super::source::Piece;
use gristmill::{BoxError, Cause, DeadLetter, Store};
use gristmill_connect::csv::BadRow;
use gristmill_connect::lines::{LinesError, LinesFile, WholeLines};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// A row that is not a flight.
#[derive(Debug, thiserror::Error)]
#[error("`{}`", path.display())]
pub struct Rejected {
    /// The file that it is in.
    pub path: Arc<Path>,
    /// Line, text and reason.
    #[source]
    pub row: BadRow,
}

/// Writes one line for each such row: path, line number, reason and the row as it stands, with tabs between them. So
/// `cut -f 4-` gives the rows back.
///
/// # Errors
///
/// When the file is there already or cannot be there.
pub fn rejected_file(path: &Path) -> Result<impl Store<DeadLetter<Piece, Rejected>> + use<>, LinesError> {
    LinesFile::create(path, write_letter)
}

/// The same for a run that may die and be gone on with: the file is there when all rows are stored.
pub fn resumable_rejected_file(path: &Path) -> impl Store<DeadLetter<Piece, Rejected>> + use<> {
    WholeLines::new(path, write_letter)
}

fn write_letter(letter: &DeadLetter<Piece, Rejected>, line: &mut Vec<u8>) -> io::Result<()> {
    match (&letter.cause, &letter.item) {
        (Cause::Error(Rejected { path, row }), _) => {
            write!(line, "{}\t{}\t{}\t", path.display(), row.line, reason(&row.reason))?;
            line.write_all(&row.text)
        }
        // A panic is a bug of ours, and says nothing of the row; the chunk is known.
        (Cause::Panic(message), Some(piece)) => {
            write!(line, "{}\t{}-\tpanic: {message}\t", piece.path.display(), piece.chunk.first_line())
        }
        (Cause::Panic(message), None) => write!(line, "?\t?\tpanic: {message}\t"),
    }
}

/// The reason and its causes, on one line and without a tab.
fn reason(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(char::is_control, " ")
}
