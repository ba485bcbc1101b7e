//! One lane becomes two: copies of the items for both, or each item for one of them.

use super::Driver;
use super::morsel::{Morsel, Origin, Recycler};
use super::plan::{AnyInlet, Inlet};
use crate::weight::Scale;
use std::marker::PhantomData;
use std::sync::Arc;

/// Who gets what of an item.
pub(crate) trait Forks<In, T>: Send + Sync {
    fn fork(item: In) -> (Option<T>, Option<T>);
}

/// Both get a copy.
pub(crate) struct Copies;

impl<T> Forks<(T, T), T> for Copies {
    fn fork((side, main): (T, T)) -> (Option<T>, Option<T>) {
        (Some(side), Some(main))
    }
}

/// The side gets what is marked.
pub(crate) struct Splits;

impl<T> Forks<(bool, T), T> for Splits {
    fn fork((side, item): (bool, T)) -> (Option<T>, Option<T>) {
        if side { (Some(item), None) } else { (None, Some(item)) }
    }
}

/// Shares morsels out between a side branch and the main one. Each gets one for every morsel, so that both can restore
/// order; they share its slot.
pub(crate) struct Fork<'env, T, How> {
    side: AnyInlet<'env, T>,
    main: AnyInlet<'env, T>,
    scale: Scale<'env, T>,
    emptied: Arc<Recycler<T>>,
    how: PhantomData<How>,
}

impl<'env, T, How> Fork<'env, T, How> {
    pub(crate) fn new(
        side: AnyInlet<'env, T>,
        main: AnyInlet<'env, T>,
        scale: Scale<'env, T>,
        budget: Option<usize>,
    ) -> Self {
        Fork { side, main, scale, emptied: Recycler::new(budget), how: PhantomData }
    }
}

impl<'env, In: Send, T: Send, How: Forks<In, T>> Inlet<'env, In> for Fork<'env, T, How> {
    fn push(&self, mut morsel: Morsel<In>, driver: Driver<'_, 'env>) {
        let start = morsel.origin.position(0);
        let (mut side, mut main) = (self.emptied.get(), self.emptied.get());
        let (mut side_origin, mut main_origin) = (Origin::at(start), Origin::at(start));
        let positions = std::mem::take(&mut morsel.origin);
        for (index, item) in morsel.items.drain(..).enumerate() {
            let position = positions.position(index);
            let (to_side, to_main) = How::fork(item);
            for (branch, origin, item) in
                [(&mut side, &mut side_origin, to_side), (&mut main, &mut main_origin, to_main)]
            {
                let before = branch.len();
                branch.extend(item);
                origin.follow(before, branch.len(), || position);
            }
        }
        // The items are in their morsels before they are weighed: should the weigher unwind, they are accounted for.
        let permit = morsel.permit.take();
        let mut main = morsel.follow(main, main_origin, permit, &self.emptied);
        let mut side = morsel.follow(side, side_origin, main.permit.branch(0), &self.emptied);
        drop(morsel);
        let (main_bytes, side_bytes) = (self.scale.all(&main.items), self.scale.all(&side.items));
        main.permit.reweigh(main_bytes.saturating_add(side_bytes));
        side.permit = main.permit.branch(side_bytes);
        self.side.push(side, driver);
        self.main.push(main, driver);
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        self.side.close(driver);
        self.main.close(driver);
    }
}
