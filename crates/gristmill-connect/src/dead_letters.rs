//! Dead letters in a file, and back into a pipeline.
//!
//! A file has one JSON object a line, in the order in which items failed:
//!
//! ```json
//! {"position":7,"stage":"lookup","attempts":3,"errors":["no answer","timed out"],"item":{"host":"example.org"}}
//! ```
//!
//! [`create`] makes the store for [`OnError::dead_letter`](gristmill::OnError::dead_letter). When the reason is mended,
//! [`replay`] is a source of the items, for the same pipeline. What a stage before the failed one had made of an item is
//! what is stored, so a replay begins at the stage that failed; let that be the first, or keep what the source gave
//! inside the items.

use crate::lines::{LinesError, LinesFile};
use gristmill::{Cause, DeadLetter, Source};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// What is written of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// Where in the source the item came from, counted from zero.
    pub position: u64,
    /// The stage that it failed in.
    pub stage: String,
    /// How often the stage tried.
    pub attempts: u32,
    /// What went wrong, and what caused that, outermost first.
    pub errors: Vec<String>,
    /// The item as it entered the stage; none where it never came to be, as in a source that failed.
    pub item: Option<T>,
}

/// As a record, but of a borrowed item.
#[derive(Serialize)]
struct RecordRef<'a, T> {
    position: u64,
    stage: &'a str,
    attempts: u32,
    errors: Vec<String>,
    item: Option<&'a T>,
}

/// A new file for dead letters whose errors are said by their `Display`. It is made when the first comes.
///
/// # Errors
///
/// When the path is a file or a directory, or is in a directory that is not there.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_connect::dead_letters;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rejected.jsonl");
/// let parse = |text: String| text.trim_end_matches('?').parse::<u32>();
///
/// Pipeline::extract(["1", "2?", "3"].into_iter().map(String::from))
///     .try_map(str_to_number)
///     .on_error(OnError::dead_letter(dead_letters::create(&path)?))
///     .count()
///     .run()?;
///
/// // The function was mended; what it had rejected goes through it again.
/// let report = Pipeline::extract(dead_letters::replay::<String>(&path)?).try_map(parse).collect::<Vec<_>>().run()?;
/// assert_eq!(report.output, [2]);
/// # fn str_to_number(text: String) -> Result<u32, std::num::ParseIntError> { text.parse() }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn create<T, E>(
    path: impl Into<PathBuf>,
) -> Result<LinesFile<impl FnMut(&DeadLetter<T, E>, &mut Vec<u8>) -> io::Result<()> + Send>, LinesError>
where
    T: Serialize,
    E: Display,
{
    create_with(path, |error: &E| vec![error.to_string()])
}

/// As [`create`], with a function that says an error: [`chain`] names all its causes.
///
/// # Errors
///
/// As [`create`].
pub fn create_with<T, E>(
    path: impl Into<PathBuf>,
    say: impl Fn(&E) -> Vec<String> + Send,
) -> Result<LinesFile<impl FnMut(&DeadLetter<T, E>, &mut Vec<u8>) -> io::Result<()> + Send>, LinesError>
where
    T: Serialize,
{
    LinesFile::create(path, move |letter: &DeadLetter<T, E>, line: &mut Vec<u8>| {
        let record = RecordRef {
            position: letter.position,
            stage: &letter.stage,
            attempts: letter.attempts,
            errors: match &letter.cause {
                Cause::Error(error) => say(error),
                other => vec![other.as_ref().map(|_| "").to_string()],
            },
            item: letter.item.as_ref(),
        };
        serde_json::to_writer(line, &record).map_err(io::Error::from)
    })
}

/// The words of an error and of all its causes.
pub fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push(error.to_string());
        cause = error.source();
    }
    said
}

/// Why a line of a file of dead letters gives no item.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not a dead letter, or its item is not what was asked for: the end of a file may be torn.
    #[error("line {line} of {} is no dead letter of this kind", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Its line, counted from one.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The letter has no item: it was the source that failed.
    #[error("line {line} of {} has no item to replay: position {position} of the source failed", path.display())]
    NoItem {
        /// The file.
        path: PathBuf,
        /// Its line, counted from one.
        line: u64,
        /// Where in the source it was.
        position: u64,
    },
}

/// The records of a file, one after another.
///
/// # Errors
///
/// If the file cannot be opened. What is wrong with a line is an error in its place, and the next one follows.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Records<T>, ReplayError> {
    let path = path.as_ref().to_path_buf();
    let opened = File::open(&path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    match opened {
        Ok(file) => Ok(Records { path, file: BufReader::new(file), text: Vec::new(), line: 0, makes: PhantomData }),
        Err(source) => Err(ReplayError::Read { path, source }),
    }
}

/// A source of the items of a file, in its order. An item has the number of its line as its position, counted from zero.
///
/// # Errors
///
/// As [`read`].
pub fn replay<T: DeserializeOwned + Send>(path: impl AsRef<Path>) -> Result<Replay<T>, ReplayError> {
    read(path).map(Replay)
}

