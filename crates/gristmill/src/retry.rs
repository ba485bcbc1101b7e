//! Trying an item again.

use crate::policy::Cause;
use crate::random::Draws;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a stage tries an item that failed, and how long it waits in between.
///
/// An item that failed is put aside until it is due, with its bytes and its place in the order; nobody sleeps, and other
/// items go on. After the last attempt the stage's [`OnError`](crate::OnError) decides. To have the item again, it is
/// cloned before each attempt but the last; make that cheap.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// let calls = AtomicU32::new(0);
/// let report = Pipeline::extract(0..10u32)
///     .try_map_blocking(2, |item| match calls.fetch_add(1, Ordering::Relaxed) {
///         0..5 => Err("busy"),
///         _ => Ok(item * 10),
///     })
///     .named("lookup")
///     .retry(Retry::exponential(6).from(Duration::from_millis(1)).cap(Duration::from_millis(20)))
///     .ordered()
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output, (0..10).map(|item| item * 10).collect::<Vec<_>>());
/// assert_eq!(report.stage("lookup").unwrap().retried, 5);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[must_use]
pub struct Retry<'env, E> {
    attempts: u32,
    delays: Delays<'env>,
    cap: Option<Duration>,
    jitter: bool,
    when: Option<Box<dyn Fn(&E) -> bool + Send + Sync + 'env>>,
    panics: bool,
    budget: Option<Budget>,
}

enum Delays<'env> {
    /// Twice as long each time.
    Exponential(Duration),
    Constant(Duration),
    Custom(Box<dyn Fn(u32) -> Option<Duration> + Send + Sync + 'env>),
}

impl<E> fmt::Debug for Retry<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("cap", &self.cap)
            .field("jitter", &self.jitter)
            .field("panics", &self.panics)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// The first wait of an exponential backoff, if nothing is said.
const FROM: Duration = Duration::from_millis(100);
/// The longest wait of an exponential backoff, if nothing is said.
const CAP: Duration = Duration::from_secs(30);

impl<'env, E> Retry<'env, E> {
    fn new(attempts: u32, delays: Delays<'env>, jitter: bool) -> Self {
        Retry { attempts, delays, cap: None, jitter, when: None, panics: false, budget: None }
    }

    /// Up to `attempts` attempts in all, the first included; waits that double each time, with full jitter.
    ///
    /// # Default
    ///
    /// From 100 ms up to 30 s.
    pub fn exponential(attempts: u32) -> Self {
        Retry::new(attempts, Delays::Exponential(FROM), true)
    }

    /// Up to `attempts` attempts in all, with the same wait before each but the first; without jitter.
    pub fn constant(attempts: u32, wait: Duration) -> Self {
        Retry::new(attempts, Delays::Constant(wait), false)
    }

    /// Waits as the closure says, given how many attempts have failed; `None` gives up. Without jitter.
    pub fn custom(wait: impl Fn(u32) -> Option<Duration> + Send + Sync + 'env) -> Self {
        Retry::new(u32::MAX, Delays::Custom(Box::new(wait)), false)
    }

    /// The wait before the second attempt; for [`exponential`](Retry::exponential).
    pub fn from(mut self, first: Duration) -> Self {
        if let Delays::Exponential(from) = &mut self.delays {
            *from = first;
        }
        self
    }

    /// The longest wait.
    pub fn cap(mut self, longest: Duration) -> Self {
        self.cap = Some(longest);
        self
    }

    /// Whether each wait is drawn from zero to what it would be: *full jitter*, which keeps many that failed at once from
    /// coming back at once (Brooker: *Exponential backoff and jitter*, AWS Architecture Blog, 2015).
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Tries again only after errors for which the predicate holds; the others are final. An attempt that missed its
    /// [deadline](crate::Pipeline::deadline) has no error to ask about, and is always worth another.
    pub fn when(mut self, predicate: impl Fn(&E) -> bool + Send + Sync + 'env) -> Self {
        self.when = Some(Box::new(predicate));
        self
    }

