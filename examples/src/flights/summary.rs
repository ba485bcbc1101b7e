//! What a run has made, and how it is shown.

use super::database::Line;
use super::tally::{Key, Tally};
use gristmill::Report;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What a run has made.
#[derive(Debug)]
pub struct Summary {
    /// Where the database is.
    pub database: PathBuf,
    /// Rows in it.
    pub stored: u64,
    /// Rows that were rejected, and are in the file of dead letters.
    pub rejected: u64,
    /// Where that file is, if there is one.
    pub dead_letters: PathBuf,
    /// What was counted on the way; in a run that may be gone on with, in the database.
    pub groups: BTreeMap<Key, Tally>,
    /// Read back from the database.
    pub carriers: Vec<Line>,
    /// Read back from the database.
    pub routes: Vec<Line>,
    /// What the pipeline did.
    pub report: Report,
}

/// Lines of each table that are shown.
const SHOWN: usize = 10;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [name, flights, dep, arr] = ["carrier", "flights", "dep. delay", "arr. delay"];
        writeln!(f, "{name:<42}{flights:>10}{dep:>12}{arr:>12}")?;
        for line in self.carriers.iter().take(SHOWN) {
            write_line(f, &format!("{} {}", name_of(line, 0), name_of(line, 1)), &line.tally)?;
        }
        writeln!(f, "\n{:<42}{flights:>10}{dep:>12}{arr:>12}", "route")?;
        for line in self.routes.iter().take(SHOWN) {
            let route = format!("{} to {} {}", name_of(line, 0), name_of(line, 1), name_of(line, 2));
            write_line(f, &route, &line.tally)?;
        }
        writeln!(f, "\n{}", self.report)?;
        writeln!(f, "\n{} rows are in `{}`", self.stored, self.database.display())?;
        if self.rejected > 0 {
            writeln!(f, "rejected rows: {}, see `{}`", self.rejected, self.dead_letters.display())?;
        }
        Ok(())
    }
}

fn name_of(line: &Line, name: usize) -> &str {
    line.names.get(name).and_then(Option::as_deref).unwrap_or("(unknown)")
}

fn write_line(f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally) -> fmt::Result {
    let mean = |minutes: Option<f64>| minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes:.1} min"));
    let (dep, arr) = (mean(tally.mean_dep_delay()), mean(tally.mean_arr_delay()));
    writeln!(f, "{:<42}{:>10}{dep:>12}{arr:>12}", short(name), tally.flights)
}

/// As much of a name as fits its column.
fn short(name: &str) -> String {
    name.chars().take(41).collect()
}
