//! Thumbnails of 256 pixels, of folders of photographs of 2 and of 12 megapixels.
//!
//! The contenders in this process do each image by the same library. The programs decode and filter in their own ways, so
//! all are held against the same reference: what a decoder that decodes everything, and the same filter, make of the
//! photograph. The similarity (SSIM) of each is printed once; everybody must come close, and ours must not be below theirs.

mod programs;
mod quality;

use std::cell::RefCell;
use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;

use crossbeam_channel::bounded;
use gristmill::Pipeline;
use gristmill_image_resize::{Images, Options, Resizer, Size, Task};
use quality::{Likeness, References};
use rayon::iter::{ParallelBridge, ParallelIterator};

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::data::photos::{Photos, make_missing, photos};
use crate::workloads::Workload;

/// As `compare` knows it.
pub const RESIZE: Workload = Workload { name: "resize", contests };

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// Photographs.
    pub input: PathBuf,
    /// Where thumbnails go.
    pub output: PathBuf,
}

/// Pixels of the longer side.
pub const SIDE: u32 = 256;
/// Of the thumbnails.
pub const QUALITY: u8 = 80;
/// What is below it is another picture.
const LEAST_SIMILARITY: f64 = 0.9;
/// So far apart, two means of similarity are the same to anybody who looks.
const SAME_SIMILARITY: f64 = 0.001;

fn options() -> Options {
    Options::new(SIDE).quality(QUALITY)
}

fn by_gristmill(job: &Job) -> Result<(), Failure> {
    let options = options();
    Pipeline::extract(Images::walk(&job.input, &job.output, &options)?)
        .try_map_init(|| Resizer::new(&options), |resizer, task: Task| resizer.run(task))
        .count()
        .run()?;
    Ok(())
}

fn by_loop(job: &Job) -> Result<(), Failure> {
    let mut resizer = Resizer::new(&options())?;
    for task in Images::walk(&job.input, &job.output, &options())? {
        resizer.run(task)?;
    }
    Ok(())
}

/// The walk on this thread, and a channel to one for each core.
fn by_threads(job: &Job) -> Result<(), Failure> {
    let (to_workers, tasks) = bounded::<Task>(2 * cores());
    let images = Images::walk(&job.input, &job.output, &options())?;
    thread::scope(|scope| {
        let work = || {
            let mut resizer = Resizer::new(&options())?;
            for task in &tasks {
                resizer.run(task)?;
            }
            Ok::<_, Failure>(())
        };
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        for task in images {
            to_workers.send(task)?;
        }
        drop(to_workers);
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}

fn by_rayon(job: &Job) -> Result<(), Failure> {
    let options = options();
    let images = Images::walk(&job.input, &job.output, &options)?;
    let resize = |resizer: &mut Result<Resizer, _>, task: Task| match resizer {
        Ok(resizer) => resizer.run(task).map(drop).map_err(Failure::from),
        Err(error) => Err(format!("{error}").into()),
    };
    images.par_bridge().map_init(|| Resizer::new(&options), resize).collect()
}

fn cores() -> usize {
    rayon::current_num_threads()
}

/// A name, and what does a job.
type Contender = (&'static str, fn(&Job) -> Result<(), Failure>);

const CONTENDERS: [Contender; 4] =
    [("gristmill", by_gristmill), ("sequential", by_loop), ("threads", by_threads), ("rayon", by_rayon)];

fn contests(setup: &Setup) -> Result<Vec<Contest>, Failure> {
    let folders = folders(setup)?;
    folders.into_iter().map(|(name, folder)| contest(name, &folder, &setup.data)).collect()
}

/// The folders of photographs, by the names of the cases. Missing ones are made.
fn folders(setup: &Setup) -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let sizes: [(&str, Size); 2] = match setup.quick {
        true => [("2-MP", Size::new(800, 600)), ("12-MP", Size::new(1_600, 1_200))],
        false => [("2-MP", Size::new(1_632, 1_224)), ("12-MP", Size::new(4_000, 3_000))],
    };
    let kind = if setup.quick { "quick-" } else { "" };
    let mixed = setup.data.join(format!("photos-{kind}mixed"));
    let mut found = Vec::new();
    for (name, size) in sizes {
        let folder = setup.data.join(format!("photos-{kind}{name}"));
        make_missing(&folder, |draft| {
            let made = match setup.quick {
                true => Photos { size, count: 3 }.generate(draft),
                false => Photos { size, count: 20 }.make(draft, &setup.data.join("wallpapers")),
            };
            made.map(drop)
        })?;
        found.push((name, folder));
    }
    make_missing(&mixed, |draft| {
        for (name, folder) in &found {
            for photo in photos(folder)? {
                let own = photo.file_name().ok_or("a photograph without a name")?;
                fs::copy(&photo, draft.join(format!("{name}-{}", own.display())))?;
            }
        }
        Ok(())
    })?;
    found.push(("mixed", mixed));
    Ok(found)
}

/// What the runs of a case are judged by.
#[derive(Default)]
struct Jury {
    references: References,
    /// The mean of ours.
    ours: Option<f64>,
}

impl Jury {
    /// Fails if a job's thumbnails are other pictures, or if those of a program are better than ours.
    fn judge(&mut self, label: &str, job: &Job, is_outside: bool) -> Result<(), Failure> {
        let Likeness { mean, least } = self.references.compare(job)?;
        writeln!(stderr(), "{label}: SSIM {mean:.4}, at least {least:.4}")?;
        if least < LEAST_SIMILARITY {
            return Err(format!("a thumbnail is another picture: SSIM {least:.4}").into());
        }
        if !is_outside {
            // They are all by the same library.
            self.ours = Some(self.ours.map_or(mean, |ours| ours.min(mean)));
        } else if let Some(ours) = self.ours
            && ours + SAME_SIMILARITY < mean
        {
            return Err(format!("ours are worse: SSIM {ours:.4}").into());
        }
        Ok(())
    }
}

fn contest(name: &str, folder: &Path, data: &Path) -> Result<Contest, Failure> {
    let jury = Rc::new(RefCell::new(Jury::default()));
    let photos = photos(folder)?.len();
    let mut entrants = Vec::new();
    let all = CONTENDERS.into_iter().map(|(name, work)| (name, work, false));
    let outside = programs::installed().into_iter().map(|(name, work)| (name, work, true));
    for (who, work, is_outside) in all.chain(outside) {
        let job = Job { input: folder.to_owned(), output: data.join(format!("thumbnails-{who}")) };
        let label = format!("{name}: {who}");
        let jury = Rc::clone(&jury);
        let judge = move |job: &Job| jury.borrow_mut().judge(&label, job, is_outside);
        let run = judged(job, work, photos, judge);
        entrants.push(if is_outside { Entrant::outside(who, run) } else { Entrant::new(who, run) });
    }
    Ok(Contest { case: format!("{name} thumbnails"), items: photos as u64, entrants })
}

/// Looks at what the first run has made.
fn judged(
    job: Job,
    work: fn(&Job) -> Result<(), Failure>,
    photos: usize,
    judge: impl Fn(&Job) -> Result<(), Failure>,
) -> impl FnMut() -> Result<String, Failure> {
    let mut is_judged = false;
    move || {
        if !is_judged {
            // Of another case, or of another day.
            if job.output.exists() {
                fs::remove_dir_all(&job.output)?;
            }
            fs::create_dir_all(&job.output)?;
        }
        work(&job)?;
        if !is_judged {
            judge(&job)?;
            is_judged = true;
        }
        Ok(format!("{photos} thumbnails"))
    }
}
