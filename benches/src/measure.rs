//! The alternating runner.

use std::fmt;
use std::time::Instant;

use crate::case::Case;
use crate::contenders::{self, Contender};
use crate::fold::{Fold, Mismatch};
use crate::job::Job;
use crate::resources::Resources;
use crate::turns::turns;
use crate::work::Calibration;

/// How a case is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who takes part, where not left out.
    pub contenders: Vec<Contender>,
    /// Timed runs of every contender.
    pub rounds: usize,
    /// Few items and no warm-up: shows that everything works, measures nothing.
    pub quick: bool,
    /// What the arithmetic costs.
    pub calibration: Calibration,
}

impl Plan {
    /// A quick run has this part of the items.
    const QUICK_DIVISOR: u64 = 200;

    fn items(&self, contender: &Contender, case: &Case) -> u64 {
        let items = contender.items(case);
        if self.quick { items / Self::QUICK_DIVISOR } else { items }
    }

    /// Runs every contender of `case` in turn, round after round, and checks what every run
    /// folded.
    ///
    /// # Errors
    ///
    /// The first run that folded something else than the sequential loop.
    pub fn measure(&self, case: &Case) -> Result<Vec<Measurement>, WrongResult> {
        let resources = Resources::new(case.workers);
        let mut entrants = self.entrants(case, &resources);
        if !self.quick {
            entrants.iter_mut().try_for_each(|entrant| entrant.run(&resources).map(drop))?;
        }
        for round in 0..self.rounds {
            run_round(&mut entrants, round, &resources)?;
        }
        Ok(entrants.into_iter().map(Measurement::new).collect())
    }

    fn entrants(&self, case: &Case, resources: &Resources) -> Vec<Entrant> {
        let sequential = |job: &Job| contenders::run_sequential(job, resources);
        let taking_part = self.contenders.iter().filter(|who| who.exclusion(case).is_none());
        let mut entrants: Vec<Entrant> = Vec::new();
        for &contender in taking_part {
            let job = Job::new(case, self.items(&contender, case), &self.calibration);
            let known = entrants.iter().find(|entrant| entrant.job.items == job.items);
            let expected = known.map_or_else(|| sequential(&job), |entrant| entrant.expected);
            entrants.push(Entrant { contender, case: *case, job, expected, seconds: Vec::new() });
        }
        entrants
    }
}

/// One timed run of each, in the order of [`turns`].
fn run_round(entrants: &mut [Entrant], round: usize, resources: &Resources) -> Result<(), WrongResult> {
    for index in turns(entrants.len(), round) {
        let seconds = entrants[index].run(resources)?;
        entrants[index].seconds.push(seconds);
    }
    Ok(())
}

/// A contender in one case.
struct Entrant {
    contender: Contender,
    case: Case,
    job: Job,
    expected: Fold,
    seconds: Vec<f64>,
}

impl Entrant {
    fn run(&mut self, resources: &Resources) -> Result<f64, WrongResult> {
        let start = Instant::now();
        let fold = (self.contender.run)(&self.job, resources);
        let seconds = start.elapsed().as_secs_f64();
        fold.check(self.expected).map(|()| seconds).map_err(|mismatch| WrongResult {
            contender: self.contender.name,
            case: self.case,
            mismatch,
        })
    }
}

/// What the rounds of one contender in one case took.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The contender's name.
    pub contender: &'static str,
    /// Items in each run.
    pub items: u64,
    /// Seconds of each round, fastest first.
    seconds: Vec<f64>,
}

impl Measurement {
    fn new(entrant: Entrant) -> Self {
        Self::of(entrant.contender.name, entrant.job.items, entrant.seconds)
    }

    /// What the rounds of a contender took, in any order.
    #[must_use]
    pub fn of(contender: &'static str, items: u64, mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self { contender, items, seconds }
    }

    /// How many rounds there were.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.seconds.len()
    }

    /// Seconds of the round in the middle; between the two there for an even number of rounds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let (low, high) = (self.seconds.len().saturating_sub(1) / 2, self.seconds.len() / 2);
        f64::midpoint(self.at(low), self.at(high))
    }

    /// Seconds of the fastest round.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.at(0)
    }

    /// Seconds of the slowest round.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.at(self.seconds.len().saturating_sub(1))
    }

    /// Nanoseconds an item took in the round in the middle.
    #[must_use]
    pub fn ns_per_item(&self) -> f64 {
        self.median() * 1e9 / self.items as f64
    }

    fn at(&self, index: usize) -> f64 {
        self.seconds.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// A contender folded something else than the sequential loop.
#[derive(Clone, Debug)]
pub struct WrongResult {
    contender: &'static str,
    case: Case,
    mismatch: Mismatch,
}

impl fmt::Display for WrongResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is wrong at {}: {}", self.contender, self.case, self.mismatch)
    }
}

impl std::error::Error for WrongResult {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;
    use crate::contenders::CONTENDERS;

    fn of(seconds: &[f64]) -> Measurement {
        Measurement { contender: "any", items: 1_000, seconds: seconds.to_vec() }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(of(&[1.0, 2.0, 9.0]).median(), 2.0);
        assert_eq!(of(&[1.0, 2.0, 4.0, 9.0]).median(), 3.0);
        assert_eq!(of(&[1.0, 2.0, 9.0]).max(), 9.0);
        assert_eq!(of(&[1.0, 2.0, 9.0]).ns_per_item(), 2e6);
    }

    #[test]
    fn a_quick_plan_measures_all_who_take_part() {
        let plan = Plan { contenders: CONTENDERS.to_vec(), rounds: 2, quick: true, calibration: case::calibrate() };
        let case = Case::named("0ns ordered w2").expect("it is a case");
        let measured = plan.measure(&case).expect("all are right");
        assert_eq!(measured.len(), CONTENDERS.len() - 2);
        assert!(measured.iter().all(|m| m.seconds.len() == 2 && m.min() <= m.max()));
    }

    #[test]
    fn a_wrong_result_is_found() {
        fn forget_one(job: &Job, _: &Resources) -> Fold {
            let mut fold = job.fold();
            fold.extend((1..job.items).map(|item| job.transform(item)));
            fold
        }
        let contender = Contender { run: forget_one, ..CONTENDERS[0] };
        let calibration = case::calibrate();
        let plan = Plan { contenders: vec![contender], rounds: 1, quick: true, calibration };
        let case = Case::named("0ns ordered w1").expect("it is a case");
        let error = plan.measure(&case).expect_err("an item is missing");
        assert!(error.to_string().ends_with("9999 items arrived, not 10000"), "{error}");
    }
}