    /// Tries again after a panic, too. The predicate is not asked then.
    pub fn and_panics(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Bounds the attempts beyond the first of each item: `ratio` of them for each item that enters the stage, saved up to
    /// `burst`, with `burst` to begin with. An item that fails while there are none left is not tried again, so an outage
    /// is not answered with a multiple of the calls. The bound is over all workers of the stage.
    ///
    /// # Default
    ///
    /// No bound: what waits for a retry is bounded by the window, and so is what a run asks of a service.
    pub fn budget(mut self, ratio: f64, burst: u32) -> Self {
        self.budget = Some(Budget::new(ratio, burst));
        self
    }

    /// What makes this impossible, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let budget = self.budget.as_ref().is_some_and(|budget| !budget.is_sound());
        match self.attempts {
            0 => Some("must allow at least 1 attempt, not 0"),
            _ if budget => Some("has a budget whose ratio is not a number from 0 up"),
            _ => None,
        }
    }

    /// Whether another attempt may follow this one, should it fail.
    #[inline]
    pub(crate) fn may_follow(&self, attempt: u32) -> bool {
        attempt < self.attempts
    }

    /// An item has entered the stage.
    #[inline]
    pub(crate) fn entered(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// How long to wait until the attempt after this one, which failed; `None` if that was the last. The closures of the
    /// user may unwind.
    pub(crate) fn wait_after(&self, attempt: u32, cause: &Cause<E>, random: &Draws) -> Option<Duration> {
        let again = match cause {
            Cause::Error(error) => self.when.as_ref().is_none_or(|when| when(error)),
            Cause::Panic(_) => self.panics,
            Cause::TimedOut(_) => true,
            Cause::Refused | Cause::Shed => false,
        };
        if !again || !self.may_follow(attempt) {
            return None;
        }
        let wait = self.wait(attempt, random)?;
        self.budget.as_ref().is_none_or(Budget::withdraw).then_some(wait)
    }

    fn wait(&self, attempt: u32, random: &Draws) -> Option<Duration> {
        let (wait, cap) = match &self.delays {
            Delays::Exponential(from) => {
                let doubled = 1u32.checked_shl(attempt - 1).map_or(Duration::MAX, |times| from.saturating_mul(times));
                (if from.is_zero() { *from } else { doubled }, CAP)
            }
            Delays::Constant(wait) => (*wait, Duration::MAX),
            Delays::Custom(wait) => (wait(attempt)?, Duration::MAX),
        };
        let wait = wait.min(self.cap.unwrap_or(cap));
        if !self.jitter {
            return Some(wait);
        }
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(random.up_to(nanos)))
    }
}

/// How many retries there may be: a bucket of tokens, one for each retry, filled a little by each item that enters. As in
/// gRPC's retry throttling and Finagle's `RetryBudget`.
#[derive(Debug)]
struct Budget {
    /// In thousandths, as are the tokens.
    ratio: f64,
    burst: u64,
    tokens: AtomicU64,
}

/// One retry.
const TOKEN: u64 = 1_000;

impl Budget {
    fn new(ratio: f64, burst: u32) -> Self {
        let burst = u64::from(burst) * TOKEN;
        Budget { ratio, burst, tokens: AtomicU64::new(burst) }
    }

    fn is_sound(&self) -> bool {
        self.ratio >= 0.0 && self.ratio.is_finite()
    }

    fn deposit(&self) {
        let more = (self.ratio * TOKEN as f64) as u64;
        // Never above the burst; a bucket that is full, as it usually is, is only read.
        let _ = self.tokens.fetch_update(Relaxed, Relaxed, |tokens| {
            (tokens < self.burst).then(|| tokens.saturating_add(more).min(self.burst))
        });
    }

