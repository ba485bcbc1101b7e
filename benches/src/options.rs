//! The command line of `compare`.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::case::Case;
use crate::contenders::{CONTENDERS, Contender, EXCLUSIONS};
use crate::contest::Setup;
use crate::memory;
use crate::workloads::{WORKLOADS, Workload};

const DEFAULT_ROUNDS: usize = 7;
/// Where inputs of workloads lie.
const DATA: &str = "target/bench-data";

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Print the help.
    Help,
    /// Measure what an item costs.
    Overhead(Options),
    /// Hold the contests of a workload.
    Contests(ContestOptions),
    /// Write the tables of a page anew.
    Page(PathBuf),
    /// One run in this process, for its peak memory.
    One(Case, Contender),
}

/// Which contests to hold, and how to print what they take.
#[derive(Clone, Debug)]
pub struct ContestOptions {
    /// What to do.
    pub workload: &'static Workload,
    /// What the contests are made from.
    pub setup: Setup,
    /// Only cases with this in their name.
    pub case: String,
    /// Only these contenders, unless empty.
    pub contenders: Vec<String>,
    /// Timed runs of every contender in every case.
    pub rounds: usize,
    /// One JSON object a line.
    pub json: bool,
    /// One run of one contender in this process, for its peak memory.
    pub peak: bool,
}

impl ContestOptions {
    /// The arguments that make `compare` do one run of a contender in a case.
    #[must_use]
    pub fn one(&self, case: &str, contender: &str) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![self.workload.name.into(), "--peak".into()];
        args.extend(["--case".into(), case.into(), "--contender".into(), contender.into()]);
        args.extend(["--data".into(), self.setup.data.clone().into()]);
        args
    }
}

/// What to measure, and how to print it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cases to measure.
    pub cases: Vec<Case>,
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Timed runs of every contender in every case.
    pub rounds: usize,
    /// Few items, no peak memory.
    pub quick: bool,
    /// One JSON object a line.
    pub json: bool,
}

/// Reads the arguments, without the name of the program.
///
/// # Errors
///
/// What is wrong with them.
pub fn parse<I>(args: I) -> Result<Action, lexopt::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = lexopt::Parser::from_args(args);
    match parser.next()? {
        Some(Value(command)) if command == "overhead" => overhead(&mut parser),
        Some(Value(command)) if command == "page" => Ok(Action::Page(parser.value()?.into())),
        Some(Value(command)) => match WORKLOADS.iter().find(|workload| command == workload.name) {
            Some(workload) => contests(workload, &mut parser),
            None => Err(Value(command).unexpected()),
        },
        Some(Long(memory::ONE)) => one(&mut parser),
        Some(Short('h') | Long("help")) => Ok(Action::Help),
        Some(other) => Err(other.unexpected()),
        None => Err("missing command; see --help".into()),
    }
}

fn one(parser: &mut lexopt::Parser) -> Result<Action, lexopt::Error> {
    let case = parser.value()?.string()?;
    let case = Case::named(&case).ok_or_else(|| format!("no case is named {case:?}"))?;
    let contender = contender(&parser.value()?.string()?)?;
    Ok(Action::One(case, contender))
}

fn overhead(parser: &mut lexopt::Parser) -> Result<Action, lexopt::Error> {
    let mut options =
        Options { cases: Case::all().collect(), contenders: CONTENDERS.to_vec(), rounds: 0, quick: false, json: false };
    let mut rounds = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => options.json = true,
            Long("quick") => options.quick = true,
            Long("rounds") => rounds = Some(parse_rounds(&parser.value()?)?),
            Long("case") => options.cases = matching(&parser.value()?.string()?)?,
            Long("contender") => options.contenders = contenders(&parser.value()?.string()?)?,
            Short('h') | Long("help") => return Ok(Action::Help),
            other => return Err(other.unexpected()),
        }
    }
    options.rounds = rounds.unwrap_or(if options.quick { 1 } else { DEFAULT_ROUNDS });
    Ok(Action::Overhead(options))
}

fn contests(workload: &'static Workload, parser: &mut lexopt::Parser) -> Result<Action, lexopt::Error> {
    let setup = Setup { data: PathBuf::from(DATA), quick: false };
    let mut options = ContestOptions {
        workload,
        setup,
        case: String::new(),
        contenders: Vec::new(),
        rounds: 0,
        json: false,
        peak: false,
    };
    let mut rounds = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => options.json = true,
            Long("quick") => options.setup.quick = true,
            Long("peak") => options.peak = true,
            Long("data") => options.setup.data = parser.value()?.into(),
            Long("rounds") => rounds = Some(parse_rounds(&parser.value()?)?),
            Long("case") => options.case = parser.value()?.string()?,
            Long("contender") => {
                options.contenders = parser.value()?.string()?.split(',').map(str::to_owned).collect();
            }
            Short('h') | Long("help") => return Ok(Action::Help),
            other => return Err(other.unexpected()),
        }
    }
    options.rounds = rounds.unwrap_or(if options.setup.quick { 1 } else { DEFAULT_ROUNDS });
    Ok(Action::Contests(options))
}

