//! Order is a choice: none, the source's, or that of each key.

use crate::support::{Event, assert_balanced, hash, pool, within};
use gristmill::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

#[test]
fn source_order_survives_stages_of_uneven_speed() {
    within("uneven speed", || {
        for threads in [1, 2, 8] {
            let pool = pool(threads);
            let report = Pipeline::extract(0..400u64)
                .pool(&pool)
                .map(|item| {
                    if hash(item) % 20 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    item
                })
                .map_blocking(4, |item| {
                    if hash((item, 1)) % 20 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    item
                })
                .ordered()
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert!(report.output.iter().copied().eq(0..400), "{threads} threads");
        }
    });
}

#[test]
fn each_key_keeps_its_order_and_others_overtake() {
    within("order by key", || {
        let pool = pool(4);
        for morsel in [1, 3] {
            let (mut stored, overtaken) = (Vec::new(), Event::default());
            let report = Pipeline::extract((0..600u64).map(|item| (hash(item) % 40, item)))
                .ordered_by_key(|(key, _)| *key)
                .pool(&pool)
                .morsel_items(morsel)
                .map_blocking(4, |(key, item)| {
                    if item == 0 {
                        overtaken.wait();
                    }
                    (key, item)
                })
                .for_each(|pair| {
                    stored.push(pair);
                    overtaken.happens();
                })
                .run()
                .unwrap();
            assert_balanced(&report);
            let mut last: HashMap<u64, u64> = HashMap::new();
            for (key, item) in &stored {
                if let Some(before) = last.insert(*key, *item) {
                    assert!(before < *item, "key {key}: {item} came after {before}");
                }
            }
            assert_eq!(stored.len(), 600);
            assert_ne!(stored[0].1, 0, "nothing overtook the slow first item");
        }
    });
}

#[test]
fn batches_of_an_ordered_pipeline_are_cut_in_source_order() {
    let report = Pipeline::extract(0..1_000u64).ordered().batch(64).collect::<Vec<_>>().run().unwrap();
    assert!(report.output.concat().into_iter().eq(0..1_000));
    assert!(report.output[..15].iter().all(|batch| batch.len() == 64), "only the last batch may be smaller");
}

#[test]
fn an_iterator_yields_in_order_and_reports() {
    let mut iter = Pipeline::extract(0..50_000u64).map(|item| item * 2).ordered().into_iter();
    let items: Vec<u64> = iter.by_ref().map(Result::unwrap).collect();
    assert!(items.into_iter().eq((0..50_000).map(|item| item * 2)));
    let report = iter.report().expect("it has ended");
    assert_balanced(report);
    assert_eq!(report.totals().stored, 50_000);
}

#[test]
fn key_order_holds_across_batches() {
    within("keys and batches", || {
        for morsel in [1, 15] {
            let pool = pool(4);
            let report = Pipeline::extract(0..600u64)
                .ordered_by_key(|item| item % 10)
                .pool(&pool)
                .morsel_items(morsel)
                .map_blocking(3, |item| {
                    if hash(item) % 30 == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                    item
                })
                .batch(10)
                .map(|batch| {
                    if hash(&batch) % 5 == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                    batch
                })
                .unbatch()
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert_balanced(&report);
            for key in 0..10 {
                let of_key: Vec<u64> = report.output.iter().copied().filter(|item| item % 10 == key).collect();
                assert!(of_key.into_iter().eq((0..600).filter(|item| item % 10 == key)), "key {key}, morsel {morsel}");
            }
        }
    });
}
