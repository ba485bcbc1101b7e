//! Zero and absurd settings are errors that name the setting, or have a defined meaning.

use crate::support::{assert_balanced, within};
use gristmill::prelude::*;
use gristmill::{Breaker, Checkpoint, ConcurrencyLimit, RateLimit, Shed, Watchdog, source, store};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(30);

#[track_caller]
fn refused<O: std::fmt::Debug>(result: Result<Report<O>, gristmill::Error>, setting: &str) {
    let error = result.expect_err(setting);
    assert!(error.is_setting() && error.report().is_none(), "{error:?}");
    assert!(error.to_string().contains(setting), "{error} does not name {setting}");
}

#[test]
fn zero_is_refused_by_name() {
    let ten = || Pipeline::extract(0..10u64);
    refused(ten().window(0).count().run(), "window");
    refused(ten().workers(0).count().run(), "workers");
    refused(ten().memory_budget(Bytes::new(0)).count().run(), "memory_budget");
    for growth in [0.0, 0.999, -1.0, f64::NAN, f64::INFINITY] {
        refused(ten().expected_growth(growth).count().run(), "expected_growth");
    }
    refused(ten().flush_interval(Duration::ZERO).count().run(), "flush_interval");
    refused(ten().batch(0).count().run(), "batch");
    refused(ten().batch_bytes(Bytes::new(0)).count().run(), "batch");
    refused(ten().map_blocking(0, |item| item).count().run(), "map_blocking");
    refused(ten().map_blocking(1_000_000_000, |item| item).count().run(), "map_blocking");
    refused(ten().map_blocking(Workers::auto(1..=usize::MAX), |item| item).count().run(), "map_blocking");
    refused(ten().map(|item| item).deadline(Duration::ZERO).count().run(), "deadline");
    refused(ten().map_blocking(1, |item| item).deadline(Duration::ZERO).count().run(), "deadline");
    refused(ten().watchdog(Watchdog::after(Duration::ZERO, |_| {})).count().run(), "watchdog");
    refused(Pipeline::extract(source::waiting(0..10u64)).shed(Shed::oldest().holding(0)).count().run(), "shed");
    refused(ten().merge(ten().window(0)).count().run(), "window");
    refused(ten().broadcast(|copies| copies.batch(0).store(Vec::new())).count().run(), "batch");
    refused(ten().ordered_by_key(|item| *item).merge(ten()).count().run(), "ordered_by_key");
    let stranger = ten().broadcast(|_| Pipeline::extract(0..10u64).store(Vec::new()));
    refused(stranger.count().run(), "broadcast");
}

#[test]
fn a_refused_setting_leaves_the_source_alone() {
    let mut touched = false;
    let source = std::iter::from_fn(|| {
        touched = true;
        None::<u64>
    });
    refused(Pipeline::extract(source).window(0).count().run(), "window");
    assert!(!touched);
}

#[test]
fn absurd_sizes_mean_as_much_as_there_is() {
    let report = Pipeline::extract(0..1_000u64)
        .window(usize::MAX)
        .workers(usize::MAX)
        .memory_budget(Bytes::new(usize::MAX))
        .expected_growth(f64::MAX)
        .flush_interval(Duration::MAX)
        .batch_within(usize::MAX, Duration::MAX)
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    assert_eq!(report.output.concat().len(), 1_000);
}

#[test]
fn an_empty_source_runs_every_shape() {
    let none = || Pipeline::extract(std::iter::empty::<u64>());
    assert_eq!(none().count().run().unwrap().output, 0);
    assert_eq!(none().reduce(|a, b| a + b).run().unwrap().output, None);
    assert!(none().batch(3).ordered().collect::<Vec<_>>().run().unwrap().output.is_empty());
    assert!(none().group_by(|item| *item).count().run().unwrap().output.is_empty());
    assert_eq!(none().map_blocking(2, |item| item).merge(none()).into_iter().count(), 0);
    let report = none().count().run().unwrap();
    assert!(report.to_string().contains("nothing was extracted"), "{report}");
}

#[test]
fn a_refused_setting_is_the_first_thing_an_iterator_yields() {
    let mut iter = Pipeline::extract(0..10u64).window(0).into_iter();
    assert!(iter.next().unwrap().unwrap_err().is_setting());
    assert!(iter.next().is_none());
}

#[test]
fn key_order_and_a_merge_are_refused_on_a_branch_too() {
    let mut side = Vec::new();
    let run = Pipeline::extract(0..5u64)
        .ordered_by_key(|item| *item)
        .broadcast(|copies| copies.merge(Pipeline::extract(0..50u64)).store(&mut side))
        .count()
        .run();
    refused(run, "ordered_by_key");
}

