//! Reading back what was compressed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use gristmill_compress::Format;

use super::Job;
use crate::contest::Failure;

/// Fails if the output of a job is not its input, compressed.
pub fn same(job: &Job) -> Result<(), Failure> {
    let output = BufReader::new(File::open(&job.output)?);
    let mut read: Box<dyn Read> = match job.encoding.format() {
        Format::Zstd => Box::new(zstd::Decoder::with_buffer(output)?),
        Format::Gzip => Box::new(MultiGzDecoder::new(output)),
    };
    let mut input = BufReader::with_capacity(1 << 20, File::open(&job.input)?);
    loop {
        let expected = input.fill_buf()?;
        let mut found = vec![0; expected.len()];
        read.read_exact(&mut found)?;
        if found != expected {
            return Err("it makes something else of the input".into());
        }
        let len = found.len();
        if len == 0 {
            break;
        }
        input.consume(len);
    }
    match read.read(&mut [0])? {
        0 => Ok(()),
        _ => Err("it makes more than the input".into()),
    }
}
