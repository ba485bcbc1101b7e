//! Finds how many threads a blocking stage should have: hill climbing on what passes through it.
//!
//! A pure function of what it is shown once a tick. It looks at periods that are long enough to mean something, and changes
//! the number at their ends:
//!
//! 1. Threads that had nothing to do at any moment of the period are too many: half of them go.
//! 2. While items wait for a thread, the stage is what holds the run back: it *tries* another number for a period, and
//!    compares what passed. More threads must bring [`WORTH`] of what they would if nothing stood in their way; fewer may
//!    cost no more than that. Otherwise it goes back.
//! 3. It doubles until that fails for the first time, and then goes by quarters. After a trial that failed it rests for
//!    some periods, longer each time, and tries the other direction next.
//!
//! Climbing by comparing two levels is from .NET's thread pool (Hellerstein, Morrison and Eilebrecht, *Applying control
//! theory in the real world*, 2010); not to go on where more threads do not help is from feedback-driven threading (Suleman,
//! Qureshi and Patt, ASPLOS 2008).

/// Between how many threads to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// What the stage is doing at a tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) now: u64,
    /// Threads that there are, and those of them that are in a call.
    pub(crate) workers: usize,
    pub(crate) busy: usize,
    /// Items wait for a thread.
    pub(crate) queued: bool,
    /// Items that have left the stage.
    pub(crate) done: u64,
}

/// A period lasts so many nanoseconds at least, and until so many items a thread have left, so that a rate means something.
const PERIOD: u64 = 50_000_000;
const ITEMS: u64 = 3;
/// What more threads must bring of what they would if nothing stood in their way.
const WORTH: f64 = 0.4;
/// Periods of rest after the first trial that failed, and at most.
const REST: u32 = 4;
const LONGEST_REST: u32 = 64;

#[derive(Debug)]
pub(crate) struct Tuner {
    bounds: Bounds,
    period: Period,
    trial: Option<Trial>,
    /// No trial has failed yet.
    doubling: bool,
    /// The next trial is one of fewer threads.
    down: bool,
    rest: u32,
    next_rest: u32,
}

/// What was seen since the number was changed last.
#[derive(Debug, Default)]
struct Period {
    began: Option<(u64, u64)>,
    ticks: u32,
    queued: u32,
    /// Threads that had nothing to do at any tick.
    idle: usize,
}

/// A number of threads that is being tried.
#[derive(Debug, Clone, Copy)]
struct Trial {
    from: usize,
    rate: f64,
}

impl Tuner {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let (doubling, down, rest, next_rest) = (true, false, 0, REST);
        Tuner { bounds, period: Period::default(), trial: None, doubling, down, rest, next_rest }
    }

    /// Takes a look, and says how many threads there should be.
    pub(crate) fn look(&mut self, look: Look) -> usize {
        let Some((began, done)) = self.period.note(look) else { return look.workers };
        let (took, done) = (look.now.saturating_sub(began), look.done.saturating_sub(done));
        if took < PERIOD || done < ITEMS * look.workers as u64 {
            return look.workers;
        }
        let period = std::mem::take(&mut self.period);
        let next = self.next(look.workers, done as f64 / took as f64, &period);
        next.clamp(self.bounds.least, self.bounds.most)
    }

    fn next(&mut self, workers: usize, rate: f64, period: &Period) -> usize {
        if period.idle > 0 {
            // What was tried is forgotten: now something else holds the run back.
            self.trial = None;
            return workers - period.idle.div_ceil(2);
        }
        if period.queued < period.ticks.div_ceil(2) {
            self.trial = None;
            return workers;
        }
        match self.trial.take() {
            Some(trial) => self.judge(trial, workers, rate),
            None if self.rest > 0 => {
                self.rest -= 1;
                workers
            }
            None => self.try_another(workers, rate),
        }
    }

    fn judge(&mut self, trial: Trial, workers: usize, rate: f64) -> usize {
        let ideal = workers as f64 / trial.from as f64 - 1.0;
        let gain = rate / trial.rate - 1.0;
        let pays = if ideal > 0.0 { gain >= WORTH * ideal } else { gain >= (1.0 - WORTH) * ideal * 0.5 };
        if pays {
            self.next_rest = REST;
            return self.try_another(workers, rate);
        }
        self.doubling = false;
        self.down = !self.down;
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
        trial.from
    }

    fn try_another(&mut self, workers: usize, rate: f64) -> usize {
        let step = if self.doubling { workers } else { (workers / 4).max(1) };
        let Bounds { least, most } = self.bounds;
        // At a bound there is only one direction.
        self.down = (self.down || workers >= most) && workers > least;
        let other = if self.down { workers.saturating_sub(step) } else { workers.saturating_add(step) };
        let other = other.clamp(least, most);
        self.trial = (other != workers).then_some(Trial { from: workers, rate });
        other
    }
}

