//! Which images there are, and where they go: the extract stage.

use crate::error::{Problem, WalkError};
use crate::format::Format;
use crate::options::Options;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Lists the images of a folder as [tasks](Task), with the places of their outputs: an iterator, and so a source of a
/// pipeline.
///
/// The output tree mirrors the input tree. Directories are walked in the order of their entries' names. What is an image
/// is told by the name (`jpg`, `jpeg`, `jpe`, `jfif`, `png`, `apng`, `webp`, in any case), unless
/// [`every_file`](Images::every_file) is asked for; in which format it is, by the content alone. Without
/// [`Options::format`] an output has the name of its input, even if that promises another format than it has.
///
/// With a format, names end in it: `a.png` becomes `a.jpg`. If two inputs get the same output, the first has it and the
/// other is a task that fails.
///
/// Symbolic links inside the folder are passed over, unless [`follow_links`](Images::follow_links) is asked for. A
/// directory that cannot be read, or a link that leads in a circle, is a task that fails. If the output is inside the
/// input, it is not walked.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_image_resize::{Images, Options, Resizer};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let (photos, thumbnails) = (folder.path().join("in"), folder.path().join("out"));
/// # std::fs::create_dir(&photos).unwrap();
/// # let encoder = jpeg_encoder::Encoder::new_file(photos.join("a.jpg"), 90).unwrap();
/// # encoder.encode(&[120; 3 * 900 * 600], 900, 600, jpeg_encoder::ColorType::Rgb).unwrap();
/// # std::fs::write(photos.join("b.jpg"), "no picture").unwrap();
/// let options = Options::new(256).quality(85);
/// let report = Pipeline::extract(Images::walk(&photos, &thumbnails, &options)?)
///     .try_map_init(|| Resizer::new(&options), |resizer, task| resizer.run(task))
///     .on_error(OnError::collect()) // an image that is broken is noted, not fatal
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output[0].output, thumbnails.join("a.jpg"));
/// assert!(report.failures[0].message.ends_with("b.jpg: not a JPEG, PNG or WebP"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Images {
    plan: Plan,
    /// Once it has begun.
    walk: Option<walkdir::IntoIter>,
    /// The images that have an output, where another could get the same.
    taken: HashMap<PathBuf, PathBuf>,
}

/// What to walk, and how.
#[derive(Debug)]
struct Plan {
    input: PathBuf,
    output: PathBuf,
    /// The output as the system names it.
    true_output: PathBuf,
    format: Option<Format>,
    takes_every_file: bool,
    follows_links: bool,
}

/// An image and the place of its output. Made by [`Images`].
#[derive(Debug)]
pub struct Task {
    input: PathBuf,
    target: Result<PathBuf, Problem>,
}

impl Task {
    /// The image, or what was taken for one.
    #[must_use]
    pub fn input(&self) -> &Path {
        &self.input
    }

    /// The image, and where its output goes, if it can be resized at all.
    pub(crate) fn into_parts(self) -> (PathBuf, Result<PathBuf, Problem>) {
        (self.input, self.target)
    }
}

impl Images {
    /// Walks a folder, or takes a single image. The output folder is made if it is missing.
    ///
    /// # Errors
    ///
    /// When the input cannot be looked at, the output cannot be made, or they are the same.
    pub fn walk(input: impl AsRef<Path>, output: impl AsRef<Path>, options: &Options) -> Result<Self, WalkError> {
        let (input, output) = (input.as_ref().to_owned(), output.as_ref().to_owned());
        let no_input = |error| WalkError::Input { path: input.clone(), error };
        let metadata = fs::metadata(&input).map_err(no_input)?;
        let folder = if metadata.is_dir() { Some(&*input) } else { input.parent() };
        // The folder of a bare name is the one we are in.
        let folder = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let true_input = folder.unwrap_or(&input).canonicalize().map_err(no_input)?;
        if metadata.is_dir() {
            // Its rights are looked at here, as it is the one directory that must be there.
            fs::read_dir(&input).map_err(no_input)?;
        }
        let no_output = |error| WalkError::Output { path: output.clone(), error };
        fs::create_dir_all(&output).map_err(no_output)?;
        let true_output = output.canonicalize().map_err(no_output)?;
        if true_input == true_output {
            return Err(WalkError::OwnInput(output));
        }
        let (takes_every_file, follows_links) = (!metadata.is_dir(), false);
        let plan = Plan { input, output, true_output, format: options.format, takes_every_file, follows_links };
        Ok(Images { plan, walk: None, taken: HashMap::new() })
    }

