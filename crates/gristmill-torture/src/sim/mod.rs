//! Pipelines drawn by a seed, run in an order drawn by the seed, compared with what plain loops make of the same items.

pub mod args;
mod disk;
mod drawn;
mod item;
mod line;
mod oracle;
mod play;
mod resume;
mod service;

use anyhow::{Context, bail};
use args::Command;
use std::io::{IsTerminal, Write};

/// Plays seeds; the first that breaks a promise ends it.
///
/// # Errors
///
/// Names the seed, the promise, and how to play it again.
pub fn run(command: &Command, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(help) = command.help() {
        return Ok(out.write_all(help.as_bytes())?);
    }
    let mut tally = Tally::default();
    for seed in command.seeds() {
        if command.is_verbose() {
            writeln!(out, "{}", drawn::Drawn::new(seed))?;
        }
        let Ok(played) = std::panic::catch_unwind(|| play_both(seed)) else {
            bail!("seed {seed}: panicked; play it again with `{}`", again(seed));
        };
        match played {
            Ok(played) => played.iter().for_each(|played| tally.add(played)),
            Err(error) => bail!("seed {seed}: {error:#}; play it again with `{}`", again(seed)),
        }
        tally.seeds += 1;
        if tally.seeds.is_multiple_of(10_000) && std::io::stderr().is_terminal() {
            writeln!(std::io::stderr(), "{} seeds", tally.seeds)?;
        }
    }
    writeln!(out, "{tally}")?;
    Ok(())
}

/// A run by itself, and for some seeds one that crashes and goes on until it is through.
fn play_both(seed: u64) -> anyhow::Result<Vec<play::Played>> {
    let mut played = vec![play::play(seed)?];
    if seed.is_multiple_of(4) {
        played.push(resume::play(seed).context("with checkpoints")?);
    }
    Ok(played)
}

fn again(seed: u64) -> String {
    format!("cargo run --release -p gristmill-torture -- --seed {seed}")
}

/// What all the seeds came to.
#[derive(Debug, Default)]
struct Tally {
    seeds: u64,
    runs: u64,
    events: u64,
    items: u64,
    failures: u64,
    fell_back: u64,
    ends: [u64; play::ENDS.len()],
}

impl Tally {
    fn add(&mut self, played: &play::Played) {
        self.runs += 1;
        self.events += played.events;
        self.items += played.items;
        self.failures += played.failures;
        self.fell_back += played.fell_back;
        self.ends[played.end as usize] += 1;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} seeds, {} runs, {} items, {} of them failed, a fallback answered for {}, {} events; runs that ended:",
            self.seeds, self.runs, self.items, self.failures, self.fell_back, self.events
        )?;
        for (name, count) in play::ENDS.iter().zip(self.ends) {
            write!(f, " {name} {count}")?;
        }
        write!(f, "; no promise was broken")
    }
}
