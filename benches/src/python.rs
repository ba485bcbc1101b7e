//! Contenders that are Python programs: polars and duckdb.
//!
//! Their time is the one that they measure themselves, from the first look at the input to the result in Python's hands. So
//! the start of Python, the import of the library and the printing of the answer, together 0.2 to 0.5 seconds, are not
//! counted: they would say nothing of the library. Libraries that cannot be imported take no part.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::contest::{Entrant, Failure};

/// A program and who can run it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Prints the seconds that it took, a line feed and the answer. Its arguments are the library, the file, and `options`.
    pub code: &'static str,
    /// What follows the file.
    pub options: &'static [&'static str],
    /// Makes the answer of what is printed.
    pub answer: fn(&str) -> Result<String, Failure>,
}

/// The libraries that the programs know.
const LIBRARIES: [&str; 2] = ["polars", "duckdb"];

impl Program {
    /// A contender for each library that is installed.
    #[must_use]
    pub fn entrants(self, path: &Path) -> Vec<Entrant> {
        let installed = LIBRARIES.into_iter().filter(|library| is_installed(library));
        let entrants = installed.map(|library| {
            let path = path.to_owned();
            Entrant::timing_itself(library, move || self.run(library, &path))
        });
        entrants.collect()
    }

    fn run(self, library: &str, path: &Path) -> Result<(String, Duration), Failure> {
        let output = Command::new("python3").args(["-c", self.code, library]).arg(path).args(self.options).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let printed = String::from_utf8(output.stdout)?;
        let (seconds, answer) = printed.split_once('\n').ok_or("the program has printed no time")?;
        Ok(((self.answer)(answer)?, Duration::try_from_secs_f64(seconds.parse()?)?))
    }
}

fn is_installed(library: &str) -> bool {
    let mut import = Command::new("python3");
    import.args(["-c", &format!("import {library}")]).stdout(Stdio::null()).stderr(Stdio::null());
    import.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        code: "import sys; print(0.25); print(sys.argv[1:])",
        options: &["lowered"],
        answer: |printed| Ok(printed.trim_end().to_owned()),
    };

    #[test]
    fn the_time_is_the_one_that_the_program_says() {
        if !is_installed("sys") {
            return;
        }
        let done = PROGRAM.run("polars", Path::new("a file")).unwrap();
        assert_eq!(done, ("['polars', 'a file', 'lowered']".to_owned(), Duration::from_millis(250)));
        for code in ["import sys; sys.exit('no such table')", "print(1, end='')", "print('soon')", "print(-1)"] {
            assert!(Program { code, ..PROGRAM }.run("polars", Path::new("a file")).is_err(), "{code}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_installed() {
        assert!(!is_installed("no_such_library_of_python"));
    }
}