impl Period {
    /// Takes note of a look; when the period began, and what had been done, unless it begins now.
    fn note(&mut self, look: Look) -> Option<(u64, u64)> {
        let idle = look.workers.saturating_sub(look.busy);
        if self.began.is_none() {
            *self = Period { began: Some((look.now, look.done)), ticks: 0, queued: 0, idle };
            return None;
        }
        self.ticks += 1;
        self.queued += u32::from(look.queued);
        self.idle = self.idle.min(idle);
        self.began
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const TICK: u64 = 1_000_000;

    /// A stage whose calls wait 5 ms each for a service that so many calls at once get along with; with more, each takes
    /// longer. `offered` is how many items a second there are for it at most.
    struct Service {
        bears: f64,
        offered: f64,
        noise: f64,
    }

    impl Service {
        fn pass(&self, workers: usize) -> f64 {
            (workers as f64).min(self.bears) / 0.005
        }

        /// Plays so many seconds, and returns how many threads there were at each tick.
        fn play(&self, tuner: &mut Tuner, mut workers: usize, seconds: u64) -> Vec<usize> {
            let mut random = Random::new(7);
            let mut done = 0.0;
            let mut numbers = Vec::new();
            for tick in 0..seconds * 1_000 {
                let most = self.pass(workers);
                let noise = 1.0 + self.noise * (random.below(2_001) as f64 / 1_000.0 - 1.0);
                done += most.min(self.offered) * noise / 1_000.0;
                let busy = (workers as f64 * (self.offered / most).min(1.0)).ceil() as usize;
                let queued = self.offered > most;
                let look = Look { now: tick * TICK, workers, busy, queued, done: done as u64 };
                workers = tuner.look(look);
                numbers.push(workers);
            }
            numbers
        }
    }

    fn mean(numbers: &[usize]) -> f64 {
        numbers.iter().sum::<usize>() as f64 / numbers.len() as f64
    }

    #[test]
    fn it_finds_what_a_service_bears_and_stays_there() {
        for bears in [3.0, 12.0, 40.0] {
            let service = Service { bears, offered: f64::INFINITY, noise: 0.05 };
            let numbers = service.play(&mut Tuner::new(Bounds { least: 1, most: 64 }), 1, 60);
            let settled = &numbers[20_000..];
            let mean = mean(settled);
            assert!((0.75 * bears..=1.6 * bears).contains(&mean), "{bears}: {mean}");
            let changes = settled.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes < 80, "{changes} changes in 40 seconds");
        }
    }

    #[test]
    fn it_takes_all_that_help_and_no_more_than_are_allowed() {
        let service = Service { bears: 1e9, offered: f64::INFINITY, noise: 0.05 };
        let numbers = service.play(&mut Tuner::new(Bounds { least: 2, most: 24 }), 2, 30);
        assert!(numbers.iter().all(|number| (2..=24).contains(number)));
        assert!(mean(&numbers[5_000..]) > 22.0, "{}", mean(&numbers[5_000..]));
    }

    #[test]
    fn it_takes_away_those_that_have_nothing_to_do() {
        // 1,000 items a second keep five threads busy.
        let service = Service { bears: 1e9, offered: 1_000.0, noise: 0.05 };
        let numbers = service.play(&mut Tuner::new(Bounds { least: 1, most: 64 }), 48, 20);
        assert!((5.0..8.0).contains(&mean(&numbers[10_000..])), "{}", mean(&numbers[10_000..]));
    }

    #[test]
    fn it_follows_a_service_that_changes() {
        let mut tuner = Tuner::new(Bounds { least: 1, most: 64 });
        let service = |bears| Service { bears, offered: f64::INFINITY, noise: 0.05 };
        let many = service(40.0).play(&mut tuner, 1, 30);
        // The service's clock and count begin anew.
        tuner.period = Period::default();
        let fewer = service(8.0).play(&mut tuner, many[many.len() - 1], 120);
        let last = mean(&fewer[fewer.len() - 20_000..]);
        assert!((6.0..16.0).contains(&last), "{last}");
    }

    /// A tuner that is shown one period after another, of so many items each.
    struct Periods {
        tuner: Tuner,
        now: u64,
        done: u64,
        workers: usize,
    }

