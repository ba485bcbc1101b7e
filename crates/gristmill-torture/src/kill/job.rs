//! The job that is killed, as the process sees it that kills: files, processes, and what the oracle finds in them.

use super::kind::Kind;
use super::oracle::{History, Oracle, in_order, numbers_in};
use super::{flights, numbers};
use anyhow::{Context, ensure};
use gristmill::Progress;
use gristmill_connect::sqlite::rusqlite::{self, Connection, OpenFlags};
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Between two checkpoints.
const EVERY: Duration = Duration::from_millis(2);

/// Where jobs are done: a directory that is kept if something was wrong.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    kind: Kind,
    oracle: Arc<Oracle>,
}

/// What a job has made, as the oracle sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct Results {
    pub rows: u64,
    /// Of every value of every row, in the order in which they were stored. What came again is left out.
    pub digest: u64,
    pub rejected: u64,
    /// Of the file of rejected rows.
    pub rejected_digest: u64,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Pieces of the input that were dealt with; without a checkpoint, bytes of the output.
    pub position: u64,
    /// All of them.
    pub complete: bool,
}

pub(super) fn digest_of(bytes: &[u8]) -> u64 {
    let mut digest = DefaultHasher::new();
    bytes.hash(&mut digest);
    digest.finish()
}

impl Place {
    /// Makes the directory, and in it an input with so many rows at most, some of which are none.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(kind: Kind, rows: usize) -> anyhow::Result<Self> {
        let mut folder = tempfile::Builder::new().prefix("gristmill-torture-").tempdir()?;
        folder.disable_cleanup(true);
        let oracle = Oracle::of(rows.min(40_000) as u64);
        match kind {
            Kind::Sqlite => flights::make_input(folder.path(), rows)?,
            _ => fs::write(folder.path().join("numbers"), oracle.input())?,
        }
        Ok(Place { folder, kind, oracle: Arc::new(oracle) })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A job of that name.
    ///
    /// # Errors
    ///
    /// When there is no program to run.
    pub fn job(&self, name: &str) -> anyhow::Result<Task> {
        let program = std::env::current_exe().context("where is this program?")?;
        let (folder, oracle) = (self.folder.path().to_owned(), Arc::clone(&self.oracle));
        Ok(Task { program, folder, name: name.to_owned(), kind: self.kind, oracle, every: EVERY })
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
    kind: Kind,
    oracle: Arc<Oracle>,
    every: Duration,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}", self.name, self.kind)
    }
}

