//! The builder: what a user chains.

mod end;
mod group;
mod iter;
mod run;
mod settings;

pub use end::{Collect, ForEach, Reduce, StoreEnd};
pub use group::{GroupBy, Groups};
pub use iter::IntoIter;
pub use run::{Run, Terminal};
pub use settings::Pool;
pub(crate) use settings::Settings;

use crate::breaker::Breaker;
use crate::cancel::CancelToken;
use crate::checkpoint::Checkpoint;
use crate::engine::{
    self, BatchLimits, Batcher, BlockingNode, Copies, Fork, Head, MergeInlet, Order, Segment, SegmentLayout, Serial,
    Splits,
};
use crate::error::{BoxError, Error};
use crate::limit::{ConcurrencyLimit, RateLimit};
use crate::monitor::Monitor;
use crate::op::{Each, Expand, Extracted, Guard, Guarded, Handle, Last, Operator, SharedPolicy, SharedShed, Then};
use crate::policy::{OnError, Policy};
use crate::report::{Kind, StageCell};
use crate::retry::Retry;
use crate::shed::Shed;
use crate::source::Source;
use crate::store::Outcome;
use crate::watchdog::Watchdog;
use crate::weight::{Bytes, Scale, Weight};
use crate::workers::Workers;
use parking_lot::Mutex;
use settings::MOST_THREADS;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// Items on their way from a source through transforms to an end.
///
/// Build one with [`extract`](Pipeline::extract), chain what is to be done, close it with [`store`](Pipeline::store) or
/// another end, and [`run`](Run::run) it. Nothing happens before that.
///
/// Stages that only compute run on rayon's global pool (or [another](Pipeline::pool)); those that wait have threads of
/// their own. Closures, items, sources and stores may borrow from the caller's stack: `run` is a scope, and every thread
/// has ended when it returns.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// let words = ["mill", "grist", "flour"];
/// let report = Pipeline::extract(words.iter())
///     .map(|word| word.len())
///     .filter(|len| *len > 4)
///     .ordered()
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output, [5, 5]);
/// assert_eq!(report.totals().filtered, 1);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[must_use = "a pipeline does nothing until it is closed with an end and run"]
pub struct Pipeline<'env, In, Op: Operator<'env, In>> {
    head: Head<'env, In>,
    op: Op,
    input_scale: Scale<'env, In>,
    output_scale: Scale<'env, Op::Out>,
    key_bits: Option<Arc<dyn Fn(&In) -> u64 + Send + Sync + 'env>>,
    limit: Option<usize>,
    settings: Settings<'env>,
    lineage: Lineage,
}

impl<'env, In, Op: Operator<'env, In>> std::fmt::Debug for Pipeline<'env, In, Op> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("head", &self.head).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a stage must know of those before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lineage {
    /// How often each method has named a stage, branches included.
    names: Arc<Mutex<HashMap<&'static str, usize>>>,
    /// A batch has given out new numbers, which nobody has announced with keys: from there on the order of all is kept.
    renumbered: bool,
}

impl Lineage {
    /// A name for a stage that was given none: the method's, numbered from the second on.
    pub(crate) fn name(&mut self, method: &'static str) -> String {
        let mut names = self.names.lock();
        let count = names.entry(method).or_default();
        *count += 1;
        if *count == 1 { method.to_owned() } else { format!("{method}-{count}") }
    }

    /// The order to restore here when this one is asked for.
    fn order(&self, asked: Order) -> Order {
        if self.renumbered && asked == Order::Key { Order::Source } else { asked }
    }
}

/// A pipeline that begins with a source's items.
pub type Extraction<'env, T, E> = Pipeline<'env, Result<T, E>, Extracted<'env, T, E>>;
/// A pipeline whose last stage runs on threads of its own, or serially.
pub type Resumed<'env, T, U, E> = Pipeline<'env, U, Handle<U, SharedPolicy<'env, T, U, E>>>;
/// A pipeline after a fork or a merge.
pub type Joined<'env, U> = Pipeline<'env, U, Handle<U, ()>>;
/// A pipeline with one more per-item stage.
pub type Extended<'env, In, Op, Next> = Pipeline<'env, In, Then<Op, Next>>;

/// The scales of a source's items, before and after its failures are dealt with.
fn source_scales<'env, S: Source<Item: 'env, Error: 'env>>()
-> (Scale<'env, Result<S::Item, S::Error>>, Scale<'env, S::Item>) {
    match S::weigher() {
        Some(weigh) => {
            (Scale::by(move |item: &Result<S::Item, S::Error>| item.as_ref().map_or(0, weigh)), Scale::by(weigh))
        }
        None => (Scale::of_type(), Scale::of_type()),
    }
}

impl<'env, T: Send + 'env, E: Into<BoxError> + Send + 'env> Extraction<'env, T, E> {
    /// Begins with a source: any iterator, or one of [`source`](crate::source).
    ///
    /// An iterator is pulled by the workers of the pool, one at a time: it should compute or walk memory. One that waits
    /// for something belongs in [`source::waiting`](crate::source::waiting), which gives it a thread of its own.
    ///
    /// Items leave the source in its order; in which order they reach the end is the choice of
    /// [`ordered`](Pipeline::ordered).
    pub fn extract<S>(source: S) -> Self
    where
        S: Source<Item = T, Error = E> + Send + 'env,
    {
        let mut lineage = Lineage::default();
        let name = lineage.name("extract");
        let (input_scale, output_scale) = source_scales::<S>();
        let shed = SharedShed::default();
        Pipeline {
            head: engine::source_head(source, name.clone(), Arc::clone(&shed)),
            op: Extracted::new(name, shed),
            input_scale,
            output_scale,
            key_bits: None,
            limit: None,
            settings: Settings::default(),
            lineage,
        }
    }

