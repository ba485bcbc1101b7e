//! The contenders in this process.

use super::Hashed;
use crate::contest::Failure;
use blake3::Hasher;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use crossbeam_channel::bounded;
use gristmill::Pipeline;
use gristmill_hashing::{Algorithm, Buffer, Files};
use rayon::iter::{ParallelBridge, ParallelIterator};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use walkdir::{DirEntry, WalkDir};

/// How much the hand-written versions read at once; 64 KiB to 1 MiB take the same time.
const BLOCK: usize = 256 << 10;
/// How much of a file they take at once where several threads share one.
const PIECE: u64 = 8 << 20;

fn n_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The files below a path, or the one that it is. What cannot be walked ends the contest.
fn files(root: &Path) -> impl Iterator<Item = Result<PathBuf, Failure>> + Send + use<> {
    let entries = WalkDir::new(root).into_iter();
    let is_wanted =
        |entry: &walkdir::Result<DirEntry>| entry.as_ref().map_or(true, |entry| entry.file_type().is_file());
    entries.filter(is_wanted).map(|entry| Ok(entry?.into_path()))
}

/// Reads a file block by block into a buffer and hashes it.
fn read_and_hash(path: PathBuf, buffer: &mut [u8]) -> Result<Hashed, Failure> {
    let mut file = File::open(&path)?;
    let read = file.read(buffer)?;
    let mut hasher = Hasher::new();
    hasher.update(&buffer[..read]);
    loop {
        match file.read(buffer)? {
            0 => return Ok((path, hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// One file after another.
pub(super) fn sequential(root: &Path) -> Result<Vec<Hashed>, Failure> {
    let mut buffer = vec![0; BLOCK];
    files(root).map(|path| read_and_hash(path?, &mut buffer)).collect()
}

/// The walk on one thread, and a channel of paths to as many as there are cores.
pub(super) fn threads_tree(root: &Path) -> Result<Vec<Hashed>, Failure> {
    let (paths, received) = bounded(1024);
    thread::scope(|scope| {
        let hash = || {
            let mut buffer = vec![0; BLOCK];
            received.iter().map(|path| read_and_hash(path, &mut buffer)).collect::<Result<Vec<_>, _>>()
        };
        let workers: Vec<_> = (0..n_threads()).map(|_| scope.spawn(hash)).collect();
        for path in files(root) {
            paths.send(path?)?;
        }
        drop(paths);
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok(all)
    })
}

/// Threads that take the next piece each, and the tree of BLAKE3 joined by hand: the best we know without a map.
pub(super) fn threads_file(path: &Path) -> Result<Vec<Hashed>, Failure> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let next = AtomicU64::new(0);
    let take_pieces = || -> io::Result<Vec<(u64, ChainingValue)>> {
        let mut buffer = vec![0; BLOCK];
        let mut values = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece * PIECE >= len {
                return Ok(values);
            }
            values.push((piece, hash_piece(&file, piece, len, &mut buffer)?));
        }
    };
    let mut values = thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads()).map(|_| scope.spawn(take_pieces)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok::<_, Failure>(all)
    })?;
    values.sort_unstable();
    let values: Vec<ChainingValue> = values.into_iter().map(|(_, value)| value).collect();
    Ok(vec![(path.to_owned(), join(&values, hazmat::merge_subtrees_root))])
}

fn hash_piece(file: &File, piece: u64, len: u64, buffer: &mut [u8]) -> io::Result<ChainingValue> {
    let (mut at, end) = (piece * PIECE, len.min((piece + 1) * PIECE));
    let mut hasher = Hasher::new();
    hasher.set_input_offset(at);
    while at < end {
        let most = (end - at).min(BLOCK as u64) as usize;
        file.read_exact_at(&mut buffer[..most], at)?;
        hasher.update(&buffer[..most]);
        at += most as u64;
    }
    Ok(hasher.finalize_non_root())
}

fn join<T>(values: &[ChainingValue], merge: fn(&ChainingValue, &ChainingValue, Mode<'_>) -> T) -> T {
    let side = |values: &[ChainingValue]| match values {
        [one] => *one,
        more => join(more, hazmat::merge_subtrees_non_root),
    };
    let (left, right) = values.split_at(values.len().next_power_of_two() / 2);
    merge(&side(left), &side(right), Mode::Hash)
}

/// walkdir, `par_bridge`, and reads.
pub(super) fn rayon_tree(root: &Path) -> Result<Vec<Hashed>, Failure> {
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; BLOCK]);
    }
    let hash = |path: Result<PathBuf, Failure>| BUFFER.with_borrow_mut(|buffer| read_and_hash(path?, buffer));
    files(root).par_bridge().map(hash).collect()
}

