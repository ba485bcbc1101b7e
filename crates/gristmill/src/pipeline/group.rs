//! Reducing by key.

use super::{Pipeline, Run, Terminal};
use crate::op::Operator;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

impl<'env, In: Send + 'env, Op: Operator<'env, In>> Pipeline<'env, In, Op> {
    /// Groups items by a key, to reduce each group: [`count`](GroupBy::count), [`reduce`](GroupBy::reduce),
    /// [`fold`](GroupBy::fold).
    ///
    /// Each worker groups what it gets; at the end the groups are merged by partition, in parallel. So items of one group
    /// are taken in any order, and memory grows with the number of groups, outside the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    ///
    /// let report = Pipeline::extract("to be or not to be".split(' ')).group_by(|word| *word).count().run()?;
    /// assert_eq!(report.output.get("be"), Some(&2));
    /// assert_eq!(report.output.len(), 4);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn group_by<K, F>(self, key: F) -> GroupBy<'env, In, Op, F>
    where
        K: Hash + Eq + Send + 'env,
        F: Fn(&Op::Out) -> K + Send + Sync + 'env,
    {
        GroupBy { pipeline: self, key }
    }
}

/// A pipeline whose items are grouped by a key: [`Pipeline::group_by`].
#[must_use = "groups must be reduced, and the pipeline run"]
pub struct GroupBy<'env, In, Op: Operator<'env, In>, F> {
    pipeline: Pipeline<'env, In, Op>,
    key: F,
}

impl<'env, In, Op: Operator<'env, In>, F> std::fmt::Debug for GroupBy<'env, In, Op, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pipeline.fmt(f)
    }
}

impl<'env, In, Op, K, F> GroupBy<'env, In, Op, F>
where
    In: Send + 'env,
    Op: Operator<'env, In>,
    K: Hash + Eq + Send + 'env,
    F: Fn(&Op::Out) -> K + Send + Sync + 'env,
{
    /// Folds each group: `init` makes an empty accumulator, `add` takes an item in, `merge` joins two of the same key.
    pub fn fold<A: Send + 'env>(
        self,
        init: impl Fn() -> A + Send + Sync + 'env,
        add: impl Fn(&mut A, Op::Out) + Send + Sync + 'env,
        merge: impl Fn(&mut A, A) + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = Groups<K, A>>> {
        self.folded(init, add, merge, |groups| groups)
    }

    fn folded<A: Send + 'env, B: Send + 'env>(
        self,
        init: impl Fn() -> A + Send + Sync + 'env,
        add: impl Fn(&mut A, Op::Out) + Send + Sync + 'env,
        merge: impl Fn(&mut A, A) + Send + Sync + 'env,
        finish: impl Fn(Groups<K, A>) -> Groups<K, B> + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = Groups<K, B>>> {
        let GroupBy { pipeline, key } = self;
        let whole = move |_: &(dyn Fn() -> HashMap<K, A> + Sync), parts| finish(Groups::merge(parts, &merge));
        let add = move |groups: &mut HashMap<K, A>, item: Op::Out| {
            add(groups.entry(key(&item)).or_insert_with(&init), item);
        };
        Run::new(pipeline.seal(), "group_by", super::end::Reduce::new(HashMap::new, add, whole))
    }

    /// Counts the items of each group.
    pub fn count(self) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = Groups<K, u64>>> {
        self.fold(|| 0, |count, _| *count += 1, |count, other| *count += other)
    }

    /// Reduces each group to one item. `f` should be associative and commutative.
    pub fn reduce(
        self,
        f: impl Fn(Op::Out, Op::Out) -> Op::Out + Send + Sync + 'env,
    ) -> Run<'env, Op::Out, impl Terminal<'env, Op::Out, Output = Groups<K, Op::Out>>> {
        let f = std::sync::Arc::new(f);
        let merge = std::sync::Arc::clone(&f);
        self.folded(
            || None,
            move |left: &mut Option<Op::Out>, item| {
                *left = Some(match left.take() {
                    Some(left) => f(left, item),
                    None => item,
                });
            },
            move |left, right| {
                *left = match (left.take(), right) {
                    (Some(left), Some(right)) => Some(merge(left, right)),
                    (left, right) => left.or(right),
                };
            },
            Groups::occupied,
        )
    }
}

/// The reduced groups: a map in partitions.
#[derive(Debug, Clone)]
pub struct Groups<K, A> {
    /// A key is in the partition that its hash says.
    partitions: Vec<HashMap<K, A>>,
    hasher: RandomState,
}

/// Below this many entries in all, merging on one thread is quicker than dealing them out.
const FEW: usize = 4_096;

impl<K: Hash + Eq + Send, A: Send> Groups<K, A> {
    fn merge(parts: Vec<HashMap<K, A>>, merge: &(impl Fn(&mut A, A) + Sync)) -> Self {
        let hasher = RandomState::new();
        let entries: usize = parts.iter().map(HashMap::len).sum();
        if parts.len() <= 1 || entries <= FEW {
            let partitions = vec![merge_maps(parts.into_iter().map(HashMap::into_iter), merge)];
            return Groups { partitions, hasher };
        }
        let count = rayon::current_num_threads().next_power_of_two();
        let dealt: Vec<Vec<Vec<(K, A)>>> = parts.into_par_iter().map(|part| deal(part, count, &hasher)).collect();
        let mut piles: Vec<Vec<Vec<(K, A)>>> = (0..count).map(|_| Vec::with_capacity(dealt.len())).collect();
        for part in dealt {
            piles.iter_mut().zip(part).for_each(|(pile, share)| pile.push(share));
        }
        let partitions =
            piles.into_par_iter().map(|pile| merge_maps(pile.into_iter().map(Vec::into_iter), merge)).collect();
        Groups { partitions, hasher }
    }
}

impl<K: Hash + Eq + Send, A: Send> Groups<K, Option<A>> {
    /// Only the groups that have something; every group that was reduced has.
    fn occupied(self) -> Groups<K, A> {
        let occupied =
            |part: HashMap<K, Option<A>>| part.into_iter().filter_map(|(key, acc)| Some((key, acc?))).collect();
        Groups { partitions: self.partitions.into_par_iter().map(occupied).collect(), hasher: self.hasher }
    }
}

impl<K: Hash + Eq, A> Groups<K, A> {
    /// The accumulator of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&A>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.partitions[self.hasher.hash_one(key) as usize & (self.partitions.len() - 1)].get(key)
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(HashMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All groups, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &A)> {
        self.partitions.iter().flatten()
    }
}

impl<K, A> IntoIterator for Groups<K, A> {
    type Item = (K, A);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<HashMap<K, A>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.partitions.into_iter().flatten()
    }
}

fn deal<K: Hash, A>(part: HashMap<K, A>, count: usize, hasher: &RandomState) -> Vec<Vec<(K, A)>> {
    let mut shares: Vec<Vec<(K, A)>> = (0..count).map(|_| Vec::new()).collect();
    for (key, acc) in part {
        shares[hasher.hash_one(&key) as usize & (count - 1)].push((key, acc));
    }
    shares
}

fn merge_maps<K: Hash + Eq, A, I: Iterator<Item = (K, A)>>(
    parts: impl Iterator<Item = I>,
    merge: &impl Fn(&mut A, A),
) -> HashMap<K, A> {
    let mut whole: HashMap<K, A> = HashMap::new();
    for (key, acc) in parts.flatten() {
        match whole.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut entry) => merge(entry.get_mut(), acc),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(acc);
            }
        }
    }
    whole
}