    /// Lets items go when the pipeline is full, instead of letting the source wait for room: see [`Shed`].
    ///
    /// It is for a source with a thread of its own. One that never waits is asked only when there is room, so there is
    /// nothing to shed, and the run is refused; put it into [`source::waiting`](crate::source::waiting) if it is live. Not to
    /// be combined with a [checkpoint](Pipeline::checkpoint): a source that can give its items again can wait.
    ///
    /// # Default
    ///
    /// The source waits, and nothing is shed.
    pub fn shed(mut self, shed: Shed<'env, T>) -> Self {
        self.settings.refuse_zero("shed", shed.holding.unwrap_or(1));
        self.op.set_shed(shed);
        self
    }

    /// Keeps the order of items that have the same key; others may overtake them.
    ///
    /// The key is taken from the item as it leaves the source, so this comes right after
    /// [`extract`](Pipeline::extract). A morsel waits at the end, or at a batch, for earlier ones that have a key in common
    /// with it; keys are compared by 256 bits, so two may be taken for one, which costs time, never order. It pays where
    /// items are slow, and morsels therefore small. After a batch, which mixes keys, the order of all batches is kept.
    pub fn ordered_by_key<K: Hash>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'env) -> Self {
        // The same in each run, so that a simulation can be played again.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        self.key_bits =
            Some(Arc::new(move |item: &Result<T, E>| item.as_ref().map_or(0, |item| hasher.hash_one(key(item)))));
        self.settings.order = Order::Key;
        self
    }
}