/// walkdir, `par_bridge`, and maps of all files that are not tiny: what blake3's own helper does.
pub(super) fn rayon_mmap_tree(root: &Path) -> Result<Vec<Hashed>, Failure> {
    let hash = |path: Result<PathBuf, Failure>| {
        let path = path?;
        let hash = Hasher::new().update_mmap(&path)?.finalize();
        Ok((path, hash))
    };
    files(root).par_bridge().map(hash).collect()
}

/// Blocks that are read by one thread and hashed by all.
pub(super) fn rayon_file(path: &Path) -> Result<Vec<Hashed>, Failure> {
    /// The largest that still stays in a cache: 1 to 16 MiB take the same time.
    const SHARED_BLOCK: usize = 2 << 20;
    let mut file = File::open(path)?;
    let mut buffer = vec![0; SHARED_BLOCK];
    let mut hasher = Hasher::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(vec![(path.to_owned(), hasher.finalize())]),
            read => hasher.update_rayon(&buffer[..read]),
        };
    }
}

/// What `b3sum` does.
pub(super) fn rayon_mmap_file(path: &Path) -> Result<Vec<Hashed>, Failure> {
    let hash = Hasher::new().update_mmap_rayon(path)?.finalize();
    Ok(vec![(path.to_owned(), hash)])
}

pub(super) fn gristmill(root: &Path) -> Result<Vec<Hashed>, Failure> {
    run(Files::walk([root], Algorithm::Blake3))
}

pub(super) fn gristmill_mmap(root: &Path) -> Result<Vec<Hashed>, Failure> {
    // SAFETY: the files are those that `data` made, and nobody else knows of them.
    run(unsafe { Files::walk([root], Algorithm::Blake3).mapped() })
}

fn run(files: Files<'_>) -> Result<Vec<Hashed>, Failure> {
    let report = Pipeline::extract(files)
        .flush_interval(std::time::Duration::from_millis(10))
        .try_map_init(|| Ok::<_, Infallible>(Buffer::new()), |buffer, task| task.hash(buffer))
        .collect::<Vec<_>>()
        .run()?;
    let hashed = report.output.into_iter().map(|hashed| {
        let bytes = hashed.digest.as_bytes().try_into()?;
        Ok((hashed.path, blake3::Hash::from_bytes(bytes)))
    });
    hashed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn all_contenders_hash_a_tree_alike() {
        let folder = std::env::temp_dir().join(format!("gristmill-benches-hash-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("empty"), "").unwrap();
        fs::write(folder.join("sub/large"), vec![7; (PIECE * 3 + 5) as usize]).unwrap();
        let sorted = |hash_all: super::super::HashAll, path: &Path| {
            let mut all = hash_all(path).unwrap();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        let expected = sorted(sequential, &folder);
        assert_eq!(expected.len(), 2);
        for hash_all in [threads_tree, rayon_tree, rayon_mmap_tree, gristmill, gristmill_mmap] {
            assert_eq!(sorted(hash_all, &folder), expected);
        }
        for hash_all in [sequential, threads_file, rayon_file, rayon_mmap_file, gristmill, gristmill_mmap] {
            assert_eq!(hash_all(&folder.join("sub/large")).unwrap(), expected[1..]);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
