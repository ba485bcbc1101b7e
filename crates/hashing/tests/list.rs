//! Lists of digests.

use gristmill_hashing::list::{self, Entry, ListError};
use gristmill_hashing::{Algorithm, Buffer, Files};
use proptest::prelude::*;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::Command;

const X: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

fn path_of(line: &str) -> Option<String> {
    let entry = list::parse_line(line.as_bytes(), Algorithm::Sha256)?;
    assert_eq!((entry.algorithm, entry.digest), (Algorithm::Sha256, Algorithm::Sha256.hash(b"x")));
    entry.path.into_os_string().into_string().ok()
}

#[test]
fn lines_of_the_known_programs_are_read() {
    let upper = X.to_uppercase();
    let cases = [
        (format!("{X}  name"), "name"),
        (format!("{X}  name\n"), "name"),
        (format!("{X}  name\r\n"), "name"),
        (format!("{X} *name"), "name"),
        (format!("{X}  *name"), "*name"),
        (format!("{X}    two spaces  and more "), "  two spaces  and more "),
        (format!("{upper}  name"), "name"),
        (format!("\\{X}  a\\nb\\\\c\\rd"), "a\nb\\c\rd"),
        (format!("{X}  a\\nb"), "a\\nb"),
        (format!("SHA256 (name) = {X}"), "name"),
        (format!("SHA256 (a) = b) = {X}"), "a) = b"),
        (format!("\\SHA256 (a\\nb) = {X}"), "a\nb"),
    ];
    for (line, path) in cases {
        assert_eq!(path_of(&line).as_deref(), Some(path), "{line:?}");
    }
}

#[test]
fn the_tag_says_which_function_it_was() {
    for algorithm in Algorithm::ALL {
        let line = format!("{} (name) = {}", algorithm.tag(), algorithm.hash(b"x"));
        let entry = list::parse_line(line.as_bytes(), Algorithm::Blake3).unwrap();
        assert_eq!((entry.algorithm, entry.digest), (algorithm, algorithm.hash(b"x")));
    }
}

#[test]
fn what_is_no_line_is_refused() {
    let cases = [
        String::new(),
        "no digest  name".to_owned(),
        X.to_owned(),
        format!("{X}  "),
        format!("{X} name"),
        format!("{X}name"),
        format!("{}  name", &X[1..]),
        format!("{X}0  name"),
        format!("{}g  name", &X[1..]),
        format!("\\{X}  a\\tb"),
        format!("\\{X}  a\\"),
        format!("{X}  a\0b"),
        format!("SHA256 () = {X}"),
        format!("SHA256 (name) = {}", &X[1..]),
        format!("SHA256 (name {X}"),
        format!("MD5 (name) = {X}"),
        "SHA256 (".to_owned(),
        format!("é{}  name", &X[2..]),
    ];
    for line in cases {
        assert_eq!(list::parse_line(line.as_bytes(), Algorithm::Sha256), None, "{line:?}");
    }
}

#[test]
fn a_list_goes_on_after_a_bad_line_and_says_which_it_was() {
    let text = format!("{X}  one\r\n\njunk\n \t\r\n{X}  two");
    let read: Vec<_> = list::read(text.as_bytes(), Algorithm::Sha256).collect();
    let paths: Vec<_> = read.iter().flatten().map(|entry| entry.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["one", "two"]);
    assert!(matches!(read[1], Err(ListError::Line { number: 3 })));
    assert_eq!(list::read(&b""[..], Algorithm::Sha256).count(), 0);
}

#[test]
fn a_list_that_cannot_be_read_ends() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let text = format!("{X}  one\n");
    let read: Vec<_> = list::read(BufReader::new(text.as_bytes().chain(Broken)), Algorithm::Sha256).take(9).collect();
    assert!(matches!(read[..], [Ok(_), Err(ListError::Read(_))]), "{read:?}");
}

/// Whether a program of the system takes our list for its own.
#[cfg(unix)]
fn check_with(program: &[&str], algorithm: Algorithm) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["plain", "back\\slash", "new\nline", "return\r", " *star  ", "ünïcode"] {
        fs::write(folder.path().join(name), name.repeat(10)).unwrap();
    }
    let mut text = Vec::new();
    for task in Files::walk([folder.path()], algorithm) {
        let hashed = task.hash(&mut Buffer::new()).unwrap();
        list::write_line(&mut text, &hashed.digest, &hashed.path).unwrap();
    }
    let list = folder.path().join("list");
    fs::write(&list, text).unwrap();
    let output = match Command::new(program[0]).args(&program[1..]).arg(&list).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        output => output.unwrap(),
    };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.lines().filter(|line| line.ends_with(": OK")).count(), 6, "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_programs_of_the_system_check_our_lists() {
    check_with(&["sha256sum", "--strict", "-c"], Algorithm::Sha256);
    check_with(&["b3sum", "-c"], Algorithm::Blake3);
}

#[cfg(unix)]
proptest! {
    #[test]
    fn any_name_is_read_back_as_it_was_written(name in prop::collection::vec(1..=255u8, 1..40)) {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(&name));
        for algorithm in Algorithm::ALL {
            let digest = algorithm.hash(&name);
            let mut line = Vec::new();
            list::write_line(&mut line, &digest, path).unwrap();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read = list::parse_line(&line, algorithm);
            prop_assert_eq!(read, Some(Entry { path: path.to_owned(), algorithm, digest }));
        }
    }

    #[test]
    fn names_of_awkward_bytes_are_read_back_too(name in "[\\\\\n\r n()=*]{1,12}") {
        let digest = Algorithm::Xxh3.hash(b"x");
        let mut line = Vec::new();
        list::write_line(&mut line, &digest, Path::new(&name)).unwrap();
        let entry = list::parse_line(&line, Algorithm::Xxh3);
        prop_assert_eq!(entry.map(|entry| entry.path), Some(name.into()));
    }

    #[test]
    fn any_bytes_are_read_without_harm_and_what_is_taken_can_be_written(
        start in prop::sample::select(vec!["", "\\", "SHA256 (", "BLAKE3 (n) = ", X, "5c7401c0ec22eeeeeaf06c6480b2cd11  "]),
        rest: Vec<u8>,
    ) {
        let bytes = [start.as_bytes(), &rest].concat();
        for algorithm in Algorithm::ALL {
            for entry in list::read(&*bytes, algorithm).flatten() {
                let mut line = Vec::new();
                list::write_line(&mut line, &entry.digest, &entry.path).unwrap();
                prop_assert_eq!(list::parse_line(&line, entry.algorithm), Some(entry));
            }
        }
    }
}
