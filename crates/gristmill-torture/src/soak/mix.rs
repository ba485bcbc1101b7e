//! The runs: each kind of pipeline in its turn, each with a result that can be told.

use super::process::Usage;
use anyhow::{Context, ensure};
use gristmill::prelude::*;
use gristmill::{Checkpoint, Progress, Receipt, Signals, store};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// The runs so far.
pub(super) struct Mix {
    folder: TempDir,
    pool: ThreadPool,
    runs: u64,
    items: u64,
}

type Kind = fn(&Mix) -> anyhow::Result<u64>;

/// Each returns how many items it has dealt with. Those that set up more than threads come seldom, as they take longer.
const KINDS: [(Kind, u64); 9] = [
    (Mix::under_a_budget, 1),
    (Mix::with_retries, 1),
    (Mix::with_dead_letters, 1),
    (Mix::in_a_fork, 1),
    (Mix::iterated_and_dropped, 1),
    (Mix::cancelled, 1),
    (Mix::on_a_pool_of_its_own, 2),
    (Mix::with_checkpoints, 4),
    (Mix::ended_by_a_signal, 8),
];

impl Mix {
    pub(super) fn new() -> anyhow::Result<Self> {
        quiet_panics();
        let folder = tempfile::Builder::new().prefix("gristmill-soak-").tempdir()?;
        Ok(Mix { folder, pool: ThreadPoolBuilder::new().num_threads(3).build()?, runs: 0, items: 0 })
    }

    pub(super) fn runs(&self) -> u64 {
        self.runs
    }

