//! Restores source order at a sink.

use std::collections::VecDeque;

/// Messages that came too early, in a ring indexed by how far ahead they are.
pub(super) struct Reorder<T> {
    next: u64,
    early: VecDeque<Option<T>>,
}

impl<T> Reorder<T> {
    /// Starts at message 0.
    pub(super) fn new() -> Self {
        Self { next: 0, early: VecDeque::new() }
    }

    /// Takes message number `index` and hands on every message whose turn it is.
    pub(super) fn push(&mut self, index: u64, message: T, mut emit: impl FnMut(T)) {
        if index == self.next && self.early.is_empty() {
            self.next += 1;
            emit(message);
        } else {
            self.keep(index, message);
            self.release(emit);
        }
    }

    fn keep(&mut self, index: u64, message: T) {
        let ahead = usize::try_from(index - self.next).expect("what is kept fits in memory");
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        self.early[ahead] = Some(message);
    }

    fn release(&mut self, mut emit: impl FnMut(T)) {
        while let Some(message) = self.early.front_mut().and_then(Option::take) {
            self.early.pop_front();
            self.next += 1;
            emit(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_order() {
        let mut reorder = Reorder::new();
        let mut seen = Vec::new();
        for index in [2, 0, 1, 5, 4, 3, 6] {
            reorder.push(index, index, |index| seen.push(index));
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
