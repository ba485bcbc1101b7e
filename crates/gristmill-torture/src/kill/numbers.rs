//! The job of all stores but one: the lines of a file are numbers, and each is stored with its double; some are none.

use super::kind::Kind;
use anyhow::bail;
use gristmill::prelude::*;
use gristmill::{Bytes, Checkpoint, Chunks, Signals, store};
use gristmill_connect::lines::{LinesFile, WholeLines};
use gristmill_connect::sqlite::Sqlite;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a line of the input, with its end. All have as many, so that it is known which lines a chunk has.
pub(super) const LINE: usize = 16;
/// Lines of a chunk, which is what a position counts.
pub(super) const CHUNK_LINES: u64 = 32;
/// Bytes of input that may be in flight.
pub(super) const BUDGET: usize = 32 << 10;
/// Rows of a batch, which is a transaction where the progress is in a file.
const BATCH: usize = 500;

/// A line of the input.
type Line = String;

/// Where a job reads and writes.
struct Paths<'a> {
    folder: &'a Path,
    name: &'a str,
}

impl Paths<'_> {
    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.name))
    }

    fn checkpoint(&self, every: Duration) -> Checkpoint {
        Checkpoint::file(self.path(".checkpoint")).every(every)
    }

    fn rejected(&self) -> impl Store<DeadLetter<Line, ParseIntError>> + use<> {
        WholeLines::new(self.path(".rejected"), write_letter)
    }
}

fn write_letter(letter: &DeadLetter<Line, ParseIntError>, line: &mut Vec<u8>) -> io::Result<()> {
    line.write_all(letter.item.as_deref().unwrap_or("?").as_bytes())
}

/// A number with its double. The end of it shows that it is whole.
fn write_number(number: &u64, line: &mut Vec<u8>) -> io::Result<()> {
    write!(line, "{number} {};", number * 2)
}

/// The numbers of the input; what is none goes where it is told.
fn numbers<'env>(
    input: &Path,
    rejected: OnError<'env, Line, ParseIntError>,
    token: &CancelToken,
) -> anyhow::Result<gristmill::Joined<'env, u64>> {
    let chunks = Chunks::open(input)?.target(Bytes::new(CHUNK_LINES as usize * LINE)).lines();
    Ok(Pipeline::extract(chunks)
        .memory_budget(Bytes::new(BUDGET))
        .flat_map(|chunk| {
            chunk.into_lines().map(|(_, line)| String::from_utf8_lossy(&line).into_owned()).collect::<Vec<_>>()
        })
        .try_map(|line: Line| line.parse::<u64>())
        .on_error(rejected)
        .map_blocking(2, |number| number)
        .ordered()
        .cancel_token(token)
        .boxed())
}

/// The job itself, in the process that may be killed.
pub(super) fn work(kind: Kind, folder: &Path, name: &str, every: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let paths = Paths { folder, name };
    let input = folder.join("numbers");
    let whole = |suffix| WholeLines::new(paths.path(suffix), write_number);
    let token = CancelToken::new();
    let _watch = Signals::new(&token).watch()?;
    let gone_on_with = || -> anyhow::Result<_> {
        Ok(numbers(&input, OnError::dead_letter(paths.rejected()), &token)?.checkpoint(paths.checkpoint(every)))
    };
    let report = match kind {
        Kind::Sqlite => bail!("this is not a job of numbers"),
        Kind::SqliteAndFile => {
            let rows = Sqlite::open(paths.path(".db"))?
                .table_sql(
                    "CREATE TABLE IF NOT EXISTS numbers (number INTEGER NOT NULL, double INTEGER NOT NULL) STRICT",
                )?
                .insert("INSERT INTO numbers VALUES (?, ?)", |insert, number: &u64| {
                    insert.execute([number.cast_signed(), number.cast_signed() * 2])
                })?;
            gone_on_with()?.batch(BATCH).store(rows).run()
        }
        Kind::WholeLines => gone_on_with()?.store(whole(".out")).run(),
        Kind::TwoEnds => gone_on_with()?.broadcast(|copies| copies.store(whole(".out2"))).store(whole(".out")).run(),
        Kind::FromFn => {
            let (mut file, mut line) = (append(&paths.path(".out"))?, Vec::new());
            let write = move |number: u64| {
                line.clear();
                write_number(&number, &mut line)?;
                line.push(b'\n');
                file.write_all(&line)
            };
            gone_on_with()?.store(store::from_fn(write)).run()
        }
        Kind::Alone => numbers(&input, OnError::skip(), &token)?.store(whole(".out")).run(),
        Kind::Growing => {
            let rejected = LinesFile::create(paths.path(".rejected"), write_letter)?;
            let store = LinesFile::create(paths.path(".out"), write_number)?;
            numbers(&input, OnError::dead_letter(rejected), &token)?.store(store).run()
        }
    }?;
    writeln!(out, "{report}")?;
    Ok(())
}

/// Opens a file to go on writing it, on a new line.
fn append(path: &Path) -> io::Result<File> {
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}
