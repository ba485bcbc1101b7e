//! Progress in a file of its own.
//!
//! # Protocol
//!
//! 1. Write all of it to a second file in the same directory, `NAME.new`, and sync that.
//! 2. Rename it to its name: from one moment to the next the old one is the new one.
//! 3. Sync the directory, so that the rename is as durable as what it names.
//!
//! # Invariants
//!
//! - Under its name there is, at every moment and after a loss of power, either the old checkpoint or the new one, whole.
//!   Anything else is somebody else's doing, and an error.
//! - What could not be synced is not believed later. A failed sync may drop what it could not write, and the next one says
//!   that all is well; so the first failure ends the run, and nothing is kept after it.
//! - One run at a time: a lock on `NAME.lock` is held until the run has ended. It is a file of its own, as the checkpoint is
//!   another file after each rename, and it is not removed, as somebody may be about to lock it.

use super::progress::{BadProgress, Progress};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A checkpoint larger than this is none of ours.
const LARGEST: u64 = 256 << 20;

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("could not {action} the checkpoint `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another run uses the checkpoint `{}`", path.display())]
    InUse { path: PathBuf },
    #[error(
        "the checkpoint `{}` cannot be used; put a copy of it back, or give it up and store everything anew with \
         `start_over`",
        path.display()
    )]
    Bad { path: PathBuf, source: BadProgress },
}

/// The files that a checkpoint is kept in. Behind a trait, so that a model can lose its power.
pub(crate) trait Disk: Send {
    /// Makes a file of these bytes, in the place of one that is there, and syncs it.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_directory(&mut self, directory: &Path) -> io::Result<()>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_directory(&mut self, directory: &Path) -> io::Result<()> {
        // Elsewhere a directory cannot be opened as a file.
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    }
}

/// A checkpoint that this run may replace, and nobody else.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    disk: Box<dyn Disk>,
    /// Locked for as long as it lives.
    _lock: File,
    failed: bool,
}

impl std::fmt::Debug for CheckpointFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CheckpointFile {
    /// Takes hold of the file, whether it is there or not.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let error = |action| move |source| FileError::Io { action, path: path.to_owned(), source };
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock"));
        let lock = lock.map_err(error("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(error("lock")(source)),
        }
        Ok(CheckpointFile { path: path.to_owned(), disk: Box::new(RealDisk), _lock: lock, failed: false })
    }

