//! The report tells what happened, and what held it back.

use crate::support::{assert_balanced, in_a_quiet_moment, pool, slowness, within};
use gristmill::prelude::*;
use gristmill::{source, store};
use std::time::Duration;

fn nap(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis) * slowness());
}

#[test]
fn the_verdict_names_a_slow_source() {
    let items = || (0..40u64).inspect(|_| nap(2));
    in_a_quiet_moment(|| {
        let pulled = Pipeline::extract(items()).map(|item| item).count().run().unwrap();
        let waiting = Pipeline::extract(source::waiting(items())).map(|item| item).count().run().unwrap();
        for report in [pulled, waiting] {
            if report.verdict().stage.as_deref() != Some("extract") {
                return Err(report.to_string());
            }
        }
        Ok(())
    });
}

#[test]
fn the_verdict_names_a_slow_transform_and_a_slow_store() {
    let pool = pool(2);
    in_a_quiet_moment(|| {
        let slow = Pipeline::extract(0..60u64).pool(&pool).map(|item| item).inspect(|_| nap(2)).named("slow");
        let report = slow.workers(1).count().run().unwrap();
        let verdict = report.verdict();
        // Fused with `map`, which leads.
        let is_named = verdict.stage.as_deref() == Some("map") && verdict.advice.contains("slow");
        if is_named { Ok(()) } else { Err(report.to_string()) }
    });

    let keep = |_: u64| {
        nap(2);
        Ok::<(), String>(())
    };
    in_a_quiet_moment(|| {
        let store = store::from_fn(keep);
        let report = Pipeline::extract(0..60u64).pool(&pool).map(|item| item).store(store).named("disk").run().unwrap();
        let verdict = report.verdict();
        let is_named = verdict.stage.as_deref() == Some("disk") && verdict.advice.contains("store");
        if is_named && verdict.utilization > 0.8 { Ok(()) } else { Err(report.to_string()) }
    });
}

#[test]
fn the_verdict_asks_for_more_threads_where_they_wait() {
    let lookup = |item| {
        nap(2);
        item
    };
    in_a_quiet_moment(|| {
        let report = Pipeline::extract(0..200u64).map_blocking(8, lookup).named("lookup").count().run().unwrap();
        let verdict = report.verdict();
        let is_named = verdict.stage.as_deref() == Some("lookup") && verdict.advice.contains("threads");
        let by_four = Duration::from_millis(200) * slowness();
        let is_shared = verdict.utilization > 0.7 && report.elapsed < by_four;
        if is_named && is_shared { Ok(()) } else { Err(report.to_string()) }
    });
}

#[test]
fn the_table_is_aligned_and_says_what_happened() {
    let report = Pipeline::extract(0..1_000u64)
        .filter(|item| item % 2 == 0)
        .try_map(|item| if item == 10 { Err("ten") } else { Ok(item) })
        .on_error(OnError::skip())
        .named("check")
        .batch(100)
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    assert_balanced(&report);
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("stage"), "{text}");
    let widths: Vec<usize> = lines[..6].iter().map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    assert!(text.contains("└ check"), "{text}");
    assert!(text.contains("1,000 extracted = 5 stored + 494 combined + 500 filtered + 1 skipped"), "{text}");
    assert_eq!(report.stage("check").map(gristmill::StageReport::failed), Some(1));
}

#[test]
fn the_table_says_how_often_was_tried_and_where_the_run_went_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |fails: bool| {
        let tries = std::sync::atomic::AtomicU64::new(0);
        let count = || tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Pipeline::extract(0..1_200u64)
            .try_map(move |item| if fails && count() < 4 { Err("busy") } else { Ok(item) })
            .retry(Retry::constant(9, Duration::ZERO))
            .checkpoint(gristmill::Checkpoint::file(folder.path().join("checkpoint")))
            .store(store::from_fn(|_| Ok::<(), String>(())))
            .run()
            .unwrap()
    };
    let (first, second) = (run(true).to_string(), run(false).to_string());
    assert!(first.contains("1,200 extracted = 1,200 stored, after 4 retries") && !first.contains("resumed"), "{first}");
    assert!(second.contains("resumed after 1,200 items of the source"), "{second}");
}

#[test]
fn a_run_can_be_watched_from_another_thread() {
    within("monitor", || {
        let monitor = Monitor::new();
        assert!(monitor.snapshot().is_none());
        let watched = monitor.clone();
        let token = CancelToken::new();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                Pipeline::extract(0u64..).monitor(&monitor).cancel_token(&token).map(|item| item).count().run()
            });
            let mut last = 0;
            let mut grew = 0;
            while grew < 5 {
                let now = watched.snapshot().map_or(0, |report| report.totals().extracted);
                assert!(now >= last);
                grew += u32::from(now > last);
                last = now;
            }
            token.cancel();
            assert!(run.join().unwrap().is_err());
        });
        assert!(watched.snapshot().unwrap().totals().balance());
    });
}

#[test]
fn latency_is_measured_from_the_source() {
    let report = Pipeline::extract(0..50u64)
        .map_blocking(4, |item| {
            nap(4);
            item
        })
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    let [p50, p95, p99] = report.stage("collect").unwrap().latency;
    assert!(p50 >= Duration::from_millis(3) && p50 <= p95 && p95 <= p99, "{report}");
}

#[test]
fn no_stage_spends_more_time_than_its_workers_had() {
    let pool = pool(2);
    let double = |item: u64| item * 2;
    let pipeline = Pipeline::extract(source::waiting(0..3_000)).pool(&pool).map(double).map_blocking(2, double);
    let report = pipeline.store(store::from_fn(|_| Ok::<(), String>(()))).run().unwrap();
    for stage in &report.stages {
        let had = report.elapsed * stage.most_workers as u32;
        for (time, what) in [(stage.busy, "busy"), (stage.blocked, "blocked"), (stage.starved, "starved")] {
            assert!(time <= had, "`{}` was {what} for {time:?} of {had:?}", stage.name);
        }
    }
}

#[track_caller]
fn assert_time_was_there<O>(report: &Report<O>, what: &str) {
    for stage in &report.stages {
        let had = report.elapsed * stage.most_workers as u32;
        for (time, spent) in [(stage.busy, "busy"), (stage.blocked, "blocked"), (stage.starved, "starved")] {
            assert!(time <= had, "{what}: `{}` was {spent} for {time:?} of {had:?}", stage.name);
        }
    }
}

#[test]
fn no_stage_spends_more_time_than_there_was_whatever_the_source_and_the_end() {
    let pool = pool(2);
    let numbers = || Pipeline::extract(0..3_000u64).pool(&pool).morsel_items(20);
    let double = |item: u64| item * 2;
    assert_time_was_there(&numbers().map(double).count().run().unwrap(), "count");
    assert_time_was_there(&numbers().batch(7).for_each(drop).run().unwrap(), "for_each");
    assert_time_was_there(&numbers().map(double).ordered().collect::<Vec<_>>().run().unwrap(), "collect");
    let sum = numbers().fold(|| 0, |sum, item| *sum += item, |sum, other| *sum += other).run().unwrap();
    assert_time_was_there(&sum, "fold");
}
