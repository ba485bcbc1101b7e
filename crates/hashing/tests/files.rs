//! Trees and files, held against a plain loop.

use gristmill::{OnError, Pipeline};
use gristmill_hashing::{Algorithm, Buffer, FileError, Files, Hashed, Links};
use proptest::prelude::*;
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where the ways to read a file change: blocks, maps, pieces.
const BORDERS: [usize; 11] = [
    0,
    1,
    (256 << 10) - 1,
    256 << 10,
    (256 << 10) + 1,
    (1 << 20) - 1,
    1 << 20,
    (8 << 20) - 1,
    8 << 20,
    (8 << 20) + 1,
    (24 << 20) + 12_345,
];

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|index| (index.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

fn folder_of(sizes: &[usize]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, size) in sizes.iter().enumerate() {
        let sub = folder.path().join(format!("{}", index % 3));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join(format!("{index:03}")), bytes(*size)).unwrap();
    }
    folder
}

/// All files below a folder, in the order of names, hashed one by one.
fn plain_loop(folder: &Path, algorithm: Algorithm) -> Vec<(PathBuf, String)> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut all = Vec::new();
    for path in entries {
        if path.is_dir() {
            all.extend(plain_loop(&path, algorithm));
        } else {
            let digest = algorithm.hash(&fs::read(&path).unwrap()).to_string();
            all.push((path, digest));
        }
    }
    all
}

fn run(files: Files<'_>, workers: usize) -> Vec<Hashed> {
    let report = Pipeline::extract(files)
        .workers(workers)
        .try_map_init(|| Ok::<_, Infallible>(Buffer::new()), |buffer, task| task.hash(buffer))
        .filter_map(|hashed| hashed)
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    report.output
}

fn hash_each(files: Files<'_>) -> Vec<Result<Option<Hashed>, FileError>> {
    let mut buffer = Buffer::new();
    files.map(|task| task.hash(&mut buffer)).collect()
}

/// The errors of all tasks. The others do not matter.
fn errors(files: Files<'_>) -> Vec<FileError> {
    hash_each(files).into_iter().filter_map(Result::err).collect()
}

fn named(hashed: Vec<Hashed>) -> Vec<(PathBuf, String)> {
    hashed.into_iter().map(|hashed| (hashed.path, hashed.digest.to_string())).collect()
}

#[test]
fn digests_and_order_are_those_of_a_plain_loop() {
    let folder = folder_of(&BORDERS);
    for algorithm in Algorithm::ALL {
        let expected = plain_loop(folder.path(), algorithm);
        for workers in [1, 3] {
            let read = Files::walk([folder.path()], algorithm);
            assert_eq!(named(run(read, workers)), expected, "{algorithm:?}, {workers} workers, read");
            // SAFETY: nobody else knows of the folder.
            let mapped = unsafe { Files::walk([folder.path()], algorithm).mapped() };
            assert_eq!(named(run(mapped, workers)), expected, "{algorithm:?}, {workers} workers, mapped");
        }
    }
}

#[test]
fn known_digests_are_found_however_pieces_are_ordered() {
    let folder = folder_of(&[(16 << 20) + 1]);
    let expected = plain_loop(folder.path(), Algorithm::Blake3);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut tasks: Vec<_> = Files::walk([folder.path()], Algorithm::Blake3).map(Some).collect();
        assert_eq!(tasks.len(), 3);
        assert_eq!(tasks.iter().flatten().map(gristmill_hashing::Task::bytes).sum::<u64>(), (16 << 20) + 1);
        let mut buffer = Buffer::new();
        let done: Vec<_> = order.map(|index| tasks[index].take().unwrap().hash(&mut buffer).unwrap()).into();
        assert_eq!(done[..2], [None, None], "{order:?}");
        assert_eq!(named(done.into_iter().flatten().collect()), expected, "{order:?}");
    }
}

