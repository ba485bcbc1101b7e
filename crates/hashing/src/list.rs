//! Lists of digests, as `b3sum`, `sha256sum` and `xxhsum` write and check them.
//!
//! A line is `digest  name`. Where a name holds a backslash, a line feed or a carriage return, these are written `\\`,
//! `\n` and `\r`, and the line begins with a backslash. Names are bytes: what is not UTF-8 is written as it is, as
//! `sha256sum` does (`b3sum` puts replacement characters, and so cannot check such names). Old versions of `xxhsum`, up to
//! 0.8.1, do not know the escapes.
//!
//! Read are also `digest *name` and tagged lines, `SHA256 (name) = digest`.

use crate::algorithm::{Algorithm, Digest};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// With which function it was hashed.
    pub algorithm: Algorithm,
    /// What its digest should be.
    pub digest: Digest,
}

/// Writes a line of a list, with its line end.
///
/// # Errors
///
/// Those of the writer.
///
/// # Examples
///
/// ```
/// use gristmill_hashing::{Algorithm, list};
///
/// let mut line = Vec::new();
/// list::write_line(&mut line, &Algorithm::Xxh3.hash(b"x"), "a\nb".as_ref())?;
/// assert_eq!(line, b"\\5c7401c0ec22eeeeeaf06c6480b2cd11  a\\nb\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_line(out: &mut impl Write, digest: &Digest, path: &Path) -> io::Result<()> {
    let (name, is_escaped) = escape(path);
    if is_escaped {
        out.write_all(b"\\")?;
    }
    write!(out, "{digest}  ")?;
    out.write_all(&name)?;
    out.write_all(b"\n")
}

/// Writes what became of an entry, `name: OK`, as `--check` of the known programs does.
///
/// # Errors
///
/// Those of the writer.
pub fn write_outcome(out: &mut impl Write, path: &Path, outcome: &str) -> io::Result<()> {
    let (name, is_escaped) = escape(path);
    if is_escaped {
        out.write_all(b"\\")?;
    }
    out.write_all(&name)?;
    writeln!(out, ": {outcome}")
}

/// The entries of a list, each with the number of its line, counted from one. Empty lines are passed over.
///
/// Untagged digests are taken for those of `algorithm`.
///
/// # Errors
///
/// Each item: a line that is none, after which the list goes on, or a failed read, after which it ends.
pub fn read(lines: impl BufRead, algorithm: Algorithm) -> impl Iterator<Item = Result<Entry, ListError>> {
    let mut lines = lines.split(b'\n');
    let mut number = 0;
    let mut has_failed = false;
    std::iter::from_fn(move || {
        while !has_failed {
            number += 1;
            let line = match lines.next()? {
                Ok(line) => line,
                Err(error) => {
                    has_failed = true;
                    return Some(Err(ListError::Read(error)));
                }
            };
            if !line.trim_ascii().is_empty() {
                return Some(parse_line(&line, algorithm).ok_or(ListError::Line { number }));
            }
        }
        None
    })
}

/// Why a list, or a line of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A line that is none of a list.
    #[error("line {number} is no digest and file name")]
    Line {
        /// Its number, counted from one.
        number: u64,
    },
    /// The list itself could not be read.
    #[error("could not read the list")]
    Read(#[source] io::Error),
}

/// Reads one line, with or without its line end. `None` if it is none of a list.
#[must_use]
pub fn parse_line(line: &[u8], algorithm: Algorithm) -> Option<Entry> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Names with a carriage return are escaped, so this one is that of a list from elsewhere.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (line, is_escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (algorithm, hex, name) = split_tagged(line).or_else(|| split_plain(line, algorithm))?;
    let digest = Digest::from_hex(algorithm, hex)?;
    let name = if is_escaped { unescape(name)? } else { name.to_vec() };
    if name.is_empty() || name.contains(&0) {
        return None;
    }
    Some(Entry { path: into_path(name)?, algorithm, digest })
}

/// `digest  name`, or `digest *name`.
fn split_plain(line: &[u8], algorithm: Algorithm) -> Option<(Algorithm, &[u8], &[u8])> {
    let (hex, rest) = line.split_at_checked(2 * algorithm.digest_bytes())?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    Some((algorithm, hex, name))
}

/// `TAG (name) = digest`. The name may hold what ends it, so this is looked for from the right.
fn split_tagged(line: &[u8]) -> Option<(Algorithm, &[u8], &[u8])> {
    let starts = |algorithm: &Algorithm| line.starts_with(algorithm.tag().as_bytes());
    let algorithm = Algorithm::ALL.into_iter().find(starts)?;
    let rest = line[algorithm.tag().len()..].strip_prefix(b" (")?;
    let (rest, hex) = rest.split_at_checked(rest.len().checked_sub(2 * algorithm.digest_bytes())?)?;
    Some((algorithm, hex, rest.strip_suffix(b") = ")?))
}

fn escape(path: &Path) -> (Vec<u8>, bool) {
    let name = name_of(path);
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'\r');
    if !name.iter().any(is_special) {
        return (name, false);
    }
    let mut escaped = Vec::with_capacity(name.len() + 8);
    for byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            byte => escaped.push(byte),
        }
    }
    (escaped, true)
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(plain)
}

#[cfg(unix)]
fn name_of(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn into_path(name: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(name).into())
}

/// With slashes, so that a list made here can be checked elsewhere, as `b3sum` does.
#[cfg(windows)]
fn name_of(path: &Path) -> Vec<u8> {
    path.to_string_lossy().replace('\\', "/").into_bytes()
}

#[cfg(windows)]
fn into_path(name: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(name).ok().map(PathBuf::from)
}
