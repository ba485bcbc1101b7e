//! Temperatures, eight bytes at once and without a branch on what they look like.
//!
//! A number with its line end is one of `d.d\n`, `dd.d\n`, `-d.d\n` and `-dd.d\n`. Where the point is tells how long it
//! is; shifted so that the point is in byte 3, and filled up with zeros in front, all of them look like `00d.d\n` or
//! `0dd.d\n`, which one multiplication turns into a number. The multiplication is that of the fast Java entries of the
//! challenge; the check that nothing else passes is ours.

/// `00.0` and a line end where they are after the shift, from the lowest byte on: `000.0\n`.
const SHAPE: u64 = u64::from_le_bytes(*b"000.0\n\0\0");
/// What must be zero when the shape is taken away: all but the values of the three digits.
const NO_DIGITS: u64 = u64::from_le_bytes([0xff, 0xf0, 0xf0, 0xff, 0xf0, 0xff, 0, 0]);
/// Added to digits above 9 it makes them show in `NO_DIGITS`.
const ABOVE_NINE: u64 = u64::from_le_bytes([0, 6, 6, 0, 6, 0, 0, 0]);
/// 100, 10 and 1, where they meet the three digits in bits 32 to 41 of the product.
const WEIGHTS: u64 = (100 << 24) + (10 << 16) + 1;

/// A number at the beginning of eight bytes, in tenths, and its bytes with the line end. `None` if there is anything
/// else, a line end of two bytes for instance.
#[inline(always)]
pub fn parse(text: [u8; 8]) -> Option<(i16, usize)> {
    let word = u64::from_le_bytes(text);
    // Bit 4 is set in digits and clear in `.` and `-`. This finds the lowest point in bytes 1 to 3.
    let point = (!word & 0x1010_1000).trailing_zeros();
    // The first byte, if it is no digit: then it must be a `-`.
    let negative = ((!word << 59) as i64 >> 63) as u64;
    let sign = negative & 0xff;
    // What the place of the point would be without a sign: in byte 1 or 2.
    let unsigned_point = point.wrapping_sub(sign as u32 & 8);
    let zeros = 0x3030 & !(u64::MAX << (28u32.wrapping_sub(unsigned_point) & 63));
    let digits = (((word & !sign) << (28u32.wrapping_sub(point) & 63)) | zeros) ^ SHAPE;
    let misshapen = (digits | digits.wrapping_add(ABOVE_NINE)) & NO_DIGITS | (word ^ u64::from(b'-')) & sign;
    if misshapen != 0 || unsigned_point.wrapping_sub(12) > 8 {
        return None;
    }
    let tenths = (digits.wrapping_mul(WEIGHTS) >> 32) & 0x3ff;
    let signed = (tenths ^ negative).wrapping_sub(negative);
    Some((signed as i16, (point as usize >> 3) + 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;

    /// What the unhurried reader says, for lines that end with a single `\n` in the eight bytes.
    fn expected(text: [u8; 8]) -> Option<(i16, usize)> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let line = [b"a;", &text[..=end]].concat();
        if line.contains(&b'\r') {
            return None;
        }
        row::read(&line).ok().map(|row| (row.tenths, row.len - 2))
    }

    fn check(text: [u8; 8]) {
        assert_eq!(parse(text), expected(text), "{:?}", text.escape_ascii().to_string());
    }

    fn padded(text: &[u8], rest: u8) -> [u8; 8] {
        std::array::from_fn(|index| text.get(index).copied().unwrap_or(rest))
    }

    #[test]
    fn every_temperature_is_read() {
        for tenths in -999i16..=999 {
            let sign = if tenths < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{}\n", tenths.abs() / 10, tenths.abs() % 10);
            for rest in [0, b'\n', b';', b'9', b'.', 0xff] {
                let parsed = parse(padded(text.as_bytes(), rest));
                assert_eq!(parsed, Some((tenths, text.len())), "{text:?}");
            }
        }
        assert_eq!(parse(*b"-0.0\nabc"), Some((0, 5)));
        assert_eq!(parse(*b"00.0\nabc"), Some((0, 5)));
    }

    #[test]
    fn nothing_else_is_read() {
        // All texts of six of these bytes: what is nearly a number.
        let bytes = b"-.+0159:/\n\r a";
        let mut index = [0usize; 6];
        'texts: loop {
            let text = index.map(|index| bytes[index]);
            check(padded(&text, b'7'));
            for place in &mut index {
                *place += 1;
                if *place < bytes.len() {
                    continue 'texts;
                }
                *place = 0;
            }
            break;
        }
    }

    #[test]
    fn no_single_wrong_byte_passes() {
        for text in ["1.2\n", "12.3\n", "-1.2\n", "-12.3\n"] {
            for place in 0..text.len() {
                for byte in 0..=255 {
                    let mut text = padded(text.as_bytes(), b'x');
                    text[place] = byte;
                    check(text);
                }
            }
        }
    }
}
