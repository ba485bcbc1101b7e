//! The flights example, compared with a plain loop over the same files.

use gristmill::Bytes;
use gristmill_connect::sqlite::rusqlite::types::ValueRef;
use gristmill_connect::sqlite::rusqlite::{self, Connection};
use gristmill_examples::flights::database::Existing;
use gristmill_examples::flights::source::Input;
use gristmill_examples::flights::tables::{TablePaths, shipped};
use gristmill_examples::flights::{Job, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const JANUARY: u64 = 27_004;
const YEAR: u64 = 336_776;

/// Flights, and the number and sum of the delays that are known: of departures, of arrivals.
type Figures = (u64, u64, i64, u64, i64);

/// What a plain loop finds, by the `csv` crate and nothing of ours: per carrier, and per origin and destination.
fn plain_loop(path: &Path) -> (BTreeMap<String, Figures>, BTreeMap<String, Figures>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let [carrier, origin, dest] = ["carrier", "origin", "dest"].map(column);
    let [dep_delay, arr_delay] = ["dep_delay", "arr_delay"].map(column);
    let (mut carriers, mut routes) = (BTreeMap::new(), BTreeMap::new());
    for record in reader.records() {
        let record = record.unwrap();
        let delay = |column: usize| record[column].parse::<i64>().ok();
        let route = format!("{}-{}", &record[origin], &record[dest]);
        for figures in [
            carriers.entry(record[carrier].to_owned()).or_insert((0, 0, 0, 0, 0)),
            routes.entry(route).or_insert((0, 0, 0, 0, 0)),
        ] {
            figures.0 += 1;
            if let Some(minutes) = delay(dep_delay) {
                figures.1 += 1;
                figures.2 += minutes;
            }
            if let Some(minutes) = delay(arr_delay) {
                figures.3 += 1;
                figures.4 += minutes;
            }
        }
    }
    (carriers, routes)
}

/// What SQL says of the database, asked in another way than the example asks.
fn figures_in(database: &Path, group: &str) -> BTreeMap<String, Figures> {
    let database = Connection::open(database).unwrap();
    let sql = format!(
        "SELECT {group}, count(*), count(dep_delay), coalesce(sum(dep_delay), 0),
                count(arr_delay), coalesce(sum(arr_delay), 0) FROM flights GROUP BY 1"
    );
    let mut query = database.prepare(&sql).unwrap();
    let groups = query.query_map((), |row| {
        let figure = |column: usize| row.get::<_, i64>(column);
        let count = |column: usize| figure(column).map(|count| count as u64);
        Ok((row.get(0)?, (count(1)?, count(2)?, figure(3)?, count(4)?, figure(5)?)))
    });
    groups.unwrap().map(Result::unwrap).collect()
}

/// All rows in the order in which they were stored, in the form of the CSV.
fn rows_in(database: &Path) -> Vec<String> {
    let database = Connection::open(database).unwrap();
    let mut query = database.prepare("SELECT * FROM flights ORDER BY rowid").unwrap();
    let rows = query.query_map((), |row| {
        let fields = (0..19).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => "NA".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                text => text.as_str()?.to_owned(),
            })
        });
        Ok(fields.collect::<rusqlite::Result<Vec<String>>>()?.join(","))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn job(folder: &TempDir, inputs: &[&Path]) -> Job {
    Job {
        inputs: inputs.iter().map(Input::read).collect(),
        tables: TablePaths::shipped(),
        database: folder.path().join("flights.db"),
        dead_letters: folder.path().join("rejected.tsv"),
        existing: Existing::Refuse,
        workers: Some(2),
        memory: None,
        ordered: false,
        checkpoint: None,
    }
}

fn january() -> PathBuf {
    shipped("flights-2013-01.csv")
}

