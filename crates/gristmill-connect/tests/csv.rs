//! Rows of CSV, compared with what the `csv` crate makes of the same text.
#![cfg(feature = "csv")]

use gristmill::{Bytes, Chunk, Chunks, Pipeline};
use gristmill_connect::csv::{self, BadRow, CsvError, Header, Splitter};
use proptest::prelude::*;
use std::error::Error;

fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, CsvError> {
    let width = line.iter().filter(|byte| **byte == b',').count() + 1;
    for width in (1..=width).rev() {
        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let header = Header::parse(names.join(",").as_bytes())?;
        let mut splitter = Splitter::default();
        match splitter.split(&header, line) {
            Ok(row) => return Ok((0..row.width()).map(|column| row.get(column).unwrap().to_vec()).collect()),
            Err(error) if error.to_string().contains("fields") && width > 1 => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("a line has at least one field")
}

fn check(line: &str, expected: &[&str]) {
    let found: Vec<String> =
        split(line.as_bytes()).unwrap().into_iter().map(|field| String::from_utf8(field).unwrap()).collect();
    assert_eq!(found, expected, "{line}");
}

#[test]
fn quotes_hold_commas_and_quotes() {
    check("a,b,c", &["a", "b", "c"]);
    check("a,,", &["a", "", ""]);
    check(",", &["", ""]);
    check(r#""a,b",c"#, &["a,b", "c"]);
    check(r#"a,"b ""c"" d""#, &["a", r#"b "c" d"#]);
    check(r#""",x"#, &["", "x"]);
    check(r#""a""#, &["a"]);
    check("\u{e4},\u{4e2d}", &["\u{e4}", "\u{4e2d}"]);
}

#[test]
fn an_open_quote_is_an_error_and_not_a_row() {
    for line in [r#"a,"b"#, r#""""#, r#""a,b,c"#] {
        // `""` alone is an empty field: only an odd number of quotes is open.
        let odd = line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
        assert_eq!(split(line.as_bytes()).is_err(), odd, "{line}");
    }
    let error = split(br#"a,"b"#).unwrap_err();
    assert_eq!(error.to_string(), "a quoted field does not end on its line");
}

proptest! {
    #[test]
    fn a_line_is_cut_as_the_csv_crate_cuts_it(
        line in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'a'), Just(b' '), 128u8..], 1..40),
    ) {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_slice());
        let record = reader.byte_records().next().unwrap().unwrap();
        let expected: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        // The csv crate closes an open quote at the end of the input; we cannot know that it is the end.
        if let Ok(fields) = split(&line) {
            prop_assert_eq!(fields, expected);
        } else {
            let mut with_more = line.clone();
            with_more.extend_from_slice(b"\nrest");
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(with_more.as_slice());
            let record = reader.byte_records().next().unwrap().unwrap();
            prop_assert!(record.iter().any(|field| field.contains(&b'\n')), "refused without an open quote");
        }
    }
}

#[test]
fn fields_are_parsed_with_errors_that_say_where() {
    let header = Header::parse(b"name,delay\r\n").unwrap();
    let [name, delay] = header.columns(["name", "delay"]).unwrap();
    let mut splitter = Splitter::default();
    let mut check = |line: &[u8], expected: Result<Option<i32>, &str>| {
        let row = splitter.split(&header, line).unwrap();
        let found = row.optional::<i32>(delay).map_err(|error| {
            assert_eq!(error.column(), Some("delay"));
            error.to_string()
        });
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    check(b"x,-5", Ok(Some(-5)));
    check(b"x,NA", Ok(None));
    check(b"x,", Ok(None));
    check(b"x,5x", Err("column `delay` holds `5x`"));
    check(b"x,\xff", Err("column `delay` is not UTF-8: `\u{fffd}`"));

    let row = splitter.split(&header, b"NA,NA").unwrap();
    assert_eq!(row.text(name).unwrap(), "NA");
    assert_eq!(row.optional_text(name).unwrap(), None);
    assert_eq!(row.parse::<i32>(delay).unwrap_err().to_string(), "column `delay` is missing a value");
    assert!(row.get(7).is_none());
    assert!(row.text(7).is_err());
    assert_eq!(splitter.split(&header, b"a,b,c").unwrap_err().to_string(), "3 fields instead of 2");
}

#[test]
fn a_header_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.csv");
    std::fs::write(&path, "\u{feff}a,b,b\n1,2,3\n").unwrap();
    let header = Header::of(&path).unwrap();
    assert_eq!(header.names().collect::<Vec<_>>(), ["a", "b", "b"]);
    let shown = path.display();
    assert_eq!(header.column("c").unwrap_err().to_string(), format!("`{shown}` has no column `c`, only a, b, b"));
    assert_eq!(header.column("b").unwrap_err().to_string(), format!("`{shown}` has more than one column `b`"));

    std::fs::write(&path, "").unwrap();
    let expected = format!("`{shown}` is empty: there is no header");
    assert_eq!(Header::of(&path).unwrap_err().to_string(), expected);
    assert_eq!(csv::open(&path).unwrap_err().to_string(), expected);
    std::fs::write(&path, b"a,\xff\n").unwrap();
    assert_eq!(Header::of(&path).unwrap_err().to_string(), format!("the header of `{shown}` is not UTF-8"));
    assert!(csv::open(&path).is_err());

    let missing = folder.path().join("missing.csv");
    for error in [Header::of(&missing).unwrap_err(), csv::open(&missing).unwrap_err()] {
        assert!(error.is_io());
        assert_eq!(error.to_string(), format!("could not open `{}`", missing.display()));
        assert!(error.source().unwrap().to_string().contains("No such file"));
    }
    assert!(Header::of(folder.path()).unwrap_err().is_io());
    assert!(csv::open(folder.path()).unwrap_err().is_io());
}

#[test]
fn bad_rows_carry_line_text_and_reason() {
    let header = Header::parse(b"a,b").unwrap();
    let chunk = Chunk::from(b"a,b\n1,2\n\n3\n4,\"x\ny\",5\r\n6,7".to_vec());
    let rows = csv::rows(chunk, &header, |row| Ok(row.parse::<u32>(0)? + row.parse::<u32>(1)?)).without_header();
    let (good, bad): (Vec<_>, Vec<_>) = rows.partition(Result::is_ok);
    assert_eq!(good.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [3, 13]);
    let bad: Vec<(u64, String, String)> = bad
        .into_iter()
        .map(|row| row.unwrap_err())
        .map(|BadRow { line, text, reason }| (line, String::from_utf8(text).unwrap(), reason.to_string()))
        .collect();
    let expected = [
        (4, "3", "1 fields instead of 2"),
        (5, "4,\"x", "a quoted field does not end on its line"),
        (6, "y\",5", "column `a` holds `y\"`"),
    ];
    assert_eq!(bad, expected.map(|(line, text, reason)| (line, text.to_owned(), reason.to_owned())));
}

#[test]
fn chunks_and_records_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.csv");
    let mut text = String::from("id,word\n");
    for id in 0..5_000 {
        text.push_str(&format!("{id},\"w, {id}\"\r\n"));
    }
    std::fs::write(&path, &text).unwrap();

    let header = Header::of(&path).unwrap();
    let chunks = Chunks::open(&path).unwrap().target(Bytes::kib(4)).lines().skip_records(1);
    let by_chunk = Pipeline::extract(chunks)
        .try_flat_map(|chunk| csv::rows(chunk, &header, |row| Ok((row.parse::<u32>(0)?, row.text(1)?.to_owned()))))
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap()
        .output;
    let by_record = Pipeline::extract(csv::open(&path).unwrap())
        .try_map(|record| {
            let row = record.row()?;
            Ok::<_, CsvError>((row.parse::<u32>(0)?, row.text(1)?.to_owned()))
        })
        .weigh()
        .memory_budget(Bytes::kib(64))
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap()
        .output;
    assert_eq!(by_chunk.len(), 5_000);
    assert_eq!(by_chunk, by_record);
    assert_eq!(by_chunk[4_999], (4_999, "w, 4999".to_owned()));
}
