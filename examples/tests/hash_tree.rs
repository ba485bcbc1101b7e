//! The example that hashes trees, held against a plain loop.

use gristmill_examples::hash_tree::{Job, check, demo, run};
use gristmill_hashing::{Algorithm, Links};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn job(roots: &[&Path], algorithm: Algorithm) -> Job {
    let roots = roots.iter().map(|root| root.to_path_buf()).collect();
    Job { roots, algorithm, links: Links::Skip, mapped: false, threads: Some(2) }
}

fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, len) in [("b", 20 << 20), ("a", 3), ("c", 0), ("d", 2 << 20)] {
        fs::write(folder.path().join(name), vec![len as u8; len]).unwrap();
    }
    folder
}

/// The list as a plain loop writes it.
fn expected(folder: &TempDir, algorithm: Algorithm) -> String {
    let line = |name| {
        let path = folder.path().join(name);
        format!("{}  {}\n", algorithm.hash(&fs::read(&path).unwrap()), path.display())
    };
    ["a", "b", "c", "d"].map(line).concat()
}

#[test]
fn the_list_is_that_of_a_plain_loop_in_the_order_of_names() {
    let folder = tree();
    for algorithm in Algorithm::ALL {
        for mapped in [false, true] {
            for threads in [None, Some(1), Some(3)] {
                let mut out = Vec::new();
                let job = Job { mapped, threads, ..job(&[folder.path()], algorithm) };
                let summary = run(&job, &mut out).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected(&folder, algorithm), "{job:?}");
                assert_eq!((summary.files, summary.bytes), (4, (22 << 20) + 3));
                assert!(summary.rejected.is_empty() && summary.report.totals().balance());
            }
        }
    }
}

#[test]
fn a_file_without_a_digest_is_named_and_the_others_are_listed() {
    let folder = tree();
    let missing = folder.path().join("missing");
    let mut out = Vec::new();
    let summary = run(&job(&[&missing, folder.path()], Algorithm::Blake3), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), expected(&folder, Algorithm::Blake3));
    assert_eq!(summary.rejected.len(), 1);
    assert!(summary.to_string().contains("rejected: "), "{summary}");
    assert!(summary.rejected[0].message.contains("missing: No such file"), "{summary}");
}

#[test]
fn a_list_that_cannot_be_written_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = tree();
    for algorithm in Algorithm::ALL {
        let error = run(&job(&[folder.path()], algorithm), &mut Full).unwrap_err();
        assert!(format!("{error:#}").contains("no storage space"), "{error:#}");
    }
}

/// What `--check` says of a list, without the folder, and whether all is well.
fn check_list(folder: &TempDir, text: &str, algorithm: Algorithm) -> (String, check::Summary) {
    let lists = tempfile::tempdir().unwrap();
    let list = lists.path().join("list");
    fs::write(&list, text).unwrap();
    let mut out = Vec::new();
    let summary = check::run(&job(&[], algorithm), &list, &mut out).unwrap();
    let prefix = format!("{}/", folder.path().display());
    (String::from_utf8(out).unwrap().replace(&prefix, ""), summary)
}

#[test]
fn a_good_list_checks() {
    let folder = tree();
    for algorithm in Algorithm::ALL {
        let (told, summary) = check_list(&folder, &expected(&folder, algorithm), algorithm);
        assert_eq!(told, "a: OK\nb: OK\nc: OK\nd: OK\n");
        assert!(summary.is_well() && summary.good == 4);
    }
}

#[test]
fn all_that_is_wrong_with_a_list_is_told_in_its_order() {
    let folder = tree();
    let text = expected(&folder, Algorithm::Sha256).replace('\n', "\r\n") + "junk";
    fs::write(folder.path().join("b"), "changed").unwrap();
    fs::remove_file(folder.path().join("c")).unwrap();
    let (told, summary) = check_list(&folder, &text, Algorithm::Sha256);
    assert_eq!(told, "a: OK\nb: FAILED\nc: FAILED open or read\nd: OK\n");
    assert_eq!((summary.good, summary.bad, summary.unreadable.len(), summary.malformed.len()), (2, 1, 1, 1));
    assert!(!summary.is_well());
    for words in ["c: No such file", "line 5 is no digest", "2 OK, 1 FAILED, 1 unreadable, 1 lines malformed"] {
        assert!(summary.to_string().contains(words), "{summary}");
    }
}

#[test]
fn nothing_to_check_is_not_well() {
    let folder = tree();
    let (told, summary) = check_list(&folder, "", Algorithm::Blake3);
    assert_eq!(told, "");
    assert!(!summary.is_well());
    for list in [folder.path().join("missing"), folder.path().to_owned()] {
        let error = check::run(&job(&[], Algorithm::Blake3), &list, &mut Vec::new()).unwrap_err();
        assert!(format!("{error:#}").contains(&*list.display().to_string()), "{error:#}");
    }
}

#[test]
fn without_arguments_it_finds_itself_right() {
    for algorithm in Algorithm::ALL {
        let mut out = Vec::new();
        let summary = demo::run(&job(&[], algorithm), &mut out).unwrap();
        assert_eq!(summary.files, 42);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 42);
    }
}