fn entries(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn check_against_plain_loop(path: &Path, rows: u64, workers: usize, memory: Option<Bytes>) {
    let folder = tempfile::tempdir().unwrap();
    let summary = run(&Job { workers: Some(workers), memory, ..job(&folder, &[path]) }).unwrap();
    let (carriers, routes) = plain_loop(path);
    assert_eq!((summary.stored, summary.rejected), (rows, 0));
    assert_eq!(figures_in(&summary.database, "carrier"), carriers, "n_workers = {workers}");
    assert_eq!(figures_in(&summary.database, "origin || '-' || dest"), routes, "n_workers = {workers}");
    for line in &summary.carriers {
        let (_, departed, delay, ..) = carriers[line.names[0].as_deref().unwrap()];
        assert_eq!(line.tally.mean_dep_delay(), (departed > 0).then(|| delay as f64 / departed as f64));
    }
    assert!(summary.report.totals().balance());
    if let Some(memory) = memory {
        assert!(summary.report.peak_bytes <= 2 * memory.get(), "{} in flight", summary.report.peak_bytes);
    }
    assert_eq!(entries(&folder), ["flights.db"], "nothing else is left");
}

#[test]
fn january_is_what_a_plain_loop_finds() {
    for workers in [1, 2, 4] {
        for memory in [None, Some(Bytes::mib(1))] {
            check_against_plain_loop(&january(), JANUARY, workers, memory);
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that was skipped should say so")]
fn the_whole_year_is_what_a_plain_loop_finds() {
    let path = std::env::var_os("GRISTMILL_FLIGHTS_CSV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/nycflights13/flights.csv"),
        PathBuf::from,
    );
    if !path.exists() {
        eprintln!(
            "\n*** SKIPPED: the year's flights are not at `{}`.\n*** Set GRISTMILL_FLIGHTS_CSV to the flights.csv of \
             nycflights13 to run this test.\n",
            path.display()
        );
        return;
    }
    check_against_plain_loop(&path, YEAR, 2, Some(Bytes::mib(64)));
}

#[test]
fn with_ordered_rows_are_stored_in_the_order_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second.csv");
    let text = fs::read_to_string(january()).unwrap();
    let lines: Vec<&str> = text.lines().take(3_001).collect();
    fs::write(&second, lines.join("\r\n")).unwrap();

    let summary = run(&Job {
        ordered: true,
        workers: Some(4),
        memory: Some(Bytes::kib(512)),
        ..job(&folder, &[&january(), &second])
    })
    .unwrap();
    let expected: Vec<&str> = text.lines().skip(1).chain(lines.iter().copied().skip(1)).collect();
    assert_eq!(rows_in(&summary.database), expected);
}

#[test]
fn columns_may_stand_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.csv");
    let text = fs::read_to_string(january()).unwrap();
    let turned = text.lines().take(101).map(|line| {
        let mut fields: Vec<&str> = line.split(',').collect();
        fields.insert(4, "\"one, more\"");
        fields.reverse();
        fields.join(",")
    });
    fs::write(&path, turned.collect::<Vec<_>>().join("\n").replacen("\"one, more\"", "extra", 1)).unwrap();
    let summary = run(&Job { ordered: true, ..job(&folder, &[&path]) }).unwrap();
    let expected: Vec<&str> = text.lines().skip(1).take(100).collect();
    assert_eq!(rows_in(&summary.database), expected);
}

#[test]
fn bad_rows_go_to_the_dead_letters_and_all_others_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines: Vec<Vec<u8>> =
        fs::read(january()).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop().unwrap(), b"");
    let good = b"2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z";
    let with = |from: &str, to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let bad: [(usize, Vec<u8>, &str); 7] = [
        (2, b"2013,1,1,517".to_vec(), "4 fields instead of 19"),
        (5_000, with("1400", b"14OO"), "column `distance` holds `14OO`: invalid digit found in string"),
        (9_999, with("N14228", b"N1\xff28"), "column `tailnum` is not UTF-8: `N1\u{fffd}28`"),
        (15_000, with("UA", b"NA"), "column `carrier` is missing a value"),
        (15_001, with("EWR", b"\"EWR"), "a quoted field does not end on its line"),
        (20_000, with("IAH", b"Houston, Intercontinental"), "20 fields instead of 19"),
        (27_000, with("N14228", b"N12345678"), "column `tailnum` holds `N12345678`: longer than 8 bytes"),
    ];
    for (number, text, _) in &bad {
        lines.insert(number - 1, text.clone());
    }
    // A carrier and an airport that nobody knows, a row of missing values, an empty line: none of them is an error.
    lines.push(with("UA", b"ZZ"));
    lines.push(with("IAH", b"XXX"));
    lines.push(b"2013,1,1,NA,515,,NA,819,NA,UA,1545,NA,EWR,IAH,NA,1400,5,15,2013-01-01T10:00:00Z".to_vec());
    lines.push(Vec::new());
    let path = folder.path().join("some bad.csv");
    fs::write(&path, lines.join(&b'\n')).unwrap();

    for (workers, memory, ordered) in [(1, None, true), (2, None, false), (3, Some(Bytes::kib(64)), true)] {
        let existing = Existing::Replace;
        let job = Job { workers: Some(workers), memory, ordered, existing, ..job(&folder, &[&path, &january()]) };
        let summary = run(&job).unwrap();
        assert_eq!((summary.rejected, summary.stored), (7, 2 * JANUARY + 3));
        assert_eq!(summary.report.stage("parse").map(|stage| stage.dead), Some(7));

        let written = fs::read(&job.dead_letters).unwrap();
        let mut found: Vec<Vec<u8>> = written.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        assert_eq!(found.pop().unwrap(), b"");
        let mut expected: Vec<Vec<u8>> = bad
            .iter()
            .map(|(number, text, reason)| {
                let mut line = format!("{}\t{number}\t{reason}\t", path.display()).into_bytes();
                line.extend_from_slice(text);
                line
            })
            .collect();
        // Letters are posted as workers find them.
        found.sort();
        expected.sort();
        assert_eq!(found, expected);

        let database = Connection::open(&job.database).unwrap();
        let count = |condition: &str| -> i64 {
            database
                .query_row(&format!("SELECT count(*) FROM flights WHERE {condition}"), (), |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count("carrier = 'ZZ' AND airline IS NULL AND dest_name IS NOT NULL"), 1);
        assert_eq!(count("dest = 'XXX' AND dest_name IS NULL AND airline = 'United Air Lines Inc.'"), 1);
        assert_eq!(count("flight = 1545 AND dep_time IS NULL AND dep_delay IS NULL AND tailnum IS NULL"), 1);
        assert_eq!(count("airline IS NULL"), 1);
    }
}

