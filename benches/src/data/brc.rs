//! Measurements of weather stations: lines of `station;temperature`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::random::Random;

/// What a file of measurements is made from.
#[derive(Clone, Copy, Debug)]
pub struct Measurements {
    /// Lines.
    pub rows: u64,
    /// How many different stations there are.
    pub stations: usize,
    /// Where randomness begins.
    pub seed: u64,
}

/// As many stations as the file of the original challenge has. Their names are as long as those of cities; if there are
/// more, names have up to 100 bytes.
pub const CITIES: usize = 413;

struct Station {
    name: String,
    mean_tenths: i64,
}

impl Measurements {
    /// Writes the file.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut random = Random::new(self.seed);
        let stations = stations(&mut random, self.stations.max(1));
        let mut block = Vec::with_capacity(1 << 17);
        for _ in 0..self.rows {
            let station = &stations[random.below(stations.len() as u64) as usize];
            block.extend_from_slice(station.name.as_bytes());
            block.push(b';');
            push_tenths(&mut block, (station.mean_tenths + around_zero(&mut random)).clamp(-999, 999));
            if block.len() > (1 << 16) {
                out.write_all(&block)?;
                block.clear();
            }
        }
        out.write_all(&block)
    }
}

/// Tenths of a degree around zero, most within ten degrees of it: four dice make nearly a normal distribution.
fn around_zero(random: &mut Random) -> i64 {
    let bits = random.bits();
    let dice = (0..4).map(|die| ((bits >> (16 * die)) & 0xffff) as i64).sum::<i64>();
    // The dice deviate by 37,837; temperatures by 100 tenths.
    (dice - 2 * 0xffff) / 378
}

fn push_tenths(line: &mut Vec<u8>, tenths: i64) {
    let digit = |number: u64| b'0' + (number % 10) as u8;
    if tenths < 0 {
        line.push(b'-');
    }
    let tenths = tenths.unsigned_abs();
    if tenths >= 100 {
        line.push(digit(tenths / 100));
    }
    line.extend_from_slice(&[digit(tenths / 10), b'.', digit(tenths), b'\n']);
}

fn stations(random: &mut Random, count: usize) -> Vec<Station> {
    // The shortest, the longest, and one where bytes are many and characters few.
    let mut names = BTreeSet::from(["Å".to_owned(), "x".repeat(100), "山".repeat(12)]);
    while names.len() > count {
        names.pop_last();
    }
    while names.len() < count {
        let syllables = if count <= CITIES { 2 + random.below(3) } else { 1 + random.below(30) };
        names.insert(name(random, syllables));
    }
    names.into_iter().map(|name| Station { name, mean_tenths: random.below(450) as i64 - 150 }).collect()
}

const STARTS: [&str; 24] = [
    "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr", "sh", "gr", "br", "č", "ñ",
    "й", "қ",
];
const ENDS: [&str; 12] = ["a", "e", "i", "o", "u", "an", "er", "is", "on", "ü", "ă", "о"];

/// At most 100 bytes.
fn name(random: &mut Random, syllables: u64) -> String {
    let mut name = String::new();
    for syllable in 0..syllables {
        let is_border = syllable > 1 && random.below(8) == 0;
        let border = if is_border { *random.pick(&[" ", "-", "'"]) } else { "" };
        let parts: [&str; 3] = [border, *random.pick(&STARTS), *random.pick(&ENDS)];
        if name.len() + parts.concat().len() > 100 {
            break;
        }
        name.extend(parts);
    }
    let first: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    name.chars().skip(1).fold(first, |mut name, letter| {
        name.push(letter);
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: u64, stations: usize) -> String {
        let mut text = Vec::new();
        Measurements { rows, stations, seed: 7 }.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn rows_have_names_and_temperatures_within_the_rules() {
        for stations in [1, 413, 10_000] {
            let text = text(50_000, stations);
            let mut names = BTreeSet::new();
            for line in text.lines() {
                let (name, number) = line.split_once(';').unwrap();
                assert!((1..=100).contains(&name.len()) && !name.contains(';'), "{name}");
                assert!(number.len() >= 3 && number.as_bytes()[number.len() - 2] == b'.', "{number}");
                assert!((-99.9..=99.9).contains(&number.parse::<f64>().unwrap()), "{number}");
                names.insert(name);
            }
            assert_eq!(text.lines().count(), 50_000);
            assert!(names.len() <= stations && names.len() * 10 > stations * 9, "{}", names.len());
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_file() {
        assert_eq!(text(100, 413), text(100, 413));
        assert!(text(0, 0).is_empty());
    }
}
