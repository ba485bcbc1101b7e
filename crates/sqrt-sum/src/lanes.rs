//! The order of additions inside a block, and the kernel that any processor runs.

/// Numbers in a block: sums of blocks do not depend on how blocks are dealt out.
pub const BLOCK: usize = 4_096;

/// Sums that run side by side: eight vectors of eight.
pub(crate) const LANES: usize = 64;

/// A sum for each lane.
pub(crate) type Lanes = [f64; LANES];

/// Numbers whose roots are to be added: the integers from a first one on, or little-endian bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// So many integers from this one on, all at most 2⁵³.
    Integers(f64, usize),
    /// Eight bytes a number.
    Bytes(&'a [[u8; 8]]),
}

impl Input<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Input::Integers(_, len) => *len,
            Input::Bytes(bytes) => bytes.len(),
        }
    }

    #[inline(always)]
    fn at(&self, index: usize) -> f64 {
        match self {
            Input::Integers(first, _) => first + index as f64,
            Input::Bytes(bytes) => f64::from_le_bytes(bytes[index]),
        }
    }
}

/// Adds the roots of whole groups of 64. Written so that compilers make vector instructions of it.
#[inline(always)]
pub(crate) fn add_groups(lanes: &mut Lanes, input: Input<'_>) {
    match input {
        Input::Integers(first, len) => {
            for group in 0..len / LANES {
                let first = first + (group * LANES) as f64;
                for (index, lane) in lanes.iter_mut().enumerate() {
                    *lane += (first + index as f64).sqrt();
                }
            }
        }
        Input::Bytes(bytes) => {
            for group in bytes.as_chunks::<LANES>().0 {
                for (lane, bytes) in lanes.iter_mut().zip(group) {
                    *lane += f64::from_le_bytes(*bytes).sqrt();
                }
            }
        }
    }
}

/// Adds the roots after the last whole group.
pub(crate) fn add_rest(lanes: &mut Lanes, input: Input<'_>) {
    let done = input.len() / LANES * LANES;
    for (lane, index) in lanes.iter_mut().zip(done..input.len()) {
        *lane += input.at(index).sqrt();
    }
}

/// Adds the lanes pairwise.
#[inline]
pub(crate) fn join(mut lanes: Lanes) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for index in 0..width {
            lanes[index] += lanes[index + width];
        }
        width /= 2;
    }
    lanes[0]
}
