//! Images made for tests, and how they are read back.

use gristmill_image_resize::{Options, Problem, Resizer, Thumbnail};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::io::Cursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Pixels of RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// Waves of several lengths and colours, and a little grain.
pub fn scene(width: u32, height: u32) -> Rgb {
    let mut grain = 7u32;
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (x as f32, y as f32);
            let noise = (grain >> 28) as f32 - 8.0;
            let red = 120.0 + 60.0 * (x * 0.031 + y * 0.007).sin() + 30.0 * (y * 0.13).cos();
            let green = 120.0 + 70.0 * (y * 0.023 - x * 0.011).cos() + 20.0 * (x * 0.21).sin();
            let blue = 110.0 + 90.0 * ((x + y) * 0.004).sin();
            pixels.extend([red, green, blue].map(|value| (value + noise) as u8));
        }
    }
    Rgb { width, height, pixels }
}

/// Four colours: red, green in the upper row, blue and white below.
pub fn corners(width: u32, height: u32) -> Rgb {
    let colour = |x, y| match (2 * x < width, 2 * y < height) {
        (true, true) => [220, 30, 30],
        (false, true) => [30, 200, 30],
        (true, false) => [30, 30, 220],
        (false, false) => [240; 3],
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| colour(x, y))).collect();
    Rgb { width, height, pixels }
}

/// What can be said to the encoder.
#[derive(Default)]
pub struct How<'a> {
    pub sampling: Option<SamplingFactor>,
    pub progressive: bool,
    pub restart_interval: u16,
    pub optimized: bool,
    pub exif: Option<&'a [u8]>,
    pub profile: Option<&'a [u8]>,
}

pub fn jpeg(image: &Rgb, how: &How<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    how.sampling.into_iter().for_each(|sampling| encoder.set_sampling_factor(sampling));
    encoder.set_progressive(how.progressive);
    encoder.set_restart_interval(how.restart_interval);
    encoder.set_optimized_huffman_tables(how.optimized);
    how.exif.into_iter().for_each(|exif| encoder.add_exif_metadata(exif).unwrap());
    how.profile.into_iter().for_each(|profile| encoder.add_icc_profile(profile).unwrap());
    encoder.encode(&image.pixels, image.width as u16, image.height as u16, ColorType::Rgb).unwrap();
    bytes
}

pub fn plain_jpeg(image: &Rgb) -> Vec<u8> {
    jpeg(image, &How::default())
}

pub fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

pub fn webp(image: &Rgb) -> Vec<u8> {
    webp::Encoder::from_rgb(&image.pixels, image.width, image.height).encode(90.0).to_vec()
}

/// A block of EXIF with an orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

/// Decodes a JPEG by another library.
pub fn decode_jpeg(bytes: &[u8]) -> Rgb {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    let pixels = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    Rgb { width: info.width.into(), height: info.height.into(), pixels }
}

/// Decodes a PNG: size, kind and pixels.
pub fn decode_png(bytes: &[u8]) -> (u32, u32, png::ColorType, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, info.color_type, pixels)
}

/// Resizes one image, and looks at the result.
pub fn resize<T>(image: &[u8], options: &Options, look: impl FnOnce(Thumbnail<'_>) -> T) -> Result<T, Problem> {
    Resizer::new(options).unwrap().resize(image).map(look)
}

/// The mean difference of two pictures.
pub fn difference(a: &Rgb, b: &Rgb) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels.len() as f64
}
