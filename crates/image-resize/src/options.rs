//! What is to be made of the images.

use crate::error::OptionsError;
use crate::format::Format;
use crate::size::{Enlarge, Size};

/// What a [`Resizer`](crate::Resizer) makes of an image.
///
/// # Examples
///
/// ```
/// use gristmill_image_resize::{Format, Options, Resizer, Size};
///
/// let options = Options::new(256).quality(85).format(Format::WebP);
/// assert!(Resizer::new(&options).is_ok());
/// assert!(Resizer::new(&Options::within(Size::new(0, 99))).is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub(crate) bounds: Size,
    pub(crate) enlarge: Enlarge,
    pub(crate) quality: u8,
    pub(crate) format: Option<Format>,
    pub(crate) limits: Limits,
    pub(crate) spare: f64,
}

/// What images may ask for. All is checked before memory is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    ///
    /// # Default
    ///
    /// 256 MiB.
    pub file_bytes: u64,
    /// Pixels of an image, as its header has them.
    ///
    /// # Default
    ///
    /// 2²⁸, 16384 × 16384.
    pub pixels: u64,
    /// Bytes of the decoded image. A worker may need some more for its format, as progressive JPEG does.
    ///
    /// # Default
    ///
    /// 512 MiB.
    pub decoded_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { file_bytes: 256 << 20, pixels: 1 << 28, decoded_bytes: 512 << 20 }
    }
}

/// The longest side that all formats have.
const LONGEST: u32 = 16_383;

impl Options {
    /// Images that fit a square of so many pixels. Their shape stays, and smaller ones stay as they are.
    #[must_use]
    pub fn new(side: u32) -> Self {
        Options::within(Size::new(side, side))
    }

    /// Images that fit a box.
    #[must_use]
    pub fn within(bounds: Size) -> Self {
        let (enlarge, limits) = (Enlarge::default(), Limits::default());
        Options { bounds, enlarge, quality: 80, format: None, limits, spare: 2.0 }
    }

    /// Sets what becomes of images smaller than the box.
    #[must_use]
    pub fn enlarge(mut self, enlarge: Enlarge) -> Self {
        self.enlarge = enlarge;
        self
    }

    /// Sets the quality of JPEG and WebP, from 1 to 100. PNG has no loss.
    ///
    /// # Default
    ///
    /// 80.
    #[must_use]
    pub fn quality(mut self, quality: u8) -> Self {
        self.quality = quality;
        self
    }

    /// Writes all images in one format. JPEG has no transparency: there they are laid on white.
    ///
    /// # Default
    ///
    /// Each in its own.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Sets what images may ask for.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The format of all outputs, if one was [set](Options::format).
    #[must_use]
    pub fn output_format(&self) -> Option<Format> {
        self.format
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let is_side = |side| (1..=LONGEST).contains(&side);
        if !is_side(self.bounds.width) || !is_side(self.bounds.height) {
            return Err(OptionsError::Bounds(self.bounds));
        }
        if !(1..=100).contains(&self.quality) {
            return Err(OptionsError::Quality(self.quality));
        }
        Ok(())
    }
}
