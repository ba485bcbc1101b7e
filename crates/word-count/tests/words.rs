//! The counter against a plain map.

use gristmill::chunk::Splitter;
use gristmill::{Chunks, prelude::*};
use gristmill_word_count::{Case, Counter, Counts, Spaces, Words};
use proptest::prelude::*;
use std::collections::BTreeMap;

const MODES: [(Words, Case); 4] = [
    (Words::Ascii, Case::Kept),
    (Words::Ascii, Case::Lowered),
    (Words::Unicode, Case::Kept),
    (Words::Unicode, Case::Lowered),
];

fn expected(text: &[u8], words: Words, case: Case) -> BTreeMap<Vec<u8>, u64> {
    let all: Vec<Vec<u8>> = match words {
        Words::Ascii => text.split(|byte| b" \t\n\x0b\x0c\r".contains(byte)).map(<[u8]>::to_vec).collect(),
        Words::Unicode => {
            String::from_utf8_lossy(text).split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
        }
    };
    let mut counts = BTreeMap::new();
    for word in all.into_iter().filter(|word| !word.is_empty()) {
        let word = match (words, case) {
            (_, Case::Kept) => word,
            (Words::Ascii, Case::Lowered) => word.to_ascii_lowercase(),
            (Words::Unicode, Case::Lowered) => {
                let word = String::from_utf8(word).unwrap();
                word.chars().flat_map(char::to_lowercase).collect::<String>().into_bytes()
            }
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn sorted(counts: &Counts) -> BTreeMap<Vec<u8>, u64> {
    let sorted: BTreeMap<_, _> = counts.iter().map(|(word, count)| (word.to_vec(), count)).collect();
    assert_eq!(sorted.len(), counts.len(), "a word is there twice");
    assert_eq!(sorted.values().sum::<u64>(), counts.total());
    sorted
}

/// Pieces of about `target` bytes that cut no word.
fn pieces(text: &[u8], target: usize) -> Vec<&[u8]> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(Spaces.last(rest, target).unwrap().unwrap_or(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Counts pieces with three counters in turn, and merges them.
fn counted(text: &[u8], target: usize) -> Counter {
    let mut counters = [Counter::new(), Counter::new(), Counter::new()];
    for (index, piece) in pieces(text, target).into_iter().enumerate() {
        counters[index % 3].add(piece);
    }
    let mut merged = Counter::default();
    counters.into_iter().for_each(|counter| merged.merge(counter));
    merged
}

fn check(text: &[u8], target: usize) {
    let counter = counted(text, target);
    for (words, case) in MODES {
        let counts = counter.clone().finish(words, case);
        let expected = expected(text, words, case);
        assert_eq!(sorted(&counts), expected, "{words:?}, {case:?}, {}", text.escape_ascii());
        let mut ranked: Vec<(&[u8], u64)> = expected.iter().map(|(word, count)| (&word[..], *count)).collect();
        ranked.sort_by_key(|(word, count)| (u64::MAX - count, *word));
        for n in [0, 1, 3, ranked.len(), usize::MAX] {
            assert_eq!(counts.top(n), ranked[..n.min(ranked.len())], "top {n}");
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-cA-C]{1,3}",
        2 => "[a-zA-ZäÄσΣςİ山\0]{1,10}",
        1 => (14usize..20, "[aA]{0,2}").prop_map(|(len, end)| "x".repeat(len) + &end),
        1 => (60usize..70).prop_map(|len| "y".repeat(len)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let space = prop_oneof![6 => Just(" "), 1 => Just("\r\n"), 1 => Just("\x0b"), 1 => Just("\u{a0}"), 1 => Just("\u{3000}"), 1 => Just("  \t")];
    proptest::collection::vec((word(), space), 0..200)
        .prop_map(|words| words.into_iter().map(|(word, space)| word + space).collect())
}

proptest! {
    #[test]
    fn pieces_cut_no_word(text in "[a\\n ]{0,100}", target in 0usize..40) {
        let pieces = pieces(text.as_bytes(), target);
        prop_assert_eq!(pieces.concat(), text.as_bytes());
        for piece in pieces.iter().rev().skip(1) {
            let ends = piece.iter().enumerate().filter(|(_, byte)| **byte != b'a').map(|(at, _)| at + 1);
            let ends: Vec<usize> = ends.collect();
            // As large as may be, or the first word.
            prop_assert_eq!(ends.last(), Some(&piece.len()));
            prop_assert!(piece.len() <= target || ends.len() == 1);
        }
    }

    #[test]
    fn a_counter_counts_what_a_plain_map_counts(text in text(), target in 1usize..3_000) {
        check(text.as_bytes(), target);
    }

    #[test]
    fn any_bytes_have_a_defined_result(text in proptest::collection::vec(any::<u8>(), 0..500), target in 1usize..600) {
        check(&text, target);
    }

    #[test]
    fn broken_unicode_has_a_defined_result(
        text in text(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut text = text.into_bytes();
        prop_assume!(!text.is_empty());
        for (index, byte) in changes {
            let index = index.index(text.len());
            text[index] = byte;
        }
        check(&text, 100);
    }
}

#[test]
fn odd_texts_have_a_defined_result() {
    for text in ["", " ", "\n\n", "one", "one\ntwo", "a\r\nb\r\n", " a", "a ", "\u{a0}", "\u{feff}a"] {
        check(text.as_bytes(), 1);
        check(text.as_bytes(), usize::MAX);
    }
    check(&vec![b'w'; 1 << 20], 4_096);
    check(&vec![b' '; 1 << 20], 4_096);
    check(&[b"\xff\xfe".repeat(1_000), b" \xe2\x80 \xf0\xe2\x80\x80x".to_vec()].concat(), 64);
}

#[test]
fn tables_grow_and_merge_in_parts() {
    let long = |number: usize| format!("{number:0width$}", width = 10 + number % 30);
    let text: String = (0..60_000).map(|number| format!("w{} {} ", number % 20_000, long(number % 9_000))).collect();
    check(text.as_bytes(), 10_000);
}

#[test]
fn the_result_does_not_depend_on_the_workers() {
    let text: String = (0..50_000u64).map(|number| format!("w{} ", number * number % 977)).collect();
    let expected = expected(text.as_bytes(), Words::Ascii, Case::Kept);
    for workers in 1..=4 {
        let run = Pipeline::extract(pieces(text.as_bytes(), 1_000).into_iter()).workers(workers);
        let report = run.fold(Counter::new, Counter::add, Counter::merge).run().unwrap();
        assert_eq!(sorted(&report.output.finish(Words::Ascii, Case::Kept)), expected, "{workers} workers");
    }
}

#[test]
fn files_are_read_and_mapped() {
    let text = "one, two, three ".repeat(500) + &"x".repeat(3_000) + "\tend";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    // SAFETY: nobody else knows the file.
    for origin in [Chunks::open(file.path()), unsafe { Chunks::map(file.path()) }] {
        let run = Pipeline::extract(origin.unwrap().target(Bytes::new(1_000)).split(Spaces));
        let report = run.fold(Counter::new, Counter::add, Counter::merge).run().unwrap();
        assert!(report.totals().extracted >= 6, "{report}");
        let counts = report.output.finish(Words::Ascii, Case::Kept);
        assert_eq!(sorted(&counts), expected(text.as_bytes(), Words::Ascii, Case::Kept));
    }
}
