//! A guarded map survives when its file gets shorter, and only that.

use crate::support::within;
use gristmill::prelude::*;
use gristmill::{Bytes, Chunk, Chunks, source};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU64, Ordering};

const LINE: &[u8] = b"a line of sixteen\n";
const LINES: usize = 200_000;

fn file_of_lines() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&LINE.repeat(LINES)).unwrap();
    file
}

fn shorten(path: &std::path::Path, bytes: usize) {
    File::options().write(true).open(path).unwrap().set_len(bytes as u64).unwrap();
}

fn count(chunk: &Chunk) -> Result<usize, gristmill::ChunkError> {
    let lines = chunk.lines().filter(|line| *line == &LINE[..LINE.len() - 1]).count();
    chunk.check_intact().map(|()| lines)
}

#[test]
fn a_file_truncated_under_a_run_costs_the_items_that_are_gone() {
    within("truncation", || {
        for left in [0, 1, 5_000, LINE.len() * LINES / 2, LINE.len() * LINES - 1] {
            let file = file_of_lines();
            // SAFETY: nobody writes to the temporary file; it only gets shorter.
            let chunks = unsafe { Chunks::map_guarded(file.path()) }.unwrap();
            let seen = AtomicU64::new(0);
            let report = Pipeline::extract(chunks.target(Bytes::kib(64)).lines())
                .on_error(OnError::collect())
                .map(|chunk| {
                    if seen.fetch_add(1, Ordering::Relaxed) == 3 {
                        shorten(file.path(), left);
                    }
                    chunk
                })
                .try_map(|chunk| count(&chunk))
                .on_error(OnError::collect())
                .reduce(|left, right| left + right)
                .run()
                .unwrap();
            let lines = report.output.unwrap_or(0);
            assert!(lines < LINES && !report.failures.is_empty(), "{left} left: {lines} lines, {:?}", report.failures);
            // What was counted before it was gone may be more, and a chunk that is only in part there is gone whole.
            assert!((lines + 65_536 / LINE.len() + 1) * LINE.len() >= left, "{left} left, {lines} lines");
            let message = &report.failures[0].message;
            assert!(message.contains("could not read") && message.contains("truncated"), "{message}");
        }
    });
}

#[test]
fn what_lies_before_the_end_of_a_truncated_file_is_intact() {
    let file = file_of_lines();
    // SAFETY: nobody writes to the temporary file; it only gets shorter.
    let chunks = unsafe { Chunks::map_guarded(file.path()) }.unwrap();
    let chunks: Vec<Chunk> = source_items(chunks.target(Bytes::kib(64)).lines()).collect();
    let left = LINE.len() * LINES / 2;
    shorten(file.path(), left);
    let counted: Vec<_> = chunks.iter().map(|chunk| count(chunk).ok()).collect();
    for (chunk, lines) in chunks.iter().zip(counted) {
        let is_there = chunk.offset() as usize + chunk.len() <= left;
        assert_eq!(lines, is_there.then(|| chunk.len() / LINE.len()), "at {}", chunk.offset());
        // Also when all that is gone has been touched.
        assert_eq!(chunk.check_intact().is_ok(), is_there, "at {}", chunk.offset());
    }
}

#[test]
fn a_file_that_stays_is_intact_and_one_that_grows_too() {
    let file = file_of_lines();
    for _ in 0..2 {
        // SAFETY: nobody changes what is in the temporary file.
        let chunks = unsafe { Chunks::map_guarded(file.path()) }.unwrap();
        let lines = Pipeline::extract(chunks.lines()).try_map(|chunk| count(&chunk)).reduce(|a, b| a + b).run();
        assert_eq!(lines.unwrap().output, Some(LINES));
        File::options().append(true).open(file.path()).unwrap().write_all(b"more\n").unwrap();
    }
    let empty = tempfile::NamedTempFile::new().unwrap();
    // SAFETY: as above.
    let chunks = unsafe { Chunks::map_guarded(empty.path()) }.unwrap();
    assert_eq!(Pipeline::extract(chunks.lines()).count().run().unwrap().output, 0);
}

#[test]
fn many_guards_come_and_go_on_many_threads() {
    within("many guards", || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let file = file_of_lines();
                        // SAFETY: nobody writes to the temporary file; it only gets shorter.
                        let chunks = unsafe { Chunks::map_guarded(file.path()) }.unwrap().target(Bytes::mib(1)).lines();
                        let chunks: Vec<Chunk> = source_items(chunks).collect();
                        shorten(file.path(), 10_000 * round);
                        let gone = chunks.iter().filter(|chunk| count(chunk).is_err()).count();
                        assert!(gone >= 2, "{gone} of {} chunks are gone", chunks.len());
                    }
                });
            }
        });
    });
}

fn source_items(mut chunks: impl Source<Item = Chunk, Error = gristmill::ChunkError>) -> impl Iterator<Item = Chunk> {
    std::iter::from_fn(move || chunks.pull().map(Result::unwrap))
}

/// What this process does as a child of the tests below, which say so in the environment.
const TASK: &str = "GRISTMILL_TEST_GUARD";

fn run_child(task: &str) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guard::child", "--nocapture"])
        .env(TASK, task)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let guarded = file_of_lines();
    // SAFETY: nobody changes the file.
    let _guard = unsafe { Chunks::map_guarded(guarded.path()) }.unwrap();
    match task.as_str() {
        "unguarded" => {
            let file = file_of_lines();
            // SAFETY: none: the file is truncated below, which is what kills this process, as the test wants.
            let chunk = unsafe { Chunks::map(file.path()) }.unwrap().whole().pull().unwrap().unwrap();
            shorten(file.path(), 0);
            std::process::exit(i32::from(chunk[100_000] == 0));
        }
        "signal" => {
            // The first is taken by the handler that Rust's standard library installs, which then steps aside. One that
            // comes while another is pending is lost, so there are more than two.
            let me = std::process::id().to_string();
            for _ in 0..200 {
                std::process::Command::new("kill").args(["-BUS", &me]).status().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        _ => {}
    }
}

#[test]
fn other_bus_errors_kill_as_ever() {
    const SIGBUS: i32 = 7;
    assert!(run_child("nothing").success());
    assert_eq!(run_child("unguarded").signal(), Some(SIGBUS));
    assert_eq!(run_child("signal").signal(), Some(SIGBUS));
}

#[test]
fn a_source_around_a_guarded_map_may_wait() {
    let file = file_of_lines();
    // SAFETY: nobody changes the temporary file.
    let chunks = unsafe { Chunks::map_guarded(file.path()) }.unwrap().lines();
    let report = Pipeline::extract(source::waiting(chunks)).try_map(|chunk| count(&chunk)).reduce(|a, b| a + b).run();
    let report = report.unwrap();
    assert_eq!(report.output, Some(LINES));
    assert!(report.peak_mapped_bytes > 0);
}
