//! Batches into an SQLite database, one transaction each.
//!
//! The statement is prepared when the store is made, so a table that is not there or has other columns is an error before
//! anything runs. The database is in WAL mode with `synchronous = NORMAL`, which means:
//!
//! | when | what is true |
//! | --- | --- |
//! | [`store`](Store::store) returned `Ok` | all rows of the batch are committed, and survive the death of the process |
//! | it returned an error | none of them is in the database |
//! | [`finish`](Store::finish) after a completed run, or [`commit`](Store::commit), returned `Ok` | everything is synced, and survives a loss of power |
//! | the power goes before that | the last batches may be gone, each as a whole; the database is in order |
//!
//! After an aborted run the batches that were committed stay: see [`Sqlite::create`] for a database of one's own that
//! can be thrown away.
//!
//! # Checkpoints
//!
//! A store that [keeps progress](Inserts::keeping_progress) has the rows of a run and how far it has come in one
//! transaction, which is open from one [checkpoint](gristmill::Checkpoint::in_store) to the next. So every row is in the
//! database exactly once, whatever happens to the process, and to the power:
//!
//! | when | what is true |
//! | --- | --- |
//! | [`store`](Store::store) returned `Ok` | the rows of the batch are in the open transaction |
//! | it returned an error | none of them is; those of the batches before it are |
//! | [`commit`](Store::commit) returned `Ok` | all rows are committed, and so is the position behind them |
//! | the process dies | what was stored since is rolled back, and the next run goes on at that position |
//! | the power goes | the same, but the last checkpoints may be gone, each with its rows |
//!
//! With [`Checkpoint::file`](gristmill::Checkpoint::file) the run goes by the file, whatever progress is in the database. Each
//! commit is then synced before the file is written, so the file is never ahead of the rows, and rows are there at least once.
//!
//! # Not done here
//!//!
//! A database has one writer. Two stores on one file work, but wait for each other, up to five seconds.

use gristmill::{BadProgress, Outcome, Progress, Receipt, Store};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Savepoint, Statement, Transaction};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use rusqlite;

/// A database that was opened to put rows into.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_connect::sqlite::{Sqlite, rusqlite::params};
///
/// let folder = tempfile::tempdir()?;
/// let squares = Sqlite::create(folder.path().join("squares.db"))?
///     .table_sql("CREATE TABLE squares (number INTEGER PRIMARY KEY, square INTEGER NOT NULL) STRICT")?
///     .insert("INSERT INTO squares VALUES (?, ?)", |insert, (number, square): &(i64, i64)| {
///         insert.execute(params![number, square])
///     })?;
/// Pipeline::extract(1..=1_000).map(|number| (number, number * number)).batch(100).store(squares).run()?;
///
/// let database = rusqlite::Connection::open(folder.path().join("squares.db"))?;
/// let sum: i64 = database.query_row("SELECT sum(square) FROM squares", (), |row| row.get(0))?;
/// assert_eq!(sum, 333_833_500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sqlite {
    database: Connection,
    path: PathBuf,
}

impl Sqlite {
    /// Opens a database, or makes one if there is no file.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or made, may not be written, or is not a database.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SqliteError> {
        let path = path.into();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|database| {
            let mode: String = database.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
            // Some file systems cannot share the memory that a WAL needs. Without one, NORMAL would promise less.
            let synchronous = if mode == "wal" { "NORMAL" } else { "FULL" };
            database.pragma_update(None, "synchronous", synchronous)?;
            Ok(database)
        });
        match opened {
            Ok(database) => Ok(Sqlite { database, path }),
            Err(error) => Err(SqliteError::opening(path, error)),
        }
    }

    /// Makes a database, which must not be there yet.
    ///
    /// # Errors
    ///
    /// When the file is there, or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, SqliteError> {
        let path = path.into();
        match File::create_new(&path) {
            // Nobody else can have an empty file of a moment ago open, so closing it here takes no one's locks away.
            Ok(_) => Sqlite::open(path),
            Err(source) => Err(SqliteError { path, action: Action::Create, source: Cause::Io(source) }),
        }
    }

    /// Runs SQL that returns nothing, at once: `CREATE TABLE`, most of the time.
    ///
    /// # Errors
    ///
    /// When it is wrong, or the database may not be written.
    pub fn table_sql(self, sql: &str) -> Result<Self, SqliteError> {
        match self.database.execute_batch(sql) {
            Ok(()) => Ok(self),
            Err(error) => Err(SqliteError::of(self.path, Action::Table, error)),
        }
    }

    /// Makes a store of batches: for each row `insert` is called with the prepared statement, to execute it.
    ///
    /// # Errors
    ///
    /// When the statement does not fit the database: no such table, another number of columns.
    pub fn insert<T, F>(self, sql: &str, insert: F) -> Result<Inserts<F>, SqliteError>
    where
        F: FnMut(&mut Statement<'_>, &T) -> rusqlite::Result<usize>,
    {
        if let Err(error) = self.database.prepare_cached(sql) {
            return Err(SqliteError::of(self.path, Action::Prepare, error));
        }
        Ok(Inserts {
            database: Some(self.database),
            path: self.path,
            sql: sql.to_owned(),
            insert,
            stored_rows: 0,
            job: None,
            is_asked: false,
            open_rows: 0,
            broken: false,
        })
    }

    /// The connection, for what this module has no method for: indexes, other pragmas.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.database
    }
}

