//! Bits of an entropy-coded interval.

/// Copies bytes up to the next marker, without the zeros that stand after 0xff. Gives the marker, if there is one, and
/// what follows it.
pub(super) fn unstuff<'a>(mut bytes: &'a [u8], out: &mut Vec<u8>) -> (Option<u8>, &'a [u8]) {
    out.clear();
    loop {
        let Some(at) = memchr::memchr(0xff, bytes) else {
            out.extend_from_slice(bytes);
            return (None, &[]);
        };
        match bytes.get(at + 1) {
            Some(0) => {
                out.extend_from_slice(&bytes[..=at]);
                bytes = &bytes[at + 2..];
            }
            // Any number of them may stand before a marker.
            Some(0xff) => {
                out.extend_from_slice(&bytes[..at]);
                bytes = &bytes[at + 1..];
            }
            Some(&marker) => {
                out.extend_from_slice(&bytes[..at]);
                return (Some(marker), &bytes[at + 2..]);
            }
            None => {
                out.extend_from_slice(&bytes[..at]);
                return (None, &[]);
            }
        }
    }
}

/// Reads bits, the highest of a byte first. After the last there are zeros; [`is_overdrawn`](Bits::is_overdrawn) tells.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in `window`.
    at: usize,
    /// The next bits, from the highest.
    window: u64,
    /// How many bits of `window` are meant to be used.
    n_ready: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0, window: 0, n_ready: 0 }
    }

    /// Makes at least 56 bits ready. Variant 4 of Fabian Giesen's "Reading bits in far too many ways": bits below the
    /// ready ones are already right, and are put there once more.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let next = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(eight) => u64::from_be_bytes(*eight),
            None => self.last(),
        };
        self.window |= next >> self.n_ready;
        self.at += ((63 - self.n_ready) >> 3) as usize;
        self.n_ready |= 56;
    }

    #[cold]
    #[inline(never)]
    fn last(&self) -> u64 {
        let mut eight = [0; 8];
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        eight[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(eight)
    }

    /// How many bits are ready.
    #[inline(always)]
    pub(super) fn n_ready(&self) -> u32 {
        self.n_ready
    }

    /// The next bits, at the low end.
    #[inline(always)]
    pub(super) fn peek<const N: u32>(&self) -> usize {
        (self.window >> (64 - N)) as usize
    }

    /// Steps over bits, which must be ready.
    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        self.window <<= n;
        self.n_ready -= n;
    }

    /// A number of so many bits, at most 16, as JPEG stores it: those that begin with 0 are negative.
    #[inline(always)]
    pub(super) fn number(&mut self, n: u32) -> i32 {
        // Two shifts, as one by 64 is none.
        let value = (self.window >> 1 >> (63 - n)) as i32;
        let is_positive = (self.window >> 63) as i32;
        self.skip(n);
        value - (((1 << n) - 1) & (is_positive - 1))
    }

    /// Whether more was read than there is.
    pub(super) fn is_overdrawn(&self) -> bool {
        8 * self.at - self.n_ready as usize > 8 * self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stuffing_is_taken_out_and_markers_end_it() {
        let mut out = Vec::new();
        assert_eq!(unstuff(&[1, 0xff, 0, 2, 0xff, 0xff, 0xd3, 9], &mut out), (Some(0xd3), &[9][..]));
        assert_eq!(out, [1, 0xff, 2]);
        assert_eq!(unstuff(&[7, 0xff], &mut out), (None, &[][..]));
        assert_eq!(out, [7]);
        assert_eq!(unstuff(&[], &mut out), (None, &[][..]));
        assert!(out.is_empty());
    }

    #[test]
    fn numbers_have_the_sign_of_their_first_bit() {
        let mut bits = Bits::new(&[0b1010_1010, 0b0000_1111]);
        bits.refill();
        assert_eq!([bits.number(0), bits.number(1), bits.number(1), bits.number(3)], [0, 1, -1, 5]);
        assert_eq!(bits.number(3), 2 - 7);
    }

    proptest! {
        #[test]
        fn reads_what_a_plain_reader_reads(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            takes in proptest::collection::vec(0..17u32, 0..40),
        ) {
            let mut bits = Bits::new(&bytes);
            let mut at = 0;
            for n in takes {
                bits.refill();
                let expected = (at..at + n as usize).fold(0, |value, bit| {
                    2 * value + bytes.get(bit / 8).map_or(0, |byte| usize::from(byte >> (7 - bit % 8) & 1))
                });
                prop_assert_eq!(bits.peek::<16>() >> (16 - n), expected);
                bits.skip(n);
                at += n as usize;
                prop_assert_eq!(bits.is_overdrawn(), at > 8 * bytes.len());
            }
        }
    }
}
