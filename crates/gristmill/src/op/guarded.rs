//! An operator whose attempts may have to wait: what `retry`, a limit or a deadline makes of [`Each`].
//!
//! Around one attempt stand, in this order: deadline, breaker, limits ([`guards`](crate::guards)); then retry; then the
//! policy. An item that is not let in stands in line, and those after it stand behind. Retries stand in line, too. While the
//! breaker is open a stage with a fallback asks that, once: what it makes goes on, and what it fails with is for the policy.
//!
//! It is a type of its own, so that a stage without it pays nothing. How waiting works is in
//! [`engine::aside`](crate::engine).

use super::each::EachState;
use super::{Each, Fallback, Guard, Last, Operator, guarded};
use crate::engine::{Aside, Context, Entry, Hole, Plan};
use crate::error::BoxError;
use crate::guards::{Pass, Refusal, with_attempt};
use crate::policy::{Cause, Policy};
use crate::report::StageCell;
use crate::store::Outcome;
use std::time::Duration;

/// An operator that tries again.
#[derive(Debug)]
pub struct Guarded<Op> {
    each: Op,
}

impl<Op> Guarded<Op> {
    pub(crate) fn new(each: Op) -> Self {
        Guarded { each }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Op {
        &mut self.each
    }
}

/// What one worker keeps.
#[derive(Debug)]
pub struct GuardedState<S, T> {
    each: EachState<S, T>,
    aside: Aside<T>,
    /// The attempt under way, and the hole that its item has, if it was put aside before.
    attempt: u32,
    hole: Hole,
    /// It is the fallback that is asked.
    falls_back: bool,
}

impl<'env, T, U, E, S, F> Guarded<Each<'env, T, U, E, S, F>>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Send + 'env,
    F: Fn(&mut S, T) -> Result<Option<U>, E> + Send + Sync + 'env,
{
    #[inline]
    fn attempt<Emit>(
        &self,
        state: &mut GuardedState<S, T>,
        cx: &mut Context<'_>,
        item: T,
        pass: Pass<'_>,
        emit: &mut Emit,
    ) where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let policy = &self.each.policy;
        let attempt = state.attempt;
        let each = &mut state.each;
        let result = guarded(cx, policy.at(), || {
            let pass = pass;
            policy.keep_for(&mut each.kept, &item, attempt);
            let result = with_attempt(attempt, &policy.guards, || (self.each.call)(&mut each.user, item));
            match pass.settle(result.is_ok(), || cx.time()) {
                None => result.map_err(Cause::Error),
                Some(limit) => Err(Cause::TimedOut(limit)),
            }
        });
        match result {
            Ok(made) => self.each.pass_on(cx, made, emit),
            Err(cause) => self.failed(state, cx, cause),
        }
    }

