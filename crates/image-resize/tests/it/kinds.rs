//! All kinds of images.

use crate::made::{self, How, corners, decode_jpeg, scene};
use gristmill_image_resize::{Enlarge, Format, Options, Problem, Size};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::io::Cursor;

#[test]
fn every_sampling_and_every_kind_of_jpeg_shows_the_same() {
    let image = corners(330, 250);
    let sampling = [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2];
    for side in [20, 66, 132, 330] {
        let expected = corners(side, (f64::from(side) * 250.0 / 330.0).round() as u32);
        for sampling in sampling {
            for (progressive, restart_interval) in [(false, 0), (false, 5), (true, 0)] {
                let how = How { sampling: Some(sampling), progressive, restart_interval, ..How::default() };
                let found = made::resize(&made::jpeg(&image, &how), &Options::new(side).quality(95), |thumbnail| {
                    decode_jpeg(thumbnail.bytes)
                });
                let difference = made::difference(&found.unwrap(), &expected);
                // Edges of colour are soft, and count for more where there is less.
                let most = if side < 50 { 12.0 } else { 6.0 };
                assert!(difference < most, "{sampling:?}, progressive: {progressive}, {side}: {difference}");
            }
        }
    }
}

#[test]
fn a_sequential_jpeg_with_a_scan_for_each_component_is_refused() {
    // What the encoder makes when it optimizes its tables.
    let how = How { optimized: true, ..How::default() };
    let problem = made::resize(&made::jpeg(&corners(90, 60), &how), &Options::new(30), |_| ()).unwrap_err();
    assert!(matches!(problem, Problem::Unsupported(_)), "{problem}");
}

#[test]
fn gray_and_cmyk_jpegs() {
    let mut gray = Vec::new();
    Encoder::new(&mut gray, 90).encode(&[77; 90 * 60], 90, 60, ColorType::Luma).unwrap();
    made::resize(&gray, &Options::new(30), |thumbnail| {
        let decoded = decode_jpeg(thumbnail.bytes);
        assert_eq!((decoded.width, decoded.height), (30, 20));
        assert!(decoded.pixels.iter().all(|value| value.abs_diff(77) <= 2));
    })
    .unwrap();
    let mut cmyk = Vec::new();
    let pixels = [0, 200, 200, 30].repeat(90 * 60);
    Encoder::new(&mut cmyk, 90).encode(&pixels, 90, 60, ColorType::Cmyk).unwrap();
    made::resize(&cmyk, &Options::new(30), |thumbnail| {
        let decoded = decode_jpeg(thumbnail.bytes);
        // A dark red.
        assert!(decoded.pixels.chunks_exact(3).all(|pixel| pixel[0] > 180 && pixel[1] < 90 && pixel[2] < 90));
    })
    .unwrap();
}

#[test]
fn pngs_of_16_bits_of_gray_and_of_one_bit() {
    let options = Options::new(4).enlarge(Enlarge::Always);
    let deep = made::png(2, 2, png::ColorType::Rgb, png::BitDepth::Sixteen, &[0x80, 0x12].repeat(12));
    let found = made::resize(&deep, &options, |thumbnail| made::decode_png(thumbnail.bytes)).unwrap();
    assert_eq!(found, (4, 4, png::ColorType::Rgb, vec![0x80; 48]));
    let gray = made::png(3, 3, png::ColorType::Grayscale, png::BitDepth::Eight, &[200; 9]);
    let found = made::resize(&gray, &options, |thumbnail| made::decode_png(thumbnail.bytes)).unwrap();
    assert_eq!(found, (4, 4, png::ColorType::Grayscale, vec![200; 16]));
    let one = made::png(8, 1, png::ColorType::Grayscale, png::BitDepth::One, &[0xff]);
    let found = made::resize(&one, &Options::new(8), |thumbnail| made::decode_png(thumbnail.bytes)).unwrap();
    assert_eq!(found, (8, 1, png::ColorType::Grayscale, vec![255; 8]));
}