/// Runs a job that must fail: the error says all of this, and nothing is left in the folder but what was there.
fn check_fails(folder: &TempDir, job: &Job, words: &[&str]) {
    let before = entries(folder);
    let error = match run(job) {
        Ok(_) => panic!("it did not fail"),
        Err(error) => format!("{error:#}"),
    };
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(entries(folder), before, "{error}");
}

#[test]
fn what_is_wrong_with_an_input_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(january()).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let empty = file("empty.csv", "");
    let lacking = file("lacking.csv", &text.replacen("arr_delay", "arrival", 1));
    let twice = file("twice.csv", &text.replacen("arr_delay", "dep_delay", 1));
    let missing = folder.path().join("missing.csv");
    let cases: [(&Path, &[&str]); 5] = [
        (&missing, &["missing.csv", "No such file"]),
        (folder.path(), &["directory"]),
        (&empty, &["empty.csv", "is empty"]),
        (&lacking, &["lacking.csv", "no column `arr_delay`", "arrival"]),
        (&twice, &["twice.csv", "more than one column `dep_delay`"]),
    ];
    for (path, words) in cases {
        check_fails(&folder, &job(&folder, &[&january(), path]), words);
    }
    let only_header = file("header.csv", text.lines().next().unwrap());
    assert_eq!(run(&job(&folder, &[&only_header])).unwrap().stored, 0);
}

#[test]
fn what_cannot_be_written_is_named_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.csv");
    fs::copy(january(), &path).unwrap();
    let bad = folder.path().join("bad.csv");
    fs::write(&bad, format!("{}2013,1\n", fs::read_to_string(january()).unwrap())).unwrap();
    let good = job(&folder, &[&path]);

    let nowhere = folder.path().join("no/such/place.db");
    check_fails(&folder, &Job { database: nowhere.clone(), ..good.clone() }, &["no/such/place.db", "No such file"]);
    check_fails(&folder, &Job { dead_letters: nowhere, ..good.clone() }, &["no/such/place.db", "No such file"]);
    check_fails(&folder, &Job { database: folder.path().to_owned(), ..good.clone() }, &["is no regular file"]);

    // What is there stays, unless it may be replaced, and until there is something to put in its place.
    fs::write(&good.database, "precious").unwrap();
    check_fails(&folder, &good, &["flights.db", "is there already", "--replace"]);
    fs::write(&good.dead_letters, "old letters").unwrap();
    let replacing = Job { existing: Existing::Replace, ..good.clone() };
    check_fails(&folder, &Job { inputs: vec![Input::read("missing.csv")], ..replacing.clone() }, &["missing.csv"]);
    assert_eq!(fs::read(&good.database).unwrap(), b"precious");
    assert_eq!(fs::read(&good.dead_letters).unwrap(), b"old letters");

    // Not over its own input, whatever may be replaced.
    check_fails(&folder, &Job { database: path.clone(), ..replacing.clone() }, &["some.csv", "is read from"]);
    check_fails(&folder, &Job { dead_letters: path.clone(), ..replacing.clone() }, &["some.csv", "is read from"]);
    check_fails(&folder, &Job { dead_letters: good.database.clone(), ..replacing.clone() }, &["both"]);

    #[cfg(target_os = "linux")]
    {
        let full = PathBuf::from("/dev/full");
        check_fails(&folder, &Job { database: full.clone(), ..replacing.clone() }, &["/dev/full", "no regular file"]);
        fs::remove_file(&good.dead_letters).unwrap();
        let inputs = vec![Input::read(&bad)];
        let job = Job { dead_letters: full.clone(), inputs, ..replacing.clone() };
        check_fails(&folder, &job, &["flights.db` was not written", "/dev/full", "No space left"]);
        assert_eq!(fs::read(&good.database).unwrap(), b"precious");
        assert!(full.exists());
    }

    run(&replacing).unwrap();
    assert_eq!(figures_in(&good.database, "'all'")["all"].0, JANUARY);
    assert!(!good.dead_letters.exists(), "there were none");
}
