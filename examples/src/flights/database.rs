//! The database: made beside its place, filled by the pipeline, read back, and put in its place.

use super::code::Code;
use super::flight::FlightRow;
use super::tally::{Key, Tally};
use anyhow::{Context, bail, ensure};
use gristmill_connect::sqlite::rusqlite::{self, Connection, OpenFlags, Row, Statement, params};
use gristmill_connect::sqlite::{Inserts, Sqlite, SqliteError};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS flights (
        year           INTEGER NOT NULL,
        month          INTEGER NOT NULL,
        day            INTEGER NOT NULL,
        dep_time       INTEGER,
        sched_dep_time INTEGER NOT NULL,
        dep_delay      INTEGER,
        arr_time       INTEGER,
        sched_arr_time INTEGER NOT NULL,
        arr_delay      INTEGER,
        carrier        TEXT NOT NULL,
        flight         INTEGER NOT NULL,
        tailnum        TEXT,
        origin         TEXT NOT NULL,
        dest           TEXT NOT NULL,
        air_time       INTEGER,
        distance       INTEGER NOT NULL,
        hour           INTEGER NOT NULL,
        minute         INTEGER NOT NULL,
        time_hour      TEXT NOT NULL,
        airline        TEXT,
        origin_name    TEXT,
        dest_name      TEXT
    ) STRICT";

const INSERT: &str = "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

fn insert(statement: &mut Statement<'_>, row: &FlightRow<'_>) -> rusqlite::Result<usize> {
    let flight = &row.flight;
    statement.execute(params![
        flight.year,
        flight.month,
        flight.day,
        flight.dep_time,
        flight.sched_dep_time,
        flight.dep_delay,
        flight.arr_time,
        flight.sched_arr_time,
        flight.arr_delay,
        flight.carrier,
        flight.flight,
        flight.tailnum,
        flight.origin,
        flight.dest,
        flight.air_time,
        flight.distance,
        flight.hour,
        flight.minute,
        flight.time_hour,
        row.airline,
        row.origin_name,
        row.dest_name,
    ])
}

/// What to do with a file that is where a new one is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Leave it, and do nothing.
    #[default]
    Refuse,
    /// Put the new one in its place.
    Replace,
}

impl Existing {
    /// Whether a regular file is there that will be replaced.
    ///
    /// # Errors
    ///
    /// When one is there that will not.
    pub fn allows(self, path: &Path) -> anyhow::Result<bool> {
        match path.metadata() {
            Ok(found) if !found.is_file() => Ok(false),
            Ok(_) if self == Existing::Refuse => {
                bail!("`{}` is there already: --replace would replace it", path.display())
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("could not look at `{}`", path.display())),
        }
    }
}

/// A database in the making. Dropped before it is [published](Draft::publish), it is gone.
#[derive(Debug)]
pub struct Draft {
    /// In the directory of the place, as a file is moved there in one step only inside a file system. With a directory of
    /// its own, what SQLite puts beside the file is cleared away as well.
    directory: TempDir,
    place: PathBuf,
    existing: Existing,
}

impl Draft {
    /// Makes the directory for a database that is to be at `place`.
    ///
    /// # Errors
    ///
    /// When something is there already, or the directory cannot be made.
    pub fn create(place: &Path, existing: Existing) -> anyhow::Result<Self> {
        let replaces = existing.allows(place)?;
        ensure!(replaces || !place.exists(), "`{}` is no regular file, so no database can be there", place.display());
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = tempfile::Builder::new().prefix(".flights-").tempdir_in(parent);
        let directory = directory.with_context(|| format!("could not make `{}`", place.display()))?;
        Ok(Draft { directory, place: place.to_owned(), existing })
    }

    /// Where the database is meanwhile.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("flights.db")
    }

    /// The database as a store of batches of rows.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn store<'tables>(
        &self,
    ) -> Result<
        Inserts<impl FnMut(&mut Statement<'_>, &FlightRow<'tables>) -> rusqlite::Result<usize> + use<'tables>>,
        SqliteError,
    > {
        Sqlite::create(self.path())?.table_sql(TABLE)?.insert(INSERT, insert)
    }

    /// Opens what was stored.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn read(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open_with_flags(self.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    }

    /// Puts the finished database in its place, in one step.
    ///
    /// # Errors
    ///
    /// When it cannot be moved there, or something has come to be there meanwhile that is not to be replaced.
    pub fn publish(self) -> anyhow::Result<()> {
        let from = self.path();
        let moved = match self.existing {
            Existing::Replace => fs::rename(&from, &self.place),
            // A rename would replace what is there; a second name for the file does not. Not all file systems can.
            Existing::Refuse => match fs::hard_link(&from, &self.place) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => fs::rename(&from, &self.place),
                linked => linked,
            },
        };
        moved.with_context(|| format!("could not put the database at `{}`", self.place.display()))
    }
}

