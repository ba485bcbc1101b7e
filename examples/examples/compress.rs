//! Compresses a file or a pipe on all cores, in order, for `zstd -d` or `gzip -d` to read.
//!
//! ```text
//! cargo run --release --example compress
//! cargo run --release --example compress -- --level 9 big.tar
//! tar c folder | cargo run --release --example compress -- --format gzip - > folder.tar.gz
//! ```
//!
//! Without arguments it compresses a text that it makes itself, reads the result back and compares. The parts are in
//! `src/compress/` and in the crate `gristmill-compress`.

use gristmill_examples::compress::args::{self, Command, HELP, Output};
use gristmill_examples::compress::run;
use gristmill_examples::program::{end, print, refuse};
use std::io::{Write, stderr};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Run(options)) => run(&options).and_then(|summary| tell(&options.output, &summary.to_string())),
        Err(error) => return refuse(&error),
    };
    end(done)
}

/// Standard output may have what was compressed; then what there is to say goes to standard error.
fn tell(output: &Output, text: &str) -> anyhow::Result<()> {
    if *output != Output::Stdout {
        return print(text);
    }
    // Somebody who closed it does not want to know.
    let _ = stderr().write_all(text.as_bytes());
    Ok(())
}
