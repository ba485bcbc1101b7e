//! Where records end.

use memchr::memmem::{Finder, FinderRev};
use memchr::{memchr, memchr2, memrchr};
use std::fmt;

/// Finds where records end, so that a file can be cut between them.
///
/// The bytes that it is given always begin where a record begins.
///
/// # Examples
///
/// ```
/// use gristmill::chunk::{BadRecord, Splitter};
///
/// /// Records of one byte that says how many follow.
/// struct Short;
///
/// impl Splitter for Short {
///     fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
///         let Some(len) = bytes.first() else { return Ok(None) };
///         let end = 1 + usize::from(*len);
///         Ok((end <= bytes.len()).then_some(end))
///     }
/// }
///
/// let bytes = [1, 7, 0, 2, 8, 9, 5];
/// assert_eq!(Short.first(&bytes), Ok(Some(2)));
/// assert_eq!(Short.last(&bytes, 4), Ok(Some(3)));
/// assert_eq!(Short.last(&bytes, 7), Ok(Some(6)));
/// ```
pub trait Splitter: Send {
    /// The end of the first record, its delimiter included; `None` if it does not end within `bytes`.
    ///
    /// # Errors
    ///
    /// What is there cannot be a record.
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord>;

    /// The end of the last record that ends within the first `limit` bytes, or, if none does, of the first record; `None`
    /// if that does not end within `bytes`.
    ///
    /// # Errors
    ///
    /// What the bytes begin with cannot be a record.
    fn last(&self, bytes: &[u8], limit: usize) -> Result<Option<usize>, BadRecord> {
        let mut end = 0;
        while end < limit {
            match self.first(&bytes[end..]) {
                Ok(Some(0)) if end == 0 => return Err(BadRecord::new("a record of no bytes")),
                Ok(Some(len)) if len > 0 && (end == 0 || end + len <= limit) => end += len,
                // What is wrong is said when it is the first.
                Err(bad) if end == 0 => return Err(bad),
                _ => break,
            }
        }
        Ok((end > 0).then_some(end))
    }

    /// How many bytes the first record has, if its beginning tells: then so many are read, and no more. A record is not
    /// whole yet when this is asked.
    ///
    /// # Default
    ///
    /// `None`: twice as many are read as there are.
    fn wanted(&self, _bytes: &[u8]) -> Option<usize> {
        None
    }

    /// Whether what is left at the end of a file, without an end of its own, is a record.
    ///
    /// # Errors
    ///
    /// It is not.
    fn check_rest(&self, _bytes: &[u8]) -> Result<(), BadRecord> {
        Ok(())
    }

    /// Whether the file has lines: then their ends are counted where it is read, so that a chunk can say in which
    /// [it begins](super::Chunk::first_line).
    ///
    /// # Default
    ///
    /// `true`. It costs a few hundredths of the time of reading.
    fn has_lines(&self) -> bool {
        true
    }
}

/// Bytes that cannot be a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord(String);

impl BadRecord {
    /// With what is wrong.
    pub fn new(problem: impl Into<String>) -> Self {
        BadRecord(problem.into())
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRecord {}

/// Records that end with a byte. The last one need not.
#[derive(Debug, Clone, Copy)]
pub struct Delimited(pub u8);

impl Splitter for Delimited {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        Ok(memchr(self.0, bytes).map(|at| at + 1))
    }

    fn last(&self, bytes: &[u8], limit: usize) -> Result<Option<usize>, BadRecord> {
        let limit = limit.min(bytes.len());
        let within = memrchr(self.0, &bytes[..limit]).map(|at| at + 1);
        Ok(within.or_else(|| memchr(self.0, &bytes[limit..]).map(|at| limit + at + 1)))
    }
}

/// Records that end with a string of bytes. The last one need not. An empty string ends nothing: the file is one record.
#[derive(Debug, Clone)]
pub struct DelimitedBy {
    delimiter: Vec<u8>,
    forward: Finder<'static>,
    backward: FinderRev<'static>,
    /// It may overlap itself, so only a search from the beginning finds where records end.
    overlaps: bool,
}

impl DelimitedBy {
    /// Records that end with these bytes.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Self {
        let delimiter = delimiter.as_ref().to_vec();
        let overlaps = (1..delimiter.len()).any(|len| delimiter.starts_with(&delimiter[delimiter.len() - len..]));
        let forward = Finder::new(&delimiter).into_owned();
        let backward = FinderRev::new(&delimiter).into_owned();
        DelimitedBy { delimiter, forward, backward, overlaps }
    }
}

impl Splitter for DelimitedBy {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        if self.delimiter.is_empty() {
            return Ok(None);
        }
        Ok(self.forward.find(bytes).map(|at| at + self.delimiter.len()))
    }

    fn last(&self, bytes: &[u8], limit: usize) -> Result<Option<usize>, BadRecord> {
        let limit = limit.min(bytes.len());
        if self.delimiter.is_empty() {
            return Ok(None);
        }
        let len = self.delimiter.len();
        let within = if self.overlaps {
            self.forward.find_iter(&bytes[..limit]).last()
        } else {
            self.backward.rfind(&bytes[..limit])
        };
        if let Some(at) = within {
            return Ok(Some(at + len));
        }
        // None is whole before the limit, but one may begin there.
        let from = limit.saturating_sub(len - 1);
        Ok(self.forward.find(&bytes[from..]).map(|at| from + at + len))
    }
}

