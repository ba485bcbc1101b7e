//! Chunks: joining them gives the file back, and no record is cut in two, wherever the bytes come from.

use crate::support::{pool, within};
use gristmill::chunk::{CsvRows, Delimited, DelimitedBy, FixedSize, LengthPrefixed, Pieces, Splitter, Whole};
use gristmill::prelude::*;
use gristmill::{Bytes, Chunk, ChunkError, Chunks, Weight};
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn open(path: &Path, mapped: bool) -> Chunks {
    // SAFETY: the temporary file is the test's own, and nobody changes it.
    if mapped { unsafe { Chunks::map(path) }.unwrap() } else { Chunks::open(path).unwrap() }
}

fn pull_all<S: Splitter>(chunks: Chunks, splitter: S) -> Vec<Result<Chunk, ChunkError>> {
    let mut source = chunks.split(splitter);
    std::iter::from_fn(|| source.pull()).collect()
}

/// The records of whole bytes, found one by one: how a splitter must cut them, whatever the target.
fn records<'a>(splitter: &impl Splitter, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let end = splitter.first(rest).unwrap().unwrap_or(rest.len());
        records.push(&rest[..end]);
        rest = &rest[end..];
    }
    records
}

/// Checks a splitter on bytes that it accepts.
fn check<S: Splitter + Clone>(splitter: &S, bytes: &[u8], target: usize) {
    let file = file_of(bytes);
    let expected = records(splitter, bytes);
    for mapped in [false, true] {
        let chunks = pull_all(open(file.path(), mapped).target(Bytes::new(target)), splitter.clone());
        let chunks: Vec<Chunk> = chunks.into_iter().map(Result::unwrap).collect();
        let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
        assert_eq!(joined, bytes, "mapped {mapped}, target {target}");
        let found: Vec<&[u8]> = chunks.iter().flat_map(|chunk| records(splitter, chunk)).collect();
        assert_eq!(found, expected, "mapped {mapped}, target {target}");
        for chunk in &chunks {
            let before = &bytes[..chunk.offset() as usize];
            let line_ends = before.iter().filter(|byte| **byte == b'\n').count() as u64;
            // Of what has no lines they are counted only where that costs nothing until it is asked for.
            assert_eq!(chunk.first_line(), if mapped || splitter.has_lines() { line_ends + 1 } else { 1 });
            assert_eq!(chunk.path(), Some(file.path()));
            let one = records(splitter, chunk).len() == 1;
            assert!(chunk.len() <= target || one, "{} bytes in a chunk of several records", chunk.len());
        }
    }
}

/// Bytes in which what separates records is frequent.
fn text(separators: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => proptest::sample::select(separators), 1 => Just(b'a'), 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..300)
}