    /// Takes files whose names promise no image, too. Those that are none fail.
    #[must_use]
    pub fn every_file(mut self) -> Self {
        self.plan.takes_every_file = true;
        self
    }

    /// Follows symbolic links inside the folder.
    #[must_use]
    pub fn follow_links(mut self) -> Self {
        self.plan.follows_links = true;
        self
    }

    /// The task of an image, if the name of its output is free.
    fn task(&mut self, input: PathBuf) -> Task {
        let output = self.plan.output_of(&input);
        if self.plan.format.is_none() {
            return Task { input, target: Ok(output) };
        }
        match self.taken.entry(output) {
            Entry::Vacant(entry) => {
                let target = Ok(entry.key().clone());
                entry.insert(input.clone());
                Task { input, target }
            }
            Entry::Occupied(entry) => {
                let (output, other) = (entry.key().clone(), entry.get().clone());
                Task { input, target: Err(Problem::Collision { output, other }) }
            }
        }
    }
}

impl Iterator for Images {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        loop {
            let walk = self.walk.get_or_insert_with(|| self.plan.begin());
            match self.plan.look_at(walk.next()?) {
                Sight::Image(path) => return Some(self.task(path)),
                Sight::Lost(path, problem) => return Some(Task { input: path, target: Err(problem) }),
                Sight::Output => walk.skip_current_dir(),
                Sight::Nothing => {}
            }
        }
    }
}

/// What an entry of the folder is.
enum Sight {
    Image(PathBuf),
    Lost(PathBuf, Problem),
    /// The folder of the outputs.
    Output,
    /// Nothing that we want.
    Nothing,
}

impl Plan {
    fn begin(&self) -> walkdir::IntoIter {
        WalkDir::new(&self.input).follow_links(self.follows_links).sort_by_file_name().into_iter()
    }

    fn look_at(&self, entry: walkdir::Result<DirEntry>) -> Sight {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(&self.input).to_owned();
                return Sight::Lost(path, problem_of(error));
            }
        };
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.is_dir() {
            let is_output = path.canonicalize().is_ok_and(|path| path == self.true_output);
            return if is_output { Sight::Output } else { Sight::Nothing };
        }
        // One that is named itself is meant to be followed.
        if kind.is_symlink() && entry.depth() > 0 {
            return Sight::Nothing;
        }
        if !self.takes_every_file && Format::of_name(path).is_none() {
            return Sight::Nothing;
        }
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Sight::Lost(entry.into_path(), Problem::NotAFile);
        }
        Sight::Image(entry.into_path())
    }

    fn output_of(&self, input: &Path) -> PathBuf {
        let below = input.strip_prefix(&self.input).unwrap_or(input);
        // The input is the image itself.
        let below = if below.as_os_str().is_empty() { input.file_name().map_or(below, Path::new) } else { below };
        let output = self.output.join(below);
        match self.format {
            Some(format) if Format::of_name(&output) != Some(format) => output.with_extension(format.extensions()[0]),
            _ => output,
        }
    }
}

fn problem_of(error: walkdir::Error) -> Problem {
    match error.loop_ancestor() {
        Some(above) => Problem::Loop(above.to_owned()),
        None => Problem::Read(error.into_io_error().unwrap_or_else(|| io::Error::other("the walk failed"))),
    }
}
