//! A picture is turned as its camera was.

use crate::made::{self, How, Rgb, corners};
use gristmill_image_resize::{Format, Options, Size};

/// What the eight orientations make of `from`, by the definition: where the first row and the first column are seen.
fn seen(from: &Rgb, orientation: u8) -> Rgb {
    let (w, h) = (from.width, from.height);
    let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
    let stored = |x: u32, y: u32| match orientation {
        1 => (x, y),
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, h - 1 - x),
        7 => (w - 1 - y, h - 1 - x),
        _ => (w - 1 - y, x),
    };
    let pixels = (0..height).flat_map(|y| {
        (0..width).flat_map(move |x| {
            let (x, y) = stored(x, y);
            let at = 3 * (y * w + x) as usize;
            [from.pixels[at], from.pixels[at + 1], from.pixels[at + 2]]
        })
    });
    Rgb { width, height, pixels: pixels.collect() }
}

#[test]
fn all_eight_orientations_of_a_jpeg() {
    let stored = corners(400, 300);
    let small = corners(120, 90);
    for orientation in 1..=8 {
        let tiff = made::exif(orientation);
        let image = made::jpeg(&stored, &How { exif: Some(&tiff), ..How::default() });
        let expected = seen(&small, orientation);
        made::resize(&image, &Options::new(120), |thumbnail| {
            let original = if orientation >= 5 { Size::new(300, 400) } else { Size::new(400, 300) };
            assert_eq!((thumbnail.original, thumbnail.size), (original, Size::new(expected.width, expected.height)));
            let difference = made::difference(&made::decode_jpeg(thumbnail.bytes), &expected);
            assert!(difference < 6.0, "orientation {orientation}: {difference}");
            // Or else it would be turned twice.
            assert!(!thumbnail.bytes.windows(4).any(|bytes| bytes == b"Exif"), "orientation {orientation}");
        })
        .unwrap();
    }
}

#[test]
fn the_orientation_of_a_png_is_applied_to_pixels_with_transparency() {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(2, 1);
    info.color_type = png::ColorType::Rgba;
    info.bit_depth = png::BitDepth::Eight;
    info.exif_metadata = Some(made::exif(6).into());
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(&[255, 0, 0, 255, 0, 0, 255, 128]).unwrap();
    writer.finish().unwrap();
    made::resize(&bytes, &Options::new(10), |thumbnail| {
        assert_eq!(thumbnail.format, Format::Png);
        let (width, height, color, pixels) = made::decode_png(thumbnail.bytes);
        assert_eq!((width, height, color), (1, 2, png::ColorType::Rgba));
        assert_eq!(pixels, [255, 0, 0, 255, 0, 0, 255, 128]);
    })
    .unwrap();
}
