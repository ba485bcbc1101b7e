//! A reduced decoding looks like a full one.

use crate::made::{self, How, Rgb, decode_jpeg, scene};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use gristmill_image_resize::Options;
use jpeg_encoder::SamplingFactor;
use proptest::prelude::*;

/// All pixels, through the same filter.
fn shrink(from: &Rgb, width: u32, height: u32) -> Rgb {
    let source = TypedImageRef::<U8x3>::from_buffer(from.width, from.height, &from.pixels).unwrap();
    let mut pixels = vec![0; 3 * (width * height) as usize];
    let mut result = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels).unwrap();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(&source, &mut result, &options).unwrap();
    Rgb { width, height, pixels }
}

/// Structural similarity of green, in windows of 8 × 8.
fn ssim(a: &Rgb, b: &Rgb) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for y in (0..=a.height - 8).step_by(4) {
        for x in (0..=a.width - 8).step_by(4) {
            let values = |image: &Rgb| -> Vec<f64> {
                let places = (y..y + 8).flat_map(|y| (x..x + 8).map(move |x| (x, y)));
                places.map(|(x, y)| f64::from(image.pixels[3 * (y * image.width + x) as usize + 1])).collect()
            };
            sum += similarity(&values(a), &values(b));
            n += 1.0;
        }
    }
    sum / n
}

fn similarity(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let spread = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).map(|(x, y)| (x - mean(a)) * (y - mean(b))).sum::<f64>() / a.len() as f64
    };
    let (c1, c2) = (6.5025, 58.5225);
    (2.0 * mean_a * mean_b + c1) * (2.0 * spread(a, b) + c2)
        / ((mean_a * mean_a + mean_b * mean_b + c1) * (spread(a, a) + spread(b, b) + c2))
}

#[test]
fn thumbnails_of_all_scales_are_like_the_picture() {
    let image = scene(640, 480);
    let bytes = made::plain_jpeg(&image);
    for side in [40, 79, 150, 300] {
        let options = Options::new(side).quality(95);
        let found = made::resize(&bytes, &options, |thumbnail| decode_jpeg(thumbnail.bytes)).unwrap();
        let similarity = ssim(&found, &shrink(&image, found.width, found.height));
        assert!(similarity > 0.94, "{side} pixels: {similarity}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// At full size the only difference from another decoder is rounding, and that of what is encoded again.
    #[test]
    fn a_jpeg_is_decoded_as_others_decode_it(
        width in 1..90u32,
        height in 1..90u32,
        restart_interval in 0..9u16,
        sampling in prop::sample::select(vec![SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2]),
    ) {
        let how = How { restart_interval, sampling: Some(sampling), ..How::default() };
        let bytes = made::jpeg(&scene(width, height), &how);
        let expected = decode_jpeg(&bytes);
        let options = Options::new(200).quality(100);
        let found = made::resize(&bytes, &options, |thumbnail| decode_jpeg(thumbnail.bytes)).unwrap();
        prop_assert!(made::difference(&found, &expected) < 4.0, "{}", made::difference(&found, &expected));
    }
}