    /// Puts the first in line back, or deals with an item that is not let in at all. Says whether others may ask.
    #[cold]
    fn refused<Emit>(
        &self,
        state: &mut GuardedState<S, T>,
        cx: &mut Context<'_>,
        entry: Entry<T>,
        refusal: Refusal,
        emit: &mut Emit,
    ) -> bool
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let tally = cx.tally(self.each.policy.at());
        match refusal {
            Refusal::Until(at) => {
                tally.aside += 1;
                state.aside.stand_first(cx.in_run(at), entry);
                false
            }
            Refusal::Full => {
                tally.aside += 1;
                state.aside.stand_for_place(self.each.policy.guards.line_up(), entry);
                false
            }
            Refusal::Open => {
                match &self.each.fallback {
                    Some(fallback) => self.fall_back(state, cx, entry, fallback, emit),
                    None => self.each.policy.fail(cx, Some(entry.item), Cause::Refused, entry.attempt),
                }
                true
            }
        }
    }

    /// Lets the fallback answer.
    fn fall_back<Emit>(
        &self,
        state: &mut GuardedState<S, T>,
        cx: &mut Context<'_>,
        entry: Entry<T>,
        fallback: &Fallback<'env, T, U, E>,
        emit: &mut Emit,
    ) where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let policy = &self.each.policy;
        let Entry { item, attempt, .. } = entry;
        // Should it unwind, `recover` must know whose panic that is, and have no copy of another item.
        (state.attempt, state.falls_back) = (attempt, true);
        let kept = &mut state.each.kept;
        let made = guarded(cx, policy.at(), || {
            drop(kept.take());
            *kept = policy.copy(&item);
            fallback(item)
        });
        state.falls_back = false;
        match made {
            Ok(made) => {
                cx.tally(policy.at()).fell_back += 1;
                self.each.pass_on(cx, Some(made), emit);
            }
            Err(error) => policy.fail(cx, state.each.kept.take(), Cause::Error(error), attempt),
        }
    }

    /// Puts the item aside for another attempt, or lets the policy decide.
    #[cold]
    fn failed(&self, state: &mut GuardedState<S, T>, cx: &mut Context<'_>, cause: Cause<E>) {
        let policy = &self.each.policy;
        // The copy stays where it is while a user's closures are asked, as they may unwind.
        let wait = match state.each.kept {
            Some(_) => guarded(cx, policy.at(), || policy.wait_after(state.attempt, &cause, cx.random())),
            None => None,
        };
        match (wait, state.each.kept.take()) {
            (Some(wait), Some(item)) => {
                let due = cx.now().saturating_add(nanos(wait)).saturating_add(1);
                let hole = if state.hole == Hole::NONE { cx.open_hole() } else { state.hole };
                let entry = Entry { item, attempt: state.attempt + 1, index: cx.index(), hole };
                state.aside.put_until(due, entry);
                cx.tally(policy.at()).aside += 1;
                // The cause is dropped last, as that is a user's code: the item is where it belongs already.
            }
            (_, item) => policy.fail(cx, item, cause, state.attempt),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<'env, T, U, E, S, F> Operator<'env, T> for Guarded<Each<'env, T, U, E, S, F>>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Send + 'env,
    F: Fn(&mut S, T) -> Result<Option<U>, E> + Send + Sync + 'env,
{
    type Out = U;
    type State = GuardedState<S, T>;
    type Waiting = Aside<T>;
    const DEFERS: bool = true;

    fn open(&mut self, plan: &mut Plan<'env>, stages: &mut Vec<StageCell>) {
        self.each.open(plan, stages);
    }

    fn state(&self) -> Result<Self::State, crate::Error> {
        let each = self.each.state()?;
        Ok(GuardedState { each, aside: Aside::default(), attempt: 1, hole: Hole::NONE, falls_back: false })
    }

    #[inline]
    fn push<Emit>(&self, state: &mut Self::State, cx: &mut Context<'_>, item: T, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        (state.attempt, state.hole) = (1, Hole::NONE);
        let policy = &self.each.policy;
        policy.entered();
        if state.aside.has_line() {
            let hole = cx.open_hole();
            cx.tally(policy.at()).aside += 1;
            state.aside.stand_behind(Entry { item, attempt: 1, index: cx.index(), hole });
            return;
        }
        match policy.guards.admit(|| (cx.time(), cx.waited_since())) {
            Ok(pass) => self.attempt(state, cx, item, pass, emit),
            Err(refusal) => {
                let hole = if refusal == Refusal::Open { Hole::NONE } else { cx.open_hole() };
                self.refused(state, cx, Entry { item, attempt: 1, index: cx.index(), hole }, refusal, emit);
            }
        }
    }

    #[inline]
    fn resume<Emit>(&self, _: &mut Self::State, _: &mut Context<'_>, _: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
    }

    fn recover(&self, state: &mut Self::State, cx: &mut Context<'_>, at: usize, message: &str) {
        let policy = &self.each.policy;
        if at != policy.at() {
            return;
        }
        let cause = Cause::Panic(message.to_owned());
        if std::mem::take(&mut state.falls_back) {
            policy.fail(cx, state.each.kept.take(), cause, state.attempt);
        } else {
            self.failed(state, cx, cause);
        }
    }

    fn close(&self, state: Self::State, outcome: Outcome) {
        self.each.close(state.each, outcome);
    }

    fn parts(&self) -> u64 {
        self.each.parts()
    }

    fn take_up<Emit>(&self, state: &mut Self::State, cx: &mut Context<'_>, now: u64, emit: &mut Emit)
    where
        Emit: FnMut(&mut Context<'_>, U),
    {
        let policy = &self.each.policy;
        state.aside.line_up(now);
        while !cx.is_stopped() {
            let Some(entry) = state.aside.next_in_line() else { return };
            let tally = cx.tally(policy.at());
            tally.resumed += 1;
            cx.take_up(entry.index, entry.hole);
            let since = state.aside.ask_at();
            match policy.guards.admit(|| (cx.time(), cx.in_process(since))) {
                Ok(pass) => {
                    state.aside.let_in();
                    (state.attempt, state.hole) = (entry.attempt, entry.hole);
                    cx.tally(policy.at()).retried += u64::from(entry.attempt > 1);
                    self.attempt(state, cx, entry.item, pass, emit);
                }
                Err(refusal) => {
                    if !self.refused(state, cx, entry, refusal, emit) {
                        return;
                    }
                }
            }
        }
    }

    fn may_enter(&self, waiting: &Aside<T>) -> bool {
        waiting.wants_place() && self.each.policy.guards.have_room()
    }

    fn room(&self, now: u64) -> usize {
        self.each.policy.guards.room(now)
    }

    fn take_waiting(&self, state: &mut Self::State) -> Aside<T> {
        std::mem::take(&mut state.aside)
    }

    fn put_waiting(&self, state: &mut Self::State, waiting: Aside<T>) {
        state.aside = waiting;
    }
}

impl<'env, T, U, E, S, F> Last<'env> for Guarded<Each<'env, T, U, E, S, F>> {
    type Failed = T;
    type Error = E;

    fn with_policy(&mut self, change: impl FnOnce(&mut Policy<'env, T, E>)) {
        self.each.with_policy(change);
    }
}

impl<'env, T, U, E, S, F> Guard<'env, T> for Guarded<Each<'env, T, U, E, S, F>>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Send + 'env,
    F: Fn(&mut S, T) -> Result<Option<U>, E> + Send + Sync + 'env,
{
    type Guarded = Self;

    fn guard(self) -> Self {
        self
    }

    fn set_fallback(&mut self, fallback: Fallback<'env, T, U, E>) {
        self.each.fallback = Some(fallback);
    }
}

impl<'env, T, U, E, S, F> Guard<'env, T> for Each<'env, T, U, E, S, F>
where
    T: Send + 'env,
    U: Send + 'env,
    E: Into<BoxError> + Send + 'env,
    S: Send + 'env,
    F: Fn(&mut S, T) -> Result<Option<U>, E> + Send + Sync + 'env,
{
    type Guarded = Guarded<Self>;

    fn guard(self) -> Guarded<Self> {
        Guarded::new(self)
    }

    fn set_fallback(&mut self, fallback: Fallback<'env, T, U, E>) {
        self.fallback = Some(fallback);
    }
}
