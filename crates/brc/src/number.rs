//! Temperatures, eight bytes at once and without a branch on what they look like.
//!
//! A number with its line end is one of `d.d\n`, `dd.d\n`, `-d.d\n` and `-dd.d\n`. Digits have bit 4 set; `-`, `.` and the line
//! end have not. So these bits of the first four bytes say which of the four it is, or would be, and a table says the rest:
//! what the text is compared with, where its digits are, and what they are worth. One multiplication then adds up the
//! digits, as in the fast Java entries of the challenge.

/// What there is to know of texts that have digits in the same places.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Shape {
    /// The text with zeros for digits: taken away from the text, it leaves the values of the digits.
    zeros: u64,
    /// Added to the values of digits above 9 it makes them show in `no_digits`.
    above_nine: u64,
    /// The bits that must be zero then.
    no_digits: u64,
    /// 100, 10 and 1, where they meet the digits in bits 32 to 41 of the product. Of each digit times each weight that is
    /// not its own nothing is in there: it is either below, and too small to get there, or from bit 42 on, as 100 is
    /// a multiple of 4. Bytes behind the number are above, too.
    weights: u64,
    /// All ones if there is a `-`.
    sign: u64,
    /// Its bytes, with the line end.
    len: usize,
}

/// Which bits say the shape.
const DIGIT_BITS: u64 = 0x1010_1010;

const SHAPES: [Shape; 16] = {
    // One that no text has: all bits must be zero, and are not in a text whose digit bits are.
    let none = Shape { zeros: u64::MAX, above_nine: 0, no_digits: u64::MAX, weights: 0, sign: 0, len: 0 };
    let mut shapes = [none; 16];
    shapes[0b0101] = shape(b"0.0\n");
    shapes[0b1011] = shape(b"00.0\n");
    shapes[0b1010] = shape(b"-0.0\n");
    shapes[0b0110] = shape(b"-00.0\n");
    shapes
};

const fn shape(text: &[u8]) -> Shape {
    let sign = if text[0] == b'-' { u64::MAX } else { 0 };
    let mut shape = Shape { zeros: 0, above_nine: 0, no_digits: 0, weights: 0, sign, len: text.len() };
    let (mut at, mut weight) = (text.len(), 1);
    while at > 0 {
        at -= 1;
        let bits = 8 * at as u32;
        let is_digit = text[at] == b'0';
        shape.zeros |= (text[at] as u64) << bits;
        shape.no_digits |= (if is_digit { 0xf0 } else { 0xff }) << bits;
        if is_digit {
            shape.above_nine |= 6 << bits;
            shape.weights |= weight << (32 - bits);
            weight *= 10;
        }
    }
    shape
}

/// A number at the beginning of eight bytes, in tenths, and its bytes with the line end. `None` if there is anything
/// else, a line end of two bytes for instance. `gather` puts the bits of a word that are set in [`DIGIT_BITS`] side by side.
#[inline(always)]
pub fn parse(text: [u8; 8], gather: impl Fn(u64, u64) -> u64) -> Option<(i32, usize)> {
    let word = u64::from_le_bytes(text);
    let shape = &SHAPES[gather(word, DIGIT_BITS) as usize & 15];
    let digits = word ^ shape.zeros;
    if (digits | digits.wrapping_add(shape.above_nine)) & shape.no_digits != 0 {
        return None;
    }
    let tenths = (digits.wrapping_mul(shape.weights) >> 32) & 0x3ff;
    let signed = (tenths ^ shape.sign).wrapping_sub(shape.sign);
    Some((signed as i32, shape.len))
}

/// The bits of a word that are set in [`DIGIT_BITS`], side by side: by a multiplication.
#[inline(always)]
pub fn gather(word: u64, bits: u64) -> u64 {
    ((word & bits) >> 4).wrapping_mul(0x0102_0408) >> 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;

    /// What the unhurried reader says, for lines that end with a single `\n` in the eight bytes.
    fn expected(text: [u8; 8]) -> Option<(i32, usize)> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let line = [b"a;", &text[..=end]].concat();
        if line.contains(&b'\r') {
            return None;
        }
        row::read(&line).ok().map(|row| (row.tenths, row.len - 2))
    }

    fn check(text: [u8; 8]) {
        assert_eq!(parse(text, gather), expected(text), "{:?}", text.escape_ascii().to_string());
    }

    fn padded(text: &[u8], rest: u8) -> [u8; 8] {
        std::array::from_fn(|index| text.get(index).copied().unwrap_or(rest))
    }

    #[test]
    fn every_temperature_is_read() {
        for tenths in -999..=999i32 {
            let sign = if tenths < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{}\n", tenths.abs() / 10, tenths.abs() % 10);
            for rest in [0, b'\n', b';', b'9', b'.', 0xff] {
                let parsed = parse(padded(text.as_bytes(), rest), gather);
                assert_eq!(parsed, Some((tenths, text.len())), "{text:?}");
            }
        }
        assert_eq!(parse(*b"-0.0\nabc", gather), Some((0, 5)));
        assert_eq!(parse(*b"00.0\nabc", gather), Some((0, 5)));
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
