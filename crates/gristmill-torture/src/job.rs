//! A small job with a file in and a file out, for tests that take its resources away: the lines of the input that are
//! numbers are doubled, in order; the others are dead letters.

use anyhow::Context;
use gristmill::prelude::*;
use gristmill::{Bytes, Chunks};
use gristmill_connect::lines::LinesFile;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// What the job is to do.
#[derive(Debug, Clone)]
pub struct Job {
    input: PathBuf,
    output: PathBuf,
    dead: PathBuf,
    /// What an item is to do, if anything odd.
    odd: Option<Odd>,
}

/// What no library can contain.
#[derive(Debug, Clone, Copy)]
enum Odd {
    /// Panics in a drop while a panic unwinds.
    PanicInDrop,
    /// Calls itself without an end.
    Overflow,
}

impl Job {
    /// Reads the arguments: input, output and file of dead letters, and perhaps `panic-in-drop` or `overflow`.
    ///
    /// # Errors
    ///
    /// If one is missing or unknown.
    pub fn parse(mut args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut path = |what| args.next().map(PathBuf::from).with_context(|| format!("the job needs {what}"));
        let (input, output, dead) = (path("an input")?, path("an output")?, path("a file for dead letters")?);
        let odd = match args.next().as_ref().and_then(|odd| odd.to_str()) {
            None => None,
            Some("panic-in-drop") => Some(Odd::PanicInDrop),
            Some("overflow") => Some(Odd::Overflow),
            Some(other) => anyhow::bail!("the job knows nothing of `{other}`"),
        };
        Ok(Job { input, output, dead, odd })
    }

    /// Does it, and prints the report.
    ///
    /// # Errors
    ///
    /// If the input cannot be read or an output not be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let write = |text: &String, line: &mut Vec<u8>| line.write_all(text.as_bytes());
        let rejected = LinesFile::create(&self.dead, |letter: &DeadLetter<String, _>, line: &mut Vec<u8>| {
            write!(line, "{}\t{}", letter.position, letter.cause)
        })?;
        let odd = self.odd;
        let report = Pipeline::extract(Chunks::open(&self.input)?.target(Bytes::kib(64)).lines())
            .flat_map(|chunk| {
                chunk.into_lines().map(|(_, line)| String::from_utf8_lossy(&line).into_owned()).collect::<Vec<_>>()
            })
            .weigh()
            .inspect(move |line| odd.filter(|_| line == "13").into_iter().for_each(Odd::happen))
            .try_map(|line| line.parse::<u64>())
            .on_error(OnError::dead_letter(rejected))
            .map(|number| (number * 2).to_string())
            .weigh()
            .ordered()
            .memory_budget(Bytes::mib(8))
            .store(LinesFile::create(&self.output, write)?)
            .run()?;
        writeln!(out, "{report}")?;
        Ok(())
    }
}

impl Odd {
    fn happen(self) {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("planned, in a drop");
            }
        }
        fn dig(depth: u64) -> u64 {
            let room = [depth; 64];
            if depth == u64::MAX { 0 } else { std::hint::black_box(dig(depth + 1)) + std::hint::black_box(room)[7] }
        }
        match self {
            Odd::PanicInDrop => {
                let _bomb = Bomb;
                panic!("planned");
            }
            Odd::Overflow => {
                std::hint::black_box(dig(0));
            }
        }
    }
}
