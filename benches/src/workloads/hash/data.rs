//! Inputs of random bytes, the same in every run.

use crate::contest::{Failure, Setup};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// How many files of which sizes a tree has.
struct Sizes {
    small: u64,
    large: u64,
    large_bytes: u64,
}

fn sizes(setup: &Setup) -> Sizes {
    match setup.quick {
        true => Sizes { small: 200, large: 2, large_bytes: 1 << 20 },
        false => Sizes { small: 20_000, large: 20, large_bytes: 64 << 20 },
    }
}

/// How many files are in the tree.
pub(super) fn tree_files(setup: &Setup) -> u64 {
    let sizes = sizes(setup);
    sizes.small + sizes.large
}

/// The size of the one file.
pub(super) fn file_bytes(setup: &Setup) -> u64 {
    if setup.quick { 32 << 20 } else { 4 << 30 }
}

/// A folder of 200 folders of small files (4 to 64 KiB), and large ones among them.
pub(super) fn tree(setup: &Setup) -> Result<PathBuf, Failure> {
    let name = if setup.quick { "hash-tree-quick" } else { "hash-tree" };
    make(&setup.data.join(name), |root| {
        fs::create_dir(root)?;
        let sizes = sizes(setup);
        let mut random = Random(20_260_101);
        for folder in 0..200 {
            fs::create_dir(root.join(format!("{folder:03}")))?;
        }
        for index in 0..sizes.small {
            let bytes = (4 << 10) + random.next() % (60 << 10);
            write(&root.join(format!("{:03}/small-{index:05}", index % 200)), bytes, &mut random)?;
        }
        for index in 0..sizes.large {
            write(&root.join(format!("{:03}/large-{index:02}", 10 * index)), sizes.large_bytes, &mut random)?;
        }
        Ok(())
    })
}

/// One large file. Not a sparse one: reading zeros that are nowhere is too cheap.
pub(super) fn file(setup: &Setup) -> Result<PathBuf, Failure> {
    let bytes = file_bytes(setup);
    make(&setup.data.join(format!("hash-file-{}-mib", bytes >> 20)), |path| write(path, bytes, &mut Random(7)))
}

/// A file of zeros that take no room on the disk, and that is removed when this is dropped. Every process has its own.
pub(super) struct Sparse(PathBuf);

impl Sparse {
    pub(super) fn new(setup: &Setup, bytes: u64) -> Result<Self, Failure> {
        fs::create_dir_all(&setup.data)?;
        let sparse = Sparse(setup.data.join(format!("hash-sparse-{}", std::process::id())));
        File::create(&sparse.0)?.set_len(bytes)?;
        Ok(sparse)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        // Who cannot be removed is found by its name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes something at a path if it is not there, under another name until it is whole.
fn make(path: &Path, create: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<PathBuf, Failure> {
    if !path.exists() {
        let name = |error| format!("could not make `{}`: {error}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(name)?;
        let draft = path.with_extension("draft");
        if draft.is_dir() {
            fs::remove_dir_all(&draft).map_err(name)?;
        }
        create(&draft).and_then(|()| fs::rename(&draft, path)).map_err(name)?;
    }
    Ok(path.to_owned())
}

fn write(path: &Path, bytes: u64, random: &mut Random) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for at in (0..bytes).step_by(8) {
        let word = random.next().to_le_bytes();
        file.write_all(&word[..(bytes - at).min(8) as usize])?;
    }
    file.flush()
}

/// SplitMix64, by Sebastiano Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
