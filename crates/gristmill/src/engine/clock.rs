//! What time it is in a run: the machine's, or one that a simulation makes.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The clock of a run.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's monotonic clock.
    Real(Instant),
    /// Stands still, but for the few nanoseconds that each look takes, until it is moved on.
    Virtual { nanos: AtomicU64, looks: AtomicU64 },
}

/// A virtual clock is not moved on beyond this, so that looks at it never come to the end of what it can show.
const LATEST: u64 = u64::MAX / 2;

/// What the runs of a process count from when they share a limit.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock {
    pub(crate) fn real() -> Self {
        LazyLock::force(&EPOCH);
        Clock::Real(Instant::now())
    }

    /// When the run began, in a time that the runs of a process share; a simulation shares with nobody.
    pub(crate) fn began(&self) -> u64 {
        match self {
            Clock::Real(began) => began.saturating_duration_since(*EPOCH).as_nanos() as u64,
            Clock::Virtual { .. } => 0,
        }
    }

    /// A clock whose looks take times that follow from `seed`.
    pub(crate) fn simulated(seed: u64) -> Self {
        Clock::Virtual { nanos: AtomicU64::new(0), looks: AtomicU64::new(seed) }
    }

    /// Nanoseconds since the run began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::Real(began) => began.elapsed().as_nanos() as u64,
            Clock::Virtual { nanos, looks } => {
                let took = crate::random::mix(looks.fetch_add(1, Relaxed)) % 4_096;
                nanos.fetch_add(took, Relaxed) + took
            }
        }
    }

    /// A seed for the random numbers of the run: one that repeats, if the clock does.
    pub(crate) fn seed(&self) -> u64 {
        match self {
            Clock::Real(_) => RandomState::new().hash_one(0u64),
            Clock::Virtual { looks, .. } => crate::random::mix(looks.load(Relaxed)),
        }
    }

    /// Whether it moves only when it is moved.
    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Clock::Virtual { .. })
    }

    /// Moves a virtual clock on, to [`LATEST`] at most; the machine's moves by itself.
    pub(crate) fn advance(&self, by: u64) {
        if let Clock::Virtual { nanos, .. } = self {
            let later = |now: u64| Some(now.saturating_add(by).min(LATEST).max(now));
            // It always has another.
            let _ = nanos.fetch_update(Relaxed, Relaxed, later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_never_goes_back_and_repeats_with_its_seed() {
        let times = |seed| {
            let clock = Clock::simulated(seed);
            clock.advance(1_000_000);
            (0..100).map(|_| clock.now()).collect::<Vec<_>>()
        };
        let first = times(7);
        assert!(first.is_sorted() && first[0] >= 1_000_000);
        assert_eq!(first, times(7));
        assert_ne!(first, times(8));
    }

    #[test]
    fn a_virtual_clock_that_is_moved_on_for_ever_shows_a_time_all_the_same() {
        let clock = Clock::simulated(7);
        let times = [0, u64::MAX, u64::MAX, 1].map(|by| {
            clock.advance(by);
            clock.now()
        });
        assert!(times.is_sorted() && times[1] >= LATEST, "{times:?}");
    }
}
