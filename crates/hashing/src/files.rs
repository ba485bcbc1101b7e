//! Which files there are: the extract stage.

use crate::algorithm::Algorithm;
use crate::error::Problem;
use crate::list::Entry;
use crate::read::Origin;
use crate::task::{Sight, Task};
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};
use std::{fmt, io};
use walkdir::{DirEntry, WalkDir};

/// From this size on a file that cannot be split is worth a place before the others.
const LARGE: u64 = 1 << 20;

/// Lists files as [tasks](Task): an iterator, and so a source of a pipeline.
///
/// Directories are walked in the order of their entries' names, so the order is the same on every machine. A file for
/// BLAKE3 larger than 8 MiB is shared by all workers that have nothing else to do, so that none is left alone with it at
/// the end. SHA-256 and XXH3 cannot be split: see [`large_first`](Files::large_first).
///
/// Whatever is in the way is a task that fails: a directory that cannot be read, a fifo, a link that leads in a circle, a
/// file that vanished.
///
/// Directories are read on the thread that pulls. Where that waits long, on a network, wrap it in
/// `gristmill::source::waiting`. The files themselves are left to the workers.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_hashing::{Algorithm, Buffer, Files};
/// use std::convert::Infallible;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # std::fs::write(folder.path().join("a"), "x").unwrap();
/// let report = Pipeline::extract(Files::walk([folder.path()], Algorithm::Sha256))
///     .try_map_init(|| Ok::<_, Infallible>(Buffer::new()), |buffer, task| task.hash(buffer))
///     .on_error(OnError::collect()) // a file without a digest is noted, not fatal
///     .ordered()
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output[0].digest, Algorithm::Sha256.hash(b"x"));
/// # Ok::<(), gristmill::Error>(())
/// ```
pub struct Files<'a> {
    tasks: Box<dyn Iterator<Item = Task> + Send + 'a>,
    origin: Origin,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Whether symbolic links inside a tree are followed. Links that are named themselves always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They are passed over, as `find` does.
    #[default]
    Skip,
    /// They are followed; one that leads back to a directory above it is an error.
    Follow,
}

impl<'a> Files<'a> {
    /// Walks files and directories, one after another; links inside are skipped.
    pub fn walk<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>, algorithm: Algorithm) -> Self {
        Files::walk_links(roots, algorithm, Links::Skip)
    }

    /// Walks files and directories, one after another.
    pub fn walk_links<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>, algorithm: Algorithm, links: Links) -> Self {
        let roots: Vec<PathBuf> = roots.into_iter().map(|root| root.as_ref().to_owned()).collect();
        let entries = roots.into_iter().flat_map(move |root| {
            let walk = WalkDir::new(&root).follow_links(links == Links::Follow);
            // As by name, since all are in one directory; to ask each for its name is half of the time of the walk.
            let walk = walk.sort_by(|left, right| left.path().as_os_str().cmp(right.path().as_os_str()));
            walk.into_iter().filter_map(move |entry| look_at(entry, &root))
        });
        let tasks = entries.enumerate().map(move |(place, (path, sight))| {
            let (place, origin) = (place as u64, Origin::Read);
            Task { path, place, algorithm, origin, expected: None, sight }
        });
        Files { tasks: Box::new(tasks), origin: Origin::Read }
    }

    /// The files of a list that is to be checked, in its order. Links are followed.
    pub fn listed(entries: impl Iterator<Item = Entry> + Send + 'a) -> Self {
        let tasks = entries.enumerate().map(|(place, entry)| {
            let Entry { path, algorithm, digest } = entry;
            let (place, origin, sight) = (place as u64, Origin::Read, Sight::Nothing);
            Task { path, place, algorithm, origin, expected: Some(digest), sight }
        });
        Files { tasks: Box::new(tasks), origin: Origin::Read }
    }

    /// Lists everything before the first task, and then brings large files (from 1 MiB) that cannot be split before the
    /// others, the largest first, so that no worker is still busy with one when all others are done.
    ///
    /// Costs the wait for the whole walk, a question for the size of each file, and about 150 bytes a file. The order is
    /// no longer that of the walk; sort by [`place`](crate::Hashed::place) afterwards.
    #[must_use]
    pub fn large_first(self) -> Self {
        let mut all: Vec<(u64, Task)> = self.tasks.map(|task| (unsplittable_bytes(&task), task)).collect();
        // Stable: what is not large keeps its order.
        all.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        Files { tasks: Box::new(all.into_iter().map(|(_, task)| task)), ..self }
    }

    /// Maps large files (from 1 MiB) into memory instead of reading them, 8 MiB at a time for each worker. Saves the copy,
    /// which is a quarter of the time of BLAKE3.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate any of the files while they are hashed. Touching what was truncated away
    /// kills the program with SIGBUS, and bytes that change are undefined behaviour.
    #[must_use]
    pub unsafe fn mapped(self) -> Self {
        Files { origin: Origin::Mapped, ..self }
    }
}

impl Iterator for Files<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let task = self.tasks.next()?;
        Some(Task { origin: self.origin, ..task })
    }
}

/// The size, if it is large and cannot be split, else zero.
fn unsplittable_bytes(task: &Task) -> u64 {
    if task.algorithm.is_splittable() || matches!(task.sight, Sight::Lost(_)) {
        return 0;
    }
    // Who cannot be asked is hashed in its turn, and fails.
    let bytes = fs::metadata(&task.path).map_or(0, |metadata| metadata.len());
    if bytes >= LARGE { bytes } else { 0 }
}

/// What an entry of a tree is; `None` if nobody wants to know.
fn look_at(entry: walkdir::Result<DirEntry>, root: &Path) -> Option<(PathBuf, Sight)> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            return Some((path, Sight::Lost(problem_of(error))));
        }
    };
    let file_type = entry.file_type();
    if file_type.is_dir() {
        return None;
    }
    if file_type.is_symlink() {
        // A link that is named itself is meant to be followed. If it leads to a directory, the walk goes on there.
        let is_wanted = entry.depth() == 0 && !entry.path().is_dir();
        return is_wanted.then(|| (entry.into_path(), Sight::Nothing));
    }
    let sight = check_kind(file_type).map_or_else(Sight::Lost, |()| Sight::File);
    Some((entry.into_path(), sight))
}

fn problem_of(error: walkdir::Error) -> Problem {
    match error.loop_ancestor() {
        Some(above) => Problem::Loop(above.to_owned()),
        None => Problem::Io(into_io(error)),
    }
}

/// The error of the system, without the path that walkdir puts before it.
fn into_io(error: walkdir::Error) -> io::Error {
    error.into_io_error().unwrap_or_else(|| io::Error::other("the walk failed"))
}

/// Refuses what is no regular file.
pub(crate) fn check_kind(file_type: FileType) -> Result<(), Problem> {
    if file_type.is_file() { Ok(()) } else { Err(Problem::NotAFile(kind(file_type))) }
}

fn kind(file_type: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return "a fifo";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_block_device() || file_type.is_char_device() {
            return "a device";
        }
    }
    if file_type.is_dir() { "a directory" } else { "something else" }
}
