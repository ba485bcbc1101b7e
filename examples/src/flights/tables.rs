//! What airlines and airports are called.

use super::code::Code;
use super::flight::{Flight, FlightRow};
use anyhow::Context;
use gristmill::Pipeline;
use gristmill_connect::csv::{self, CsvError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where the tables are.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct TablePaths {
    pub airlines: PathBuf,
    pub airports: PathBuf,
}

impl TablePaths {
    /// The tables of the project.
    #[must_use]
    pub fn shipped() -> Self {
        TablePaths { airlines: shipped("airlines.csv"), airports: shipped("airports.csv") }
    }
}

/// A file of `examples/data`, wherever the program is run.
#[must_use]
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// Names by code.
#[derive(Debug)]
pub struct Tables {
    airlines: HashMap<Code<8>, String>,
    airports: HashMap<Code<8>, String>,
}

impl Tables {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// When one cannot be read, lacks a column or has a code that is none.
    pub fn load(paths: &TablePaths) -> anyhow::Result<Self> {
        Ok(Tables { airlines: names(&paths.airlines, "carrier")?, airports: names(&paths.airports, "faa")? })
    }

    /// Adds the names to a flight. They are borrowed: a row is as cheap to copy as before.
    #[must_use]
    pub fn enrich(&self, flight: Flight) -> FlightRow<'_> {
        let airport = |code| self.airports.get(code).map(String::as_str);
        FlightRow {
            airline: self.airlines.get(&flight.carrier).map(String::as_str),
            origin_name: airport(&flight.origin),
            dest_name: airport(&flight.dest),
            flight,
        }
    }
}

/// A pipeline for a small job, too: one that collects into a map.
fn names(path: &Path, code: &str) -> anyhow::Result<HashMap<Code<8>, String>> {
    let records = csv::open(path)?;
    let [code, name] = records.header().columns([code, "name"])?;
    let report = Pipeline::extract(records)
        .try_map(|record| {
            let row = record.row()?;
            Ok::<_, CsvError>((row.parse(code)?, row.text(name)?.to_owned()))
        })
        .collect::<HashMap<_, _>>()
        .run()
        .with_context(|| format!("could not load the names in `{}`", path.display()))?;
    Ok(report.into_output())
}
