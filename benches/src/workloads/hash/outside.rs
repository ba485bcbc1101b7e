//! `b3sum`, if it is installed.

use super::answer;
use crate::contest::{Entrant, Failure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

/// Lists of 500 files at a time: two processes then end at about the same time.
const XARGS: &str = "find \"$0\" -type f -print0 | xargs -0 -n 500 -P \"$1\" b3sum";

pub(super) fn tree(root: &Rc<Path>) -> Vec<Entrant> {
    if !is_installed("b3sum") {
        return Vec::new();
    }
    let path = Rc::clone(root);
    let processes = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    vec![Entrant::outside("find-xargs-b3sum", move || {
        list_of(Command::new("sh").args(["-c", XARGS]).arg(&*path).arg(&processes))
    })]
}

pub(super) fn file(path: &Rc<Path>) -> Vec<Entrant> {
    if !is_installed("b3sum") {
        return Vec::new();
    }
    let (mapped, read) = (Rc::clone(path), Rc::clone(path));
    vec![
        Entrant::outside("b3sum", move || list_of(Command::new("b3sum").arg(&*mapped))),
        Entrant::outside("b3sum-no-mmap", move || list_of(Command::new("b3sum").arg("--no-mmap").arg(&*read))),
    ]
}

fn is_installed(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn list_of(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(answer(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect()))
}
