//! Where a source of chunks stands, and what its files are.

use super::ChunkError;
use crate::checkpoint::Mark;
use crate::checkpoint::crc::crc32c;
use crate::error::BoxError;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A place between two chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FilePlace {
    /// Which of the files, counted from zero.
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) line_ends: u64,
    /// Records still to be left out.
    pub(super) skip: u64,
}

impl FilePlace {
    /// Whether it is where a file begins of which so many records are left out.
    pub(super) fn is_start(&self, skip: u64) -> bool {
        (self.offset, self.skip) == (0, skip)
    }
}

impl From<FilePlace> for Mark {
    fn from(FilePlace { file, offset, line_ends, skip }: FilePlace) -> Mark {
        Mark::new([file, offset, line_ends, skip].map(u64::to_le_bytes).concat())
    }
}

impl TryFrom<&Mark> for FilePlace {
    type Error = BoxError;

    fn try_from(mark: &Mark) -> Result<FilePlace, BoxError> {
        let (numbers, rest) = mark.bytes().as_chunks::<8>();
        match (numbers, rest) {
            ([file, offset, line_ends, skip], []) => {
                let [file, offset, line_ends, skip] =
                    [file, offset, line_ends, skip].map(|bytes| u64::from_le_bytes(*bytes));
                Ok(FilePlace { file, offset, line_ends, skip })
            }
            _ => Err("it is no place in files".into()),
        }
    }
}

/// So much of each file is looked at.
const HEAD: u64 = 64 << 10;
/// The fingerprint of more files than this is that of their fingerprints.
const MOST_LINES: usize = 200;

/// Says what files are: a line each.
pub(super) fn fingerprint<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<String, ChunkError> {
    let error = |path: &'a Path| move |source| ChunkError::new(path, "look at", source);
    let lines = paths.map(|path| describe(path).map_err(error(path))).collect::<Result<Vec<_>, _>>()?;
    if lines.len() <= MOST_LINES {
        return Ok(lines.join("\n"));
    }
    let size: usize = lines.iter().map(String::len).sum();
    Ok(format!(
        "{} files, described by {size} bytes with checksum {:08x}",
        lines.len(),
        crc32c(lines.concat().as_bytes())
    ))
}

fn describe(path: &Path) -> io::Result<String> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        // That is the failure of an item.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(format!("no file `{}`", path.display())),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() {
        let kind = io::ErrorKind::InvalidInput;
        return Err(io::Error::new(kind, "it is no regular file, so a run cannot go on in the middle of it"));
    }
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(format!(
        "{} bytes of `{}`, changed at {}, beginning with checksum {:08x}",
        metadata.len(),
        path.display(),
        changed(&metadata),
        crc32c(&head)
    ))
}

/// Seconds since 1970, if the file system knows.
fn changed(metadata: &Metadata) -> String {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or_else(|| "?".to_owned(), |since| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()))
}
