//! The tally against a plain reader of lines.

use gristmill::chunk::{Delimited, Splitter};
use gristmill::{Chunk, Chunks, prelude::*};
use gristmill_brc::{Reason, Tally};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A tally with the fastest loop of this machine, and one with the portable loop.
const LOOPS: [fn() -> Tally; 2] = [Tally::new, Tally::portable];

/// The result, or where the first bad line begins.
fn expected(text: &[u8]) -> Result<String, u64> {
    let mut stations: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut offset = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (name, tenths) = read_line(line).ok_or(offset)?;
        stations.entry(name).or_default().push(tenths);
        offset += line.len() as u64;
    }
    let shown = stations.iter().map(|(name, tenths)| {
        let (min, max) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
        let mean = tenths.iter().sum::<i64>() as f64 / tenths.len() as f64;
        let degrees = |tenths: f64| format!("{:.1}", (tenths + 0.0) / 10.0);
        format!("{name}={}/{}/{}", degrees(*min as f64), degrees((mean + 0.5).floor()), degrees(*max as f64))
    });
    Ok(format!("{{{}}}", shown.collect::<Vec<_>>().join(", ")))
}

fn read_line(line: &[u8]) -> Option<(&str, i64)> {
    let line = match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    };
    let semicolon = line.iter().position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&line[..semicolon]).ok().filter(|name| (1..=100).contains(&name.len()))?;
    let number = std::str::from_utf8(&line[semicolon + 1..]).ok()?;
    let (whole, tenth) = number.strip_prefix('-').unwrap_or(number).split_once('.')?;
    let is_number =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_good = is_number(whole, 2) && is_number(tenth, 1);
    is_good.then(|| (name, (number.parse::<f64>().unwrap() * 10.0).round() as i64))
}

fn answer(tally: Tally) -> Result<String, u64> {
    tally.finish().map(|summary| summary.to_string()).map_err(|bad| bad.offset())
}

/// Chunks of about `target` bytes that end where lines end.
fn chunks(text: &[u8], target: usize) -> Vec<Chunk> {
    let (whole, mut chunks, mut start) = (Chunk::from(text.to_vec()), Vec::new(), 0);
    while start < text.len() {
        let len = Delimited(b'\n').last(&text[start..], target).unwrap().unwrap_or(text.len() - start);
        chunks.push(whole.slice(start..start + len));
        start += len;
    }
    chunks
}

fn check(text: &[u8], target: usize) {
    let expected = expected(text);
    for make in LOOPS {
        let mut tallies = [make(), make(), make()];
        for (index, chunk) in chunks(text, target).into_iter().enumerate() {
            tallies[index % 3].add(chunk);
        }
        let merged = tallies.into_iter().reduce(|mut left, right| {
            left.merge(right);
            left
        });
        assert_eq!(answer(merged.unwrap()), expected, "target {target}: {}", text.escape_ascii());
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,2}",
        "[a-zæ山\0]{1,20}",
        // Around the 32 bytes of a head, with long beginnings in common.
        (28usize..=100, "[xy]{0,2}").prop_map(|(len, end)| format!("{}{end}", "x".repeat(len - end.len()))),
        (0usize..=33, "[ab]").prop_map(|(len, end)| format!("{}{end}", "山".repeat(len))),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let end = prop_oneof![9 => Just("\n"), 1 => Just("\r\n")];
    (name(), -999i32..=999, end).prop_map(|(name, tenths, end)| {
        let sign = if tenths < 0 { "-" } else { "" };
        format!("{name};{sign}{}.{}{end}", tenths.abs() / 10, tenths.abs() % 10)
    })
}

fn text() -> impl Strategy<Value = String> {
    (vec(row(), 0..200), any::<bool>()).prop_map(|(rows, ends)| {
        let text = rows.concat();
        if ends { text } else { text.trim_end().to_owned() }
    })
}

proptest! {
    #[test]
    fn every_loop_counts_what_a_plain_one_counts(text in text(), target in 1usize..5_000) {
        check(text.as_bytes(), target);
    }

    #[test]
    fn the_first_bad_line_is_found_wherever_it_is(
        text in text(),
        changes in vec((any::<prop::sample::Index>(), prop_oneof![Just(b'\n'), Just(b';'), Just(b'.'), any::<u8>()]), 1..4),
        target in 1usize..5_000,
    ) {
        let mut text = text.into_bytes();
        prop_assume!(!text.is_empty());
        for (index, byte) in changes {
            let index = index.index(text.len());
            text[index] = byte;
        }
        check(&text, target);
    }

    #[test]
    fn noise_is_counted_or_refused(text in vec(prop_oneof![Just(b';'), Just(b'\n'), Just(b'.'), Just(b'1'), any::<u8>()], 0..300)) {
        check(&text, 64);
    }
}

