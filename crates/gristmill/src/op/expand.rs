//! Any number of results for each item: `flat_map`, `try_flat_map`, `unbatch`.

use super::{Last, Operator, guarded, open_stage};
use crate::engine::{Context, Plan};
use crate::error::BoxError;
use crate::policy::{Cause, Policy};
use crate::report::{Kind, StageCell};
use crate::store::Outcome;
use std::fmt;
use std::marker::PhantomData;

/// Makes any number of results of an item; each may be an error.
pub struct Expand<'env, T, U, E, I, F> {
    call: F,
    policy: Policy<'env, T, E>,
    makes: PhantomData<fn() -> (I, U)>,
}

impl<T, U, E, I, F> fmt::Debug for Expand<'_, T, U, E, I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expand").field(&self.policy.stage()).finish()
    }
}

impl<T, U, E, I, F> Expand<'_, T, U, E, I, F> {
    pub(crate) fn new(name: String, call: F) -> Self {
        Expand { call, policy: Policy::new(name), makes: PhantomData }
    }
}

/// An expansion under way; it lives outside the unwinding loop, so that a panic further down the chain does not take the
/// rest of it along.
pub struct ExpandState<I, T> {
    rest: Option<I>,
    /// Results so far, failed ones included.
    results: u64,
    /// Panics since the last result.
    panics: u32,
    kept: Option<T>,
}

/// An iterator that panics so often in a row will not get any further.
const MOST_PANICS: u32 = 1_000;

impl<I, T> fmt::Debug for ExpandState<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpandState")
    }
}

impl<'env, T, U, E, I, F> Operator<'env, T> for Expand<'env, T, U, E, I, F>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    I: Iterator<Item = Result<U, E>> + Send + 'env,
    F: Fn(T) -> I + Send + Sync + 'env,
{
    type Out = U;
    type State = ExpandState<I, T>;
    type Waiting = ();

    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>) {
        open_stage(&mut self.policy, Kind::Transform, plan, stages);
    }

    fn state(&self) -> Result<Self::State, crate::Error> {
        Ok(ExpandState { rest: None, results: 0, panics: 0, kept: None })
    }

    #[inline]
    fn push<Emit>(&self, state: &mut Self::State, cx: &mut Context<'_>, item: T, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let rest = guarded(cx, self.policy.at(), || (self.call)(self.policy.keep(&mut state.kept, item)));
        state.rest = Some(rest);
        (state.results, state.panics) = (0, 0);
        self.resume(state, cx, emit);
    }

    #[inline]
    fn resume<Emit>(&self, state: &mut Self::State, cx: &mut Context<'_>, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let at = self.policy.at();
        let Some(rest) = &mut state.rest else { return };
        while let Some(result) = guarded(cx, at, || rest.next()) {
            // The first result takes the place of the item; each further one is an item more.
            cx.tally(at).expanded += u64::from(state.results > 0);
            state.results += 1;
            state.panics = 0;
            match result {
                Ok(made) => emit(cx, made),
                Err(error) => self.policy.fail(
                    cx,
                    state.kept.as_ref().and_then(|kept| self.policy.copy(kept)),
                    Cause::Error(error),
                    1,
                ),
            }
            if cx.is_stopped() {
                break;
            }
        }
        if state.results == 0 {
            cx.tally(at).filtered += 1;
        }
        state.rest = None;
        state.kept = None;
    }

    fn recover(&self, state: &mut Self::State, cx: &mut Context<'_>, at: usize, message: &str) {
        if at != self.policy.at() {
            return;
        }
        if state.rest.is_none() {
            // The call panicked: the item is the failure.
            self.policy.fail(cx, state.kept.take(), Cause::Panic(message.to_owned()), 1);
            return;
        }
        // Its iterator panicked: that result is the failure, and there may be others.
        self.policy.fail(
            cx,
            state.kept.as_ref().and_then(|kept| self.policy.copy(kept)),
            Cause::Panic(message.to_owned()),
            1,
        );
        cx.tally(at).expanded += u64::from(state.results > 0);
        state.results += 1;
        state.panics += 1;
        if state.panics >= MOST_PANICS || cx.is_stopped() {
            state.rest = None;
        }
    }

    fn close(&self, _: Self::State, _: Outcome) {}
}

impl<'env, T, U, E, I, F> Last<'env> for Expand<'env, T, U, E, I, F> {
    type Failed = T;
    type Error = E;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, T, E>)) {
        change(&mut self.policy);
    }
}
