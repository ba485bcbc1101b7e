//! Files in memory: the one place where they are mapped. What that asks for is handed on, by `read`, to whoever chose it.

use memmap2::MmapOptions;
use std::fs::File;
use std::io;

/// Maps a part of a file and lets `look` see it.
///
/// The pages come by faults, sixteen at a time: entering them at once (`populate`) looks at each, and takes longer.
///
/// # Safety
///
/// No process may write to or truncate the file meanwhile.
pub(crate) unsafe fn with_mapped<T>(
    file: &File,
    offset: u64,
    len: usize,
    look: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    // SAFETY: the caller keeps the file as it is, and nobody here ever gets `&mut` to the bytes.
    let window = unsafe { MmapOptions::new().offset(offset).len(len).map(file)? };
    Ok(look(&window))
}
