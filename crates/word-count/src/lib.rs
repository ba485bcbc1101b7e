//! Counting words: map-reduce over text, on every core.
//!
//! [`Counter`] is the accumulator of a [`fold`](gristmill::Pipeline::fold); each worker has one. It takes chunks of a
//! file that end where a word ends, which [`Spaces`] sees to.
//! [`finish`](Counter::finish) merges what the workers have, in parallel.
//!
//! ```
//! use gristmill::{Chunks, prelude::*};
//! use gristmill_word_count::{Case, Counter, Spaces, Words};
//!
//! # let path = std::env::temp_dir().join("gristmill-doc-words.txt");
//! std::fs::write(&path, "The mill, the grist and THE flour")?;
//! let report = Pipeline::extract(Chunks::open(&path)?.split(Spaces))
//!     .fold(Counter::new, Counter::add, Counter::merge)
//!     .run()?;
//! let counts = report.output.finish(Words::Unicode, Case::Lowered);
//! assert_eq!(counts.top(2), [(&b"the"[..], 3), (&b"and"[..], 1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How
//!
//! What lies between white space of ASCII is counted as it is: bytes, not characters, in whatever case. Each worker
//! has a hash table for that. An occurrence allocates nothing; a new word of more than 16 bytes is copied to the table's
//! arena. Only when all has been counted are the distinct ones taken for [`Words`], lowered and decoded: once each, not
//! once for each time they occur. The tables are then merged in parts, one for each range of hashes, on all threads.
//!
//! Memory: about 64 bytes for each distinct word in each worker, and the bytes of long ones. It has no bound but that.

#![deny(unsafe_code)]

mod canon;
mod counter;
mod counts;
mod hash;
#[allow(unsafe_code, reason = "the instructions of one kind of machine")]
mod scan;
mod space;
mod table;

pub use canon::{Case, Words};
pub use counter::Counter;
pub use counts::Counts;
pub use space::Spaces;
