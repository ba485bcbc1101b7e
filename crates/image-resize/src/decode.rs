//! From bytes to pixels.

use crate::error::Problem;
use crate::exif::{self, Orientation};
use crate::format::Format;
use crate::jpeg;
use crate::options::Limits;
use crate::picture::{Layout, Picture};
use crate::size::Size;
use std::io::Cursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

/// What an image says of itself, beside its pixels.
#[derive(Debug)]
pub(crate) struct About {
    pub format: Format,
    /// As stored, before it is turned and before it is reduced.
    pub size: Size,
    pub orientation: Orientation,
    /// The colour profile, which is for gray or for RGB as the layout is.
    pub profile: Option<Vec<u8>>,
}

/// Decodes all formats. Keeps its buffers for the next image.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    jpeg: jpeg::Decoder,
}

/// A profile larger than this is not worth keeping in a thumbnail.
const LARGEST_PROFILE: usize = 4 << 20;

impl Decoder {
    /// Decodes an image. `wanted` tells how large it must be at least for one of that size; only a JPEG is ever smaller
    /// than it is stored.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        wanted: impl Fn(Size, Orientation) -> (f64, f64),
        picture: &mut Picture,
    ) -> Result<About, Problem> {
        if bytes.is_empty() {
            return Err(Problem::Empty);
        }
        match Format::of_bytes(bytes).ok_or(Problem::Unknown)? {
            Format::Jpeg => self.jpeg(bytes, limits, wanted, picture),
            Format::Png => png(bytes, limits, picture),
            Format::WebP => webp(bytes, limits, picture),
        }
        .map(|about| About { profile: about.profile.filter(|profile| profile.len() <= LARGEST_PROFILE), ..about })
    }

    fn jpeg(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        wanted: impl Fn(Size, Orientation) -> (f64, f64),
        picture: &mut Picture,
    ) -> Result<About, Problem> {
        let header = jpeg::Header::parse(bytes)?;
        let size = Size::new(header.width, header.height);
        limits.check_pixels(size)?;
        let (orientation, mut profile) = (header.orientation, header.profile());
        if header.is_direct() {
            let wanted = wanted(size, orientation);
            picture.layout = if header.components.len() == 1 { Layout::Gray } else { Layout::Ycc };
            self.jpeg.decode(&header, wanted, limits.decoded_bytes, &mut picture.planes)?;
        } else if header.is_scan_by_scan() {
            // zune-jpeg 0.5.15 makes another picture of it, and no error.
            return Err(Problem::Unsupported("a sequential JPEG with a scan for each component"));
        } else {
            full_jpeg(bytes, size, limits, picture)?;
            // It is RGB now, which a profile for CMYK knows nothing of.
            profile = profile.filter(|_| header.components.len() != 4);
        }
        Ok(About { format: Format::Jpeg, size, orientation, profile })
    }
}

/// The kinds of JPEG that are rare.
fn full_jpeg(bytes: &[u8], size: Size, limits: &Limits, picture: &mut Picture) -> Result<(), Problem> {
    // Without strict mode the missing part of an image is gray.
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(65_535).set_max_height(65_535);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| problem_of(&error))?;
    let layout = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => Layout::Gray,
        _ => Layout::Rgb,
    };
    let space = if layout == Layout::Gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    limits.check_bytes(size, layout)?;
    picture.become_of(layout, size);
    decoder.decode_into(&mut picture.planes[0].data).map_err(|error| problem_of(&error))
}

fn problem_of(error: &DecodeErrors) -> Problem {
    match error {
        DecodeErrors::ExhaustedData => Problem::Truncated,
        error => Problem::Corrupt(format!("JPEG: {error:?}")),
    }
}

fn png(bytes: &[u8], limits: &Limits, picture: &mut Picture) -> Result<About, Problem> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: limits.decoded_bytes });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(png_problem)?;
    let size = Size::new(header.width, header.height);
    limits.check_pixels(size)?;
    let mut reader = decoder.read_info().map_err(png_problem)?;
    let layout = match reader.output_color_type().0 {
        png::ColorType::Grayscale => Layout::Gray,
        png::ColorType::GrayscaleAlpha => Layout::GrayAlpha,
        png::ColorType::Rgb => Layout::Rgb,
        png::ColorType::Rgba => Layout::Rgba,
        png::ColorType::Indexed => return Err(Problem::Corrupt("PNG: a palette is missing".to_owned())),
    };
    limits.check_bytes(size, layout)?;
    picture.become_of(layout, size);
    reader.next_frame(&mut picture.planes[0].data).map_err(png_problem)?;
    let info = reader.info();
    let orientation = info.exif_metadata.as_deref().and_then(exif::orientation).unwrap_or_default();
    let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
    Ok(About { format: Format::Png, size, orientation, profile })
}

fn png_problem(error: png::DecodingError) -> Problem {
    match error {
        png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Problem::Truncated,
        error => Problem::Corrupt(format!("PNG: {error}")),
    }
}

fn webp(bytes: &[u8], limits: &Limits, picture: &mut Picture) -> Result<About, Problem> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(webp_problem)?;
    decoder.set_memory_limit(limits.decoded_bytes);
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    limits.check_pixels(size)?;
    let layout = if decoder.has_alpha() { Layout::Rgba } else { Layout::Rgb };
    limits.check_bytes(size, layout)?;
    let exif = decoder.exif_metadata().map_err(webp_problem)?;
    // Some writers put the prefix of JPEG before it.
    let exif = exif.as_deref().map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    let orientation = exif.and_then(exif::orientation).unwrap_or_default();
    let profile = decoder.icc_profile().map_err(webp_problem)?;
    picture.become_of(layout, size);
    decoder.read_image(&mut picture.planes[0].data).map_err(webp_problem)?;
    Ok(About { format: Format::WebP, size, orientation, profile })
}

fn webp_problem(error: image_webp::DecodingError) -> Problem {
    match error {
        image_webp::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Problem::Truncated
        }
        error => Problem::Corrupt(format!("WebP: {error}")),
    }
}

impl Limits {
    fn check_pixels(&self, size: Size) -> Result<(), Problem> {
        if size.pixels() > self.pixels {
            return Err(Problem::TooManyPixels { size, most: self.pixels });
        }
        Ok(())
    }

    fn check_bytes(&self, size: Size, layout: Layout) -> Result<(), Problem> {
        let (bytes, most) = (size.pixels() * layout.channels() as u64, self.decoded_bytes as u64);
        if bytes > most { Err(Problem::TooManyBytes { bytes, most }) } else { Ok(()) }
    }
}
