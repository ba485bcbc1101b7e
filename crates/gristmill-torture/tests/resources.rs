//! Real processes from which something is taken: disk, descriptors, memory, cores.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A folder with an input of so many lines, each tenth of them no number.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with_lines(lines: u64) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        let line = |number: u64| if number % 10 == 9 { format!("x{number}\n") } else { format!("{number}\n") };
        std::fs::write(folder.path("in"), (0..lines).map(line).collect::<String>()).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the job in a shell after some words, and waits for its end; a job that does not end is killed, and fails
    /// the test.
    fn run(&self, before: &str, output: &Path, odd: &str) -> Output {
        for left in ["out", "dead"] {
            let _ = std::fs::remove_file(self.path(left));
        }
        let mut child = Command::new("bash")
            .args(["-c", &format!("{before} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_gristmill-torture"), "job"])
            .args([&self.path("in"), output, &self.path("dead")])
            .args((!odd.is_empty()).then_some(odd))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read meanwhile: a trace of calls is longer than a pipe.
        let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("the job does not end after `{before}`: {}", String::from_utf8_lossy(&err.join().unwrap()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Output { status: child.wait().unwrap(), stdout: out.join().unwrap(), stderr: err.join().unwrap() }
    }

    fn assert_whole(&self, lines: u64) {
        let doubled: String =
            (0..lines).filter(|number| number % 10 != 9).map(|number| format!("{}\n", number * 2)).collect();
        assert!(std::fs::read_to_string(self.path("out")).unwrap() == doubled, "the output is not what it should be");
        assert_eq!(std::fs::read_to_string(self.path("dead")).unwrap().lines().count() as u64, lines / 10);
    }
}

/// Reads to the end, beside what goes on.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let reader = std::thread::Builder::new().name("pipe".to_owned());
    let read = move || {
        let mut bytes = Vec::new();
        pipe.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    reader.spawn(read).unwrap()
}

fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let folder = Folder::with_lines(30_000);
    let ended = folder.run("", Path::new("/dev/full"), "");
    assert!(ended.status.code() == Some(1) && said(&ended).contains("/dev/full"), "{ended:?}");
    // A limit on the size of files fills at any place; the signal that comes with it is ignored, as daemons do.
    for kib in [0, 1, 2, 7, 16, 64, 150] {
        let ended = folder.run(&format!("trap '' XFSZ; ulimit -f {kib};"), &folder.path("out"), "");
        let said = said(&ended);
        assert!(ended.status.code() == Some(1) && (said.contains("out") || said.contains("dead")), "{kib}: {ended:?}");
    }
    let ended = folder.run("trap '' XFSZ; ulimit -f 10000;", &folder.path("out"), "");
    assert!(ended.status.success(), "{ended:?}");
    folder.assert_whole(30_000);
}

#[test]
fn too_few_descriptors_are_an_error_or_enough() {
    let folder = Folder::with_lines(2_000);
    let mut succeeded = 0;
    for descriptors in [4, 5, 6, 7, 8, 10, 12, 16, 32] {
        let ended = folder.run(&format!("ulimit -n {descriptors};"), &folder.path("out"), "");
        match ended.status.code() {
            Some(0) => {
                succeeded += 1;
                folder.assert_whole(2_000);
            }
            // 127: not even the program could be loaded.
            Some(1) => assert!(said(&ended).contains("error"), "{descriptors}: {ended:?}"),
            Some(127) => {}
            _ => panic!("{descriptors}: {ended:?}"),
        }
    }
    assert!(succeeded > 0, "the job should not need more than 32");
}

#[test]
fn too_little_memory_ends_the_process_or_is_enough() {
    let folder = Folder::with_lines(20_000);
    let mut succeeded = 0;
    for mib in [20, 30, 40, 60, 80, 120, 200, 400, 4_000] {
        let ended = folder.run(&format!("ulimit -v {};", mib * 1024), &folder.path("out"), "");
        match (ended.status.code(), ended.status.signal()) {
            (Some(0), _) => {
                succeeded += 1;
                folder.assert_whole(20_000);
            }
            // Rust ends a process that it cannot get memory for; 101 is a panic before the run, 127 a failure to load.
            (Some(1 | 101 | 127), _) | (_, Some(6 | 11)) => {}
            _ => panic!("{mib} MiB: {ended:?}"),
        }
    }
    assert!(succeeded > 0, "4 GB of address space should be enough");
}

#[test]
fn one_core_is_enough() {
    let folder = Folder::with_lines(100_000);
    for before in ["taskset -c 0", "nice -n 19 taskset -c 0", "env RAYON_NUM_THREADS=16 taskset -c 0"] {
        // `exec` would look for a program of that name.
        let ended = folder.run(&format!("exec {before} \"$0\" \"$@\"; "), &folder.path("out"), "");
        assert!(ended.status.success(), "{before}: {ended:?}");
        folder.assert_whole(100_000);
    }
}

#[test]
fn what_cannot_be_contained_ends_the_process_at_once() {
    let folder = Folder::with_lines(1_000);
    for (odd, words) in [("panic-in-drop", "panic in a destructor"), ("overflow", "overflow")] {
        let ended = folder.run("ulimit -c 0;", &folder.path("out"), odd);
        assert!(ended.status.signal() == Some(6) && said(&ended).contains(words), "{odd}: {ended:?}");
    }
}

#[test]
fn an_input_that_is_no_file_is_an_error_that_names_it() {
    let folder = Folder::with_lines(1);
    let run = |input: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gristmill-torture"))
            .args(["job", input])
            .args([folder.path("out"), folder.path("dead")])
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    };
    for input in ["/no/such/file", "/", "/proc/self/mem"] {
        let (status, said) = run(input);
        assert!(status == Some(1) && said.contains(input), "{input}: {status:?} {said}");
    }
}
