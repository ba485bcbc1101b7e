//! What happens without arguments: a small tree, hashed and checked.

use super::{Job, Summary, check};
use anyhow::{Context, ensure};
use gristmill_hashing::list;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Makes a tree, hashes it, and holds the list against a plain loop and against `--check`.
///
/// # Errors
///
/// When the tree cannot be made, or anything is not as it should be.
pub fn run(job: &Job, out: &mut impl Write) -> anyhow::Result<Summary> {
    let scratch = tempfile::Builder::new().prefix("gristmill-hash-").tempdir().context("no temporary directory")?;
    let root = scratch.path().join("tree");
    make_tree(&root).context("could not make the tree")?;
    let mut lines = Vec::new();
    let summary = super::run(&Job { roots: vec![root], ..job.clone() }, &mut lines)?;
    out.write_all(&lines).and_then(|()| out.flush()).context("could not print")?;

    for entry in list::read(&*lines, job.algorithm) {
        let entry = entry?;
        let expected = job.algorithm.hash(&fs::read(&entry.path)?);
        ensure!(entry.digest == expected, "`{}` should have the digest {expected}", entry.path.display());
    }
    let list = scratch.path().join("list");
    fs::write(&list, &lines)?;
    let checked = check::run(job, &list, &mut Vec::new())?;
    ensure!(checked.is_well() && checked.good == FILES, "the list does not check: {checked}");
    Ok(summary)
}

/// How many files the tree has.
const FILES: u64 = 42;

fn make_tree(root: &Path) -> std::io::Result<()> {
    for folder in 0..4 {
        let folder = root.join(format!("folder-{folder}"));
        fs::create_dir_all(&folder)?;
        for file in 0..10 {
            fs::write(folder.join(format!("file-{file}")), format!("{file} ").repeat(1_000 * file))?;
        }
    }
    // Shared by all workers with BLAKE3, and a name that must be escaped.
    fs::write(root.join("large"), (0..20_000_000u32).map(|index| (index % 251) as u8).collect::<Vec<_>>())?;
    fs::write(root.join(if cfg!(unix) { "two\nlines" } else { "one line" }), "x")
}
