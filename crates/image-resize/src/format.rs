//! The formats.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A format that is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Sequential, progressive, grey, CMYK.
    Jpeg,
    /// All kinds. Of an animation, the picture for those who know no animations.
    Png,
    /// With loss and without. Of an animation, the first frame.
    WebP,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::Jpeg, Format::Png, Format::WebP];

    /// The format of an image that begins so, whatever its name is.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Format::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
            _ => None,
        }
    }

    /// The format that a name promises.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
        Format::ALL.into_iter().find(|format| format.extensions().contains(&&*extension))
    }

    /// What its names end in, first the usual.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Format::Png => &["png", "apng"],
            Format::WebP => &["webp"],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::WebP => "WebP",
        })
    }
}

/// No format has that name.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no format is named `{0}`; there are jpeg, png and webp")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "jpeg" | "jpg" => Ok(Format::Jpeg),
            "png" => Ok(Format::Png),
            "webp" => Ok(Format::WebP),
            _ => Err(UnknownFormat(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_are_told_apart() {
        assert_eq!(Format::of_name(Path::new("a/b.JPeG")), Some(Format::Jpeg));
        assert_eq!(Format::of_name(Path::new("a.png/b")), None);
        assert_eq!(Format::of_bytes(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
        assert_eq!(Format::of_bytes(b"RIFF\x00\x00\x00\x00WEBPVP8 "), Some(Format::WebP));
        assert_eq!(Format::of_bytes(b"GIF89a"), None);
        assert_eq!("webp".parse::<Format>().ok(), Some(Format::WebP));
        assert!("gif".parse::<Format>().unwrap_err().to_string().contains("`gif`"));
    }
}