proptest! {
    #[test]
    fn lines(bytes in text(b"\n\rab"), target in 1usize..80) {
        check(&Delimited(b'\n'), &bytes, target);
    }

    #[test]
    fn a_delimiter_of_several_bytes(
        bytes in text(b"ab-"),
        delimiter in proptest::collection::vec(proptest::sample::select(&b"ab-"[..]), 0..4),
        target in 1usize..80,
    ) {
        check(&DelimitedBy::new(delimiter), &bytes, target);
    }

    #[test]
    fn rows_of_csv(bytes in text(b"\"\n,"), target in 1usize..80) {
        check(&CsvRows::default(), &bytes, target);
    }

    #[test]
    fn fixed_sizes(count in 0usize..40, size in 1usize..9, target in 1usize..80) {
        let bytes: Vec<u8> = (0..count * size).map(|at| at as u8).collect();
        check(&FixedSize::new(size), &bytes, target);
    }

    #[test]
    fn lengths_before_records(sizes in proptest::collection::vec(0usize..30, 0..30), target in 1usize..80) {
        for (splitter, width) in [(LengthPrefixed::U16_BE, 2), (LengthPrefixed::U32_LE, 4), (LengthPrefixed::U64_BE, 8)] {
            for counts in [false, true] {
                let splitter = if counts { splitter.counting_itself() } else { splitter };
                let mut bytes = Vec::new();
                for size in &sizes {
                    let length = if counts { size + width } else { *size } as u64;
                    let all = length.to_be_bytes();
                    let mut prefix = all[8 - width..].to_vec();
                    if splitter == LengthPrefixed::U32_LE || splitter == LengthPrefixed::U32_LE.counting_itself() {
                        prefix.reverse();
                    }
                    bytes.extend(prefix);
                    bytes.extend(std::iter::repeat_n(7u8, *size));
                }
                check(&splitter, &bytes, target);
                let payloads: Vec<usize> =
                    records(&splitter, &bytes).into_iter().map(|record| splitter.payload(record).len()).collect();
                prop_assert_eq!(payloads, sizes.clone());
            }
        }
    }

    #[test]
    fn no_bytes_make_a_splitter_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), target in 0usize..50) {
        fn pull<S: Splitter + Clone>(path: &Path, target: usize, splitter: &S) {
            for mapped in [false, true] {
                // What cannot be a record is one failure, and the end.
                let mut failures = pull_all(open(path, mapped).target(Bytes::new(target)), splitter.clone())
                    .into_iter().skip_while(Result::is_ok);
                failures.next();
                assert!(failures.next().is_none());
            }
        }
        let file = file_of(&bytes);
        pull(file.path(), target, &FixedSize::new(7));
        pull(file.path(), target, &LengthPrefixed::U16_LE);
        pull(file.path(), target, &LengthPrefixed::U64_LE.counting_itself());
        pull(file.path(), target, &CsvRows { delimiter: b';', quote: b'\'' });
        pull(file.path(), target, &DelimitedBy::new(b"\0\0"));
        pull(file.path(), target, &Whole);
    }

    #[test]
    fn quoted_rows_are_those_that_were_written(
        rows in proptest::collection::vec(proptest::collection::vec("[a,\"\n\r]{0,6}", 1..4), 0..12),
        target in 1usize..60,
    ) {
        let mut bytes = String::new();
        for row in &rows {
            let fields: Vec<String> = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            bytes.push_str(&fields.join(","));
            bytes.push('\n');
        }
        check(&CsvRows::default(), bytes.as_bytes(), target);
        prop_assert_eq!(records(&CsvRows::default(), bytes.as_bytes()).len(), rows.len());
    }
}

#[test]
fn odd_files_have_defined_chunks() {
    for text in ["", "\n", "\n\n\n", "no end", "one\ntwo", "a\r\nb\r\n", "\r", "\"", "\"\"\n\"\n\"\n"] {
        for target in [1, 2, 3, 1_000] {
            check(&Delimited(b'\n'), text.as_bytes(), target);
            check(&CsvRows::default(), text.as_bytes(), target);
            check(&Whole, text.as_bytes(), target);
        }
    }
}

#[test]
fn a_file_that_ends_inside_a_record_is_an_error_after_the_whole_ones() {
    let file = file_of(&[1, 2, 3, 4, 5, 6, 7]);
    for mapped in [false, true] {
        for target in [1, 4, 100] {
            let mut pulled = pull_all(open(file.path(), mapped).target(Bytes::new(target)), FixedSize::new(3));
            let error = pulled.pop().unwrap().unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "at byte 6: 1 bytes at the end are not a record of 3");
            let bytes: usize = pulled.into_iter().map(|chunk| chunk.unwrap().len()).sum();
            assert_eq!(bytes, 6);
        }
    }
}

#[test]
fn a_length_that_cannot_be_is_an_error() {
    let file = file_of(&[0, 0, 0, 0, 0, 0, 0, 3]);
    let error = pull_all(open(file.path(), true), LengthPrefixed::U64_BE.counting_itself()).remove(0).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("a length of 3 bytes cannot be"), "{cause}");
}

#[test]
fn a_record_beyond_the_limit_is_an_error_and_not_a_full_memory() {
    let chunks = Chunks::open("/dev/zero").unwrap().target(Bytes::kib(4)).largest_record(Bytes::mib(1));
    let error = pull_all(chunks, Delimited(b'\n')).remove(0).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "at byte 0: a record of more than 1048576 bytes");
}

#[test]
fn skipped_records_are_left_out_of_each_file() {
    let files = ["head\none\n", "", "head", "head\r\ntwo"].map(|text| file_of(text.as_bytes()));
    let paths = || files.iter().map(|file| file.path().to_owned());
    for target in [1, 6, 1_000] {
        // SAFETY: the temporary files are the test's own, and nobody changes them.
        for chunks in [Chunks::open_all(paths()), unsafe { Chunks::map_all(paths()) }] {
            let mut source = chunks.target(Bytes::new(target)).lines().skip_records(1);
            let chunks: Vec<Chunk> = std::iter::from_fn(|| source.pull().map(Result::unwrap)).collect();
            let lines: Vec<(u64, String)> = chunks
                .into_iter()
                .flat_map(Chunk::into_lines)
                .map(|(number, line)| (number, String::from_utf8(line.to_vec()).unwrap()))
                .collect();
            assert_eq!(lines, [(2, "one".to_owned()), (2, "two".to_owned())]);
        }
    }
}