#[test]
fn places_count_the_files_of_all_roots() {
    let folder = folder_of(&[1, 2, (8 << 20) + 1, 4]);
    let file = folder.path().join("1/001");
    let hashed = run(Files::walk([file.as_path(), folder.path()], Algorithm::Blake3), 2);
    assert_eq!(hashed.iter().map(|hashed| hashed.place).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(hashed.iter().map(|hashed| hashed.bytes).collect::<Vec<_>>(), [2, 1, 4, 2, (8 << 20) + 1]);
}

#[test]
fn large_files_come_first_where_they_cannot_be_split() {
    let folder = folder_of(&[10, 2 << 20, 20, 3 << 20, 30]);
    let places = |algorithm| {
        let files = Files::walk([folder.path()], algorithm).large_first();
        run(files, 1).iter().map(|hashed| (hashed.bytes, hashed.place)).collect::<Vec<_>>()
    };
    // In the order of the walk: 0/000, 0/003, 1/001, 1/004, 2/002.
    assert_eq!(places(Algorithm::Sha256), [(3 << 20, 1), (2 << 20, 2), (10, 0), (30, 3), (20, 4)]);
    assert_eq!(places(Algorithm::Blake3), [(10, 0), (3 << 20, 1), (2 << 20, 2), (30, 3), (20, 4)]);
}

#[test]
fn an_empty_folder_and_no_roots_have_no_tasks() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Files::walk([folder.path()], Algorithm::Xxh3).count(), 0);
    assert_eq!(Files::walk([] as [&Path; 0], Algorithm::Xxh3).count(), 0);
}

#[test]
fn what_is_missing_is_one_error_and_the_rest_goes_on() {
    let folder = folder_of(&[1, 2]);
    let roots = [folder.path().join("nowhere"), folder.path().to_owned()];
    let report = Pipeline::extract(Files::walk(&roots, Algorithm::Blake3))
        .try_map_init(|| Ok::<_, Infallible>(Buffer::new()), |buffer, task| task.hash(buffer))
        .on_error(OnError::collect())
        .filter_map(|hashed| hashed)
        .count()
        .run()
        .unwrap();
    assert_eq!((report.output, report.failures.len()), (2, 1));
    assert!(report.failures[0].message.contains("nowhere: No such file"), "{}", report.failures[0].message);
}

#[test]
fn a_file_that_changes_before_it_is_read_is_an_error() {
    let changes: [fn(&Path); 3] = [
        |path| fs::write(path, bytes(1_001)).unwrap(),
        |path| fs::write(path, bytes(10)).unwrap(),
        // Of the same length.
        |path| File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        for algorithm in Algorithm::ALL {
            let folder = folder_of(&[1_000]);
            let task = Files::walk([folder.path()], algorithm).next().unwrap();
            change(task.path());
            let error = task.hash(&mut Buffer::new()).unwrap_err();
            assert!(error.is_changed() && !error.is_missing(), "change {index}: {error}");
        }
    }
}

#[test]
fn a_file_that_changes_between_its_pieces_is_one_error() {
    let len = (24 << 20) + 5;
    let changes: [fn(&File); 3] = [
        |file| file.set_len(9 << 20).unwrap(),
        |file| file.set_len(0).unwrap(),
        |file| file.set_len(25 << 20).unwrap(),
    ];
    for is_mapped in [false, true] {
        for (index, change) in changes.into_iter().enumerate() {
            let folder = folder_of(&[len]);
            let files = Files::walk([folder.path()], Algorithm::Blake3);
            // SAFETY: the file is changed between the tasks only, when no map of it lives.
            let mut files = if is_mapped { unsafe { files.mapped() } } else { files };
            let first = files.next().unwrap();
            let path = first.path().to_owned();
            let mut buffer = Buffer::new();
            assert_eq!(first.hash(&mut buffer).unwrap(), None);
            change(&File::options().write(true).open(path).unwrap());
            let rest: Vec<_> = files.map(|task| task.hash(&mut buffer)).collect();
            assert_eq!(rest.len(), 3);
            assert!(rest[..2].iter().all(|done| matches!(done, Ok(None))), "change {index}: {rest:?}");
            assert!(rest[2].as_ref().unwrap_err().is_changed(), "change {index}: {rest:?}");
        }
    }
}

#[test]
fn files_and_folders_that_vanish_are_errors() {
    let folder = folder_of(&[1, 2, 3, (8 << 20) + 1]);
    let mut files = Files::walk([folder.path()], Algorithm::Blake3);
    let task = files.next().unwrap();
    fs::remove_dir_all(folder.path().join("0")).unwrap();
    fs::remove_dir_all(folder.path().join("2")).unwrap();
    assert!(task.hash(&mut Buffer::new()).unwrap_err().is_missing());
    let done = hash_each(files);
    let (good, bad): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1, "the one that is still there");
    assert!(!bad.is_empty());
    for error in bad {
        assert!(error.as_ref().unwrap_err().is_missing(), "{error:?}");
    }
}