/// Per-item stages. Each is fused with those beside it into one loop that runs on the pool.
impl<'env, In: Send + 'env, Op: Operator<'env, In>> Pipeline<'env, In, Op> {
    fn then<Next: Operator<'env, Op::Out>>(
        self,
        make: impl FnOnce(&mut Lineage) -> Next,
    ) -> Extended<'env, In, Op, Next> {
        self.then_scaled(make, |_| Scale::of_type())
    }

    fn then_scaled<Next: Operator<'env, Op::Out>>(
        mut self,
        make: impl FnOnce(&mut Lineage) -> Next,
        scale: impl FnOnce(Scale<'env, Op::Out>) -> Scale<'env, Next::Out>,
    ) -> Extended<'env, In, Op, Next> {
        let next = make(&mut self.lineage);
        Pipeline {
            head: self.head,
            op: Then::new(self.op, next),
            input_scale: self.input_scale,
            output_scale: scale(self.output_scale),
            key_bits: self.key_bits,
            limit: self.limit,
            settings: self.settings,
            lineage: self.lineage,
        }
    }

    /// Makes another item of each.
    pub fn map<U: Send + 'env>(
        self,
        f: impl Fn(Op::Out) -> U + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<
            'env,
            Op::Out,
            U,
            Infallible,
            (),
            impl Fn(&mut (), Op::Out) -> Result<Option<U>, Infallible> + Send + Sync + 'env,
        >,
    > {
        self.then(|lineage| Each::new(lineage.name("map"), move |(): &mut (), item| Ok(Some(f(item)))))
    }

    /// Makes another item of each, or fails; [`on_error`](Pipeline::on_error) decides what follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let mut rejected = Vec::new();
    /// let report = Pipeline::extract(["1", "x", "3"].into_iter())
    ///     .try_map(|text| text.parse::<u32>())
    ///     .on_error(OnError::dead_letter(&mut rejected))
    ///     .ordered()
    ///     .collect::<Vec<_>>()
    ///     .run()?;
    /// assert_eq!(report.output, [1, 3]);
    /// assert_eq!((rejected[0].item, rejected[0].position), (Some("x"), 1));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn try_map<U: Send + 'env, E: Into<BoxError> + Send + 'env>(
        self,
        f: impl Fn(Op::Out) -> Result<U, E> + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<'env, Op::Out, U, E, (), impl Fn(&mut (), Op::Out) -> Result<Option<U>, E> + Send + Sync + 'env>,
    > {
        self.then(|lineage| Each::new(lineage.name("try_map"), move |(): &mut (), item| f(item).map(Some)))
    }

    /// Leaves out the items for which the predicate does not hold.
    pub fn filter(
        self,
        predicate: impl Fn(&Op::Out) -> bool + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<
            'env,
            Op::Out,
            Op::Out,
            Infallible,
            (),
            impl Fn(&mut (), Op::Out) -> Result<Option<Op::Out>, Infallible> + Send + Sync + 'env,
        >,
    > {
        let call = move |(): &mut (), item| Ok(if predicate(&item) { Some(item) } else { None });
        self.then_scaled(|lineage| Each::new(lineage.name("filter"), call), |scale| scale)
    }

    /// Makes another item of each, or leaves it out.
    pub fn filter_map<U: Send + 'env>(
        self,
        f: impl Fn(Op::Out) -> Option<U> + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<
            'env,
            Op::Out,
            U,
            Infallible,
            (),
            impl Fn(&mut (), Op::Out) -> Result<Option<U>, Infallible> + Send + Sync + 'env,
        >,
    > {
        self.then(|lineage| Each::new(lineage.name("filter_map"), move |(): &mut (), item| Ok(f(item))))
    }

    /// Looks at each item and passes it on.
    pub fn inspect(
        self,
        f: impl Fn(&Op::Out) + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<
            'env,
            Op::Out,
            Op::Out,
            Infallible,
            (),
            impl Fn(&mut (), Op::Out) -> Result<Option<Op::Out>, Infallible> + Send + Sync + 'env,
        >,
    > {
        let call = move |(): &mut (), item| {
            f(&item);
            Ok(Some(item))
        };
        self.then_scaled(|lineage| Each::new(lineage.name("inspect"), call), |scale| scale)
    }

    /// Makes any number of items of each, in their order.
    pub fn flat_map<U, I>(
        self,
        f: impl Fn(Op::Out) -> I + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Expand<
            'env,
            Op::Out,
            U,
            Infallible,
            Oks<I::IntoIter>,
            impl Fn(Op::Out) -> Oks<I::IntoIter> + Send + Sync + 'env,
        >,
    >
    where
        U: Send + 'env,
        I: IntoIterator<Item = U, IntoIter: Send + 'env>,
    {
        self.then(|lineage| {
            Expand::<_, _, _, Oks<I::IntoIter>, _>::new(lineage.name("flat_map"), move |item| Oks(f(item).into_iter()))
        })
    }

    /// Makes any number of results of each item; each failed one is dealt with by itself.
    ///
    /// What failed is known by the position of the item it came from, so let the error say which part of it failed. A
    /// dead letter holds a copy of the whole item. A panic in the iterator counts as one failed result, and the iterator
    /// is asked again; after a thousand panics in a row it is given up.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let report = Pipeline::extract(["1 2 x", "y 5"].into_iter())
    ///     .try_flat_map(|line| line.split(' ').map(str::parse::<u32>))
    ///     .on_error(OnError::skip())
    ///     .ordered()
    ///     .collect::<Vec<_>>()
    ///     .run()?;
    /// assert_eq!(report.output, [1, 2, 5]);
    /// assert_eq!(report.totals().skipped, 2);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn try_flat_map<U, E, I, F>(
        self,
        f: F,
    ) -> Extended<
        'env,
        In,
        Op,
        Expand<'env, Op::Out, U, E, I::IntoIter, impl Fn(Op::Out) -> I::IntoIter + Send + Sync + 'env>,
    >
    where
        U: Send + 'env,
        E: Into<BoxError> + Send + 'env,
        I: IntoIterator<Item = Result<U, E>, IntoIter: Send + 'env>,
        F: Fn(Op::Out) -> I + Send + Sync + 'env,
    {
        self.then(|lineage| Expand::new(lineage.name("try_flat_map"), move |item| f(item).into_iter()))
    }

    /// Makes another item of each with the help of a state that each worker has for itself: a buffer, a parser, a
    /// connection.
    ///
    /// A state is made when a worker first needs one, so there are never more than workers; it lives to the end of the
    /// run. If `init` fails, the run is aborted.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let report = Pipeline::extract(0..100u32)
    ///     .map_init(|| Ok::<_, String>(String::new()), |text, number| {
    ///         use std::fmt::Write;
    ///         text.clear();
    ///         write!(text, "{number}").expect("a String takes everything");
    ///         text.len()
    ///     })
    ///     .on_finish(|_text, outcome| assert_eq!(outcome, Outcome::Completed))
    ///     .fold(|| 0, |sum, len| *sum += len, |sum, other| *sum += other)
    ///     .run()?;
    /// assert_eq!(report.output, 190);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn map_init<S, X, U>(
        self,
        init: impl Fn() -> Result<S, X> + Send + Sync + 'env,
        f: impl Fn(&mut S, Op::Out) -> U + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<
            'env,
            Op::Out,
            U,
            Infallible,
            S,
            impl Fn(&mut S, Op::Out) -> Result<Option<U>, Infallible> + Send + Sync + 'env,
        >,
    >
    where
        S: Send + 'env,
        X: Into<BoxError>,
        U: Send + 'env,
    {
        let call = move |state: &mut S, item| Ok(Some(f(state, item)));
        self.then(|lineage| Each::with_state(lineage.name("map_init"), move || init().map_err(Into::into), call))
    }

    /// [`map_init`](Pipeline::map_init) for a function that may fail.
    pub fn try_map_init<S, X, U, E>(
        self,
        init: impl Fn() -> Result<S, X> + Send + Sync + 'env,
        f: impl Fn(&mut S, Op::Out) -> Result<U, E> + Send + Sync + 'env,
    ) -> Extended<
        'env,
        In,
        Op,
        Each<'env, Op::Out, U, E, S, impl Fn(&mut S, Op::Out) -> Result<Option<U>, E> + Send + Sync + 'env>,
    >
    where
        S: Send + 'env,
        X: Into<BoxError>,
        U: Send + 'env,
        E: Into<BoxError> + Send + 'env,
    {
        let call = move |state: &mut S, item| f(state, item).map(Some);
        self.then(|lineage| Each::with_state(lineage.name("try_map_init"), move || init().map_err(Into::into), call))
    }

    /// Takes batches, or other collections, apart again.
    pub fn unbatch<U>(
        self,
    ) -> Extended<
        'env,
        In,
        Op,
        Expand<
            'env,
            Op::Out,
            U,
            Infallible,
            Oks<<Op::Out as IntoIterator>::IntoIter>,
            impl Fn(Op::Out) -> Oks<<Op::Out as IntoIterator>::IntoIter> + Send + Sync + 'env,
        >,
    >
    where
        U: Send + 'env,
        Op::Out: IntoIterator<Item = U, IntoIter: Send + 'env>,
    {
        self.then(|lineage| {
            Expand::<_, _, _, Oks<<Op::Out as IntoIterator>::IntoIter>, _>::new(
                lineage.name("unbatch"),
                |item: Op::Out| Oks(item.into_iter()),
            )
        })
    }
}

/// An iterator none of whose items has failed.
#[derive(Debug, Clone)]
pub struct Oks<I>(I);

impl<I: Iterator> Iterator for Oks<I> {
    type Item = Result<I::Item, Infallible>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }
}

