//! What an image asks for is bounded before it gets it.

use crate::made::{self, scene};
use gristmill_image_resize::{Limits, Options, OptionsError, Problem, Resizer, Size};

/// A JPEG and a PNG with another size in the header.
fn claiming(width: u16, height: u16) -> [Vec<u8>; 2] {
    let mut jpeg = made::plain_jpeg(&scene(16, 16));
    let frame = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    let mut png = Vec::new();
    // The header only: what follows is of no interest.
    png::Encoder::new(&mut png, width.into(), height.into()).write_header().unwrap();
    [jpeg, png]
}

#[test]
fn a_header_that_claims_too_many_pixels_is_refused() {
    for image in claiming(60_000, 60_000) {
        let problem = made::resize(&image, &Options::new(64), |_| ()).unwrap_err();
        let expected = Size::new(60_000, 60_000);
        assert!(matches!(problem, Problem::TooManyPixels { size, most } if size == expected && most == 1 << 28));
    }
}

#[test]
fn the_limits_are_those_that_were_set() {
    let image = made::plain_jpeg(&scene(100, 50));
    let with = |limits| made::resize(&image, &Options::new(100).limits(limits), |_| ());
    assert!(with(Limits { pixels: 5_000, ..Limits::default() }).is_ok());
    let problem = with(Limits { pixels: 4_999, ..Limits::default() }).unwrap_err();
    assert!(matches!(problem, Problem::TooManyPixels { most: 4_999, .. }), "{problem}");
    // Rows and columns of whole blocks, for each of three components.
    let problem = with(Limits { decoded_bytes: 4_999, ..Limits::default() }).unwrap_err();
    assert!(matches!(problem, Problem::TooManyBytes { most: 4_999, .. }), "{problem}");
    let png = made::png(100, 50, png::ColorType::Rgb, png::BitDepth::Eight, &scene(100, 50).pixels);
    let limits = Limits { decoded_bytes: 14_999, ..Limits::default() };
    assert!(made::resize(&png, &Options::new(9).limits(limits), |_| ()).is_err());
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for size in [Size::new(0, 5), Size::new(5, 0), Size::new(16_384, 1), Size::new(1, u32::MAX)] {
        let refused = Resizer::new(&Options::within(size)).unwrap_err();
        assert!(matches!(refused, OptionsError::Bounds(found) if found == size));
    }
    for quality in [0, 101, 255] {
        let refused = Resizer::new(&Options::new(9).quality(quality)).unwrap_err();
        assert!(matches!(refused, OptionsError::Quality(found) if found == quality));
    }
}
