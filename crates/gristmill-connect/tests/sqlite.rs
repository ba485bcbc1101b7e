//! What is in the database after each way a run may end.
#![cfg(feature = "sqlite")]

use gristmill::prelude::*;
use gristmill_connect::sqlite::rusqlite::{self, Connection, params};
use gristmill_connect::sqlite::{Sqlite, SqliteError};
use std::error::Error;
use std::path::{Path, PathBuf};

const TABLE: &str = "CREATE TABLE numbers (number INTEGER PRIMARY KEY, half INTEGER NOT NULL) STRICT";
const INSERT: &str = "INSERT INTO numbers VALUES (?, ?)";

fn store_of(database: Sqlite) -> Result<impl Store<Vec<i64>, Error = SqliteError>, SqliteError> {
    database.insert(INSERT, |insert, number: &i64| insert.execute(params![number, number / 2]))
}

fn numbers_in(path: &Path) -> Vec<i64> {
    let database = Connection::open(path).unwrap();
    let mut rows = database.prepare("SELECT number FROM numbers ORDER BY number").unwrap();
    rows.query_map((), |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.db");
    (folder, path)
}

/// The message and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn rows_land_and_only_the_database_is_left() {
    let (folder, path) = fresh();
    let mut store = store_of(Sqlite::create(&path).unwrap().table_sql(TABLE).unwrap()).unwrap();
    Pipeline::extract(0..10_000).batch(512).store(&mut store).run().unwrap();
    assert_eq!(numbers_in(&path), (0..10_000).collect::<Vec<_>>());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "WAL and shared memory are gone");
    assert_eq!(store.store(vec![1]).unwrap_err().to_string(), message("commit a batch of 1 rows to", &path));
    assert!(store.finish(Outcome::Completed).is_ok(), "closing twice does nothing");
}

fn message(action: &str, path: &Path) -> String {
    format!("could not {action} `{}`", path.display())
}

#[test]
fn an_open_reader_does_not_keep_a_run_from_finishing() {
    let (_folder, path) = fresh();
    let store = store_of(Sqlite::create(&path).unwrap().table_sql(TABLE).unwrap()).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM numbers;").unwrap();
    Pipeline::extract(0..100).batch(10).store(store).run().unwrap();
    drop(reader);
    assert_eq!(numbers_in(&path).len(), 100);
}

#[test]
fn of_a_batch_that_fails_nothing_is_stored() {
    let (_folder, path) = fresh();
    let store = store_of(Sqlite::open(&path).unwrap().table_sql(TABLE).unwrap()).unwrap();
    // The second 7 breaks the primary key, in the middle of the third batch.
    let numbers = [1, 2, 3, 5, 6, 7, 8, 7, 9, 10, 11, 12];
    let mut dead = Vec::new();
    let report = Pipeline::extract(numbers.into_iter())
        .ordered()
        .batch(3)
        .store(store)
        .on_error(OnError::dead_letter(&mut dead))
        .run()
        .unwrap();
    assert_eq!(numbers_in(&path), [1, 2, 3, 5, 6, 7, 10, 11, 12]);
    assert_eq!(report.totals().dead, 1);
    assert_eq!(dead[0].item, Some(vec![8, 7, 9]));
    let Cause::Error(error) = &dead[0].cause else { panic!("it did not panic") };
    let expected = message("insert row 2 of a batch of 3 into", &path);
    assert!(chain(error).starts_with(&format!("{expected}: UNIQUE constraint failed: numbers.number")), "{error:?}");
}