#[test]
fn one_of_several_files_that_cannot_be_opened_is_one_failure() {
    let (first, last) = (file_of(b"1\n"), file_of(b"2\n"));
    let missing = PathBuf::from("/no/such/file");
    let paths = [first.path().to_owned(), missing, std::env::temp_dir(), last.path().to_owned()];
    let report = Pipeline::extract(Chunks::open_all(paths).lines())
        .on_error(OnError::collect())
        .map(|chunk| chunk.to_vec())
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    assert_eq!(report.output, [b"1\n", b"2\n"]);
    assert_eq!(report.failures.len(), 2);
    assert!(report.failures[0].message.contains("could not open `/no/such/file`"), "{:?}", report.failures);
}

#[test]
fn what_cannot_be_opened_or_mapped_says_so() {
    assert_eq!(Chunks::open("/no/such/file").unwrap_err().to_string(), "could not open `/no/such/file`");
    assert!(Chunks::open(std::env::temp_dir()).is_err());
    // SAFETY: nothing is mapped.
    let error = unsafe { Chunks::map("/dev/null") };
    assert!(error.is_err() || pull_all(error.unwrap(), Whole).is_empty());
}

#[test]
fn a_pipe_is_handed_on_as_it_comes() {
    within("a pipe that trickles", || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        use std::os::fd::AsRawFd;
        let mut source = Chunks::open(format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap().lines();
        for text in ["one\ntw", "o\n", "three"] {
            writer.write_all(text.as_bytes()).unwrap();
            if text != "three" {
                // It does not wait for more than is there.
                let chunk = source.pull().unwrap().unwrap();
                assert_eq!(&chunk[..], if text == "o\n" { &b"two\n"[..] } else { b"one\n" });
            }
        }
        drop(writer);
        assert_eq!(&source.pull().unwrap().unwrap()[..], b"three");
        assert!(source.pull().is_none());
    });
}

#[test]
fn a_file_of_proc_has_no_size_and_is_read_to_its_end() {
    let chunks = pull_all(Chunks::open("/proc/self/status").unwrap(), Delimited(b'\n'));
    let text: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
    assert!(text.starts_with(b"Name:"), "{:?}", String::from_utf8_lossy(&text));
}

#[test]
fn mapped_bytes_are_counted_apart_from_the_budget() {
    let file = file_of(&b"a line of text\n".repeat(100_000));
    for mapped in [false, true] {
        let chunks = open(file.path(), mapped).target(Bytes::kib(64)).lines();
        let report = Pipeline::extract(chunks)
            .memory_budget(Bytes::kib(200))
            .map(|chunk| chunk.lines().count())
            .fold(|| 0, |sum, lines| *sum += lines, |sum, lines| *sum += lines)
            .run()
            .unwrap();
        assert_eq!(report.output, 100_000);
        assert_eq!(report.peak_mapped_bytes > 0, mapped);
        assert_eq!(report.to_string().contains("mapped"), mapped);
        assert!(report.peak_bytes < 200 << 10);
        assert_eq!(report.peak_bytes > 32 << 10, !mapped, "{}", report.peak_bytes);
    }
    assert_eq!(Chunk::from(vec![0; 100]).heap(), 100);
}

/// Resident memory of this process in files, in bytes.
fn resident_file_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn a_mapped_file_streams_through_a_small_resident_set() {
    within("a large map", || {
        let file = file_of(b"");
        File::options().write(true).open(file.path()).unwrap().set_len(512 << 20).unwrap();
        let before = resident_file_bytes();
        let peak = std::sync::atomic::AtomicUsize::new(0);
        let pool = pool(2);
        let report = Pipeline::extract(open(file.path(), true).target(Bytes::mib(1)).fixed_size(4096))
            .pool(&pool)
            .window(8)
            .map(|chunk| {
                let sum = chunk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                peak.fetch_max(resident_file_bytes(), std::sync::atomic::Ordering::Relaxed);
                sum
            })
            .fold(|| 0, |sum, part| *sum += part, |sum, part| *sum += part)
            .run()
            .unwrap();
        assert_eq!(report.output, 0);
        let grown = peak.into_inner().saturating_sub(before);
        assert!(grown < 128 << 20, "{} MiB of the file are resident", grown >> 20);
    });
}

