//! Checksums: a tree of many small and some large files, and one huge file, with BLAKE3.
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

/// The cases `tree` and `file`.
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
    Ok(vec![tree, file])
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