    impl Periods {
        fn new(least: usize, workers: usize) -> Self {
            Periods { tuner: Tuner::new(Bounds { least, most: 64 }), now: 0, done: 0, workers }
        }

        fn look(&mut self, idle: usize, queued: bool) -> usize {
            let Periods { now, done, workers, .. } = *self;
            self.workers = self.tuner.look(Look { now, workers, busy: workers - idle, queued, done });
            self.workers
        }

        /// A period in which all are busy and items wait.
        fn pass(&mut self, items: u64) -> usize {
            self.look(0, true);
            (self.now, self.done) = (self.now + PERIOD, self.done + items);
            self.look(0, true)
        }

        fn pass_times<const N: usize>(&mut self, items: u64) -> [usize; N] {
            [0; N].map(|_| self.pass(items))
        }
    }

    #[test]
    fn a_period_is_long_enough_and_has_items_enough() {
        let mut periods = Periods::new(1, 4);
        periods.look(0, true);
        (periods.now, periods.done) = (PERIOD - 1, 1_000);
        assert_eq!(periods.look(0, true), 4, "too short");
        let mut periods = Periods::new(1, 4);
        assert_eq!(periods.pass(4 * ITEMS - 1), 4, "too few items");
        periods.done += 1;
        assert_eq!(periods.look(0, true), 8);
    }

    #[test]
    fn half_of_those_that_have_nothing_to_do_go() {
        for (idle, left) in [(1, 7), (3, 6), (8, 4)] {
            let mut periods = Periods::new(1, 8);
            periods.look(idle, false);
            (periods.now, periods.done) = (PERIOD, 1_000);
            assert_eq!(periods.look(idle, false), left);
        }
        let mut periods = Periods::new(1, 1);
        periods.look(1, false);
        (periods.now, periods.done) = (PERIOD, 1_000);
        assert_eq!(periods.look(1, false), 1);
    }

    #[test]
    fn another_number_is_tried_only_where_items_wait_half_of_the_time() {
        let after = |looks: [bool; 4]| {
            let mut periods = Periods::new(1, 8);
            periods.look(0, false);
            periods.done = 1_000;
            for (n, queued) in looks.into_iter().enumerate() {
                periods.now = PERIOD * (n as u64 + 1) / 4;
                periods.look(0, queued);
            }
            periods.workers
        };
        assert_eq!(after([false; 4]), 8);
        assert_eq!(after([true, false, false, false]), 8);
        assert_eq!(after([true, false, true, false]), 16);
        assert_eq!(after([true; 4]), 16);
    }

    #[test]
    fn more_threads_are_kept_if_they_bring_four_tenths_of_their_share() {
        let mut periods = Periods::new(1, 4);
        assert_eq!(periods.pass(1_000), 8, "it tries");
        assert_eq!(periods.pass(1_410), 16, "they pay, so it tries more");
        let mut periods = Periods::new(1, 4);
        assert_eq!(periods.pass(1_000), 8);
        assert_eq!(periods.pass(1_390), 4, "they do not");
    }

    #[test]
    fn fewer_threads_are_kept_if_they_cost_little() {
        let after_a_failure = || {
            let mut periods = Periods::new(1, 8);
            assert_eq!(periods.pass_times(1_000), [16, 8], "more bring nothing");
            assert_eq!(periods.pass_times(1_000), [8; REST as usize], "it rests");
            assert_eq!(periods.pass(1_000), 6, "a quarter fewer");
            periods
        };
        // A quarter fewer may cost three tenths of a quarter.
        assert_eq!(after_a_failure().pass(926), 5);
        assert_eq!(after_a_failure().pass(924), 8);
    }

    #[test]
    fn each_failure_makes_the_rest_longer_and_turns_the_direction() {
        let mut periods = Periods::new(1, 8);
        assert_eq!(periods.pass_times(1_000), [16, 8]);
        assert_eq!(periods.pass_times(1_000), [8; REST as usize]);
        assert_eq!([periods.pass(1_000), periods.pass(500)], [6, 8]);
        assert_eq!(periods.pass_times(1_000), [8; 2 * REST as usize]);
        assert_eq!(periods.pass(1_000), 10);
    }

    #[test]
    fn at_the_least_there_is_only_one_direction() {
        let mut periods = Periods::new(4, 4);
        assert_eq!(periods.pass_times(1_000), [8, 4]);
        assert_eq!(periods.pass_times(1_000), [4; REST as usize]);
        assert_eq!(periods.pass(1_000), 5, "fewer may not be");
    }
}
