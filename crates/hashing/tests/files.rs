//! Trees and files, held against a plain loop.

use gristmill::{OnError, Pipeline};
use gristmill_hashing::{Algorithm, Buffer, FileError, Files, Hashed, Links};
use proptest::prelude::*;
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
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
        .ordered()
        .collect::<Vec<_>>()
        .run()
        .unwrap();
    report.output
}

fn hash_each(files: Files<'_>) -> Vec<Result<Hashed, FileError>> {
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
fn all_bytes_are_counted_for_a_progress_bar() {
    let folder = folder_of(&BORDERS);
    for is_mapped in [false, true] {
        let files = Files::walk([folder.path()], Algorithm::Blake3);
        // SAFETY: nobody else knows of the folder.
        let files = if is_mapped { unsafe { files.mapped() } } else { files };
        let seen = Arc::new(AtomicU64::new(0));
        let mut buffer = Buffer::counting(&seen);
        let bytes: u64 = files.map(|task| task.hash(&mut buffer).unwrap().bytes).sum();
        assert_eq!((seen.load(Relaxed), bytes), (bytes, BORDERS.iter().sum::<usize>() as u64));
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
        .count()
        .run()
        .unwrap();
    assert_eq!((report.output, report.failures.len()), (2, 1));
    assert!(report.failures[0].message.contains("nowhere: No such file"), "{}", report.failures[0].message);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    for algorithm in Algorithm::ALL {
        let folder = folder_of(&[0]);
        let path = folder.path().join("0/000");
        // No block of it is on the disk, so it can be so large that there is time to change it.
        File::options().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                while seen.load(Relaxed) == 0 {
                    thread::yield_now();
                }
                File::options().write(true).open(&path).unwrap().set_len(1 << 10).unwrap();
            });
            let task = Files::walk([folder.path()], algorithm).next().unwrap();
            task.hash(&mut Buffer::counting(&seen)).unwrap_err()
        });
        assert!(error.is_changed() && !error.is_missing(), "{algorithm:?}: {error}");
        assert_eq!(error.path(), path);
    }
}

#[test]
fn a_file_that_changes_before_its_turn_is_hashed_as_it_is_then() {
    let folder = folder_of(&[1_000]);
    for algorithm in Algorithm::ALL {
        for len in [2_000, 0, 9 << 20, 10] {
            let task = Files::walk([folder.path()], algorithm).next().unwrap();
            fs::write(task.path(), bytes(len)).unwrap();
            assert_eq!(task.hash(&mut Buffer::new()).unwrap().digest, algorithm.hash(&bytes(len)), "{len} bytes");
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
fn many_large_files_share_a_small_pool() {
    let folder = folder_of(&[9 << 20; 12]);
    let expected = plain_loop(folder.path(), Algorithm::Blake3);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let hashed = pool.install(|| run(Files::walk([folder.path()], Algorithm::Blake3), threads));
        assert_eq!(named(hashed), expected, "{threads} threads");
    }
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