    /// One run more.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        let round = self.runs / KINDS.len() as u64;
        let (kind, every) = KINDS[(self.runs % KINDS.len() as u64) as usize];
        let kind = if round % every == 0 { kind } else { Mix::with_retries };
        self.items += kind(self).with_context(|| format!("run {}", self.runs))?;
        self.runs += 1;
        Ok(())
    }

    pub(super) fn say(&self, elapsed: Duration, usage: Usage, out: &mut impl Write) -> io::Result<()> {
        let Usage { rss_kib, threads, descriptors } = usage;
        let seconds = elapsed.as_secs();
        let (runs, items) = (self.runs, self.items);
        writeln!(
            out,
            "{seconds:>5} s: {runs} runs, {items} items, {rss_kib} KiB, {threads} threads, {descriptors} descriptors"
        )?;
        out.flush()
    }

    /// A number that differs from run to run, below `end`.
    fn draw(&self, end: u64) -> u64 {
        (self.runs.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % end
    }

    fn under_a_budget(&self) -> anyhow::Result<u64> {
        let bytes = AtomicU64::new(0);
        let largest = 1 + self.draw(2_000);
        let report = Pipeline::extract(0..2_000u64)
            .pool(&self.pool)
            .map(move |item| vec![item as u8; (item % largest) as usize])
            .weigh()
            .batch(16)
            .weigh_by(|batch: &Vec<Vec<u8>>| batch.iter().map(Vec::len).sum())
            .ordered()
            .memory_budget(Bytes::kib(64))
            .for_each(|batch| {
                bytes.fetch_add(batch.iter().map(|item| item.len() as u64).sum(), Ordering::Relaxed);
            })
            .run()?;
        ensure!(report.totals().balance() && report.totals().extracted == 2_000, "{report}");
        ensure!(bytes.into_inner() == (0..2_000).map(|item| item % largest).sum::<u64>(), "bytes are missing");
        Ok(2_000)
    }

    fn with_retries(&self) -> anyhow::Result<u64> {
        let calls = AtomicU64::new(0);
        let report = Pipeline::extract(0..500u64)
            .pool(&self.pool)
            .try_map(|item| {
                let call = calls.fetch_add(1, Ordering::Relaxed);
                if call % 7 == 0 {
                    // A panic costs more than all the rest of a run.
                    assert!(call != 49, "planned");
                    return Err("planned");
                }
                Ok(item)
            })
            .retry(Retry::constant(50, Duration::from_micros(50)).and_panics())
            .ordered()
            .collect::<Vec<_>>()
            .run()?;
        ensure!(report.output.iter().copied().eq(0..500), "items are missing or out of order");
        Ok(500)
    }

    fn with_dead_letters(&self) -> anyhow::Result<u64> {
        let dead = AtomicU64::new(0);
        let report = Pipeline::extract(gristmill::source::waiting(0..1_000u64))
            .pool(&self.pool)
            .try_map(|item| if item % 10 == 3 { Err(format!("{item} is rejected")) } else { Ok(item) })
            .on_error(OnError::dead_letter(store::from_fn(|_: DeadLetter<u64, String>| {
                dead.fetch_add(1, Ordering::Relaxed);
                Ok::<(), io::Error>(())
            })))
            .try_map_blocking(2, |item| if item % 10 == 4 { Err("skipped") } else { Ok(item) })
            .on_error(OnError::skip())
            .count()
            .run()?;
        ensure!(report.output == 800 && dead.into_inner() == 100, "{report}");
        Ok(1_000)
    }

    fn in_a_fork(&self) -> anyhow::Result<u64> {
        let side = AtomicU64::new(0);
        let report = Pipeline::extract(0..1_000u64)
            .pool(&self.pool)
            .broadcast(|items| {
                items.for_each(|_| {
                    side.fetch_add(1, Ordering::Relaxed);
                })
            })
            .batch(7)
            .store(store::from_fn(|_| Ok::<(), io::Error>(())))
            .run()?;
        ensure!(report.totals().balance() && side.into_inner() == 1_000, "{report}");
        Ok(1_000)
    }

    fn iterated_and_dropped(&self) -> anyhow::Result<u64> {
        let taken = self.draw(500);
        let pipeline = Pipeline::extract(0u64..).map(|item| item + 1).map_blocking(2, |item| item * 2).ordered();
        let mut got = 0;
        for item in pipeline.into_iter().take(taken as usize) {
            got += 1;
            ensure!(item? == 2 * got, "item {got} is another one");
        }
        Ok(taken)
    }

    fn cancelled(&self) -> anyhow::Result<u64> {
        let (token, at) = (CancelToken::new(), self.draw(2_000));
        let ended = Pipeline::extract(0u64..)
            .pool(&self.pool)
            .cancel_token(&token)
            .map_blocking(2, |item| item)
            .for_each(|item| {
                if item == at {
                    token.cancel();
                }
            })
            .run();
        let error = ended.err().context("it ended well")?;
        ensure!(error.is_cancelled(), "{error}");
        Ok(error.report().map_or(0, |report| report.totals().extracted))
    }

    fn on_a_pool_of_its_own(&self) -> anyhow::Result<u64> {
        let pool = ThreadPoolBuilder::new().num_threads(1 + self.draw(4) as usize).build()?;
        let report =
            Pipeline::extract(0..1_000u64).pool(&pool).map(|item| item * 3).ordered().collect::<Vec<_>>().run()?;
        ensure!(report.output.len() == 1_000, "items are missing");
        Ok(1_000)
    }

    /// Cancelled somewhere, then gone on with.
    fn with_checkpoints(&self) -> anyhow::Result<u64> {
        let path = self.folder.path().join("checkpoint");
        let at = self.draw(3_000);
        let mut durable = 0;
        for attempt in 0..2 {
            let token = CancelToken::new();
            // Unless the run goes on from a checkpoint, it begins.
            let mut numbers = Durable::default();
            let ended = Pipeline::extract(0..3_000u64)
                .pool(&self.pool)
                .cancel_token(&token)
                .checkpoint(Checkpoint::file(&path).every(Duration::from_micros(200)))
                .inspect(|item| {
                    if *item == at && attempt == 0 {
                        token.cancel();
                    }
                })
                .store(&mut numbers)
                .run();
            ensure!(attempt == 0 || ended.is_ok(), "{:?}", ended.err());
            durable = numbers.durable;
        }
        ensure!(durable == 3_000, "{durable} numbers are durable");
        fs::remove_file(&path)?;
        Ok(3_000)
    }

    fn ended_by_a_signal(&self) -> anyhow::Result<u64> {
        let token = CancelToken::new();
        let watch = Signals::new(&token).watch()?;
        let (stored, at) = (AtomicU64::new(0), self.draw(2_000));
        let report = Pipeline::extract(0u64..)
            .pool(&self.pool)
            .cancel_token(&token)
            .ordered()
            .store(store::from_fn(|item: u64| {
                ensure!(item == stored.fetch_add(1, Ordering::Relaxed), "{item} is out of order");
                if item == at { Ok(signal_hook::low_level::raise(signal_hook::consts::SIGTERM)?) } else { Ok(()) }
            }))
            .run()?;
        drop(watch);
        ensure!(report.totals().extracted == stored.load(Ordering::Relaxed) && report.drained, "{report}");
        Ok(stored.into_inner())
    }
}

/// Numbers in order, of which some are durable.
#[derive(Debug, Default)]
struct Durable {
    open: u64,
    durable: u64,
}

impl Store<u64> for Durable {
    type Error = io::Error;

    fn store(&mut self, number: u64) -> io::Result<()> {
        if number != self.open {
            return Err(io::Error::other(format!("{number} came, and not {}", self.open)));
        }
        self.open += 1;
        Ok(())
    }

    fn commit(&mut self, _: &Progress) -> io::Result<Receipt> {
        self.durable = self.open;
        Ok(Receipt::new(self.durable.to_le_bytes()))
    }

    fn resume(&mut self, receipt: &Receipt) -> io::Result<()> {
        let durable = receipt.bytes().try_into().map_err(io::Error::other)?;
        self.durable = u64::from_le_bytes(durable);
        self.open = self.durable;
        Ok(())
    }
}

/// What is planned is not printed.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().downcast_ref::<&str>().is_some_and(|text| text.starts_with("planned")) {
            usual(info);
        }
    }));
}
