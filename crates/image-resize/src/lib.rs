//! Thumbnails of JPEG, PNG and WebP on every core, as stages for gristmill.
//!
//! ```text
//!  Images              Resizer::run, on every core
//! ┌──────────────┐ tasks ┌───────────────────────────────────────────────┐ Resized
//! │ a folder     │══════▶│ read → decode → filter → turn → encode → write│════════▶
//! └──────────────┘       └───────────────────────┬───────────────────────┘
//!                                                ▼ ImageError: the image is named, the run goes on
//! ```
//!
//! - [`Options`] say how large, how good and in which format.
//! - [`Images`] walks a folder and yields tasks.
//! - [`Resizer::run`] does one, [`Resizer::resize`] does one in memory. Each worker has a resizer, whose buffers serve for
//!   all its images.
//!
//! # What comes out
//!
//! The filter is Lanczos with three lobes, on 8 bits a channel; images of 16 bits lose the lower ones. Transparency is
//! taken into account: the colour of what cannot be seen does not count.
//!
//! A *JPEG* is decoded no larger than the filter needs: a block of 8 × 8 pixels becomes one of 1 × 1, 2 × 2 or 4 × 4,
//! which costs little more than to read its bits. Brightness and colours stay apart from the decoder to the encoder.
//!
//! The *orientation* that a camera notes (EXIF) is applied, in all formats. All other notes are left out: place, time,
//! preview. The *colour profile* is kept, so colours stay what they were. A profile of CMYK is left out together with
//! CMYK, as the output is RGB then; so is one of more than 4 MiB. PNG's gamma without a profile is ignored.
//!
//! Of an *animation* the first frame is taken, or for PNG the picture for those who know no animations.
//!
//! Not decoded, and errors: arithmetic coding, 12 bits, and a sequential JPEG that has a scan for each component.
//!
//! # Images that are not whole
//!
//! An image that is cut off or damaged is an error, even where other programs show a part of it and a grey rest: nobody
//! looks at each thumbnail. Only what is missing behind the last pixel, or follows it, is no error. Damage that still is
//! a valid image cannot be seen.
//!
//! # Memory
//!
//! For each worker: the file, the decoded image, a few tables of 60 KiB. A JPEG of 12 megapixels is decoded to 1 MB for
//! a thumbnail of 256 pixels. PNG, WebP and the rare kinds of JPEG are decoded in full: 4 bytes a pixel and less.
//! Buffers above 32 MiB are given back after the image. [`Limits`] bound what an image may ask for; they are
//! checked on its header.

mod decode;
mod encode;
mod error;
mod exif;
mod files;
mod filter;
mod format;
mod jpeg;
mod options;
mod output;
mod picture;
mod resizer;
mod size;
mod turn;

pub use error::{ImageError, OptionsError, Problem, WalkError};
pub use files::{Images, Task};
pub use format::{Format, UnknownFormat};
pub use options::{Limits, Options};
pub use resizer::{Resized, Resizer, Thumbnail};
pub use size::{Enlarge, Size};