/// Stages that are not fused: they wait, or see more than one item.
impl<'env, In: Send + 'env, Op: Operator<'env, In>> Pipeline<'env, In, Op> {
    /// Closes the segment: what follows begins a new one.
    fn seal(self) -> Sealed<'env, Op::Out> {
        let Pipeline { head, op, input_scale, output_scale, key_bits, limit, settings, lineage } = self;
        let head = match op.bypass(head) {
            Ok(head) => head,
            Err((op, head)) => Head::stage(move |plan, output_scale, out| {
                let layout = SegmentLayout { limit, input_scale, output_scale, key_bits };
                Segment::connect(op, head, layout, plan, out);
            }),
        };
        Sealed { head, scale: output_scale, settings, lineage }
    }

    /// Ends the segment here, and with it the type: a pipeline whose type names only its items, so that a function can
    /// take one and give one back, and a loop can add stages to it.
    ///
    /// Stages before and after it are no longer fused into one loop, which costs a hand-over for each morsel.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::{Joined, prelude::*};
    ///
    /// let mut numbers: Joined<'_, u64> = Pipeline::extract(0..10u64).boxed();
    /// for _ in 0..3 {
    ///     numbers = numbers.map(|number| number * 2).boxed();
    /// }
    /// let report = numbers.ordered().collect::<Vec<_>>().run()?;
    /// assert_eq!(report.output[9], 72);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn boxed(self) -> Joined<'env, Op::Out> {
        self.seal().into_pipeline(Handle::border())
    }

    /// Makes another item of each on threads of its own, at most `workers` at once: for what waits, such as a lookup over
    /// the network. Order is restored afterwards if the pipeline is ordered.
    ///
    /// `workers` is a number, or [`Workers`] whose number can be changed while the run goes on, or finds itself.
    pub fn map_blocking<U: Send + 'env>(
        self,
        workers: impl Into<Workers>,
        f: impl Fn(Op::Out) -> U + Send + Sync + 'env,
    ) -> Resumed<'env, Op::Out, U, Infallible> {
        self.blocking("map_blocking", workers.into(), move |(): &mut (), item| Ok(Some(f(item))))
    }

    /// [`map_blocking`](Pipeline::map_blocking) for a function that may fail.
    pub fn try_map_blocking<U: Send + 'env, E: Into<BoxError> + Send + 'env>(
        self,
        workers: impl Into<Workers>,
        f: impl Fn(Op::Out) -> Result<U, E> + Send + Sync + 'env,
    ) -> Resumed<'env, Op::Out, U, E> {
        self.blocking("try_map_blocking", workers.into(), move |(): &mut (), item| f(item).map(Some))
    }

    fn blocking<U: Send + 'env, E: Into<BoxError> + Send + 'env>(
        self,
        method: &'static str,
        workers: Workers,
        call: impl Fn(&mut (), Op::Out) -> Result<Option<U>, E> + Send + Sync + 'env,
    ) -> Resumed<'env, Op::Out, U, E> {
        let mut sealed = self.seal();
        let most = workers.most();
        sealed.settings.refuse_zero("workers of map_blocking", workers.get());
        if most > MOST_THREADS {
            sealed.settings.refuse("workers of map_blocking", format!("is {most}, more than {MOST_THREADS} threads"));
        }
        sealed.settings.own_threads += most.min(MOST_THREADS);
        let (handle, policy) = Handle::stage(sealed.lineage.name(method));
        sealed.resume(handle, Scale::of_type(), move |head, input_scale, plan, scale, out| {
            let name = policy.lock().stage().to_owned();
            let mut each = Each::new(name.clone(), call);
            let fallback = policy.take_fallback();
            each.adopt(std::mem::replace(&mut policy.lock(), Policy::new(name)), fallback);
            let inlet = if each.may_wait() {
                BlockingNode::connect(Guarded::new(each), workers, scale, plan, out)
            } else {
                BlockingNode::connect(each, workers, scale, plan, out)
            };
            head.connect(plan, input_scale, inlet);
        })
    }

    /// Gathers up to `count` items into one; the last batch may be smaller.
    ///
    /// A batch is also closed early when a [memory budget](Pipeline::memory_budget) is used up by open batches.
    pub fn batch(self, count: usize) -> Resumed<'env, (), Vec<Op::Out>, Infallible> {
        self.batched(count, Bytes::new(usize::MAX), None)
    }

    /// Gathers items of up to `bytes` together into one; an item heavier than that is a batch of its own. What items
    /// weigh is as for a [memory budget](Pipeline::memory_budget): their size, unless [`weigh`](Pipeline::weigh) says
    /// more.
    pub fn batch_bytes(self, bytes: Bytes) -> Resumed<'env, (), Vec<Op::Out>, Infallible> {
        self.batched(usize::MAX, bytes, None)
    }

    /// Gathers up to `count` items into one, but lets no batch stay open longer than `age`, to about the
    /// [flush interval](Pipeline::flush_interval).
    pub fn batch_within(self, count: usize, age: Duration) -> Resumed<'env, (), Vec<Op::Out>, Infallible> {
        self.batched(count, Bytes::new(usize::MAX), Some(age))
    }

    fn batched(self, count: usize, bytes: Bytes, age: Option<Duration>) -> Resumed<'env, (), Vec<Op::Out>, Infallible> {
        let mut sealed = self.seal();
        sealed.settings.refuse_zero("batch", count.min(bytes.get()));
        let (handle, policy) = Handle::stage(sealed.lineage.name("batch"));
        let limits = BatchLimits { count: count.max(1), bytes: bytes.get(), age };
        let batch_scale = engine::batch_scale(&sealed.scale);
        let lineage = sealed.lineage.clone();
        sealed.lineage.renumbered = true;
        sealed.resume(handle, batch_scale, move |head, input_scale, plan, scale, out| {
            let name = policy.lock().stage().to_owned();
            if policy.lock().may_wait() {
                plan.refuse(Error::setting(
                    "retry",
                    format!("is of no use for stage `{name}`, where nothing can fail"),
                ));
            }
            plan.check_scale(&scale, &name);
            let segment = plan.segment();
            let cell = plan.add_stage(StageCell::new(name, Kind::Transform, segment, 1).leading());
            let order = lineage.order(plan.settings.order);
            let shared = Arc::clone(&plan.shared);
            let batcher = Batcher::new(limits, input_scale.clone(), cell, shared, out);
            let inlet = Serial::connect(batcher, order, plan);
            head.connect(plan, input_scale, inlet);
        })
    }

    /// Gives each item to a side branch as well: `branch` gets a pipeline of copies and closes it with an end of its own.
    ///
    /// Both branches share window and budget, and the settings of the main one. Call it again for a third. A panic in
    /// `clone` aborts the run.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let mut rows = Vec::new();
    /// let report = Pipeline::extract(1..=4)
    ///     .broadcast(|numbers| numbers.batch(2).store(&mut rows))
    ///     .ordered()
    ///     .fold(|| 0, |sum, number| *sum += number, |sum, other| *sum += other)
    ///     .run()?;
    /// assert_eq!((report.output, rows), (10, vec![vec![1, 2], vec![3, 4]]));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn broadcast<R, K>(self, branch: impl FnOnce(Joined<'env, Op::Out>) -> Run<'env, R, K>) -> Joined<'env, Op::Out>
    where
        Op::Out: Clone,
        R: Send + 'env,
        K: Terminal<'env, R, Output = ()>,
    {
        let scale = self.output_scale.clone();
        let call = |(): &mut (), item: Op::Out| Ok::<_, Infallible>(Some((item.clone(), item)));
        self.then_scaled(|lineage| Each::new(lineage.name("broadcast"), call).copying(), |scale| scale.left_to_next())
            .fork::<_, Copies, R, K>("broadcast", scale, branch)
    }

    /// Sends the items for which the predicate holds to a side branch, and only there; the others go on.
    ///
    /// `branch` gets a pipeline of them and closes it with an end of its own. Call it again for a third way. A panic in
    /// the predicate aborts the run; a predicate that may fail belongs in a [`try_map`](Pipeline::try_map) before it.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let mut odd = Vec::new();
    /// let report = Pipeline::extract(0..6)
    ///     .route(|number| number % 2 == 1, |numbers| numbers.store(&mut odd))
    ///     .ordered()
    ///     .collect::<Vec<_>>()
    ///     .run()?;
    /// assert_eq!((report.output, odd), (vec![0, 2, 4], vec![1, 3, 5]));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn route<R, K>(
        self,
        predicate: impl Fn(&Op::Out) -> bool + Send + Sync + 'env,
        branch: impl FnOnce(Joined<'env, Op::Out>) -> Run<'env, R, K>,
    ) -> Joined<'env, Op::Out>
    where
        R: Send + 'env,
        K: Terminal<'env, R, Output = ()>,
    {
        let scale = self.output_scale.clone();
        let call = move |(): &mut (), item: Op::Out| Ok::<_, Infallible>(Some((predicate(&item), item)));
        self.then_scaled(|lineage| Each::new(lineage.name("route"), call), |scale| scale.left_to_next())
            .fork::<_, Splits, R, K>("route", scale, branch)
    }

    /// Forks what an operator has paired: the side branch gets its part, the rest goes on.
    fn fork<T, How, R, K>(
        self,
        method: &'static str,
        scale: Scale<'env, T>,
        branch: impl FnOnce(Joined<'env, T>) -> Run<'env, R, K>,
    ) -> Joined<'env, T>
    where
        T: Send + 'env,
        How: engine::Forks<Op::Out, T> + 'env,
        R: Send + 'env,
        K: Terminal<'env, R, Output = ()>,
    {
        let sealed = self.seal();
        let place = Arc::new(Mutex::new(None));
        let found = Arc::clone(&place);
        let side = Sealed {
            head: Head::stage(move |_, _, inlet| *place.lock() = Some(inlet)),
            scale: scale.clone(),
            settings: Settings::default(),
            lineage: sealed.lineage.clone(),
        };
        let mut side = branch(side.into_pipeline(Handle::border()));
        let (side_threads, side_problem) = side.take_settings();
        let mut resumed = sealed.resume(Handle::border(), scale, move |head, pair_scale, plan, scale, main| {
            side.open(plan);
            let Some(side) = found.lock().take() else {
                plan.refuse(Error::setting(method, "has a branch that does not close the pipeline it was given"));
                return;
            };
            let fork = Fork::<T, How>::new(side, main, scale, plan.shared.gate.budget());
            head.connect(plan, pair_scale, Arc::new(fork));
        });
        resumed.settings.own_threads += side_threads;
        if let Some((setting, problem)) = side_problem {
            resumed.settings.refuse(setting, problem);
        }
        resumed
    }

    /// Adds the items of another pipeline. Each keeps its own order; which comes first where they meet is as it happens.
    ///
    /// The settings of this pipeline hold for both. Not to be combined with
    /// [`ordered_by_key`](Pipeline::ordered_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let even = Pipeline::extract((0..10).step_by(2));
    /// let report = Pipeline::extract((1..10).step_by(2))
    ///     .merge(even)
    ///     .fold(|| 0, |sum, number| *sum += number, |sum, other| *sum += other)
    ///     .run()?;
    /// assert_eq!(report.output, 45);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn merge<In2: Send + 'env, Op2: Operator<'env, In2, Out = Op::Out>>(
        self,
        other: Pipeline<'env, In2, Op2>,
    ) -> Joined<'env, Op::Out> {
        let mut sealed = self.seal();
        let mut other = other.seal();
        if let Some((setting, problem)) = other.settings.problem.take() {
            sealed.settings.refuse(setting, problem);
        }
        if sealed.settings.order == Order::Key || other.settings.order == Order::Key {
            sealed.settings.refuse("ordered_by_key", "cannot be kept across a merge");
        }
        sealed.settings.own_threads += other.settings.own_threads;
        let scale = sealed.scale.clone();
        sealed.resume(Handle::border(), scale, move |head, first_scale, plan, _, out| {
            plan.refuse_checkpoint("cannot be kept across a merge");
            let order = plan.settings.order;
            if order == Order::Key {
                // On a side branch it is the settings of the main one that hold.
                plan.refuse(Error::setting("ordered_by_key", "cannot be kept across a merge"));
            }
            let (first, second) = MergeInlet::connect(order, plan, out);
            other.head.connect(plan, other.scale, second);
            head.connect(plan, first_scale, first);
        })
    }
}

