//! A file that appears under its name when it is whole.

use super::{LinesError, write_line};
use gristmill::{Outcome, Progress, Receipt, Store};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file of lines, one an item, that is there as a whole or not at all: a store.
///
/// Lines go to a file beside it, with `.partial` at the end of its name. When the run has completed that is synced, renamed
/// and its directory synced. What an aborted run leaves of it is removed, unless a
/// [checkpoint](gristmill::Pipeline::checkpoint) was kept: then a run that goes on cuts it off where the checkpoint is, and
/// each line is in the file exactly once.
///
/// A run that was drained has completed, with what it had extracted. But with a checkpoint there is more to come: the file
/// appears when a run that goes on has come to the end of the source.
///
/// If no item comes no file is made. A line end inside a line is written as `\n` or `\r` in letters.
///
/// # Examples
///
/// ```
/// use gristmill::{Checkpoint, prelude::*};
/// use gristmill_connect::lines::WholeLines;
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("squares.txt");
/// let job = |dies_at: u64| {
///     let squares = WholeLines::new(&path, |square: &u64, line: &mut Vec<u8>| write!(line, "{square}"));
///     Pipeline::extract(0..100u64)
///         .try_map(|number| if number == dies_at { Err("the power fails") } else { Ok(number * number) })
///         .checkpoint(Checkpoint::file(folder.path().join("squares.checkpoint")))
///         .store(squares)
///         .run()
/// };
/// assert!(job(70).is_err() && !path.exists());
/// job(1_000)?;
/// assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WholeLines<F> {
    path: PathBuf,
    state: State,
    format: F,
    line: Vec<u8>,
    /// Set if a run may go on from what was written: whether there is nothing more to come.
    committed: Option<bool>,
    /// A line was not written, or only a part of it.
    broken: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet.
    Unopened,
    Open {
        file: BufWriter<File>,
        len: u64,
    },
    /// It is in its place, from an earlier run.
    Published,
    Finished,
}

impl<F> fmt::Debug for WholeLines<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeLines").field("path", &self.path).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<F> WholeLines<F> {
    /// Will make a file of what `format` writes of each item.
    ///
    /// Nothing is looked at or made yet. That there is a file already, which is not overwritten, comes out with the first
    /// item.
    pub fn new<T>(path: impl Into<PathBuf>, format: F) -> Self
    where
        F: FnMut(&T, &mut Vec<u8>) -> io::Result<()>,
    {
        WholeLines {
            path: path.into(),
            state: State::Unopened,
            format,
            line: Vec::new(),
            committed: None,
            broken: false,
        }
    }

    fn partial(&self) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(".partial");
        name.into()
    }

    fn error(&self, action: &'static str) -> impl Fn(io::Error) -> LinesError + use<F> {
        let path = self.path.clone();
        move |source| LinesError { path: path.clone(), action, source }
    }

    /// The file, made anew if nothing has come yet.
    fn open(&mut self) -> Result<(&mut BufWriter<File>, &mut u64), LinesError> {
        if matches!(self.state, State::Unopened) {
            if self.path.exists() {
                return Err(self.error("create")(ErrorKind::AlreadyExists.into()));
            }
            // What a run left behind that nobody goes on from is written over.
            let file = File::create(self.partial()).map_err(self.error("create the part of"))?;
            self.state = State::Open { file: BufWriter::new(file), len: 0 };
        }
        let finished = self.error("write to");
        match &mut self.state {
            State::Open { file, len } => Ok((file, len)),
            State::Published => Err(finished(io::Error::other(
                "an earlier run has finished it; what the input has more since then needs another file and checkpoint",
            ))),
            _ => Err(finished(io::Error::other("it is finished"))),
        }
    }

    /// Opens what an earlier run has written, as it was at a checkpoint.
    fn reopen(&self, len: u64) -> io::Result<State> {
        let partial = self.partial();
        let mut file = match OpenOptions::new().write(true).open(&partial) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.published(len),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?.len();
        if found < len {
            return Err(io::Error::other(format!("`{}` has {found} of {len} bytes", partial.display())));
        }
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        Ok(State::Open { file: BufWriter::new(file), len })
    }

    /// What there must be if there is no part.
    fn published(&self, len: u64) -> io::Result<State> {
        match self.path.metadata() {
            Ok(found) if found.len() == len => Ok(State::Published),
            Ok(found) => Err(io::Error::other(format!("it is finished, with {} bytes, not {len}", found.len()))),
            Err(error) if error.kind() == ErrorKind::NotFound && len == 0 => Ok(State::Unopened),
            Err(error) => Err(error),
        }
    }

    /// Refuses to vouch for a file that may end in the middle of a line.
    fn check(&self) -> Result<(), LinesError> {
        let error = self.error("vouch for");
        if self.broken { Err(error(io::Error::other("a line could not be written"))) } else { Ok(()) }
    }

    fn publish(&self) -> io::Result<()> {
        fs::rename(self.partial(), &self.path)?;
        sync_directory(&self.path)
    }
}

