//! Checkpoints: how a run finds out that everything before a position is durable, while items finish out of order.
//!
//! The method is that of aligned barriers (Carbone et al., *Lightweight Asynchronous Snapshots for Distributed Dataflows*,
//! 2015, after Chandy and Lamport, 1985), in a pipeline that has one source and keeps its order.
//!
//! ```text
//!  source ═▶ [ 7 8 9 ]│ ═▶ map ═▶ [ 4 6 ]│ ═▶ batch ═▶ [ (1 2 3) ]│ ═▶ store: commit, then keep the checkpoint
//!                     └─ a barrier travels on the last morsel before its position, and never overtakes
//! ```
//!
//! # Protocol
//!
//! 1. A checkpoint is *due* when its interval has gone by since the last one was kept, when the source ends, and when the
//!    run drains. Who has the feed then puts a [`Barrier`] on the morsel that he has just numbered: it says how many items
//!    come before it, and where the source stands. If no item comes, a tick sends an empty morsel with one.
//! 2. What follows from a morsel has its barrier. A batch closes what is open and hands it on, a fork gives it to both.
//!    As the order is that of the source, whatever an end has before the barrier comes from items before its position.
//! 3. An end that has stored a morsel with a barrier *arrives* and goes no further. When all ends have arrived, the stores
//!    of dead letters are asked to settle: each stores the letters from before the position, which it has held back until
//!    now, and commits.
//! 4. Then each end commits. The last of them keeps the checkpoint: in the file, if there is one. If the progress is in the
//!    stores, each has it in its transaction by now.
//!
//! # Invariants
//!
//! - A barrier arrives only if every item before it was stored, filtered, skipped or dead-lettered. The only other way an
//!   item can go is to be lost, which happens only after the run was stopped; and an end that arrives looks whether the
//!   run was stopped *after* it has everything. Who dropped items saw the stop before he handed the morsel on, and the
//!   end got the morsel from him, so it sees the stop, too.
//! - A letter of an item before the position was posted before the barrier arrived anywhere behind the stage, so when all
//!   have arrived all such letters are in their queues.
//! - No more than one barrier of those that time makes due is under way: the next interval begins when a checkpoint is
//!   kept. So a store that is slow to commit is not asked to do it more and more often.
//! - Nobody waits for a barrier but the threads of ends, each in [`Keeper::ready`], which takes a limit. An end that waits
//!   for another holds no permit that the other needs: all that it waits for has been admitted before the barrier.
//!
//! # The races that almost were
//!
//! Letters were first stored as they came. A letter from behind the position was then durable at the checkpoint, and came
//! once more after a resume. Held back until their barrier they are exactly those from before it, and in the order of the
//! source as well. But a letter holds its morsel's slot: when they hold all of them the source gets in no more, and no
//! barrier is due for a long time. So a source that is refused while letters are held back makes one due.
//!
//! When a run goes on, an end that is ahead of the others is not given again what it has. Its dead letters once went back to
//! the checkpoint of the others all the same: those of its failures in between were forgotten, and never came again.
//!
//! A batch that was open at a barrier was first left open, as its items would be stored with the next. They were not in the
//! checkpoint, and the position said they were.

use super::plan::DeadEnd;
use super::shared::Shared;
use super::sync::{AtomicU64, Condvar, Mutex, Ordering};
use crate::checkpoint::file::{CheckpointFile, FileError};
use crate::checkpoint::{Checkpoint, Place, Progress, Receipt, Standing};
use crate::error::{Error, ErrorKind};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Why a run cannot go on from a checkpoint, or could not keep one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "the input is not the one that the checkpoint was made of ({changes}); go on with it all the same with \
         `accept_changed_input`, or store everything anew with `start_over`"
    )]
    Changed { changes: String },
    #[error(
        "the checkpoint was made by another pipeline: {difference}; store everything anew with `start_over`, or keep the \
         checkpoint of this one elsewhere"
    )]
    OtherPipeline { difference: String },
    #[error("the source ended after {found} items, but the checkpoint is after {position}: the input is another one")]
    Short { found: u64, position: u64 },
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        Error::new(ErrorKind::Checkpoint(error))
    }
}

/// A place in the order of the source, on its way through the pipeline.
#[derive(Debug)]
pub(crate) struct Barrier {
    pub(crate) position: u64,
    standing: Option<Standing>,
    complete: bool,
    meeting: Mutex<Meeting>,
    change: Condvar,
}

