//! What is measured: a grain, an order and a number of workers.

use std::fmt;

use crate::work::{Calibration, Spread, Work};

/// What one item costs, and how many items a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// The name in the output.
    pub name: &'static str,
    /// Nanoseconds one transform of one item takes; 0 is a single step.
    pub ns: u32,
    /// How the cost is spread over the items.
    pub spread: Spread,
    /// How many transforms follow one another.
    pub stages: Stages,
    /// Items in a full run.
    pub items: u64,
}

/// The number of transforms in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// One transform.
    One,
    /// Three transforms, each a stage of its own where the contender has stages.
    Three,
}

impl Stages {
    /// The stages as a number.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// Every grain, cheapest first.
pub const GRAINS: [Grain; 7] = [
    even("0ns", 0, 2_000_000),
    even("100ns", 100, 2_000_000),
    even("1us", 1_000, 200_000),
    even("10us", 10_000, 30_000),
    even("100us", 100_000, 4_000),
    Grain { stages: Stages::Three, ..even("three-1us", 1_000, 80_000) },
    // A hundredth of the items cost a hundred times: two microseconds an item on average.
    Grain { spread: Spread::Tail, ..even("tail-1us", 1_000, 120_000) },
];

const fn even(name: &'static str, ns: u32, items: u64) -> Grain {
    Grain { name, ns, spread: Spread::Even, stages: Stages::One, items }
}

/// Finds out how much work every grain is.
#[must_use]
pub fn calibrate() -> Calibration {
    Calibration::measure(GRAINS.map(|grain| grain.ns))
}

impl Grain {
    /// The work of this grain.
    #[must_use]
    pub fn work(&self, calibration: &Calibration) -> Work {
        Work::new(calibration.blocks(self.ns), self.spread)
    }
}

/// Whether the sink sees the items in source order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In source order.
    Ordered,
    /// In any order.
    Unordered,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered",
            Self::Unordered => "unordered",
        })
    }
}

/// One thing to measure every contender at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What an item costs.
    pub grain: Grain,
    /// Whether the sink needs source order.
    pub order: Order,
    /// Threads for the transform.
    pub workers: usize,
}

impl Case {
    /// Every case, in the order of the output.
    pub fn all() -> impl Iterator<Item = Self> {
        GRAINS.into_iter().flat_map(|grain| {
            [Order::Ordered, Order::Unordered]
                .into_iter()
                .flat_map(move |order| [1, 2].map(|workers| Self { grain, order, workers }))
        })
    }

    /// The case of that very name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|case| case.to_string() == name)
    }

    /// Whether `text` is part of the name, starting at the start of one of its words: `0ns` is
    /// not `100ns`, and `ordered` is not `unordered`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        format!(" {self}").contains(&format!(" {text}"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} w{}", self.grain.name, self.order, self.workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(text: &str) -> Vec<String> {
        Case::all().filter(|case| case.matches(text)).map(|case| case.to_string()).collect()
    }

    #[test]
    fn text_matches_from_the_start_of_a_word() {
        assert_eq!(matching("0ns ordered w2"), ["0ns ordered w2"]);
        assert_eq!(matching("1us ordered").len(), 2);
        assert_eq!(matching("ordered").len(), 14);
        assert_eq!(matching("").len(), 28);
    }

    #[test]
    fn every_case_is_found_by_its_name() {
        assert!(Case::all().all(|case| Case::named(&case.to_string()) == Some(case)));
    }
}