/// A pipeline up to a border between segments.
pub(crate) struct Sealed<'env, T> {
    head: Head<'env, T>,
    scale: Scale<'env, T>,
    settings: Settings<'env>,
    lineage: Lineage,
}

impl<'env, T: Send + 'env> Sealed<'env, T> {
    /// Goes on after a stage that connects itself like this, given the head before it and its scale.
    fn resume<U, P>(
        self,
        handle: Handle<U, P>,
        scale: Scale<'env, U>,
        connect: impl FnOnce(
            Head<'env, T>,
            Scale<'env, T>,
            &mut engine::Plan<'env>,
            Scale<'env, U>,
            engine::AnyInlet<'env, U>,
        ) + Send
        + 'env,
    ) -> Pipeline<'env, U, Handle<U, P>>
    where
        U: Send + 'env,
        P: Send + Sync + 'env,
    {
        let Sealed { head, scale: input_scale, settings, lineage } = self;
        let head = Head::stage(move |plan, scale, out| connect(head, input_scale, plan, scale, out));
        Sealed { head, scale, settings, lineage }.into_pipeline(handle)
    }

    fn into_pipeline<P: Send + Sync + 'env>(self, handle: Handle<T, P>) -> Pipeline<'env, T, Handle<T, P>> {
        Pipeline {
            head: self.head,
            op: handle,
            input_scale: self.scale.clone(),
            output_scale: self.scale,
            key_bits: None,
            limit: None,
            settings: self.settings,
            lineage: self.lineage,
        }
    }
}

