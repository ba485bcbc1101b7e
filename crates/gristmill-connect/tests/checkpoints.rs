//! Runs that die and go on, with real files and databases.
#![cfg(feature = "sqlite")]

use gristmill::{Checkpoint, Progress, prelude::*};
use gristmill_connect::lines::{LinesError, WholeLines};
use gristmill_connect::sqlite::rusqlite::{self, Connection};
use gristmill_connect::sqlite::{Sqlite, SqliteError};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// No constraint that would hide a row that comes twice.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER NOT NULL) STRICT";
const ITEMS: i64 = 5_000;

fn database(path: &Path) -> Result<impl Store<Vec<i64>, Error = SqliteError> + use<>, SqliteError> {
    let insert = |insert: &mut rusqlite::Statement<'_>, number: &i64| {
        if *number == 4_242 { Err(rusqlite::Error::QueryReturnedNoRows) } else { insert.execute([number]) }
    };
    Sqlite::open(path)?.table_sql(TABLE)?.insert("INSERT INTO numbers VALUES (?)", insert)?.keeping_progress("numbers")
}

fn letters(path: &Path) -> impl Store<DeadLetter<i64, String>, Error = LinesError> + use<> {
    WholeLines::new(path, |letter: &DeadLetter<i64, String>, line: &mut Vec<u8>| {
        write!(line, "{} {}", letter.position, letter.cause)
    })
}

/// Runs once; dies at a number, if that comes.
fn run(folder: &Path, every: Duration, dies_at: i64) -> Result<Report, gristmill::Error> {
    Pipeline::extract(0..ITEMS)
        .try_map(|number| if number % 100 == 7 { Err(format!("{number} is odd")) } else { Ok(number) })
        .on_error(OnError::dead_letter(letters(&folder.join("rejected"))))
        .try_map(move |number| if number == dies_at { Err("the power fails") } else { Ok(number) })
        .batch(7)
        .checkpoint(Checkpoint::in_store().every(every))
        .store(database(&folder.join("numbers.db")).unwrap())
        .on_error(OnError::skip())
        .run()
}

fn rows(folder: &Path) -> Vec<i64> {
    let database = Connection::open(folder.join("numbers.db")).unwrap();
    let mut rows = database.prepare("SELECT number FROM numbers ORDER BY rowid").unwrap();
    rows.query_map((), |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn rows_letters_and_progress_are_one_whatever_the_run_dies_of() {
    for (every, step) in [(Duration::ZERO, 311), (Duration::from_millis(1), 977), (Duration::from_secs(3_600), 1_900)] {
        let folder = tempfile::tempdir().unwrap();
        let mut deaths = 0;
        for life in 1.. {
            match run(folder.path(), every, life * step) {
                Ok(_) => break,
                Err(error) => {
                    deaths += 1;
                    let committed = rows(folder.path());
                    let at = error.report().unwrap().resumed_at.unwrap_or(0) as i64;
                    assert!(committed.iter().all(|number| *number < life * step), "{at}");
                }
            }
        }
        assert!(deaths > 1);
        let rows = rows(folder.path());
        // The batch with the row that the database refuses is missing, and only that: how batches are cut depends on
        // where the barriers are, so it has at most seven rows.
        let good: Vec<i64> = (0..ITEMS).filter(|number| number % 100 != 7).collect();
        let missing: Vec<i64> = good.iter().copied().filter(|number| rows.binary_search(number).is_err()).collect();
        assert!(missing.contains(&4_242) && missing.len() <= 7, "{missing:?}");
        assert!(rows.iter().eq(good.iter().filter(|number| !missing.contains(number))), "in order, and none twice");
        let rejected = std::fs::read_to_string(folder.path().join("rejected")).unwrap();
        let expected = (0..ITEMS).filter(|number| number % 100 == 7).map(|number| format!("{number} {number} is odd"));
        assert!(rejected.lines().map(str::to_owned).eq(expected), "{rejected}");
        let report = run(folder.path(), every, -1).unwrap();
        assert_eq!((report.resumed_at, report.totals().extracted), (Some(ITEMS as u64), 0));
        assert!(folder.path().join("rejected").exists());
    }
}

#[test]
fn a_transaction_that_the_database_gave_up_is_never_taken_for_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.db");
    let insert = |insert: &mut rusqlite::Statement<'_>, number: &i64| insert.execute([number]);
    let limited = Sqlite::open(&path).unwrap().table_sql(TABLE).unwrap();
    // A full database makes SQLite roll back, on its own, all that was not committed.
    limited.connection().pragma_update(None, "max_page_count", 12).unwrap();
    limited.connection().pragma_update(None, "cache_size", 5).unwrap();
    let store = limited.insert("INSERT INTO numbers VALUES (?)", insert).unwrap().keeping_progress("numbers").unwrap();
    let error = Pipeline::extract(0..100_000i64)
        .batch(100)
        .checkpoint(Checkpoint::in_store().every(Duration::from_secs(3_600)))
        .store(store)
        .on_error(OnError::skip())
        .run()
        .unwrap_err();
    assert_eq!(error.stage_name(), Some("store"), "{error:?}");
    assert_eq!(rows(folder.path()).len(), 0);
}

#[test]
fn a_store_that_keeps_no_progress_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let insert = |insert: &mut rusqlite::Statement<'_>, number: &i64| insert.execute([number]);
    let store = Sqlite::open(folder.path().join("numbers.db")).unwrap().table_sql(TABLE).unwrap();
    let store = store.insert("INSERT INTO numbers VALUES (?)", insert).unwrap();
    let error = Pipeline::extract(0..10i64).batch(1).checkpoint(Checkpoint::in_store()).store(store).run().unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("stage `store`"), "{error}");
}

