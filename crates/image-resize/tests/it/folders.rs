//! Folders: names, mirrors, what is in the way.

use crate::made::{corners, plain_jpeg, png, webp};
use gristmill_image_resize::{Format, Images, Limits, Options, Problem, Resizer, WalkError};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Resizes a folder: the outputs, and the problems by the name of the image.
fn run(images: Images, options: &Options) -> (Vec<String>, BTreeMap<String, Problem>) {
    let mut resizer = Resizer::new(options).unwrap();
    let (mut outputs, mut problems) = (Vec::new(), BTreeMap::new());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    for task in images {
        let input = task.input().to_owned();
        match resizer.run(task) {
            Ok(resized) => {
                assert_eq!(resized.input, input);
                assert_eq!(fs::metadata(&resized.output).unwrap().len(), resized.bytes_out);
                outputs.push(name(&resized.output));
            }
            Err(error) => {
                assert_eq!(error.path(), input);
                problems.insert(name(&input), problem_of(&error));
            }
        }
    }
    (outputs, problems)
}

/// A copy, for what is asked of it.
fn problem_of(error: &gristmill_image_resize::ImageError) -> Problem {
    match error.problem() {
        Problem::Empty => Problem::Empty,
        Problem::Unknown => Problem::Unknown,
        Problem::NotAFile => Problem::NotAFile,
        Problem::Loop(path) => Problem::Loop(path.clone()),
        Problem::Collision { output, other } => Problem::Collision { output: output.clone(), other: other.clone() },
        Problem::TooManyBytes { bytes, most } => Problem::TooManyBytes { bytes: *bytes, most: *most },
        other => Problem::Corrupt(other.to_string()),
    }
}

fn image() -> Vec<u8> {
    plain_jpeg(&corners(64, 48))
}

/// All files below a folder.
fn all(root: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_output_mirrors_the_input_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(input.join("a/b")).unwrap();
    fs::write(input.join("one.JPG"), image()).unwrap();
    fs::write(input.join("a/two.jpeg"), image()).unwrap();
    fs::write(input.join("a/b/really-jpeg.png"), image()).unwrap();
    fs::write(input.join("a/b/broken.jpg"), &image()[..300]).unwrap();
    fs::write(input.join("a/b/empty.png"), "").unwrap();
    fs::write(input.join("notes.txt"), "text").unwrap();
    let options = Options::new(16);
    let (outputs, problems) = run(Images::walk(&input, &output, &options).unwrap(), &options);
    assert_eq!(outputs, ["really-jpeg.png", "two.jpeg", "one.JPG"]);
    assert_eq!(all(&output), ["a/b/really-jpeg.png", "a/two.jpeg", "one.JPG"]);
    assert!(matches!(problems["empty.png"], Problem::Empty));
    assert_eq!(problems.len(), 2);
    let every = Images::walk(&input, &output, &options).unwrap().every_file();
    assert!(matches!(run(every, &options).1["notes.txt"], Problem::Unknown));
}

#[test]
fn outputs_of_the_same_name_are_an_error_of_the_later() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&input).unwrap();
    let scene = corners(64, 48);
    fs::write(input.join("a.jpg"), image()).unwrap();
    fs::write(input.join("a.png"), png(64, 48, png::ColorType::Rgb, png::BitDepth::Eight, &scene.pixels)).unwrap();
    fs::write(input.join("b.webp"), webp(&scene)).unwrap();
    let options = Options::new(16).format(Format::Jpeg);
    let (outputs, problems) = run(Images::walk(&input, &output, &options).unwrap(), &options);
    assert_eq!(outputs, ["a.jpg", "b.jpg"]);
    assert!(matches!(&problems["a.png"], Problem::Collision { other, .. } if *other == input.join("a.jpg")));
    let kept = Options::new(16);
    assert_eq!(run(Images::walk(&input, &output, &kept).unwrap(), &kept).0, ["a.jpg", "a.png", "b.webp"]);
}

#[test]
fn an_output_inside_the_input_is_not_walked_and_the_input_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path();
    fs::write(input.join("a.jpg"), image()).unwrap();
    let options = Options::new(16);
    for _ in 0..2 {
        let images = Images::walk(input, input.join("small"), &options).unwrap();
        assert_eq!(run(images, &options).0, ["a.jpg"]);
    }
    assert_eq!(all(input), ["a.jpg", "small/a.jpg"]);
    let refused = Images::walk(input, input.join("small/.."), &options).unwrap_err();
    assert!(matches!(refused, WalkError::OwnInput(_)));
    let refused = Images::walk(input.join("a.jpg"), input, &options).unwrap_err();
    assert!(matches!(refused, WalkError::OwnInput(_)));
    assert_eq!(fs::read(input.join("a.jpg")).unwrap(), image());
}

#[test]
fn one_image_is_a_folder_of_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("picture"), image()).unwrap();
    let options = Options::new(16);
    let images = Images::walk(folder.path().join("picture"), folder.path().join("out"), &options).unwrap();
    assert_eq!(run(images, &options).0, ["picture"]);
}

#[test]
fn what_is_not_there_or_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(16);
    let error = Images::walk(folder.path().join("nothing"), folder.path().join("out"), &options).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    assert!(!folder.path().join("out").exists());
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Images::walk(folder.path(), folder.path().join("file"), &options).unwrap_err();
    assert!(matches!(error, WalkError::Output { .. }), "{error}");
}

#[test]
fn a_file_of_too_many_bytes_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("a.jpg"), image()).unwrap();
    let bytes = image().len() as u64;
    for (file_bytes, is_refused) in [(bytes, false), (bytes - 1, true)] {
        let options = Options::new(16).limits(Limits { file_bytes, ..Limits::default() });
        let (_, problems) = run(Images::walk(&input, folder.path().join("out"), &options).unwrap(), &options);
        assert_eq!(matches!(problems.get("a.jpg"), Some(Problem::TooManyBytes { .. })), is_refused);
    }
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    fs::write(input.join("a.jpg"), image()).unwrap();
    // A folder has the name.
    fs::create_dir_all(output.join("a.jpg/more")).unwrap();
    let options = Options::new(16);
    let (outputs, problems) = run(Images::walk(&input, &output, &options).unwrap(), &options);
    assert!(outputs.is_empty());
    assert!(problems["a.jpg"].to_string().contains("could not write"), "{}", problems["a.jpg"]);
    assert!(all(&output).is_empty());
}

#[cfg(unix)]
#[test]
fn links_are_passed_over_or_followed_and_loops_are_errors() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(input.join("a")).unwrap();
    fs::write(folder.path().join("elsewhere.jpg"), image()).unwrap();
    symlink(folder.path().join("elsewhere.jpg"), input.join("link.jpg")).unwrap();
    symlink(&input, input.join("a/again")).unwrap();
    let options = Options::new(16);
    let (outputs, problems) = run(Images::walk(&input, &output, &options).unwrap(), &options);
    assert!(outputs.is_empty() && problems.is_empty());
    let images = Images::walk(&input, &output, &options).unwrap().follow_links();
    let (outputs, problems) = run(images, &options);
    assert_eq!(outputs, ["link.jpg"]);
    assert!(matches!(problems["again"], Problem::Loop(_)));
}
