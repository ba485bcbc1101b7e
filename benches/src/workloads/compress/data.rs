//! What is compressed: source code that is on the machine anyway, that of the crates that cargo has fetched.

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::contest::Failure;

/// Bytes of a full run and of a quick one, at most.
const FULL: u64 = 256 << 20;
const QUICK: u64 = 2 << 20;

/// The file to compress. Made if it is missing, and kept then, so that later runs have the same input.
pub fn file(folder: &Path, quick: bool) -> Result<PathBuf, Failure> {
    let path = folder.join(if quick { "compress-quick.txt" } else { "compress.txt" });
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("new");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let most = if quick { QUICK } else { FULL };
    let mut files = Vec::new();
    if let Some(crates) = fetched_crates() {
        add_files(&crates, &mut files)?;
    }
    let mut written = 0;
    for source in files {
        let bytes = fs::read(source)?;
        if written + bytes.len() as u64 > most {
            break;
        }
        file.write_all(&bytes)?;
        written += bytes.len() as u64;
    }
    // On a machine without them: lines of numbers.
    let mut line = 0u64;
    while written < QUICK {
        let text = format!("{line}: {:x}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
        file.write_all(text.as_bytes())?;
        (written, line) = (written + text.len() as u64, line + 1);
    }
    file.flush()?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

fn fetched_crates() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("registry/src")).filter(|folder| folder.is_dir())
}

/// The files of a folder and those in it that hold source code, always in the same order.
fn add_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            add_files(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|suffix| suffix == "rs" || suffix == "c") {
            files.push(path);
        }
    }
    Ok(())
}
