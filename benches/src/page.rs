//! The page of results: tables made from what `compare --json` has written.
//!
//! A page has places for tables, each between two comments:
//!
//! ```text
//! <!-- begin overhead -->
//! <!-- end overhead -->
//! ```
//!
//! What is between them is replaced by tables of `NAME.jsonl`, if there is one in the folder named like the page: for
//! `performance.md` in `performance`. Its first line says when, where and how it was measured.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::contest::Failure;

/// How the results of a file were made.
#[derive(Debug, Deserialize)]
struct Heading {
    date: String,
    machine: String,
    command: String,
}

/// One line of results.
#[derive(Debug, Deserialize)]
struct Line {
    case: String,
    contender: String,
    ns_per_item: f64,
    median_s: f64,
    peak_rss_mib: Option<f64>,
}

/// What a table counts: the cost of an item, or the time of a job.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Nanos,
    Seconds,
}

/// Fills the places for tables on a page.
///
/// # Errors
///
/// If the page or a file of results cannot be read or understood, or the page cannot be written.
pub fn fill(page: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let filled = fill_places(&text, |name| {
        let results = page.with_extension("").join(name).with_extension("jsonl");
        if !results.exists() {
            return Ok(None);
        }
        let lines = fs::read_to_string(&results).map_err(|error| format!("{}: {error}", results.display()))?;
        tables(&lines).map(Some).map_err(|error| format!("{}: {error}", results.display()).into())
    })?;
    Ok(fs::write(page, filled)?)
}

fn fill_places(text: &str, mut tables: impl FnMut(&str) -> Result<Option<String>, Failure>) -> Result<String, Failure> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from_name)) = rest.split_once("<!-- begin ") {
        let (name, after_name) = from_name.split_once(" -->").ok_or("a comment that begins a place does not end")?;
        let end = format!("<!-- end {name} -->");
        let (old, after) = after_name.split_once(&end).ok_or_else(|| format!("`{end}` is missing"))?;
        let between = tables(name)?.map_or_else(|| old.to_owned(), |new| format!("\n\n{new}"));
        write!(filled, "{before}<!-- begin {name} -->{between}{end}")?;
        rest = after;
    }
    Ok(filled + rest)
}

/// One table for each set of cases that differ in their first word only: a row a contender, a column a first word.
fn tables(results: &str) -> Result<String, Failure> {
    let (heading, lines) = results.split_once('\n').ok_or("it has no line that says how it was measured")?;
    let Heading { date, machine, command } = serde_json::from_str(heading)?;
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
    let unit = if command.contains(" overhead ") { Unit::Nanos } else { Unit::Seconds };
    let mut text = format!("`{command}`, {date}, {machine}.\n\n");
    for table in distinct(lines.iter().map(|line| split(&line.case).1)) {
        let lines: Vec<&Line> = lines.iter().filter(|line| split(&line.case).1 == table).collect();
        write_table(&mut text, table, &lines, unit)?;
    }
    Ok(text)
}

fn write_table(text: &mut String, name: &str, lines: &[&Line], unit: Unit) -> std::fmt::Result {
    let columns = distinct(lines.iter().map(|line| split(&line.case).0));
    let unit_name = match unit {
        Unit::Nanos => "ns an item",
        Unit::Seconds => "seconds",
    };
    writeln!(text, "| {name}, {unit_name} | {} | most memory, MiB |", columns.join(" | "))?;
    writeln!(text, "| --- |{} ---: |", " ---: |".repeat(columns.len()))?;
    for contender in distinct(lines.iter().map(|line| line.contender.as_str())) {
        let of = |column: &str| lines.iter().find(|line| line.contender == contender && split(&line.case).0 == column);
        let cells: Vec<String> =
            columns.iter().map(|column| of(column).map_or("–".into(), |line| cell(line, unit))).collect();
        let peaks = lines.iter().filter(|line| line.contender == contender).filter_map(|line| line.peak_rss_mib);
        let peak = peaks.reduce(f64::max).map_or("–".into(), |mib| format!("{mib:.0}"));
        let contender = if contender == "gristmill" { "**gristmill**" } else { contender };
        writeln!(text, "| {contender} | {} | {peak} |", cells.join(" | "))?;
    }
    writeln!(text)
}

fn cell(line: &Line, unit: Unit) -> String {
    match unit {
        Unit::Nanos if line.ns_per_item < 100.0 => format!("{:.1}", line.ns_per_item),
        Unit::Nanos => format!("{:.0}", line.ns_per_item),
        Unit::Seconds => format!("{:.3}", line.median_s),
    }
}

/// The first word of a case, and the rest.
fn split(case: &str) -> (&str, &str) {
    case.split_once(' ').unwrap_or((case, ""))
}

/// Each value once, in the order of their first coming.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = "\
{\"date\": \"2026-01-02\", \"machine\": \"a machine\", \"command\": \"compare -- overhead --json\"}
{\"case\": \"0ns w1\", \"contender\": \"gristmill\", \"ns_per_item\": 4.25, \"median_s\": 1, \"peak_rss_mib\": 3.2}
{\"case\": \"1us w1\", \"contender\": \"gristmill\", \"ns_per_item\": 1001.2, \"median_s\": 1, \"peak_rss_mib\": 4.9}
{\"case\": \"1us w1\", \"contender\": \"loop\", \"ns_per_item\": 1000, \"median_s\": 1, \"peak_rss_mib\": null}
";

    #[test]
    fn results_become_a_table() {
        let expected = "\
`compare -- overhead --json`, 2026-01-02, a machine.

| w1, ns an item | 0ns | 1us | most memory, MiB |
| --- | ---: | ---: | ---: |
| **gristmill** | 4.2 | 1001 | 5 |
| loop | – | 1000 | – |

";
        assert_eq!(tables(RESULTS).unwrap(), expected);
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "before\n<!-- begin x -->\nold\n<!-- end x -->\nafter";
        let filled = fill_places(page, |name| Ok(Some(format!("new {name}\n")))).unwrap();
        assert_eq!(filled, "before\n<!-- begin x -->\n\nnew x\n<!-- end x -->\nafter");
        assert_eq!(fill_places(page, |_| Ok(None)).unwrap(), page);
        assert!(fill_places("<!-- begin x -->", |_| Ok(None)).is_err());
    }
}
