//! Text whose words are as unequally frequent as those of a language: the k-th most frequent occurs 1/k as often as the
//! first, by Zipf.

use std::collections::HashSet;
use std::io::{self, Write};

use super::random::Random;

/// What a text is made from.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Bytes, with at most a line more.
    pub bytes: u64,
    /// How many different words there are, not counting how they are written.
    pub vocabulary: usize,
    /// Where randomness begins.
    pub seed: u64,
}

/// Different words if nothing else is said: about those of a large novel library.
pub const VOCABULARY: usize = 200_000;

impl Text {
    /// Writes the text: lines of a dozen words, one in twelve with a capital, one in ten with punctuation.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut random = Random::new(self.seed);
        let vocabulary = vocabulary(&mut random, self.vocabulary.max(1));
        let (mut block, mut written) = (Vec::with_capacity(1 << 17), 0);
        while written < self.bytes {
            block.clear();
            while block.len() < (1 << 16) && written + (block.len() as u64) < self.bytes {
                for _ in 0..8 + random.below(9) {
                    push_word(&mut block, &mut random, &vocabulary);
                }
                block.pop();
                block.push(b'\n');
            }
            written += block.len() as u64;
            out.write_all(&block)?;
        }
        Ok(())
    }
}

fn push_word(text: &mut Vec<u8>, random: &mut Random, vocabulary: &[String]) {
    // The share of the first k words is the logarithm of k, to the base of the number of words.
    let rank = (random.unit() * (vocabulary.len() as f64).ln()).exp() as usize;
    let start = text.len();
    text.extend_from_slice(vocabulary[(rank - 1).min(vocabulary.len() - 1)].as_bytes());
    let style = random.below(120);
    if style < 10 {
        text[start].make_ascii_uppercase();
    }
    match style % 10 {
        0 => text.extend_from_slice(if style < 60 { b", " } else { b". " }),
        _ => text.push(b' '),
    }
}

const STARTS: [&str; 22] =
    ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "th", "st", "tr", "sh", "gr", "ch", ""];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "e"];
const ENDS: [&str; 10] = ["", "", "n", "r", "s", "t", "l", "nd", "ng", "ck"];
/// One word in twenty has one of these.
const FOREIGN: [&str; 8] = ["é", "ü", "ø", "ñ", "ß", "жа", "ώ", "語"];

/// Frequent words are short: one syllable for the first few hundred, then two, then up to four.
fn vocabulary(random: &mut Random, count: usize) -> Vec<String> {
    let (mut words, mut known) = (Vec::with_capacity(count), HashSet::new());
    let mut misses = 0;
    while words.len() < count {
        let longest = match words.len() {
            0..300 => 1,
            300..8_000 => 2,
            8_000..100_000 => 3,
            _ => 4,
        };
        let mut word = String::new();
        // Longer where the short ones are used up.
        for _ in 0..1 + random.below(longest) + misses / 4 {
            let (start, vowel, end) = (*random.pick(&STARTS), *random.pick(&VOWELS), *random.pick(&ENDS));
            word.extend([start, vowel, end]);
        }
        if random.below(20) == 0 {
            let foreign: &&str = random.pick(&FOREIGN);
            word.push_str(foreign);
        }
        if known.insert(word.clone()) {
            words.push(word);
            misses = 0;
        } else {
            misses += 1;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn words_are_as_frequent_as_zipf_says() {
        let mut text = Vec::new();
        Text { bytes: 1_000_000, vocabulary: 5_000, seed: 3 }.write(&mut text).unwrap();
        assert!((1_000_000..1_001_000).contains(&text.len()));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let text = std::str::from_utf8(&text).unwrap();
        text.split_whitespace().for_each(|word| *counts.entry(word).or_default() += 1);
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        assert!(counts.len() > 5_000, "{}", counts.len());
        // The first one has ln 2 / ln 5,000 of all, the tenth a seventh of that.
        let share = counts[0] as f64 / text.split_whitespace().count() as f64;
        assert!((0.05..0.09).contains(&share), "{share}");
        assert!((4..11).contains(&(counts[0] / counts[9])), "{} {}", counts[0], counts[9]);
    }

    #[test]
    fn the_same_seed_makes_the_same_text() {
        let text = || {
            let mut text = Vec::new();
            Text { bytes: 10_000, vocabulary: 100, seed: 3 }.write(&mut text).unwrap();
            text
        };
        assert_eq!(text(), text());
    }
}
