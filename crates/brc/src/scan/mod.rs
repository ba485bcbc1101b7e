//! The loop that all the time goes to.
//!
//! A row depends on the one before it only by where it begins, but that is a chain of thirty cycles. So a piece is cut in
//! four lanes that end where lines end, and a row of each is read in turn: the core then has the work of four rows to
//! choose from.
//!
//! A row goes this way, as long as nothing about it is unusual:
//!
//! 1. 32 bytes are loaded, the first `;` is found in them, and what is after it is made zero: the *head*.
//! 2. The head is hashed, and compared with that in the [table](crate::table).
//! 3. The [number](crate::number) after the `;` is read and its shape is checked.
//!
//! A name of 32 bytes and more has a *tail*: the 72 bytes after the head, of which those after the `;` are made zero. It is
//! cut, hashed and compared as the head is, however long the name: a loop that ends with the name would cost a mispredicted
//! branch a row. Such rows are longer than the core expects, so what comes is asked for in advance.
//!
//! Whatever else is not as expected (a new name, a line end of two bytes, the end of the piece, a mistake) goes to
//! [`row::read`], which is slow and decides. No name gets into the table without its check, so one that is found there is a
//! good one.
//!
//! The work is the same for all kernels; they differ in how they handle the head.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
pub use portable::Portable;

use crate::number;
use crate::row::{self, LONGEST_NAME};
use crate::table::Table;
use memchr::memchr;
use std::num::NonZeroUsize;

/// Bytes of a name that are handled at once.
pub const HEAD: usize = 32;
/// A head, `;` and the eight bytes in which a number is looked for; some more for whole words.
const WINDOW: usize = 48;
/// The first bytes of a tail: there is room for so many beside the head.
pub const NECK: usize = 8;
/// The others.
pub const BODY: usize = 64;
/// Bytes in which the `;` of a long name is looked for. The number after it is in them, too.
pub const LONG_WINDOW: usize = 128;
const _: () = assert!(LONGEST_NAME < HEAD + NECK + BODY && LONGEST_NAME + 1 + 8 <= LONG_WINDOW);
/// Rows that are read in turn.
const LANES: usize = 4;

/// How a machine handles 32 bytes.
pub trait Kernel: Copy {
    /// The bytes of a head, in registers.
    type Head: Copy;
    /// Those of a tail.
    type Tail: Copy;

    /// The bytes up to the first `;` and with it, then zeros; and how many are before it. All 32 if there is none.
    fn cut(self, bytes: &[u8; HEAD]) -> (Self::Head, usize);

    /// The bytes as they are.
    fn load(self, bytes: &[u8; HEAD]) -> Self::Head;

    fn is_same(self, head: Self::Head, other: &[u8; HEAD]) -> bool;

    /// A number whose low bits depend on all bytes.
    fn hash(self, head: Self::Head) -> u64;

    /// The head and the tail of a name of 32 bytes or more, and how long it is; more than [`LONGEST_NAME`] if there is no
    /// `;` before.
    fn cut_long(self, bytes: &[u8; LONG_WINDOW]) -> (Self::Head, Self::Tail, usize);

    /// The bytes as they are.
    fn load_tail(self, neck: &[u8; NECK], body: &[u8; BODY]) -> Self::Tail;

    fn is_same_tail(self, tail: Self::Tail, other: Self::Tail) -> bool;

    /// A number whose low bits depend on all bytes of both.
    fn hash_long(self, head: Self::Head, tail: Self::Tail) -> u64;

    /// The bits of a word that are set in `bits`, side by side; `bits` is always the same.
    fn gather(self, word: u64, bits: u64) -> u64;

    /// Says that what comes soon after this place will be read.
    fn announce(self, bytes: &[u8], at: usize);

