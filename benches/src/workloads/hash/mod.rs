//! Checksums: a tree of many small and some large files, one huge file, and one of which all must not be in memory at
//! once, with BLAKE3.
//!
//! The answer is the digest of the sorted lines of the list that `b3sum` would print.

mod data;
mod entrants;
mod outside;

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::workloads::Workload;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file and its digest.
type Hashed = (PathBuf, blake3::Hash);

/// What a contender in this process is: it hashes all files below a path.
type HashAll = fn(&Path) -> Result<Vec<Hashed>, Failure>;

/// `compare -- hash`.
pub const HASH: Workload = Workload { name: "hash", contests };

/// The cases `tree`, `file` and `stream`.
fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let tree: Rc<Path> = data::tree(setup)?.into();
    let file: Rc<Path> = data::file(setup)?.into();
    let mut entrants = vec![
        inside("sequential", &tree, entrants::sequential),
        inside("threads", &tree, entrants::threads_tree),
        inside("rayon", &tree, entrants::rayon_tree),
        inside("rayon-mmap", &tree, entrants::rayon_mmap_tree),
        inside("gristmill", &tree, entrants::gristmill),
        inside("gristmill-mmap", &tree, entrants::gristmill_mmap),
    ];
    entrants.extend(outside::tree(&tree));
    let tree = Contest { case: "tree hash".to_owned(), items: data::tree_files(setup), entrants };

    let mut entrants = vec![
        inside("sequential", &file, entrants::sequential),
        inside("threads", &file, entrants::threads_file),
        inside("rayon", &file, entrants::rayon_file),
        inside("rayon-mmap", &file, entrants::rayon_mmap_file),
        inside("gristmill", &file, entrants::gristmill),
        inside("gristmill-mmap", &file, entrants::gristmill_mmap),
    ];
    entrants.extend(outside::file(&file));
    let mib = data::file_bytes(setup) >> 20;
    let file = Contest { case: format!("file-{mib}-MiB hash"), items: mib, entrants };
    Ok(vec![tree, file, stream(setup)?])
}

/// What to look at is the memory: 8 GiB of zeros, which are nowhere but in the page cache.
fn stream(setup: &Setup) -> Result<Contest, Failure> {
    let bytes: u64 = if setup.quick { 64 << 20 } else { 8 << 30 };
    let sparse = Rc::new(data::Sparse::new(setup, bytes)?);
    let inside = |name, hash_all: HashAll| {
        let sparse = Rc::clone(&sparse);
        Entrant::new(name, move || Ok(answer(lines(&hash_all(sparse.path())?))))
    };
    let entrants = vec![
        inside("rayon-mmap", entrants::rayon_mmap_file),
        inside("gristmill", entrants::gristmill),
        inside("gristmill-mmap", entrants::gristmill_mmap),
    ];
    Ok(Contest { case: format!("{}-MiB stream", bytes >> 20), items: bytes >> 20, entrants })
}

fn inside(name: &'static str, path: &Rc<Path>, hash_all: HashAll) -> Entrant {
    let path = Rc::clone(path);
    Entrant::new(name, move || Ok(answer(lines(&hash_all(&path)?))))
}

fn lines(hashed: &[Hashed]) -> Vec<String> {
    hashed.iter().map(|(path, hash)| format!("{hash}  {}", path.display())).collect()
}

/// The digest of the lines in order.
fn answer(mut lines: Vec<String>) -> String {
    lines.sort_unstable();
    format!("{} files, {}", lines.len(), blake3::hash(lines.join("\n").as_bytes()))
}
