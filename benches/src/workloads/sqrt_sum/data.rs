//! The file of numbers.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::contest::Failure;

/// Numbers between zero and a million, always the same ones. Made if the file is missing.
pub fn file(folder: &Path, numbers: u64) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("sqrt-sum-{numbers}.f64"));
    if path.metadata().is_ok_and(|found| found.len() == numbers * 8) {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("new");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..numbers {
        file.write_all(&number(&mut state).to_le_bytes())?;
    }
    file.flush()?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

/// Marsaglia's xorshift.
fn number(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 * (1e6 / (1u64 << 53) as f64)
}
