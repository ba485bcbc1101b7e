//! Databases that others lock, protect, spoil or take apart: an error that names the file, nothing lost, and a run that
//! goes on when the trouble is over.
#![cfg(feature = "sqlite")]
#![allow(clippy::print_stderr, reason = "a test that was skipped should say so")]

use gristmill::{Checkpoint, Progress, prelude::*};
use gristmill_connect::lines::WholeLines;
use gristmill_connect::sqlite::rusqlite::{self, Connection};
use gristmill_connect::sqlite::{Sqlite, SqliteError};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// No constraint that would hide a row that comes twice.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER NOT NULL) STRICT";
const INSERT: &str = "INSERT INTO numbers VALUES (?)";
const ITEMS: i64 = 3_000;

/// A folder with a job in it: numbers into a database, odd ones into a file.
struct Job {
    folder: tempfile::TempDir,
}

impl Job {
    fn new() -> Self {
        Job { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("numbers.db")
    }

    fn store(&self) -> Result<impl Store<Vec<i64>, Error = SqliteError> + use<>, SqliteError> {
        let database = Sqlite::open(self.database())?;
        // Who waits for a lock waits for seconds otherwise.
        database.connection().busy_timeout(Duration::from_millis(20)).unwrap();
        database
            .table_sql(TABLE)?
            .insert(INSERT, |insert, number: &i64| insert.execute([number]))?
            .keeping_progress("job")
    }

    /// Runs once; `at` is called with each number.
    fn run(&self, at: impl Fn(i64) -> Result<(), String> + Send + Sync) -> Result<Report, Box<dyn Error>> {
        let letters = WholeLines::new(self.path("rejected"), |letter: &DeadLetter<i64, String>, line: &mut Vec<u8>| {
            write!(line, "{}", letter.cause)
        });
        let report = Pipeline::extract(0..ITEMS)
            .try_map(|number| if number % 100 == 7 { Err(format!("{number}")) } else { Ok(number) })
            .on_error(OnError::dead_letter(letters))
            .try_map(|number| at(number).map(|()| number))
            .batch(10)
            // One morsel after the other, so that a checkpoint is never far behind.
            .window(1)
            .checkpoint(Checkpoint::in_store().every(Duration::ZERO))
            .store(self.store()?)
            .run()?;
        Ok(report)
    }

    fn rows(&self) -> Vec<i64> {
        let database = Connection::open(self.database()).unwrap();
        let intact: String = database.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
        assert_eq!(intact, "ok");
        let mut rows = database.prepare("SELECT number FROM numbers ORDER BY rowid").unwrap();
        rows.query_map((), |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// The trouble is over: the run goes on, and everything is there once.
    fn assert_it_goes_on(&self) {
        self.run(|_| Ok(())).unwrap();
        assert!(self.rows().into_iter().eq((0..ITEMS).filter(|number| number % 100 != 7)));
        let rejected = std::fs::read_to_string(self.path("rejected")).unwrap();
        assert!(rejected.lines().map(str::to_owned).eq((7..ITEMS).step_by(100).map(|number| number.to_string())));
    }
}

/// The message and its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A run that failed must say what is wrong, and with which file.
fn assert_names(result: Result<Report, Box<dyn Error>>, path: &Path, words: &str) {
    let said = chain(&*result.expect_err("there was trouble"));
    assert!(said.contains(&path.display().to_string()) && said.contains(words), "{said}");
}

#[test]
fn another_writer_is_an_error_and_the_next_run_goes_on() {
    let job = Job::new();
    assert!(job.run(die_later(&job.database())).is_err());
    let other = Connection::open(job.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_names(job.run(|_| Ok(())), &job.database(), "database is locked");
    other.execute_batch("ROLLBACK").unwrap();
    job.assert_it_goes_on();
}

#[test]
fn another_writer_between_two_checkpoints_costs_a_batch_that_can_be_stored_again() {
    let job = Job::new();
    let mut store = job.store().unwrap();
    let other = Connection::open(job.database()).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    store.store(vec![1, 2]).unwrap();
    assert!(other.execute_batch("BEGIN IMMEDIATE").is_err(), "what is stored is in a transaction");
    store.commit(&Progress::default()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.store(vec![3, 4]).unwrap_err();
    assert!(chain(&error).ends_with("database is locked") && error.path() == job.database(), "{}", chain(&error));
    assert!(store.commit(&Progress::default()).is_err());
    other.execute_batch("ROLLBACK").unwrap();
    store.store(vec![3, 4]).unwrap();
    store.commit(&Progress::default()).unwrap();
    store.finish(Outcome::Completed).unwrap();
    assert_eq!(job.rows(), [1, 2, 3, 4]);
}

#[test]
fn a_database_that_is_locked_as_a_whole_cannot_be_opened() {
    let job = Job::new();
    let other = Connection::open(job.database()).unwrap();
    other.execute_batch("CREATE TABLE others (x); BEGIN EXCLUSIVE; INSERT INTO others VALUES (1)").unwrap();
    assert_names(job.run(|_| Ok(())), &job.database(), "database is locked");
    other.execute_batch("COMMIT").unwrap();
    let others: i64 = other.query_row("SELECT count(*) FROM others", (), |row| row.get(0)).unwrap();
    assert_eq!(others, 1);
    drop(other);
    job.assert_it_goes_on();
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_written_is_an_error_and_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let job = Job::new();
    assert!(job.run(die_later(&job.database())).is_err());
    let before = job.rows();
    assert!(!before.is_empty());
    let set = |mode| std::fs::set_permissions(job.database(), std::fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o444, 0o000] {
        set(mode);
        if std::fs::File::options().write(true).open(job.database()).is_ok() {
            eprintln!("SKIPPED: this user may write every file");
            set(0o644);
            return;
        }
        let error = job.run(|_| Ok(())).unwrap_err();
        assert!(chain(&*error).contains(&job.database().display().to_string()), "{}", chain(&*error));
    }
    set(0o644);
    assert_eq!(job.rows(), before);
    job.assert_it_goes_on();
}

/// Waits until the database says that a run has come further than `than`; says how far.
fn wait_for_more(database: &Connection, than: u64) -> u64 {
    let began = Instant::now();
    loop {
        let kept = database.query_row("SELECT progress FROM gristmill_progress", (), |row| row.get::<_, Vec<u8>>(0));
        let position = kept.map_or(0, |kept| Progress::from_bytes(&kept).unwrap().position());
        if position > than {
            return position;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint comes");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Dies at the number 2,000, when there is a checkpoint.
fn die_later(path: &Path) -> impl Fn(i64) -> Result<(), String> + use<> {
    let path = path.to_owned();
    move |number| {
        if number != 2_000 {
            return Ok(());
        }
        wait_for_more(&Connection::open(&path).unwrap(), 0);
        Err("the power fails".to_owned())
    }
}

/// Runs until it fails, while a reader keeps what is committed in the log; then does with the files, as they were when the
/// process died, what `spoil` says.
fn after_a_crash(spoil: impl FnOnce(&Path)) -> (Job, usize) {
    let (job, crashed) = (Job::new(), Job::new());
    drop(job.store().unwrap());
    let reader = Mutex::new((Connection::open(job.database()).unwrap(), 0));
    let result = job.run(|number| {
        if number == 40 {
            // From now on nothing is copied from the log into the database.
            let mut reader = reader.lock().unwrap();
            reader.1 = wait_for_more(&reader.0, 0);
            reader.0.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
        }
        if number == 2_000 {
            wait_for_more(&Connection::open(job.database()).unwrap(), reader.lock().unwrap().1);
            return Err("the power fails".to_owned());
        }
        Ok(())
    });
    assert!(result.is_err());
    for name in ["numbers.db", "numbers.db-wal", "rejected.partial"] {
        std::fs::copy(job.path(name), crashed.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let stored = job.rows().len();
    spoil(crashed.folder.path());
    (crashed, stored)
}

#[test]
fn a_log_that_is_lost_between_a_crash_and_the_next_run_takes_rows_and_progress_with_it() {
    let (job, stored) = after_a_crash(|folder| std::fs::remove_file(folder.join("numbers.db-wal")).unwrap());
    let found = job.rows().len();
    assert!(found < stored, "{found} of {stored}: the log had nothing");
    job.assert_it_goes_on();
}

#[test]
fn a_log_that_is_cut_off_is_believed_as_far_as_it_is_whole() {
    for part in [3, 2] {
        let (job, stored) = after_a_crash(|folder| {
            let log = std::fs::File::options().write(true).open(folder.join("numbers.db-wal")).unwrap();
            log.set_len(log.metadata().unwrap().len() / part * (part - 1) + 7).unwrap();
        });
        assert!(job.rows().len() < stored);
        job.assert_it_goes_on();
    }
}

#[test]
fn a_journal_that_others_left_is_rolled_back_first() {
    let (job, other) = (Job::new(), Job::new());
    let writer = Connection::open(other.database()).unwrap();
    writer.execute_batch(TABLE).unwrap();
    writer.execute_batch("CREATE TABLE others (x TEXT); INSERT INTO others VALUES ('old')").unwrap();
    // So little memory that what is not committed is written, with a journal of what was there before.
    writer.execute_batch("PRAGMA cache_size = 2; PRAGMA cache_spill = 2; BEGIN").unwrap();
    writer.execute_batch("UPDATE others SET x = 'new'").unwrap();
    for _ in 0..200 {
        writer.execute("INSERT INTO others VALUES (?)", ["x".repeat(900)]).unwrap();
    }
    // It dies here.
    for name in ["numbers.db", "numbers.db-journal"] {
        std::fs::copy(other.path(name), job.path(name)).unwrap();
    }
    assert!(job.path("numbers.db-journal").metadata().unwrap().len() > 512);
    job.assert_it_goes_on();
    let database = Connection::open(job.database()).unwrap();
    let others: (i64, String) =
        database.query_row("SELECT count(*), min(x) FROM others", (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(others, (1, "old".to_owned()));
}

#[test]
fn what_is_no_database_any_more_is_an_error_and_is_left_as_it_is() {
    let job = Job::new();
    assert!(job.run(die_later(&job.database())).is_err());
    let whole = std::fs::read(job.database()).unwrap();
    let mut spoiled = whole.clone();
    spoiled[..100].fill(b'x');
    std::fs::write(job.database(), &spoiled).unwrap();
    assert_names(job.run(|_| Ok(())), &job.database(), "file is not a database");
    assert!(std::fs::read(job.database()).unwrap() == spoiled);
    std::fs::write(job.database(), &whole).unwrap();
    job.assert_it_goes_on();

    let nowhere = Job::new();
    std::fs::create_dir(nowhere.database()).unwrap();
    assert_names(nowhere.run(|_| Ok(())), &nowhere.database(), "is a directory");
    std::fs::remove_dir(nowhere.database()).unwrap();
    nowhere.assert_it_goes_on();
}

#[test]
fn progress_that_was_changed_in_the_database_is_an_error_and_never_a_new_beginning() {
    let job = Job::new();
    assert!(job.run(die_later(&job.database())).is_err());
    let database = Connection::open(job.database()).unwrap();
    let whole: Vec<u8> = database.query_row("SELECT progress FROM gristmill_progress", (), |row| row.get(0)).unwrap();
    let keep = |bytes: &[u8]| database.execute("UPDATE gristmill_progress SET progress = ?", [bytes]).unwrap();
    keep(&whole[..whole.len() - 1]);
    assert_names(job.run(|_| Ok(())), &job.database(), "torn");
    keep(&whole);
    drop(database);
    job.assert_it_goes_on();
}
