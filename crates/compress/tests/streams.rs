//! Streams that are compressed, and read back by others.

use flate2::read::MultiGzDecoder;
use gristmill::{Bytes, Source};
use gristmill_compress::{BlockWriter, CompressError, Encoding, Existing, Format, OutputFile};
use proptest::prelude::*;
use std::error::Error;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

fn compress(encoding: Encoding, text: &[u8], workers: usize) -> Vec<u8> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
    let mut compressed = Vec::new();
    let pipeline = encoding.read(text).unwrap().pool(&pool);
    pipeline.store(BlockWriter::new(&mut compressed)).run().unwrap();
    compressed
}

/// One block after another, by a plain loop.
fn compress_by_loop(encoding: Encoding, text: &[u8]) -> Vec<u8> {
    let mut blocks = encoding.blocks(text).unwrap();
    let mut compressor = encoding.compressor().unwrap();
    let blocks = std::iter::from_fn(|| blocks.pull());
    blocks.flat_map(|block| compressor.compress(&block.unwrap()).unwrap()).collect()
}

fn decompress(format: Format, compressed: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match format {
        Format::Zstd => return zstd::decode_all(compressed),
        Format::Gzip => MultiGzDecoder::new(compressed).read_to_end(&mut text)?,
    };
    Ok(text)
}