/// Settings of the stage before them.
impl<'env, In: Send + 'env, Op: Operator<'env, In> + Last<'env>> Pipeline<'env, In, Op> {
    /// Names the stage before it, for errors and the report.
    ///
    /// # Default
    ///
    /// The name of the method, numbered from the second on: `map`, `map-2`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.op.with_policy(|policy| policy.rename(name));
        self
    }

    /// Says what happens to an item that fails in the stage before it: by an error or a panic.
    ///
    /// # Default
    ///
    /// [`OnError::abort`].
    pub fn on_error(mut self, on_error: OnError<'env, Op::Failed, Op::Error>) -> Self {
        self.op.with_policy(|policy| policy.set(on_error));
        self
    }
}

/// Attempts of the stage before them.
impl<'env, In: Send + 'env, Op: Guard<'env, In>> Pipeline<'env, In, Op> {
    /// Tries an item that fails in the stage before it again, up to a number of attempts. What fails for good is up to
    /// [`on_error`](Pipeline::on_error).
    ///
    /// An item that waits for its next attempt is put aside: nobody sleeps, neither on the pool nor on the threads of a
    /// blocking stage, and other items go on. It keeps its bytes and its place in the order, and so does its morsel. How
    /// long it waits is exact to about the [flush interval](Pipeline::flush_interval). See [`Retry`].
    ///
    /// A stage that expands an item cannot be tried again, as it may have handed on results already.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::time::Duration;
    ///
    /// let busy = AtomicBool::new(true);
    /// let report = Pipeline::extract(["1", "2", "x"].into_iter())
    ///     .try_map(|text| if busy.swap(false, Ordering::Relaxed) { Err("busy".to_owned()) } else { text.parse::<u32>().map_err(|e| e.to_string()) })
    ///     .retry(Retry::constant(3, Duration::from_millis(1)).when(|error| error == "busy"))
    ///     .on_error(OnError::collect())
    ///     .ordered()
    ///     .collect::<Vec<_>>()
    ///     .run()?;
    /// assert_eq!(report.output, [1, 2]);
    /// assert_eq!((report.failures[0].position, report.failures[0].attempts), (2, 1));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn retry(
        mut self,
        retry: Retry<'env, <Op as Last<'env>>::Error>,
    ) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded>
    where
        <Op as Last<'env>>::Failed: Clone,
    {
        if let Some(problem) = retry.problem() {
            self.settings.refuse("retry", problem);
        }
        self.guarded(|policy| policy.set_retry(retry, Clone::clone))
    }

    /// Lets no more attempts of the stage before it begin than a rate allows. One that must wait is put aside as for a
    /// [`retry`](Pipeline::retry), and retries count. The limit may be shared by stages and changed while the run goes on:
    /// see [`RateLimit`].
    pub fn rate_limit(self, limit: &RateLimit) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        let limit = limit.clone();
        self.guarded(|policy| policy.guards.rate = Some(limit))
    }

    /// Lets no more attempts of the stage before it go on at once than a limit allows, which stages may share, and which may
    /// change or find itself: see [`ConcurrencyLimit`].
    pub fn concurrency_limit(self, limit: &ConcurrencyLimit) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        let limit = limit.clone();
        self.guarded(|policy| policy.guards.concurrency = Some(limit))
    }

    /// Lets no attempt of the stage before it begin while a breaker is open, as too many have failed: see [`Breaker`].
    pub fn breaker(mut self, breaker: &Breaker) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        if let Some(problem) = breaker.problem() {
            self.settings.refuse("breaker", problem);
        }
        let breaker = breaker.clone();
        self.guarded(|policy| policy.guards.breaker = Some(breaker))
    }

    /// A [`breaker`](Pipeline::breaker) for whose opening there is a fallback: while it lets no attempt of the stage before it
    /// begin, an item waits for nothing and does not fail, but goes to `fallback`, and what that makes of it goes on in its
    /// place.
    ///
    /// The fallback is called as the stage's function would be, on the same threads, in the same order. It is called once:
    /// what it fails with, or its panic, is up to [`on_error`](Pipeline::on_error), without a retry. The breaker does not hear
    /// of it, and rates and places do not hold for it. An item whose attempt has failed and that waits for its
    /// [`retry`](Pipeline::retry) when the breaker opens goes to the fallback when it is due. The report counts with
    /// [`fell_back`](crate::Totals::fell_back) what came of it. The breaker may be shared; the fallback is the stage's.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let breaker = Breaker::new().window(5);
    /// let report = Pipeline::extract(0..100u32)
    ///     .try_map(|_| Err::<u32, _>("the service is down"))
    ///     .breaker_or(&breaker, |item| Ok(item * 10)) // from a cache, say
    ///     .on_error(OnError::skip())
    ///     .ordered()
    ///     .collect::<Vec<_>>()
    ///     .run()?;
    /// assert_eq!(report.totals().skipped + report.totals().fell_back, 100);
    /// assert!(report.output.ends_with(&[970, 980, 990]));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn breaker_or(
        self,
        breaker: &Breaker,
        fallback: impl Fn(<Op as Last<'env>>::Failed) -> Result<Op::Out, <Op as Last<'env>>::Error> + Send + Sync + 'env,
    ) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        let mut pipeline = self.breaker(breaker);
        pipeline.op.with_policy(|policy| policy.guards.falls_back = true);
        pipeline.op.set_fallback(Box::new(fallback));
        pipeline
    }

    /// Takes an attempt of the stage before it that lasts longer than this for failed: its result is dropped, and
    /// [`retry`](Pipeline::retry) and [`on_error`](Pipeline::on_error) decide, with
    /// [`Cause::TimedOut`](crate::Cause::TimedOut).
    ///
    /// Nothing can end a function from outside. It goes on as long as it likes, and the item fails when it returns, not at the
    /// deadline; [`attempt`](crate::attempt) tells it how long it should, for the timeouts of what it calls. A
    /// [watchdog](Pipeline::watchdog) says meanwhile that it takes too long. A deadline of zero, which no attempt could keep, is
    /// refused.
    pub fn deadline(mut self, limit: Duration) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        if limit.is_zero() {
            self.settings.refuse("deadline", "must be longer than zero");
        }
        self.guarded(|policy| policy.guards.deadline = Some(limit))
    }

    /// Makes the stage before it one whose attempts may wait.
    fn guarded(
        self,
        change: impl FnOnce(&mut Policy<'env, <Op as Last<'env>>::Failed, <Op as Last<'env>>::Error>),
    ) -> Pipeline<'env, In, <Op as Guard<'env, In>>::Guarded> {
        let mut op = self.op.guard();
        op.with_policy(change);
        Pipeline {
            head: self.head,
            op,
            input_scale: self.input_scale,
            output_scale: self.output_scale,
            key_bits: self.key_bits,
            limit: self.limit,
            settings: self.settings,
            lineage: self.lineage,
        }
    }
}

