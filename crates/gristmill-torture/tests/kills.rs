//! A process that is killed and goes on makes what one makes that is left alone.

#![allow(missing_docs)]

use std::process::Command;

#[test]
fn twenty_five_kills_change_nothing() {
    let program = env!("CARGO_BIN_EXE_gristmill-torture");
    let output = Command::new(program).args(["kill", "--times", "25", "--rows", "6000"]).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.starts_with("25 kills"), "{said}{errors}");
}
