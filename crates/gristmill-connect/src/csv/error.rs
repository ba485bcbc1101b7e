//! What can be wrong with CSV.

use gristmill::BoxError;
use std::path::{Path, PathBuf};

/// A CSV file could not be read, or a row is not what was asked for.
///
/// A value that does not parse comes with the column and the text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CsvError(Box<Kind>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Kind {
    #[error("could not {action} `{}`", path.display())]
    File { path: PathBuf, action: &'static str, source: BoxError },
    #[error("{} is empty: there is no header", of(path.as_deref()))]
    NoHeader { path: Option<PathBuf> },
    #[error("the header of {} is not UTF-8", of(path.as_deref()))]
    HeaderNotUtf8 { path: Option<PathBuf> },
    #[error("{} has no column `{column}`, only {found}", of(path.as_deref()))]
    NoColumn { path: Option<PathBuf>, column: String, found: String },
    #[error("{} has more than one column `{column}`", of(path.as_deref()))]
    TwoColumns { path: Option<PathBuf>, column: String },
    #[error("a quoted field does not end on its line")]
    OpenQuote,
    #[error("{found} fields instead of {expected}")]
    Fields { expected: usize, found: usize },
    #[error("column `{column}` is missing a value")]
    Missing { column: String },
    #[error("column `{column}` is not UTF-8: `{text}`")]
    NotUtf8 { column: String, text: String },
    #[error("column `{column}` holds `{text}`")]
    Value { column: String, text: String, source: BoxError },
}

fn of(path: Option<&Path>) -> String {
    path.map_or_else(|| "the CSV".to_owned(), |path| format!("`{}`", path.display()))
}

impl From<Kind> for CsvError {
    fn from(kind: Kind) -> Self {
        CsvError(Box::new(kind))
    }
}

impl CsvError {
    /// Something is wrong with a file as a whole.
    pub(super) fn file(path: &Path, action: &'static str, source: impl Into<BoxError>) -> Self {
        Kind::File { path: path.to_owned(), action, source: source.into() }.into()
    }

    /// The column, if the error is about one.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match &*self.0 {
            Kind::NoColumn { column, .. }
            | Kind::TwoColumns { column, .. }
            | Kind::Missing { column }
            | Kind::NotUtf8 { column, .. }
            | Kind::Value { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Whether the file could not be opened or read, as opposed to its contents being wrong.
    #[must_use]
    pub fn is_io(&self) -> bool {
        matches!(*self.0, Kind::File { .. })
    }
}
