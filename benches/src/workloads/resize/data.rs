//! Photographs: real ones, that Debian has as wallpapers, at the sizes that cameras make; or else generated ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gristmill_image_resize::{Enlarge, Format, Options, Resizer, Size};
use jpeg_encoder::{ColorType, Encoder};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::contest::{Failure, Setup};
use crate::data::random::Random;

/// Debian's packages with real photographs.
const PACKAGES: [&str; 3] = ["mate-backgrounds", "ukui-wallpapers", "plasma-workspace-wallpapers"];
/// A file with fewer bytes is a drawing.
const LEAST_BYTES: u64 = 200_000;
/// Of the photographs; that of many cameras.
const QUALITY: u8 = 92;

/// The folders of photographs, by the names of the cases. Missing ones are made.
pub(super) fn folders(setup: &Setup) -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let sizes: [(&str, Size); 2] = match setup.quick {
        true => [("2-MP", Size::new(800, 600)), ("12-MP", Size::new(1_600, 1_200))],
        false => [("2-MP", Size::new(1_632, 1_224)), ("12-MP", Size::new(4_000, 3_000))],
    };
    let kind = if setup.quick { "quick-" } else { "" };
    let mixed = setup.data.join(format!("photos-{kind}mixed"));
    let mut found = Vec::new();
    for (name, size) in sizes {
        let folder = setup.data.join(format!("photos-{kind}{name}"));
        make_missing(&folder, |draft| if setup.quick { generate(draft, size, 3) } else { make(draft, size, setup) })?;
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

/// The photographs of a folder, by name.
pub(super) fn photos(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    paths.sort();
    Ok(paths)
}

fn make_missing(folder: &Path, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
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

fn make(folder: &Path, size: Size, setup: &Setup) -> Result<(), Failure> {
    let wallpapers = setup.data.join("wallpapers");
    // On a machine that is not Debian, or has no network: something generated.
    if !wallpapers.exists() && make_missing(&wallpapers, unpack).is_err() {
        return generate(folder, size, 20);
    }
    let mut sources = Vec::new();
    add_photos(&wallpapers, &mut sources)?;
    let side = size.width.max(size.height);
    let options = Options::new(side).enlarge(Enlarge::Always).quality(QUALITY).format(Format::Jpeg);
    sources.par_iter().enumerate().try_for_each(|(index, source)| {
        let mut resizer = Resizer::new(&options).map_err(|error| error.to_string())?;
        let named = |error: &dyn std::fmt::Display| format!("`{}`: {error}", source.display());
        let bytes = fs::read(source).map_err(|error| named(&error))?;
        let photo = resizer.resize(&bytes).map_err(|error| named(&error))?;
        fs::write(folder.join(format!("{index:02}.jpg")), photo.bytes).map_err(|error| named(&error))
    })?;
    Ok(())
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

fn generate(folder: &Path, size: Size, n: u64) -> Result<(), Failure> {
    for seed in 0..n {
        fs::write(folder.join(format!("{seed:02}.jpg")), generated(size, seed)?)?;
    }
    Ok(())
}

/// Hills, haze and grain: detail of all sizes.
pub fn generated(size: Size, seed: u64) -> Result<Vec<u8>, Failure> {
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
    Encoder::new(&mut bytes, QUALITY).encode(&pixels, size.width as u16, size.height as u16, ColorType::Rgb)?;
    Ok(bytes)
}