/// Who has come to a barrier, and what they brought.
#[derive(Debug, Default)]
struct Meeting {
    arrived: usize,
    /// Receipts of the stores of dead letters, those that have settled.
    letters: Vec<Option<Receipt>>,
    /// What the ends are to commit, once the letters are durable.
    progress: Option<Arc<Progress>>,
    committed: Vec<(String, Receipt)>,
}

/// Looks after the checkpoints of a run.
pub(crate) struct Keeper<'env> {
    shared: Arc<Shared>,
    every: u64,
    start_over: bool,
    accept_changed_input: bool,
    /// `None` if the stores keep the progress.
    file: Option<Mutex<CheckpointFile>>,
    /// Set while the run is planned, and not changed later.
    roll: Mutex<Roll<'env>>,
    found: OnceLock<Option<Progress>>,
    fingerprint: OnceLock<Option<String>>,
    /// When the next checkpoint is due; never while one is under way.
    next_due: AtomicU64,
    /// The position of the last barrier.
    last: AtomicU64,
}

/// Who takes part.
#[derive(Default)]
struct Roll<'env> {
    ends: Vec<String>,
    /// The progress that each store has kept.
    kept: Vec<Option<Progress>>,
    letters: Vec<Letters<'env>>,
    /// Where an end goes on that is ahead of the others.
    cuts: BTreeSet<u64>,
}

/// A store of dead letters that takes part.
struct Letters<'env> {
    /// The name that its receipts are kept under.
    key: String,
    queue: Arc<dyn DeadEnd + 'env>,
    /// The end that they are from, if they are from one.
    end: Option<usize>,
}

/// How a source is to begin.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Where the run goes on.
    pub(crate) position: u64,
    /// Where the source is to be put.
    pub(crate) standing: Option<Standing>,
    /// There is nothing left to do.
    pub(crate) done: bool,
}

impl Start {
    /// How many items the source will give that were dealt with.
    pub(crate) fn skip(&self) -> u64 {
        self.position - self.standing.as_ref().map_or(0, |standing| standing.position)
    }
}

const NEVER: u64 = u64::MAX;

impl<'env> Keeper<'env> {
    pub(crate) fn open(checkpoint: &Checkpoint, shared: &Arc<Shared>) -> Result<Arc<Self>, Error> {
        let file = match &checkpoint.place {
            Place::File(path) => Some(CheckpointFile::open(path).map_err(CheckpointError::from)?),
            Place::Store => None,
        };
        let found = OnceLock::new();
        if let Some(file) = &file {
            let loaded = if checkpoint.start_over { None } else { file.load().map_err(CheckpointError::from)? };
            // Set nowhere else when there is a file.
            let _ = found.set(loaded);
        }
        let every = u64::try_from(checkpoint.every.as_nanos()).unwrap_or(NEVER - 1);
        Ok(Arc::new(Keeper {
            shared: Arc::clone(shared),
            every,
            start_over: checkpoint.start_over,
            accept_changed_input: checkpoint.accept_changed_input,
            file: file.map(Mutex::new),
            roll: Mutex::default(),
            found,
            fingerprint: OnceLock::new(),
            next_due: AtomicU64::new(shared.now().saturating_add(every)),
            last: AtomicU64::new(0),
        }))
    }

    /// Whether the stores keep the progress themselves, and are to be asked for it.
    pub(crate) fn is_in_store(&self) -> bool {
        self.file.is_none()
    }