#[test]
fn odd_files_have_a_defined_result() {
    for text in ["", "\n", "a;1.0", "a;1.0\n\n", "\r\n", ";1.0\n", "a", "a;", "a;-", "a;1.0\r", ";;;;;;;;", "a;1.0\r\n"]
    {
        check(text.as_bytes(), 1);
        check(text.as_bytes(), 1 << 20);
    }
    check(&vec![b'x'; 1 << 20], 4_096);
    check(&vec![b'\n'; 10_000], 4_096);
    check(&[b"a;1.0\n".repeat(10_000), b"a;1.0".to_vec()].concat(), usize::MAX);
}

#[test]
fn names_of_every_length_are_told_apart() {
    let name = |len: usize, last: char| format!("{}{last}", "n".repeat(len - 1));
    let rows = (1..=100).flat_map(|len| [format!("{};1.5\n", name(len, 'a')), format!("{};-1.5\n", name(len, 'b'))]);
    let text = rows.collect::<String>().repeat(5);
    check(text.as_bytes(), 700);
    for make in LOOPS {
        let mut tally = make();
        tally.add_lines(text.as_bytes(), 0);
        let summary = tally.finish().unwrap();
        assert_eq!((summary.len(), summary.rows()), (200, 1_000));
        assert!(summary.iter().all(|(_, stats)| stats.count() == 5));
    }
}

#[test]
fn names_that_end_with_zeros_are_others() {
    let name = |len: usize, zeros: usize| format!("{}{}", "n".repeat(len), "\0".repeat(zeros));
    let lengths = (1..=97).flat_map(|len| (0..=3).map(move |zeros| (len, zeros)));
    let text: String = lengths.map(|(len, zeros)| format!("{};{zeros}.0\n", name(len, zeros))).collect();
    for make in LOOPS {
        let mut tally = make();
        tally.add_lines(text.repeat(3).as_bytes(), 0);
        let summary = tally.finish().unwrap();
        assert_eq!((summary.len(), summary.rows()), (4 * 97, 3 * 4 * 97));
        assert!(summary.iter().all(|(_, stats)| stats.min() == stats.max()));
    }
}

#[test]
fn the_table_grows_with_the_stations() {
    let text: String =
        (0..40_000).map(|number| format!("station number {:>1$};{2}.0\n", number, number % 30, number % 9)).collect();
    for make in LOOPS {
        let mut tally = make();
        tally.add_lines(text.as_bytes(), 0);
        tally.add_lines(text.as_bytes(), 0);
        let summary = tally.finish().unwrap();
        assert_eq!((summary.len(), summary.rows()), (40_000, 80_000));
    }
}

#[test]
fn a_bad_row_is_shown_with_its_place_and_reason() {
    let cases: [(&str, Reason, &str); 5] = [
        ("no semicolon", Reason::NoSemicolon, "no `;` in the line at byte 6: `no semicolon`"),
        (";1.0", Reason::NoName, "no name in the line at byte 6: `;1.0`"),
        ("b;1", Reason::Number, "not a number from -99.9 to 99.9 with one decimal in the line at byte 6: `b;1`"),
        (
            "b;100.0",
            Reason::Number,
            "not a number from -99.9 to 99.9 with one decimal in the line at byte 6: `b;100.0`",
        ),
        (
            "\u{fffd};1.0\r",
            Reason::Number,
            "not a number from -99.9 to 99.9 with one decimal in the line at byte 6: `\u{fffd};1.0\r`",
        ),
    ];
    for (line, reason, message) in cases {
        for make in LOOPS {
            let mut tally = make();
            tally.add_lines(format!("a;1.0\n{line}").as_bytes(), 0);
            let bad = tally.finish().unwrap_err();
            assert_eq!((bad.reason(), bad.to_string()), (reason, message.to_owned()));
        }
    }
    let mut tally = Tally::new();
    tally.add_lines(&b"\xff;1.0\n"[..], 0);
    assert_eq!(tally.finish().unwrap_err().reason(), Reason::NotUtf8);
    let mut tally = Tally::new();
    tally.add_lines("ä".repeat(10_000).as_bytes(), 0);
    assert_eq!(
        tally.finish().unwrap_err().to_string().chars().count(),
        "no `;` in the line at byte 0: `…`".chars().count() + 120
    );
}

#[test]
fn the_error_of_a_run_is_that_of_the_first_bad_line() {
    let mut text = "a;1.0\n".repeat(10_000).into_bytes();
    text[6_000] = b'\n';
    text[30_000] = b'\n';
    for workers in 1..=4 {
        let run = Pipeline::extract(chunks(&text, 500).into_iter()).workers(workers);
        let report = run.fold(Tally::new, Tally::add, Tally::merge).run().unwrap();
        assert_eq!(answer(report.output), Err(6_000), "{workers} workers");
    }
}

#[test]
fn files_are_read_and_mapped() {
    let text: String = (0..5_000).map(|number| format!("s{};{}.5\n", number % 7, number % 80)).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    // SAFETY: nobody else knows the file.
    for origin in [Chunks::open(file.path()), unsafe { Chunks::map(file.path()) }] {
        let run = Pipeline::extract(origin.unwrap().target(Bytes::new(1_000)).lines());
        let report = run.fold(Tally::new, Tally::add, Tally::merge).run().unwrap();
        assert_eq!(answer(report.output), expected(text.as_bytes()));
    }
}
