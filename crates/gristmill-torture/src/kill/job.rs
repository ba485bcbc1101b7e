//! The job that is killed, and the oracle that looks at what it has made.

use anyhow::{Context, ensure};
use gristmill::Progress;
use gristmill_connect::sqlite::rusqlite::{Connection, OpenFlags};
use gristmill_examples::flights::database::Existing;
use gristmill_examples::flights::source::Input;
use gristmill_examples::flights::tables::{TablePaths, shipped};
use gristmill_examples::flights::{Job, run};
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Microseconds between two checkpoints.
const EVERY: &str = "2000";

/// Where jobs are done: a directory that is kept if something was wrong.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

/// What a job has made, as the oracle sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct Results {
    pub rows: u64,
    /// Of every value of every row, in the order in which they were stored.
    pub digest: u64,
    pub rejected: u64,
    /// Of the file of rejected rows.
    pub rejected_digest: u64,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Pieces of the input that were dealt with.
    pub position: u64,
    /// All of them.
    pub complete: bool,
}

impl Place {
    /// Makes the directory, and in it the flights of January, some of which are none.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(rows: usize) -> anyhow::Result<Self> {
        let mut folder = tempfile::Builder::new().prefix("gristmill-torture-").tempdir()?;
        folder.disable_cleanup(true);
        let text = fs::read_to_string(shipped("flights-2013-01.csv"))?;
        let mut input = File::create(folder.path().join("flights.csv"))?;
        for (number, line) in text.lines().enumerate().take(rows.saturating_add(1)) {
            // A year that is none.
            let broken = number % 997 == 500;
            writeln!(input, "{}{line}", if broken { "x" } else { "" })?;
        }
        Ok(Place { folder })
    }

    /// A job of that name.
    ///
    /// # Errors
    ///
    /// When there is no program to run.
    pub fn job(&self, name: &str) -> anyhow::Result<Task> {
        let program = std::env::current_exe().context("where is this program?")?;
        Ok(Task { program, folder: self.folder.path().to_owned(), name: name.to_owned() })
    }

    /// Removes all of it: nothing was wrong.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn remove(mut self) -> anyhow::Result<()> {
        self.folder.disable_cleanup(false);
        Ok(self.folder.close()?)
    }
}

/// One job, done by one process after another.
#[derive(Debug)]
pub struct Task {
    program: PathBuf,
    folder: PathBuf,
    name: String,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Task {
    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.name))
    }

    /// The command that does what is left of it.
    #[must_use]
    pub fn command(&self) -> Vec<OsString> {
        let folder = self.folder.as_os_str();
        let args = [self.program.as_os_str(), "child".as_ref(), folder, self.name.as_ref(), EVERY.as_ref()];
        args.map(OsString::from).into()
    }

    /// Starts a process.
    ///
    /// # Errors
    ///
    /// When there can be none.
    pub fn spawn(&self) -> anyhow::Result<Child> {
        self.spawn_as(&self.command())
    }

    /// Starts a process by a command around the job's.
    ///
    /// # Errors
    ///
    /// When there can be none.
    pub fn spawn_as(&self, command: &[OsString]) -> anyhow::Result<Child> {
        let (program, args) = command.split_first().context("no command")?;
        let said = File::create(self.path(".errors"))?;
        let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(said).spawn();
        child.with_context(|| format!("could not start {}", program.display()))
    }

    /// Whether the database is in its place. A process may be killed after that.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.path(".db").exists()
    }

    /// What the last process complained about.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path(".errors"))?)
    }

    /// How far it has come, as the database says. Looks at a copy, so that the next process finds what the last one left.
    ///
    /// # Errors
    ///
    /// When the files cannot be copied or read.
    pub fn kept(&self) -> anyhow::Result<Kept> {
        if self.is_done() {
            return Ok(Kept { position: u64::MAX, complete: true });
        }
        for end in ["", "-wal"] {
            match fs::copy(self.path(&format!(".db.partial{end}")), self.path(&format!(".look{end}"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("could not copy"),
                _ => {}
            }
        }
        let kept = if self.path(".look").exists() { self.read_copy() } else { Ok(Kept::default()) };
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path(&format!(".look{end}")));
        }
        kept
    }

    fn read_copy(&self) -> anyhow::Result<Kept> {
        let copy = Connection::open_with_flags(self.path(".look"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let made: bool = copy.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'gristmill_progress')",
            (),
            |row| row.get(0),
        )?;
        if !made {
            return Ok(Kept::default());
        }
        let mut query = copy.prepare("SELECT progress FROM gristmill_progress")?;
        let mut rows = query.query(())?;
        let Some(row) = rows.next()? else { return Ok(Kept::default()) };
        let progress = Progress::from_bytes(&row.get::<_, Vec<u8>>(0)?)?;
        Ok(Kept { position: progress.position(), complete: progress.is_complete() })
    }

    /// Does what is left of it, undisturbed, and looks at the results.
    ///
    /// # Errors
    ///
    /// When the process fails.
    pub fn finish(&self) -> anyhow::Result<Results> {
        if !self.is_done() {
            let status = self.spawn()?.wait()?;
            ensure!(status.success(), "{}: {status}, undisturbed: {}", self.name, self.said()?);
        }
        self.results()
    }

    fn results(&self) -> anyhow::Result<Results> {
        let database = Connection::open_with_flags(self.path(".db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let intact: String = database.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        ensure!(intact == "ok", "the database of {} is not intact: {intact}", self.name);
        let mut query = database.prepare("SELECT * FROM flights ORDER BY rowid")?;
        let columns = query.column_count();
        let mut digest = DefaultHasher::new();
        let mut rows = query.query(())?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            for column in 0..columns {
                format!("{:?}", row.get_ref(column)?).hash(&mut digest);
            }
        }
        let rejected = fs::read(self.path(".rejected")).unwrap_or_default();
        let mut rejected_digest = DefaultHasher::new();
        rejected.hash(&mut rejected_digest);
        Ok(Results {
            rows: count,
            digest: digest.finish(),
            rejected: rejected.split(|byte| *byte == b'\n').count().saturating_sub(1) as u64,
            rejected_digest: rejected_digest.finish(),
        })
    }

    /// Removes what it has made, and sees that nothing else was left.
    ///
    /// # Errors
    ///
    /// When something was, or it cannot be removed.
    pub fn clear(&self) -> anyhow::Result<()> {
        let mine = format!("{}.", self.name);
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(suffix) = name.strip_prefix(&mine) {
                ensure!(["db", "rejected", "errors"].contains(&suffix), "`{name}` was left behind");
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes what it has made, and what it could not remove itself.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn sweep(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&format!("{}.", self.name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The job itself, in the process that may be killed.
pub(super) fn work(folder: &Path, name: &str, every: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let path = |suffix: &str| folder.join(format!("{name}{suffix}"));
    let summary = run(&Job {
        inputs: vec![Input::read(folder.join("flights.csv"))],
        tables: TablePaths::shipped(),
        database: path(".db"),
        dead_letters: path(".rejected"),
        existing: Existing::Refuse,
        workers: Some(2),
        // Small pieces, so that there are many.
        memory: Some(gristmill::Bytes::kib(512)),
        ordered: true,
        checkpoint: Some(every),
    })?;
    writeln!(out, "{}", summary.report)?;
    Ok(())
}
