//! Which files there are: the extract stage.

use crate::algorithm::{Algorithm, Digest};
use crate::error::{FileError, Problem};
use crate::list::Entry;
use crate::read::{Origin, Stamp};
use crate::split::Split;
use crate::task::Task;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};
use walkdir::{DirEntry, WalkDir};

/// From this size on a file that cannot be split is worth a place before the others.
const LARGE: u64 = 1 << 20;

/// A file that is to be hashed.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) place: u64,
    pub(crate) stamp: Stamp,
}

/// A file, how to hash it, and what should come out.
struct Candidate {
    found: Result<Found, FileError>,
    algorithm: Algorithm,
    expected: Option<Digest>,
}

/// Lists files as [tasks](Task): an iterator, and so a source of a pipeline.
///
/// Directories are walked in the order of their entries' names, so the order is the same on every machine. A file for
/// BLAKE3 larger than 8 MiB becomes several tasks, so that all workers take part in it, and no worker is left alone with a
/// large file at the end. SHA-256 and XXH3 cannot be split: see [`large_first`](Files::large_first).
///
/// Whatever is in the way is a task that fails: a directory that cannot be read, a fifo, a link that leads in a circle, a
/// file that vanished.
///
/// Each file is asked for its size as it comes up, on the thread that pulls. Where that waits, on a cold disk or a
/// network, wrap it in `gristmill::source::waiting`.
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
///     .filter_map(|hashed| hashed)
///     .ordered()
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output[0].digest, Algorithm::Sha256.hash(b"x"));
/// # Ok::<(), gristmill::Error>(())
/// ```
pub struct Files<'a> {
    candidates: Box<dyn Iterator<Item = Candidate> + Send + 'a>,
    origin: Origin,
    /// The file whose pieces are handed out now.
    open: Option<(Arc<Split>, usize, Option<Digest>)>,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("origin", &self.origin).field("open", &self.open).finish_non_exhaustive()
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
            let walk = WalkDir::new(&root).follow_links(links == Links::Follow).sort_by_file_name();
            walk.into_iter().filter_map(move |entry| look_at(entry, &root))
        });
        let candidates = entries.enumerate().map(move |(place, found)| Candidate {
            found: found.at(place as u64),
            algorithm,
            expected: None,
        });
        Files::of(Box::new(candidates))
    }

    /// The files of a list that is to be checked, in its order. Links are followed.
    pub fn listed(entries: impl Iterator<Item = Entry> + Send + 'a) -> Self {
        let candidates = entries.enumerate().map(|(place, entry)| Candidate {
            found: Sight::of(entry.path, |path| fs::metadata(path)).at(place as u64),
            algorithm: entry.algorithm,
            expected: Some(entry.digest),
        });
        Files::of(Box::new(candidates))
    }

    fn of(candidates: Box<dyn Iterator<Item = Candidate> + Send + 'a>) -> Self {
        Files { candidates, origin: Origin::Read, open: None }
    }

    /// Lists everything before the first task, and then brings large files (from 1 MiB) that cannot be split before the
    /// others, the largest first, so that no worker is still busy with one when all others are done.
    ///
    /// Costs the wait for the whole walk, and about 150 bytes a file. The order is no longer that of the walk; sort by
    /// [`place`](crate::Hashed::place) afterwards.
    #[must_use]
    pub fn large_first(self) -> Self {
        let mut all: Vec<Candidate> = self.candidates.collect();
        // Stable: what is not large keeps its order.
        all.sort_by_key(|candidate| std::cmp::Reverse(candidate.unsplittable_bytes()));
        Files { candidates: Box::new(all.into_iter()), ..self }
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

    fn next_piece(&mut self) -> Option<Task> {
        let (split, index, expected) = self.open.as_mut()?;
        let task = Task::piece(Arc::clone(split), *index, *expected);
        *index += 1;
        if *index == split.pieces() {
            self.open = None;
        }
        Some(task)
    }
}

impl Iterator for Files<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        if let Some(piece) = self.next_piece() {
            return Some(piece);
        }
        let Candidate { found, algorithm, expected } = self.candidates.next()?;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Some(Task::lost(error, algorithm)),
        };
        let piece = if algorithm.is_splittable() { Split::piece_for(found.stamp.len) } else { None };
        match piece {
            Some(piece) => {
                self.open = Some((Arc::new(Split::new(found, self.origin, piece)), 0, expected));
                self.next_piece()
            }
            None => Some(Task::whole(found, self.origin, algorithm, expected)),
        }
    }
}

impl Candidate {
    /// The size, if it is large and cannot be split, else zero.
    fn unsplittable_bytes(&self) -> u64 {
        match &self.found {
            Ok(found) if !self.algorithm.is_splittable() && found.stamp.len >= LARGE => found.stamp.len,
            _ => 0,
        }
    }
}

/// What the walk came by, before it has a place.
struct Sight {
    path: PathBuf,
    stamp: Result<Stamp, Problem>,
}

impl Sight {
    fn of(path: PathBuf, look: impl FnOnce(&Path) -> io::Result<fs::Metadata>) -> Self {
        let stamp = match look(&path) {
            Ok(metadata) => match kind(metadata.file_type()) {
                None => Ok(Stamp::of(&metadata)),
                Some(kind) => Err(Problem::NotAFile(kind)),
            },
            Err(error) => Err(error.into()),
        };
        Sight { path, stamp }
    }

    fn at(self, place: u64) -> Result<Found, FileError> {
        match self.stamp {
            Ok(stamp) => Ok(Found { path: self.path, place, stamp }),
            Err(problem) => Err(FileError::new(self.path, place, problem)),
        }
    }
}

/// What an entry of a tree is; `None` if nobody wants to know.
fn look_at(entry: walkdir::Result<DirEntry>, root: &Path) -> Option<Sight> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            return Some(Sight { path, stamp: Err(problem_of(error)) });
        }
    };
    if entry.file_type().is_dir() {
        return None;
    }
    if entry.file_type().is_symlink() {
        // A link that is named itself is meant to be followed. If it leads to a directory, the walk goes on there.
        let is_wanted = entry.depth() == 0 && !entry.path().is_dir();
        return is_wanted.then(|| Sight::of(entry.into_path(), |path| fs::metadata(path)));
    }
    let metadata = entry.metadata();
    Some(Sight::of(entry.into_path(), |_| metadata.map_err(io::Error::from)))
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

/// What this is, if it is no regular file.
fn kind(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return Some("a fifo");
        }
        if file_type.is_socket() {
            return Some("a socket");
        }
        if file_type.is_block_device() || file_type.is_char_device() {
            return Some("a device");
        }
    }
    Some(if file_type.is_dir() { "a directory" } else { "something else" })
}
