//! Photographs: real ones, that Debian has as wallpapers, at the sizes that cameras make; or else generated ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gristmill_image_resize::{Enlarge, Format, Options, Resizer, Size};
use jpeg_encoder::{ColorType, Encoder};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::random::Random;
use crate::contest::Failure;

/// Debian's packages with real photographs.
const PACKAGES: [&str; 3] = ["mate-backgrounds", "ukui-wallpapers", "plasma-workspace-wallpapers"];
/// A file with fewer bytes is a drawing.
const LEAST_BYTES: u64 = 200_000;
/// Of the photographs; that of many cameras.
const QUALITY: u8 = 92;

/// Photographs to be made.
#[derive(Clone, Debug)]
pub struct Photos {
    /// Of the longer side of real ones; of both of generated ones.
    pub size: Size,
    /// How many are generated, where there are no real ones.
    pub count: u64,
}

impl Photos {
    /// Makes those of real photographs in a folder, which are fetched from Debian if there is no such folder; or, on a machine
    /// that is not Debian or has no network, generated ones. Says which.
    ///
    /// # Errors
    ///
    /// If one cannot be read or written.
    pub fn make(&self, folder: &Path, wallpapers: &Path) -> Result<Origin, Failure> {
        if !wallpapers.exists() && make_missing(wallpapers, unpack).is_err() {
            return self.generate(folder);
        }
        self.resize(folder, wallpapers)
    }

    fn resize(&self, folder: &Path, wallpapers: &Path) -> Result<Origin, Failure> {
        let mut sources = Vec::new();
        add_photos(wallpapers, &mut sources)?;
        if sources.is_empty() {
            return Err(format!("no JPEG of {LEAST_BYTES} bytes or more in `{}`", wallpapers.display()).into());
        }
        let side = self.size.width.max(self.size.height);
        let options = Options::new(side).enlarge(Enlarge::Always).quality(QUALITY).format(Format::Jpeg);
        sources.par_iter().enumerate().try_for_each(|(index, source)| {
            let mut resizer = Resizer::new(&options).map_err(|error| error.to_string())?;
            let named = |error: &dyn std::fmt::Display| format!("`{}`: {error}", source.display());
            let bytes = fs::read(source).map_err(|error| named(&error))?;
            let photo = resizer.resize(&bytes).map_err(|error| named(&error))?;
            fs::write(folder.join(format!("{index:02}.jpg")), photo.bytes).map_err(|error| named(&error))
        })?;
        Ok(Origin::Real)
    }

    /// Generates them.
    ///
    /// # Errors
    ///
    /// If one cannot be encoded or written.
    pub fn generate(&self, folder: &Path) -> Result<Origin, Failure> {
        for seed in 0..self.count {
            let path = folder.join(format!("{seed:02}.jpg"));
            let photo = generated(self.size, seed)?;
            fs::write(&path, photo).map_err(|error| format!("could not write `{}`: {error}", path.display()))?;
        }
        Ok(Origin::Generated)
    }
}

/// Where photographs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody's camera.
    Real,
    /// A seeded generator.
    Generated,
}

/// The photographs of a folder, by name.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn photos(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder, unless it is there already. It gets its name when all is in it.
///
/// # Errors
///
/// If it cannot be made.
pub fn make_missing(folder: &Path, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    if folder.exists() {
        return Ok(());
    }
    let draft = folder.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft)?;
    make(&draft)?;
    Ok(fs::rename(draft, folder)?)
}

fn unpack(folder: &Path) -> Result<(), Failure> {
    run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(folder))?;
    for package in photos(folder)? {
        run(Command::new("dpkg").arg("-x").args([&package, folder]))?;
        fs::remove_file(package)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

/// The JPEGs of a folder and those in it, always in the same order.
fn add_photos(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for path in photos(folder)? {
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            add_photos(&path, found)?;
        } else if metadata.is_file() && metadata.len() >= LEAST_BYTES && Format::of_name(&path) == Some(Format::Jpeg) {
            found.push(path);
        }
    }
    Ok(())
}

/// Hills, haze and grain: detail of all sizes.
///
/// # Errors
///
/// If it cannot be encoded: a side is longer than JPEG has numbers for.
pub fn generated(size: Size, seed: u64) -> Result<Vec<u8>, Failure> {
    let (width, height) = (u16::try_from(size.width)?, u16::try_from(size.height)?);
    let mut random = Random::new(seed);
    let mut one = || random.unit() as f32;
    // Waves of eight lengths, in directions and colours of their own.
    let waves: Vec<[f32; 6]> = (0..8)
        .map(|octave| {
            let length = size.width as f32 / (1 << octave) as f32;
            [one() * 6.0 / length, one() * 6.0 / length, 60.0 / (octave as f32 + 1.5), one(), one(), one()]
        })
        .collect();
    let mut pixels = Vec::with_capacity(3 * size.pixels() as usize);
    for y in 0..size.height {
        for x in 0..size.width {
            let mut pixel = [120.0; 3];
            for [across, down, height, red, green, blue] in &waves {
                let wave = height * (across * x as f32 + down * y as f32 + 3.0 * red).sin();
                for (value, part) in pixel.iter_mut().zip([red, green, blue]) {
                    *value += wave * part;
                }
            }
            let grain = 12.0 * (one() - 0.5);
            pixels.extend(pixel.map(|value| (value + grain) as u8));
        }
    }
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, QUALITY).encode(&pixels, width, height, ColorType::Rgb)?;
    Ok(bytes)
}
