//! What a change must not break: the first 2,000 seeds.

use gristmill_torture::sim::{self, args::Command};

#[test]
fn no_seed_breaks_a_promise() {
    let mut said = Vec::new();
    sim::run(&Command::seeds_in(0..2_000), &mut said).unwrap();
    assert!(String::from_utf8(said).unwrap().starts_with("2000 seeds"));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [["--seeds", "many"], ["--seed", "-1"], ["--sow", "3"]] {
        let error = sim::args::parse(args.iter().map(Into::into)).unwrap_err();
        assert!(error.to_string().contains("--s"), "{error}");
    }
}
