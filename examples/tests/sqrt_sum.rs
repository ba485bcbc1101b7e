//! The sqrt_sum example on integers and on files.

use gristmill_examples::sqrt_sum::args::{Command, Options, parse};
use gristmill_examples::sqrt_sum::run;
use gristmill_sqrt_sum::{Kernel, RootSum};

fn options(arguments: &[&str]) -> Options {
    match parse(arguments) {
        Ok(Command::Run(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn error(arguments: &[&str]) -> String {
    format!("{:#}", run(&options(arguments)).unwrap_err())
}

#[test]
fn integers_have_the_sum_of_the_formula() {
    for last in ["0", "1", "99", "100", "4096", "1234567"] {
        let one = run(&options(&["--to", last, "--workers=1", "--kernel=portable"])).unwrap();
        let many = run(&options(&["--to", last, "--workers=3"])).unwrap();
        assert_eq!(one.sum, many.sum);
        assert_eq!(one.sum.count().to_string(), last);
    }
}

#[test]
fn files_are_read_and_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.f64");
    let write = |numbers: &[f64]| {
        std::fs::write(&path, numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    };
    let name = path.to_str().unwrap();
    let numbers: Vec<f64> = (0..150_000).map(f64::from).collect();
    write(&numbers);
    let read = run(&options(&[name])).unwrap();
    assert_eq!(read.sum, run(&options(&[name, "--mmap"])).unwrap().sum);
    assert_eq!(read.sum, RootSum::of_range(Kernel::detect(), 0..150_000));

    write(&[1.0, 4.0, -9.0]);
    assert!(error(&[name]).contains("number 2 of"), "{}", error(&[name]));
    write(&[]);
    assert!(error(&[name]).contains("is empty"));
    std::fs::write(&path, "seven b").unwrap();
    assert!(error(&[name, "--mmap"]).contains("7 bytes"));
    assert!(error(&["/no/such/file"]).contains("could not open `/no/such/file`"));
}
