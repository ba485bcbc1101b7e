//! What options of a command line take.

use gristmill::Bytes;
use lexopt::{Error, Parser, ValueExt};

/// The most threads that are taken for a serious wish.
const MOST_THREADS: u64 = 1_024;

/// A whole number of a range.
///
/// # Errors
///
/// If the value is missing or something else.
pub fn number(parser: &mut Parser, option: &str, least: u64, most: u64) -> Result<u64, Error> {
    let text = parser.value()?.string()?;
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{option} must be a number from {least} to {most}, not `{text}`").into()),
    }
}

/// How many threads to start.
///
/// # Errors
///
/// If the value is missing or something else.
pub fn threads(parser: &mut Parser, option: &str) -> Result<usize, Error> {
    number(parser, option, 1, MOST_THREADS).map(|threads| threads as usize)
}

/// A number of bytes, with a unit or without.
///
/// # Errors
///
/// If the value is missing or something else.
pub fn bytes(parser: &mut Parser, option: &str) -> Result<Bytes, Error> {
    let text = parser.value()?.string()?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => Some(0),
        "KiB" | "K" => Some(10),
        "MiB" | "M" => Some(20),
        "GiB" | "G" => Some(30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes @ 1..) => Ok(Bytes::new(bytes)),
        _ => Err(format!("{option} must be a number of bytes above zero, such as 64MiB, not `{text}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an option makes of a value.
    fn read<T>(value: &str, read: fn(&mut Parser, &str) -> Result<T, Error>) -> Result<T, String> {
        let mut parser = Parser::from_args(["--some", value]);
        parser.next().unwrap();
        read(&mut parser, "--some").map_err(|error| error.to_string())
    }

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, known) in
            [("1", 1), ("10B", 10), ("2K", 2_048), ("2 KiB", 2_048), ("3MiB", 3 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(read(text, bytes), Ok(Bytes::new(known)), "{text}");
        }
        for text in ["0", "0MiB", "MiB", "", "-5", "64 parsecs", "99999999999999999999GiB", "18446744073709551615K"] {
            let error = read(text, bytes).unwrap_err();
            assert!(error.contains("--some") && error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn there_is_a_thread_and_not_too_many() {
        assert_eq!((read("1", threads), read("1024", threads)), (Ok(1), Ok(1_024)));
        for text in ["0", "1025", "-1", "many", "", "1e9", "99999999999999999999999"] {
            let error = read(text, threads).unwrap_err();
            assert!(error.contains("--some must be a number from 1 to 1024") && error.contains(text), "{error}");
        }
    }
}
