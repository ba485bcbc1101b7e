//! Inputs made by seeded generators: the same arguments make the same bytes on every machine.

pub mod brc;
pub mod photos;
pub mod pieces;
pub mod random;
pub mod words;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::contest::Failure;

/// Writes a file, unless it is there already. It gets its name when it is whole.
///
/// # Errors
///
/// If it cannot be written.
pub fn make_missing(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    if path.exists() { Ok(()) } else { make(path, write) }
}

/// Writes a file, and replaces one that is there. It gets its name when it is whole.
///
/// # Errors
///
/// If it cannot be written.
pub fn make(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    let error = |error: std::io::Error| format!("could not make `{}`: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(error)?;
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    let file = File::create(&unfinished).map_err(error)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let written = write(&mut writer).and_then(|()| writer.flush()).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        // The failure that counts is the first one.
        let _ = std::fs::remove_file(&unfinished);
    }
    Ok(written.map_err(error)?)
}