/// A store of batches of rows: returned by [`Sqlite::insert`].
pub struct Inserts<F> {
    /// Gone once it is finished.
    database: Option<Connection>,
    path: PathBuf,
    sql: String,
    insert: F,
    stored_rows: u64,
    /// Under which name progress is kept, if it is.
    job: Option<String>,
    /// The run goes by the progress that is kept here.
    is_asked: bool,
    /// Rows in the transaction that is open until the next checkpoint.
    open_rows: u64,
    /// That transaction is gone, and its rows with it.
    broken: bool,
}

impl<F> fmt::Debug for Inserts<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inserts").field("path", &self.path).field("sql", &self.sql).finish_non_exhaustive()
    }
}

impl<F> Inserts<F> {
    /// How many rows were committed.
    #[must_use]
    pub fn stored_rows(&self) -> u64 {
        self.stored_rows
    }

    /// Keeps the progress of the run `job` in the database, in the transaction of its rows: for
    /// [`Checkpoint::in_store`](gristmill::Checkpoint::in_store).
    ///
    /// It is one row of a table `gristmill_progress`, which is made if it is not there. Runs that fill one database need
    /// names of their own.
    ///
    /// # Errors
    ///
    /// When the table cannot be made.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::{Checkpoint, prelude::*};
    /// use gristmill_connect::sqlite::{Sqlite, rusqlite::params};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("squares.db");
    /// let job = |dies_at: i64| -> Result<Report, Box<dyn std::error::Error>> {
    ///     let squares = Sqlite::open(&path)?
    ///         .table_sql("CREATE TABLE IF NOT EXISTS squares (number INTEGER NOT NULL, square INTEGER NOT NULL) STRICT")?
    ///         .insert("INSERT INTO squares VALUES (?, ?)", |insert, (number, square): &(i64, i64)| {
    ///             insert.execute(params![number, square])
    ///         })?
    ///         .keeping_progress("squares")?;
    ///     let report = Pipeline::extract(1..=1_000)
    ///         .try_map(|number| if number == dies_at { Err("the power fails") } else { Ok((number, number * number)) })
    ///         .batch(10)
    ///         .checkpoint(Checkpoint::in_store())
    ///         .store(squares)
    ///         .run()?;
    ///     Ok(report)
    /// };
    /// assert!(job(700).is_err());
    /// job(0)?;
    ///
    /// let database = rusqlite::Connection::open(&path)?;
    /// let sum: (i64, i64) =
    ///     database.query_row("SELECT count(*), sum(square) FROM squares", (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    /// assert_eq!(sum, (1_000, 333_833_500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keeping_progress(mut self, job: impl Into<String>) -> Result<Self, SqliteError> {
        let made = match &self.database {
            Some(database) => database.execute_batch(PROGRESS_TABLE),
            None => Ok(()),
        };
        made.map_err(|error| SqliteError::of(self.path.clone(), Action::Table, error))?;
        self.job = Some(job.into());
        Ok(self)
    }

    fn store_all<T>(&mut self, rows: &[T]) -> Result<(), SqliteError>
    where
        F: FnMut(&mut Statement<'_>, &T) -> rusqlite::Result<usize>,
    {
        let n_rows = rows.len();
        let error = |action| {
            let path = self.path.clone();
            move |error| SqliteError::of(path, action, error)
        };
        let Some(database) = &mut self.database else {
            return Err(SqliteError {
                path: self.path.clone(),
                action: Action::Commit { n_rows },
                source: Cause::Io(io::Error::other("it is finished")),
            });
        };
        let keeps = self.job.is_some();
        if keeps {
            // Some errors make SQLite roll everything back by itself: then rows that were stored are gone.
            self.broken |= self.open_rows > 0 && database.is_autocommit();
            if self.broken {
                // What is stored now would be committed at once, and come again when the run goes on.
                let source = io::Error::other(ROLLED_BACK).into();
                return Err(SqliteError { path: self.path.clone(), action: Action::Begin { n_rows }, source });
            }
            if database.is_autocommit() {
                database.execute_batch("BEGIN IMMEDIATE").map_err(error(Action::Begin { n_rows }))?;
            }
        }
        // Dropped without a commit, it rolls back, as far as the batch goes.
        let batch =
            if keeps { database.savepoint().map(Batch::Part) } else { database.transaction().map(Batch::Whole) };
        let batch = batch.map_err(error(Action::Begin { n_rows }))?;
        let mut statement = batch.prepare_cached(&self.sql).map_err(error(Action::Prepare))?;
        for (row, item) in rows.iter().enumerate() {
            (self.insert)(&mut statement, item).map_err(error(Action::Insert { row, n_rows }))?;
        }
        drop(statement);
        batch.commit().map_err(error(Action::Commit { n_rows }))?;
        *(if keeps { &mut self.open_rows } else { &mut self.stored_rows }) += n_rows as u64;
        Ok(())
    }

    /// Commits the open transaction, with the progress if there is any.
    fn commit_open(&mut self, progress: Option<&Progress>) -> Result<(), SqliteError> {
        let error = |error| SqliteError::of(self.path.clone(), Action::Keep, error);
        let (Some(database), Some(job)) = (&self.database, &self.job) else { return Ok(()) };
        if self.broken || (self.open_rows > 0 && database.is_autocommit()) {
            let source = io::Error::other(ROLLED_BACK).into();
            return Err(SqliteError { path: self.path.clone(), action: Action::Keep, source });
        }
        if database.is_autocommit() {
            database.execute_batch("BEGIN IMMEDIATE").map_err(error)?;
        }
        if let Some(progress) = progress {
            database.execute(KEEP_PROGRESS, (job, progress.to_bytes())).map_err(error)?;
        }
        database.execute_batch("COMMIT").map_err(error)?;
        self.stored_rows += std::mem::take(&mut self.open_rows);
        Ok(())
    }

    fn kept_progress(&self) -> Result<Option<Progress>, SqliteError> {
        let (Some(database), Some(job)) = (&self.database, &self.job) else { return Ok(None) };
        let error = |source| SqliteError { path: self.path.clone(), action: Action::Read, source };
        let kept: Option<Vec<u8>> = database
            .query_row(READ_PROGRESS, [job], |row| row.get(0))
            .optional()
            .map_err(|source| error(source.into()))?;
        kept.map(|bytes| Progress::from_bytes(&bytes)).transpose().map_err(|source| error(source.into()))
    }

    /// Brings everything to the disk: from the WAL into the database where nobody is in the way.
    fn settle(&self, database: &Connection) -> Result<(), SqliteError> {
        // PASSIVE waits for no one. It syncs both files; what a reader kept it from copying is what remains to be synced.
        let copied = database.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
            let (busy, in_wal, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(!busy && in_wal == copied)
        });
        let copied = copied.map_err(|error| SqliteError::of(self.path.clone(), Action::Sync, error))?;
        let synced = if copied { Ok(()) } else { self.sync_wal() }.and_then(|()| sync_directory(&self.path));
        synced.map_err(|source| SqliteError { path: self.path.clone(), action: Action::Sync, source: source.into() })
    }

    /// What is committed is whole in the WAL, so syncing that file will do.
    fn sync_wal(&self) -> io::Result<()> {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        File::open(wal)?.sync_all()
    }
}

