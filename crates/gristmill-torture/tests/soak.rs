//! Nothing piles up over many runs, and if something did it would be found.
#![allow(missing_docs)]
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn soak(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill-torture")).arg("soak").args(args).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_thousand_runs_of_all_kinds_leave_no_thread_and_no_descriptor() {
    let output = soak(&["--runs", "1000", "--memory-kib", "8192"]);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), errors(&output));
}

#[test]
fn what_leaks_is_found() {
    for (leak, said) in
        [("memory", "memory grows"), ("threads", "threads are left"), ("descriptors", "descriptors are left")]
    {
        let output = soak(&["--runs", "400", "--memory-kib", "8192", "--leak", leak]);
        assert!(!output.status.success() && errors(&output).contains(said), "{leak}: {}", errors(&output));
    }
}