impl<'env, In: Send + 'env, Op, T, U, E, S, F> Pipeline<'env, In, Then<Op, Guarded<Each<'env, T, U, E, S, F>>>>
where
    Then<Op, Guarded<Each<'env, T, U, E, S, F>>>: Operator<'env, In>,
{
    /// The same as for a stage without [`retry`](Pipeline::retry).
    pub fn on_finish(mut self, finish: impl Fn(S, Outcome) + Send + Sync + 'env) -> Self {
        self.op.second_mut().inner_mut().on_finish(finish);
        self
    }
}

impl<'env, In: Send + 'env, Op, T, U, E, S, F> Pipeline<'env, In, Then<Op, Each<'env, T, U, E, S, F>>>
where
    Then<Op, Each<'env, T, U, E, S, F>>: Operator<'env, In>,
{
    /// Called once with the state of each worker when the run is over, whatever happened: for
    /// [`map_init`](Pipeline::map_init). A panic in it makes the run fail.
    pub fn on_finish(mut self, finish: impl Fn(S, Outcome) + Send + Sync + 'env) -> Self {
        self.op.second_mut().on_finish(finish);
        self
    }
}

/// Settings of the whole pipeline, to be chained anywhere before its end.
impl<'env, In: Send + 'env, Op: Operator<'env, In>> Pipeline<'env, In, Op> {
    /// Lets items reach the end as they come.
    ///
    /// # Default
    ///
    /// This, as it is the fastest.
    pub fn unordered(mut self) -> Self {
        self.settings.order = Order::Unordered;
        self
    }

    /// Lets items reach the end, and batches, in the order of the source.
    ///
    /// What comes early waits inside the window, and counts. The next in order is always let in, so any window will do.
    pub fn ordered(mut self) -> Self {
        self.settings.order = Order::Source;
        self
    }

    /// Runs the CPU stages on this rayon pool.
    ///
    /// # Default
    ///
    /// The pool of the calling thread if it belongs to one, else rayon's global pool.
    pub fn pool(mut self, pool: impl Into<Pool<'env>>) -> Self {
        self.settings.pool = Some(pool.into());
        self
    }

