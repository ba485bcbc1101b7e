//! Short texts without an allocation.

use gristmill_connect::sqlite::rusqlite::{self, ToSql, types::ToSqlOutput};
use std::fmt;
use std::str::FromStr;

/// A text of at most `N` bytes, kept in place: a carrier, an airport, a tail number.
///
/// A row made of these owns nothing on the heap: copying it for a branch of the pipeline is a copy of its bytes, and a
/// memory budget knows its weight from its size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code<const N: usize> {
    /// Zero after the text, so that equal texts are equal bytes.
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Code<N> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("it was made of a str")
    }
}

/// A text was too long for a [`Code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("longer than {longest} bytes")]
pub struct TooLong {
    longest: usize,
}

impl<const N: usize> FromStr for Code<N> {
    type Err = TooLong;

    fn from_str(text: &str) -> Result<Self, TooLong> {
        const { assert!(N <= u8::MAX as usize) }
        let mut bytes = [0; N];
        bytes.get_mut(..text.len()).ok_or(TooLong { longest: N })?.copy_from_slice(text.as_bytes());
        Ok(Code { bytes, len: text.len() as u8 })
    }
}

impl<const N: usize> fmt::Display for Code<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Code<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> ToSql for Code<N> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_text_or_an_error() {
        for text in ["", "UA", "N14228", "12345678", "\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(text.parse::<Code<8>>().unwrap().as_str(), text);
        }
        assert_eq!("123456789".parse::<Code<8>>().unwrap_err().to_string(), "longer than 8 bytes");
        assert!("AA".parse::<Code<8>>().unwrap() < "UA".parse().unwrap());
    }
}
