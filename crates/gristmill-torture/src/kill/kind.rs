//! The kinds of store there are, and what is promised of each.

use std::fmt;
use std::str::FromStr;

/// A kind of store, with the job that tries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Flights into a database that has the progress in the transaction of its rows: each row once, and each dead letter.
    Sqlite,
    /// Numbers into a database, with the progress in a file: each row at least once.
    SqliteAndFile,
    /// Numbers into a file that goes back to the checkpoint, and is there when it is whole: each line once.
    WholeLines,
    /// Numbers into two such files at once: each line once in each.
    TwoEnds,
    /// Numbers into a closure, with the progress in a file: each at least once.
    FromFn,
    /// Numbers into a file that is there as a whole or not at all, without a checkpoint.
    Alone,
    /// Numbers into a file that grows under its name, which no later run touches.
    Growing,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::Sqlite, Kind::SqliteAndFile, Kind::WholeLines, Kind::TwoEnds, Kind::FromFn, Kind::Alone, Kind::Growing];

    /// What it is called in commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::SqliteAndFile => "sqlite-and-file",
            Kind::WholeLines => "whole-lines",
            Kind::TwoEnds => "two-ends",
            Kind::FromFn => "from-fn",
            Kind::Alone => "whole-alone",
            Kind::Growing => "lines-file",
        }
    }

    /// Whether a run that dies is gone on with.
    #[must_use]
    pub fn has_checkpoint(self) -> bool {
        !matches!(self, Kind::Alone | Kind::Growing)
    }

    /// Whether what came after the last checkpoint comes again.
    #[must_use]
    pub fn may_repeat(self) -> bool {
        matches!(self, Kind::SqliteAndFile | Kind::FromFn)
    }

    /// What a job may leave behind, as the ends of names.
    pub(super) fn leaves(self) -> &'static [&'static str] {
        match self {
            Kind::Sqlite => &[".db", ".rejected", ".errors"],
            Kind::SqliteAndFile => &[".db", ".rejected", ".errors", ".checkpoint", ".checkpoint.lock"],
            Kind::WholeLines | Kind::FromFn => &[".out", ".rejected", ".errors", ".checkpoint", ".checkpoint.lock"],
            Kind::TwoEnds => &[".out", ".out2", ".rejected", ".errors", ".checkpoint", ".checkpoint.lock"],
            Kind::Alone => &[".out", ".errors"],
            Kind::Growing => &[".out", ".rejected", ".errors"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            anyhow::anyhow!("there is no store `{name}`, but {}", names.join(", "))
        })
    }
}
