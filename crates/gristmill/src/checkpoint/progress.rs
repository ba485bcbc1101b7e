//! What is kept: how far a run has come, and how that is written down.

use super::crc::crc32c;

/// Where a source stands: a few bytes that only the source understands.
///
/// # Examples
///
/// ```
/// let mark = gristmill::Mark::new(7u64.to_le_bytes());
/// assert_eq!(mark.bytes(), [7, 0, 0, 0, 0, 0, 0, 0]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Vec<u8>);

impl Mark {
    /// A mark of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Mark(bytes.into())
    }

    /// What the source wrote.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a store needs to go back to what it had at a checkpoint: a few bytes that only the store understands. Empty if it
/// needs nothing, or cannot go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt(Vec<u8>);

impl Receipt {
    /// A receipt of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Receipt(bytes.into())
    }

    /// The receipt of a store that cannot go back.
    #[must_use]
    pub fn none() -> Self {
        Receipt::default()
    }

    /// What the store wrote.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A mark, and how many items come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub(crate) mark: Mark,
    pub(crate) position: u64,
}

/// How far a run has come: everything that the source gave before a position has been dealt with.
///
/// A store that keeps it in its own transaction writes [`to_bytes`](Progress::to_bytes) down with its rows, and reads it
/// with [`from_bytes`](Progress::from_bytes).
///
/// # Examples
///
/// ```
/// use gristmill::Progress;
///
/// let written = Progress::default().to_bytes();
/// assert_eq!(Progress::from_bytes(&written)?.position(), 0);
/// assert!(Progress::from_bytes(&written[1..]).is_err());
/// # Ok::<(), gristmill::BadProgress>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub(crate) position: u64,
    pub(crate) complete: bool,
    /// Where the source stood at the position, or a little before it.
    pub(crate) standing: Option<Standing>,
    pub(crate) fingerprint: Option<String>,
    /// What those who stored were given back, by their names.
    pub(crate) receipts: Vec<(String, Receipt)>,
}

/// The first bytes of progress that is written down.
const MAGIC: [u8; 8] = *b"GRISTCKP";
const VERSION: u32 = 1;
/// Magic, version, length of what follows, and the checksum of all that but the magic and itself.
const HEADER: usize = 8 + 4 + 8 + 4;

/// What was read is no progress that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadProgress {
    /// It does not begin as one does.
    #[error("it is not a checkpoint")]
    Foreign,
    /// A later version of this library wrote it.
    #[error("it was written by a newer version, in format {0}")]
    Newer(u32),
    /// It is shorter, or longer, than it says.
    #[error("it is torn: {found} bytes where {expected} should be")]
    Torn {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// Its checksum does not fit, or it says what cannot be.
    #[error("it is corrupt: its checksum does not fit what it says")]
    Corrupt,
}

impl Progress {
    /// Everything that the source gave before this position, counted from zero, has been stored, filtered, skipped or
    /// dead-lettered.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the source had nothing more to give.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The progress as bytes, with a checksum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.body();
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        let checksum = crc32c(&[&bytes[8..], &body].concat());
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// Reads what [`to_bytes`](Progress::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else: foreign, of a newer version, cut off, or changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Progress, BadProgress> {
        if !bytes.starts_with(&MAGIC) {
            return Err(BadProgress::Foreign);
        }
        let torn = |expected: u64| BadProgress::Torn { found: bytes.len() as u64, expected };
        let mut header = Reader(bytes.get(8..HEADER).ok_or(torn(HEADER as u64))?);
        let (version, length, checksum) = (header.u32()?, header.u64()?, header.u32()?);
        if version > VERSION {
            return Err(BadProgress::Newer(version));
        }
        let expected = length.saturating_add(HEADER as u64);
        if expected != bytes.len() as u64 {
            return Err(torn(expected));
        }
        if checksum != crc32c(&[&bytes[8..HEADER - 4], &bytes[HEADER..]].concat()) || version != VERSION {
            return Err(BadProgress::Corrupt);
        }
        Progress::read_body(Reader(&bytes[HEADER..]))
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(self.position.to_le_bytes());
        body.push(u8::from(self.complete));
        body.push(u8::from(self.standing.is_some()));
        if let Some(Standing { mark, position }) = &self.standing {
            body.extend(position.to_le_bytes());
            put(&mut body, mark.bytes());
        }
        body.push(u8::from(self.fingerprint.is_some()));
        if let Some(fingerprint) = &self.fingerprint {
            put(&mut body, fingerprint.as_bytes());
        }
        body.extend((self.receipts.len() as u64).to_le_bytes());
        for (name, receipt) in &self.receipts {
            put(&mut body, name.as_bytes());
            put(&mut body, receipt.bytes());
        }
        body
    }

    fn read_body(mut body: Reader<'_>) -> Result<Progress, BadProgress> {
        let position = body.u64()?;
        let complete = body.flag()?;
        let standing = if body.flag()? {
            let position = body.u64()?;
            Some(Standing { position, mark: Mark::new(body.bytes()?) })
        } else {
            None
        };
        let fingerprint = if body.flag()? { Some(body.text()?) } else { None };
        let mut receipts = Vec::new();
        for _ in 0..body.u64()? {
            let name = body.text()?;
            receipts.push((name, Receipt::new(body.bytes()?)));
        }
        let sound = body.0.is_empty() && standing.as_ref().is_none_or(|standing| standing.position <= position);
        let progress = Progress { position, complete, standing, fingerprint, receipts };
        if sound { Ok(progress) } else { Err(BadProgress::Corrupt) }
    }

    /// What somebody who stored was given back.
    pub(crate) fn receipt(&self, name: &str) -> Option<&Receipt> {
        self.receipts.iter().find(|(of, _)| of == name).map(|(_, receipt)| receipt)
    }
}

fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend((bytes.len() as u64).to_le_bytes());
    body.extend(bytes);
}

/// Bytes that are read from the front. What a length claims is never believed beyond what is there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], BadProgress> {
        let len = usize::try_from(len).map_err(|_| BadProgress::Corrupt)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadProgress::Corrupt)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadProgress> {
        self.take(N as u64)?.try_into().map_err(|_| BadProgress::Corrupt)
    }

    fn u32(&mut self) -> Result<u32, BadProgress> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadProgress> {
        self.array().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, BadProgress> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(BadProgress::Corrupt),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], BadProgress> {
        let len = self.u64()?;
        self.take(len)
    }

    fn text(&mut self) -> Result<String, BadProgress> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| BadProgress::Corrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Progress {
        Progress {
            position: 1_000_007,
            complete: false,
            standing: Some(Standing { mark: Mark::new(*b"file 3, byte 4711"), position: 999_999 }),
            fingerprint: Some("12 bytes of `flights.csv`".to_owned()),
            receipts: vec![("end 0: store".to_owned(), Receipt::new(42u64.to_le_bytes()))],
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_found() {
        let bytes = sample().to_bytes();
        assert_eq!(Progress::from_bytes(&bytes), Ok(sample()));
        for len in 0..bytes.len() {
            assert!(Progress::from_bytes(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Progress::from_bytes(&flipped).is_err(), "bit {bit}");
        }
        assert!(Progress::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_newer_format_says_so() {
        let mut bytes = sample().to_bytes();
        bytes[8] = 2;
        assert_eq!(Progress::from_bytes(&bytes), Err(BadProgress::Newer(2)));
        assert_eq!(Progress::from_bytes(b"SQLite format 3"), Err(BadProgress::Foreign));
    }

    #[test]
    fn what_says_what_cannot_be_is_corrupt_though_its_checksum_fits() {
        let read = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut body = sample().body();
            change(&mut body);
            Progress::read_body(Reader(&body))
        };
        assert_eq!(read(&|_| {}), Ok(sample()));
        assert_eq!(read(&|body| body.push(0)), Err(BadProgress::Corrupt), "more than it says");
        assert_eq!(read(&|body| body[..8].fill(0)), Err(BadProgress::Corrupt), "the source stands behind the position");
        assert_eq!(read(&|body| body[8] = 2), Err(BadProgress::Corrupt), "neither complete nor not");
        let in_place = Progress { position: 999_999, ..sample() };
        assert_eq!(Progress::read_body(Reader(&in_place.body())), Ok(in_place));
    }

    #[test]
    fn a_receipt_is_found_by_its_name() {
        let receipts = ["end 0: store", "end 1: store"].map(|name| (name.to_owned(), Receipt::new(name)));
        let progress = Progress { receipts: receipts.to_vec(), complete: true, ..sample() };
        assert_eq!(progress.receipt("end 1: store"), Some(&Receipt::new("end 1: store")));
        assert_eq!(progress.receipt("end 2: store"), None);
        assert_eq!((progress.position(), progress.is_complete(), sample().is_complete()), (1_000_007, true, false));
    }

    /// One change to some bytes: what disks, editors and careless copies do.
    fn mutate(bytes: &mut Vec<u8>, (kind, at, value): (u8, usize, u8)) {
        let at = at % bytes.len().max(1);
        match kind % 6 {
            0 => bytes[at] ^= value.max(1),
            1 => bytes.truncate(at),
            2 => bytes.extend(std::iter::repeat_n(value, at + 1)),
            3 => {
                let with = usize::from(value) % bytes.len().max(1);
                bytes.swap(at, with);
            }
            4 => bytes.insert(at, value),
            _ => drop(bytes.remove(at)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 10_000 }))]

        #[test]
        fn a_mutation_is_detected_or_changes_nothing(
            mutations in prop::collection::vec(any::<(u8, usize, u8)>(), 1..4)
        ) {
            let original = sample().to_bytes();
            let mut bytes = original.clone();
            for mutation in mutations {
                if !bytes.is_empty() {
                    mutate(&mut bytes, mutation);
                }
            }
            prop_assert_eq!(Progress::from_bytes(&bytes).is_ok(), bytes == original);
        }

        /// A checksum keeps out what happens by chance; what was made on purpose must at least not panic or fill memory.
        #[test]
        fn no_body_makes_reading_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Progress::read_body(Reader(&body));
        }
    }
}
