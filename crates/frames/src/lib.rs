//! Raw video (Y4M), frame by frame: read without copying, scaled on every core, written in order.
//!
//! A [`Clip`] is an open file; its frames are a source. A [`Scaler`] is the state of a worker that makes frames of another
//! size. A [`Writer`] is a store that puts frames behind a header, in the order in which they come.
//!
//! # Examples
//!
//! ```
//! use gristmill::prelude::*;
//! use gristmill_frames::{Clip, Format, Frame, Scaler, Writer};
//!
//! let folder = tempfile::tempdir()?;
//! let (path, small) = (folder.path().join("clip.y4m"), folder.path().join("small.y4m"));
//! let format = Format::new(64, 48)?;
//! let grey = vec![Frame::from(vec![128; format.frame_bytes()]); 3];
//! Pipeline::extract(grey.into_iter()).ordered().store(Writer::create(&path, format.clone())?).run()?;
//!
//! let clip = Clip::open(&path)?;
//! let scaler = Scaler::new(clip.format(), 32, 24)?;
//! let out = Writer::create(&small, scaler.format().clone())?;
//! Pipeline::extract(clip)
//!     .map_init(|| Ok::<_, gristmill_frames::FormatError>(scaler.clone()), |scaler, frame| scaler.scale(&frame))
//!     .ordered()
//!     .store(out)
//!     .run()?;
//! assert_eq!(Clip::open(&small)?.format().to_string(), "32x24, 30:1 frames a second, 420jpeg");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! Y4M with 8 bits a sample: grey, or with chroma at a quarter, a half or all of the luma's resolution. What else a header
//! may say (interlacing, aspect, comments) is kept and written again. A file that is no Y4M, a depth of more than 8 bits
//! or a frame that is cut off is an error that says so.

mod clip;
mod format;
mod frame;
mod histogram;
mod lanczos;
mod scale;
mod write;

pub use clip::{Clip, ClipError};
pub use format::{Chroma, Format, FormatError};
pub use frame::Frame;
pub use histogram::Histogram;
pub use scale::Scaler;
pub use write::{WriteError, Writer};
