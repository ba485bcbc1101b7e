//! Thumbnails of 256 pixels, of folders of photographs of 2 and of 12 megapixels.
//!
//! The contenders in this process do each image by the same library. The programs decode and filter in their own ways, so
//! all are held against the same reference: what a decoder that decodes everything, and the same filter, make of the
//! photograph. The similarity (SSIM) of each is printed once, and everybody must come close.

mod data;
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
use gristmill_image_resize::{Images, Options, Resizer, Task};
use quality::References;
use rayon::iter::{ParallelBridge, ParallelIterator};

use crate::contest::{Contest, Entrant, Failure, Setup};
use crate::workloads::Workload;

pub use data::generated;

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
    let folders = data::folders(setup)?;
    folders.into_iter().map(|(name, folder)| contest(name, &folder, &setup.data)).collect()
}

fn contest(name: &str, folder: &Path, data: &Path) -> Result<Contest, Failure> {
    let references = Rc::new(RefCell::new(References::default()));
    let photos = data::photos(folder)?.len();
    let mut entrants = Vec::new();
    let all = CONTENDERS.into_iter().map(|(name, work)| (name, work, false));
    let outside = programs::installed().into_iter().map(|(name, work)| (name, work, true));
    for (who, work, is_outside) in all.chain(outside) {
        let job = Job { input: folder.to_owned(), output: data.join(format!("thumbnails-{who}")) };
        let label = format!("{name}: {who}");
        let run = checked(job, work, photos, label, Rc::clone(&references));
        entrants.push(if is_outside { Entrant::outside(who, run) } else { Entrant::new(who, run) });
    }
    Ok(Contest { case: format!("{name} thumbnails"), items: photos as u64, entrants })
}

/// Looks at what the first run has made.
fn checked(
    job: Job,
    work: fn(&Job) -> Result<(), Failure>,
    photos: usize,
    label: String,
    references: Rc<RefCell<References>>,
) -> impl FnMut() -> Result<String, Failure> {
    let mut is_checked = false;
    move || {
        if !is_checked {
            // Of another case, or of another day.
            if job.output.exists() {
                fs::remove_dir_all(&job.output)?;
            }
            fs::create_dir_all(&job.output)?;
        }
        work(&job)?;
        if !is_checked {
            let (mean, least) = references.borrow_mut().compare(&job)?;
            writeln!(stderr(), "{label}: SSIM {mean:.4}, at least {least:.4}")?;
            if least < LEAST_SIMILARITY {
                return Err(format!("a thumbnail is another picture: SSIM {least:.4}").into());
            }
            is_checked = true;
        }
        Ok(format!("{photos} thumbnails"))
    }
}
