//! Items in groups, for contenders that batch by hand.

/// Items in one batch.
pub(super) const BATCH: u64 = 256;

/// The integers `0..items` in batches, each with a buffer of its own.
pub(super) fn batches(items: u64) -> impl Iterator<Item = Vec<u64>> {
    let size = usize::try_from(BATCH).unwrap_or(usize::MAX);
    (0..items).step_by(size).map(move |start| (start..items.min(start + BATCH)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_the_integers_in_order() {
        let lengths: Vec<_> = batches(600).map(|batch| batch.len()).collect();
        assert_eq!(lengths, [256, 256, 88]);
        assert!(batches(600).flatten().eq(0..600));
        assert_eq!(batches(0).count(), 0);
    }
}
