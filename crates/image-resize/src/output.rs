//! Files that appear when they are whole.

use crate::error::Problem;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file under a name of its own beside the target, and renames it.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let folder = target.parent().unwrap_or(Path::new(""));
    let failed = |error| Problem::Write { path: target.to_owned(), error };
    let (mut file, draft) = create(folder).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| {
        drop(file);
        fs::rename(&draft.0, target)
    });
    written.map_err(failed)?;
    // Nothing has that name any more.
    std::mem::forget(draft);
    Ok(())
}

/// A file that is removed unless it is forgotten, so that a failure and a panic leave nothing.
#[derive(Debug)]
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // The failure that counts is the one before.
        let _ = fs::remove_file(&self.0);
    }
}

/// A new file in a folder, which is made if it is missing.
fn create(folder: &Path) -> io::Result<(File, Draft)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        // Not made from the target's name, which may be as long as a name can be.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".gristmill-{}-{number}.part", process::id()));
        match File::create_new(&path) {
            Ok(file) => return Ok((file, Draft(path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => fs::create_dir_all(folder)?,
            // Left by a process that was killed and had the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
