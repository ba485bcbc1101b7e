//! A pipeline in a few lines: `cargo run --example quickstart`.
#![allow(clippy::print_stdout, reason = "it is a program: this is how it speaks")]

use gristmill::prelude::*;

fn main() -> Result<(), gristmill::Error> {
    let lines = ["3", "4", "twelve", "5"];
    let mut rejected = Vec::new();

    let report = Pipeline::extract(lines.iter()) // any iterator, here over what `main` owns
        .try_map(|text| text.parse::<u64>()) // on all cores; it may fail
        .on_error(OnError::dead_letter(&mut rejected)) // what failed is kept, and the run goes on
        .map(|number| number * number)
        .ordered() // results in the order of the source
        .collect::<Vec<_>>() // or store, fold, group_by, count, for_each
        .run()?; // blocks until all is done; every thread has ended then

    println!("{report}");
    assert_eq!(report.output, [9, 16, 25]);
    assert_eq!((rejected[0].item, rejected[0].position), (Some(&"twelve"), 2));
    Ok(())
}