/// Why nothing more can be stored.
const ROLLED_BACK: &str = "rows that were stored since the last checkpoint were rolled back";
const PROGRESS_TABLE: &str = "CREATE TABLE IF NOT EXISTS gristmill_progress
    (job TEXT PRIMARY KEY, progress BLOB NOT NULL) STRICT, WITHOUT ROWID";
const KEEP_PROGRESS: &str = "INSERT OR REPLACE INTO gristmill_progress VALUES (?, ?)";
const READ_PROGRESS: &str = "SELECT progress FROM gristmill_progress WHERE job = ?";

/// A batch under way: a transaction of its own, or a part of one that is open.
enum Batch<'a> {
    Whole(Transaction<'a>),
    Part(Savepoint<'a>),
}

impl Batch<'_> {
    fn commit(self) -> rusqlite::Result<()> {
        match self {
            Batch::Whole(batch) => batch.commit(),
            Batch::Part(batch) => batch.commit(),
        }
    }
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Batch::Whole(batch) => batch,
            Batch::Part(batch) => batch,
        }
    }
}

/// Makes the name of a new file as durable as the file.
fn sync_directory(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl<T, F> Store<Vec<T>> for Inserts<F>
where
    F: FnMut(&mut Statement<'_>, &T) -> rusqlite::Result<usize> + Send,
{
    type Error = SqliteError;

    fn store(&mut self, rows: Vec<T>) -> Result<(), SqliteError> {
        self.store_all(&rows)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, SqliteError> {
        self.commit_open(Some(progress))?;
        if let Some(database) = self.database.as_ref().filter(|_| !self.is_asked) {
            // The progress is kept elsewhere, as nobody has asked for what there is here, and synced there: it must not
            // survive a loss of power that rows do not.
            self.settle(database)?;
        }
        Ok(Receipt::none())
    }

    fn keeps_progress(&self) -> bool {
        self.job.is_some()
    }

    fn progress(&mut self) -> Result<Option<Progress>, SqliteError> {
        self.is_asked = true;
        self.kept_progress()
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), SqliteError> {
        // With checkpoints there is nothing open after the last one. What an aborted run leaves open is rolled back.
        if outcome == Outcome::Completed && self.open_rows > 0 {
            self.commit_open(None)?;
        }
        let Some(database) = self.database.take() else { return Ok(()) };
        if outcome == Outcome::Completed {
            self.settle(&database)?;
        }
        database.close().map_err(|(_, error)| SqliteError::of(self.path.clone(), Action::Close, error))
    }
}

/// A database could not be opened, written or closed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct SqliteError {
    path: PathBuf,
    action: Action,
    source: Cause,
}

/// What was attempted.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Action {
    #[error("open the database")]
    Open,
    #[error("create the database")]
    Create,
    #[error("set up the tables of")]
    Table,
    #[error("prepare to insert into")]
    Prepare,
    #[error("begin a batch of {n_rows} rows for")]
    Begin { n_rows: usize },
    #[error("insert row {} of a batch of {n_rows} into", row + 1)]
    Insert { row: usize, n_rows: usize },
    #[error("commit a batch of {n_rows} rows to")]
    Commit { n_rows: usize },
    #[error("commit the rows and the progress of a run to")]
    Keep,
    #[error("read the progress of a run in")]
    Read,
    #[error("bring to the disk")]
    Sync,
    #[error("close")]
    Close,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Progress(#[from] BadProgress),
}

impl SqliteError {
    fn of(path: PathBuf, action: Action, error: rusqlite::Error) -> Self {
        SqliteError { path, action, source: error.into() }
    }

    /// SQLite says only that it is unable to; the file system may know why.
    fn opening(path: PathBuf, error: rusqlite::Error) -> Self {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let source = match (path.metadata(), parent.map(Path::metadata)) {
            (Ok(found), _) if found.is_dir() => io::Error::from(io::ErrorKind::IsADirectory).into(),
            (Err(_), Some(Err(missing))) => missing.into(),
            _ => error.into(),
        };
        SqliteError { path, action: Action::Open, source }
    }

    /// The database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the disk, or the database by its own limit, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
            || matches!(&self.source, Cause::Io(error) if error.kind() == io::ErrorKind::StorageFull)
    }

    /// Whether the file may not be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.code() == Some(ErrorCode::ReadOnly)
            || matches!(&self.source, Cause::Io(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
    }

    /// Whether the file is something else than an SQLite database.
    #[must_use]
    pub fn is_not_a_database(&self) -> bool {
        self.code() == Some(ErrorCode::NotADatabase)
    }

    fn code(&self) -> Option<ErrorCode> {
        match &self.source {
            Cause::Sqlite(error) => error.sqlite_error_code(),
            Cause::Io(_) | Cause::Progress(_) => None,
        }
    }
}
