//! Rows of CSV.
//!
//! There are two ways in:
//!
//! - [`rows`] parses the lines of a [`Chunk`](gristmill::Chunk), on whichever worker has the chunk. This is the fast one:
//!   the file is cut at line ends and all workers split and parse. A field in quotes may hold commas and quotes, but **no
//!   line end**, as the file is cut there; such a row is a clear error, not two wrong rows.
//! - [`open`] reads record after record on a thread of its own, line ends in quotes included, as the `csv` crate does.
//!
//! Both give a [`Row`], whose fields are found by column and parsed with errors that name the column and the text. Lines
//! without anything on them are left out, and a row with fewer or more fields than the header is an error.
//!
//! # Examples
//!
//! ```
//! use gristmill::{Chunks, prelude::*};
//! use gristmill_connect::csv::{self, Header};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("cities.csv");
//! std::fs::write(&path, "city,people\n\"Jena, Thuringia\",111000\nApolda,NA\nWeimar,many\n")?;
//!
//! let header = Header::of(&path)?;
//! let [city, people] = header.columns(["city", "people"])?;
//! let report = Pipeline::extract(Chunks::open(&path)?.lines().skip_records(1))
//!     .try_flat_map(|chunk| {
//!         csv::rows(chunk, &header, |row| Ok((row.text(city)?.to_owned(), row.optional::<u32>(people)?)))
//!     })
//!     .on_error(OnError::collect())
//!     .ordered()
//!     .collect::<Vec<_>>()
//!     .run()?;
//! assert_eq!(report.output, [("Jena, Thuringia".to_owned(), Some(111_000)), ("Apolda".to_owned(), None)]);
//! assert_eq!(
//!     report.failures[0].message,
//!     "line 4: column `people` holds `many`: invalid digit found in string"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod header;
mod records;
mod row;
mod rows;

pub use error::CsvError;
pub use header::Header;
pub use records::{Record, Records, open};
pub use row::{Row, Splitter};
pub use rows::{BadRow, Rows, rows};
