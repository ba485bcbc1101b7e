//! Names of columns.

use super::error::{CsvError, Kind};
use super::row::Splitter;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first line of a CSV: what its columns are called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Header(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Vec<String>,
    path: Option<PathBuf>,
}

/// A first line longer than this is not a header.
const LONGEST: u64 = 1 << 20;

impl Header {
    /// Reads the first line of a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is empty, or its first line is not UTF-8 or not CSV.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, CsvError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| CsvError::file(path, "open", error))?;
        let mut line = Vec::new();
        let read = BufReader::new(file).take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|error| CsvError::file(path, "read", error))?;
        Header::from_line(&line, Some(path.to_owned()))
    }

    /// Takes the first line of something apart, with or without its line end.
    ///
    /// # Errors
    ///
    /// When the line is empty, or not UTF-8 or not CSV.
    pub fn parse(line: &[u8]) -> Result<Self, CsvError> {
        Header::from_line(line, None)
    }

    /// Like [`parse`](Header::parse), and errors name the file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Header::parse).
    pub fn parse_of(path: impl Into<PathBuf>, line: &[u8]) -> Result<Self, CsvError> {
        Header::from_line(line, Some(path.into()))
    }

    fn from_line(line: &[u8], path: Option<PathBuf>) -> Result<Self, CsvError> {
        // Excel begins its files with a byte order mark.
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(Kind::NoHeader { path }.into());
        }
        let mut splitter = Splitter::default();
        splitter.cut(line)?;
        let names = splitter.fields(line).map(|name| std::str::from_utf8(name).map(str::to_owned));
        match names.collect() {
            Ok(names) => Ok(Header(Arc::new(Inner { names, path }))),
            Err(_) => Err(Kind::HeaderNotUtf8 { path }.into()),
        }
    }

    pub(super) fn from_names(names: Vec<String>, path: &Path) -> Self {
        Header(Arc::new(Inner { names, path: Some(path.to_owned()) }))
    }

    /// The columns, in their order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.names.iter().map(String::as_str)
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.names.len()
    }

    /// The place of a column, counted from zero.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or more than one; the error names the file, the column and what there is.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill_connect::csv::Header;
    ///
    /// let header = Header::parse(b"year,month,day")?;
    /// assert_eq!(header.column("month")?, 1);
    /// let error = header.column("hour").unwrap_err();
    /// assert_eq!(error.to_string(), "the CSV has no column `hour`, only year, month, day");
    /// # Ok::<(), gristmill_connect::csv::CsvError>(())
    /// ```
    pub fn column(&self, name: &str) -> Result<usize, CsvError> {
        let mut places = self.names().enumerate().filter(|(_, column)| *column == name).map(|(place, _)| place);
        let (path, column) = (self.0.path.clone(), name.to_owned());
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(Kind::TwoColumns { path, column }.into()),
            (None, _) => Err(Kind::NoColumn { path, column, found: self.0.names.join(", ") }.into()),
        }
    }

    /// The places of several columns, in the order asked for.
    ///
    /// # Errors
    ///
    /// As [`column`](Header::column).
    pub fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N], CsvError> {
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            *place = self.column(name)?;
        }
        Ok(places)
    }

    /// What a column is called in an error: its number, from one, if it has no name.
    pub(super) fn call(&self, column: usize) -> String {
        self.0.names.get(column).cloned().unwrap_or_else(|| format!("number {}", column + 1))
    }
}