    /// Bounds how many workers run the current segment at once: the fused per-item stages from the last border (a source,
    /// a blocking stage, a batch, a fork) to the next. The smallest bound wins.
    ///
    /// # Default
    ///
    /// As many as the pool has threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.refuse_zero("workers", workers);
        self.limit = Some(self.limit.map_or(workers, |limit| limit.min(workers)));
        self
    }

    /// Bounds how many morsels (runs of items that travel together) may be in flight.
    ///
    /// # Default
    ///
    /// Eight for each pool thread and two for each thread of a blocking stage; at least 32.
    pub fn window(mut self, morsels: usize) -> Self {
        self.settings.refuse_zero("window", morsels);
        self.settings.window = Some(morsels);
        self
    }

    /// Bounds how many bytes may be in flight: in lanes, inside workers, waiting for their turn, in open batches.
    ///
    /// Admission happens at the source, by what items are predicted to weigh at their heaviest. How much stages make them
    /// grow is learned as the run goes, from a first morsel of one item, which goes alone unless
    /// [`expected_growth`](Self::expected_growth) is set; a sudden change can overshoot by what is in flight at that
    /// moment. An item heavier than the whole budget is let in alone.
    ///
    /// An item weighs its size if its type owns no memory. If it does, the stage must be followed by
    /// [`weigh`](Pipeline::weigh) or [`weigh_by`](Pipeline::weigh_by); `run` says which one is missing.
    ///
    /// # Default
    ///
    /// No bound but the window.
    pub fn memory_budget(mut self, bytes: Bytes) -> Self {
        self.settings.refuse_zero("memory_budget", bytes.get());
        self.settings.budget = Some(bytes);
        self
    }

    /// Says how many times its weight at the source an item weighs at its heaviest on the way, so that with a
    /// [`memory_budget`](Self::memory_budget) all workers have work from the first moment. Worth it where one item takes so
    /// long that the run is felt to begin with one core.
    ///
    /// It is where learning begins: items that turn out heavier are charged for it, and so are those after them. Until that
    /// is seen the budget can be overshot by what is in flight. Less than 1 is refused, as an item weighs at least what it
    /// weighs at the source; without a budget nothing depends on it.
    ///
    /// # Default
    ///
    /// Unknown: the first morsel goes through the run alone, and is measured.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let blocks = (0..20u8).map(|byte| vec![byte; 10_000]);
    /// let report = Pipeline::extract(blocks)
    ///     .weigh()
    ///     .map(|mut block: Vec<u8>| {
    ///         block.truncate(100);
    ///         block.shrink_to_fit();
    ///         block
    ///     })
    ///     .weigh()
    ///     .memory_budget(Bytes::kib(64))
    ///     .expected_growth(1.0)
    ///     .count()
    ///     .run()?;
    /// assert_eq!(report.output, 20);
    /// assert!(report.peak_bytes <= 64 << 10);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn expected_growth(mut self, times: f64) -> Self {
        if times.is_finite() && times >= 1.0 {
            self.settings.expected_growth = Some(times);
        } else {
            self.settings.refuse("expected_growth", format!("must be at least 1, and finite, not {times}"));
        }
        self
    }

    /// Weighs the results of the stage before it by their [`Weight`].
    pub fn weigh(self) -> Self
    where
        Op::Out: Weight,
    {
        self.weigh_by(Weight::weight)
    }

    /// Weighs the results of the stage before it with a closure that returns bytes.
    pub fn weigh_by(mut self, weigh: impl Fn(&Op::Out) -> usize + Send + Sync + 'env) -> Self {
        self.output_scale = Scale::by(weigh);
        if let Some(scale) = self.op.input_scale(&self.output_scale) {
            self.input_scale = scale;
        }
        self
    }

    /// How often the run looks after what is waiting: batches that have grown old, stores with something to flush, a
    /// cancelled token. It looks no more often than every 100 µs and no less often than every 10 ms.
    ///
    /// # Default
    ///
    /// 1 ms.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        if interval.is_zero() {
            self.settings.refuse("flush_interval", "must be longer than zero");
        }
        self.settings.flush_interval = Some(interval);
        self
    }

    /// Keeps the progress of the run, so that one that died can go on where it was: run the same pipeline again.
    ///
    /// Everything that the source gave before the position of a checkpoint is durable when it is kept: stored, filtered,
    /// skipped or dead-lettered. A run that finds a checkpoint goes on after it, and [`Report::resumed_at`] says where; one
    /// that finds a complete one has nothing to do. Whether an item that was stored after the checkpoint is stored again
    /// depends on the store: with one that can go back, or that keeps the progress in its own transaction, each is
    /// stored exactly once, with others at least once. Positions, in errors and dead letters, are those of a run that was
    /// never interrupted.
    ///
    /// It implies [`ordered`](Pipeline::ordered). The source must give the same items in the same order again. All ends must
    /// be stores: what a fold or a collection has is gone with the process. It cannot be combined with
    /// [`ordered_by_key`](Pipeline::ordered_by_key) or [`merge`](Pipeline::merge). Batches are closed early at a
    /// checkpoint, and dead letters are stored at the next one. Stores have a thread of their own.
    ///
    /// [`Report::resumed_at`]: crate::Report::resumed_at
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.settings.checkpoint = Some(checkpoint);
        self
    }

    /// Lets this token stop the run.
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.settings.cancel = token.clone();
        self
    }

    /// Ends the run, whatever it is doing, when it has taken this long: [`run`](Run::run) returns an error for which
    /// [`is_timeout`](Error::is_timeout) holds, and what was in flight is lost. To end it without loss, drain it with a
    /// [token](Pipeline::cancel_token).
    ///
    /// # Default
    ///
    /// None.
    pub fn run_deadline(mut self, limit: Duration) -> Self {
        self.settings.run_deadline = Some(limit);
        self
    }

    /// Aborts the run if it drains for longer than this. A function that is running is waited for, nothing else.
    ///
    /// # Default
    ///
    /// No deadline.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.settings.drain_deadline = Some(limit);
        self
    }

    /// Has what takes too long said, or ended.
    ///
    /// # Default
    ///
    /// Nobody watches.
    pub fn watchdog(mut self, watchdog: Watchdog<'env>) -> Self {
        if watchdog.limit().is_zero() {
            self.settings.refuse("watchdog", "must wait longer than zero");
        }
        self.settings.watchdog = Some(watchdog);
        self
    }

    /// Lets this monitor look at the run.
    pub fn monitor(mut self, monitor: &Monitor) -> Self {
        self.settings.monitor = Some(monitor.clone());
        self
    }

    /// Makes every morsel of exactly so many items, for tests that hunt for borders.
    #[doc(hidden)]
    pub fn morsel_items(mut self, items: usize) -> Self {
        self.settings.refuse_zero("morsel_items", items);
        self.settings.morsel = Some(items);
        self
    }
}

/// Puts the pipeline on anything that iterates.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
///
/// let report = vec![3, 1, 2].pipeline().map(|number| number * 10).ordered().collect::<Vec<_>>().run()?;
/// assert_eq!(report.output, [30, 10, 20]);
/// # Ok::<(), gristmill::Error>(())
/// ```
pub trait IntoPipeline: IntoIterator {
    /// A pipeline of the items; the same as [`Pipeline::extract`].
    fn pipeline<'env>(self) -> Extraction<'env, Self::Item, Infallible>
    where
        Self: Sized,
        Self::Item: Send + 'env,
        Self::IntoIter: Send + 'env,
    {
        Pipeline::extract(self.into_iter())
    }
}

impl<I: IntoIterator> IntoPipeline for I {}