#[test]
fn guards_that_cannot_be_are_refused_by_name() {
    let ten = || Pipeline::extract(0..10u64).try_map_blocking(2, Ok::<_, String>);
    refused(ten().retry(Retry::constant(0, SHORT)).count().run(), "retry");
    for ratio in [-1.0, f64::NAN, f64::INFINITY] {
        refused(ten().retry(Retry::constant(2, SHORT).budget(ratio, 1)).count().run(), "retry");
    }
    for rate in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        refused(ten().breaker(&Breaker::new().failure_rate(rate)).count().run(), "breaker");
    }
    refused(ten().breaker(&Breaker::new().window(usize::MAX)).count().run(), "breaker");
    refused(ten().breaker_or(&Breaker::new().window(1_000_001), Ok).count().run(), "breaker");
}

/// Runs items through a guard on the pool, and on threads of their own; the first five attempts fail.
macro_rules! passes {
    ($($guard:tt)*) => {
        for blocking in [false, true] {
            let tried = AtomicU32::new(0);
            let call = |item: u64| if tried.fetch_add(1, Ordering::Relaxed) < 5 { Err("busy") } else { Ok(item) };
            let retry = Retry::constant(u32::MAX, Duration::ZERO);
            let items = Pipeline::extract(0..300u64).ordered();
            let result = if blocking {
                items.try_map_blocking(2, call).retry(retry) $($guard)*.collect::<Vec<_>>().run()
            } else {
                items.try_map(call).retry(retry) $($guard)*.collect::<Vec<_>>().run()
            };
            let report = result.unwrap();
            assert_balanced(&report);
            assert!(report.output.into_iter().eq(0..300), stringify!($($guard)*));
        }
    };
}

/// The same for a guard that lets nothing through, or not for a very long time: the deadline of the run ends it.
macro_rules! waits {
    ($($guard:tt)*) => {
        for blocking in [false, true] {
            let items = Pipeline::extract(0..300u64).run_deadline(SHORT).ordered();
            let call = |_| Err::<u64, _>("down");
            let result = if blocking {
                items.try_map_blocking(2, call) $($guard)*.collect::<Vec<_>>().run()
            } else {
                items.try_map(call) $($guard)*.collect::<Vec<_>>().run()
            };
            let error = result.unwrap_err();
            assert!(error.is_timeout(), "{}: {error:?}", stringify!($($guard)*));
            assert_balanced(error.report().unwrap());
        }
    };
}

#[test]
fn guards_that_are_absurd_mean_none_or_wait() {
    within("absurd guards", || {
        passes!(.deadline(Duration::MAX));
        for rate in [1e9, 1e12, f64::MAX, f64::INFINITY] {
            passes!(.rate_limit(&RateLimit::per_second(rate).burst(0)));
        }
        passes!(.rate_limit(&RateLimit::per_second(f64::MIN_POSITIVE).burst(u32::MAX)));
        for rate in [0.0, -0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            waits!(.rate_limit(&RateLimit::per_second(rate).burst(u32::MAX)));
        }
        passes!(.concurrency_limit(&ConcurrencyLimit::new(u32::MAX)));
        for (least, most) in [(0, 0), (5, 2), (0, u32::MAX), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
            passes!(.concurrency_limit(&ConcurrencyLimit::adaptive(RangeInclusive::new(least, most))));
        }
        waits!(.concurrency_limit(&ConcurrencyLimit::new(0)));
        passes!(.breaker(&Breaker::new().window(0).probes(0).open_for(Duration::ZERO)));
        passes!(.breaker(&Breaker::new().window(1_000_000).probes(u32::MAX).open_for(Duration::MAX)));
        passes!(.breaker(&Breaker::new().window(3).failure_rate(f64::MIN_POSITIVE).open_for(Duration::ZERO)));
        waits!(.breaker(&Breaker::new().window(0).open_for(Duration::MAX)).on_error(OnError::skip()));
        waits!(.retry(Retry::constant(2, Duration::MAX)));
        waits!(.retry(Retry::custom(|_| Some(Duration::MAX))));
        waits!(.retry(Retry::exponential(2).from(Duration::MAX).cap(Duration::MAX).jitter(false)));
    });
}