fn encodings() -> impl Strategy<Value = Encoding> {
    let format = prop_oneof![Just(Format::Zstd), Just(Format::Gzip)];
    (format, 1..10i32, 1usize..5_000, any::<bool>()).prop_map(|(format, level, block, checksum)| {
        Encoding::of(format).level(level).block(Bytes::new(block)).checksum(checksum).memory(Bytes::kib(64))
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20_000),
        proptest::collection::vec(0u8..4, 0..20_000),
        (any::<u8>(), 0usize..20_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_compressed_comes_back(encoding in encodings(), text in text(), workers in 1usize..4) {
        let compressed = compress(encoding, &text, workers);
        prop_assert_eq!(&compressed, &compress_by_loop(encoding, &text));
        prop_assert_eq!(decompress(encoding.format(), &compressed).unwrap(), text);
    }
}

/// What a program makes of it, if it is installed.
fn pipe_through(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    let child = command.args(["-d", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        child => child.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn the_usual_programs_read_it() {
    let text: Vec<u8> = (0..30_000u32).flat_map(|line| format!("line {line} of {}\n", line % 7).into_bytes()).collect();
    for (encoding, program) in [(Encoding::zstd(), "zstd"), (Encoding::gzip(), "gzip")] {
        for text in [&text[..], &text[..1], &[]] {
            let compressed = compress(encoding.block(Bytes::kib(100)), text, 2);
            assert!(!compressed.is_empty());
            assert_eq!(decompress(encoding.format(), &compressed).unwrap(), text);
            if let Some(read) = pipe_through(program, &compressed) {
                assert!(read == text, "{program} reads something else");
            }
        }
    }
}

#[test]
fn every_level_works_and_no_other() {
    let text = b"to be or not to be ".repeat(500);
    for format in [Format::Zstd, Format::Gzip] {
        let levels = format.levels();
        for level in levels.clone() {
            let encoding = Encoding::of(format).level(level);
            assert_eq!(decompress(format, &compress_by_loop(encoding, &text)).unwrap(), text, "{format} {level}");
        }
        for level in [0, -5, levels.end() + 1, i32::MAX, i32::MIN] {
            let error = Encoding::of(format).level(level).compressor().unwrap_err();
            assert_eq!(error.to_string(), format!("{format} has levels from 1 to {}, not {level}", levels.end()));
        }
    }
}

#[test]
fn absurd_settings_are_refused() {
    for bytes in [0, (1 << 30) + 1, usize::MAX] {
        let Err(error) = Encoding::zstd().block(Bytes::new(bytes)).blocks(io::empty()) else { panic!("{bytes}") };
        assert!(matches!(error, CompressError::Block { bytes: named } if named == bytes));
    }
    let nothing = Encoding::zstd().memory(Bytes::new(0)).read(io::empty()).unwrap();
    assert!(nothing.store(BlockWriter::new(io::sink())).run().unwrap_err().is_setting());
    // Large, but what is not there is not allocated.
    let encoding = Encoding::gzip().block(Bytes::new(1 << 30));
    assert_eq!(decompress(Format::Gzip, &compress(encoding, b"short", 1)).unwrap(), b"short");
}

#[test]
fn a_block_that_was_damaged_is_noticed() {
    let text = vec![0; 10_000];
    let mut random = 1u64;
    let text: Vec<u8> = text
        .iter()
        .map(|byte: &u8| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            byte ^ (random >> 56) as u8
        })
        .collect();
    for (encoding, is_noticed) in [(Encoding::zstd(), true), (Encoding::zstd().checksum(false), false)] {
        let mut compressed = compress(encoding, &text, 1);
        // It cannot be made smaller, so the bytes are stored as they are.
        let middle = compressed.len() / 2;
        compressed[middle] ^= 1;
        assert_eq!(decompress(Format::Zstd, &compressed).is_err(), is_noticed);
    }
    let mut compressed = compress(Encoding::gzip(), &text, 1);
    let middle = compressed.len() / 2;
    compressed[middle] ^= 1;
    assert!(decompress(Format::Gzip, &compressed).is_err());
}

#[test]
fn a_stream_that_is_cut_off_is_no_stream() {
    for encoding in [Encoding::zstd(), Encoding::gzip()] {
        let compressed = compress(encoding.block(Bytes::new(100)), &[7; 1_000], 2);
        assert!(decompress(encoding.format(), &compressed[..compressed.len() - 1]).is_err());
    }
}

/// Yields noise, and fails at the end.
struct Failing<R>(R);

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the cable is cut")),
            read => Ok(read),
        }
    }
}

/// Has room for so many bytes.
struct SmallDisk(usize);

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages of an error and its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_full_disk_is_a_clear_error() {
    let text = [1; 100_000];
    for room in [0, 1, 50, 200] {
        let pipeline = Encoding::zstd().block(Bytes::new(1_000)).read(&text[..]).unwrap();
        let error = pipeline.store(BlockWriter::new(SmallDisk(room))).run().unwrap_err();
        let error = chain(&error);
        assert!(error.contains("could not write what was compressed: no storage space"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_a_clear_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let pipeline = Encoding::gzip().read(&b"text"[..]).unwrap();
    let error = chain(&pipeline.store(BlockWriter::new(full)).run().unwrap_err());
    assert!(error.contains("could not write what was compressed: No space left"), "{error}");
}

fn files_in(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.zst");
    let mut file = OutputFile::create(&path, Existing::Refuse).unwrap();
    assert!(!path.exists());
    Encoding::zstd().read(&b"text"[..]).unwrap().store(&mut file).run().unwrap();
    assert_eq!(file.written(), path.metadata().unwrap().len());
    assert_eq!(decompress(Format::Zstd, &std::fs::read(&path).unwrap()).unwrap(), b"text");
    assert_eq!(files_in(folder.path()), ["text.zst"]);
}

#[test]
fn a_run_that_fails_leaves_no_file_and_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let [new, old] = ["new.gz", "old.gz"].map(|name| folder.path().join(name));
    std::fs::write(&old, "old").unwrap();
    for path in [&new, &old] {
        let file = OutputFile::create(path, Existing::Replace).unwrap();
        let stream = Failing(io::repeat(5).take(100_000));
        let pipeline = Encoding::gzip().block(Bytes::kib(1)).read(stream).unwrap();
        let error = chain(&pipeline.store(file).run().unwrap_err());
        assert!(error.ends_with("could not read the stream: the cable is cut"), "{error}");
        assert_eq!(files_in(folder.path()), ["old.gz"]);
    }
    assert_eq!(std::fs::read(&old).unwrap(), b"old");
    // Nor does a run that never comes.
    drop(OutputFile::create(&new, Existing::Refuse).unwrap());
    assert_eq!(files_in(folder.path()), ["old.gz"]);
}

#[test]
fn an_old_file_is_replaced_only_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.zst");
    std::fs::write(&path, "old").unwrap();
    let refused = OutputFile::create(&path, Existing::Refuse).unwrap_err();
    assert_eq!(refused.to_string(), format!("could not create `{}`", path.display()));

    let file = OutputFile::create(&path, Existing::Replace).unwrap();
    Encoding::zstd().read(&b"new"[..]).unwrap().store(file).run().unwrap();
    assert_eq!(decompress(Format::Zstd, &std::fs::read(&path).unwrap()).unwrap(), b"new");

    // One that comes while the run goes on.
    let path = folder.path().join("late.zst");
    let file = OutputFile::create(&path, Existing::Refuse).unwrap();
    std::fs::write(&path, "late").unwrap();
    let error = chain(&Encoding::zstd().read(&b"new"[..]).unwrap().store(file).run().unwrap_err());
    assert!(error.contains("could not put in its place"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"late");
    assert_eq!(files_in(folder.path()), ["late.zst", "old.zst"]);
}

#[test]
fn places_where_no_file_can_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        for path in [folder.path().to_owned(), folder.path().join("missing/text.gz")] {
            let error = OutputFile::create(&path, existing).unwrap_err();
            assert!(matches!(error, CompressError::File { action: "create", .. }), "{error}");
        }
    }
}

#[cfg(unix)]
#[test]
fn devices_are_not_replaced() {
    let error = OutputFile::create("/dev/null", Existing::Replace).unwrap_err();
    assert!(chain(&error).ends_with("could not create `/dev/null`: it is no regular file"));
}

#[cfg(unix)]
#[test]
fn others_may_read_the_file_if_the_user_lets_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [path, plain] = ["text.zst", "plain"].map(|name| folder.path().join(name));
    std::fs::write(&plain, "made by the system with the mask of the user").unwrap();
    let file = OutputFile::create(&path, Existing::Refuse).unwrap();
    Encoding::zstd().read(&b"text"[..]).unwrap().store(file).run().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
