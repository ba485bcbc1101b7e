//! What comes of a run when two things end it at once: each run has one ending, and all are told the same.

use crate::support::{Event, assert_balanced, hash, within};
use gristmill::prelude::*;
use gristmill::{Checkpoint, Report, source, store};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ITEMS: u64 = 300;

/// Stores numbers, one after another, and notes what it is told.
struct Ledger<'a> {
    /// How many were stored.
    rows: &'a AtomicU64,
    told: &'a Mutex<Vec<Outcome>>,
    waits: bool,
    /// Called with each number before it is stored.
    before: &'a (dyn Fn(u64) -> Result<(), String> + Sync),
}

impl Store<u64> for Ledger<'_> {
    type Error = String;

    fn store(&mut self, number: u64) -> Result<(), String> {
        assert!(self.told.lock().unwrap().is_empty(), "it was finished");
        (self.before)(number)?;
        assert_eq!(self.rows.fetch_add(1, Ordering::SeqCst), number, "out of order");
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.told.lock().unwrap().push(outcome);
        Ok(())
    }

    fn may_wait(&self) -> bool {
        self.waits
    }
}

/// What ends a run before its source does, or just when it does.
#[derive(Debug, Clone, Copy)]
enum End {
    Cancel,
    Drain,
    DrainAndCancel,
    DrainDeadline,
    RunDeadline,
    Failure,
    FailureAndCancel,
}

use End::{Cancel, Drain, DrainAndCancel, DrainDeadline, Failure, FailureAndCancel, RunDeadline};

impl End {
    /// Brings it about, from the store or from elsewhere.
    fn use_token(self, token: &CancelToken) {
        if matches!(self, Drain | DrainAndCancel | DrainDeadline) {
            token.drain();
        }
        if matches!(self, Cancel | DrainAndCancel | FailureAndCancel) {
            token.cancel();
        }
    }

    fn is_failure(self) -> bool {
        matches!(self, Failure | FailureAndCancel)
    }

    /// Whether a run may end with this error.
    fn explains(self, error: &gristmill::Error) -> bool {
        match self {
            Cancel | DrainAndCancel => error.is_cancelled(),
            Drain => false,
            DrainDeadline => error.is_drain_deadline(),
            RunDeadline => error.is_timeout(),
            Failure => error.position().is_some(),
            FailureAndCancel => error.is_cancelled() || error.position().is_some(),
        }
    }
}

/// A run that is ended when the store has come to the number `at`: by the store itself, or by somebody who looks at it.
fn run(end: End, at: u64, waits: bool, from_inside: bool) {
    let (rows, told, token) = (AtomicU64::new(0), Mutex::new(Vec::new()), CancelToken::new());
    let before = |number| {
        if number == at && from_inside {
            end.use_token(&token);
        }
        if number == at && end.is_failure() { Err("no".to_owned()) } else { Ok(()) }
    };
    let ledger = Ledger { rows: &rows, told: &told, waits, before: &before };
    let numbers = Pipeline::extract(0..ITEMS).map(|number| number).map_blocking(2, |number| number);
    let numbers = match end {
        DrainDeadline => numbers.drain_deadline(Duration::ZERO),
        RunDeadline => numbers.run_deadline(Duration::from_micros(1 + at * 20)),
        _ => numbers,
    };
    let result = std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            while !from_inside && rows.load(Ordering::SeqCst) < at && told.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            end.use_token(&token);
        });
        let result = numbers.ordered().cancel_token(&token).store(ledger).run();
        looker.join().unwrap();
        result
    });
    let case = format!("{end:?} at {at}, waits: {waits}, from inside: {from_inside}");
    let (rows, told) = (rows.into_inner(), told.into_inner().unwrap());
    match result {
        Ok(report) => {
            assert_balanced(&report);
            assert_eq!((report.totals().lost, report.totals().stored), (0, rows), "{case}");
            assert!(report.drained || rows == ITEMS, "{case}: {rows} were stored");
            assert_eq!(told, [Outcome::Completed], "{case}");
        }
        Err(error) => {
            assert_balanced(error.report().unwrap());
            assert!(end.explains(&error), "{case}: {error:?}");
            assert_eq!(told, [Outcome::Aborted], "{case}");
        }
    }
}

/// Whichever of them comes first: what `run` returns is what the store was told, and nothing is missing of what is whole.
#[test]
fn a_run_that_is_ended_while_it_ends_has_one_ending() {
    within("two ends at once", || {
        for end in [Cancel, Drain, DrainAndCancel, DrainDeadline, RunDeadline, Failure, FailureAndCancel] {
            for round in 0..40 {
                // Half of them at the last items.
                let at = if round % 2 == 0 { ITEMS - 1 - round % 3 } else { hash(round) % ITEMS };
                run(end, at, round % 4 < 2, round % 8 < 4 || end.is_failure());
            }
        }
    });
}

/// A store whose `finish` cancels its run, and may fail.
struct Late<'a> {
    token: &'a CancelToken,
    fails: bool,
    waits: bool,
}

