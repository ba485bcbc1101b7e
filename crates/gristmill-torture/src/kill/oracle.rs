//! What a job of numbers should have made, by a plain loop, and whether what it has made so far fits.

use super::numbers::{BUDGET, CHUNK_LINES, LINE};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What is right.
#[derive(Debug)]
pub(super) struct Oracle {
    lines: u64,
    /// The file of numbers.
    pub(super) out: String,
    /// The file of lines that are none.
    pub(super) rejected: String,
}

/// What was seen of a job whose numbers may come again.
#[derive(Debug, Default)]
pub struct History {
    /// How much of what is stored was looked at.
    seen: usize,
    /// The lines that were dealt with at the last checkpoint: the next life begins there.
    kept: u64,
    /// All numbers below were stored, by one life or another.
    farthest: u64,
    /// The last life has come so far.
    reached: u64,
    /// Numbers that came again, in all.
    pub(super) repeated: u64,
    /// In one life.
    pub(super) most_repeated: u64,
}

impl History {
    /// Whether the checkpoint is where the last life has come to, so that nothing of it will come again.
    pub(super) fn is_level(&self) -> bool {
        next_number(self.kept) >= self.reached
    }
}

/// Whether a line of the input is no number.
fn is_broken(line: u64) -> bool {
    line % 997 == 500
}

/// The first number from there on.
fn next_number(line: u64) -> u64 {
    if is_broken(line) { line + 1 } else { line }
}

impl Oracle {
    pub(super) fn of(lines: u64) -> Self {
        let (mut out, mut rejected) = (String::new(), String::new());
        for line in 0..lines {
            // Writing to a string cannot fail.
            let _ = if is_broken(line) {
                writeln!(rejected, "x{line:0width$}", width = LINE - 2)
            } else {
                writeln!(out, "{line} {};", line * 2)
            };
        }
        Oracle { lines, out, rejected }
    }

    /// The input.
    pub(super) fn input(&self) -> String {
        let line = |line: u64| {
            if is_broken(line) {
                format!("x{line:0width$}\n", width = LINE - 2)
            } else {
                format!("{line:0width$}\n", width = LINE - 1)
            }
        };
        (0..self.lines).map(line).collect()
    }

    /// How many numbers there are.
    pub(super) fn numbers(&self) -> u64 {
        (0..self.lines).filter(|line| !is_broken(*line)).count() as u64
    }

    /// Looks at what was added to the numbers that are `stored`, with a checkpoint at a position now; `at_once` if one
    /// checkpoint followed the other.
    ///
    /// A life must begin where the last checkpoint was, go on without a gap, and must not come again with more than what
    /// may lie between two checkpoints.
    pub(super) fn follow(
        &self,
        history: &mut History,
        stored: &[u64],
        position: u64,
        at_once: bool,
    ) -> anyhow::Result<()> {
        let added = stored.get(history.seen..).context("something that was stored is gone")?;
        let mut next = history.kept;
        for number in added {
            ensure!(*number == next_number(next), "{number} was stored where {} should be", next_number(next));
            next = number + 1;
        }
        let repeated = next.min(history.farthest).saturating_sub(history.kept);
        let most = if at_once { most_repeated() } else { u64::MAX };
        ensure!(repeated <= most, "{repeated} lines came again, which is more than {most}");
        history.repeated += repeated;
        history.most_repeated = history.most_repeated.max(repeated);
        history.seen = stored.len();
        history.farthest = history.farthest.max(next);
        history.reached = next;
        history.kept = (position * CHUNK_LINES).min(self.lines);
        ensure!(
            next_number(history.farthest) >= history.kept,
            "the checkpoint is at {}, but only {} lines are stored",
            history.kept,
            history.farthest
        );
        Ok(())
    }

    /// Whether these are lines that are rejected, in any order, the last perhaps in part: as they fail, without a checkpoint.
    pub(super) fn check_letters(&self, found: &str) -> anyhow::Result<()> {
        let mut expected: BTreeSet<&str> = self.rejected.lines().collect();
        for line in found.split_inclusive('\n') {
            let is_whole = line.strip_suffix('\n').is_some_and(|line| expected.remove(line));
            let is_part = !line.ends_with('\n') && expected.iter().any(|whole| whole.starts_with(line));
            ensure!(is_whole || is_part, "`{line}` was rejected, or was twice");
        }
        Ok(())
    }