/// What is in the database without its log: what a sync has brought there.
fn settled_rows(folder: &Path) -> i64 {
    let copy = folder.join("copy.db");
    std::fs::copy(folder.join("numbers.db"), &copy).unwrap();
    let rows =
        Connection::open(&copy).unwrap().query_row("SELECT count(*) FROM numbers", (), |row| row.get(0)).unwrap();
    std::fs::remove_file(copy).unwrap();
    rows
}

#[test]
fn a_commit_is_synced_unless_the_run_goes_by_the_progress_in_the_database() {
    for in_store in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = database(&folder.path().join("numbers.db")).unwrap();
        if in_store {
            assert_eq!(store.progress().unwrap(), None);
        }
        // The table is in the log as well.
        let before = folder.path().join("numbers.db").metadata().unwrap().len();
        store.store((0..10).collect()).unwrap();
        store.commit(&Progress::default()).unwrap();
        if in_store {
            assert_eq!(
                folder.path().join("numbers.db").metadata().unwrap().len(),
                before,
                "it has waited for the disk"
            );
        } else {
            assert_eq!(settled_rows(folder.path()), 10);
        }
        assert_eq!(rows(folder.path()).len(), 10);
    }
}

#[test]
fn a_run_goes_by_the_file_if_the_checkpoint_is_in_one_and_finds_it_never_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let run = |dies_at: i64| {
        Pipeline::extract(0..1_000i64)
            .try_map(move |number| if number == dies_at { Err("the power fails") } else { Ok(number) })
            .batch(7)
            .checkpoint(Checkpoint::file(folder.path().join("checkpoint")).every(Duration::ZERO))
            .store(database(&folder.path().join("numbers.db")).unwrap())
            .run()
    };
    run(700).unwrap_err();
    let had = rows(folder.path());
    let report = run(-1).unwrap();
    let at = report.resumed_at.unwrap_or(0) as usize;
    // What it has after the checkpoint comes again.
    assert!(at <= had.len() && had.iter().copied().eq(0..had.len() as i64), "{at} of {}", had.len());
    assert!(rows(folder.path())[had.len()..].iter().copied().eq(at as i64..1_000));
}
