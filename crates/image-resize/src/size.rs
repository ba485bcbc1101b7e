//! How large a picture becomes.

/// Pixels across and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Across.
    pub width: u32,
    /// Down.
    pub height: u32,
}

impl Size {
    /// A size.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Size { width, height }
    }

    /// How many pixels that are.
    #[must_use]
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// On its side.
    #[must_use]
    pub fn turned(self) -> Self {
        Size { width: self.height, height: self.width }
    }

    /// The largest size of the same shape inside a box, of at least one pixel. Not larger than it is, unless `enlarge`.
    #[must_use]
    pub fn fit(self, bounds: Size, enlarge: Enlarge) -> Size {
        let scale = |bound: u32, size: u32| f64::from(bound) / f64::from(size.max(1));
        let scale = scale(bounds.width, self.width).min(scale(bounds.height, self.height));
        if scale >= 1.0 && enlarge == Enlarge::Never {
            return self;
        }
        let of = |size: u32, bound: u32| ((f64::from(size) * scale).round() as u32).clamp(1, bound.max(1));
        Size { width: of(self.width, bounds.width), height: of(self.height, bounds.height) }
    }
}

/// What becomes of a picture that is smaller than the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enlarge {
    /// It keeps its size.
    #[default]
    Never,
    /// It fills the box.
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_fit() {
        let fit = |width, height, bounds, enlarge| {
            let size = Size::new(width, height).fit(bounds, enlarge);
            (size.width, size.height)
        };
        let bounds = Size::new(256, 256);
        assert_eq!(fit(4000, 3000, bounds, Enlarge::Never), (256, 192));
        assert_eq!(fit(3000, 4000, bounds, Enlarge::Never), (192, 256));
        assert_eq!(fit(100_000, 3, bounds, Enlarge::Never), (256, 1));
        assert_eq!(fit(64, 32, bounds, Enlarge::Never), (64, 32));
        assert_eq!(fit(64, 32, bounds, Enlarge::Always), (256, 128));
        assert_eq!(fit(400, 300, Size::new(256, 64), Enlarge::Never), (85, 64));
    }

    proptest! {
        #[test]
        fn it_is_inside_and_touches(width in 1..70_000u32, height in 1..70_000u32, across in 1..5_000u32, down in 1..5_000u32) {
            let size = Size::new(width, height).fit(Size::new(across, down), Enlarge::Always);
            prop_assert!(size.width >= 1 && size.height >= 1);
            prop_assert!(size.width <= across && size.height <= down);
            prop_assert!(size.width == across || size.height == down);
        }
    }
}
