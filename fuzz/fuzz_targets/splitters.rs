//! Any bytes, any splitter, any target: joining the chunks gives the file back, no record is cut in two, and a file that
//! is read gives what one gives that is mapped.
//!
//! `cargo +nightly fuzz run splitters`

#![no_main]

use arbitrary::Arbitrary;
use gristmill::chunk::{CsvRows, Delimited, DelimitedBy, FixedSize, LengthPrefixed, Splitter, Whole};
use gristmill::{Bytes, Chunk, Chunks, Source};
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use std::path::Path;

#[derive(Debug, Arbitrary)]
struct Input {
    splitter: Kind,
    target: u8,
    bytes: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Delimited(u8),
    DelimitedBy(Vec<u8>),
    FixedSize(u8),
    Csv { delimiter: u8, quote: u8 },
    Prefixed { width: u8, counts: bool },
    Whole,
}

fuzz_target!(|input: Input| {
    let mut file = tempfile();
    file.1.write_all(&input.bytes).unwrap();
    let (path, target, bytes) = (file.0.as_path(), usize::from(input.target), &input.bytes);
    match input.splitter {
        Kind::Delimited(byte) => check(path, target, bytes, &Delimited(byte)),
        Kind::DelimitedBy(delimiter) => check(path, target, bytes, &DelimitedBy::new(delimiter)),
        Kind::FixedSize(size) => check(path, target, bytes, &FixedSize::new(size.into())),
        Kind::Csv { delimiter, quote } => check(path, target, bytes, &CsvRows { delimiter, quote }),
        Kind::Prefixed { width, counts } => {
            let splitters = [
                LengthPrefixed::U16_BE,
                LengthPrefixed::U16_LE,
                LengthPrefixed::U32_BE,
                LengthPrefixed::U32_LE,
                LengthPrefixed::U64_BE,
                LengthPrefixed::U64_LE,
            ];
            let splitter = splitters[usize::from(width) % splitters.len()];
            check(path, target, bytes, &if counts { splitter.counting_itself() } else { splitter });
        }
        Kind::Whole => check(path, target, bytes, &Whole),
    }
});

/// One file for each fuzzing process, written anew for each input.
fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("gristmill-fuzz-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    (path, file)
}

fn check<S: Splitter + Clone>(path: &Path, target: usize, bytes: &[u8], splitter: &S) {
    let read = pull(Chunks::open(path).unwrap(), target, splitter);
    // SAFETY: nobody else knows the file, and it is written only when no chunk of it lives.
    let mapped = pull(unsafe { Chunks::map(path) }.unwrap(), target, splitter);
    for (chunks, failed) in [&read, &mapped] {
        let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.to_vec()).collect();
        assert!(bytes.starts_with(&joined));
        assert!(*failed || joined.len() == bytes.len());
        let (expected, found) = (records(splitter, bytes), chunks.iter().flat_map(|chunk| records(splitter, chunk)));
        assert!(found.eq(expected.into_iter().take_while(|record| offset_in(bytes, record) < joined.len())));
    }
    let (read, mapped) = (sizes(&read), sizes(&mapped));
    assert_eq!(read, mapped);
}

fn offset_in(bytes: &[u8], record: &[u8]) -> usize {
    record.as_ptr() as usize - bytes.as_ptr() as usize
}

fn sizes((chunks, failed): &(Vec<Chunk>, bool)) -> (usize, bool) {
    (chunks.iter().map(|chunk| chunk.len()).sum(), *failed)
}

/// The chunks until the first failure, and whether there was one.
fn pull<S: Splitter + Clone>(chunks: Chunks, target: usize, splitter: &S) -> (Vec<Chunk>, bool) {
    let mut source = chunks.target(Bytes::new(target)).split(splitter.clone());
    let mut pulled = Vec::new();
    loop {
        match source.pull() {
            None => return (pulled, false),
            Some(Ok(chunk)) => pulled.push(chunk),
            Some(Err(_)) => return (pulled, true),
        }
    }
}

/// The records one by one, until one cannot be.
fn records<'a>(splitter: &impl Splitter, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let Ok(end) = splitter.first(rest) else { break };
        let end = end.unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        records.push(&rest[..end]);
        rest = &rest[end..];
    }
    records
}
