//! What a header says.

use std::fmt;

/// How much chroma there is for the luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// None: grey.
    Mono,
    /// Half the columns and half the rows.
    Quarter,
    /// Half the columns.
    Half,
    /// As much.
    Full,
}

/// What the header of a file says of its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    width: u32,
    height: u32,
    chroma: Chroma,
    /// Everything but width and height, as it was.
    rest: String,
}

/// The first word of a file.
pub(crate) const MAGIC: &str = "YUV4MPEG2";
/// No side may be longer: a frame has to be in memory.
const LONGEST: u32 = 1 << 15;

impl Format {
    /// Frames of this size with 30 frames a second and the chroma of JPEG (4:2:0).
    ///
    /// # Errors
    ///
    /// When a side is zero or longer than 32,768.
    pub fn new(width: u32, height: u32) -> Result<Self, FormatError> {
        Format { width: 1, height: 1, chroma: Chroma::Quarter, rest: "F30:1 Ip C420jpeg".to_owned() }
            .resized(width, height)
    }

    /// The same with frames of another size.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Format::new).
    pub fn resized(&self, width: u32, height: u32) -> Result<Self, FormatError> {
        let is_possible = |side| (1..=LONGEST).contains(&side);
        if !is_possible(width) || !is_possible(height) {
            return Err(FormatError(format!("a frame of {width}x{height} cannot be: sides are from 1 to {LONGEST}")));
        }
        Ok(Format { width, height, ..self.clone() })
    }

    /// Reads a header line, without its line end.
    ///
    /// # Errors
    ///
    /// When it is none, or one of video that is not supported.
    pub fn parse(line: &[u8]) -> Result<Self, FormatError> {
        let line = std::str::from_utf8(line).map_err(|_| FormatError("it does not begin with a Y4M header".into()))?;
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        if words.next() != Some(MAGIC) {
            return Err(FormatError(format!("it does not begin with `{MAGIC}`")));
        }
        let (mut width, mut height) = (None, None);
        let mut rest = Vec::new();
        let mut chroma = Chroma::Quarter;
        for word in words {
            match word.split_at_checked(1) {
                Some(("W", number)) => width = Some(side(number)?),
                Some(("H", number)) => height = Some(side(number)?),
                Some(("C", name)) => {
                    chroma = Chroma::parse(name)?;
                    rest.push(word);
                }
                _ => rest.push(word),
            }
        }
        let missing = |what| FormatError(format!("the header has no {what}"));
        let (width, height) = (width.ok_or_else(|| missing("width"))?, height.ok_or_else(|| missing("height"))?);
        Format { width, height, chroma, rest: rest.join(" ") }.resized(width, height)
    }

    /// The header line, with its line end.
    #[must_use]
    pub fn header(&self) -> String {
        let separator = if self.rest.is_empty() { "" } else { " " };
        format!("{MAGIC} W{} H{}{separator}{}\n", self.width, self.height, self.rest)
    }

    /// Columns of the luma.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows of the luma.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How much chroma there is.
    #[must_use]
    pub fn chroma(&self) -> Chroma {
        self.chroma
    }

    /// Columns and rows of each plane: the luma, then both planes of chroma.
    pub fn planes(&self) -> impl Iterator<Item = (u32, u32)> {
        let (width, height) = (self.width, self.height);
        let chroma = match self.chroma {
            Chroma::Mono => None,
            Chroma::Quarter => Some((width.div_ceil(2), height.div_ceil(2))),
            Chroma::Half => Some((width.div_ceil(2), height)),
            Chroma::Full => Some((width, height)),
        };
        std::iter::once((width, height)).chain(chroma).chain(chroma)
    }

    /// Bytes of a frame, all planes together.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.planes().map(|(width, height)| width as usize * height as usize).sum()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |letter| self.rest.split(' ').find_map(|word| word.strip_prefix(letter));
        let (rate, colour) = (word('F').unwrap_or("?"), word('C').unwrap_or("420jpeg"));
        write!(f, "{}x{}, {rate} frames a second, {colour}", self.width, self.height)
    }
}

impl Chroma {
    fn parse(name: &str) -> Result<Self, FormatError> {
        match name {
            "mono" => Ok(Chroma::Mono),
            "420" | "420jpeg" | "420paldv" | "420mpeg2" => Ok(Chroma::Quarter),
            "422" => Ok(Chroma::Half),
            "444" => Ok(Chroma::Full),
            other => {
                Err(FormatError(format!("colour space `{other}` is not supported: 8 bits of mono, 420, 422 or 444")))
            }
        }
    }
}

fn side(number: &str) -> Result<u32, FormatError> {
    number.parse().map_err(|_| FormatError(format!("a side of `{number}` cannot be")))
}

/// A header that cannot be read, or a size that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_kept_but_for_its_size() {
        let line = b"YUV4MPEG2 W7 H5 F30000:1001 Ip A1:1 C422 XCOLORRANGE=LIMITED";
        let format = Format::parse(line).unwrap();
        assert_eq!((format.width(), format.height(), format.chroma()), (7, 5, Chroma::Half));
        assert_eq!(format.header().as_bytes(), [&line[..], b"\n"].concat());
        assert_eq!(format.planes().collect::<Vec<_>>(), [(7, 5), (4, 5), (4, 5)]);
        assert_eq!(format.frame_bytes(), 35 + 20 + 20);
        let small = format.resized(4, 3).unwrap();
        assert!(small.header().starts_with("YUV4MPEG2 W4 H3 F30000:1001"));
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        assert_eq!(Format::new(3, 3).unwrap().frame_bytes(), 9 + 4 + 4);
        assert_eq!(Format::parse(b"YUV4MPEG2 W3 H3 Cmono").unwrap().frame_bytes(), 9);
        assert_eq!(Format::parse(b"YUV4MPEG2 W3 H3 C444").unwrap().frame_bytes(), 27);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |line: &[u8]| Format::parse(line).unwrap_err().to_string();
        assert_eq!(error(b"RIFF"), "it does not begin with `YUV4MPEG2`");
        assert_eq!(error(b"\xff\xfe"), "it does not begin with a Y4M header");
        assert_eq!(error(b"YUV4MPEG2 W10"), "the header has no height");
        assert_eq!(error(b"YUV4MPEG2 W10 Hx"), "a side of `x` cannot be");
        assert_eq!(error(b"YUV4MPEG2 W0 H5"), "a frame of 0x5 cannot be: sides are from 1 to 32768");
        assert!(error(b"YUV4MPEG2 W4294967295 H5").contains("cannot be"));
        assert!(error(b"YUV4MPEG2 W1 H1 C420p10").contains("`420p10` is not supported"));
        assert!(Format::new(40_000, 1).is_err());
    }
}