fn parse_rounds(value: &OsString) -> Result<usize, lexopt::Error> {
    match value.parse()? {
        0 => Err("--rounds must be at least 1".into()),
        rounds => Ok(rounds),
    }
}

fn matching(text: &str) -> Result<Vec<Case>, lexopt::Error> {
    let cases: Vec<_> = Case::all().filter(|case| case.matches(text)).collect();
    if cases.is_empty() { Err(format!("no case matches {text:?}").into()) } else { Ok(cases) }
}

/// The contenders in a list of names, in the order of the output whatever that of the list is.
fn contenders(list: &str) -> Result<Vec<Contender>, lexopt::Error> {
    let names = list.split(',').map(contender).collect::<Result<Vec<_>, _>>()?;
    let is_listed = |who: &Contender| names.iter().any(|named| named.name == who.name);
    Ok(CONTENDERS.into_iter().filter(is_listed).collect())
}

fn contender(name: &str) -> Result<Contender, lexopt::Error> {
    Contender::named(name).ok_or_else(|| format!("no contender is named {name:?}; they are {}", names()).into())
}

fn names() -> String {
    CONTENDERS.map(|contender| contender.name).join(", ")
}

/// The help text.
#[must_use]
pub fn help() -> String {
    let workloads = WORKLOADS.iter().map(|workload| workload.name).collect::<Vec<_>>().join("|");
    let exclusions = EXCLUSIONS.map(|exclusion| format!("  {exclusion}\n")).concat();
    format!(
        "\
Measures gristmill and its peers on the same work: what an item costs, and whole workloads.

Usage: compare overhead [OPTIONS]
       compare {workloads} [OPTIONS]
       compare page FILE       write the tables of a page anew from results beside it

Every contender runs once in each round, alternating, and every result is checked against that of
the sequential loop.

Options:
  --case SUBSTR          only cases with SUBSTR in their name, from the start of a word
  --contender NAME,NAME  only these contenders
  --rounds N             timed runs of every contender (default: {DEFAULT_ROUNDS}; 1 with --quick)
  --quick                few items: shows that everything works, measures nothing
  --json                 one JSON object a line
  --data DIR             of a workload: where inputs lie, and missing ones are made (default: {DATA})
  -h, --help             this text

Cases: 0ns|100ns|1us|10us|100us|three-1us|tail-1us, then ordered|unordered, then w1|w2 (workers),
as in \"1us ordered w2\".

Contenders: {}

Left out:
{exclusions}",
        names()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        match parse(args.iter().copied()) {
            Ok(Action::Overhead(options)) => options,
            other => panic!("{args:?} is {other:?}"),
        }
    }

    fn error(args: &[&str]) -> String {
        parse(args.iter().copied()).expect_err("an error").to_string()
    }

    #[test]
    fn all_is_measured_by_default() {
        let options = options(&["overhead"]);
        assert_eq!((options.cases.len(), options.contenders.len()), (28, CONTENDERS.len()));
        assert_eq!((options.rounds, options.quick, options.json), (DEFAULT_ROUNDS, false, false));
    }

    #[test]
    fn options_narrow_it_down() {
        let args = ["overhead", "--case=0ns ordered w2", "--contender", "tokio,fgumi", "--quick"];
        let options = options(&args);
        assert_eq!(options.cases.len(), 1);
        assert_eq!(format!("{:?}", options.contenders), "[fgumi, tokio]");
        assert_eq!(options.rounds, 1);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error(&[]).contains("missing command"));
        assert!(error(&["underfoot"]).contains("underfoot"));
        assert!(error(&["overhead", "--rounds", "0"]).contains("at least 1"));
        assert!(error(&["overhead", "--contender", "nobody"]).contains("rayon-vec, rayon-bridge"));
        assert!(error(&["overhead", "--case", "3ns"]).contains("no case matches \"3ns\""));
        assert!(error(&["--one", "0ns ordered w3", "tokio"]).contains("no case is named"));
    }

    #[test]
    fn help_tells_what_is_left_out() {
        assert!(help().contains("olympipe is not in ordered cases with 2 or more workers"));
    }
}
