//! One row, read without haste: what a row is, is said here.
//!
//! ```text
//! row    = name ";" number ( "\n" | "\r\n" | end of the file )
//! name   = 1 to 100 bytes of UTF-8, without ";" and "\n"
//! number = [ "-" ] digit [ digit ] "." digit
//! ```
//!
//! The [scan](crate::scan) must agree with this and comes here whenever it is in doubt.

use crate::bad_row::Reason;
use memchr::memchr;

/// The longest name, in bytes.
pub const LONGEST_NAME: usize = 100;

/// A row and where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    pub name: &'a [u8],
    pub tenths: i32,
    /// Its bytes, with the end of the line.
    pub len: usize,
}

/// Reads the row at the beginning of `bytes`, which are not empty.
pub fn read(bytes: &[u8]) -> Result<Row<'_>, Reason> {
    let (line, len) = first_line(bytes);
    let semicolon = memchr(b';', line).ok_or(Reason::NoSemicolon)?;
    let (name, number) = (&line[..semicolon], &line[semicolon + 1..]);
    check_name(name)?;
    let tenths = parse_number(number).ok_or(Reason::Number)?;
    Ok(Row { name, tenths, len })
}

/// The first line without its end, and how long it is with it.
pub fn first_line(bytes: &[u8]) -> (&[u8], usize) {
    match memchr(b'\n', bytes) {
        Some(end) => (bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1),
        None => (bytes, bytes.len()),
    }
}

/// Checks what may stand before the `;`.
pub fn check_name(name: &[u8]) -> Result<&str, Reason> {
    if name.is_empty() {
        return Err(Reason::NoName);
    }
    if name.len() > LONGEST_NAME {
        return Err(Reason::LongName);
    }
    std::str::from_utf8(name).map_err(|_| Reason::NotUtf8)
}

fn parse_number(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    match *digits {
        [ones, b'.', tenth] => Some(sign * (10 * digit(ones)? + digit(tenth)?)),
        [tens, ones, b'.', tenth] => Some(sign * (100 * digit(tens)? + 10 * digit(ones)? + digit(tenth)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_name_and_a_number() {
        let row = |text: &'static str| read(text.as_bytes()).map(|row| (row.name, row.tenths, row.len));
        assert_eq!(row("Oslo;-1.5\nBern;2.0\n"), Ok((&b"Oslo"[..], -15, 10)));
        assert_eq!(row("a;99.9"), Ok((&b"a"[..], 999, 6)));
        assert_eq!(row("a;0.0\r\n"), Ok((&b"a"[..], 0, 7)));
        assert_eq!(row("Ås;-99.9\n").map(|row| row.1), Ok(-999));
        for bad in ["a;", "a;1", "a;1.", "a;.1", "a;1.23", "a;123.4", "a;+1.2", "a;--1.2", "a;1.2 ", "a;-.1", "a;b;1.0"]
        {
            assert_eq!(row(bad), Err(Reason::Number), "{bad}");
        }
        assert_eq!(row("\na;1.0\n"), Err(Reason::NoSemicolon));
        assert_eq!(row("a 1.0\nb;1.0\n"), Err(Reason::NoSemicolon));
        assert_eq!(row(";1.0\n"), Err(Reason::NoName));
        assert_eq!(read(b"\xff;1.0\n"), Err(Reason::NotUtf8));
        assert_eq!(read(format!("{};1.0\n", "x".repeat(101)).as_bytes()), Err(Reason::LongName));
        assert!(read(format!("{};1.0\n", "x".repeat(100)).as_bytes()).is_ok());
    }
}
