//! Measures gristmill and its peers on the same work.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use gristmill_benches::case::{self, Case};
use gristmill_benches::contenders::{Contender, RAYON_VEC};
use gristmill_benches::contest::{Contest, Failure};
use gristmill_benches::measure::{Measurement, Plan};
use gristmill_benches::options::{self, Action, ContestOptions, Options};
use gristmill_benches::report::{self, Row};
use gristmill_benches::{memory, page};

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(action) => report_failure(perform(&action), ExitCode::FAILURE),
        Err(error) => report_failure(Err(error.into()), ExitCode::from(2)),
    }
}

fn report_failure(result: Result<(), Failure>, code: ExitCode) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to tell it to if even that fails.
    let _ = writeln!(io::stderr(), "compare: {error}");
    code
}

fn perform(action: &Action) -> Result<(), Failure> {
    match action {
        Action::Help => io::stdout().write_all(options::help().as_bytes())?,
        Action::One(case, contender) => print_peak(case, contender)?,
        Action::Overhead(options) => overhead(options)?,
        Action::Contests(options) if options.peak => print_peak_of_contest(options)?,
        Action::Contests(options) => contests(options)?,
        Action::Page(path) => page::fill(path)?,
    }
    Ok(())
}

fn print_peak(case: &Case, contender: &Contender) -> io::Result<()> {
    match memory::run_one(case, contender) {
        Some(mib) => writeln!(io::stdout(), "{mib}"),
        None => Ok(()),
    }
}

fn overhead(options: &Options) -> Result<(), Failure> {
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
        write_rows(out, case, &rows, options.json, RAYON_VEC)?;
    }
    if !options.json {
        report::write_exclusions(out)?;
    }
    Ok(())
}

fn write_rows(out: &mut dyn Write, case: &dyn Display, rows: &[Row], json: bool, rayon: &str) -> io::Result<()> {
    if json { report::write_json(out, case, rows) } else { report::write_table(out, case, rows, rayon) }
}

fn contests(options: &ContestOptions) -> Result<(), Failure> {
    let out = &mut io::stdout();
    for mut contest in chosen(options)? {
        let measurements = contest.hold(options.rounds).map_err(|error| format!("{}: {error}", contest.case))?;
        let rows = contest.entrants.iter().zip(measurements).map(|(entrant, measurement)| {
            let alone = !options.setup.quick && !entrant.is_outside;
            let peak_rss_mib = if alone { memory::peak_of(options.one(&contest.case, entrant.name))? } else { None };
            Ok(Row { measurement, peak_rss_mib })
        });
        write_rows(out, &contest.case, &rows.collect::<io::Result<Vec<_>>>()?, options.json, "rayon")?;
    }
    Ok(())
}

/// The contests that the options ask for, with the contenders that they ask for.
fn chosen(options: &ContestOptions) -> Result<Vec<Contest>, Failure> {
    let mut contests = (options.workload.contests)(&options.setup)?;
    contests.retain(|contest| contest.case.contains(&options.case));
    if contests.is_empty() {
        return Err(format!("no case of {} has {:?} in its name", options.workload.name, options.case).into());
    }
    for contest in &mut contests {
        let is_asked_for =
            |name: &str| options.contenders.is_empty() || options.contenders.iter().any(|asked| asked == name);
        contest.entrants.retain(|entrant| is_asked_for(entrant.name));
    }
    Ok(contests)
}

fn print_peak_of_contest(options: &ContestOptions) -> Result<(), Failure> {
    for entrant in chosen(options)?.iter_mut().flat_map(|contest| &mut contest.entrants) {
        entrant.run()?;
    }
    if let Some(mib) = memory::peak_rss_mib() {
        writeln!(io::stdout(), "{mib}")?;
    }
    Ok(())
}

fn measure(plan: &Plan, case: &Case) -> Result<Vec<Row>, Failure> {
    let measurements = plan.measure(case)?;
    let rows = measurements.into_iter().map(|measurement| row(plan, case, measurement));
    Ok(rows.collect::<io::Result<_>>()?)
}

fn row(plan: &Plan, case: &Case, measurement: Measurement) -> io::Result<Row> {
    let peak_rss_mib = if plan.quick { None } else { memory::peak_in_child(case, measurement.contender)? };
    Ok(Row { measurement, peak_rss_mib })
}
