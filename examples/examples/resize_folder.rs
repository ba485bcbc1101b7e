//! Thumbnails of the JPEG, PNG and WebP images of a folder, on every core.
//!
//! ```text
//! cargo run --release --example resize_folder
//! cargo run --release --example resize_folder -- photos thumbnails
//! cargo run --release --example resize_folder -- --size 1024 --quality 85 --format webp photos web
//! ```
//!
//! Without arguments it makes a few images, two of them broken, and checks what becomes of them. The parts are in
//! `src/resize_folder/` and in the crate `gristmill-image-resize`.

use anyhow::ensure;
use gristmill_examples::program::{end, print, refuse};
use gristmill_examples::resize_folder::args::{self, Command, HELP};
use gristmill_examples::resize_folder::{demo, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Demo(settings)) => demo::run(&settings).and_then(|summary| print(&summary.to_string())),
        Ok(Command::Run(job)) => run(&job).and_then(|summary| {
            print(&summary.to_string())?;
            let n = summary.rejected.len();
            ensure!(n == 0, "{n} images could not be resized");
            Ok(())
        }),
        Err(error) => return refuse(&error),
    };
    end(done)
}
