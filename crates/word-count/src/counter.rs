//! What a worker counts.

use crate::canon::{Case, Words, canonical, is_raw};
use crate::counts::Counts;
use crate::scan;
use crate::table::Table;
use rayon::prelude::*;

/// Words and how often they occur: the accumulator of a [`fold`](gristmill::Pipeline::fold).
#[derive(Debug, Clone)]
pub struct Counter {
    /// One for each worker that has been merged.
    tables: Vec<Table>,
}

impl Default for Counter {
    fn default() -> Self {
        Counter::new()
    }
}

/// Parts for each thread: the threads then finish at about the same time.
const PARTS_EACH: usize = 4;

impl Counter {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Counter { tables: vec![Table::new()] }
    }

    /// Counts the words of a chunk, whose beginning and end are borders of words.
    pub fn add(&mut self, chunk: impl AsRef<[u8]>) {
        if self.tables.is_empty() {
            self.tables.push(Table::new());
        }
        if let Some(table) = self.tables.first_mut() {
            scan::count(chunk.as_ref(), table);
        }
    }

    /// Takes over what another worker has counted. Costs nothing yet: [`finish`](Counter::finish) merges the words.
    pub fn merge(&mut self, mut other: Counter) {
        self.tables.append(&mut other.tables);
    }

    /// Takes what was counted for words, and merges what the workers have, on the rayon pool of the caller.
    #[must_use]
    pub fn finish(self, words: Words, case: Case) -> Counts {
        let mut tables = self.tables;
        tables.retain(|table| table.len() > 0);
        if !is_raw(words, case) {
            tables = tables.into_par_iter().map(|table| canonical(&table, words, case)).collect();
        }
        if tables.len() <= 1 {
            return Counts::new(tables);
        }
        let parts = (PARTS_EACH * rayon::current_num_threads()).next_power_of_two().min(Table::MOST_PARTS);
        let parts = (0..parts).into_par_iter().map(|part| merge_part(&tables, part, parts));
        Counts::new(parts.collect())
    }
}

/// The words of one range of hashes.
fn merge_part(tables: &[Table], part: usize, parts: usize) -> Table {
    let most = tables.iter().map(Table::len).max().unwrap_or(0);
    let mut merged = Table::with_room(most / parts, parts.ilog2());
    for (word, count) in tables.iter().flat_map(|table| table.range(part, parts)) {
        merged.add(word, count);
    }
    merged
}
