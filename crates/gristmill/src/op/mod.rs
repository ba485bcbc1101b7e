//! Per-item operators, fused by generics.
//!
//! A chain of operators is one nested type. [`Operator::push`] takes one item and calls `emit` for each result, so the
//! compiler sees the whole chain as one loop body: no call through a pointer and no allocation between two operators.
//!
//! # Panics
//!
//! The loop that pushes items is inside one `catch_unwind` for the whole morsel. What it needs to go on lives outside:
//! the iterator over the items, and the operators' state. Each operator notes its number when a user's function unwinds
//! through it (a guard that costs nothing otherwise), so the loop knows whose item failed, lets that operator's policy
//! decide ([`Operator::recover`]), and goes on: first with what an interrupted expansion still has to give
//! ([`Operator::resume`]), then with the next item. So a panic costs one item, never its neighbours.

mod each;
mod expand;
mod guarded;
mod head;

pub use each::Each;
pub use expand::Expand;
pub use guarded::Guarded;
pub use head::{Extracted, Handle};
pub(crate) use head::{SharedPolicy, SharedShed};

use crate::engine::{Context, Head, Plan, Waiting};
use crate::policy::Policy;
use crate::report::{Kind, StageCell};
use crate::store::Outcome;
use crate::weight::Scale;

/// A chain of per-item operators. Sealed: what a pipeline's type is made of.
pub trait Operator<'env, In>: Send + Sync + Sized + 'env {
    /// What the chain makes of an item.
    type Out: Send + 'env;
    /// What one worker keeps between items.
    type State: Send + 'env;
    /// What the chain holds aside of a morsel; see [`engine::aside`](crate::engine).
    #[doc(hidden)]
    type Waiting: Waiting + 'env;
    /// Whether the chain ever puts anything aside.
    #[doc(hidden)]
    const DEFERS: bool = false;

    /// Gets ready to run: adds its stages to those of the segment.
    #[doc(hidden)]
    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>);

    /// The state of a new worker.
    #[doc(hidden)]
    fn state(&self) -> Result<Self::State, crate::Error>;

    /// Processes one item.
    #[doc(hidden)]
    fn push<E>(&self, state: &mut Self::State, cx: &mut Context<'_>, item: In, emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out);

    /// Goes on with what a panic interrupted.
    #[doc(hidden)]
    fn resume<E>(&self, state: &mut Self::State, cx: &mut Context<'_>, emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out);

    /// Deals with a panic in the operator at place `at` of the segment.
    #[doc(hidden)]
    fn recover(&self, state: &mut Self::State, cx: &mut Context<'_>, at: usize, message: &str);

    /// Ends a worker's state.
    #[doc(hidden)]
    fn close(&self, state: Self::State, outcome: Outcome);

    /// Tries what was put aside and is due at `now`. To be called again after a panic.
    #[doc(hidden)]
    #[inline]
    fn take_up<E>(&self, _state: &mut Self::State, _cx: &mut Context<'_>, _now: u64, _emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out),
    {
    }

    /// Whether something of what is put aside waits for a place that is free now.
    #[doc(hidden)]
    #[inline]
    fn may_enter(&self, _waiting: &Self::Waiting) -> bool {
        false
    }

    /// How many attempts could begin now, about.
    #[doc(hidden)]
    #[inline]
    fn room(&self, _now: u64) -> usize {
        usize::MAX
    }

    /// Moves what is put aside out of a worker's state.
    #[doc(hidden)]
    #[inline]
    fn take_waiting(&self, _state: &mut Self::State) -> Self::Waiting {
        Self::Waiting::default()
    }

    /// Moves what is put aside into a worker's state.
    #[doc(hidden)]
    #[inline]
    fn put_waiting(&self, _state: &mut Self::State, _waiting: Self::Waiting) {}

    /// How many items a result of the chain counts as: more than one if a fork takes it apart.
    #[doc(hidden)]
    fn parts(&self) -> u64 {
        1
    }

    /// Whether `In` is passed through unchanged, so that the segment can be left out: then the head itself is it.
    #[doc(hidden)]
    fn bypass(self, head: Head<'env, In>) -> Result<Head<'env, Self::Out>, (Self, Head<'env, In>)> {
        Err((self, head))
    }

    /// The scale for the chain's input, if a scale for its output is also one for that.
    #[doc(hidden)]
    fn input_scale(&self, _output: &Scale<'env, Self::Out>) -> Option<Scale<'env, In>> {
        None
    }
}

/// The last stage of a chain: what `named` and `on_error` speak of. Sealed.
pub trait Last<'env> {
    /// What fails: the item as it enters the stage.
    type Failed;
    /// What it fails with.
    type Error;

    #[doc(hidden)]
    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, Self::Failed, Self::Error>));
}

/// What answers for a stage's function while a breaker lets no attempt begin.
pub(crate) type Fallback<'env, T, U, E> = Box<dyn Fn(T) -> Result<U, E> + Send + Sync + 'env>;

/// The fallback of the last stage of a chain.
type FallbackOf<'env, In, Op> =
    Fallback<'env, <Op as Last<'env>>::Failed, <Op as Operator<'env, In>>::Out, <Op as Last<'env>>::Error>;

/// A stage whose attempts may be made to wait: what `retry` speaks of. Sealed.
pub trait Guard<'env, In>: Operator<'env, In> + Last<'env> {
    /// The same stage, able to wait.
    type Guarded: Guard<'env, In, Out = Self::Out, Guarded = Self::Guarded>
        + Last<'env, Failed = <Self as Last<'env>>::Failed, Error = <Self as Last<'env>>::Error>;

    #[doc(hidden)]
    fn guard(self) -> Self::Guarded;

    /// Gives the stage a fallback, for when its breaker is open.
    #[doc(hidden)]
    fn set_fallback(&mut self, fallback: FallbackOf<'env, In, Self>);
}

impl<'env, In, A, B> Guard<'env, In> for Then<A, B>
where
    A: Operator<'env, In>,
    B: Guard<'env, A::Out>,
{
    type Guarded = Then<A, B::Guarded>;

    fn guard(self) -> Self::Guarded {
        Then { first: self.first, second: self.second.guard() }
    }

    fn set_fallback(&mut self, fallback: FallbackOf<'env, In, Self>) {
        self.second.set_fallback(fallback);
    }
}

/// One operator after another.
#[derive(Debug)]
pub struct Then<A, B> {
    first: A,
    second: B,
}

impl<A, B> Then<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        Then { first, second }
    }

    pub(crate) fn second_mut(&mut self) -> &mut B {
        &mut self.second
    }
}