#[test]
fn files_can_be_given_whole_or_by_rows() {
    let rows = b"a,\"1\n2\"\nb,3\n";
    let file = file_of(rows);
    for mapped in [false, true] {
        let all = |mut source: Pieces<Whole>| source.pull().unwrap().unwrap().to_vec();
        assert_eq!(all(open(file.path(), mapped).target(Bytes::new(1)).whole()), rows);
        let mut source = open(file.path(), mapped).target(Bytes::new(1)).csv_rows();
        let rows: Vec<Vec<u8>> = std::iter::from_fn(|| source.pull().map(|row| row.unwrap().to_vec())).collect();
        assert_eq!(rows, [&b"a,\"1\n2\"\n"[..], b"b,3\n"]);
    }
}

#[test]
fn a_part_of_a_chunk_is_the_part_of_a_slice() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let bytes: Vec<u8> = (0..10).collect();
    let chunk = Chunk::from(bytes.clone());
    let ends = [Unbounded, Included(2), Excluded(2), Included(7), Excluded(8)];
    for (from, to) in ends.into_iter().flat_map(|from| ends.map(|to| (from, to))) {
        let inside = std::panic::catch_unwind(|| bytes[(from, to)].to_vec());
        if let Ok(part) = inside {
            assert_eq!(chunk.slice((from, to)).as_ref(), part, "{from:?} to {to:?}");
        }
    }
    let part = chunk.slice(3..).slice(1..=2);
    assert_eq!((part.as_ref(), part.offset()), (&bytes[4..6], 4));
    for (from, to) in [(0, 2), (3, 3), (0, usize::MAX), (usize::MAX, usize::MAX)] {
        let past = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| part.slice(from..=to))).unwrap_err();
        let says = |words: &String| words.contains("is not inside a chunk of 2 bytes");
        assert!(past.downcast_ref::<String>().is_some_and(says), "{from}..={to}");
    }
}

/// Cuts nothing off, for ever.
#[derive(Debug, Clone)]
struct Stuck;

impl Splitter for Stuck {
    fn first(&self, _: &[u8]) -> Result<Option<usize>, gristmill::chunk::BadRecord> {
        Ok(Some(0))
    }
}

#[test]
fn a_splitter_that_finds_records_of_no_bytes_is_an_error_and_not_a_hang() {
    within("records of no bytes", || {
        let file = file_of(b"some bytes");
        for mapped in [false, true] {
            let error = pull_all(open(file.path(), mapped).target(Bytes::new(3)), Stuck).remove(0).unwrap_err();
            assert_eq!(error.path(), file.path());
            assert!(std::error::Error::source(&error).unwrap().to_string().contains("a record of no bytes"), "{error}");
        }
    });
}

/// Says that the last record ends at a byte, wherever that is.
#[derive(Debug, Clone)]
struct Liar(usize);

impl Splitter for Liar {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, gristmill::chunk::BadRecord> {
        Ok(Some(bytes.len() + 1))
    }

    fn last(&self, _: &[u8], _: usize) -> Result<Option<usize>, gristmill::chunk::BadRecord> {
        Ok(Some(self.0))
    }
}

#[test]
fn a_splitter_that_cuts_where_nothing_is_is_an_error() {
    within("a splitter that lies", || {
        let file = file_of(b"some bytes");
        for (mapped, end) in [false, true].into_iter().flat_map(|mapped| [0, 11, usize::MAX].map(|end| (mapped, end))) {
            let errors = pull_all(open(file.path(), mapped).target(Bytes::new(3)), Liar(end));
            let [Err(error)] = errors.as_slice() else { panic!("{errors:?}") };
            let cause = std::error::Error::source(error).unwrap().to_string();
            assert!(cause.contains(&format!("the splitter says that records end at byte {end} of")), "{cause}");
        }
        let mut skips = open(file.path(), false).split(Liar(10)).skip_records(1);
        assert!(skips.pull().is_none(), "the record ends after the file, so it is all there is");
    });
}