/// The length of the file at a checkpoint, and whether there is nothing more to come.
fn receipt(len: u64, complete: bool) -> Receipt {
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.push(u8::from(complete));
    Receipt::new(bytes)
}

fn read_receipt(receipt: &Receipt) -> Option<(u64, bool)> {
    let (complete, len) = receipt.bytes().split_last()?;
    Some((u64::from_le_bytes(len.try_into().ok()?), *complete != 0))
}

/// Makes names as durable as the files.
fn sync_directory(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl<T, F> Store<T> for WholeLines<F>
where
    F: FnMut(&T, &mut Vec<u8>) -> io::Result<()> + Send,
{
    type Error = LinesError;

    fn store(&mut self, item: T) -> Result<(), LinesError> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        (self.format)(&item, &mut line).map_err(self.error("write a line for"))?;
        let error = self.error("write to");
        let (file, len) = self.open()?;
        let written = write_line(file, &line).map(|written| *len += written);
        self.line = line;
        self.broken |= written.is_err();
        written.map_err(error)
    }

    fn flush(&mut self) -> Result<(), LinesError> {
        let error = self.error("write to");
        if let State::Open { file, .. } = &mut self.state { file.flush().map_err(error) } else { Ok(()) }
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, LinesError> {
        self.check()?;
        Store::<T>::flush(self)?;
        let len = match &self.state {
            State::Open { file, len } => {
                file.get_ref().sync_data().map_err(self.error("sync"))?;
                if self.committed.is_none() {
                    sync_directory(&self.path).map_err(self.error("sync the directory of"))?;
                }
                *len
            }
            State::Published => self.path.metadata().map_err(self.error("look at"))?.len(),
            State::Unopened | State::Finished => 0,
        };
        self.committed = Some(progress.is_complete());
        Ok(receipt(len, progress.is_complete()))
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), LinesError> {
        let error = self.error("go on with");
        let read = read_receipt(receipt);
        let (len, complete) =
            read.ok_or_else(|| error(io::Error::other("the checkpoint does not say how long it was")))?;
        self.state = self.reopen(len).map_err(error)?;
        self.committed = Some(complete);
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), LinesError> {
        let flushed = Store::<T>::flush(self);
        let State::Open { file, .. } = std::mem::replace(&mut self.state, State::Finished) else { return Ok(()) };
        // Drained: a run that goes on has lines to add.
        let has_more = self.committed == Some(false);
        if outcome == Outcome::Completed && !has_more {
            self.check()?;
            flushed?;
            file.get_ref().sync_all().map_err(self.error("sync"))?;
            return self.publish().map_err(self.error("put into its place"));
        }
        if self.committed.is_some() {
            return flushed;
        }
        fs::remove_file(self.partial()).map_err(self.error("remove the part of"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill::{CancelToken, Checkpoint, Pipeline};
    use tempfile::TempDir;

    fn lines(folder: &TempDir) -> WholeLines<impl FnMut(&u64, &mut Vec<u8>) -> io::Result<()> + use<>> {
        WholeLines::new(folder.path().join("lines"), |number: &u64, line: &mut Vec<u8>| write!(line, "{number}"))
    }

    fn store(file: &mut impl Store<u64, Error = LinesError>, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| file.store(number).unwrap());
    }

    fn commit(file: &mut impl Store<u64, Error = LinesError>) -> Receipt {
        file.commit(&Progress::default()).unwrap()
    }

    fn names(folder: &TempDir) -> Vec<String> {
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = lines(&folder);
        store(&mut file, 0..3);
        assert_eq!(names(&folder), ["lines.partial"]);
        Store::<u64>::finish(&mut file, Outcome::Completed).unwrap();
        assert_eq!(names(&folder), ["lines"]);
        assert_eq!(fs::read_to_string(folder.path().join("lines")).unwrap(), "0\n1\n2\n");
        assert!(lines(&folder).store(7).is_err(), "it is not overwritten");
    }

    #[test]
    fn an_aborted_run_leaves_nothing_that_nobody_can_go_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = lines(&folder);
        store(&mut file, 0..3);
        Store::<u64>::finish(&mut file, Outcome::Aborted).unwrap();
        assert_eq!(names(&folder), [""; 0]);
        let mut file = lines(&folder);
        Store::<u64>::finish(&mut file, Outcome::Completed).unwrap();
        assert_eq!(names(&folder), [""; 0], "no line makes no file");
    }

    #[test]
    fn what_came_after_the_checkpoint_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = lines(&folder);
        store(&mut file, 0..3);
        let receipt = commit(&mut file);
        store(&mut file, 3..50);
        Store::<u64>::finish(&mut file, Outcome::Aborted).unwrap();
        let mut file = lines(&folder);
        Store::<u64>::resume(&mut file, &receipt).unwrap();
        store(&mut file, 7..8);
        commit(&mut file);
        // The source has ended. The process dies here: nothing is finished. Then it does so once more after the rename.
        let receipt = super::receipt(8, true);
        for _ in 0..2 {
            let mut file = lines(&folder);
            Store::<u64>::resume(&mut file, &receipt).unwrap();
            Store::<u64>::finish(&mut file, Outcome::Completed).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("lines")).unwrap(), "0\n1\n2\n7\n");
        }
    }

    #[test]
    fn what_was_drained_is_gone_on_with_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let run = |drained_at: Option<u64>| {
            let token = CancelToken::new();
            let source = (0..2_000u64).inspect(|number| {
                if Some(*number) == drained_at {
                    token.drain();
                }
            });
            let checkpoint = Checkpoint::file(folder.path().join("checkpoint"));
            Pipeline::extract(source).cancel_token(&token).checkpoint(checkpoint).store(lines(&folder)).run().unwrap()
        };
        let drained = run(Some(700));
        assert!(drained.drained && !path.exists());
        // Drained before anything has come, so that there is no new checkpoint.
        let again = run(Some(0));
        assert!(again.totals().stored == 0 && !path.exists(), "{again}");
        let last = run(None);
        assert!(last.resumed_at.is_some_and(|position| position > 700));
        let all: String = (0..2_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(fs::read_to_string(&path).unwrap(), all);
        let nothing = run(None);
        assert_eq!((nothing.totals().extracted, fs::read_to_string(&path).unwrap()), (0, all));
    }

    #[test]
    fn without_a_checkpoint_what_was_drained_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let token = CancelToken::new();
        token.drain();
        Pipeline::extract(0..5u64).cancel_token(&token).store(lines(&folder)).run().unwrap();
        assert!(names(&folder).is_empty(), "there was nothing");
        let token = CancelToken::new();
        let source = (0..5u64).inspect(|number| {
            if *number == 2 {
                token.drain();
            }
        });
        Pipeline::extract(source).cancel_token(&token).ordered().store(lines(&folder)).run().unwrap();
        let text = fs::read_to_string(folder.path().join("lines")).unwrap();
        assert!(text.starts_with("0\n1\n2\n"), "{text}");
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_or_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = lines(&folder);
        store(&mut file, 0..3);
        let receipt = commit(&mut file);
        drop(file);
        fs::write(folder.path().join("lines.partial"), "0\n").unwrap();
        assert!(Store::<u64>::resume(&mut lines(&folder), &receipt).is_err());
        fs::remove_file(folder.path().join("lines.partial")).unwrap();
        assert!(Store::<u64>::resume(&mut lines(&folder), &receipt).is_err());
    }
}
