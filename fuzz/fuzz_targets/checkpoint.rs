//! Any bytes as a checkpoint: nothing panics, what is not one is an error, what is one reads back as it was; and a run
//! that is told to go on from them does, or says why not and leaves the file alone.
//!
//! Bytes with a checksum that fits are tried as well, as hardly any of those that are made at random have one.
//!
//! `cargo +nightly fuzz run checkpoint`

#![no_main]

use arbitrary::Arbitrary;
use gristmill::prelude::*;
use gristmill::{Checkpoint, Progress, store};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Arbitrary)]
struct Input {
    kind: Kind,
    bytes: Vec<u8>,
    runs: bool,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    AsTheyAre,
    /// The bytes follow a header that fits.
    Body,
}

fuzz_target!(|input: Input| {
    let bytes = match input.kind {
        Kind::AsTheyAre => input.bytes,
        Kind::Body => with_header(&input.bytes),
    };
    let read = Progress::from_bytes(&bytes);
    if let Ok(progress) = &read {
        assert_eq!(progress.to_bytes(), bytes);
    }
    if input.runs {
        go_on_from(&bytes, read.is_ok());
    }
});

/// A file of one store, gone on with from these bytes.
fn go_on_from(bytes: &[u8], is_sound: bool) {
    let path = file();
    std::fs::write(&path, bytes).unwrap();
    let mut stored = Vec::new();
    let run = Pipeline::extract(0..50u64)
        .ordered()
        .checkpoint(Checkpoint::file(&path).every(Duration::from_secs(3_600)))
        .store(store::from_fn(|item| Ok::<_, String>(stored.push(item))))
        .run();
    let left = std::fs::read(&path).unwrap();
    match run {
        Ok(_) => {
            assert!(is_sound, "a run went on from what is no checkpoint");
            assert!(stored.windows(2).all(|pair| pair[0] + 1 == pair[1]) && stored.len() <= 50);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(stored.is_empty() && left == bytes, "{error}");
        }
    }
}

/// One for each fuzzing process.
fn file() -> PathBuf {
    std::env::temp_dir().join(format!("gristmill-fuzz-{}.checkpoint", std::process::id()))
}

/// Magic, version, length and checksum before a body.
fn with_header(body: &[u8]) -> Vec<u8> {
    let mut checked = 1u32.to_le_bytes().to_vec();
    checked.extend((body.len() as u64).to_le_bytes());
    let checksum = crc32c(&[&checked[..], body].concat());
    [b"GRISTCKP", &checked[..], &checksum.to_le_bytes(), body].concat()
}

fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}
