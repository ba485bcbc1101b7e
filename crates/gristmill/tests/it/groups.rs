//! Groups: what a loop with a map gives, however they were merged.

use crate::support::{pool, within};
use gristmill::Groups;
use gristmill::prelude::*;
use std::collections::BTreeMap;

/// Few groups are merged on one thread, many are dealt out; so does one worker's alone, which is not merged at all.
const KEYS: [u64; 4] = [1, 10, 4_000, 40_000];

fn sums(keys: u64, threads: usize) -> Groups<u64, u64> {
    let pool = pool(threads);
    // Each key three times, far apart, so that several workers have it.
    let items = (0..3 * keys).map(move |item| (item % keys, item));
    let grouped = Pipeline::extract(items).pool(&pool).morsel_items(64).group_by(|(key, _)| *key);
    grouped.fold(|| 0, |sum, (_, item)| *sum += item, |sum, other| *sum += other).run().unwrap().output
}

#[test]
fn each_key_has_one_group_and_is_found_by_it() {
    within("groups", || {
        for keys in KEYS {
            for threads in [1, 3] {
                let groups = sums(keys, threads);
                let sum = |key| 3 * key + 3 * keys;
                assert_eq!((groups.len() as u64, groups.is_empty()), (keys, false));
                assert!((0..keys).all(|key| groups.get(&key) == Some(&sum(key))), "{keys} keys, {threads} threads");
                assert_eq!(groups.get(&keys), None);
                let listed: BTreeMap<u64, u64> = groups.iter().map(|(key, sum)| (*key, *sum)).collect();
                assert!(listed.iter().map(|(key, sum)| (*key, *sum)).eq((0..keys).map(|key| (key, sum(key)))));
                assert_eq!(groups.into_iter().collect::<BTreeMap<_, _>>(), listed);
            }
        }
        let none = Pipeline::extract(0..0u64).group_by(|item| *item).count().run().unwrap().output;
        assert!(none.is_empty() && none.get(&0).is_none() && none.iter().next().is_none());
    });
}

#[test]
fn a_group_is_reduced_with_all_of_its_items_and_no_others() {
    within("reduce by key", || {
        for keys in KEYS {
            let pool = pool(3);
            let grouped = Pipeline::extract(0..3 * keys).pool(&pool).morsel_items(64).group_by(|item| item % keys);
            let largest = grouped.reduce(u64::max).run().unwrap().output;
            assert_eq!(largest.len() as u64, keys);
            assert!(largest.iter().all(|(key, item)| *item == key + 2 * keys), "{keys} keys");

            let grouped = Pipeline::extract(0..3 * keys).pool(&pool).group_by(|item| item % keys);
            let counts = grouped.count().run().unwrap().output;
            assert!(counts.len() as u64 == keys && counts.iter().all(|(_, count)| *count == 3), "{keys} keys");
        }
    });
}