impl<'env, In, A, B> Operator<'env, In> for Then<A, B>
where
    A: Operator<'env, In>,
    B: Operator<'env, A::Out>,
{
    type Out = B::Out;
    type State = (A::State, B::State);
    type Waiting = (A::Waiting, B::Waiting);
    const DEFERS: bool = A::DEFERS || B::DEFERS;

    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>) {
        self.first.open(plan, stages);
        self.second.open(plan, stages);
    }

    fn state(&self) -> Result<Self::State, crate::Error> {
        Ok((self.first.state()?, self.second.state()?))
    }

    #[inline]
    fn push<E>(&self, state: &mut Self::State, cx: &mut Context<'_>, item: In, emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out),
    {
        let (first, second) = state;
        self.first.push(first, cx, item, &mut |cx, item| self.second.push(second, cx, item, emit));
    }

    fn resume<E>(&self, state: &mut Self::State, cx: &mut Context<'_>, emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out),
    {
        let (first, second) = state;
        self.second.resume(second, cx, emit);
        self.first.resume(first, cx, &mut |cx, item| self.second.push(second, cx, item, emit));
    }

    fn recover(&self, state: &mut Self::State, cx: &mut Context<'_>, at: usize, message: &str) {
        self.first.recover(&mut state.0, cx, at, message);
        self.second.recover(&mut state.1, cx, at, message);
    }

    fn close(&self, state: Self::State, outcome: Outcome) {
        self.first.close(state.0, outcome);
        self.second.close(state.1, outcome);
    }

    fn parts(&self) -> u64 {
        self.second.parts()
    }

    fn take_up<E>(&self, state: &mut Self::State, cx: &mut Context<'_>, now: u64, emit: &mut E)
    where
        E: FnMut(&mut Context<'_>, Self::Out),
    {
        let (first, second) = state;
        self.second.take_up(second, cx, now, emit);
        self.first.take_up(first, cx, now, &mut |cx, item| self.second.push(second, cx, item, emit));
    }

    fn may_enter(&self, (first, second): &Self::Waiting) -> bool {
        self.second.may_enter(second) || self.first.may_enter(first)
    }

    fn take_waiting(&self, state: &mut Self::State) -> Self::Waiting {
        (self.first.take_waiting(&mut state.0), self.second.take_waiting(&mut state.1))
    }

    fn put_waiting(&self, state: &mut Self::State, (first, second): Self::Waiting) {
        self.first.put_waiting(&mut state.0, first);
        self.second.put_waiting(&mut state.1, second);
    }
}

impl<'env, A, B: Last<'env>> Last<'env> for Then<A, B> {
    type Failed = B::Failed;
    type Error = B::Error;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, B::Failed, B::Error>)) {
        self.second.with_policy(change);
    }
}

/// Opens a stage of a segment: its policy and its counters.
fn open_stage<'env, T, E>(
    policy: &mut Policy<'env, T, E>,
    kind: Kind,
    plan: &mut Plan<'env>,
    stages: &mut Vec<StageCell>,
) {
    policy.open(plan, stages.len());
    stages.push(StageCell::new(policy.stage().to_owned(), kind, 0, 0));
}

/// Runs a user's function and notes in the context whose it was if it unwinds.
#[inline(always)]
fn guarded<R>(cx: &Context<'_>, at: usize, call: impl FnOnce() -> R) -> R {
    struct OnUnwind<'a>(&'a std::cell::Cell<usize>, usize);
    impl Drop for OnUnwind<'_> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let guard = OnUnwind(cx.panicked(), at);
    let result = call();
    std::mem::forget(guard);
    result
}
