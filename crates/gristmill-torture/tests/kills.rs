//! A process that is killed and goes on makes what one makes that is left alone.

#![allow(missing_docs)]

use std::process::Command;

fn kill(args: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_gristmill-torture");
    let output = Command::new(program).arg("kill").args(args).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    said.into_owned()
}

#[test]
fn twenty_five_kills_change_nothing() {
    let said = kill(&["--store", "sqlite", "--times", "25", "--rows", "6000"]);
    assert!(said.starts_with("sqlite: 25 kills"), "{said}");
}

#[test]
fn ten_kills_of_every_store_keep_what_it_promises() {
    let said = kill(&["--times", "10", "--rows", "6000"]);
    assert!(said.lines().count() == 7 && said.lines().all(|line| line.contains(": 10 kills")), "{said}");
}