#[test]
fn an_aborted_run_keeps_the_batches_that_were_committed() {
    let (folder, path) = fresh();
    let store = store_of(Sqlite::open(&path).unwrap().table_sql(TABLE).unwrap()).unwrap();
    let error = Pipeline::extract([1, 2, 3, 3, 5, 6].into_iter()).ordered().batch(2).store(store).run().unwrap_err();
    assert_eq!((error.stage_name(), error.position()), (Some("store"), Some(2)), "{error:?}");
    // 3 and 3 were one batch.
    assert_eq!(numbers_in(&path), [1, 2]);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_full_database_says_so() {
    let (_folder, path) = fresh();
    let database = Sqlite::create(&path).unwrap().table_sql(TABLE).unwrap();
    database.connection().pragma_update(None, "max_page_count", 10).unwrap();
    let mut store = store_of(database).unwrap();
    let error = (0..100).find_map(|batch| store.store((batch * 100..batch * 100 + 100).collect()).err()).unwrap();
    assert!(error.is_full(), "{error:?}");
    assert!(chain(&error).contains("database or disk is full"), "{}", chain(&error));
    store.finish(Outcome::Aborted).unwrap();
    let stored = numbers_in(&path);
    assert!(!stored.is_empty() && stored.len().is_multiple_of(100), "{} rows are no whole batches", stored.len());
}

#[test]
fn a_database_that_may_not_be_written_says_so() {
    let (_folder, path) = fresh();
    let database = Sqlite::create(&path).unwrap().table_sql(TABLE).unwrap();
    database.connection().pragma_update(None, "query_only", true).unwrap();
    let mut store = store_of(database).unwrap();
    let error = store.store(vec![1]).unwrap_err();
    assert!(error.is_read_only(), "{error:?}");
}

#[cfg(unix)]
#[allow(clippy::print_stderr, reason = "a test that was skipped should say so")]
#[test]
fn a_directory_that_may_not_be_written_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = fresh();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::File::create(folder.path().join("probe")).is_ok() {
        eprintln!("SKIPPED: this user may write everywhere");
        return;
    }
    let error = Sqlite::create(&path).unwrap_err();
    assert!(error.is_read_only());
    assert_eq!(error.to_string(), message("create the database", &path));
    assert!(Sqlite::open(&path).is_err());
}

#[test]
fn what_cannot_be_opened_is_named() {
    let (folder, path) = fresh();
    let open = |path: &Path| Sqlite::open(path).unwrap_err();

    std::fs::write(&path, "this is a text file, and long enough to be taken for a header ".repeat(20)).unwrap();
    assert!(open(&path).is_not_a_database(), "{}", chain(&open(&path)));
    let expected = format!("{}: file is not a database", message("open the database", &path));
    assert!(chain(&open(&path)).starts_with(&expected), "{}", chain(&open(&path)));
    let error = Sqlite::create(&path).unwrap_err();
    assert!(chain(&error).contains("exists"), "{}", chain(&error));
    assert_eq!(error.path(), path);

    let nowhere = folder.path().join("no/such/place.db");
    assert!(chain(&open(&nowhere)).contains("No such file or directory"), "{}", chain(&open(&nowhere)));
    assert!(chain(&Sqlite::create(&nowhere).unwrap_err()).contains("No such file or directory"));
    assert!(chain(&open(folder.path())).contains("is a directory"), "{}", chain(&open(folder.path())));
}

#[test]
fn a_statement_that_does_not_fit_is_refused_before_the_run() {
    let (_folder, path) = fresh();
    let error = store_of(Sqlite::create(&path).unwrap()).map(drop).unwrap_err();
    assert!(chain(&error).contains("no such table: numbers"), "{}", chain(&error));

    let other = Sqlite::open(&path).unwrap().table_sql("CREATE TABLE numbers (number INTEGER)").unwrap();
    let error = store_of(other).map(drop).unwrap_err();
    assert!(chain(&error).contains("1 column"), "{}", chain(&error));
    assert!(chain(&error).starts_with(&message("prepare to insert into", &path)), "{}", chain(&error));

    let error = Sqlite::open(&path).unwrap().table_sql("CREATE TABEL x (y)").unwrap_err();
    assert!(chain(&error).starts_with(&message("set up the tables of", &path)), "{}", chain(&error));
}

#[test]
fn a_value_of_the_wrong_type_fails_its_batch() {
    let (_folder, path) = fresh();
    let mut store = Sqlite::create(&path)
        .unwrap()
        .table_sql(TABLE)
        .unwrap()
        .insert(INSERT, |insert, text: &&str| insert.execute(params![1, text]))
        .unwrap();
    let error = store.store(vec!["half"]).unwrap_err();
    assert!(chain(&error).contains("cannot store TEXT value"), "{}", chain(&error));
    assert_eq!(store.stored_rows(), 0);
    Store::<Vec<&str>>::finish(&mut store, Outcome::Aborted).unwrap();
    assert!(numbers_in(&path).is_empty());
}

#[test]
fn a_panic_in_the_middle_of_a_batch_rolls_it_back() {
    let (_folder, path) = fresh();
    let store = Sqlite::create(&path)
        .unwrap()
        .table_sql(TABLE)
        .unwrap()
        .insert(INSERT, |insert, number: &i64| {
            assert!(*number != 5, "five");
            insert.execute(params![number, 0])
        })
        .unwrap();
    let report = Pipeline::extract(0..9).ordered().batch(3).store(store).on_error(OnError::skip()).run().unwrap();
    assert_eq!(report.totals().skipped, 1);
    assert_eq!(numbers_in(&path), [0, 1, 2, 6, 7, 8]);
}
