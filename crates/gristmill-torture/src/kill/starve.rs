//! Takes from a real process what it needs: room for files, a disk, memory, descriptors. It must come through, or end with an
//! error that says what was wrong. Then it gets all it wants, is gone on with, and must make what one makes that never lacked.

use super::job::{Place, Results, Task};
use super::kind::Kind;
use super::{History, or_all, store};
use anyhow::{Context, ensure};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// No file may be larger than so many kibibytes.
    FileSize,
    /// So many kibibytes are left on a disk of its own.
    Disk,
    /// So many kibibytes of addresses.
    Memory,
    /// So many files may be open.
    Descriptors,
}

impl Want {
    const ALL: [Want; 4] = [Want::FileSize, Want::Disk, Want::Memory, Want::Descriptors];

    fn name(self) -> &'static str {
        match self {
            Want::FileSize => "file-size",
            Want::Disk => "disk",
            Want::Memory => "memory",
            Want::Descriptors => "descriptors",
        }
    }

    /// The level of a number out of so many: from nothing to more than enough, closer together where there is little.
    fn level(self, number: u64, of: u64, rows: u64) -> u64 {
        let (least, most) = match self {
            Want::FileSize => (0, 200 + rows * 3 / 10),
            Want::Disk => (0, 600 + rows * 8 / 10),
            Want::Memory => (8 << 10, 600 << 10),
            Want::Descriptors => (4, 64),
        };
        let last = of.saturating_sub(1).max(1);
        least + (most - least) * number * number / (last * last)
    }

    /// What a shell is told before it becomes the job. The signal that comes with a limit on files is ignored, as daemons do.
    fn words(self, level: u64) -> String {
        match self {
            Want::FileSize => format!("trap '' XFSZ; ulimit -f {level};"),
            Want::Disk => String::new(),
            Want::Memory => format!("ulimit -v {level};"),
            Want::Descriptors => format!("ulimit -n {level};"),
        }
    }
}

/// What to take away, and how often.
#[derive(Debug, Clone)]
pub struct Starve {
    stores: Vec<Kind>,
    wants: Vec<Want>,
    times: u64,
    rows: usize,
}

/// How the processes ended.
#[derive(Debug, Default)]
struct Ended {
    well: u64,
    with_an_error: u64,
    /// By the standard library, which ends a process that gets no memory, or before anything of ours ran.
    otherwise: u64,
}

impl Starve {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Names the argument that cannot be understood.
    pub fn parse(args: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut starve = Starve { stores: Vec::new(), wants: Vec::new(), times: 100, rows: 20_000 };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("store") => starve.stores.push(store(&mut parser)?),
                Arg::Long("of") => {
                    let name = parser.value()?.to_string_lossy().into_owned();
                    let want = Want::ALL.into_iter().find(|want| want.name() == name);
                    starve.wants.push(want.with_context(|| format!("nobody can be starved of `{name}`"))?);
                }
                Arg::Long("times") => starve.times = crate::sim::args::number(&mut parser, "--times")?,
                Arg::Long("rows") => starve.rows = crate::sim::args::number(&mut parser, "--rows")?.try_into()?,
                other => return Err(other.unexpected().into()),
            }
        }
        if starve.wants.is_empty() {
            starve.wants = Want::ALL.into();
        }
        Ok(Starve { stores: or_all(starve.stores), ..starve })
    }

    /// Starves jobs with one store after another of one thing after another, and says what came of it.
    ///
    /// # Errors
    ///
    /// When a process ends in another way than it should, or what is made in the end is not what it should be.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        for want in &self.wants {
            for kind in &self.stores {
                self.run_with(*want, *kind, out).with_context(|| format!("{} with the store {kind}", want.name()))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn run_with(&self, want: Want, kind: Kind, out: &mut impl Write) -> anyhow::Result<()> {
        let place = Place::new(kind, self.rows)?;
        let folder = place.folder().to_owned();
        let disk = if want == Want::Disk { Disk::mount(&folder)? } else { None };
        if want == Want::Disk && disk.is_none() {
            writeln!(out, "{kind} of disk: SKIPPED, as this process may not mount a file system")?;
            return place.remove();
        }
        let whole = place.job("reference")?.finish(&mut History::default())?;
        let mut ended = Ended::default();
        for number in 0..self.times {
            let level = want.level(number, self.times, self.rows as u64);
            let job = place.job(&format!("job-{number}"))?;
            let results = starve(&job, want, level, disk.as_ref(), &mut ended);
            let results = results.with_context(|| format!("at level {level}"))?;
            ensure!(results == whole, "at level {level} it made {results:?}, not {whole:?}");
            job.sweep()?;
        }
        ensure!(ended.well > 0, "the most there is should be enough");
        let Ended { well, with_an_error, otherwise } = ended;
        writeln!(
            out,
            "{kind} of {}: {} levels; {well} came through, {with_an_error} ended with an error, {otherwise} did not get so \
             far; all gone on with, and equal to one that lacked nothing",
            want.name(),
            self.times,
        )?;
        drop(disk);
        place.remove()
    }
}

