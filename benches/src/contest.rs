//! Contests: whole jobs on real input, done by several contenders in turn, and their answers compared.
//!
//! Where [`measure`](crate::measure) looks at what an item costs, a contest looks at a job: hash these files, count these
//! words. Every contender does it once a round, alternating, and must give the answer that the first one gave.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::measure::Measurement;
use crate::turns::turns;

/// What went wrong with a contender, or with getting its input.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What the contests of a workload are made from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The folder that inputs lie in, and that missing ones are made in.
    pub data: PathBuf,
    /// Small inputs: shows that everything works, measures nothing.
    pub quick: bool,
}

/// One job and who does it.
pub struct Contest {
    /// The name in the output; its first word is a column of the page of results.
    pub case: String,
    /// Items in the job: rows, words, files.
    pub items: u64,
    /// Who takes part; the first gives the answer that is expected of all.
    pub entrants: Vec<Entrant>,
}

/// One contender.
pub struct Entrant {
    /// The name in the output.
    pub name: &'static str,
    /// Whether it is a program of its own, whose memory is not this process's.
    pub is_outside: bool,
    run: Box<dyn FnMut() -> Result<Done, Failure>>,
}

/// What a contender gives: its answer in a few words, and how long it took if it has measured that itself.
type Done = (String, Option<Duration>);

impl Entrant {
    /// A contender in this process: does the job once and gives its answer in a few words.
    pub fn new(name: &'static str, mut run: impl FnMut() -> Result<String, Failure> + 'static) -> Self {
        Entrant { name, is_outside: false, run: Box::new(move || Ok((run()?, None))) }
    }

    /// A contender that starts a program of its own.
    pub fn outside(name: &'static str, run: impl FnMut() -> Result<String, Failure> + 'static) -> Self {
        Entrant { is_outside: true, ..Entrant::new(name, run) }
    }

    /// A contender that starts a program of its own, which says how long the job took: its own start is not in that.
    pub fn timing_itself(
        name: &'static str,
        mut run: impl FnMut() -> Result<(String, Duration), Failure> + 'static,
    ) -> Self {
        let run = move || run().map(|(answer, took)| (answer, Some(took)));
        Entrant { name, is_outside: true, run: Box::new(run) }
    }

    /// Does the job once, and says what came out and how long it took.
    ///
    /// # Errors
    ///
    /// What the contender says.
    pub fn run(&mut self) -> Result<(String, Duration), Failure> {
        let start = Instant::now();
        let done = (self.run)();
        let elapsed = start.elapsed();
        let (answer, took) = done.map_err(|error| format!("{}: {error}", self.name))?;
        Ok((answer, took.unwrap_or(elapsed)))
    }
}

impl Contest {
    /// Runs everybody `rounds` times after one run that is not timed, in the order of [`turns`](crate::turns): nobody
    /// always follows the same.
    ///
    /// # Errors
    ///
    /// The first contender that fails, or whose answer is not that of the first.
    pub fn hold(&mut self, rounds: usize) -> Result<Vec<Measurement>, Failure> {
        let Some(first) = self.entrants.first_mut() else { return Ok(Vec::new()) };
        let (expected, _) = first.run()?;
        let mut seconds = vec![Vec::new(); self.entrants.len()];
        for entrant in self.entrants.iter_mut().skip(1) {
            check(entrant.name, &entrant.run()?.0, &expected)?;
        }
        for round in 0..rounds {
            for index in turns(self.entrants.len(), round) {
                let entrant = &mut self.entrants[index];
                let (answer, took) = entrant.run()?;
                seconds[index].push(took.as_secs_f64());
                check(entrant.name, &answer, &expected)?;
            }
        }
        let measured = self.entrants.iter().zip(seconds);
        Ok(measured.map(|(entrant, seconds)| Measurement::of(entrant.name, self.items, seconds)).collect())
    }
}

fn check(name: &str, answer: &str, expected: &str) -> Result<(), Failure> {
    if answer == expected {
        return Ok(());
    }
    Err(format!("{name} answers {}, not {}", shorten(answer), shorten(expected)).into())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contest(answers: [&'static str; 2]) -> Contest {
        let entrants = answers.map(|answer| Entrant::new("any", move || Ok(answer.to_owned()))).into();
        Contest { case: "job".to_owned(), items: 10, entrants }
    }

    #[test]
    fn everybody_runs_every_round() {
        let measured = contest(["42", "42"]).hold(3).unwrap();
        assert_eq!(measured.len(), 2);
        assert!(measured.iter().all(|measurement| measurement.rounds() == 3));
    }

    #[test]
    fn who_times_itself_is_believed() {
        let took = Duration::from_secs(7);
        let entrants = vec![Entrant::timing_itself("any", move || Ok((String::new(), took)))];
        let measured = Contest { case: "job".to_owned(), items: 7, entrants }.hold(1).unwrap();
        assert_eq!(measured[0].ns_per_item(), 1e9);
    }

    #[test]
    fn a_wrong_answer_is_named() {
        let error = contest(["42", "43"]).hold(1).unwrap_err();
        assert_eq!(error.to_string(), "any answers \"43\", not \"42\"");
    }
}
