//! The programs that people use: libvips and Pillow.

use std::ffi::OsString;
use std::process::{Command, Output, Stdio};

use super::{Contender, Job, QUALITY, SIDE, cores};
use crate::contest::Failure;
use crate::data::photos::photos;

/// Those that can be started.
pub(super) fn installed() -> Vec<Contender> {
    let mut found: Vec<Contender> = Vec::new();
    if is_well(Command::new("vipsthumbnail").arg("--vips-version")) {
        found.push(("vipsthumbnail", by_vips));
    }
    if is_well(Command::new("python3").args(["-c", "import PIL"])) {
        found.push(("pillow", by_pillow));
    }
    found
}

fn is_well(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A process for each core, with every so-manieth photograph each: faster than one with threads.
fn by_vips(job: &Job) -> Result<(), Failure> {
    let photos = photos(&job.input)?;
    // It takes a relative path as one from the photograph.
    let mut format: OsString = std::path::absolute(&job.output)?.join("%s.jpg").into();
    format.push(format!("[Q={QUALITY}]"));
    let start = |first: usize| {
        let mut command = Command::new("vipsthumbnail");
        command.env("VIPS_CONCURRENCY", "1").args(["--size", &format!("{SIDE}x{SIDE}"), "-o"]).arg(&format);
        command.args(photos.iter().skip(first).step_by(cores())).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
    };
    let started = (0..cores()).map(start).collect::<Result<Vec<_>, _>>()?;
    started.into_iter().try_for_each(|child| check(&child.wait_with_output()?))
}

/// A pool of a process for each core. The decoder makes no more pixels than it has to, which is what `draft` asks for.
const PILLOW: &str = r#"
import os, sys
from concurrent.futures import ProcessPoolExecutor
from PIL import Image

source, target, side, quality, workers = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])

def resize(name):
    with Image.open(os.path.join(source, name)) as image:
        image.draft("RGB", (side, side))
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
        image.save(os.path.join(target, name), quality=quality)

if __name__ == "__main__":
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(resize, sorted(os.listdir(source)), chunksize=4))
"#;

fn by_pillow(job: &Job) -> Result<(), Failure> {
    let numbers = [SIDE as usize, QUALITY.into(), cores()].map(|number| number.to_string());
    let mut command = Command::new("python3");
    command.args(["-c", PILLOW]).arg(&job.input).arg(&job.output).args(numbers);
    check(&command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?)
}

fn check(output: &Output) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("it failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
