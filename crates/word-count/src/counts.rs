//! The result.

use crate::table::Table;
use rayon::prelude::*;
use std::cmp::Reverse;

/// Words and how often each occurs.
#[derive(Debug, Clone)]
pub struct Counts {
    /// No word is in two of them.
    parts: Vec<Table>,
}

impl Counts {
    pub(crate) fn new(parts: Vec<Table>) -> Self {
        Counts { parts }
    }

    /// How many different words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Table::len).sum()
    }

    /// Whether there were no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All occurrences of all words.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts.par_iter().map(|part| part.iter().map(|(_, count)| count).sum::<u64>()).sum()
    }

    /// Each word with its count, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.parts.iter().flat_map(Table::iter)
    }

    /// The `n` most frequent words, those that are equally frequent in the order of their bytes. All words if there are
    /// no more than that.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(&[u8], u64)> {
        let tops = self.parts.par_iter().map(|part| most_frequent(part.iter().collect(), n));
        let mut top = most_frequent(tops.flatten_iter().collect(), n);
        top.sort_unstable_by_key(rank);
        top
    }
}

/// The `n` first in rank, in no order.
fn most_frequent(mut words: Vec<(&[u8], u64)>, n: usize) -> Vec<(&[u8], u64)> {
    if n < words.len() {
        words.select_nth_unstable_by(n, |left, right| rank(left).cmp(&rank(right)));
        words.truncate(n);
    }
    words
}

fn rank<'a>(word: &(&'a [u8], u64)) -> (Reverse<u64>, &'a [u8]) {
    (Reverse(word.1), word.0)
}
