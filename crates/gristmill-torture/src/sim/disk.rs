//! A disk that is there after a crash: what was committed, and the progress that was committed with it.

use gristmill::testing::Simulation;
use gristmill::{DeadLetter, Outcome, Progress, Receipt, Store};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is on the disk; all that a crash leaves.
#[derive(Debug)]
pub(super) struct Shelf<R>(Arc<Mutex<Stable<R>>>);

#[derive(Debug)]
struct Stable<R> {
    records: Vec<R>,
    progress: Option<Vec<u8>>,
}

impl<R> Clone for Shelf<R> {
    fn clone(&self) -> Self {
        Shelf(Arc::clone(&self.0))
    }
}

impl<R> Default for Shelf<R> {
    fn default() -> Self {
        Shelf(Arc::new(Mutex::new(Stable { records: Vec::new(), progress: None })))
    }
}

impl<R> Shelf<R> {
    fn stable(&self) -> MutexGuard<'_, Stable<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> Vec<R> {
        std::mem::take(&mut self.stable().records)
    }

    /// A store that puts records here: each at once, or all since the last commit when the next one comes.
    pub(super) fn store(&self, waits: bool, commits: Option<Commits>) -> Disk<R> {
        Disk { shelf: self.clone(), pending: Vec::new(), waits, commits, begins_anew: true }
    }
}

/// How a store commits.
#[derive(Debug, Clone)]
pub(super) struct Commits {
    pub(super) simulation: Simulation,
    /// How likely it crashes before a commit, or after.
    pub(super) crashes: f64,
}

/// A store with transactions.
#[derive(Debug)]
pub(super) struct Disk<R> {
    shelf: Shelf<R>,
    pending: Vec<R>,
    waits: bool,
    commits: Option<Commits>,
    /// Nobody has said that a run goes on.
    begins_anew: bool,
}

impl<R> Disk<R> {
    /// As a store that is told by a receipt what to go back to: what a run left that kept no checkpoint is not wanted.
    fn forget(&mut self) {
        if std::mem::take(&mut self.begins_anew) && self.commits.is_some() {
            self.shelf.stable().records.clear();
        }
    }

    fn crash_perhaps(&self) {
        if let Some(Commits { simulation, crashes }) = &self.commits
            && simulation.chance(*crashes)
        {
            simulation.crash();
        }
    }
}

impl<R: Send> Store<R> for Disk<R> {
    type Error = String;

    fn store(&mut self, record: R) -> Result<(), String> {
        match self.commits {
            Some(_) => self.pending.push(record),
            None => self.shelf.stable().records.push(record),
        }
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        match (outcome, self.pending.len()) {
            (Outcome::Completed, left @ 1..) => Err(format!("{left} records were never committed")),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        self.crash_perhaps();
        let mut stable = self.shelf.stable();
        stable.records.append(&mut self.pending);
        stable.progress = Some(progress.to_bytes());
        drop(stable);
        self.crash_perhaps();
        Ok(Receipt::none())
    }

    fn keeps_progress(&self) -> bool {
        self.commits.is_some()
    }

    fn progress(&mut self) -> Result<Option<Progress>, String> {
        let stable = self.shelf.stable();
        stable.progress.as_deref().map(Progress::from_bytes).transpose().map_err(|error| error.to_string())
    }

    fn may_wait(&self) -> bool {
        self.waits
    }
}

/// A store of something else that is made into records. It has no progress of its own, and goes back by its receipt.
#[derive(Debug)]
pub(super) struct Through<R, F>(pub(super) Disk<R>, pub(super) F);

impl<T, R, F> Store<T> for Through<R, F>
where
    R: Send,
    F: FnMut(T) -> Result<R, String> + Send,
{
    type Error = String;

    fn store(&mut self, item: T) -> Result<(), String> {
        self.0.forget();
        let record = (self.1)(item)?;
        self.0.store(record)
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.0.forget();
        self.0.finish(outcome)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        self.0.forget();
        self.0.commit(progress)?;
        let length = self.0.shelf.stable().records.len() as u64;
        Ok(Receipt::new(length.to_le_bytes()))
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), String> {
        let length = receipt.bytes().try_into().map_err(|_| "a receipt of something else")?;
        self.0.begins_anew = false;
        self.0.shelf.stable().records.truncate(u64::from_le_bytes(length) as usize);
        Ok(())
    }
}

/// A store that may refuse items, and keeps the progress.
#[derive(Debug)]
pub(super) struct Checked<R, F>(pub(super) Disk<R>, pub(super) F);

impl<R, F> Store<R> for Checked<R, F>
where
    R: Copy + Send,
    F: FnMut(R) -> Result<(), String> + Send,
{
    type Error = String;

    fn store(&mut self, record: R) -> Result<(), String> {
        (self.1)(record)?;
        self.0.store(record)
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.0.finish(outcome)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        self.0.commit(progress)
    }

    fn keeps_progress(&self) -> bool {
        self.0.keeps_progress()
    }

    fn progress(&mut self) -> Result<Option<Progress>, String> {
        self.0.progress()
    }
}

/// What is kept of a dead letter: the number of the stage, the item, the attempts.
pub(super) type Buried = (usize, super::item::Item, u32);

/// Makes records of the dead letters of a stage; `exact` if their positions are those of their items.
pub(super) fn bury<E>(
    at: usize,
    exact: bool,
) -> impl FnMut(DeadLetter<super::item::Item, E>) -> Result<Buried, String> + Send {
    move |letter| {
        let item = letter.item.ok_or("a dead letter without its item")?;
        if exact && letter.position != item.position {
            return Err("a dead letter that says wrong things".into());
        }
        Ok((at, item, letter.attempts))
    }
}