/// A database that a run fills that may die, and another one goes on with: rows and progress are in one transaction.
///
/// # Errors
///
/// When it cannot be opened or made.
pub fn open_partial<'tables>(
    path: &Path,
) -> Result<
    Inserts<impl FnMut(&mut Statement<'_>, &FlightRow<'tables>) -> rusqlite::Result<usize> + use<'tables>>,
    SqliteError,
> {
    Sqlite::open(path)?.table_sql(TABLE)?.insert(INSERT, insert)?.keeping_progress("flights")
}

/// The flights of each carrier on each route.
///
/// # Errors
///
/// When the database cannot be read.
pub fn groups(database: &Connection) -> rusqlite::Result<BTreeMap<Key, Tally>> {
    let mut query = database.prepare(
        "SELECT carrier, origin, dest, count(*), count(dep_delay), total(dep_delay), count(arr_delay), total(arr_delay)
         FROM flights GROUP BY carrier, origin, dest",
    )?;
    let groups = query.query_map((), |row| {
        let code = |column: usize| {
            let text: String = row.get(column)?;
            text.parse().map_err(|_| rusqlite::Error::InvalidQuery)
        };
        let count = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let minutes = |column: usize| row.get::<_, f64>(column).map(|minutes| minutes as i64);
        let key = Key { carrier: code(0)?, origin: code(1)?, dest: code(2)? };
        let tally = Tally {
            flights: count(3)?,
            departed: count(4)?,
            dep_delay: minutes(5)?,
            arrived: count(6)?,
            arr_delay: minutes(7)?,
        };
        Ok((key, tally))
    });
    groups?.collect()
}

/// One line of a table: a group by its names, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct Line {
    pub names: Vec<Option<String>>,
    pub tally: Tally,
}

impl Line {
    /// One of its names as a code.
    #[must_use]
    pub fn code(&self, name: usize) -> Option<Code<8>> {
        self.names.get(name)?.as_ref()?.parse().ok()
    }
}

/// The flights of each carrier and of each route, the most first.
///
/// # Errors
///
/// When the database cannot be read.
pub fn carriers_and_routes(database: &Connection) -> rusqlite::Result<(Vec<Line>, Vec<Line>)> {
    // One look at all rows; carriers and routes are sums of what comes out.
    database.execute_batch(
        "CREATE TEMP TABLE groups AS
         SELECT carrier, origin, dest, max(airline) AS airline, max(dest_name) AS dest_name, count(*) AS flights,
                count(dep_delay) AS departed, total(dep_delay) AS dep_delay,
                count(arr_delay) AS arrived, total(arr_delay) AS arr_delay
         FROM flights GROUP BY carrier, origin, dest",
    )?;
    Ok((lines(database, "carrier", "airline", 2)?, lines(database, "origin, dest", "dest_name", 3)?))
}

fn lines(database: &Connection, group: &str, name: &str, n_names: usize) -> rusqlite::Result<Vec<Line>> {
    let sql = format!(
        "SELECT {group}, max({name}), sum(flights), sum(departed), sum(dep_delay), sum(arrived), sum(arr_delay)
         FROM groups GROUP BY {group} ORDER BY sum(flights) DESC, {group}"
    );
    let line = |row: &Row<'_>| {
        let names = (0..n_names).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        let count = |column: usize| row.get::<_, i64>(n_names + column).map(i64::unsigned_abs);
        // A float, as `total` makes it: 0 rather than NULL for no values, and exact for whole minutes.
        let minutes = |column: usize| row.get::<_, f64>(n_names + column).map(|minutes| minutes as i64);
        let tally = Tally {
            flights: count(0)?,
            departed: count(1)?,
            dep_delay: minutes(2)?,
            arrived: count(3)?,
            arr_delay: minutes(4)?,
        };
        Ok(Line { names, tally })
    };
    database.prepare(&sql)?.query_map((), line)?.collect()
}
