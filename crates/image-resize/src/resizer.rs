//! The work on one image.

use crate::decode::Decoder;
use crate::encode::Encoders;
use crate::error::{ImageError, OptionsError, Problem};
use crate::exif::Orientation;
use crate::files::Task;
use crate::format::Format;
use crate::options::Options;
use crate::output;
use crate::picture::Picture;
use crate::size::Size;
use crate::{filter, turn};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Resizes images, one at a time. Keeps its buffers: a worker has one, and uses it for all its images.
///
/// # Examples
///
/// ```
/// use gristmill_image_resize::{Format, Options, Resizer, Size};
///
/// # let mut photo = Vec::new();
/// # let encoder = jpeg_encoder::Encoder::new(&mut photo, 90);
/// # encoder.encode(&[120; 3 * 900 * 600], 900, 600, jpeg_encoder::ColorType::Rgb)?;
/// let mut resizer = Resizer::new(&Options::new(256))?;
/// let thumbnail = resizer.resize(&photo)?;
/// assert_eq!((thumbnail.size, thumbnail.format), (Size::new(256, 171), Format::Jpeg));
/// assert!(thumbnail.bytes.len() < photo.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Resizer {
    options: Options,
    decoder: Decoder,
    filter: fast_image_resize::Resizer,
    encoders: Encoders,
    input: Vec<u8>,
    stored: Picture,
    resized: Picture,
    spare: Vec<u8>,
    output: Vec<u8>,
}

/// An image in memory that was resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbnail<'a> {
    /// The image, encoded.
    pub bytes: &'a [u8],
    /// In which format.
    pub format: Format,
    /// How large it was, turned as it is seen.
    pub original: Size,
    /// How large it is.
    pub size: Size,
}

/// An image file that was resized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The original.
    pub input: PathBuf,
    /// The new file.
    pub output: PathBuf,
    /// How large the original is, turned as it is seen.
    pub original: Size,
    /// How large the new one is.
    pub size: Size,
    /// Bytes of the original file.
    pub bytes_in: u64,
    /// Bytes of the new file.
    pub bytes_out: u64,
}

/// Buffers larger than this are not kept for the next image.
const MOST_KEPT: usize = 32 << 20;

impl fmt::Debug for Resizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resizer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Resizer {
    /// Allocates some tables; buffers come with the first image.
    ///
    /// # Errors
    ///
    /// When an option cannot be.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Resizer {
            options: options.clone(),
            decoder: Decoder::default(),
            filter: fast_image_resize::Resizer::new(),
            encoders: Encoders::default(),
            input: Vec::new(),
            stored: Picture::default(),
            resized: Picture::default(),
            spare: Vec::new(),
            output: Vec::new(),
        })
    }

    /// Resizes the image of a task and writes it.
    ///
    /// The output appears under its name when it is whole, and replaces what had that name. Directories are made. On a
    /// failure nothing is left behind but directories. The file is not forced to the disk: after a crash of the machine
    /// it may be missing.
    ///
    /// # Errors
    ///
    /// When the image cannot be read, is none, is damaged or cut off, exceeds a limit, or the output cannot be written.
    pub fn run(&mut self, task: Task) -> Result<Resized, ImageError> {
        let (path, target) = task.into_parts();
        let done = target.and_then(|target| self.run_file(&path, target));
        done.map_err(|problem| ImageError::new(path, problem))
    }

    fn run_file(&mut self, path: &Path, target: PathBuf) -> Result<Resized, Problem> {
        let mut input = std::mem::take(&mut self.input);
        let done = read(path, self.options.limits.file_bytes, &mut input).and_then(|()| {
            let thumbnail = self.resize(&input)?;
            output::write(&target, thumbnail.bytes)?;
            Ok(Resized {
                input: path.to_owned(),
                output: target,
                original: thumbnail.original,
                size: thumbnail.size,
                bytes_in: input.len() as u64,
                bytes_out: thumbnail.bytes.len() as u64,
            })
        });
        if input.capacity() <= MOST_KEPT {
            self.input = input;
        }
        done
    }

    /// Resizes an image in memory.
    ///
    /// # Errors
    ///
    /// When it is none, is damaged or cut off, or exceeds a limit. Bytes behind its end are no error.
    pub fn resize(&mut self, image: &[u8]) -> Result<Thumbnail<'_>, Problem> {
        let done = self.resize_kept(image);
        self.stored.forget_large();
        self.resized.forget_large();
        if self.filter.size_of_internal_buffers() > MOST_KEPT {
            self.filter.reset_internal_buffers();
        }
        let (format, original, size) = done?;
        Ok(Thumbnail { bytes: &self.output, format, original, size })
    }

    fn resize_kept(&mut self, image: &[u8]) -> Result<(Format, Size, Size), Problem> {
        let Resizer { options, decoder, filter, encoders, stored, resized, spare, output, .. } = self;
        let wanted = |size: Size, orientation: Orientation| {
            let target = target(size, orientation, options);
            // No smaller than the filter needs, nor larger than it is.
            (f64::from(target.width) * options.spare, f64::from(target.height) * options.spare)
        };
        let about = decoder.decode(image, &options.limits, wanted, stored)?;
        resized.become_of(stored.layout, target(about.size, about.orientation, options));
        for (from, to) in stored.planes[..stored.layout.n_planes()].iter().zip(&mut resized.planes) {
            filter::scale(filter, from, to)?;
        }
        turn::turn(resized, about.orientation, spare);
        let format = options.format.unwrap_or(about.format);
        let size = resized.size();
        encoders.encode(resized, format, options.quality, about.profile.as_deref(), output)?;
        let original = if about.orientation.is_on_its_side() { about.size.turned() } else { about.size };
        Ok((format, original, size))
    }
}

/// The size of the result before it is turned.
fn target(stored: Size, orientation: Orientation, options: &Options) -> Size {
    if orientation.is_on_its_side() {
        stored.turned().fit(options.bounds, options.enlarge).turned()
    } else {
        stored.fit(options.bounds, options.enlarge)
    }
}

/// Reads a file of at most so many bytes.
fn read(path: &Path, most: u64, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    bytes.clear();
    let file = File::open(path).map_err(Problem::Read)?;
    let metadata = file.metadata().map_err(Problem::Read)?;
    let length = metadata.len();
    if length > most {
        return Err(Problem::TooManyBytes { bytes: length, most });
    }
    bytes.reserve(length as usize + 1);
    // One more tells that it grew.
    file.take(most.saturating_add(1)).read_to_end(bytes).map_err(Problem::Read)?;
    if bytes.len() as u64 > most {
        return Err(Problem::TooManyBytes { bytes: bytes.len() as u64, most });
    }
    Ok(())
}
