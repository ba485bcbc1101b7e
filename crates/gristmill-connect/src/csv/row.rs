//! One row, and how a line is cut into its fields.

use super::error::{CsvError, Kind};
use super::header::Header;
use csv_core::ReadRecordResult;
use gristmill::BoxError;
use memchr::{memchr, memchr_iter};
use std::str::FromStr;

/// One row: its fields, by column.
///
/// A field is taken for missing if it is empty or `NA`.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    header: &'a Header,
    fields: Fields<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Fields<'a> {
    Cut { text: &'a [u8], ranges: &'a [(usize, usize)] },
    Record(&'a csv::ByteRecord),
}

impl<'a> Row<'a> {
    pub(super) fn of_record(header: &'a Header, record: &'a csv::ByteRecord) -> Result<Self, CsvError> {
        check_width(header, record.len())?;
        Ok(Row { header, fields: Fields::Record(record) })
    }

    /// A field as it stands, without its quotes; `None` if there are not so many.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&'a [u8]> {
        match self.fields {
            Fields::Cut { text, ranges } => ranges.get(column).map(|&(start, end)| &text[start..end]),
            Fields::Record(record) => record.get(column),
        }
    }

    /// A field as text, which may be empty.
    ///
    /// # Errors
    ///
    /// When there are not so many fields, or this one is not UTF-8.
    pub fn text(&self, column: usize) -> Result<&'a str, CsvError> {
        let field = self.get(column).ok_or_else(|| self.missing(column))?;
        std::str::from_utf8(field).map_err(|_| {
            let text = String::from_utf8_lossy(excerpt(field)).into_owned();
            Kind::NotUtf8 { column: self.header.call(column), text }.into()
        })
    }

    /// A field as text; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// As [`text`](Row::text).
    pub fn optional_text(&self, column: usize) -> Result<Option<&'a str>, CsvError> {
        let text = self.text(column)?;
        Ok(if text.is_empty() || text == "NA" { None } else { Some(text) })
    }

    /// A field as a value; it must be there.
    ///
    /// # Errors
    ///
    /// When it is missing, is not UTF-8 or does not parse.
    pub fn parse<T: FromStr<Err: Into<BoxError>>>(&self, column: usize) -> Result<T, CsvError> {
        self.optional(column)?.ok_or_else(|| self.missing(column))
    }

    /// A field as a value; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8 or does not parse.
    pub fn optional<T: FromStr<Err: Into<BoxError>>>(&self, column: usize) -> Result<Option<T>, CsvError> {
        let Some(text) = self.optional_text(column)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.value_error(column, text, error)),
        }
    }

    #[cold]
    fn value_error(&self, column: usize, text: &str, error: impl Into<BoxError>) -> CsvError {
        let text = String::from_utf8_lossy(excerpt(text.as_bytes())).into_owned();
        Kind::Value { column: self.header.call(column), text, source: error.into() }.into()
    }

    #[cold]
    fn missing(&self, column: usize) -> CsvError {
        Kind::Missing { column: self.header.call(column) }.into()
    }

    /// How many fields there are: as many as the header has.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.fields {
            Fields::Cut { ranges, .. } => ranges.len(),
            Fields::Record(record) => record.len(),
        }
    }
}

/// So much of a field as belongs in an error.
fn excerpt(field: &[u8]) -> &[u8] {
    &field[..field.len().min(80)]
}

fn check_width(header: &Header, found: usize) -> Result<(), CsvError> {
    let expected = header.width();
    if found == expected { Ok(()) } else { Err(Kind::Fields { expected, found }.into()) }
}

/// Cuts lines into fields, with buffers that are used again and again.
///
/// A line without a quote is cut where its commas are; the others go through csv-core.
///
/// # Examples
///
/// ```
/// use gristmill_connect::csv::{Header, Splitter};
///
/// let header = Header::parse(b"name,height")?;
/// let mut splitter = Splitter::default();
/// let row = splitter.split(&header, br#""Doe, ""Jo""",180"#)?;
/// assert_eq!((row.text(0)?, row.parse::<u32>(1)?), (r#"Doe, "Jo""#, 180));
/// # Ok::<(), gristmill_connect::csv::CsvError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    ranges: Vec<(usize, usize)>,
    /// Fields without their quotes, of lines that have any.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    is_quoted: bool,
    core: csv_core::Reader,
}

impl Default for Splitter {
    fn default() -> Self {
        // Not `Reader::default()`, whose tables are not built.
        let core = csv_core::Reader::new();
        Splitter { ranges: Vec::new(), unquoted: Vec::new(), ends: Vec::new(), is_quoted: false, core }
    }
}

impl Splitter {
    /// Cuts one line, which is to be without its line end.
    ///
    /// # Errors
    ///
    /// When there are fewer or more fields than columns, or a quoted field does not end: it would go on in the next line,
    /// which cannot be known of a line by itself.
    pub fn split<'a>(&'a mut self, header: &'a Header, line: &'a [u8]) -> Result<Row<'a>, CsvError> {
        self.cut(line)?;
        check_width(header, self.ranges.len())?;
        let text = if self.is_quoted { &self.unquoted } else { line };
        Ok(Row { header, fields: Fields::Cut { text, ranges: &self.ranges } })
    }

    /// The fields of the line that was cut last.
    pub(super) fn fields<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let text = if self.is_quoted { &self.unquoted } else { line };
        self.ranges.iter().map(move |&(start, end)| &text[start..end])
    }

    pub(super) fn cut(&mut self, line: &[u8]) -> Result<(), CsvError> {
        self.ranges.clear();
        self.is_quoted = memchr(b'"', line).is_some();
        if self.is_quoted {
            return self.cut_quoted(line);
        }
        let mut start = 0;
        for comma in memchr_iter(b',', line) {
            self.ranges.push((start, comma));
            start = comma + 1;
        }
        self.ranges.push((start, line.len()));
        Ok(())
    }

    fn cut_quoted(&mut self, line: &[u8]) -> Result<(), CsvError> {
        self.core.reset();
        // Unquoting only takes away, and every field but the first has its comma.
        self.unquoted.resize(line.len() + 1, 0);
        self.ends.resize(line.len() + 2, 0);
        let (first, _, written, fields) = self.core.read_record(line, &mut self.unquoted, &mut self.ends);
        // A line end that is taken for text shows that a quote is still open. One inside the line ends the record early.
        let (unquoted, ends) = (&mut self.unquoted[written..], &mut self.ends[fields..]);
        let (last, _, _, more) = self.core.read_record(b"\n", unquoted, ends);
        if first != ReadRecordResult::InputEmpty || last != ReadRecordResult::Record {
            return Err(Kind::OpenQuote.into());
        }
        let mut start = 0;
        for &end in &self.ends[..fields + more] {
            self.ranges.push((start, end));
            start = end;
        }
        Ok(())
    }
}
