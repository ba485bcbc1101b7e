//! Limits that are changed while they are used.

use crate::limit::{Bucket, ConcurrencyLimit};
use loom::thread;
use std::sync::Arc;

/// Whoever asks for a token while the rate is raised: nobody waits as long as the old rate would have it.
#[test]
fn a_rate_that_is_raised_while_tokens_are_taken_is_felt() {
    const INTERVAL: u64 = 1_000_000;
    const SHORT: u64 = 10;
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(INTERVAL, 1));
        assert!(bucket.try_take(0).is_ok());
        let asker = Arc::clone(&bucket);
        let asker = thread::spawn(move || asker.try_take(INTERVAL).is_ok());
        let setter = Arc::clone(&bucket);
        let setter = thread::spawn(move || setter.set_interval(SHORT));
        let _ = bucket.try_take(INTERVAL);
        asker.join().unwrap();
        setter.join().unwrap();
        if let Err(at) = bucket.try_take(INTERVAL) {
            assert!(at <= INTERVAL + 2 * SHORT, "the next token comes at {at}");
        }
    });
}

/// A limit that finds itself goes on from what was set, whenever that was.
#[test]
fn a_limit_that_is_set_is_not_undone_by_an_attempt_that_ends_meanwhile() {
    loom::model(|| {
        let limit = ConcurrencyLimit::adaptive(1..=100);
        limit.set_limit(20);
        let was_last = limit.try_enter().unwrap();
        let setter = limit.clone();
        let setter = thread::spawn(move || setter.set_limit(50));
        // It has failed: a tenth fewer.
        limit.leave(1, None, was_last);
        setter.join().unwrap();
        assert!([50, 45].contains(&limit.limit()), "{}", limit.limit());
    });
}
