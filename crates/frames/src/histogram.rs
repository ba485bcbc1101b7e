//! How often each brightness occurs.

/// Counts for each of 256 values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; 256]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; 256]) }
    }
}

impl Histogram {
    /// Counts the bytes of a plane.
    #[must_use]
    pub fn of(plane: &[u8]) -> Self {
        // Four tables, as a value that follows itself would wait for its own count.
        let mut tables = [[0u32; 256]; 4];
        let mut histogram = Histogram::default();
        // A table of 32 bits is full after so many bytes.
        for part in plane.chunks(u32::MAX as usize) {
            let (fours, rest) = part.as_chunks::<4>();
            for four in fours {
                for (table, byte) in tables.iter_mut().zip(four) {
                    table[usize::from(*byte)] += 1;
                }
            }
            rest.iter().for_each(|byte| tables[0][usize::from(*byte)] += 1);
            for (value, count) in histogram.counts.iter_mut().enumerate() {
                *count += tables.iter_mut().map(|table| u64::from(std::mem::take(&mut table[value]))).sum::<u64>();
            }
        }
        histogram
    }

    /// How often each value occurs.
    #[must_use]
    pub fn counts(&self) -> &[u64; 256] {
        &self.counts
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(count, more)| *count += more);
    }

    /// How many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The average value; zero if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.counts.iter().zip(0u64..).map(|(count, value)| count * value).sum();
        if sum == 0 { 0.0 } else { sum as f64 / self.total() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_counted_once(plane in proptest::collection::vec(any::<u8>(), 0..400)) {
            let histogram = Histogram::of(&plane);
            for value in 0..=255u8 {
                let expected = plane.iter().filter(|byte| **byte == value).count() as u64;
                prop_assert_eq!(histogram.counts()[usize::from(value)], expected);
            }
            let mean = plane.iter().map(|byte| f64::from(*byte)).sum::<f64>() / plane.len().max(1) as f64;
            prop_assert!((histogram.mean() - mean).abs() < 1e-9);
        }
    }
}
