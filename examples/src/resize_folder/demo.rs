//! What happens without arguments: a few images, made, resized and looked at.

use super::args::Settings;
use super::{Job, Summary};
use anyhow::{Context, ensure};
use gristmill_image_resize::Resizer;
use jpeg_encoder::{ColorType, Encoder};
use std::fs;
use std::path::Path;

/// The images that are whole.
const GOOD: [&str; 5] = ["2026/beach.jpg", "2026/on-its-side.jpg", "2026/small.jpg", "logo.png", "wrong-name.png"];

/// Makes a folder of images, resizes it, and checks what came out.
///
/// # Errors
///
/// When the folder cannot be made, or anything is not as it should be.
pub fn run(settings: &Settings) -> anyhow::Result<Summary> {
    let scratch = tempfile::Builder::new().prefix("gristmill-resize-").tempdir().context("no temporary directory")?;
    let (input, output) = (scratch.path().join("photos"), scratch.path().join("thumbnails"));
    make_folder(&input).context("could not make the images")?;
    let summary = super::run(&Job { input: input.clone(), output: output.clone(), settings: settings.clone() })?;

    ensure!(summary.sums.images == GOOD.len() as u64, "{} images were resized", summary.sums.images);
    ensure!(summary.rejected.len() == 2, "{} images were rejected, not the two broken ones", summary.rejected.len());
    // On one thread, image by image.
    let mut resizer = Resizer::new(&settings.options)?;
    for name in GOOD {
        let image = fs::read(input.join(name))?;
        let expected = resizer.resize(&image)?;
        let name = match settings.options.output_format() {
            Some(format) => Path::new(name).with_extension(format.extensions()[0]),
            None => name.into(),
        };
        let found = fs::read(output.join(&name)).with_context(|| format!("`{}` is missing", name.display()))?;
        ensure!(found == expected.bytes, "`{}` is not what a plain loop makes of it", name.display());
        let is_upright = name.ends_with("on-its-side.jpg") && expected.size.height < expected.size.width;
        ensure!(!is_upright, "`{}` was not turned", name.display());
    }
    Ok(summary)
}

fn make_folder(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("2026");
    fs::create_dir_all(&folder)?;
    let beach = photo(1_600, 1_200, None)?;
    fs::write(folder.join("beach.jpg"), &beach)?;
    fs::write(folder.join("cut-off.jpg"), &beach[..beach.len() / 2])?;
    // As a camera notes that it was held upright.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    fs::write(folder.join("on-its-side.jpg"), photo(1_600, 1_200, Some(exif))?)?;
    fs::write(folder.join("small.jpg"), photo(120, 90, None)?)?;
    fs::write(folder.join("notes.jpg"), "no picture at all")?;
    fs::write(folder.join("readme.txt"), "not even by its name")?;
    fs::write(root.join("logo.png"), logo(600)?)?;
    fs::write(root.join("wrong-name.png"), photo(800, 600, None)?)?;
    Ok(())
}

/// Sky, sea and sand, with some grain.
fn photo(width: u16, height: u16, exif: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
    let mut grain = 1u32;
    let mut pixels = Vec::with_capacity(3 * usize::from(width) * usize::from(height));
    for y in 0..height {
        for x in 0..width {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = f32::from(x) * 0.05 + (f32::from(y) * 0.11).sin() * 3.0;
            let base = match 3 * y / height {
                0 => [120.0, 170.0, 230.0],
                1 => [20.0, 90.0 + 20.0 * wave.sin(), 150.0 + 30.0 * wave.cos()],
                _ => [220.0, 200.0, 150.0 + 20.0 * wave.sin()],
            };
            let noise = (grain >> 28) as f32 - 8.0;
            pixels.extend(base.map(|value| (value + noise) as u8));
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    if let Some(exif) = exif {
        encoder.add_exif_metadata(exif)?;
    }
    encoder.encode(&pixels, width, height, ColorType::Rgb)?;
    Ok(bytes)
}

/// A disc on nothing.
fn logo(side: u32) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgba);
    let middle = f64::from(side) / 2.0;
    let pixels = (0..side * side).flat_map(|index| {
        let (x, y) = (f64::from(index % side) - middle, f64::from(index / side) - middle);
        if x.hypot(y) < 0.8 * middle { [200, 40, 40, 255] } else { [0; 4] }
    });
    encoder.write_header()?.write_image_data(&pixels.collect::<Vec<_>>())?;
    Ok(bytes)
}
