//! Pixels, as they go from the decoder through the filter to the encoder.

use crate::size::Size;

/// What the numbers of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Layout {
    #[default]
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// Brightness and two colours as in a JPEG, each in a plane of its own.
    Ycc,
}

/// A picture. Its buffers are used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub layout: Layout,
    /// Three for [`Ycc`](Layout::Ycc), else the first.
    pub planes: [Plane; 3],
}

/// Rows of pixels of bytes.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    pub width: u32,
    pub height: u32,
    /// What of it is the picture, from the upper left; the rest is filling.
    pub extent: (f64, f64),
    /// Bytes of a pixel.
    pub channels: usize,
    pub data: Vec<u8>,
}

/// Buffers larger than this are not kept for the next picture.
const MOST_KEPT: usize = 32 << 20;

impl Layout {
    /// How many planes it has.
    pub(crate) fn n_planes(self) -> usize {
        if self == Layout::Ycc { 3 } else { 1 }
    }

    /// Bytes of a pixel in a plane.
    pub(crate) fn channels(self) -> usize {
        match self {
            Layout::Gray | Layout::Ycc => 1,
            Layout::GrayAlpha => 2,
            Layout::Rgb => 3,
            Layout::Rgba => 4,
        }
    }

    pub(crate) fn has_alpha(self) -> bool {
        matches!(self, Layout::GrayAlpha | Layout::Rgba)
    }
}

impl Picture {
    /// Becomes a picture of so many pixels. What is in them is left over.
    pub(crate) fn become_of(&mut self, layout: Layout, size: Size) {
        self.layout = layout;
        for plane in &mut self.planes[..layout.n_planes()] {
            plane.width = size.width;
            plane.height = size.height;
            plane.extent = (size.width.into(), size.height.into());
            plane.channels = layout.channels();
            plane.allocate();
        }
    }

    /// The planes that count.
    pub(crate) fn planes(&self) -> &[Plane] {
        &self.planes[..self.layout.n_planes()]
    }

    pub(crate) fn size(&self) -> Size {
        Size { width: self.planes[0].width, height: self.planes[0].height }
    }

    /// Gives back what only a large picture needed.
    pub(crate) fn forget_large(&mut self) {
        for plane in &mut self.planes {
            if plane.data.capacity() > MOST_KEPT {
                plane.data = Vec::new();
            }
        }
    }

    /// Puts colours of three planes into one, of RGB; what is laid out otherwise is copied.
    pub(crate) fn interleave_into(&self, rgb: &mut Picture) {
        rgb.become_of(Layout::Rgb, self.size());
        let [y, blue, red] = &self.planes;
        let colours = y.data.iter().zip(&blue.data).zip(&red.data);
        for (pixel, ((&y, &blue), &red)) in rgb.planes[0].data.chunks_exact_mut(3).zip(colours) {
            pixel.copy_from_slice(&to_rgb(y, blue, red));
        }
    }

    /// Lays it on white.
    pub(crate) fn flatten(&mut self) {
        let over_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let channels = self.layout.channels();
        let plane = &mut self.planes[0];
        let n_pixels = plane.data.len() / channels;
        for pixel in 0..n_pixels {
            let alpha = plane.data[pixel * channels + channels - 1];
            for channel in 0..channels - 1 {
                plane.data[pixel * (channels - 1) + channel] =
                    over_white(plane.data[pixel * channels + channel], alpha);
            }
        }
        plane.channels = channels - 1;
        plane.data.truncate(n_pixels * plane.channels);
        self.layout = if self.layout == Layout::GrayAlpha { Layout::Gray } else { Layout::Rgb };
    }
}

/// JFIF's, which is that of ITU-R BT.601 with the full range.
fn to_rgb(y: u8, blue: u8, red: u8) -> [u8; 3] {
    let (y, blue, red) = (f32::from(y), f32::from(blue) - 128.0, f32::from(red) - 128.0);
    let rgb = [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue];
    rgb.map(|value| (value + 0.5).clamp(0.0, 255.0) as u8)
}

impl Plane {
    /// How many bytes it needs.
    pub(crate) fn bytes(&self) -> usize {
        self.width as usize * self.height as usize * self.channels
    }

    /// Gets as many.
    pub(crate) fn allocate(&mut self) {
        self.data.resize(self.bytes(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_the_colour_cube_survive() {
        let corners = [([76, 85, 255], [254, 0, 0]), ([150, 44, 21], [0, 255, 1]), ([29, 255, 107], [0, 0, 254])];
        for ([y, blue, red], expected) in corners {
            assert_eq!(to_rgb(y, blue, red), expected);
        }
        assert_eq!(to_rgb(77, 128, 128), [77; 3]);
    }

    #[test]
    fn what_is_transparent_becomes_white() {
        let mut picture = Picture::default();
        picture.become_of(Layout::GrayAlpha, Size { width: 3, height: 1 });
        picture.planes[0].data.copy_from_slice(&[10, 255, 10, 0, 0, 128]);
        picture.flatten();
        assert_eq!((picture.layout, &picture.planes[0].data[..]), (Layout::Gray, &[10, 255, 127][..]));
    }
}