#[test]
fn the_colour_of_what_is_transparent_does_not_count() {
    // Red, beside green that cannot be seen.
    let pixels: Vec<u8> =
        (0..64 * 64).flat_map(|i| if i % 2 == 0 { [255, 0, 0, 255] } else { [0, 255, 0, 0] }).collect();
    let image = made::png(64, 64, png::ColorType::Rgba, png::BitDepth::Eight, &pixels);
    let (.., found) = made::resize(&image, &Options::new(16), |thumbnail| made::decode_png(thumbnail.bytes)).unwrap();
    assert!(found.chunks_exact(4).all(|pixel| pixel[0] > 250 && pixel[1] < 5 && (100..156).contains(&pixel[3])));
    let flat = made::resize(&image, &Options::new(16).format(Format::Jpeg), |thumbnail| decode_jpeg(thumbnail.bytes));
    // Half red, half white.
    assert!(flat.unwrap().pixels.chunks_exact(3).all(|pixel| pixel[0] > 245 && (110..145).contains(&pixel[1])));
}

#[test]
fn each_format_becomes_each_other() {
    let scene = corners(200, 100);
    let expected = corners(50, 25);
    let png = made::png(200, 100, png::ColorType::Rgb, png::BitDepth::Eight, &scene.pixels);
    for image in [made::plain_jpeg(&scene), png, made::webp(&scene)] {
        for format in Format::ALL {
            let options = Options::new(50).format(format).quality(90);
            let found = made::resize(&image, &options, |thumbnail| {
                assert_eq!((thumbnail.format, Format::of_bytes(thumbnail.bytes)), (format, Some(format)));
                made::resize(thumbnail.bytes, &Options::new(50).format(Format::Png), |again| {
                    made::decode_png(again.bytes)
                })
            });
            let (width, height, _, pixels) = found.unwrap().unwrap();
            let difference = made::difference(&made::Rgb { width, height, pixels }, &expected);
            assert!(difference < 10.0, "{format}: {difference}");
        }
    }
}

#[test]
fn of_an_animation_there_is_the_first_frame() {
    let (red, blue) = ([250, 10, 10, 255].repeat(400), [10, 10, 250, 255].repeat(400));
    let config = webp::WebPConfig::new().unwrap();
    let mut encoder = webp::AnimEncoder::new(20, 20, &config);
    encoder.add_frame(webp::AnimFrame::from_rgba(&red, 20, 20, 0));
    encoder.add_frame(webp::AnimFrame::from_rgba(&blue, 20, 20, 100));
    let options = Options::new(10).format(Format::Jpeg);
    let found = made::resize(&encoder.encode(), &options, |thumbnail| decode_jpeg(thumbnail.bytes)).unwrap();
    assert_eq!((found.width, found.height), (10, 10));
    assert!(found.pixels.chunks_exact(3).all(|pixel| pixel[0] > 200 && pixel[2] < 60));
}

#[test]
fn colour_profiles_are_kept() {
    let profile: Vec<u8> = (0..100_001u32).map(|index| (index % 251) as u8).collect();
    let image = made::jpeg(&scene(80, 60), &How { profile: Some(&profile), ..How::default() });
    for format in Format::ALL {
        let found = made::resize(&image, &Options::new(40).format(format), |thumbnail| match format {
            Format::Jpeg => {
                let mut decoder = zune_jpeg::JpegDecoder::new(Cursor::new(thumbnail.bytes));
                decoder.decode_headers().unwrap();
                decoder.icc_profile()
            }
            Format::Png => {
                let reader = png::Decoder::new(Cursor::new(thumbnail.bytes)).read_info().unwrap();
                reader.info().icc_profile.as_deref().map(<[u8]>::to_vec)
            }
            Format::WebP => {
                let mut decoder = image_webp::WebPDecoder::new(Cursor::new(thumbnail.bytes)).unwrap();
                assert_eq!(decoder.dimensions(), (40, 30));
                decoder.read_image(&mut vec![0; 3 * 40 * 30]).unwrap();
                decoder.icc_profile().unwrap()
            }
        });
        assert_eq!(found.unwrap().as_ref(), Some(&profile), "{format}");
    }
}

#[test]
fn small_images_stay_and_shapes_of_all_kinds_fit() {
    let sizes = [(1, 1), (1, 300), (300, 1), (7, 9), (8, 8), (16, 17), (129, 255)];
    for (width, height) in sizes {
        let image = made::plain_jpeg(&corners(width, height));
        let size = made::resize(&image, &Options::new(64), |thumbnail| thumbnail.size).unwrap();
        assert_eq!(size, Size::new(width, height).fit(Size::new(64, 64), Enlarge::Never), "{width} × {height}");
        let options = Options::new(400).enlarge(Enlarge::Always);
        let size = made::resize(&image, &options, |thumbnail| decode_jpeg(thumbnail.bytes)).unwrap();
        assert_eq!(size.width.max(size.height), 400, "{width} × {height}");
    }
}
