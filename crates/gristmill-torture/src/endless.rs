//! A run without an end, for signals to end: it writes numbers to a file, in order, a line each.

use anyhow::Context;
use gristmill::prelude::*;
use gristmill::{Monitor, Signals, store};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How the run goes.
#[derive(Debug, Clone)]
pub struct Endless {
    path: PathBuf,
    /// How long the store takes over an item.
    pause: Duration,
    /// The store never returns from this item.
    stuck_at: Option<u64>,
    drain_deadline: Duration,
    grace: Duration,
}

impl Endless {
    /// Reads the arguments: a path, then `--pause-us`, `--stuck-at`, `--deadline-ms`, `--grace-ms` with a number each.
    ///
    /// # Errors
    ///
    /// Names what cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        use lexopt::{Arg, ValueExt};
        let mut parser = lexopt::Parser::from_args(args);
        let mut endless = Endless {
            path: PathBuf::new(),
            pause: Duration::ZERO,
            stuck_at: None,
            drain_deadline: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Value(path) => endless.path = path.into(),
                Arg::Long("pause-us") => endless.pause = Duration::from_micros(parser.value()?.parse()?),
                Arg::Long("stuck-at") => endless.stuck_at = Some(parser.value()?.parse()?),
                Arg::Long("deadline-ms") => endless.drain_deadline = Duration::from_millis(parser.value()?.parse()?),
                Arg::Long("grace-ms") => endless.grace = Duration::from_millis(parser.value()?.parse()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(endless)
    }

    /// Runs until a signal ends it; says how it ended.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or the run fails.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let file = File::create(&self.path).with_context(|| format!("cannot create {}", self.path.display()))?;
        let (token, monitor) = (CancelToken::new(), Monitor::new());
        let _watch = Signals::new(&token).grace(self.grace).monitor(&monitor).watch()?;
        let mut lines = Lines { file: BufWriter::new(file), endless: self };
        let report = Pipeline::extract(0u64..)
            .map(|number| number + 1)
            .map_blocking(3, |number| number - 1)
            .batch(10)
            .unbatch()
            .window(8)
            .ordered()
            .cancel_token(&token)
            .monitor(&monitor)
            .drain_deadline(self.drain_deadline)
            .store(&mut lines)
            .run()?;
        writeln!(out, "{report}")?;
        Ok(())
    }
}

struct Lines<'a> {
    file: BufWriter<File>,
    endless: &'a Endless,
}

impl store::Store<u64> for Lines<'_> {
    type Error = std::io::Error;

    fn store(&mut self, number: u64) -> std::io::Result<()> {
        if self.endless.stuck_at == Some(number) {
            // Who waits for what was stored before knows that the store is stuck.
            self.file.flush()?;
            loop {
                std::thread::park();
            }
        }
        if !self.endless.pause.is_zero() {
            std::thread::sleep(self.endless.pause);
        }
        writeln!(self.file, "{number}")?;
        // The first at once: who waits for it knows that the run goes on.
        if number == 0 { self.file.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
