//! What a chain begins with: the items of a source, or of the stage before.

use super::{Fallback, Guard, Last, Operator, open_stage};
use crate::engine::{Context, Head, Plan};
use crate::error::BoxError;
use crate::policy::{Cause, Policy};
use crate::report::{Kind, StageCell};
use crate::shed::Shed;
use crate::store::Outcome;
use crate::weight::Scale;
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The extract stage: what a source yields, its failures dealt with.
pub struct Extracted<'env, T, E> {
    policy: Policy<'env, (), E>,
    shed: SharedShed<'env, T>,
}

/// What the source sheds, if that is asked for: it can be changed until the run takes it.
pub(crate) type SharedShed<'env, T> = Arc<Mutex<Option<Shed<'env, T>>>>;

impl<T, E> fmt::Debug for Extracted<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extracted").field(&self.policy.stage()).finish()
    }
}

impl<'env, T, E> Extracted<'env, T, E> {
    pub(crate) fn new(name: String, shed: SharedShed<'env, T>) -> Self {
        Extracted { policy: Policy::new(name), shed }
    }

    pub(crate) fn set_shed(&mut self, shed: Shed<'env, T>) {
        *self.shed.lock() = Some(shed);
    }
}

impl<'env, T, E> Operator<'env, Result<T, E>> for Extracted<'env, T, E>
where
    T: Send + 'env,
    E: Into<BoxError> + Send + 'env,
{
    type Out = T;
    type State = ();
    type Waiting = ();

    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>) {
        if let Some(shed) = &mut *self.shed.lock() {
            self.policy.stage().clone_into(&mut shed.stage);
        }
        open_stage(&mut self.policy, Kind::Extract, plan, stages);
    }

    fn state(&self) -> Result<(), crate::Error> {
        Ok(())
    }

    #[inline]
    fn push<Emit>(&self, (): &mut (), cx: &mut Context<'_>, item: Result<T, E>, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, T),
    {
        match item {
            Ok(item) => emit(cx, item),
            Err(error) => self.policy.fail(cx, None, Cause::Error(error), 1),
        }
    }

    #[inline]
    fn resume<Emit>(&self, (): &mut (), _: &mut Context<'_>, _: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, T),
    {
    }

    fn recover(&self, (): &mut (), _: &mut Context<'_>, _: usize, _: &str) {}

    fn close(&self, (): (), _: Outcome) {}

    fn input_scale(&self, output: &Scale<'env, T>) -> Option<Scale<'env, Result<T, E>>> {
        match output.clone() {
            Scale::Flat { exact } => Some(Scale::Flat { exact }),
            Scale::By(weigh) => Some(Scale::by(move |item: &Result<T, E>| item.as_ref().map_or(0, |item| weigh(item)))),
        }
    }
}

impl<'env, T, E> Last<'env> for Extracted<'env, T, E> {
    type Failed = ();
    type Error = E;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, (), E>)) {
        change(&mut self.policy);
    }
}

/// What follows a border: passes on the results of a stage that runs elsewhere. Where that stage can be named or given a
/// policy, `P` is the policy.
pub struct Handle<U, P> {
    policy: P,
    makes: PhantomData<fn() -> U>,
}

/// A policy that can be changed until the run takes it, and the fallback that goes with it.
pub(crate) type SharedPolicy<'env, T, U, E> = Arc<Remote<'env, T, U, E>>;

/// What is said of a stage that runs elsewhere.
pub struct Remote<'env, T, U, E> {
    policy: Mutex<Policy<'env, T, E>>,
    fallback: Mutex<Option<Fallback<'env, T, U, E>>>,
}

impl<'env, T, U, E> Remote<'env, T, U, E> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Policy<'env, T, E>> {
        self.policy.lock()
    }

    pub(crate) fn take_fallback(&self) -> Option<Fallback<'env, T, U, E>> {
        self.fallback.lock().take()
    }
}

impl<U, P> fmt::Debug for Handle<U, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl<U> Handle<U, ()> {
    /// The handle of a border that is no stage.
    pub(crate) fn border() -> Self {
        Handle { policy: (), makes: PhantomData }
    }
}

impl<'env, T, U, E> Handle<U, SharedPolicy<'env, T, U, E>> {
    /// The handle, and the policy that the stage takes when the run begins.
    pub(crate) fn stage(name: String) -> (Self, SharedPolicy<'env, T, U, E>) {
        let policy = Arc::new(Remote { policy: Mutex::new(Policy::new(name)), fallback: Mutex::new(None) });
        (Handle { policy: Arc::clone(&policy), makes: PhantomData }, policy)
    }
}

impl<'env, U, P> Operator<'env, U> for Handle<U, P>
where
    U: Send + 'env,
    P: Send + Sync + 'env,
{
    type Out = U;
    type State = ();
    type Waiting = ();

    fn open(&mut self, _: &mut Plan<'env>, _: &mut Vec<StageCell>) {}

    fn state(&self) -> Result<(), crate::Error> {
        Ok(())
    }

    #[inline]
    fn push<Emit>(&self, (): &mut (), cx: &mut Context<'_>, item: U, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        emit(cx, item);
    }

    #[inline]
    fn resume<Emit>(&self, (): &mut (), _: &mut Context<'_>, _: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
    }

    fn recover(&self, (): &mut (), _: &mut Context<'_>, _: usize, _: &str) {}

    fn close(&self, (): (), _: Outcome) {}

    fn bypass(self, head: Head<'env, U>) -> Result<Head<'env, U>, (Self, Head<'env, U>)> {
        Ok(head)
    }

    fn input_scale(&self, output: &Scale<'env, U>) -> Option<Scale<'env, U>> {
        Some(output.clone())
    }
}

impl<'env, T, U, E> Last<'env> for Handle<U, SharedPolicy<'env, T, U, E>> {
    type Failed = T;
    type Error = E;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, T, E>)) {
        change(&mut self.policy.lock());
    }
}

/// The stage that it speaks of learns of it when the run begins.
impl<'env, T, U, E> Guard<'env, U> for Handle<U, SharedPolicy<'env, T, U, E>>
where
    U: Send + 'env,
    Self: Operator<'env, U, Out = U> + Last<'env, Failed = T, Error = E>,
{
    type Guarded = Self;

    fn guard(self) -> Self {
        self
    }

    fn set_fallback(&mut self, fallback: Fallback<'env, T, U, E>) {
        *self.policy.fallback.lock() = Some(fallback);
    }
}
