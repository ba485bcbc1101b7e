//! The hash functions, and what they give.

use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;
use xxhash_rust::xxh3;

/// A hash function.
///
/// # Examples
///
/// ```
/// use gristmill_hashing::Algorithm;
///
/// let digest = Algorithm::Sha256.hash(b"abc");
/// assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// BLAKE3, as `b3sum` prints it. Made for parallel work: one file keeps all cores busy.
    Blake3,
    /// SHA-256, as `sha256sum` prints it. With the instructions of the processor for it, where there are any.
    Sha256,
    /// XXH3 with 128 bits, as `xxhsum -H2` prints it. Not cryptographic: it finds accidents, not attacks.
    Xxh3,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::Blake3, Algorithm::Sha256, Algorithm::Xxh3];

    /// The name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha256 => "sha256",
            Algorithm::Xxh3 => "xxh3",
        }
    }

    /// The name in a tagged line, `NAME (file) = digest`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "BLAKE3",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Xxh3 => "XXH128",
        }
    }

    /// How many bytes a digest has.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        match self {
            Algorithm::Blake3 | Algorithm::Sha256 => 32,
            Algorithm::Xxh3 => 16,
        }
    }

    /// The digest of bytes that are all there.
    #[must_use]
    pub fn hash(self, bytes: &[u8]) -> Digest {
        match self {
            Algorithm::Blake3 => Digest::new(blake3::hash(bytes).as_bytes()),
            Algorithm::Sha256 => Digest::new(&sha2::Sha256::digest(bytes)),
            Algorithm::Xxh3 => Digest::new(&xxh3::xxh3_128(bytes).to_be_bytes()),
        }
    }

    /// Whether pieces of a file can be hashed apart from one another.
    pub(crate) fn is_splittable(self) -> bool {
        self == Algorithm::Blake3
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

/// No [`Algorithm`] has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no hash function is named `{0}`; there are blake3, sha256 and xxh3")]
pub struct UnknownAlgorithm(String);

/// What a hash function gives: 16 or 32 bytes. Prints as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    /// Zeros after the digest, so that equal digests are equal arrays.
    bytes: [u8; 32],
    len: u8,
}

impl Digest {
    fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes[..from.len()].copy_from_slice(from);
        Digest { bytes, len: from.len() as u8 }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Reads the hex digits of a digest of this function, in either case. `None` if they are none, or too few or many.
    #[must_use]
    pub fn from_hex(algorithm: Algorithm, hex: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = algorithm.digest_bytes();
        if hex.len() != 2 * len {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = 16 * hex_value(pair[0])? + hex_value(pair[1])?;
        }
        Some(Digest { bytes, len: len as u8 })
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.pad(std::str::from_utf8(&hex[..2 * usize::from(self.len)]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A digest in the making, fed block by block.
pub(crate) enum Stream {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
    Xxh3(Box<xxh3::Xxh3>),
}

impl Stream {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Blake3 => Stream::Blake3(Box::default()),
            Algorithm::Sha256 => Stream::Sha256(sha2::Sha256::new()),
            Algorithm::Xxh3 => Stream::Xxh3(Box::default()),
        }
    }

    pub(crate) fn update(&mut self, block: &[u8]) {
        match self {
            Stream::Blake3(hasher) => {
                hasher.update(block);
            }
            Stream::Sha256(hasher) => hasher.update(block),
            Stream::Xxh3(hasher) => hasher.update(block),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Stream::Blake3(hasher) => Digest::new(hasher.finalize().as_bytes()),
            Stream::Sha256(hasher) => Digest::new(&hasher.finalize()),
            Stream::Xxh3(hasher) => Digest::new(&hasher.digest128().to_be_bytes()),
        }
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Digest::new(hash.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The empty and the three-letter inputs of the functions' own specifications and tools.
    #[test]
    fn digests_are_those_of_the_known_programs() {
        let known = [
            (Algorithm::Blake3, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (Algorithm::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (Algorithm::Xxh3, "99aa06d3014798d86001c324468d497f"),
        ];
        for (algorithm, hex) in known {
            assert_eq!(algorithm.hash(b"").to_string(), hex);
            assert_eq!(Stream::new(algorithm).finish().to_string(), hex);
        }
        assert_eq!(Algorithm::Xxh3.hash(b"x").to_string(), "5c7401c0ec22eeeeeaf06c6480b2cd11");
    }

    #[test]
    fn hex_is_read_back_in_either_case() {
        for algorithm in Algorithm::ALL {
            let digest = algorithm.hash(b"some bytes");
            let hex = digest.to_string();
            assert_eq!(Digest::from_hex(algorithm, hex.as_bytes()), Some(digest));
            assert_eq!(Digest::from_hex(algorithm, hex.to_uppercase().as_bytes()), Some(digest));
            assert_eq!(Digest::from_hex(algorithm, &hex.as_bytes()[2..]), None);
            assert_eq!(Digest::from_hex(algorithm, hex.replace(&hex[..1], "g").as_bytes()), None);
        }
    }

    #[test]
    fn names_are_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert!("md5".parse::<Algorithm>().unwrap_err().to_string().contains("`md5`"));
    }
}
