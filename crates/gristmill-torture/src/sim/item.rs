//! What travels through the pipelines, and what becomes of it: a function of its tag alone, whoever asks.

/// An item: where in the source it came from, and what its stages have made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Item {
    pub(super) position: u64,
    pub(super) tag: u64,
}

/// What a stage does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    Fails,
    Panics,
}

impl Item {
    pub(super) fn new(position: u64) -> Self {
        Item { position, tag: mix(position) }
    }

    /// What a stage with this salt makes of it.
    pub(super) fn changed(self, salt: u64) -> Self {
        Item { tag: mix(self.tag ^ salt), ..self }
    }

    /// A number below 1,000 that the item and the salt decide.
    pub(super) fn die(self, salt: u64) -> u64 {
        mix(self.tag ^ mix(salt)) % 1_000
    }

    /// Of an attempt counted from one, with so many failures and panics in a thousand.
    pub(super) fn fate(self, salt: u64, attempt: u32, (errors, panics): (u64, u64)) -> Fate {
        match self.die(salt ^ mix(attempt.into())) {
            die if die < errors => Fate::Fails,
            die if die < errors + panics => Fate::Panics,
            _ => Fate::Passes,
        }
    }

    /// What an expansion makes of it: none to three.
    pub(super) fn expanded(self, salt: u64) -> impl Iterator<Item = Item> + Send + use<> {
        (0..self.die(salt) % 4).map(move |part| self.changed(salt ^ mix(part + 1)))
    }
}

/// SplitMix64's finalizer.
pub(super) fn mix(bits: u64) -> u64 {
    let mut bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
