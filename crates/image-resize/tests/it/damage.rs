//! What is not whole is an error, and never a panic.

use crate::made::{self, How, scene};
use gristmill_image_resize::{Limits, Options, Problem, Resizer};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Made once.
static IMAGES: LazyLock<[(&str, Vec<u8>); 6]> = LazyLock::new(images);

fn images() -> [(&'static str, Vec<u8>); 6] {
    let scene = scene(150, 100);
    let restarts = How { restart_interval: 3, ..How::default() };
    let progressive = How { progressive: true, ..How::default() };
    [
        ("JPEG", made::plain_jpeg(&scene)),
        ("JPEG with restarts", made::jpeg(&scene, &restarts)),
        ("progressive JPEG", made::jpeg(&scene, &progressive)),
        ("PNG", made::png(150, 100, png::ColorType::Rgb, png::BitDepth::Eight, &scene.pixels)),
        ("WebP", made::webp(&scene)),
        ("WebP without loss", webp::Encoder::from_rgb(&scene.pixels, 150, 100).encode_lossless().to_vec()),
    ]
}

/// With limits that keep a damaged size from taking long.
fn small(side: u32) -> Options {
    Options::new(side).limits(Limits { pixels: 200_000, ..Limits::default() })
}

#[test]
fn a_sequential_jpeg_that_is_cut_off_anywhere_is_an_error() {
    for (name, image) in &IMAGES[..2] {
        for (side, step) in [(10, 97), (60, 193), (150, 389)] {
            let mut resizer = Resizer::new(&Options::new(side)).unwrap();
            // The last two bytes are the marker of the end, and the last of the scan may hold filling only.
            for end in (1..image.len() - 3).step_by(step) {
                let done = resizer.resize(&image[..end]);
                assert!(done.is_err(), "{name} cut after {end} of {} bytes", image.len());
            }
            assert!(resizer.resize(&image[..image.len() - 2]).is_ok(), "{name} without its end marker");
        }
    }
}

#[test]
fn other_formats_that_are_cut_off_are_errors() {
    for (name, image) in &IMAGES[3..] {
        let mut resizer = Resizer::new(&Options::new(50)).unwrap();
        for end in (1..image.len() * 9 / 10).step_by(97) {
            assert!(resizer.resize(&image[..end]).is_err(), "{name} cut after {end} of {} bytes", image.len());
        }
    }
}

#[test]
fn a_cut_scan_is_told_from_damage() {
    let (_, image) = &IMAGES[0];
    let problem = made::resize(&image[..image.len() / 2], &Options::new(50), |_| ()).unwrap_err();
    assert!(matches!(problem, Problem::Truncated), "{problem}");
    let problem = made::resize(&[], &Options::new(50), |_| ()).unwrap_err();
    assert!(matches!(problem, Problem::Empty), "{problem}");
    let problem = made::resize(b"GIF89a and more", &Options::new(50), |_| ()).unwrap_err();
    assert!(matches!(problem, Problem::Unknown), "{problem}");
}

#[test]
fn a_resizer_is_as_good_as_new_after_an_error() {
    let mut resizer = Resizer::new(&Options::new(40)).unwrap();
    for (name, image) in &*IMAGES {
        let expected = made::resize(image, &Options::new(40), |thumbnail| thumbnail.bytes.to_vec()).unwrap();
        assert!(resizer.resize(&image[..image.len() / 2]).is_err(), "{name}");
        assert_eq!(resizer.resize(image).unwrap().bytes, expected, "{name}");
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_survived() {
    for (name, image) in &*IMAGES {
        let mut resizer = Resizer::new(&small(30)).unwrap();
        for bit in (0..8 * image.len().min(700)).step_by(61) {
            let mut damaged = image.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(thumbnail) = resizer.resize(&damaged) {
                assert!(thumbnail.size.width <= 30 && thumbnail.size.height <= 30, "{name}, bit {bit}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn bytes_written_over_an_image_are_survived(
        index in 0..6usize,
        side in 1..200u32,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (_, mut image) = IMAGES[index].clone();
        for (at, byte) in damage {
            let at = at.index(image.len());
            image[at] = byte;
        }
        if let Ok(size) = made::resize(&image, &small(side), |thumbnail| thumbnail.size) {
            prop_assert!(size.width <= side && size.height <= side);
        }
    }
}
