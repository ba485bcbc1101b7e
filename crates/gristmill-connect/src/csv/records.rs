//! Record after record, on one thread.

use super::error::{CsvError, Kind};
use super::header::Header;
use super::row::Row;
use gristmill::Source;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Opens a CSV file with a header, to be read record after record: a source with a thread of its own.
///
/// Fields in quotes may hold line ends. For files that have none, cutting chunks and parsing [`rows`](super::rows) is
/// quicker, as all workers do it.
///
/// # Errors
///
/// When the file cannot be opened or has no header, or the header is not UTF-8.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_connect::csv;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("poems.csv");
/// std::fs::write(&path, "title,text\nErlking,\"Who rides so late\nthrough night and wind?\"\n")?;
///
/// let poems = csv::open(&path)?;
/// let text = poems.header().column("text")?;
/// let report = Pipeline::extract(poems)
///     .try_map(|poem| poem.row().and_then(|row| Ok(row.text(text)?.lines().count())))
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<Records, CsvError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|error| CsvError::file(path, "open", error))?;
    // Rows of the wrong width are let through, to be told apart from a file that cannot be read.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let names = reader.headers().map_err(|error| CsvError::file(path, "read the header of", error))?;
    if names.is_empty() {
        return Err(Kind::NoHeader { path: Some(path.to_owned()) }.into());
    }
    let header = Header::from_names(names.iter().map(str::to_owned).collect(), path);
    Ok(Records { reader, header, path: path.to_owned(), ended: false })
}

/// Returned by [`open`].
#[derive(Debug)]
pub struct Records {
    reader: csv::Reader<File>,
    header: Header,
    path: PathBuf,
    ended: bool,
}

impl Records {
    /// The names of the columns.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }
}

impl Source for Records {
    type Item = Record;
    type Error = CsvError;

    fn pull(&mut self) -> Option<Result<Record, CsvError>> {
        if self.ended {
            return None;
        }
        let mut fields = csv::ByteRecord::new();
        match self.reader.read_byte_record(&mut fields) {
            Ok(true) => Some(Ok(Record { fields, header: self.header.clone() })),
            Ok(false) => None,
            Err(error) => {
                // The file cannot be trusted from here on: one failure, then the end.
                self.ended = true;
                Some(Err(CsvError::file(&self.path, "read", error)))
            }
        }
    }

    fn weigher() -> Option<fn(&Record) -> usize> {
        Some(Record::weight)
    }
}

/// A record of its own: an item of [`Records`].
#[derive(Debug, Clone)]
pub struct Record {
    fields: csv::ByteRecord,
    header: Header,
}

impl Record {
    /// Its fields by column.
    ///
    /// # Errors
    ///
    /// When there are fewer or more of them than columns.
    pub fn row(&self) -> Result<Row<'_>, CsvError> {
        Row::of_record(&self.header, &self.fields)
    }

    /// The line of the file that it begins in, counted from one.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.fields.position().map_or(0, csv::Position::line)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.fields.as_slice().len() + self.fields.len() * size_of::<usize>()
    }
}
