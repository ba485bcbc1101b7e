//! From coefficients to pixels.

use std::array;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Where in the diagonal order of the file a coefficient is, by row and column.
const PLACES: [[u8; 8]; 8] = places();

const fn places() -> [[u8; 8]; 8] {
    let mut places = [[0; 8]; 8];
    let (mut row, mut column, mut place) = (0, 0, 0);
    while place < 64 {
        places[row][column] = place;
        // Even diagonals go up, odd ones down.
        if (row + column) % 2 == 0 {
            if column == 7 {
                row += 1;
            } else if row == 0 {
                column += 1;
            } else {
                (row, column) = (row - 1, column + 1);
            }
        } else if row == 7 {
            column += 1;
        } else if column == 0 {
            row += 1;
        } else {
            (row, column) = (row + 1, column - 1);
        }
        place += 1;
    }
    places
}

/// The last coefficient in the order of the file that a block of n × n pixels is made from.
#[inline(always)]
pub(super) const fn last_place(n: usize) -> usize {
    match n {
        1 => 0,
        2 => 4,
        4 => 24,
        _ => 63,
    }
}

/// The cosines for N × N pixels: a row for each coefficient.
#[derive(Debug)]
pub(super) struct Basis<const N: usize>([[f32; N]; N]);

impl<const N: usize> Default for Basis<N> {
    fn default() -> Self {
        Basis(array::from_fn(|u| {
            let scale = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 } / 2.0;
            array::from_fn(|x| scale * ((2 * x + 1) as f32 * u as f32 * PI / (2 * N) as f32).cos())
        }))
    }
}

impl<const N: usize> Basis<N> {
    /// The pixels of a block.
    #[inline(always)]
    pub(super) fn pixels(&self, block: &[i32; 64]) -> [[u8; N]; N] {
        let rows: [[f32; N]; N] = array::from_fn(|v| {
            let mut row = [0.0; N];
            for (u, wave) in self.0.iter().enumerate() {
                let coefficient = block[usize::from(PLACES[v][u])] as f32;
                for (sum, value) in row.iter_mut().zip(wave) {
                    *sum += coefficient * value;
                }
            }
            row
        });
        array::from_fn(|y| {
            let mut sums = [128.0; N];
            for (wave, row) in self.0.iter().zip(&rows) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += wave[y] * value;
                }
            }
            sums.map(round)
        })
    }
}

/// To the nearest of 0 to 255. Where one is the step from float to float, the lowest bits are the number.
#[inline(always)]
fn round(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// The pixels of a block of 2 × 2. All cosines are the same but for the sign.
#[inline(always)]
pub(super) fn four_pixels(block: &[i32; 64]) -> [[u8; 2]; 2] {
    let [a, b, c, d] =
        [block[0], block[1], block[2], block[4]].map(|coefficient| coefficient.clamp(-(1 << 20), 1 << 20));
    let (left, right) = (a + b, a - b);
    let (upper, lower) = (c + d, c - d);
    [[eighth(left + upper), eighth(right + lower)], [eighth(left - upper), eighth(right - lower)]]
}

/// The pixel of a block that is one, or of one whose pixels are all the same.
#[inline(always)]
pub(super) fn one_pixel(block: &[i32; 64]) -> u8 {
    eighth(block[0].clamp(-(1 << 20), 1 << 20))
}

#[inline(always)]
fn eighth(value: i32) -> u8 {
    (((value + 4) >> 3) + 128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(coefficients: &[i32]) -> [i32; 64] {
        array::from_fn(|k| coefficients.get(k).copied().unwrap_or(0))
    }

    #[test]
    fn places_are_those_of_the_standard() {
        assert_eq!(PLACES[0], [0, 1, 5, 6, 14, 15, 27, 28]);
        assert_eq!(PLACES[7], [35, 36, 48, 49, 57, 58, 62, 63]);
        for n in [1, 2, 4, 8] {
            let last = PLACES[..n].iter().flat_map(|row| &row[..n]).max().copied();
            assert_eq!(last.map(usize::from), Some(last_place(n)));
        }
    }

    proptest! {
        #[test]
        fn small_blocks_are_what_the_formula_says(coefficients in proptest::collection::vec(-300..300, 64)) {
            let block = block(&coefficients);
            let two = Basis::<2>::default().pixels(&block);
            for (found, expected) in four_pixels(&block).iter().flatten().zip(two.iter().flatten()) {
                prop_assert!(found.abs_diff(*expected) <= 1);
            }
            prop_assert!(one_pixel(&block).abs_diff(Basis::<1>::default().pixels(&block)[0][0]) <= 1);
        }

        #[test]
        fn full_blocks_are_the_sum_of_the_standard(coefficients in proptest::collection::vec(-100..100, 64)) {
            let block = block(&coefficients);
            let pixels = Basis::<8>::default().pixels(&block);
            for (y, x) in [(0, 0), (3, 5), (7, 7)] {
                let mut sum = 0.0;
                for (v, u) in (0..64).map(|index| (index / 8, index % 8)) {
                    let scale = |n| if n == 0 { 0.5f64.sqrt() } else { 1.0 };
                    let cos = |at, n| (f64::from(2 * at + 1) * n as f64 * std::f64::consts::PI / 16.0).cos();
                    sum += scale(u) * scale(v) / 4.0 * f64::from(block[usize::from(PLACES[v][u])]) * cos(x, u) * cos(y, v);
                }
                let expected = (sum + 128.0).round().clamp(0.0, 255.0) as u8;
                prop_assert!(pixels[y as usize][x as usize].abs_diff(expected) <= 1);
            }
        }
    }
}