/// Records of so many bytes each. A file that ends in the middle of one is an error.
#[derive(Debug, Clone, Copy)]
pub struct FixedSize(usize);

impl FixedSize {
    /// Records of so many bytes; zero is taken for one.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        FixedSize(bytes.max(1))
    }
}

impl Splitter for FixedSize {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        Ok((bytes.len() >= self.0).then_some(self.0))
    }

    fn last(&self, bytes: &[u8], limit: usize) -> Result<Option<usize>, BadRecord> {
        let whole = limit.min(bytes.len()) / self.0 * self.0;
        if whole > 0 { Ok(Some(whole)) } else { self.first(bytes) }
    }

    fn wanted(&self, _: &[u8]) -> Option<usize> {
        Some(self.0)
    }

    fn check_rest(&self, bytes: &[u8]) -> Result<(), BadRecord> {
        Err(BadRecord::new(format!("{} bytes at the end are not a record of {}", bytes.len(), self.0)))
    }

    fn has_lines(&self) -> bool {
        false
    }
}

/// Records that begin with their length. A file that ends in the middle of one is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthPrefixed {
    width: usize,
    big_endian: bool,
    /// The length is that of the whole record, and not of what follows it.
    counts_itself: bool,
}

impl LengthPrefixed {
    /// A length of two bytes, the high one first.
    pub const U16_BE: Self = Self::new(2, true);
    /// A length of two bytes, the low one first.
    pub const U16_LE: Self = Self::new(2, false);
    /// A length of four bytes, the high one first.
    pub const U32_BE: Self = Self::new(4, true);
    /// A length of four bytes, the low one first.
    pub const U32_LE: Self = Self::new(4, false);
    /// A length of eight bytes, the high one first.
    pub const U64_BE: Self = Self::new(8, true);
    /// A length of eight bytes, the low one first.
    pub const U64_LE: Self = Self::new(8, false);

    const fn new(width: usize, big_endian: bool) -> Self {
        LengthPrefixed { width, big_endian, counts_itself: false }
    }

    /// The length counts its own bytes, too.
    #[must_use]
    pub const fn counting_itself(mut self) -> Self {
        self.counts_itself = true;
        self
    }

    /// What of a record is not its length.
    ///
    /// # Panics
    ///
    /// If the record is shorter than a length.
    #[must_use]
    pub fn payload<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        &record[self.width..]
    }

    /// Where the first record ends, or will end; `None` if its length is not there yet.
    fn end(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        let Some(prefix) = bytes.get(..self.width) else { return Ok(None) };
        let length = self.length(prefix);
        let width = self.width as u64;
        let end = if self.counts_itself { Some(length) } else { length.checked_add(width) };
        let end = end.filter(|end| *end >= width).and_then(|end| usize::try_from(end).ok());
        end.map(Some).ok_or_else(|| BadRecord::new(format!("a length of {length} bytes cannot be")))
    }

    fn length(&self, prefix: &[u8]) -> u64 {
        let fold = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
        if self.big_endian { prefix.iter().fold(0, fold) } else { prefix.iter().rev().fold(0, fold) }
    }
}

impl Splitter for LengthPrefixed {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        Ok(self.end(bytes)?.filter(|end| *end <= bytes.len()))
    }

    fn wanted(&self, bytes: &[u8]) -> Option<usize> {
        self.end(bytes).ok().flatten()
    }

    fn check_rest(&self, bytes: &[u8]) -> Result<(), BadRecord> {
        Err(BadRecord::new(format!("the file ends {} bytes into a record", bytes.len())))
    }

    fn has_lines(&self) -> bool {
        false
    }
}

/// Rows of CSV: they end with `\n`, except within quotes. The last one need not.
///
/// As RFC 4180 has it, a field is quoted if it begins with a quote, and a quote within it is doubled. A quote elsewhere is
/// a character like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvRows {
    /// What is between two fields.
    pub delimiter: u8,
    /// What is around a quoted field.
    pub quote: u8,
}

impl Default for CsvRows {
    fn default() -> Self {
        CsvRows { delimiter: b',', quote: b'"' }
    }
}

impl CsvRows {
    /// The place after the quote that ends the field quoted from `from` on.
    fn end_of_quoted(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += memchr(self.quote, &bytes[at..])? + 1;
            if bytes.get(at) != Some(&self.quote) {
                return Some(at);
            }
            at += 1;
        }
    }
}

impl Splitter for CsvRows {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        let mut at = 0;
        loop {
            let Some(found) = memchr2(b'\n', self.quote, &bytes[at..]) else { return Ok(None) };
            let found = at + found;
            if bytes[found] == b'\n' {
                return Ok(Some(found + 1));
            }
            let begins_field = found == 0 || bytes[found - 1] == self.delimiter;
            at = if begins_field {
                let Some(end) = self.end_of_quoted(bytes, found + 1) else { return Ok(None) };
                end
            } else {
                found + 1
            };
        }
    }
}

/// The whole file is one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole;

impl Splitter for Whole {
    fn first(&self, _: &[u8]) -> Result<Option<usize>, BadRecord> {
        Ok(None)
    }
}