#[test]
fn retries_that_are_absurd_are_counted_all_the_same() {
    within("absurd retries", || {
        let run = |retry: Retry<'static, &'static str>| {
            let stage = Pipeline::extract(0..20u64).try_map_blocking(2, |_| Err::<u64, _>("down")).retry(retry);
            let report = stage.on_error(OnError::skip().at_most(u64::MAX)).count().run().unwrap();
            assert_balanced(&report);
            (report.totals().skipped, report.totals().retried)
        };
        assert_eq!(run(Retry::constant(3, SHORT).cap(Duration::ZERO)), (20, 40));
        assert_eq!(run(Retry::exponential(70).from(Duration::ZERO).cap(Duration::MAX)), (20, 20 * 69));
        assert_eq!(run(Retry::exponential(40).from(Duration::MAX).cap(Duration::ZERO)), (20, 20 * 39));
        assert_eq!(run(Retry::constant(9, Duration::ZERO).budget(0.0, 0)), (20, 0));
        assert_eq!(run(Retry::constant(9, Duration::ZERO).budget(1e300, u32::MAX)), (20, 20 * 8));
        assert_eq!(run(Retry::constant(9, Duration::ZERO).budget(0.0, u32::MAX)), (20, 20 * 8));
        assert_eq!(run(Retry::custom(|failed| (failed < 2).then_some(Duration::ZERO))), (20, 20));
        let none = Pipeline::extract(0..20u64).try_map(|_| Err::<u64, _>("no")).on_error(OnError::skip().at_most(0));
        assert_eq!(none.count().run().unwrap_err().stage_name(), Some("try_map"));
    });
}

#[test]
fn times_that_are_absurd_end_the_run_at_once_or_never() {
    within("absurd times", || {
        let all = || Pipeline::extract(0..1_000u64).ordered();
        let whole = |pipeline: Result<Report<Vec<u64>>, gristmill::Error>| {
            let report = pipeline.unwrap();
            assert_balanced(&report);
            assert_eq!(report.output.len(), 1_000);
        };
        let error = Pipeline::extract(0u64..).run_deadline(Duration::ZERO).count().run().unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_balanced(error.report().unwrap());
        whole(all().run_deadline(Duration::MAX).drain_deadline(Duration::MAX).collect().run());
        whole(all().watchdog(Watchdog::after(Duration::MAX, |_| panic!("it has not been so long"))).collect().run());
        whole(all().flush_interval(Duration::from_nanos(1)).collect().run());
        whole(all().batch_within(3, Duration::ZERO).unbatch().collect().run());
        whole(all().batch_bytes(Bytes::new(1)).unbatch().collect().run());
        let token = CancelToken::new();
        token.drain();
        let endless = Pipeline::extract(0u64..).cancel_token(&token).drain_deadline(Duration::MAX).count().run();
        assert!(endless.unwrap().drained);
        let stuck = |_| Err::<(), _>("down");
        let store = all().run_deadline(SHORT).store(store::from_fn(stuck)).retry(Retry::constant(2, Duration::MAX));
        let error = store.run().unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn checkpoints_are_kept_however_seldom_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    for (number, every) in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX].into_iter().enumerate() {
        let run = || {
            let checkpoint = Checkpoint::file(folder.path().join(number.to_string())).every(every);
            let run = Pipeline::extract(0..500u64).checkpoint(checkpoint).store(Vec::new()).run().unwrap();
            assert_balanced(&run);
            (run.resumed_at, run.totals().stored)
        };
        assert_eq!([run(), run()], [(None, 500), (Some(500), 0)], "{every:?}");
    }
}

#[test]
fn a_source_that_is_wrong_about_its_size_gives_all_it_has() {
    /// Says anything about how many items are left.
    struct Boasts(std::ops::Range<u64>, (usize, Option<usize>));

    impl Iterator for Boasts {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            self.1
        }
    }

    for hint in [(0, Some(0)), (usize::MAX, Some(usize::MAX)), (usize::MAX, None), (7, Some(3))] {
        let report = Pipeline::extract(Boasts(0..3_000, hint)).flat_map(|item| Boasts(item..item + 2, hint));
        let report = report.ordered().collect::<Vec<_>>().run().unwrap();
        assert_balanced(&report);
        assert_eq!(report.output.len(), 6_000, "{hint:?}");
    }
}

#[test]
fn an_intake_that_may_hold_everything_sheds_nothing() {
    let items = source::waiting(0..3_000u64);
    let report = Pipeline::extract(items).shed(Shed::newest().holding(usize::MAX)).count().run().unwrap();
    assert_eq!((report.output, report.totals().shed), (3_000, 0));
}