impl Task {
    /// Its kind of store.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same job with one checkpoint after another.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.every = Duration::ZERO;
        self
    }

    pub(super) fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.name))
    }

    /// The command that does what is left of it.
    #[must_use]
    pub fn command(&self) -> Vec<OsString> {
        let (folder, every) = (self.folder.as_os_str(), self.every.as_micros().to_string());
        let kind = self.kind.name().as_ref();
        let args = [self.program.as_os_str(), "child".as_ref(), kind, folder, self.name.as_ref(), every.as_ref()];
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

    /// What the last process complained about.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path(".errors"))?)
    }

    /// Whether all is in its place. A process may be killed after that.
    ///
    /// # Errors
    ///
    /// When a checkpoint cannot be read.
    pub fn is_done(&self) -> anyhow::Result<bool> {
        Ok(match self.kind {
            Kind::Sqlite => self.path(".db").exists(),
            Kind::SqliteAndFile | Kind::WholeLines | Kind::TwoEnds | Kind::FromFn => {
                let finished = self.kind.leaves().iter().all(|suffix| self.path(suffix).exists());
                finished && self.checkpoint()?.complete
            }
            Kind::Alone | Kind::Growing => self.path(".out").exists(),
        })
    }

    /// How far it has come. Looks at copies where looking would change something.
    ///
    /// # Errors
    ///
    /// When the files cannot be copied or read.
    pub fn kept(&self) -> anyhow::Result<Kept> {
        match self.kind {
            Kind::Sqlite => flights::kept(self),
            Kind::Alone => {
                let complete = self.is_done()?;
                let len = |suffix| self.path(suffix).metadata().map_or(0, |found| found.len());
                Ok(Kept { position: if complete { u64::MAX } else { len(".out.partial") }, complete })
            }
            Kind::Growing => {
                let position = self.path(".out").metadata().map_or(0, |found| found.len());
                Ok(Kept { position, complete: position == self.oracle.out.len() as u64 })
            }
            _ => self.checkpoint(),
        }
    }

    fn checkpoint(&self) -> anyhow::Result<Kept> {
        let bytes = match fs::read(self.path(".checkpoint")) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Kept::default()),
            read => read?,
        };
        let progress = Progress::from_bytes(&bytes)?;
        Ok(Kept { position: progress.position(), complete: progress.is_complete() })
    }

    /// Looks at a database, or rather at a copy of it, so that the next process finds what the last one left.
    pub(super) fn with_copy<R>(
        &self,
        suffix: &str,
        look: impl FnOnce(&Connection) -> anyhow::Result<R>,
    ) -> anyhow::Result<Option<R>> {
        const BESIDE: [&str; 4] = ["", "-wal", "-journal", "-shm"];
        for end in &BESIDE[..3] {
            match fs::copy(self.path(&format!("{suffix}{end}")), self.path(&format!(".look{end}"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("could not copy"),
                _ => {}
            }
        }
        let looked = if self.path(".look").exists() {
            let copy = Connection::open_with_flags(self.path(".look"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            Some(look(&copy)).transpose()
        } else {
            Ok(None)
        };
        for end in BESIDE {
            let _ = fs::remove_file(self.path(&format!(".look{end}")));
        }
        looked
    }

    /// Looks at what is there after a process has ended, well or not: nothing may be lost, and no file be there in part
    /// that is to be whole.
    ///
    /// # Errors
    ///
    /// When something is wrong.
    pub fn look(&self, history: &mut History, ended_well: bool) -> anyhow::Result<()> {
        match self.kind {
            // Its rows are compared when it is done.
            Kind::Sqlite => Ok(()),
            Kind::SqliteAndFile | Kind::FromFn => {
                let stored = self.stored()?;
                self.oracle.follow(history, &stored, self.checkpoint()?.position, self.every.is_zero())?;
                self.check_whole(".rejected", &self.oracle.rejected)
            }
            Kind::WholeLines | Kind::TwoEnds | Kind::Alone => {
                self.check_whole(".out", &self.oracle.out)?;
                self.check_whole(".out2", &self.oracle.out)?;
                self.check_whole(".rejected", &self.oracle.rejected)
            }
            Kind::Growing => {
                self.check_beginning(".out", &self.oracle.out)?;
                self.oracle.check_letters(&self.read(".rejected")?.unwrap_or_default())?;
                if ended_well { Ok(()) } else { self.make_room() }
            }
        }
        .with_context(|| format!("wrong in {}, {self}", self.folder.display()))
    }

    /// The numbers that were stored, in the order in which they were.
    fn stored(&self) -> anyhow::Result<Vec<u64>> {
        if self.kind == Kind::SqliteAndFile {
            return Ok(self.with_copy(".db", numbers_of)?.unwrap_or_default());
        }
        numbers_in(&self.read(".out")?.unwrap_or_default())
    }

    /// What is in a file, if it is there.
    fn read(&self, suffix: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.path(suffix)) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read?)),
        }
    }

    /// A file must be whole or not there. What is made of it must be its beginning.
    fn check_whole(&self, suffix: &str, whole: &str) -> anyhow::Result<()> {
        let found = self.read(suffix)?;
        ensure!(found.is_none_or(|found| found == whole), "{suffix} is there, and not whole");
        self.check_beginning(&format!("{suffix}.partial"), whole)
    }

    fn check_beginning(&self, suffix: &str, whole: &str) -> anyhow::Result<()> {
        let found = self.read(suffix)?.unwrap_or_default();
        ensure!(whole.starts_with(&found), "{suffix} is not the beginning of what it should be");
        Ok(())
    }

    /// What is left of a file that grows stops the next run, which does not touch it. Then it is taken away.
    fn make_room(&self) -> anyhow::Result<()> {
        let left = [".out", ".rejected"].map(|suffix| self.read(suffix));
        let [out, rejected] = left;
        let (out, rejected) = (out?, rejected?);
        if out.is_none() && rejected.is_none() {
            return Ok(());
        }
        let status = self.spawn()?.wait()?;
        let said = self.said()?;
        ensure!(status.code() == Some(1) && said.contains("could not create"), "the next run did not refuse: {said}");
        ensure!(self.read(".out")? == out && self.read(".rejected")? == rejected, "the next run has touched the files");
        for suffix in [".out", ".rejected"] {
            let _ = fs::remove_file(self.path(suffix));
        }
        Ok(())
    }

    /// Does what is left of it, undisturbed, and looks at the results.
    ///
    /// # Errors
    ///
    /// When the process fails.
    pub fn finish(&self, history: &mut History) -> anyhow::Result<Results> {
        // One that is done can be done again, and does nothing.
        let again = self.kind.has_checkpoint() && self.kind != Kind::Sqlite;
        if again || !self.is_done()? {
            let status = self.spawn()?.wait()?;
            ensure!(status.success(), "{self}: {status}, undisturbed: {}", self.said()?);
            self.look(history, true)?;
        }
        self.results(history)
    }

    fn results(&self, history: &History) -> anyhow::Result<Results> {
        if self.kind == Kind::Sqlite {
            return flights::results(self);
        }
        let out = self.read(".out")?.unwrap_or_default();
        if self.kind.may_repeat() {
            self.oracle.check_all(history)?;
        } else {
            ensure!(out == self.oracle.out, "{self}: the numbers are not all there, or not in order");
        }
        if self.kind == Kind::TwoEnds {
            ensure!(self.read(".out2")?.as_deref() == Some(&self.oracle.out), "{self}: the second end has others");
        }
        if self.kind == Kind::SqliteAndFile {
            let intact = self.with_copy(".db", |database| {
                Ok(database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0))?)
            })?;
            ensure!(intact.as_deref() == Some("ok"), "{self}: the database is not intact: {intact:?}");
        }
        let mut rejected = self.read(".rejected")?.unwrap_or_default();
        if self.kind == Kind::Growing {
            rejected = in_order(&rejected);
        }
        let has_rejected = self.kind != Kind::Alone;
        ensure!(!has_rejected || rejected == self.oracle.rejected, "{self}: the rejected lines are others");
        Ok(Results {
            rows: self.oracle.numbers(),
            digest: digest_of(self.oracle.out.as_bytes()),
            rejected: rejected.lines().count() as u64,
            rejected_digest: digest_of(rejected.as_bytes()),
        })
    }

    /// Removes what it has made, and sees that nothing else was left.
    ///
    /// # Errors
    ///
    /// When something was, or it cannot be removed.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.remove(|suffix| self.kind.leaves().contains(&suffix))
    }

    /// Removes what it has made, and what it could not remove itself.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn sweep(&self) -> anyhow::Result<()> {
        self.remove(|_| true)
    }

    fn remove(&self, allowed: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(suffix) = name.strip_prefix(&self.name).filter(|suffix| suffix.starts_with('.')) {
                ensure!(allowed(suffix), "`{name}` was left behind");
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn numbers_of(database: &Connection) -> anyhow::Result<Vec<u64>> {
    let made: bool =
        database
            .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'numbers')", (), |row| row.get(0))?;
    if !made {
        return Ok(Vec::new());
    }
    let mut query = database.prepare("SELECT number, double FROM numbers ORDER BY rowid")?;
    let rows: rusqlite::Result<Vec<(i64, i64)>> = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    let rows = rows?;
    ensure!(rows.iter().all(|(number, double)| *double == number * 2), "a row is not a number and its double");
    Ok(rows.into_iter().map(|(number, _)| number.cast_unsigned()).collect())
}

/// The job itself, in the process that may be killed.
pub(super) fn work(kind: Kind, folder: &Path, name: &str, every: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    match kind {
        Kind::Sqlite => flights::work(folder, name, every, out),
        _ => numbers::work(kind, folder, name, every, out),
    }
}