    /// Takes an end in, with the progress that its store has kept.
    pub(crate) fn join(self: &Arc<Self>, name: &str, kept: Option<Progress>) -> Seat<'env> {
        let kept = kept.filter(|_| !self.start_over);
        let mut roll = self.roll.lock();
        let key = format!("end {}: {name}", roll.ends.len());
        roll.ends.push(key.clone());
        let has = kept.as_ref().map_or(0, |progress| progress.position);
        roll.kept.push(kept);
        drop(roll);
        Seat { keeper: Arc::clone(self), key, has, waiting: None }
    }

    /// Takes a store of dead letters in; returns the name that its receipts are kept under.
    pub(crate) fn join_letters(&self, stage: &str, queue: Arc<dyn DeadEnd + 'env>, of_end: bool) -> String {
        let mut roll = self.roll.lock();
        let key = format!("letters {}: {stage}", roll.letters.len());
        let end = roll.ends.len().checked_sub(1).filter(|_| of_end);
        roll.letters.push(Letters { key: key.clone(), queue, end });
        key
    }

    /// Decides where the run begins, when all that takes part is known.
    pub(crate) fn begin(&self, fingerprint: Option<&str>) -> Result<Start, Error> {
        let found = self.found.get_or_init(|| self.least_kept()).as_ref();
        let _ = self.fingerprint.set(fingerprint.map(str::to_owned));
        let Some(found) = found else { return Ok(Start::default()) };
        self.check_roll(found)?;
        let changed = found.fingerprint.as_deref() != fingerprint;
        if changed && !self.accept_changed_input {
            let changes = changes(found.fingerprint.as_deref(), fingerprint);
            return Err(CheckpointError::Changed { changes }.into());
        }
        self.last.store(found.position, Ordering::Relaxed);
        // Set nowhere else.
        let _ = self.shared.resumed_at.set(found.position);
        let done = found.complete && !changed;
        Ok(Start { position: found.position, standing: found.standing.clone(), done })
    }

    /// The least of what the stores have kept: from there on not all have everything. Those that are ahead are to get a
    /// barrier where they go on, so that no batch holds both what they have and what they have not.
    fn least_kept(&self) -> Option<Progress> {
        let mut roll = self.roll.lock();
        let least = roll.kept.iter().map(|kept| kept.as_ref().map_or(0, |kept| kept.position)).min()?;
        let ahead = roll.kept.iter().flatten().map(|kept| kept.position).filter(|position| *position > least);
        roll.cuts = ahead.collect();
        roll.kept.iter().flatten().find(|kept| kept.position == least).cloned()
    }

    /// Whether those who left receipts are those who are here.
    fn check_roll(&self, found: &Progress) -> Result<(), Error> {
        let roll = self.roll.lock();
        let ends = roll.ends.iter().filter(|_| !self.is_in_store());
        let here: BTreeSet<&str> =
            ends.map(String::as_str).chain(roll.letters.iter().map(|letters| &*letters.key)).collect();
        let there: BTreeSet<&str> = found.receipts.iter().map(|(key, _)| &**key).collect();
        let difference = match (here.difference(&there).next(), there.difference(&here).next()) {
            (Some(new), _) => format!("it knows nothing of `{new}`"),
            (None, Some(old)) => format!("it had `{old}`"),
            (None, None) => return Ok(()),
        };
        Err(CheckpointError::OtherPipeline { difference }.into())
    }

    /// What somebody was given back at the checkpoint that the run goes on from.
    pub(crate) fn receipt(&self, key: &str) -> Option<Receipt> {
        self.found.get()?.as_ref()?.receipt(key).cloned()
    }

    /// The same for a store of dead letters. Those of an end that is ahead of the others go with that end: what it has, it
    /// is not given again, so it would not fail again.
    pub(crate) fn receipt_of_letters(&self, key: &str) -> Option<Receipt> {
        let roll = self.roll.lock();
        let end = roll.letters.iter().find(|letters| letters.key == key).and_then(|letters| letters.end);
        match end.and_then(|end| roll.kept[end].as_ref()) {
            Some(ahead) => ahead.receipt(key).cloned(),
            None => {
                drop(roll);
                self.receipt(key)
            }
        }
    }

    /// Whether the next morsel should have a barrier.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.next_due.load(Ordering::Relaxed)
    }

    /// When the next checkpoint is due, in nanoseconds since the run began; zero while one is under way.
    pub(crate) fn next_due(&self) -> u64 {
        Some(self.next_due.load(Ordering::Relaxed)).filter(|due| *due != NEVER).unwrap_or(0)
    }

    /// How often a source that runs ahead should note where it stands, in nanoseconds.
    pub(crate) fn mark_interval(&self) -> u64 {
        self.every / 16
    }

    /// How many items may follow the first `given` before there must be a barrier; `None` if any number.
    pub(crate) fn until_cut(&self, given: u64) -> Option<u64> {
        self.roll.lock().cuts.range(given + 1..).next().map(|cut| cut - given)
    }

    /// Whether there must be a barrier here.
    pub(crate) fn is_cut(&self, position: u64) -> bool {
        self.roll.lock().cuts.contains(&position)
    }

    /// Whether a source that is refused must make a barrier, as dead letters hold what it needs.
    pub(crate) fn is_pressed(&self) -> bool {
        self.next_due.load(Ordering::Relaxed) != NEVER
            && self.roll.lock().letters.iter().any(|letters| letters.queue.holds_letters())
    }

    /// Whether something was given since the last barrier.
    pub(crate) fn is_behind(&self, given: u64) -> bool {
        given > self.last.load(Ordering::Relaxed)
    }

    /// A barrier after the first `position` items.
    pub(crate) fn issue(&self, position: u64, standing: Option<Standing>, complete: bool) -> Arc<Barrier> {
        self.next_due.store(NEVER, Ordering::Relaxed);
        self.last.store(position, Ordering::Relaxed);
        Arc::new(Barrier { position, standing, complete, meeting: Mutex::default(), change: Condvar::new() })
    }

    /// An end has everything before the barrier. Never waits.
    fn arrive(&self, barrier: &Arc<Barrier>) {
        let roll = self.roll.lock();
        let mut meeting = barrier.meeting.lock();
        meeting.arrived += 1;
        if meeting.arrived < roll.ends.len() {
            return;
        }
        meeting.letters = vec![None; roll.letters.len()];
        if roll.letters.is_empty() {
            meeting.progress = Some(Arc::new(self.progress(barrier, Vec::new())));
        }
        drop(meeting);
        barrier.change.notify_all();
        for (number, letters) in roll.letters.iter().enumerate() {
            letters.queue.settle(barrier, number);
        }
    }

    /// A store of dead letters has committed those from before the barrier.
    pub(crate) fn settled(&self, barrier: &Barrier, number: usize, receipt: Receipt) {
        let roll = self.roll.lock();
        let mut meeting = barrier.meeting.lock();
        meeting.letters[number] = Some(receipt);
        if meeting.letters.iter().all(Option::is_some) {
            let keys = roll.letters.iter().map(|letters| letters.key.clone());
            let receipts = keys.zip(meeting.letters.drain(..).flatten()).collect();
            meeting.progress = Some(Arc::new(self.progress(barrier, receipts)));
        }
        drop(meeting);
        barrier.change.notify_all();
    }

    /// What a store of dead letters is told when it commits.
    pub(crate) fn progress_of_letters(&self, barrier: &Barrier) -> Progress {
        self.progress(barrier, Vec::new())
    }

    fn progress(&self, barrier: &Barrier, receipts: Vec<(String, Receipt)>) -> Progress {
        Progress {
            position: barrier.position,
            complete: barrier.complete,
            standing: barrier.standing.clone(),
            fingerprint: self.fingerprint.get().cloned().flatten(),
            receipts,
        }
    }

    /// What to commit, if all have arrived and the dead letters are durable; waits for that up to `limit`.
    fn ready(&self, barrier: &Barrier, limit: Duration) -> Option<Arc<Progress>> {
        let mut meeting = barrier.meeting.lock();
        if meeting.progress.is_none() && !limit.is_zero() {
            (meeting, _) = barrier.change.wait_for(meeting, limit);
        }
        meeting.progress.clone()
    }

    /// An end has committed. The last one keeps the checkpoint.
    fn committed(&self, barrier: &Barrier, key: &str, receipt: Receipt) -> Result<(), Error> {
        let n_ends = self.roll.lock().ends.len();
        let mut meeting = barrier.meeting.lock();
        meeting.committed.push((key.to_owned(), receipt));
        if meeting.committed.len() < n_ends {
            return Ok(());
        }
        let committed = std::mem::take(&mut meeting.committed);
        let progress = meeting.progress.take();
        drop(meeting);
        if let (Some(file), Some(progress)) = (&self.file, progress) {
            let mut progress = Progress::clone(&progress);
            progress.receipts.extend(committed);
            file.lock().save(&progress).map_err(CheckpointError::from)?;
        }
        self.next_due.store(self.shared.now().saturating_add(self.every), Ordering::Relaxed);
        Ok(())
    }
}

