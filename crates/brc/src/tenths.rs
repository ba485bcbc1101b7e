//! A temperature.

use std::fmt;

/// A temperature in tenths of a degree, shown as degrees with one decimal: `-3` is `-0.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenths(i64);

impl Tenths {
    pub(crate) fn new(tenths: i64) -> Self {
        Tenths(tenths)
    }

    /// The tenths.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let tenths = self.0.unsigned_abs();
        write!(f, "{sign}{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_keep_their_sign_and_their_zero() {
        let shown = [-999, -10, -3, 0, 3, 10, 999].map(|tenths| Tenths::new(tenths).to_string());
        assert_eq!(shown, ["-99.9", "-1.0", "-0.3", "0.0", "0.3", "1.0", "99.9"]);
    }
}
