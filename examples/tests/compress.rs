//! The compress example on files.

use gristmill_examples::compress::args::{Command, Options, parse};
use gristmill_examples::compress::run;
use std::io::Read;
use std::path::Path;

fn options(arguments: &[&str]) -> Options {
    match parse(arguments) {
        Ok(Command::Run(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn error(arguments: &[&str]) -> String {
    format!("{:#}", run(&options(arguments)).unwrap_err())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_is_compressed_beside_itself_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let lines = "one line after another\n".repeat(100_000);
    std::fs::write(&path, &lines).unwrap();
    let summary = run(&options(&[text(&path), "--format=gzip", "--block=64KiB", "--workers=2"])).unwrap();
    let compressed = std::fs::read(folder.path().join("text.gz")).unwrap();
    assert_eq!((summary.read, summary.written), (lines.len() as u64, compressed.len() as u64));
    let mut read = String::new();
    flate2::read::MultiGzDecoder::new(&compressed[..]).read_to_string(&mut read).unwrap();
    assert_eq!(read, lines);

    assert!(error(&[text(&path), "--format=gzip"]).contains("could not create"));
    assert_eq!(std::fs::read(folder.path().join("text.gz")).unwrap(), compressed);
    run(&options(&[text(&path), "--format=gzip", "--force"])).unwrap();
    assert_ne!(std::fs::read(folder.path().join("text.gz")).unwrap(), compressed);
}

#[test]
fn the_sample_is_read_back() {
    for format in ["--format=zstd", "--format=gzip"] {
        let summary = run(&options(&[format, "--level=1"])).unwrap();
        assert!(summary.to_string().contains("checked: read back, and the same"));
    }
}

#[test]
fn what_cannot_be_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    assert!(error(&[text(&path)]).contains("could not open"));
    assert!(error(&[text(folder.path())]).contains("is a directory"));
    std::fs::write(&path, "text").unwrap();
    assert!(error(&[text(&path), "--force", "-o", text(&path)]).contains("is read from"));
    assert!(error(&[text(&path), "--level=99"]).contains("zstd has levels from 1 to 22, not 99"));
    assert!(error(&[text(&path), "--block=2GiB"]).contains("1 GiB"));
    assert!(error(&[text(&path), "-o", "/no/such/folder/x"]).contains("/no/such/folder/x"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn files_without_a_length_are_read_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.zst");
    let summary = run(&options(&["/proc/self/status", "-o", text(&output)])).unwrap();
    assert!(summary.read > 0);
    assert_eq!(zstd::decode_all(&std::fs::read(output).unwrap()[..]).unwrap().len() as u64, summary.read);
}
