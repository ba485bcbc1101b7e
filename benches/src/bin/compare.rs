//! Measures gristmill and its peers on the same work.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use gristmill_benches::case::{self, Case};
use gristmill_benches::contenders::Contender;
use gristmill_benches::measure::{Measurement, Plan};
use gristmill_benches::memory;
use gristmill_benches::options::{self, Action, Options};
use gristmill_benches::report::{self, Row};

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(action) => report_failure(perform(&action), ExitCode::FAILURE),
        Err(error) => report_failure(Err(error.into()), ExitCode::from(2)),
    }
}

fn report_failure(result: Result<(), Box<dyn Error>>, code: ExitCode) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to tell it to if even that fails.
    let _ = writeln!(io::stderr(), "compare: {error}");
    code
}

fn perform(action: &Action) -> Result<(), Box<dyn Error>> {
    match action {
        Action::Help => io::stdout().write_all(options::help().as_bytes())?,
        Action::One(case, contender) => print_peak(case, contender)?,
        Action::Overhead(options) => overhead(options)?,
    }
    Ok(())
}

fn print_peak(case: &Case, contender: &Contender) -> io::Result<()> {
    match memory::run_one(case, contender) {
        Some(mib) => writeln!(io::stdout(), "{mib}"),
        None => Ok(()),
    }
}

fn overhead(options: &Options) -> Result<(), Box<dyn Error>> {
    let plan = Plan {
        contenders: options.contenders.clone(),
        rounds: options.rounds,
        quick: options.quick,
        calibration: case::calibrate(),
    };
    let out = &mut io::stdout();
    if !options.json {
        writeln!(out, "rounds: {}\n", plan.rounds)?;
    }
    for case in &options.cases {
        let rows = measure(&plan, case)?;
        let write = if options.json { report::write_json } else { report::write_table };
        write(out, case, &rows)?;
    }
    if !options.json {
        report::write_exclusions(out)?;
    }
    Ok(())
}

fn measure(plan: &Plan, case: &Case) -> Result<Vec<Row>, Box<dyn Error>> {
    let measurements = plan.measure(case)?;
    let rows = measurements.into_iter().map(|measurement| row(plan, case, measurement));
    Ok(rows.collect::<io::Result<_>>()?)
}

fn row(plan: &Plan, case: &Case, measurement: Measurement) -> io::Result<Row> {
    let peak_rss_mib = if plan.quick { None } else { memory::peak_in_child(case, measurement.contender)? };
    Ok(Row { measurement, peak_rss_mib })
}