/// What differs between two fingerprints, line by line.
fn changes(was: Option<&str>, is: Option<&str>) -> String {
    const MOST: usize = 4;
    let lines = |text: Option<&str>| -> Vec<String> { text.unwrap_or_default().lines().map(str::to_owned).collect() };
    let (was, is) = (lines(was), lines(is));
    let gone = was.iter().filter(|line| !is.contains(line)).map(|line| format!("it was {line}"));
    let new = is.iter().filter(|line| !was.contains(line)).map(|line| format!("it is {line}"));
    let mut all: Vec<String> = gone.chain(new).collect();
    if all.is_empty() {
        all.push("its parts are in another order".to_owned());
    }
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    if more > 0 {
        all.push(format!("and {more} more differences"));
    }
    all.join("; ")
}

/// The place of an end among those that take part in checkpoints.
pub(crate) struct Seat<'env> {
    keeper: Arc<Keeper<'env>>,
    key: String,
    /// What comes from before this position, the store has from an earlier run.
    has: u64,
    /// The barrier that the end has arrived at.
    waiting: Option<Arc<Barrier>>,
}

impl Seat<'_> {
    /// What the store was given back at the checkpoint that the run goes on from, if it is to go back to it.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.keeper.receipt(&self.key)
    }

    /// What comes from before this position, the store has already.
    pub(crate) fn has(&self) -> u64 {
        self.has
    }

    /// The end has stored what comes before a barrier. A run that was stopped has lost something, perhaps before it.
    pub(crate) fn arrive(&mut self, barrier: Arc<Barrier>) {
        if !self.keeper.shared.is_stopped() {
            self.keeper.arrive(&barrier);
            self.waiting = Some(barrier);
        }
    }

    /// Whether the end waits at a barrier.
    pub(crate) fn is_held(&self) -> bool {
        self.waiting.is_some()
    }

    /// The barrier where the end waits and what it is to commit, once that is known; waits for that up to `limit`.
    pub(crate) fn pass(&mut self, limit: Duration) -> Option<(Arc<Barrier>, Arc<Progress>)> {
        let progress = self.keeper.ready(self.waiting.as_ref()?, limit)?;
        Some((self.waiting.take()?, progress))
    }

    /// The end has committed.
    pub(crate) fn committed(&self, barrier: &Barrier, receipt: Receipt) -> Result<(), Error> {
        self.keeper.committed(barrier, &self.key, receipt)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::cancel::CancelToken;
    use crate::checkpoint::Mark;
    use std::sync::atomic::AtomicBool;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOBODY_WAITS: Duration = Duration::ZERO;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared::small(CancelToken::new()))
    }

    fn keeper<'env>(checkpoint: Checkpoint) -> Arc<Keeper<'env>> {
        Keeper::open(&checkpoint.every(HOUR), &shared()).unwrap()
    }

    fn kept(position: u64) -> Progress {
        Progress { position, ..Progress::default() }
    }

    /// A store of dead letters that only takes note of what it is asked.
    #[derive(Default)]
    struct Letters {
        holds: AtomicBool,
        asked: Mutex<Vec<usize>>,
    }

    impl DeadEnd for Letters {
        fn close(&self) {}

        fn settle(&self, _: &Arc<Barrier>, number: usize) {
            self.asked.lock().push(number);
        }

        fn holds_letters(&self) -> bool {
            self.holds.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn nobody_passes_before_all_ends_have_arrived() {
        let keeper = keeper(Checkpoint::in_store());
        let [mut left, mut right] = ["left", "right"].map(|name| keeper.join(name, None));
        let barrier = keeper.issue(3, None, true);
        assert!(!left.is_held());
        left.arrive(Arc::clone(&barrier));
        assert!(left.is_held() && left.pass(NOBODY_WAITS).is_none() && left.is_held());
        right.arrive(Arc::clone(&barrier));
        for seat in [&mut left, &mut right] {
            let (_, progress) = seat.pass(HOUR).unwrap();
            assert_eq!((progress.position, progress.complete), (3, true));
            assert!(!seat.is_held());
        }
    }

    #[test]
    fn ends_wait_until_each_store_of_letters_has_settled() {
        let keeper = keeper(Checkpoint::in_store());
        let mut end = keeper.join("end", None);
        let letters = [Arc::new(Letters::default()), Arc::new(Letters::default())];
        let names = letters.clone().map(|queue| keeper.join_letters("parse", queue, false));
        assert_eq!(names, ["letters 0: parse", "letters 1: parse"]);
        let barrier = keeper.issue(3, None, false);
        end.arrive(Arc::clone(&barrier));
        assert_eq!(letters.each_ref().map(|queue| queue.asked.lock().clone()), [[0], [1]]);
        assert_eq!(keeper.progress_of_letters(&barrier).position, 3);
        keeper.settled(&barrier, 1, Receipt::new([1]));
        assert!(end.pass(NOBODY_WAITS).is_none());
        keeper.settled(&barrier, 0, Receipt::new([0]));
        let (_, progress) = end.pass(HOUR).unwrap();
        let receipts = [("letters 0: parse", [0]), ("letters 1: parse", [1])];
        assert_eq!(progress.receipts, receipts.map(|(name, bytes)| (name.to_owned(), Receipt::new(bytes))));
    }

    #[test]
    fn an_end_of_a_run_that_was_stopped_does_not_arrive() {
        let keeper = keeper(Checkpoint::in_store());
        let mut end = keeper.join("end", None);
        keeper.shared.abort(CheckpointError::Short { found: 0, position: 1 }.into());
        end.arrive(keeper.issue(3, None, false));
        assert!(!end.is_held());
    }

    #[test]
    fn the_next_checkpoint_is_due_an_interval_after_the_last_was_kept() {
        let keeper = keeper(Checkpoint::in_store());
        let [mut left, mut right] = ["left", "right"].map(|name| keeper.join(name, None));
        let first = keeper.next_due();
        assert!((HOUR.as_nanos() as u64..).contains(&first));
        assert!(!keeper.is_due(first - 1) && keeper.is_due(first));
        assert_eq!(keeper.mark_interval(), HOUR.as_nanos() as u64 / 16);
        let barrier = keeper.issue(3, None, false);
        assert_eq!((keeper.next_due(), keeper.is_due(NEVER - 1)), (0, false), "one is under way");
        for seat in [&mut left, &mut right] {
            seat.arrive(Arc::clone(&barrier));
        }
        keeper.shared.clock.advance(HOUR.as_nanos() as u64);
        left.committed(&barrier, Receipt::none()).unwrap();
        assert_eq!(keeper.next_due(), 0, "one has not committed");
        right.committed(&barrier, Receipt::none()).unwrap();
        assert!(keeper.next_due() >= 2 * HOUR.as_nanos() as u64);
    }

    #[test]
    fn what_was_given_since_the_last_barrier_is_behind() {
        let keeper = keeper(Checkpoint::in_store());
        assert!(!keeper.is_behind(0) && keeper.is_behind(1));
        keeper.issue(5, None, false);
        assert!(!keeper.is_behind(5) && keeper.is_behind(6));
    }

    #[test]
    fn letters_that_are_held_back_press_unless_a_barrier_is_under_way() {
        let keeper = keeper(Checkpoint::in_store());
        let [idle, holding] = [false, true].map(|holds| Letters { holds: holds.into(), ..Letters::default() });
        keeper.join_letters("idle", Arc::new(idle), false);
        assert!(!keeper.is_pressed());
        keeper.join_letters("holding", Arc::new(holding), false);
        assert!(keeper.is_pressed());
        keeper.issue(1, None, false);
        assert!(!keeper.is_pressed());
    }

    #[test]
    fn a_run_goes_on_where_the_last_of_its_stores_is_and_cuts_where_others_are() {
        let keeper = keeper(Checkpoint::in_store());
        let seats = [12, 5, 9, 5].map(|position| keeper.join("end", Some(kept(position))));
        assert_eq!(seats.each_ref().map(Seat::has), [12, 5, 9, 5]);
        let start = keeper.begin(None).unwrap();
        assert_eq!((start.position, start.done, start.skip()), (5, false, 5));
        assert_eq!(keeper.shared.resumed_at.get(), Some(&5));
        assert!(!keeper.is_behind(5) && keeper.is_behind(6));
        assert_eq!([5, 8, 9, 11, 12].map(|given| keeper.until_cut(given)), [Some(4), Some(1), Some(3), Some(1), None]);
        assert_eq!([5, 8, 9, 12, 13].map(|position| keeper.is_cut(position)), [false, false, true, true, false]);
    }

    #[test]
    fn a_store_that_has_nothing_makes_the_run_begin_at_the_beginning() {
        let keeper = keeper(Checkpoint::in_store());
        let _seats = [Some(kept(7)), None].map(|progress| keeper.join("end", progress));
        assert_eq!(keeper.begin(None).unwrap().position, 0);
        assert_eq!(keeper.until_cut(0), Some(7));
    }

    #[test]
    fn a_source_that_is_put_where_it_stood_gives_less_again() {
        let standing = Some(Standing { mark: Mark::new([]), position: 4 });
        let start = Start { position: 6, standing, done: false };
        assert_eq!((start.skip(), Start::default().skip()), (2, 0));
    }

    #[test]
    fn what_is_complete_is_done_unless_the_input_has_changed() {
        let begin = |checkpoint, fingerprint| {
            let keeper = keeper(checkpoint);
            let progress = Progress { complete: true, fingerprint: Some("a".into()), ..kept(3) };
            keeper.join("end", Some(progress));
            keeper.begin(Some(fingerprint)).map(|start| start.done).map_err(|error| error.to_string())
        };
        assert_eq!(begin(Checkpoint::in_store(), "a"), Ok(true));
        assert!(begin(Checkpoint::in_store(), "b").unwrap_err().contains("(it was a; it is b)"));
        assert_eq!(begin(Checkpoint::in_store().accept_changed_input(), "b"), Ok(false));
        assert_eq!(begin(Checkpoint::in_store().start_over(), "b"), Ok(false));
    }

    #[test]
    fn letters_of_an_end_that_is_ahead_go_back_to_what_that_end_has() {
        let keeper = keeper(Checkpoint::in_store());
        let with = |position, byte: u8| {
            let receipts = (0..3).map(|n| (format!("letters {n}: parse"), Receipt::new([byte]))).collect();
            Some(Progress { receipts, ..kept(position) })
        };
        let join = |of_end| keeper.join_letters("parse", Arc::new(Letters::default()), of_end);
        let common = join(false);
        keeper.join("ahead", with(9, 9));
        let ahead = join(true);
        keeper.join("behind", with(5, 5));
        let behind = join(true);
        keeper.begin(None).unwrap();
        let receipts = [&common, &ahead, &behind].map(|key| keeper.receipt_of_letters(key).unwrap());
        assert_eq!(receipts, [5, 9, 5].map(|byte| Receipt::new([byte])));
    }

    #[test]
    fn the_last_to_commit_keeps_the_checkpoint_and_the_next_run_goes_on_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::file(folder.path().join("checkpoint"));
        let first = keeper(checkpoint.clone());
        assert!(!first.is_in_store() && keeper(Checkpoint::in_store()).is_in_store());
        assert_eq!(first.begin(Some("input")).unwrap().position, 0);
        let mut seats = ["left", "right"].map(|name| first.join(name, None));
        let barrier = first.issue(7, None, true);
        seats.iter_mut().for_each(|seat| seat.arrive(Arc::clone(&barrier)));
        for (n, seat) in seats.iter_mut().enumerate() {
            seat.pass(HOUR).unwrap();
            seat.committed(&barrier, Receipt::new([n as u8])).unwrap();
        }
        drop((seats, first));

        let second = keeper(checkpoint.clone());
        let seats = ["left", "right"].map(|name| second.join(name, None));
        let start = second.begin(Some("input")).unwrap();
        assert_eq!((start.position, start.done), (7, true));
        assert_eq!(seats.each_ref().map(Seat::receipt), [0, 1].map(|n| Some(Receipt::new([n]))));
        drop((seats, second));

        let third = keeper(checkpoint);
        let _seats = ["left", "middle"].map(|name| third.join(name, None));
        let refused = third.begin(Some("input")).unwrap_err().to_string();
        assert!(refused.contains("it knows nothing of `end 1: middle`"), "{refused}");
    }

    #[test]
    fn a_few_of_the_differences_between_inputs_are_named() {
        assert_eq!(changes(Some("a\nb"), Some("b\nc")), "it was a; it is c");
        assert_eq!(changes(Some("a\nb"), Some("b\na")), "its parts are in another order");
        assert_eq!(changes(None, Some("1\n2\n3\n4")), "it is 1; it is 2; it is 3; it is 4");
        assert_eq!(
            changes(None, Some("1\n2\n3\n4\n5\n6")),
            "it is 1; it is 2; it is 3; it is 4; and 2 more differences"
        );
    }
}
