//! The limits and breakers that calls are let in by, and what must hold whenever one is.
//!
//! A call finds itself how many others are under way, and whether the breaker would let it in: nothing comes between that and
//! its beginning, as calls are left only where they say so.

use super::drawn::{Common, Drawn, Failing, Limits, Shares, StageKind};
use super::service::Notes;
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use gristmill::{BreakerState, Error};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What stands before the calls of one stage.
#[derive(Debug, Clone)]
pub(super) struct Line {
    places: Arc<Places>,
    circuit: Arc<Circuit>,
}

#[derive(Debug)]
struct Places {
    limit: ConcurrencyLimit,
    inside: AtomicU32,
}

#[derive(Debug)]
struct Circuit {
    breaker: Breaker,
    probes: u32,
    /// Calls that began since the breaker has opened for the n-th time and been half open.
    begun: Mutex<(u64, u32)>,
}

/// A call is under way until this is dropped, by unwinding too.
#[derive(Debug)]
pub(super) struct Inside(Arc<Places>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Relaxed);
    }
}

impl Places {
    fn new(limit: ConcurrencyLimit) -> Arc<Self> {
        Arc::new(Places { limit, inside: AtomicU32::new(0) })
    }
}

impl Circuit {
    fn new(window: usize, probes: u32) -> Arc<Self> {
        let breaker = Breaker::new().window(window).probes(probes).open_for(Duration::from_millis(5));
        Arc::new(Circuit { breaker, probes, begun: Mutex::default() })
    }

    /// What is wrong with a call that begins now.
    fn wrong(&self) -> Option<String> {
        let opened = self.breaker.opened();
        match self.breaker.state() {
            BreakerState::Closed => None,
            BreakerState::Open => Some("a call while the breaker is open".to_owned()),
            BreakerState::HalfOpen => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                let before = if begun.0 == opened { begun.1 } else { 0 };
                *begun = (opened, before + 1);
                (before >= self.probes).then(|| format!("{} probes of {}", before + 1, self.probes))
            }
        }
    }
}

impl Line {
    /// Of each stage that has one. Some have a limit, or a breaker as well, in common.
    pub(super) fn all_of(drawn: &Drawn) -> Vec<Option<Line>> {
        let Common { at_once, adaptive, window, probes } = drawn.common;
        let limit = if adaptive { ConcurrencyLimit::adaptive(1..=at_once) } else { ConcurrencyLimit::new(at_once) };
        let common = Line { places: Places::new(limit), circuit: Circuit::new(window, probes) };
        let line = |limits: &Limits| match limits.shares {
            Shares::LimitAndBreaker => common.clone(),
            Shares::Limit => Line { circuit: Circuit::new(limits.window, limits.probes), ..common.clone() },
            Shares::Nothing => Line {
                places: Places::new(ConcurrencyLimit::new(limits.at_once)),
                circuit: Circuit::new(limits.window, limits.probes),
            },
        };
        let stages = drawn.stages.iter().map(|stage| match &stage.kind {
            StageKind::TryMap(Failing { limits, .. }) | StageKind::TryBlocking(_, Failing { limits, .. }) => {
                limits.as_ref().map(line)
            }
            _ => None,
        });
        stages.collect()
    }

    pub(super) fn limit(&self) -> &ConcurrencyLimit {
        &self.places.limit
    }

    pub(super) fn breaker(&self) -> &Breaker {
        &self.circuit.breaker
    }

    /// A call begins.
    pub(super) fn enter(&self, notes: &Notes) -> Inside {
        let (inside, limit) = (self.places.inside.fetch_add(1, Relaxed) + 1, self.limit().limit());
        if inside > limit {
            notes.note_broken(format!("{inside} calls at once, and {limit} are allowed"));
        }
        if let Some(wrong) = self.circuit.wrong() {
            notes.note_broken(wrong);
        }
        Inside(Arc::clone(&self.places))
    }

    /// After a run: everything that was taken has been given back, so a few more get through where one may at a time.
    pub(super) fn check_after(&self, drawn: &Drawn, notes: &Notes) {
        if self.places.inside.load(Relaxed) > 0 {
            notes.note_broken("a call has not ended".to_owned());
        }
        self.limit().set_limit(1);
        let run = Pipeline::extract(0..4u32)
            .try_map_blocking(2, Ok::<_, Error>)
            .concurrency_limit(self.limit())
            .breaker(self.breaker())
            .window(2)
            .count();
        if let Err(error) = Simulation::new(drawn.seed).run(run) {
            notes.note_broken(format!("the next run that shares limit and breaker: {error}"));
        }
    }
}