    fn withdraw(&self) -> bool {
        self.tokens.fetch_update(Relaxed, Relaxed, |tokens| tokens.checked_sub(TOKEN)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failed() -> Cause<&'static str> {
        Cause::Error("busy")
    }

    /// The waits of an item that always fails.
    fn waits(retry: &Retry<'_, &'static str>, random: &Draws) -> Vec<Duration> {
        (1..).map_while(|attempt| retry.wait_after(attempt, &failed(), random)).take(200).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 10_000 }))]

        #[test]
        fn waits_are_within_their_bounds_and_as_many_as_allowed(
            attempts in 1..100u32, from in 0..u64::MAX / 2, cap in 0..u64::MAX / 2, jitter: bool, seed: u64,
        ) {
            let (from, cap) = (Duration::from_nanos(from), Duration::from_nanos(cap));
            let retry = Retry::exponential(attempts).from(from).cap(cap).jitter(jitter);
            let waits = waits(&retry, &Draws::new(seed));
            prop_assert_eq!(waits.len() as u32, attempts - 1);
            let mut most = from;
            for wait in waits {
                prop_assert!(wait <= most.min(cap), "{:?} of {:?}", wait, most.min(cap));
                prop_assert!(jitter || wait == most.min(cap));
                most = most.saturating_mul(2);
            }
        }

        #[test]
        fn retries_stay_within_the_budget(
            ratio in 0.0..2.0f64, burst in 0..50u32, entries in proptest::collection::vec(0..4u32, 0..200),
        ) {
            let retry = Retry::constant(u32::MAX, Duration::ZERO).budget(ratio, burst);
            let random = Draws::new(1);
            let mut retries = 0;
            for (entered, failures) in entries.iter().enumerate() {
                retry.entered();
                retries += (0..*failures).filter(|_| retry.wait_after(1, &failed(), &random).is_some()).count();
                let most = f64::from(burst) + ratio * (entered + 1) as f64;
                prop_assert!(retries as f64 <= most, "{} retries, {} allowed", retries, most);
            }
        }
    }

    #[test]
    fn jitter_is_spread_over_the_whole_wait() {
        let retry = Retry::exponential(2).from(Duration::from_secs(1));
        let random = Draws::new(42);
        let mut tenths = [0u32; 10];
        for _ in 0..10_000 {
            let wait = retry.wait_after(1, &failed(), &random).expect("there is a second attempt");
            tenths[((wait.as_secs_f64() * 10.0) as usize).min(9)] += 1;
        }
        // 1,000 each, with a standard deviation of 30.
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_budget_that_is_spent_comes_back_with_new_items() {
        let retry = Retry::constant(u32::MAX, Duration::ZERO).budget(0.5, 2);
        let random = Draws::new(1);
        let again = || retry.wait_after(1, &failed(), &random).is_some();
        assert_eq!([again(), again(), again()], [true, true, false]);
        retry.entered();
        assert!(!again());
        retry.entered();
        assert!(again());
    }

    #[test]
    fn what_is_not_worth_it_is_not_tried_again() {
        let random = Draws::new(1);
        let retry = Retry::constant(9, Duration::ZERO).when(|error: &&str| *error == "busy");
        assert!(retry.wait_after(1, &Cause::Error("busy"), &random).is_some());
        assert!(retry.wait_after(1, &Cause::Error("gone"), &random).is_none());
        assert!(retry.wait_after(1, &Cause::Panic("busy".into()), &random).is_none());
        assert!(
            retry.wait_after(1, &Cause::TimedOut(Duration::ZERO), &random).is_some(),
            "there is no error to ask about"
        );
        assert!(
            retry.wait_after(1, &Cause::Refused, &random).is_none()
                && retry.wait_after(1, &Cause::Shed, &random).is_none()
        );
        assert!(retry.and_panics().wait_after(1, &Cause::Panic("busy".into()), &random).is_some());
    }

    #[test]
    fn what_cannot_be_is_a_problem_and_says_which() {
        let retry = || Retry::<&str>::constant(1, Duration::ZERO);
        assert!(Retry::<&str>::exponential(0).problem().is_some_and(|problem| problem.contains("1 attempt")));
        for ratio in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(retry().budget(ratio, 1).problem().is_some_and(|problem| problem.contains("ratio")), "{ratio}");
        }
        assert!(retry().problem().is_none() && retry().budget(0.0, 0).problem().is_none());
    }

    #[test]
    fn a_custom_wait_decides_when_to_give_up() {
        let retry = Retry::custom(|failed| (failed < 3).then(|| Duration::from_secs(failed.into())));
        assert_eq!(waits(&retry, &Draws::new(1)), [1, 2].map(Duration::from_secs));
    }
}
