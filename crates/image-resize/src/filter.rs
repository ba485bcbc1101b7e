//! The filter.

use crate::error::Problem;
use crate::picture::Plane;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x2, U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use std::fmt::Display;

/// Resizes a plane by Lanczos with three lobes. Transparent pixels do not count for the colour.
pub(crate) fn scale(resizer: &mut Resizer, from: &Plane, to: &mut Plane) -> Result<(), Problem> {
    // By type, as the function for all types has the compiler build each of them.
    match from.channels {
        1 => scale_typed::<U8>(resizer, from, to),
        2 => scale_typed::<U8x2>(resizer, from, to),
        3 => scale_typed::<U8x3>(resizer, from, to),
        _ => scale_typed::<U8x4>(resizer, from, to),
    }
}

fn scale_typed<P: PixelTrait>(resizer: &mut Resizer, from: &Plane, to: &mut Plane) -> Result<(), Problem> {
    let source = TypedImageRef::<P>::from_buffer(from.width, from.height, &from.data).map_err(problem)?;
    let mut result = TypedImage::<P>::from_buffer(to.width, to.height, &mut to.data).map_err(problem)?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(0.0, 0.0, from.extent.0, from.extent.1)
        .use_alpha(true);
    resizer.resize_typed(&source, &mut result, &options).map_err(problem)
}

fn problem(error: impl Display) -> Problem {
    Problem::Encode(format!("the filter: {error}"))
}
