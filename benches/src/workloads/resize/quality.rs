//! How close thumbnails come to what they should be.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::Job;
use crate::contest::Failure;
use crate::data::photos::photos;

/// Pixels of brightness.
struct Gray {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

/// Photographs decoded in full and filtered by Lanczos, at the sizes that thumbnails have.
#[derive(Default)]
pub(super) struct References {
    made: HashMap<(PathBuf, usize, usize), Gray>,
}

/// How similar thumbnails are to the references.
pub(super) struct Likeness {
    pub(super) mean: f64,
    pub(super) least: f64,
}

impl References {
    /// Compares a job's thumbnails with them.
    pub(super) fn compare(&mut self, job: &Job) -> Result<Likeness, Failure> {
        let photos = photos(&job.input)?;
        let (mut sum, mut least) = (0.0, 1.0f64);
        for photo in &photos {
            let name = photo.file_name().ok_or("a photograph without a name")?;
            let (width, height, pixels) = decode(&job.output.join(name))?;
            let key = (photo.clone(), width, height);
            if !self.made.contains_key(&key) {
                self.made.insert(key.clone(), reference(photo, width, height)?);
            }
            let similarity = ssim(&Gray::of(width, height, &pixels), &self.made[&key]);
            sum += similarity;
            least = least.min(similarity);
        }
        Ok(Likeness { mean: sum / photos.len() as f64, least })
    }
}

fn reference(photo: &Path, width: usize, height: usize) -> Result<Gray, Failure> {
    let (from_width, from_height, pixels) = decode(photo)?;
    let source = TypedImageRef::<U8x3>::from_buffer(from_width as u32, from_height as u32, &pixels)?;
    let mut bytes = vec![0; 3 * width * height];
    let mut result = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut bytes)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(&source, &mut result, &options)?;
    Ok(Gray::of(width, height, &bytes))
}

fn decode(path: &Path) -> Result<(usize, usize, Vec<u8>), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let bytes = fs::read(path).map_err(|error| named(&error))?;
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| named(&error))?;
    let info = decoder.info().ok_or_else(|| named(&"no header"))?;
    Ok((info.width.into(), info.height.into(), pixels))
}

impl Gray {
    fn of(width: usize, height: usize, rgb: &[u8]) -> Self {
        let gray =
            |pixel: &[u8]| 0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2]);
        Gray { width, height, values: rgb.chunks_exact(3).map(gray).collect() }
    }
}

/// The mean structural similarity of windows of 8 × 8 pixels, each four from the next. By Wang, Bovik, Sheikh and
/// Simoncelli, with flat windows in place of round ones.
fn ssim(a: &Gray, b: &Gray) -> f64 {
    const WINDOW: usize = 8;
    let (mut sum, mut n) = (0.0, 0.0);
    for y in (0..=a.height.saturating_sub(WINDOW)).step_by(4) {
        for x in (0..=a.width.saturating_sub(WINDOW)).step_by(4) {
            sum += similarity_at(a, b, x, y, WINDOW.min(a.width), WINDOW.min(a.height));
            n += 1.0;
        }
    }
    sum / n
}

fn similarity_at(a: &Gray, b: &Gray, x: usize, y: usize, width: usize, height: usize) -> f64 {
    const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
    let n = (width * height) as f64;
    let [mut sum_a, mut sum_b, mut sum_aa, mut sum_bb, mut sum_ab] = [0.0; 5];
    for row in y..y + height {
        let range = row * a.width + x..row * a.width + x + width;
        for (a, b) in a.values[range.clone()].iter().zip(&b.values[range]) {
            (sum_a, sum_b) = (sum_a + a, sum_b + b);
            (sum_aa, sum_bb, sum_ab) = (sum_aa + a * a, sum_bb + b * b, sum_ab + a * b);
        }
    }
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (var_a, var_b) = (sum_aa / n - mean_a * mean_a, sum_bb / n - mean_b * mean_b);
    let covariance = sum_ab / n - mean_a * mean_b;
    (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
        / ((mean_a * mean_a + mean_b * mean_b + C1) * (var_a + var_b + C2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_picture_is_fully_similar() {
        let make = |step: usize| Gray {
            width: 32,
            height: 20,
            values: (0..32 * 20).map(|index| (index * step % 97) as f64).collect(),
        };
        assert!((ssim(&make(7), &make(7)) - 1.0).abs() < 1e-9);
        assert!(ssim(&make(7), &make(11)) < 0.5);
    }
}
