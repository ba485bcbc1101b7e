//! Zero and absurd settings are errors that name the setting, or have a defined meaning.

use gristmill::prelude::*;
use std::time::Duration;

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
    refused(ten().flush_interval(Duration::ZERO).count().run(), "flush_interval");
    refused(ten().batch(0).count().run(), "batch");
    refused(ten().batch_bytes(Bytes::new(0)).count().run(), "batch");
    refused(ten().map_blocking(0, |item| item).count().run(), "map_blocking");
    refused(ten().map_blocking(1_000_000_000, |item| item).count().run(), "map_blocking");
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
