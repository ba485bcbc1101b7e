//! At most one result for each item: `map`, `try_map`, `filter`, `filter_map`, `inspect`, and those with a state per
//! worker.

use super::{Fallback, Last, Operator, guarded, open_stage};
use crate::engine::{Context, Plan};
use crate::error::BoxError;
use crate::policy::{Cause, Policy};
use crate::report::{Kind, StageCell};
use crate::store::Outcome;
use std::fmt;

/// Makes at most one result of an item, or an error, with a state `S` for each worker.
pub struct Each<'env, T, U, E, S, F> {
    pub(super) call: F,
    init: Box<dyn Fn() -> Result<S, BoxError> + Send + Sync + 'env>,
    finish: Option<Box<dyn Fn(S, Outcome) + Send + Sync + 'env>>,
    pub(super) policy: Policy<'env, T, E>,
    /// Asked only by a stage that is guarded.
    pub(super) fallback: Option<Fallback<'env, T, U, E>>,
    /// Each result is two items further on.
    copies: bool,
}

impl<T, U, E, S, F> fmt::Debug for Each<'_, T, U, E, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Each").field(&self.policy.stage()).finish()
    }
}

impl<'env, T, U, E, F> Each<'env, T, U, E, (), F> {
    pub(crate) fn new(name: String, call: F) -> Self {
        Each::with_state(name, || Ok(()), call)
    }
}

impl<'env, T, U, E, S, F> Each<'env, T, U, E, S, F> {
    pub(crate) fn with_state(
        name: String,
        init: impl Fn() -> Result<S, BoxError> + Send + Sync + 'env,
        call: F,
    ) -> Self {
        Each { call, init: Box::new(init), finish: None, policy: Policy::new(name), fallback: None, copies: false }
    }

    pub(crate) fn on_finish(&mut self, finish: impl Fn(S, Outcome) + Send + Sync + 'env) {
        self.finish = Some(Box::new(finish));
    }

    /// Counts each result as two, as a fork makes two of it.
    pub(crate) fn copying(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Whether an attempt may have to wait.
    pub(crate) fn may_wait(&self) -> bool {
        self.policy.may_wait()
    }

    /// Deals with what an attempt made.
    #[inline]
    pub(super) fn pass_on<Emit: FnMut(&mut Context<'_>, U)>(
        &self,
        cx: &mut Context<'_>,
        made: Option<U>,
        emit: &mut Emit,
    ) {
        match made {
            Some(made) => {
                if self.copies {
                    cx.tally(self.policy.at()).expanded += 1;
                }
                emit(cx, made);
            }
            None => cx.tally(self.policy.at()).filtered += 1,
        }
    }

    /// Uses a policy and a fallback that were set elsewhere.
    pub(crate) fn adopt(&mut self, policy: Policy<'env, T, E>, fallback: Option<Fallback<'env, T, U, E>>) {
        (self.policy, self.fallback) = (policy, fallback);
    }
}

/// What one worker keeps.
pub struct EachState<S, T> {
    pub(super) user: S,
    /// A copy of the item under way, if the policy wants one.
    pub(super) kept: Option<T>,
}

impl<S, T> fmt::Debug for EachState<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EachState")
    }
}

impl<'env, T, U, E, S, F> Operator<'env, T> for Each<'env, T, U, E, S, F>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Send + 'env,
    F: Fn(&mut S, T) -> Result<Option<U>, E> + Send + Sync + 'env,
{
    type Out = U;
    type State = EachState<S, T>;
    type Waiting = ();

    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>) {
        open_stage(&mut self.policy, Kind::Transform, plan, stages);
    }

    fn state(&self) -> Result<Self::State, crate::Error> {
        match (self.init)() {
            Ok(user) => Ok(EachState { user, kept: None }),
            Err(error) => Err(crate::Error::stage(self.policy.stage(), "make the state of a worker", error)),
        }
    }

    #[inline]
    fn push<Emit>(&self, state: &mut Self::State, cx: &mut Context<'_>, item: T, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let at = self.policy.at();
        let result = guarded(cx, at, || {
            let item = self.policy.keep(&mut state.kept, item);
            (self.call)(&mut state.user, item)
        });
        match result {
            Ok(made) => self.pass_on(cx, made, emit),
            Err(error) => self.policy.fail(cx, state.kept.take(), Cause::Error(error), 1),
        }
    }

    #[inline]
    fn resume<Emit>(&self, _: &mut Self::State, _: &mut Context<'_>, _: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
    }

    fn recover(&self, state: &mut Self::State, cx: &mut Context<'_>, at: usize, message: &str) {
        if at == self.policy.at() {
            self.policy.fail(cx, state.kept.take(), Cause::Panic(message.to_owned()), 1);
        }
    }

    fn close(&self, state: Self::State, outcome: Outcome) {
        if let Some(finish) = &self.finish {
            finish(state.user, outcome);
        }
    }

    fn parts(&self) -> u64 {
        1 + u64::from(self.copies)
    }
}

impl<'env, T, U, E, S, F> Last<'env> for Each<'env, T, U, E, S, F> {
    type Failed = T;
    type Error = E;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, T, E>)) {
        change(&mut self.policy);
    }
}
