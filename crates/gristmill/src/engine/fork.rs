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
    pub(crate) fn new(side: AnyInlet<'env, T>, main: AnyInlet<'env, T>, scale: Scale<'env, T>) -> Self {
        Fork { side, main, scale, emptied: Recycler::new(), how: PhantomData }
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
        let mut permit = morsel.permit.take();
        permit.reweigh(self.scale.all(&main));
        let side_permit = permit.share(self.scale.all(&side));
        let branch = |items, origin, permit| Morsel {
            seq: morsel.seq,
            items,
            origin,
            permit,
            born: morsel.born,
            source_items: morsel.source_items,
            home: Some(Arc::clone(&self.emptied)),
            shared: Arc::clone(&morsel.shared),
        };
        let (side, main) = (branch(side, side_origin, side_permit), branch(main, main_origin, permit));
        drop(morsel);
        self.side.push(side, driver);
        self.main.push(main, driver);
    }

    fn close(&self, driver: Driver<'_, 'env>) {
        self.side.close(driver);
        self.main.close(driver);
    }
}