/// Returned by [`read`].
#[derive(Debug)]
pub struct Records<T> {
    path: PathBuf,
    file: BufReader<File>,
    text: Vec<u8>,
    line: u64,
    makes: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<Record<T>, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        self.line += 1;
        match self.file.read_until(b'\n', &mut self.text) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&self.text).map_err(|source| ReplayError::Parse {
                path: self.path.clone(),
                line: self.line,
                source,
            })),
            Err(source) => Some(Err(ReplayError::Read { path: self.path.clone(), source })),
        }
    }
}

/// Returned by [`replay`].
#[derive(Debug)]
pub struct Replay<T>(Records<T>);

impl<T: DeserializeOwned + Send> Source for Replay<T> {
    type Item = T;
    type Error = ReplayError;

    fn pull(&mut self) -> Option<Result<T, ReplayError>> {
        let Replay(records) = self;
        let record = records.next()?;
        let (path, line) = (&records.path, records.line);
        Some(record.and_then(|record| {
            record.item.ok_or_else(|| ReplayError::NoItem { path: path.clone(), line, position: record.position })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill::prelude::*;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Host {
        name: String,
        port: u16,
    }

    fn hosts() -> impl Iterator<Item = Host> {
        (0..100u16).map(|port| Host { name: format!("host\n\"{port}\"\u{2028}"), port })
    }

    #[test]
    fn what_failed_comes_back_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let run = |source: Vec<Host>, bad: fn(u16) -> bool, path: &Path| {
            Pipeline::extract(source.into_iter())
                .try_map(move |host| if bad(host.port) { Err(format!("port {}", host.port)) } else { Ok(host.port) })
                .named("connect")
                .on_error(OnError::dead_letter(create(path).unwrap()))
                .collect::<Vec<_>>()
                .run()
                .unwrap()
                .output
        };
        let mut ports = run(hosts().collect(), |port| port % 3 == 0, &path);
        let records: Vec<Record<Host>> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(records.len(), 34);
        assert!(records.iter().all(|record| record.stage == "connect" && record.attempts == 1));
        assert!(records.iter().all(|record| record.item.as_ref().unwrap().port as u64 == record.position));
        assert!(records.iter().all(|record| record.errors == [format!("port {}", record.position)]));
        // A second run mends all but one, and a third finds that.
        let again = folder.path().join("again.jsonl");
        let replayed: Vec<Host> = records.into_iter().filter_map(|record| record.item).collect();
        ports.extend(run(replayed, |port| port == 33, &again));
        let report = Pipeline::extract(replay::<Host>(&again).unwrap()).collect::<Vec<_>>().run().unwrap();
        assert_eq!(report.output, [hosts().nth(33).unwrap()]);
        ports.sort_unstable();
        assert!(ports.iter().copied().eq((0..100).filter(|port| *port != 33)));
    }

    #[test]
    fn torn_and_foreign_lines_are_failures_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let good = r#"{"position":4,"stage":"s","attempts":2,"errors":["a","b"],"item":{"name":"n","port":5}}"#;
        let no_item = r#"{"position":9,"stage":"s","attempts":1,"errors":[],"item":null}"#;
        std::fs::write(&path, format!("{good}\nnot json\n{no_item}\n{{\"a\":1}}\n{good}\n{}", &good[..40])).unwrap();
        let report = Pipeline::extract(replay::<Host>(&path).unwrap())
            .on_error(OnError::collect())
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_eq!(report.output.len(), 2);
        let said: Vec<_> = report.failures.iter().map(|failure| (failure.position, failure.message.clone())).collect();
        assert_eq!(said.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert!(said[0].1.contains("line 2 of") && said[1].1.contains("position 9"), "{said:?}");
    }

    #[test]
    fn missing_files_and_directories_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read::<Host>(folder.path().join("none")).unwrap_err();
        assert!(matches!(&missing, ReplayError::Read { path, .. } if path.ends_with("none")), "{missing}");
        assert!(matches!(read::<Host>(folder.path()), Err(ReplayError::Read { .. })));
        assert_eq!(read::<Host>("/dev/null").unwrap().count(), 0);
    }

    #[test]
    fn a_chain_names_every_cause_and_a_panic_says_so() {
        #[derive(Debug, thiserror::Error)]
        #[error("no answer")]
        struct NoAnswer(#[source] io::Error);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let store = create_with(&path, |error: &NoAnswer| chain(error)).unwrap();
        Pipeline::extract(0..2u32)
            .try_map(|number| match number {
                0 => Err::<u32, _>(NoAnswer(io::ErrorKind::TimedOut.into())),
                _ => std::panic::resume_unwind(Box::new("planned")),
            })
            .on_error(OnError::dead_letter(store))
            .count()
            .run()
            .unwrap();
        let mut errors: Vec<_> = read::<u32>(&path).unwrap().map(|record| record.unwrap().errors).collect();
        errors.sort_unstable();
        assert_eq!(errors, [vec!["no answer".to_owned(), "timed out".into()], vec!["panic: planned".into()]]);
    }
}