impl Store<u64> for Late<'_> {
    type Error = String;

    fn store(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        assert_eq!(outcome, Outcome::Completed);
        self.token.cancel();
        if self.fails { Err("disk full".to_owned()) } else { Ok(()) }
    }

    fn may_wait(&self) -> bool {
        self.waits
    }
}

#[test]
fn a_cancellation_is_too_late_when_stores_are_finished() {
    within("cancel in finish", || {
        for (fails, waits) in [(false, false), (false, true), (true, false), (true, true)] {
            let token = CancelToken::new();
            let late = Late { token: &token, fails, waits };
            match Pipeline::extract(0..ITEMS).cancel_token(&token).store(late).run() {
                Ok(report) => assert_eq!((fails, report.totals().stored), (false, ITEMS)),
                // Its own error, not that of the cancellation.
                Err(error) => assert!(fails && !error.is_cancelled() && error.stage_name() == Some("store")),
            }
        }
    });
}

#[test]
fn a_store_that_cannot_be_finished_does_not_hide_that_the_run_was_cancelled() {
    within("cancel, and a finish that fails", || {
        struct Unclosable(bool);
        impl Store<u64> for Unclosable {
            type Error = String;

            fn store(&mut self, _: u64) -> Result<(), String> {
                Ok(())
            }

            fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
                assert_eq!(outcome, Outcome::Aborted);
                Err("disk full".to_owned())
            }

            fn may_wait(&self) -> bool {
                self.0
            }
        }
        for waits in [false, true] {
            let token = CancelToken::new();
            let numbers = Pipeline::extract(0u64..).cancel_token(&token);
            let numbers = numbers.inspect(|number| {
                if *number == 100 {
                    token.cancel();
                }
            });
            let error = numbers.store(Unclosable(waits)).run().unwrap_err();
            assert!(error.is_cancelled(), "{error:?}");
            assert_balanced(error.report().unwrap());
        }
    });
}

/// A store that is in the middle of a flush when the run is cancelled.
struct Flushing<'a> {
    token: &'a CancelToken,
    flushes: &'a Event,
    fails: bool,
    finished: Option<Outcome>,
}

impl Store<u64> for Flushing<'_> {
    type Error = String;

    fn store(&mut self, _: u64) -> Result<(), String> {
        assert_eq!(self.finished, None);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        assert_eq!(self.finished, None);
        self.flushes.happens();
        while !self.token.is_cancelled() {
            std::thread::yield_now();
        }
        if self.fails { Err("disk full".to_owned()) } else { Ok(()) }
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        assert_eq!(self.finished.replace(outcome), None);
        Ok(())
    }
}

#[test]
fn a_run_that_is_cancelled_while_its_store_flushes_waits_for_the_flush() {
    within("cancel in a flush", || {
        for fails in [false, true] {
            let (token, flushes) = (CancelToken::new(), Event::default());
            let (sender, receiver) = crossbeam_channel::unbounded();
            sender.send(7).unwrap();
            let mut flushing = Flushing { token: &token, flushes: &flushes, fails, finished: None };
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    flushes.wait();
                    token.cancel();
                });
                Pipeline::extract(source::channel(receiver))
                    .cancel_token(&token)
                    .store(&mut flushing)
                    .run()
                    .unwrap_err()
            });
            // The flush may fail before anybody has heeded the token.
            assert!(error.is_cancelled() || (fails && error.stage_name() == Some("store")), "{error:?}");
            assert_eq!(flushing.finished, Some(Outcome::Aborted));
            drop(sender);
        }
    });
}

/// A source without marks gives what was dealt with once more, and a drain may come meanwhile.
#[test]
fn a_run_that_is_drained_before_it_has_come_to_its_place_says_so() {
    within("drain while skipping", || {
        const END: u64 = 4_000;
        for waits in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let rows = Mutex::new(Vec::new());
            let life = |drains_at: u64| {
                let token = CancelToken::new();
                let numbers = (0..END).inspect(|number| {
                    if *number == drains_at {
                        token.drain();
                    }
                });
                let checkpoint = Checkpoint::file(folder.path().join("job")).every(Duration::from_secs(3_600));
                let keep = store::from_fn(|number| {
                    rows.lock().unwrap().push(number);
                    Ok::<_, String>(())
                });
                if waits {
                    let run = Pipeline::extract(source::waiting(numbers)).cancel_token(&token);
                    run.checkpoint(checkpoint).store(keep).run().unwrap()
                } else {
                    let run = Pipeline::extract(numbers).cancel_token(&token);
                    run.checkpoint(checkpoint).store(keep).run().unwrap()
                }
            };
            let begun = |report: &Report| (report.resumed_at, report.totals().extracted);
            let first = life(2_000);
            let stored = first.totals().stored;
            assert!(first.drained && stored > 1_000, "{first}");
            let second = life(3);
            assert_eq!(begun(&second), (Some(stored), 0));
            assert!(second.drained, "{second}");
            let third = life(u64::MAX);
            assert_eq!(begun(&third), (Some(stored), END - stored));
            assert!(!third.drained && rows.into_inner().unwrap().into_iter().eq(0..END));
        }
    });
}
