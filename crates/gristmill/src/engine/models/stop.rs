//! A token that is used while a source asks for it.

use super::super::shared::Shared;
use crate::cancel::CancelToken;
use loom::thread;
use std::sync::Arc;

/// A source that is ended by a cancellation, not by a drain, leaves a run that is stopped: it does not return `Ok`.
#[test]
fn a_cancellation_is_not_taken_for_a_drain() {
    loom::model(|| {
        let token = CancelToken::new();
        let shared = Arc::new(Shared::small(token.clone()));
        // It goes on.
        shared.open_end();
        let canceller = thread::spawn(move || token.cancel());
        if shared.is_draining() {
            assert!(shared.is_stopped(), "the source ends, and the run goes on");
        }
        canceller.join().unwrap();
    });
}

/// The same of a run that drains already: it ends well, or it is stopped.
#[test]
fn a_drain_that_is_cancelled_still_ends_its_source() {
    loom::model(|| {
        let token = CancelToken::new();
        token.drain();
        let shared = Arc::new(Shared::small(token.clone()));
        // It goes on.
        shared.open_end();
        let canceller = thread::spawn(move || token.cancel());
        assert!(shared.is_draining());
        canceller.join().unwrap();
        assert!(shared.is_draining() && shared.is_stopped());
    });
}
