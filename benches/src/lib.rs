//! Side-by-side measurements of gristmill and its peers on the same work.
//!
//! Every contender reads the integers `0..n` from one serial source, transforms each of them on
//! `w` workers with arithmetic [calibrated](work::Calibration) to a known cost, and folds the
//! results into a checksum on one serial sink. The `compare` binary runs all of them alternating
//! and prints what an item costs in each; `cargo bench` has the same contenders under criterion.
//! Whole [workloads] are compared likewise, with the programs that people use for them today.

pub mod case;
pub mod contenders;
pub mod contest;
pub mod data;
pub mod fold;
pub mod job;
pub mod measure;
pub mod memory;
pub mod options;
pub mod page;
pub mod python;
pub mod report;
pub mod resources;
pub mod turns;
pub mod work;
pub mod workloads;