    /// Reads it; `None` if there is no file.
    pub(crate) fn load(&self) -> Result<Option<Progress>, FileError> {
        let error = |source| FileError::Io { action: "read", path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(error(source)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(error)?;
        match Progress::from_bytes(&bytes) {
            Ok(progress) => Ok(Some(progress)),
            Err(source) => Err(FileError::Bad { path: self.path.clone(), source }),
        }
    }

    /// Replaces it. After a failure it cannot be replaced any more.
    pub(crate) fn save(&mut self, progress: &Progress) -> Result<(), FileError> {
        if self.failed {
            let source = io::Error::other("an earlier attempt has failed");
            return Err(FileError::Io { action: "write", path: self.path.clone(), source });
        }
        let saved = save(&mut *self.disk, &self.path, &progress.to_bytes());
        self.failed = saved.is_err();
        saved
    }
}

/// The protocol above.
fn save(disk: &mut dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let error = |action| move |source| FileError::Io { action, path: path.to_owned(), source };
    let new = beside(path, ".new");
    disk.write(&new, bytes).map_err(error("write"))?;
    disk.rename(&new, path).map_err(error("replace"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    disk.sync_directory(parent.unwrap_or(Path::new("."))).map_err(error("sync the directory of"))
}

/// A name like this one, with something at its end.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Receipt;
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    fn progress(position: u64) -> Progress {
        let receipt = Receipt::new(vec![7; (position % 300) as usize]);
        Progress { position, receipts: vec![("end".to_owned(), receipt)], ..Progress::default() }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_lies_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.checkpoint");
        let mut file = CheckpointFile::open(&path).unwrap();
        assert_eq!(file.load().unwrap(), None);
        for position in [5, 50, 500] {
            file.save(&progress(position)).unwrap();
            assert_eq!(file.load().unwrap(), Some(progress(position)));
        }
        let mut names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["job.checkpoint", "job.checkpoint.lock"]);
    }

    #[test]
    fn two_runs_cannot_have_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.checkpoint");
        let first = CheckpointFile::open(&path).unwrap();
        assert!(matches!(CheckpointFile::open(&path), Err(FileError::InUse { .. })));
        drop(first);
        CheckpointFile::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_checkpoint_is_an_error_that_names_it_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.checkpoint");
        let file = CheckpointFile::open(&path).unwrap();
        let whole = progress(70).to_bytes();
        for bytes in [&b""[..], b"GRISTCKP", b"something else", &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()]
        {
            std::fs::write(&path, bytes).unwrap();
            let message = file.load().unwrap_err().to_string();
            assert!(message.contains("job.checkpoint") && message.contains("start_over"), "{message}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_checkpoint_that_cannot_be_read_is_no_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let loops = folder.path().join("loop.checkpoint");
        std::os::unix::fs::symlink(&loops, &loops).unwrap();
        let directory = folder.path().join("directory.checkpoint");
        std::fs::create_dir(&directory).unwrap();
        for path in [loops, directory] {
            let error = CheckpointFile::open(&path).unwrap().load().unwrap_err();
            assert!(matches!(error, FileError::Io { action: "read", .. }), "{error}");
        }
    }

    /// Writes down which directories are synced.
    #[derive(Default)]
    struct Noting(Vec<PathBuf>);

    impl Disk for Noting {
        fn write(&mut self, _: &Path, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn rename(&mut self, _: &Path, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn sync_directory(&mut self, directory: &Path) -> io::Result<()> {
            self.0.push(directory.to_owned());
            Ok(())
        }
    }

    #[test]
    fn the_directory_that_is_synced_is_that_of_the_file() {
        let mut disk = Noting::default();
        for path in ["job.checkpoint", "kept/job.checkpoint", "/job.checkpoint"] {
            save(&mut disk, Path::new(path), b"").unwrap();
        }
        assert_eq!(disk.0, [".", "kept", "/"].map(PathBuf::from));
    }

    /// A disk on which only what was synced is sure to survive. A write that was not synced may leave any part of itself,
    /// a rename that was not synced may have happened or not.
    #[derive(Debug, Default)]
    struct Model {
        /// What programs see.
        files: HashMap<PathBuf, Vec<u8>>,
        /// What is on the disk for sure.
        durable: HashMap<PathBuf, Vec<u8>>,
        /// Renames since the directory was synced.
        renames: Vec<(PathBuf, PathBuf)>,
        /// Operations until the power goes; then everything fails.
        left: u64,
        /// The file that was being written when it went.
        torn: Option<(PathBuf, Vec<u8>)>,
        fails_at: Option<u64>,
        done: u64,
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Model>>);

    impl Model {
        fn step(&mut self) -> io::Result<()> {
            self.done += 1;
            if self.fails_at == Some(self.done) {
                return Err(io::Error::other("planned failure"));
            }
            self.left = self.left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
            Ok(())
        }

        /// What may be found after the power has come back, decided by `chance`.
        fn after_power_loss(&self, mut chance: u64) -> HashMap<PathBuf, Vec<u8>> {
            let mut next = move |below: usize| {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (chance >> 33) as usize % below.max(1)
            };
            let mut disk = self.durable.clone();
            if let Some((path, bytes)) = &self.torn {
                let kept = next(bytes.len() + 1);
                let mut bytes = bytes[..kept].to_vec();
                if kept > 0 && next(3) == 0 {
                    // The size came through, and not all pages did.
                    let hole = next(kept);
                    bytes[hole..].fill(0);
                }
                disk.insert(path.clone(), bytes);
            }
            for (from, to) in &self.renames {
                if next(2) == 0 {
                    break;
                }
                if let Some(bytes) = disk.remove(from) {
                    disk.insert(to.clone(), bytes);
                }
            }
            disk
        }
    }

    impl Disk for Shared {
        fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            let mut model = self.0.lock().unwrap();
            // Three moments: made, written, synced.
            for _ in 0..3 {
                if let Err(error) = model.step() {
                    model.torn = Some((path.to_owned(), bytes.to_vec()));
                    return Err(error);
                }
            }
            model.files.insert(path.to_owned(), bytes.to_vec());
            model.durable.insert(path.to_owned(), bytes.to_vec());
            Ok(())
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            let mut model = self.0.lock().unwrap();
            model.step()?;
            let bytes = model.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            model.files.insert(to.to_owned(), bytes);
            model.renames.push((from.to_owned(), to.to_owned()));
            Ok(())
        }

        fn sync_directory(&mut self, _: &Path) -> io::Result<()> {
            let mut model = self.0.lock().unwrap();
            model.step()?;
            for (from, to) in std::mem::take(&mut model.renames) {
                if let Some(bytes) = model.durable.remove(&from) {
                    model.durable.insert(to, bytes);
                }
            }
            Ok(())
        }
    }

    /// Saves one checkpoint after another until the power goes; the last that was said to be saved.
    fn save_until_it_fails(model: &Shared, path: &Path) -> u64 {
        let mut disk = model.clone();
        let mut saved = 0;
        for position in 1..=8 {
            if save(&mut disk, path, &progress(position).to_bytes()).is_err() {
                break;
            }
            saved = position;
        }
        saved
    }

    #[test]
    fn after_a_loss_of_power_there_is_the_last_checkpoint_or_the_one_under_way() {
        let path = Path::new("job.checkpoint");
        let mut states = 0;
        for left in 0..40 {
            for chance in 0..400 {
                let model = Shared(Arc::new(Mutex::new(Model { left, ..Model::default() })));
                let saved = save_until_it_fails(&model, path);
                let disk = model.0.lock().unwrap().after_power_loss(chance * 7_919 + left);
                let found = disk
                    .get(path)
                    .map_or(0, |bytes| Progress::from_bytes(bytes).expect("what is there is whole").position());
                assert!(found == saved || found == saved + 1, "{saved} was saved, {found} is there");
                states += 1;
            }
        }
        assert_eq!(states, 16_000);
    }

    #[test]
    fn after_a_failure_a_later_success_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.checkpoint");
        // Each of the operations of the second checkpoint fails once.
        for fails_at in 6..=10 {
            let model = Model { left: u64::MAX, fails_at: Some(fails_at), ..Model::default() };
            let mut file = CheckpointFile::open(&path).unwrap();
            file.disk = Box::new(Shared(Arc::new(Mutex::new(model))));
            file.save(&progress(1)).unwrap();
            assert!(file.save(&progress(2)).is_err());
            let message = std::error::Error::source(&file.save(&progress(3)).unwrap_err()).unwrap().to_string();
            assert_eq!(message, "an earlier attempt has failed");
        }
    }
}
