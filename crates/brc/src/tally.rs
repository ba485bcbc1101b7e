//! What a worker counts.

use crate::bad_row::BadRow;
use crate::row;
use crate::scan::Portable;
use crate::summary::Summary;
use crate::table::Table;
use gristmill::Chunk;

#[cfg(target_arch = "x86_64")]
use crate::scan::Avx2;

/// Min, mean and max per station, of the rows that were added: the accumulator of a
/// [`fold`](gristmill::Pipeline::fold).
///
/// A row that is none makes the result an error. Pieces that come after it are then passed over, so a wrong file takes no
/// longer than a right one, and the error is that of the first wrong row whichever worker sees it.
///
/// Its memory is 64 KiB at least, and up to 4 KiB a station; up to 512 bytes when there are thousands of them. It is twice that
/// when a name has 32 bytes or more.
#[derive(Debug, Clone)]
pub struct Tally {
    table: Table,
    kernel: Kernels,
    bad: Option<BadRow>,
}

/// Which loop it is.
#[derive(Debug, Clone, Copy)]
enum Kernels {
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl Default for Tally {
    fn default() -> Self {
        Tally::new()
    }
}

impl Tally {
    /// Nothing counted yet. Chooses the fastest loop for this machine: with AVX2 and AES where there are, else a portable
    /// one.
    #[must_use]
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Avx2::detect() {
            return Tally::with(Kernels::Avx2(kernel));
        }
        Tally::portable()
    }

    /// Nothing counted yet. Takes the loop that runs on every machine: to compare, and to test.
    #[must_use]
    pub fn portable() -> Self {
        Tally::with(Kernels::Portable)
    }

    fn with(kernel: Kernels) -> Self {
        Tally { table: Table::new(), kernel, bad: None }
    }

    /// Adds the rows of a chunk: whole lines, of which the last need not end.
    #[expect(clippy::needless_pass_by_value, reason = "a fold hands its items over")]
    pub fn add(&mut self, chunk: Chunk) {
        self.add_lines(&chunk, chunk.offset());
    }

    /// Adds rows that begin at byte `offset` of a file, which an error will say: whole lines, of which the last need not
    /// end.
    pub fn add_lines(&mut self, lines: &[u8], offset: u64) {
        if self.bad.as_ref().is_some_and(|bad| bad.offset <= offset) {
            return;
        }
        let is_good = match self.kernel {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2(kernel) => kernel.scan(lines, &mut self.table),
            Kernels::Portable => Portable.scan(lines, &mut self.table),
        };
        if !is_good {
            self.bad = first_bad_row(lines, offset);
        }
    }

    /// Adds what another worker has counted.
    pub fn merge(&mut self, other: Tally) {
        for (name, stats) in other.table.iter() {
            let own = match self.kernel {
                #[cfg(target_arch = "x86_64")]
                Kernels::Avx2(kernel) => self.table.find_or_add(kernel, &name),
                Kernels::Portable => self.table.find_or_add(Portable, &name),
            };
            own.merge(&stats);
        }
        let bad = [self.bad.take(), other.bad].into_iter().flatten();
        self.bad = bad.min_by_key(BadRow::offset);
    }

    /// The stations, sorted.
    ///
    /// # Errors
    ///
    /// The first row that is none.
    pub fn finish(self) -> Result<Summary, BadRow> {
        match self.bad {
            Some(bad) => Err(bad),
            None => Ok(Summary::of(&self.table)),
        }
    }
}

/// Reads lines again, slowly, to say where they are wrong.
fn first_bad_row(lines: &[u8], offset: u64) -> Option<BadRow> {
    let mut at = 0;
    while at < lines.len() {
        let rest = &lines[at..];
        match row::read(rest) {
            Ok(row) => at += row.len,
            Err(reason) => return Some(BadRow::new(offset + at as u64, reason, row::first_line(rest).0)),
        }
    }
    None
}
