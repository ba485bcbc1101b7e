//! What the operators of a segment see of the run while they process a morsel.

use super::aside::{Hole, NEVER, Splices};
use super::gate::Permit;
use super::morsel::Origin;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::random::Draws;
use crate::report::{Failure, Tally};
use std::cell::Cell;

/// No operator has noted a panic.
pub(crate) const NOBODY: usize = usize::MAX;

/// One worker's view of the run, for one morsel.
pub struct Context<'a> {
    tallies: &'a mut [Tally],
    positions: &'a Origin,
    /// Which item of the morsel is under way.
    index: usize,
    panicked: Cell<usize>,
    shared: &'a Shared,
    permit: &'a Permit,
    /// What one item of the morsel weighs, about.
    item_bytes: usize,
    splices: Splices,
    /// Since when its items have waited to ask for an attempt; [`NEVER`] if they have not.
    since: u64,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        tallies: &'a mut [Tally],
        positions: &'a Origin,
        shared: &'a Shared,
        permit: &'a Permit,
        item_bytes: usize,
    ) -> Self {
        Context {
            tallies,
            positions,
            index: 0,
            panicked: Cell::new(NOBODY),
            shared,
            permit,
            item_bytes,
            splices: Splices::default(),
            since: NEVER,
        }
    }

    /// For a morsel that has results already.
    pub(crate) fn with_splices(mut self, splices: Splices) -> Self {
        self.splices = splices;
        self
    }

    /// For items that others stood before.
    pub(crate) fn since(mut self, since: u64) -> Self {
        self.since = since;
        self
    }

    /// Since when the items have waited, in a time that all runs of the process share.
    pub(crate) fn waited_since(&self) -> u64 {
        self.in_process(self.since)
    }

    /// Where the results of what was put aside belong.
    pub(crate) fn into_splices(self) -> Splices {
        self.splices
    }

    /// Says how many results there are, as long as something may be put aside.
    #[inline]
    pub(crate) fn note_len(&mut self, len: usize) {
        self.splices.note_len(len);
    }

    /// A place for the results of the item under way, which is put aside.
    pub(crate) fn open_hole(&mut self) -> Hole {
        self.splices.open()
    }

    /// Says which item is under way, and where its results belong.
    pub(crate) fn take_up(&mut self, index: usize, hole: Hole) {
        self.index = index;
        self.splices.enter(hole);
    }

    /// Which item of the morsel is under way.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Nanoseconds in a time that all runs of the process share.
    pub(crate) fn time(&self) -> u64 {
        self.shared.clock.began() + self.shared.now()
    }

    /// What a moment of this run is in the time that all runs share.
    pub(crate) fn in_process(&self, time: u64) -> u64 {
        self.shared.clock.began().saturating_add(time)
    }

    /// What a moment in the time that all runs share is in this run's.
    pub(crate) fn in_run(&self, time: u64) -> u64 {
        time.saturating_sub(self.shared.clock.began())
    }

    /// The random numbers of the run.
    pub(crate) fn random(&self) -> &Draws {
        &self.shared.random
    }

    /// The counts of the stage at place `at` of the segment.
    #[inline]
    pub(crate) fn tally(&mut self, at: usize) -> &mut Tally {
        &mut self.tallies[at]
    }

    /// The position in the source of the item under way.
    pub(crate) fn position(&self) -> u64 {
        self.positions.position(self.index)
    }

    /// Whether the positions of the morsel have gaps.
    #[inline]
    pub(crate) fn is_scattered(&self) -> bool {
        self.positions.is_scattered()
    }

    /// Says which item of the morsel is under way.
    #[inline]
    pub(crate) fn set_index(&mut self, index: usize) {
        self.index = index;
    }

    /// Whether the run is over.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.is_stopped()
    }

    /// Where an operator notes that it is its user's function that unwinds.
    #[inline]
    pub(crate) fn panicked(&self) -> &Cell<usize> {
        &self.panicked
    }

    /// Stops the run with an error; the first one wins.
    pub(crate) fn abort(&self, kind: ErrorKind) {
        self.shared.abort(Error::new(kind));
    }

    pub(crate) fn note_failure(&self, failure: Failure) {
        self.shared.note_failure(failure);
    }

    /// A permit for a copy of the item under way, which is in flight beyond its morsel.
    pub(crate) fn hold_copy(&self) -> Permit {
        self.permit.share(self.item_bytes)
    }
}
