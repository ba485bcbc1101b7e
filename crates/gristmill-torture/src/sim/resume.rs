//! Runs that crash again and again, and go on from their checkpoints, until they are through: every store must have what
//! one run without a crash would have given it, each item once and in order.

use super::disk::Commits;
use super::drawn::{Drawn, End, Interruption, Order, Policy, StageKind};
use super::oracle::{Expected, Told};
use super::play::{Kept, Played, run};
use anyhow::{Context, bail, ensure};
use gristmill::Checkpoint;
use gristmill::testing::Simulation;
use std::collections::HashSet;
use std::time::Duration;

/// After so many crashes a run is left alone.
const CRASHES: u64 = 40;

/// Draws a pipeline that a checkpoint can be kept of.
pub(super) fn drawn(seed: u64) -> Drawn {
    let mut drawn = Drawn::new(seed);
    drawn.order = Order::Source;
    drawn.shedding = None;
    if drawn.has_sides() {
        // An end that was ahead keeps what the run that crashed made of an item, and the others get what the next one makes:
        // each once, but no longer the same.
        drawn.without_fallbacks();
    }
    for stage in &mut drawn.stages {
        if let StageKind::TryMap(failing) | StageKind::TryBlocking(_, failing) = &mut stage.kind {
            failing.policy = never_aborts(failing.policy);
        }
    }
    if let End::Waiting(_, failing) = &mut drawn.end {
        failing.policy = never_aborts(failing.policy);
    }
    drawn
}

/// A policy that aborts would abort each run anew.
fn never_aborts(policy: Policy) -> Policy {
    match policy {
        Policy::Abort | Policy::AtMost(_) => Policy::Skip,
        other => other,
    }
}

/// Plays a seed to its end through all its crashes.
pub(super) fn play(seed: u64) -> anyhow::Result<Played> {
    let mut drawn = drawn(seed);
    let kept = Kept::of(&drawn);
    let mut played = Played { events: 0, items: drawn.items, failures: 0, fell_back: 0, end: 0 };
    for attempt in 0.. {
        let simulation = Simulation::new(seed ^ (attempt << 40));
        let may_crash = attempt < CRASHES;
        let crash_at = simulation.below(40 << (attempt / 4).min(20)) as u64;
        let simulation = if may_crash { simulation.crash_at(crash_at) } else { simulation };
        let commits = Commits { simulation: simulation.clone(), crashes: if may_crash { 0.02 } else { 0.0 } };
        let every = [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1)][simulation.below(3)];
        let checkpoint = Checkpoint::in_store().every(every);
        let ran = run(&drawn, &simulation, &kept, Some((checkpoint, commits)));
        played.events += simulation.events();
        kept.check_services().with_context(|| format!("attempt {attempt}"))?;
        match ran {
            // A drained run goes on in the next.
            Ok(report) if !report.drained => break,
            Ok(_) => {}
            Err(error) if error.is_crash() || error.is_cancelled() => {}
            Err(error) => bail!("attempt {attempt}: {error:?}"),
        }
        played.end = 3;
        drawn.interruption = Interruption::None;
        ensure!(attempt < CRASHES + 5, "does not come to an end");
    }
    check(&drawn, &kept, &mut played).with_context(|| format!("after crashes, of {}", drawn.items))?;
    Ok(played)
}

fn check(drawn: &Drawn, kept: &Kept, played: &mut Played) -> anyhow::Result<()> {
    let expected = Expected::of(drawn, drawn.items, Told { shed: &HashSet::new(), notes: &kept.notes });
    played.failures = expected.failures.iter().sum();
    played.fell_back = expected.fell_back;
    let stored = kept.stored.take();
    same(&stored, &expected.stored).context("the store")?;
    for (at, (side, expected)) in kept.sides.iter().zip(&expected.sides).enumerate() {
        same(&side.take(), expected).with_context(|| format!("the side store of stage {at}"))?;
    }
    let mut dead: Vec<_> = kept.dead.iter().flat_map(super::disk::Shelf::take).collect();
    let mut expected_dead = expected.dead.clone();
    dead.sort_unstable();
    expected_dead.sort_unstable();
    same(&dead, &expected_dead).context("the dead letters")
}

/// Says where two lists differ first.
fn same<R: PartialEq + std::fmt::Debug>(there: &[R], expected: &[R]) -> anyhow::Result<()> {
    let at = there.iter().zip(expected).take_while(|(there, expected)| there == expected).count();
    ensure!(
        there == expected,
        "{} records, not {}; of number {at} on {:?}, not {:?}",
        there.len(),
        expected.len(),
        &there[at..there.len().min(at + 4)],
        &expected[at..expected.len().min(at + 4)]
    );
    Ok(())
}
