//! What goes wrong.

use crate::size::Size;
use std::io;
use std::path::{Path, PathBuf};

/// An image that was not resized, by name.
///
/// # Examples
///
/// ```
/// use gristmill_image_resize::{Images, Options, Resizer};
///
/// let options = Options::new(256);
/// # let folder = tempfile::tempdir().unwrap();
/// let image = folder.path().join("empty.jpg");
/// std::fs::write(&image, b"")?;
/// let task = Images::walk(&image, folder.path().join("out"), &options)?.next().unwrap();
/// let error = Resizer::new(&options)?.run(task).unwrap_err();
/// assert!(error.to_string().ends_with("empty.jpg: the file is empty"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ImageError {
    path: PathBuf,
    problem: Problem,
}

impl ImageError {
    pub(crate) fn new(path: PathBuf, problem: Problem) -> Self {
        ImageError { path, problem }
    }

    /// The image.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// Why an image was not resized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing is in it.
    #[error("the file is empty")]
    Empty,
    /// It begins like none of the formats.
    #[error("not a JPEG, PNG or WebP")]
    Unknown,
    /// It ends before its last pixel.
    #[error("the image is cut off")]
    Truncated,
    /// It is of a kind that is not decoded.
    #[error("a kind of image that is not decoded: {0}")]
    Unsupported(&'static str),
    /// Something in it cannot be.
    #[error("the image is damaged: {0}")]
    Corrupt(String),
    /// It has more pixels than allowed. Nothing was allocated for them.
    #[error("{} × {} pixels are more than the limit of {most}", size.width, size.height)]
    TooManyPixels {
        /// What its header says.
        size: Size,
        /// The limit.
        most: u64,
    },
    /// The file, or what is decoded from it, has more bytes than allowed. Nothing was allocated for them.
    #[error("{bytes} bytes are more than the limit of {most}")]
    TooManyBytes {
        /// As many as it has.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// The output format cannot hold it.
    #[error("could not be encoded: {0}")]
    Encode(String),
    /// Another image has the same output.
    #[error("its output `{}` is that of `{}` as well", output.display(), other.display())]
    Collision {
        /// The name of both outputs.
        output: PathBuf,
        /// The image that comes first.
        other: PathBuf,
    },
    /// A fifo, a socket or a device.
    #[error("not a file")]
    NotAFile,
    /// A symbolic link leads back to a directory above it.
    #[error("a symbolic link that leads back to `{}`", .0.display())]
    Loop(PathBuf),
    /// It could not be read.
    #[error("{0}")]
    Read(io::Error),
    /// The output could not be written.
    #[error("could not write `{}`: {error}", path.display())]
    Write {
        /// The output, or its directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// No picture fits a box without pixels, and WebP has no larger ones.
    #[error("a box of {} × {} pixels: both must be from 1 to 16383", .0.width, .0.height)]
    Bounds(Size),
    /// The quality is not on its scale.
    #[error("a quality of {0}: it must be from 1 to 100")]
    Quality(u8),
}

/// A folder that cannot be walked, or not to that output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The input is not there, or cannot be looked at.
    #[error("could not open `{}`: {error}", path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The outputs would replace the originals.
    #[error("`{}` is the input, and cannot be the output as well", .0.display())]
    OwnInput(PathBuf),
    /// The output cannot be made, or is there and not a directory.
    #[error("could not make the folder `{}`: {error}", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}
