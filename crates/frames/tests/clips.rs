//! Whole files, through a pipeline.

#![allow(missing_docs)]

use gristmill::prelude::*;
use gristmill::{CancelToken, Error};
use gristmill_frames::{Clip, Format, FormatError, Frame, Scaler, Writer};
use std::path::Path;

/// Frames that differ from one another and from place to place.
fn frame(format: &Format, number: usize) -> Frame {
    Frame::from((0..format.frame_bytes()).map(|at| (at * 7 + number * 31) as u8).collect::<Vec<u8>>())
}

fn write_clip(path: &Path, format: &Format, frames: usize) {
    let frames = (0..frames).map(|number| frame(format, number));
    Pipeline::extract(frames).ordered().store(Writer::create(path, format.clone()).unwrap()).run().unwrap();
}

fn open(path: &Path, mapped: bool) -> Clip {
    // SAFETY: the file is the test's own, and nobody changes it.
    if mapped { unsafe { Clip::map(path) }.unwrap() } else { Clip::open(path).unwrap() }
}

fn frames_of(path: &Path, mapped: bool) -> Vec<Vec<u8>> {
    let report = Pipeline::extract(open(path, mapped)).ordered().collect::<Vec<_>>().run().unwrap();
    report.output.iter().map(|frame| frame.bytes().to_vec()).collect()
}

#[test]
fn what_is_written_is_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    for line in ["YUV4MPEG2 W17 H9", "YUV4MPEG2 W1 H1 Cmono", "YUV4MPEG2 W64 H32 C444 XNOTE=1"] {
        let format = Format::parse(line.as_bytes()).unwrap();
        for count in [0, 1, 50] {
            write_clip(&path, &format, count);
            for mapped in [false, true] {
                assert_eq!(*open(&path, mapped).format(), format);
                let frames = frames_of(&path, mapped);
                assert_eq!(frames.len(), count);
                let differs = |(number, found): (usize, &Vec<u8>)| found != frame(&format, number).bytes();
                assert!(!frames.iter().enumerate().any(differs), "{line}, mapped {mapped}");
            }
        }
    }
}

#[test]
fn scaling_on_many_workers_gives_what_one_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (path, small) = (folder.path().join("clip.y4m"), folder.path().join("small.y4m"));
    let format = Format::new(80, 60).unwrap();
    write_clip(&path, &format, 40);
    let scaler = Scaler::new(&format, 33, 21).unwrap();
    let mut one = scaler.clone();
    let expected: Vec<Vec<u8>> = (0..40).map(|number| one.scale(&frame(&format, number)).bytes().to_vec()).collect();
    let out = Writer::create(&small, scaler.format().clone()).unwrap();
    let report = Pipeline::extract(open(&path, true))
        .map_init(|| Ok::<_, FormatError>(scaler.clone()), |scaler, frame| scaler.scale(&frame))
        .ordered()
        .store(out)
        .run()
        .unwrap();
    assert!(report.peak_mapped_bytes > 0);
    assert_eq!(frames_of(&small, false), expected);
}

#[test]
fn frame_headers_may_say_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    std::fs::write(&path, b"YUV4MPEG2 W2 H1 Cmono\nFRAME\nabFRAME Ixyz\ncd").unwrap();
    for mapped in [false, true] {
        assert_eq!(frames_of(&path, mapped), [b"ab", b"cd"]);
    }
}

fn failure_of(bytes: &[u8], mapped: bool) -> (usize, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    std::fs::write(&path, bytes).unwrap();
    let report = Pipeline::extract(open(&path, mapped)).on_error(OnError::collect()).collect::<Vec<_>>().run().unwrap();
    (report.output.len(), report.failures.iter().map(|failure| failure.message.clone()).collect())
}

#[test]
fn a_frame_that_is_cut_off_and_bytes_that_are_none_are_failures() {
    for mapped in [false, true] {
        let (frames, message) = failure_of(b"YUV4MPEG2 W2 H1 Cmono\nFRAME\nabFRAME\nc", mapped);
        assert!(frames == 1 && message.ends_with("at byte 30: the file ends 7 bytes into a frame"), "{message}");
        let (frames, message) = failure_of(b"YUV4MPEG2 W2 H1 Cmono\nFRAME\nabcdeFRAME\nxy", mapped);
        assert!(frames == 1 && message.ends_with("at byte 30: `FRAME` does not follow"), "{message}");
        let endless = [b"YUV4MPEG2 W2 H1 Cmono\nFRAME ".to_vec(), vec![b'x'; 10_000]].concat();
        assert!(failure_of(&endless, mapped).1.contains("a header line does not end"));
    }
}

#[test]
fn what_is_no_video_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        format!("{:?}", Clip::open(&path).unwrap_err())
    };
    assert!(refused(b"").contains("it is empty"));
    assert!(refused(b"RIFF....AVI LIST").contains("`YUV4MPEG2` does not follow"));
    assert!(refused(b"YUV4MPEG2 W2 H1 C420p12\n").contains("`420p12` is not supported"));
    assert!(refused(&[b'Y'; 9_000]).contains("does not follow"));
    assert!(Clip::open("/no/such/clip").unwrap_err().to_string().contains("could not open `/no/such/clip`"));
}

#[test]
fn a_file_that_was_not_completed_has_not_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    let format = Format::new(4, 4).unwrap();
    let run = |frames: Vec<Frame>, token: &CancelToken| -> Result<(), Error> {
        let out = Writer::create(&path, format.clone()).unwrap();
        Pipeline::extract(frames.into_iter()).cancel_token(token).ordered().store(out).run().map(drop)
    };
    let token = CancelToken::new();
    token.cancel();
    assert!(run(vec![frame(&format, 0)], &token).is_err());
    let odd = Frame::from(vec![1, 2, 3]);
    let error = run(vec![frame(&format, 0), odd], &CancelToken::new()).unwrap_err();
    assert_eq!(error.position(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
    run(vec![frame(&format, 0)], &CancelToken::new()).unwrap();
    assert_eq!(frames_of(&path, false).len(), 1);
    assert!(Writer::create(folder.path().join("no/such/folder"), format.clone()).is_err());
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    // What is written to `full.part` goes nowhere.
    if std::os::unix::fs::symlink("/dev/full", folder.path().join("full.part")).is_err() {
        return;
    }
    let format = Format::new(640, 480).unwrap();
    let frames: Vec<Frame> = (0..20).map(|number| frame(&format, number)).collect();
    let out = Writer::create(&path, format).unwrap();
    let error = Pipeline::extract(frames.into_iter()).ordered().store(out).run().unwrap_err();
    assert!(format!("{error:?}").contains("No space left"), "{error:?}");
    assert!(!path.exists());
}