/// Runs the job with too little, then with enough.
fn starve(job: &Task, want: Want, level: u64, disk: Option<&Disk>, ended: &mut Ended) -> anyhow::Result<Results> {
    let filler = disk.map(|disk| disk.fill(level)).transpose()?;
    let mut command: Vec<OsString> =
        vec!["bash".into(), "-c".into(), format!("{} exec \"$0\" \"$@\"", want.words(level)).into()];
    command.extend(job.command());
    let status = job.spawn_as(&command)?.wait()?;
    drop(filler);
    judge(job, want, status, ended)?;
    let mut history = History::default();
    job.look(&mut history, status.success())?;
    job.finish(&mut history)
}

/// Whether the process ended as it may.
fn judge(job: &Task, want: Want, status: ExitStatus, ended: &mut Ended) -> anyhow::Result<()> {
    let said = job.said()?;
    let count = match (status.code(), status.signal()) {
        (Some(0), _) => &mut ended.well,
        // The file of errors is on the disk that is full; elsewhere it is small, but no file at all may be there.
        (Some(1), _)
            if said.contains("error: ") || (want == Want::Disk || want == Want::FileSize) && said.is_empty() =>
        {
            &mut ended.with_an_error
        }
        // Rust ends a process that it cannot get memory for; 101 is a panic before the run, 127 a failure to load.
        (Some(101 | 127), _) | (_, Some(6 | 11)) if want == Want::Memory => &mut ended.otherwise,
        (Some(126 | 127), _) if want == Want::Descriptors => &mut ended.otherwise,
        _ => anyhow::bail!("it ended by {status}: {said}"),
    };
    *count += 1;
    // Where there is no memory for a thread it is no file that is wrong.
    let names = ["/job-", "pool", "thread", "open"];
    let may_be_short = status.code() != Some(1) || said.is_empty() || want == Want::Memory;
    ensure!(may_be_short || names.iter().any(|name| said.contains(name)), "it names nothing: {said}");
    Ok(())
}

/// A small file system over a folder, gone when this is dropped.
struct Disk<'a>(&'a Path);

/// A file that takes up room, gone when this is dropped.
struct Filler(std::path::PathBuf);

impl<'a> Disk<'a> {
    /// `None` if this process may not.
    fn mount(folder: &'a Path) -> anyhow::Result<Option<Self>> {
        let held: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        let inputs: Vec<_> =
            held.iter().map(|file| Ok((file.path(), fs::read(file.path())?))).collect::<anyhow::Result<_>>()?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "gristmill"]).arg(folder).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Ok(None);
        }
        let disk = Disk(folder);
        for (path, bytes) in inputs {
            fs::write(path, bytes)?;
        }
        Ok(Some(disk))
    }

    /// Leaves so many kibibytes free.
    fn fill(&self, kib: u64) -> anyhow::Result<Filler> {
        let filler = Filler(self.0.join("filler"));
        let mut file = fs::File::create(&filler.0)?;
        let page = [0u8; 64 << 10];
        while file.write_all(&page).is_ok() {}
        let len = file.metadata()?.len();
        file.set_len(len.saturating_sub(kib << 10))?;
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // If it is still there the next run fails, and says so.
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
