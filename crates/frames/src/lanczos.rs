//! The Lanczos filter of three lobes, without a sine.
//!
//! A resizer asks for thousands of its values for each plane. With `t = πx / 3` the filter is `sinc(3t) · sinc(t)`, and as
//! `sin 3t = sin t · (3 - 4 sin² t)` all that it takes is `sinc(t)`: a series in `t²` of which fourteen terms are exact to the
//! last bits.

use fast_image_resize::{Filter, FilterType};
use std::f64::consts::PI;

/// How far the filter reaches.
const LOBES: f64 = 3.0;

/// What to give to a resizer.
pub(crate) fn filter() -> FilterType {
    Filter::new("Lanczos3", lanczos, LOBES).map_or(FilterType::Lanczos3, FilterType::Custom)
}

fn lanczos(x: f64) -> f64 {
    if x.abs() >= LOBES {
        return 0.0;
    }
    let square = (PI / LOBES * x) * (PI / LOBES * x);
    // Every other term apart, so that the processor works on both halves of the series at once.
    let (even, odd) = SERIES.iter().rev().fold((0.0, 0.0), |(even, odd), [next_even, next_odd]| {
        (even * (square * square) + next_even, odd * (square * square) + next_odd)
    });
    let sinc = even + odd * square;
    sinc * sinc * (1.0 - square * (sinc * sinc) * (4.0 / 3.0))
}

/// What `t⁰`, `t²`, `t⁴` … of `sinc(t)` are multiplied by: 1, -1/3!, 1/5! … The first that is left out makes less than 10⁻¹⁵.
const SERIES: [[f64; 2]; 7] = series();

const fn series() -> [[f64; 2]; 7] {
    let (mut all, mut last, mut at) = ([[0.0; 2]; 7], 1.0, 0);
    while at < 14 {
        all[at / 2][at % 2] = last;
        let even = 2.0 * (at as f64 + 1.0);
        last /= -(even * (even + 1.0));
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_lanczos_filter() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        for step in -40_000..=40_000 {
            let x = f64::from(step) / 10_000.0;
            let expected = if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 };
            assert!((lanczos(x) - expected).abs() < 4e-15, "{} instead of {expected} at {x}", lanczos(x));
        }
    }

    #[test]
    fn a_resizer_takes_it() {
        assert!(matches!(filter(), FilterType::Custom(_)));
    }
}