    /// [`long_row`], compiled for this kernel.
    fn long_row(self, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize>;
}

/// Adds the rows of a piece, which ends where a line or the file ends. False if one of them is none: then the table is of
/// no use any more.
#[inline(always)]
fn scan<K: Kernel>(kernel: K, bytes: &[u8], table: &mut Table) -> bool {
    let borders = cut_in_lanes(bytes);
    let [mut a, mut b, mut c, mut d, _] = borders;
    // Four variables, not an array: they stay in registers.
    while a < borders[1] && b < borders[2] && c < borders[3] && d < borders[4] {
        let Some(next) = add_row(kernel, bytes, a, table) else { return false };
        a = next.get();
        let Some(next) = add_row(kernel, bytes, b, table) else { return false };
        b = next.get();
        let Some(next) = add_row(kernel, bytes, c, table) else { return false };
        c = next.get();
        let Some(next) = add_row(kernel, bytes, d, table) else { return false };
        d = next.get();
    }
    let mut at = [a, b, c, d];
    for lane in 0..LANES {
        while at[lane] < borders[lane + 1] {
            let Some(next) = add_row(kernel, bytes, at[lane], table) else { return false };
            at[lane] = next.get();
        }
    }
    true
}

/// Where lanes begin, and where the last one ends. Some may be empty.
fn cut_in_lanes(bytes: &[u8]) -> [usize; LANES + 1] {
    let mut borders = [0; LANES + 1];
    for lane in 1..=LANES {
        // In two steps, as the product might be too large.
        let aim = (bytes.len() / LANES * lane).max(borders[lane - 1]);
        borders[lane] = memchr(b'\n', &bytes[aim..]).map_or(bytes.len(), |end| aim + end + 1);
    }
    borders[LANES] = bytes.len();
    borders
}

/// Adds the row that begins there, and returns where the next one begins.
#[inline(always)]
fn add_row<K: Kernel>(kernel: K, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
    let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk::<WINDOW>) else {
        return slow_row(kernel, bytes, at, table);
    };
    let (head, name_len) = kernel.cut(first(window));
    if name_len >= HEAD {
        return kernel.long_row(bytes, at, table);
    }
    let Some((tenths, len)) = parse(kernel, &window[name_len + 1..]) else {
        return slow_row(kernel, bytes, at, table);
    };
    let Some(stats) = table.find_short(kernel, head) else {
        return slow_row(kernel, bytes, at, table);
    };
    stats.add(tenths);
    NonZeroUsize::new(at + name_len + 1 + len)
}

/// The same for a row with a name of 32 bytes or more.
#[inline(always)]
fn long_row<K: Kernel>(kernel: K, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
    let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk::<LONG_WINDOW>) else {
        return slow_row(kernel, bytes, at, table);
    };
    kernel.announce(bytes, at);
    let (head, tail, name_len) = kernel.cut_long(window);
    if name_len > LONGEST_NAME {
        return slow_row(kernel, bytes, at, table);
    }
    let Some((tenths, len)) = parse(kernel, &window[name_len + 1..]) else {
        return slow_row(kernel, bytes, at, table);
    };
    let Some(stats) = table.find_long(kernel, head, tail) else {
        return slow_row(kernel, bytes, at, table);
    };
    stats.add(tenths);
    NonZeroUsize::new(at + name_len + 1 + len)
}

#[inline(always)]
fn parse<K: Kernel>(kernel: K, text: &[u8]) -> Option<(i32, usize)> {
    number::parse(*first(text), |word, bits| kernel.gather(word, bits))
}

/// The first bytes of a slice that has more: each caller cuts it from an array or a window of a fixed size, and a name in a
/// window ends early enough for a number after it.
#[inline(always)]
pub fn first<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.first_chunk().expect("the slice is long enough")
}

#[cold]
#[inline(never)]
fn slow_row<K: Kernel>(kernel: K, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
    let row = row::read(&bytes[at..]).ok()?;
    table.find_or_add(kernel, row.name).add(row.tenths);
    NonZeroUsize::new(at + row.len)
}