#[test]
fn a_large_file_that_vanishes_is_one_error() {
    let folder = folder_of(&[20 << 20]);
    let tasks: Vec<_> = Files::walk([folder.path()], Algorithm::Blake3).collect();
    fs::remove_dir_all(folder.path()).unwrap();
    let done: Vec<_> = tasks.into_iter().map(|task| task.hash(&mut Buffer::new())).collect();
    assert!(matches!(done[..], [Ok(None), Ok(None), Err(_)]), "{done:?}");
    assert!(done[2].as_ref().unwrap_err().is_missing());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::symlink;

    fn make_fifo(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn what_is_no_file_is_an_error_and_is_not_opened() {
        let folder = folder_of(&[1]);
        make_fifo(&folder.path().join("fifo"));
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let found = errors(Files::walk([folder.path(), Path::new("/dev/null")], Algorithm::Blake3));
        let words: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        for (word, expected) in words.iter().zip(["/fifo: not a file but a fifo", "a socket", "/dev/null: not a file"])
        {
            assert!(word.contains(expected), "{word}");
        }
    }

    #[test]
    fn a_file_that_became_a_fifo_does_not_hang() {
        let folder = folder_of(&[1, (8 << 20) + 1]);
        let tasks: Vec<_> = Files::walk([folder.path()], Algorithm::Blake3).collect();
        for name in ["0/000", "1/001"] {
            fs::remove_file(folder.path().join(name)).unwrap();
            make_fifo(&folder.path().join(name));
        }
        let failed = tasks.into_iter().filter_map(|task| task.hash(&mut Buffer::new()).err());
        assert_eq!(failed.count(), 2);
    }

    #[test]
    fn links_are_passed_over_unless_they_are_followed_or_named() {
        let folder = folder_of(&[1]);
        let elsewhere = folder_of(&[2]);
        symlink(elsewhere.path(), folder.path().join("to-folder")).unwrap();
        symlink("0/000", folder.path().join("to-file")).unwrap();
        let count = |links| {
            let files = Files::walk_links([folder.path()], Algorithm::Blake3, links);
            run(files, 2).len()
        };
        assert_eq!((count(Links::Skip), count(Links::Follow)), (1, 3));
        for name in ["to-folder", "to-file"] {
            let hashed = run(Files::walk([folder.path().join(name)], Algorithm::Blake3), 2);
            assert_eq!(hashed.len(), 1, "{name}");
        }
    }

    #[test]
    fn links_in_a_circle_or_to_nowhere_are_errors() {
        let folder = folder_of(&[1]);
        symlink(folder.path(), folder.path().join("0/up")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        symlink("itself", folder.path().join("itself")).unwrap();
        assert_eq!(hash_each(Files::walk([folder.path()], Algorithm::Blake3)).len(), 1);

        let done = hash_each(Files::walk_links([folder.path()], Algorithm::Blake3, Links::Follow));
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
        let words: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[0].contains("0/up: a symbolic link that leads back to"), "{words:?}");
        assert!(words[1].contains("dangling: No such file"), "{words:?}");
        assert!(words[2].contains("itself: Too many levels"), "{words:?}");
        for name in ["dangling", "itself"] {
            assert_eq!(errors(Files::walk([folder.path().join(name)], Algorithm::Blake3)).len(), 1, "{name}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_no_obstacle() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\n\\"));
        fs::write(&path, "x").unwrap();
        assert_eq!(run(Files::walk([folder.path()], Algorithm::Xxh3), 1)[0].path, path);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_of_proc_are_read_to_their_end_whatever_their_size() {
        let expected = Algorithm::Sha256.hash(&fs::read("/proc/version").unwrap());
        let hashed = run(Files::walk(["/proc/version"], Algorithm::Sha256), 1);
        assert_eq!(hashed[0].digest, expected);
        assert!(hashed[0].bytes > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        // A regular file, and nothing is at its beginning.
        let found = errors(Files::walk(["/proc/self/mem"], Algorithm::Blake3));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("/proc/self/mem: "), "{}", found[0]);
        assert!(!found[0].is_missing() && !found[0].is_changed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_is_hashed_like_a_plain_loop_does(
        sizes in prop::collection::vec(prop_oneof![5 => 0..5_000usize, 5 => 0..600_000usize, 1 => (7usize << 20)..(18 << 20)], 0..12),
        algorithm in prop::sample::select(Algorithm::ALL.to_vec()),
        workers in 1..5usize,
        large_first: bool,
    ) {
        let folder = folder_of(&sizes);
        let files = Files::walk([folder.path()], algorithm);
        let mut hashed = run(if large_first { files.large_first() } else { files }, workers);
        if large_first {
            hashed.sort_by_key(|hashed| hashed.place);
        }
        prop_assert_eq!(named(hashed), plain_loop(folder.path(), algorithm));
    }
}