    /// Whether all was stored by now.
    pub(super) fn check_all(&self, history: &History) -> anyhow::Result<()> {
        ensure!(next_number(history.farthest) >= self.lines, "only {} lines were stored", history.farthest);
        Ok(())
    }
}

/// Lines between two checkpoints without an interval: what was in flight when the first was kept, and the morsel that
/// brings the second. Each may be the budget, and one item more.
fn most_repeated() -> u64 {
    2 * (BUDGET / LINE) as u64 + 2 * CHUNK_LINES
}

/// The lines of a text, sorted.
pub(super) fn in_order(text: &str) -> String {
    let lines: BTreeSet<&str> = text.lines().collect();
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// The numbers that a closure has written, each a line with an end that shows that it is whole. A line that is not was cut
/// when its process died.
pub(super) fn numbers_in(text: &str) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for line in text.lines() {
        let Some((number, double)) = line.strip_suffix(';').and_then(|line| line.split_once(' ')) else { continue };
        let (number, double): (u64, u64) = (number.parse()?, double.parse()?);
        ensure!(double == number * 2, "`{line}` is not a number and its double");
        numbers.push(number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(lives: &[(&[u64], u64)], at_once: bool) -> anyhow::Result<History> {
        let (oracle, mut history, mut stored) = (Oracle::of(10_000), History::default(), Vec::new());
        for (added, position) in lives {
            stored.extend_from_slice(added);
            oracle.follow(&mut history, &stored, *position, at_once)?;
        }
        Ok(history)
    }

    fn run(range: std::ops::Range<u64>) -> Vec<u64> {
        range.filter(|number| !is_broken(*number)).collect()
    }

    #[test]
    fn what_came_after_the_checkpoint_may_come_again() {
        let history = follow(&[(&run(0..700), 20), (&run(640..900), 28)], true).unwrap();
        assert_eq!((history.repeated, history.most_repeated, history.farthest), (60, 60, 900));
        // A life that stores nothing, and one that dies earlier than the one before.
        let history =
            follow(&[(&run(0..700), 20), (&[], 20), (&run(640..650), 20), (&run(640..700), 20)], true).unwrap();
        assert_eq!((history.repeated, history.most_repeated), (70, 60));
        assert!(!history.is_level());
        // A drain, of a life that has not come as far as the one before.
        assert!(follow(&[(&run(0..700), 20), (&run(640..672), 21)], true).unwrap().is_level());
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let wrong: [(&str, &[(&[u64], u64)]); 5] = [
            ("a gap", &[(&[0, 1, 3], 0)]),
            ("twice in one life", &[(&[0, 1, 1], 0)]),
            ("a life that begins before the checkpoint", &[(&run(0..700), 20), (&run(639..700), 20)]),
            ("one that begins behind it", &[(&run(0..700), 20), (&run(641..700), 20)]),
            ("a checkpoint ahead of what is stored", &[(&run(0..639), 20)]),
        ];
        for (what, lives) in wrong {
            assert!(follow(lives, true).is_err(), "{what}");
        }
        let much: &[(&[u64], u64)] = &[(&run(0..5_000), 1), (&run(32..5_000), 2)];
        assert!(follow(much, true).is_err() && follow(much, false).is_ok());
        assert!(Oracle::of(900).check_all(&follow(&[(&run(0..899), 0)], true).unwrap()).is_err());
        let oracle = Oracle::of(2_000);
        assert_eq!(oracle.rejected, "x00000000000500\nx00000000001497\n");
        assert!(oracle.check_letters("x00000000001497\nx000").is_ok() && in_order("b\na\n") == "a\nb\n");
        assert!(oracle.check_letters("x00000000001497\nx00000000001497\n").is_err(), "twice");
        assert!(oracle.check_letters("x00000000001498\n").is_err() && oracle.check_letters("x1").is_err());
        assert!(numbers_in("1 2;\n7 1").unwrap() == [1] && numbers_in("7 15;\n").is_err());
    }
}
