//! Real processes and real signals.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn start(path: &Path, args: &[&str]) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_gristmill-torture"))
        .arg("endless")
        .arg(path)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has set its handlers before it writes.
    wait_until(path, "the run does not begin", |text| !text.is_empty());
    child
}

fn wait_until(path: &Path, or_else: &str, has_come: impl Fn(&str) -> bool) {
    let began = Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|text| has_come(&text)) {
        assert!(began.elapsed() < Duration::from_secs(30), "{or_else}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Two different ones: of two equal signals the second may be lost while the first is pending. By one shell, so that the
/// second comes while the run still drains.
fn signal_twice(child: &Child) {
    let both = "kill -INT $0 && kill -TERM $0";
    assert!(Command::new("sh").args(["-c", both, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the end; a process that does not end is killed, and fails the test.
fn end(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("the process does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.wait_with_output().unwrap()
}

fn numbers(path: &Path) -> Vec<u64> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_signal_at_any_moment_drains_and_everything_extracted_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    for round in 0..24u64 {
        let _ = std::fs::remove_file(&path);
        let child = start(&path, if round % 2 == 0 { &[] } else { &["--pause-us", "50"] });
        std::thread::sleep(Duration::from_micros(round * 7_919 % 60_000));
        signal(&child, if round % 3 == 0 { "-INT" } else { "-TERM" });
        let ended = end(child);
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("drained"), "{ended:?}");
        let stored = numbers(&path);
        assert!(stored.iter().copied().eq(0..stored.len() as u64), "round {round}: a number is missing");
        assert!(said.contains("0 lost") || !said.contains("lost"), "{said}");
    }
}

#[test]
fn a_second_signal_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let child = start(&path, &["--pause-us", "20000"]);
    signal_twice(&child);
    let ended = end(child);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("cancelled"), "{ended:?}");
}

#[test]
fn a_drain_that_takes_too_long_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let child = start(&path, &["--pause-us", "20000", "--deadline-ms", "100"]);
    signal(&child, "-TERM");
    let ended = end(child);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("draining took longer than 100ms"), "{ended:?}");
}

#[test]
fn a_store_that_never_returns_is_abandoned_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let child = start(&path, &["--stuck-at", "1000", "--grace-ms", "200"]);
    wait_until(&path, "the store is not stuck", |text| text.ends_with("\n999\n"));
    signal_twice(&child);
    let ended = end(child);
    let said = String::from_utf8_lossy(&ended.stderr);
    let by = ended.status.signal();
    assert!(matches!(by, Some(2 | 15)) && said.contains("has not ended") && said.contains("store"), "{ended:?}");
}
