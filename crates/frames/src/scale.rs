//! Frames of another size.

use crate::format::{Format, FormatError};
use crate::frame::Frame;
use crate::lanczos;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Makes frames of another size: the state of a worker.
///
/// Each plane is scaled by a Lanczos filter of three lobes, as wide as the size shrinks. The result does not depend on
/// which worker makes it.
#[derive(Clone, Debug)]
pub struct Scaler {
    from: Format,
    to: Format,
    resizer: Resizer,
}

impl Scaler {
    /// From frames of a format to frames of a size.
    ///
    /// # Errors
    ///
    /// When there is no such size.
    pub fn new(from: &Format, width: u32, height: u32) -> Result<Self, FormatError> {
        let to = from.resized(width, height)?;
        Ok(Scaler { from: from.clone(), to, resizer: Resizer::new() })
    }

    /// What the scaled frames are.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.to
    }

    /// Scales a frame.
    ///
    /// # Panics
    ///
    /// If the frame is not of the format that the scaler was made for.
    pub fn scale(&mut self, frame: &Frame) -> Frame {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(lanczos::filter()));
        let mut scaled = vec![0; self.to.frame_bytes()];
        let mut rest = scaled.as_mut_slice();
        for ((from_width, from_height, plane), (width, height)) in frame.planes(&self.from).zip(self.to.planes()) {
            let (out, after) = rest.split_at_mut(width as usize * height as usize);
            rest = after;
            let source = ImageRef::new(from_width, from_height, plane, PixelType::U8);
            let target = Image::from_slice_u8(width, height, out, PixelType::U8);
            let (Ok(source), Ok(mut target)) = (source, target) else {
                unreachable!("a plane has a byte for each of its places")
            };
            let resized = self.resizer.resize(&source, &mut target, &options);
            debug_assert!(resized.is_ok(), "both planes are of bytes: {resized:?}");
        }
        Frame::from(scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(format: &Format, sample: impl Fn(u32, u32) -> u8) -> Frame {
        let plane = |(width, height): (u32, u32)| (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)));
        Frame::from(format.planes().flat_map(plane).map(|(x, y)| sample(x, y)).collect::<Vec<u8>>())
    }

    #[test]
    fn one_colour_stays_that_colour() {
        for line in ["YUV4MPEG2 W64 H48", "YUV4MPEG2 W63 H47 C422", "YUV4MPEG2 W5 H9 Cmono", "YUV4MPEG2 W7 H7 C444"] {
            let format = Format::parse(line.as_bytes()).unwrap();
            for (width, height) in [(1, 1), (16, 12), (31, 200)] {
                let mut scaler = Scaler::new(&format, width, height).unwrap();
                let scaled = scaler.scale(&frame_of(&format, |_, _| 77));
                assert_eq!(scaled.bytes().len(), scaler.format().frame_bytes());
                assert!(scaled.bytes().iter().all(|byte| *byte == 77), "{line} to {width}x{height}");
            }
        }
    }

    #[test]
    fn every_sample_is_what_the_resizers_own_filter_makes_of_it() {
        use fast_image_resize::FilterType;
        let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).to_be_bytes()[1];
        for (from, to) in [((640, 360), (320, 180)), ((333, 77), (100, 201)), ((64, 64), (1, 63)), ((50, 40), (49, 41))]
        {
            let format = Format::parse(format!("YUV4MPEG2 W{} H{} Cmono", from.0, from.1).as_bytes()).unwrap();
            let frame = frame_of(&format, noise);
            let scaled = Scaler::new(&format, to.0, to.1).unwrap().scale(&frame);
            let source = ImageRef::new(from.0, from.1, frame.bytes(), PixelType::U8).unwrap();
            let mut expected = Image::new(to.0, to.1, PixelType::U8);
            let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
            Resizer::new().resize(&source, &mut expected, &options).unwrap();
            assert!(scaled.bytes() == expected.buffer(), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_gradient_stays_a_gradient() {
        let format = Format::new(256, 64).unwrap();
        let mut scaler = Scaler::new(&format, 64, 16).unwrap();
        let scaled = scaler.scale(&frame_of(&format, |x, _| x as u8));
        let format = scaler.format().clone();
        let (_, _, luma) = scaled.planes(&format).next().unwrap();
        for (x, value) in luma[..64].iter().enumerate().skip(2).take(60) {
            let expected = x as f64 * 4.0 + 1.5;
            assert!((f64::from(*value) - expected).abs() <= 1.5, "{value} at {x}, not {expected}");
        }
    }

    #[test]
    #[should_panic = "a frame of another format"]
    fn a_frame_of_another_format_is_refused() {
        let mut scaler = Scaler::new(&Format::new(8, 8).unwrap(), 4, 4).unwrap();
        scaler.scale(&Frame::from(vec![0; 7]));
    }
}
