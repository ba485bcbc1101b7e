//! From pixels to bytes.

use crate::error::Problem;
use crate::format::Format;
use crate::picture::{Layout, Picture};
use jpeg_encoder::{ColorType, Encoder, ImageBuffer, JpegColorType, SamplingFactor};

/// Encodes all formats. Keeps its buffers for the next image.
#[derive(Debug, Default)]
pub(crate) struct Encoders {
    /// The pixels of formats that know no planes.
    rgb: Picture,
}

impl Encoders {
    /// Encodes a picture; what it is made of may change.
    pub(crate) fn encode(
        &mut self,
        picture: &mut Picture,
        format: Format,
        quality: u8,
        profile: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        out.clear();
        if format == Format::Jpeg {
            if picture.layout.has_alpha() {
                picture.flatten();
            }
            return jpeg(picture, quality, profile, out).map_err(|error| Problem::Encode(error.to_string()));
        }
        let picture = if picture.layout == Layout::Ycc {
            picture.interleave_into(&mut self.rgb);
            &self.rgb
        } else {
            picture
        };
        match format {
            Format::Png => png(picture, profile, out).map_err(|error| Problem::Encode(error.to_string())),
            _ => webp(picture, quality, profile, out),
        }
    }
}

fn jpeg(
    picture: &Picture,
    quality: u8,
    profile: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), jpeg_encoder::EncodingError> {
    let mut encoder = Encoder::new(out, quality);
    // As cameras do. The default of the encoder depends on the quality.
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile)?;
    }
    let size = picture.size();
    let (width, height) = (size.width as u16, size.height as u16);
    let pixels = &picture.planes[0].data;
    match picture.layout {
        Layout::Ycc => encoder.encode_image(Planes(picture)),
        Layout::Gray => encoder.encode(pixels, width, height, ColorType::Luma),
        _ => encoder.encode(pixels, width, height, ColorType::Rgb),
    }
}

/// Three planes as the encoder asks for them.
struct Planes<'a>(&'a Picture);

impl ImageBuffer for Planes<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.0.size().width as u16
    }

    fn height(&self) -> u16 {
        self.0.size().height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        for (plane, buffer) in self.0.planes().iter().zip(buffers) {
            let width = plane.width as usize;
            buffer.extend_from_slice(&plane.data[usize::from(y) * width..][..width]);
        }
    }
}

fn png(picture: &Picture, profile: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), png::EncodingError> {
    let size = picture.size();
    let mut info = png::Info::with_size(size.width, size.height);
    info.bit_depth = png::BitDepth::Eight;
    info.color_type = match picture.layout {
        Layout::Gray => png::ColorType::Grayscale,
        Layout::GrayAlpha => png::ColorType::GrayscaleAlpha,
        Layout::Rgba => png::ColorType::Rgba,
        Layout::Rgb | Layout::Ycc => png::ColorType::Rgb,
    };
    info.icc_profile = profile.map(Into::into);
    let encoder = png::Encoder::with_info(out, info)?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.planes[0].data)?;
    writer.finish()
}

fn webp(picture: &Picture, quality: u8, profile: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let size = picture.size();
    let pixels = &picture.planes[0].data;
    // It knows no gray.
    let spread = |channels: usize| -> Vec<u8> {
        let spread = |pixel: &[u8]| [pixel[0], pixel[0], pixel[0]].into_iter().chain(pixel.get(1).copied());
        pixels.chunks_exact(channels).flat_map(spread).collect()
    };
    let spread = match picture.layout {
        Layout::Gray => Some(spread(1)),
        Layout::GrayAlpha => Some(spread(2)),
        _ => None,
    };
    let pixels = spread.as_ref().unwrap_or(pixels);
    let encoder = if picture.layout.has_alpha() {
        webp::Encoder::from_rgba(pixels, size.width, size.height)
    } else {
        webp::Encoder::from_rgb(pixels, size.width, size.height)
    };
    let encoded = encoder.encode_simple(false, f32::from(quality));
    let encoded = encoded.map_err(|error| Problem::Encode(format!("WebP: {error:?}")))?;
    match profile {
        None => out.extend_from_slice(&encoded),
        Some(profile) => add_profile(&encoded, size, picture.layout.has_alpha(), profile, out)?,
    }
    Ok(())
}

/// Puts a colour profile into a WebP: the chunks are those that the encoder made, behind a header that announces it.
fn add_profile(
    webp: &[u8],
    size: crate::size::Size,
    has_alpha: bool,
    profile: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    const PROFILE: u8 = 0x20;
    const ALPHA: u8 = 0x10;
    let mut chunks = webp.get(12..).ok_or_else(|| Problem::Encode("WebP: no chunks".to_owned()))?;
    // The encoder's own header of the kind, which it makes where there is transparency.
    if chunks.starts_with(b"VP8X") {
        chunks = chunks.get(18..).unwrap_or_default();
    }
    let odd = profile.len() % 2;
    let length = 4 + 18 + 8 + profile.len() + odd + chunks.len();
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(b"WEBPVP8X\x0a\0\0\0");
    out.extend_from_slice(&[if has_alpha { PROFILE | ALPHA } else { PROFILE }, 0, 0, 0]);
    out.extend_from_slice(&(size.width - 1).to_le_bytes()[..3]);
    out.extend_from_slice(&(size.height - 1).to_le_bytes()[..3]);
    out.extend_from_slice(b"ICCP");
    out.extend_from_slice(&(profile.len() as u32).to_le_bytes());
    out.extend_from_slice(profile);
    out.extend_from_slice(&[0][..odd]);
    out.extend_from_slice(chunks);
    Ok(())
}
