//! The result.

use crate::stats::Stats;
use crate::table::Table;
use std::fmt;

/// The stations with their figures, sorted by the bytes of their names.
///
/// Shown as the challenge wants it: `{Abha=-23.0/18.0/59.2, Abidjan=-16.2/26.0/67.3}`, min, mean and max.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    stations: Vec<(String, Stats)>,
}

impl Summary {
    pub(crate) fn of(table: &Table) -> Self {
        let mut stations: Vec<(String, Stats)> = Vec::with_capacity(table.len());
        // Every name was checked before it got into the table.
        stations.extend(table.iter().map(|(name, stats)| (String::from_utf8_lossy(&name).into_owned(), stats)));
        stations.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        Summary { stations }
    }

    /// Each station with its figures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Stats)> {
        self.stations.iter().map(|(name, stats)| (name.as_str(), stats))
    }

    /// How many stations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stations.len()
    }

    /// Whether there were no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.stations.iter().map(|(_, stats)| stats.count()).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, stats)) in self.stations.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={}/{}/{}", stats.min(), stats.mean(), stats.max())?;
        }
        f.write_str("}")
    }
}