#[test]
fn a_target_beyond_the_file_makes_one_chunk_of_it() {
    let bytes = [b"x".repeat(49), b"\n".to_vec()].concat().repeat(100_000);
    let file = file_of(&bytes);
    for (mapped, target) in [(false, 64 << 40), (false, usize::MAX), (true, usize::MAX)] {
        let chunks = pull_all(open(file.path(), mapped).target(Bytes::new(target)), Delimited(b'\n'));
        let [Ok(whole)] = chunks.as_slice() else { panic!("{} chunks", chunks.len()) };
        assert!(whole[..] == bytes, "mapped {mapped}, target {target}");
    }
    for size in [0, 1, usize::MAX] {
        let mut records = open(file.path(), false).fixed_size(size);
        assert_eq!(records.pull().unwrap().is_ok(), size < usize::MAX);
    }
    let file = file_of(b"one\ntwo\n");
    assert!(open(file.path(), false).lines().skip_records(u64::MAX).pull().is_none());
}

#[test]
fn lines_that_nobody_asks_for_are_not_counted() {
    let file = file_of(b"one\ntwo\nthree\nfour\n");
    let first_lines = |pieces: Pieces<Delimited>| {
        let chunks = Pipeline::extract(pieces).ordered().collect::<Vec<_>>().run().unwrap().output;
        chunks.iter().map(|chunk| (chunk.first_line(), chunk.slice(1..).first_line())).collect::<Vec<_>>()
    };
    let lines = |mapped| open(file.path(), mapped).target(Bytes::new(4)).lines();
    assert_eq!(first_lines(lines(false)), [1, 2, 3, 4].map(|line| (line, line)));
    assert_eq!(first_lines(lines(false).without_lines()), [(1, 1); 4]);
    assert_eq!(first_lines(lines(true).without_lines()), [1, 2, 3, 4].map(|line| (line, line)));
}

#[test]
fn chunks_outlive_their_source_and_share_their_bytes() {
    let file = file_of(b"one\ntwo\nthree\n");
    for mapped in [false, true] {
        let chunk = pull_all(open(file.path(), mapped), Delimited(b'\n')).remove(0).unwrap();
        let three = chunk.slice(8..13);
        drop(chunk);
        assert_eq!((&three[..], three.offset(), three.first_line()), (&b"three"[..], 8, 3));
        let copy = three.clone();
        drop(three);
        assert_eq!(&copy[1..3], b"hr");
    }
}

fn check_chunks_are_full<S: Splitter + Clone>(splitter: &S, record: &[u8]) {
    let file = file_of(&record.repeat(1_000));
    for mapped in [false, true] {
        let chunks = pull_all(open(file.path(), mapped).target(Bytes::new(100 * record.len())), splitter.clone());
        let lengths: Vec<usize> = chunks.into_iter().map(|chunk| chunk.unwrap().len()).collect();
        assert_eq!(lengths, [100 * record.len(); 10], "mapped {mapped}");
    }
}

#[test]
fn a_chunk_has_all_the_records_that_fit_its_target() {
    check_chunks_are_full(&Delimited(b'\n'), b"a line\n");
    check_chunks_are_full(&DelimitedBy::new("||"), b"a part||");
    check_chunks_are_full(&FixedSize::new(7), b"of size");
    check_chunks_are_full(&LengthPrefixed::U16_BE, b"\0\x07payload");
    check_chunks_are_full(&CsvRows::default(), b"a,\"row\"\n");
}

#[test]
fn a_file_that_ends_before_the_place_to_go_on_at_is_an_error() {
    for mapped in [false, true] {
        let file = file_of(b"one\ntwo\nthree\n");
        let pieces = || open(file.path(), mapped).target(Bytes::new(1)).lines();
        let mut source = pieces();
        source.pull().unwrap().unwrap();
        source.pull().unwrap().unwrap();
        let mark = source.mark().unwrap();
        drop(source);
        let go_on = || {
            let mut source = pieces();
            source.seek(&mark)?;
            Ok::<_, gristmill::BoxError>(source.pull().map(|chunk| chunk.unwrap().to_vec()))
        };
        assert_eq!(go_on().unwrap().unwrap(), b"three\n");
        // Nothing of it is mapped now.
        file.as_file().set_len(8).unwrap();
        assert_eq!(go_on().unwrap(), None, "mapped {mapped}");
        for len in [7, 0] {
            file.as_file().set_len(len).unwrap();
            let error = std::error::Error::source(&*go_on().unwrap_err()).unwrap().to_string();
            assert!(error.contains("shorter than the place"), "mapped {mapped}: {error}");
        }
    }
}
