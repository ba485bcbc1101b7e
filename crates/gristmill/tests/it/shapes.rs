//! Every shape of pipeline against the same work done by a loop.

use crate::support::{assert_balanced, hash, pool, quiet_panics};
use gristmill::prelude::*;
use gristmill::{Error, Report, Totals};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What becomes of an item at a stage, as its hash says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Keep,
    Drop,
    Twice,
    Fail,
    Panic,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    items: u64,
    shape: Shape,
    ordered: bool,
    window: usize,
    pool: usize,
    morsel: usize,
    threads: usize,
    failures: bool,
    delays: bool,
    policy: Policy,
}

/// What happens to items that fail.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Skip,
    Collect,
    DeadLetter,
}

const POLICIES: [Policy; 3] = [Policy::Skip, Policy::Collect, Policy::DeadLetter];

impl Policy {
    fn on_error<'env>(self) -> OnError<'env, u64, String> {
        match self {
            Policy::Skip => OnError::skip(),
            Policy::Collect => OnError::collect(),
            Policy::DeadLetter => OnError::dead_letter(gristmill::store::from_fn(|letter: DeadLetter<u64, String>| {
                let item = letter.item.ok_or("the letter lacks its item")?;
                match letter.cause {
                    Cause::Error(error) if error == format!("no {item}") => Ok(()),
                    Cause::Panic(message) if message == format!("planned panic at {item}") => Ok(()),
                    cause => Err(format!("item {item} failed with {cause}")),
                }
            })),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Fused,
    Limited,
    Blocking,
    BlockingTwice,
    Batches,
    BatchesOfBytes,
    Broadcast,
    Route,
    Merge,
    OwnThreads,
}

const SHAPES: [Shape; 10] = [
    Shape::Fused,
    Shape::Limited,
    Shape::Blocking,
    Shape::BlockingTwice,
    Shape::Batches,
    Shape::BatchesOfBytes,
    Shape::Broadcast,
    Shape::Route,
    Shape::Merge,
    Shape::OwnThreads,
];

impl Plan {
    fn fate(&self, stage: u64, item: u64) -> Fate {
        match hash((self.seed, stage, item)) % 40 {
            0..=3 => Fate::Drop,
            4..=7 => Fate::Twice,
            8 if self.failures => Fate::Fail,
            9 if self.failures => Fate::Panic,
            _ => Fate::Keep,
        }
    }

    fn delay(&self, stage: u64, item: u64) {
        if self.delays && hash((self.seed, stage, item, "delay")) % 64 == 0 {
            let until = Instant::now() + Duration::from_micros(hash((self.seed, item)) % 150);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
    }

    fn attempt(&self, stage: u64, item: u64) -> Result<u64, String> {
        self.delay(stage, item);
        match self.fate(stage, item) {
            Fate::Fail => Err(format!("no {item}")),
            Fate::Panic => panic!("planned panic at {item}"),
            _ => Ok(item.wrapping_mul(3) + 1),
        }
    }

    fn keeps(&self, stage: u64, item: u64) -> bool {
        self.fate(stage, item) != Fate::Drop
    }

    fn expand(&self, stage: u64, item: u64) -> Vec<u64> {
        match self.fate(stage, item) {
            Fate::Twice => vec![item, item ^ 0x5555],
            Fate::Drop => vec![],
            _ => vec![item],
        }
    }

    /// One item through `try_map`, `filter`, `flat_map`; the second is how many failed.
    fn stage(&self, stage: u64, items: &[u64]) -> (Vec<u64>, u64) {
        let mut failed = 0;
        let mut out = Vec::new();
        for &item in items {
            match self.fate(stage, item) {
                Fate::Fail | Fate::Panic => failed += 1,
                _ => {
                    let made = item.wrapping_mul(3) + 1;
                    if self.keeps(stage + 1, made) {
                        out.extend(self.expand(stage + 2, made));
                    }
                }
            }
        }
        (out, failed)
    }
}

/// The three fallible, filtering and expanding stages that [`Plan::stage`] does one after another.
macro_rules! stage {
    ($pipeline:expr, $plan:expr, $number:expr) => {
        $pipeline
            .try_map(move |item| $plan.attempt($number, item))
            .on_error($plan.policy.on_error())
            .filter(move |item| $plan.keeps($number + 1, *item))
            .flat_map(move |item| $plan.expand($number + 2, item))
    };
}

struct Ran {
    out: Vec<u64>,
    side: Vec<u64>,
    report: Report,
}

fn run(plan: Plan, pool: &rayon::ThreadPool) -> Result<Ran, Error> {
    let mut out: Vec<u64> = Vec::new();
    let mut side: Vec<u64> = Vec::new();
    macro_rules! finish {
        ($pipeline:expr) => {{
            let pipeline = $pipeline.pool(pool).window(plan.window).morsel_items(plan.morsel);
            if plan.ordered {
                pipeline.ordered().store(&mut out).run()
            } else {
                pipeline.unordered().store(&mut out).run()
            }
        }};
    }
    let source = Pipeline::extract(0..plan.items);
    let report = match plan.shape {
        Shape::Fused => finish!(stage!(stage!(source, plan, 0), plan, 10)),
        Shape::Limited => finish!(stage!(source, plan, 0).workers(1)),
        Shape::Blocking => {
            let waits = stage!(source, plan, 0).map_blocking(plan.threads, |item| item ^ 7);
            finish!(stage!(waits, plan, 10))
        }
        Shape::BlockingTwice => {
            let waits = source
                .try_map_blocking(plan.threads, move |item| plan.attempt(0, item))
                .on_error(plan.policy.on_error());
            finish!(waits.map(|item| item + 1).map_blocking(2, |item| item ^ 7))
        }
        Shape::Batches => finish!(stage!(stage!(source, plan, 0).batch(plan.threads * 3).unbatch(), plan, 10)),
        Shape::BatchesOfBytes => finish!(stage!(source, plan, 0).batch_bytes(Bytes::new(8 * plan.threads)).unbatch()),
        Shape::Broadcast => {
            let both = stage!(source, plan, 0).broadcast(|copies| copies.map(|item| item + 1).store(&mut side));
            finish!(stage!(both, plan, 10))
        }
        Shape::Route => {
            let rest =
                stage!(source, plan, 0).route(|item| item % 3 == 0, |some| some.batch(2).unbatch().store(&mut side));
            finish!(stage!(rest, plan, 10))
        }
        Shape::Merge => {
            let other = stage!(Pipeline::extract(1_000_000..1_000_000 + plan.items), plan, 20);
            finish!(stage!(source, plan, 0).merge(other))
        }
        Shape::OwnThreads => {
            let waiting = Pipeline::extract(gristmill::source::waiting(0..plan.items));
            let report = stage!(waiting, plan, 0).pool(pool).window(plan.window).morsel_items(plan.morsel);
            let store = gristmill::store::from_fn(|item| {
                out.push(item);
                Ok::<(), String>(())
            });
            if plan.ordered { report.ordered().store(store).run() } else { report.store(store).run() }
        }
    }?;
    Ok(Ran { out, side, report })
}

/// What the main end, the side end, and the policy should get.
fn expected(plan: Plan) -> (Vec<u64>, Vec<u64>, u64) {
    let source: Vec<u64> = (0..plan.items).collect();
    let (first, failed) = plan.stage(0, &source);
    let second = |items: &[u64]| {
        let (out, more) = plan.stage(10, items);
        (out, failed + more)
    };
    match plan.shape {
        Shape::Fused => {
            let (out, failed) = second(&first);
            (out, vec![], failed)
        }
        Shape::Limited | Shape::BatchesOfBytes | Shape::OwnThreads => (first, vec![], failed),
        Shape::Blocking => {
            let waited: Vec<u64> = first.iter().map(|item| item ^ 7).collect();
            let (out, failed) = second(&waited);
            (out, vec![], failed)
        }
        Shape::BlockingTwice => {
            let good = source.iter().filter(|item| !matches!(plan.fate(0, **item), Fate::Fail | Fate::Panic));
            let out: Vec<u64> = good.map(|item| (item.wrapping_mul(3) + 2) ^ 7).collect();
            let failed = plan.items - out.len() as u64;
            (out, vec![], failed)
        }
        Shape::Batches => {
            let (out, failed) = second(&first);
            (out, vec![], failed)
        }
        Shape::Broadcast => {
            let (out, failed) = second(&first);
            (out, first.iter().map(|item| item + 1).collect(), failed)
        }
        Shape::Route => {
            let (some, rest): (Vec<u64>, Vec<u64>) = first.iter().partition(|item| *item % 3 == 0);
            let (out, failed) = second(&rest);
            (out, some, failed)
        }
        Shape::Merge => {
            let other: Vec<u64> = (1_000_000..1_000_000 + plan.items).collect();
            let (more, failed_too) = plan.stage(20, &other);
            ([first, more].concat(), vec![], failed + failed_too)
        }
    }
}

fn sorted(mut items: Vec<u64>) -> Vec<u64> {
    items.sort_unstable();
    items
}

fn check(plan: Plan) {
    quiet_panics();
    let pool = pool(plan.pool);
    let ran = run(plan, &pool).unwrap_or_else(|error| panic!("{plan:?}: {error:?}"));
    let (out, side, failed) = expected(plan);
    let keeps_order = plan.ordered && plan.shape != Shape::Merge;
    if keeps_order {
        assert_eq!(ran.out, out, "{plan:?}");
        assert_eq!(ran.side, side, "{plan:?}");
    } else {
        assert_eq!(sorted(ran.out.clone()), sorted(out), "{plan:?}");
        assert_eq!(sorted(ran.side.clone()), sorted(side), "{plan:?}");
    }
    assert_balanced(&ran.report);
    let Totals { extracted, stored, skipped, dead, lost, .. } = ran.report.totals();
    let failed_by_policy = if plan.policy == Policy::DeadLetter { (0, failed) } else { (failed, 0) };
    assert_eq!((skipped, dead), failed_by_policy, "{plan:?}");
    assert!(plan.policy != Policy::Collect || ran.report.failures.len() as u64 == failed.min(1_000), "{plan:?}");
    let sources = if plan.shape == Shape::Merge { 2 } else { 1 };
    assert_eq!(extracted, plan.items * sources, "{plan:?}");
    assert_eq!((stored, lost), ((ran.out.len() + ran.side.len()) as u64, 0), "{plan:?}");
    if plan.shape == Shape::Merge && plan.ordered {
        let (first, second): (Vec<u64>, Vec<u64>) = ran.out.iter().partition(|item| **item < 1_000_000);
        let (expected_first, expected_second): (Vec<u64>, Vec<u64>) =
            expected(plan).0.iter().partition(|item| **item < 1_000_000);
        assert_eq!((first, second), (expected_first, expected_second), "{plan:?}");
    }
}

#[test]
fn every_shape_with_every_setting_gives_what_a_loop_gives() {
    for shape in SHAPES {
        for ordered in [true, false] {
            for window in [1, 2, 16] {
                for pool in [1, 2, 8] {
                    for morsel in [1, 7, 64] {
                        let plan = Plan {
                            seed: hash((window, pool, morsel)),
                            items: 150,
                            shape,
                            ordered,
                            window,
                            pool,
                            morsel,
                            threads: 3,
                            failures: morsel != 64,
                            delays: false,
                            policy: POLICIES[window % 3],
                        };
                        check(plan);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn random_pipelines_give_what_a_loop_gives(
        seed in any::<u64>(),
        items in prop_oneof![0u64..4, 0u64..3_000],
        shape in proptest::sample::select(&SHAPES[..]),
        ordered in any::<bool>(),
        window in prop_oneof![Just(1usize), Just(2), Just(16), Just(64)],
        pool in prop_oneof![Just(1usize), Just(2), Just(8)],
        morsel in 1usize..200,
        threads in 1usize..6,
        failures in any::<bool>(),
        delays in any::<bool>(),
        policy in proptest::sample::select(&POLICIES[..]),
    ) {
        check(Plan { seed, items, shape, ordered, window, pool, morsel, threads, failures, delays, policy });
    }
}

#[test]
fn the_small_operators_do_as_the_iterators_of_their_name() {
    let even = |item: u64| item.is_multiple_of(2).then_some(item / 2);
    let report = (0..1_000u64).pipeline().filter_map(even).ordered().collect::<Vec<_>>().run().unwrap();
    assert_balanced(&report);
    assert_eq!((report.totals().filtered, report.output), (500, (0..500).collect::<Vec<_>>()));
    // Two of the same type, though their stages are not.
    let pipelines = [
        Pipeline::extract(0..100u64).map(|item| item + 1).boxed(),
        Pipeline::extract(0..100u64).filter(|item| *item % 2 == 0).map_blocking(2, |item| item * 3).boxed(),
    ];
    let sums = pipelines.map(|pipeline| {
        let sum = pipeline.map(|item| item * 10).fold(|| 0, |sum, item| *sum += item, |sum, other| *sum += other);
        sum.run().unwrap().output
    });
    assert_eq!(sums, [50_500, 73_500]);
}
