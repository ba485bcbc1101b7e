//! Turning and mirroring.

use crate::exif::Orientation;
use crate::picture::{Picture, Plane};

/// Turns a picture as the viewer should see it. `spare` is a buffer.
pub(crate) fn turn(picture: &mut Picture, orientation: Orientation, spare: &mut Vec<u8>) {
    if orientation == Orientation::default() {
        return;
    }
    let n = picture.layout.n_planes();
    for plane in &mut picture.planes[..n] {
        match plane.channels {
            1 => turn_plane::<1>(plane, orientation, spare),
            2 => turn_plane::<2>(plane, orientation, spare),
            3 => turn_plane::<3>(plane, orientation, spare),
            _ => turn_plane::<4>(plane, orientation, spare),
        }
    }
}

fn turn_plane<const N: usize>(plane: &mut Plane, orientation: Orientation, spare: &mut Vec<u8>) {
    let (width, height) = (plane.width as usize, plane.height as usize);
    let (across, down) = if orientation.is_on_its_side() { (height, width) } else { (width, height) };
    let (from, _) = plane.data.as_chunks::<N>();
    spare.clear();
    for y in 0..down {
        for x in 0..across {
            let (x, y) = match orientation.quarters {
                0 => (x, y),
                1 => (y, height - 1 - x),
                2 => (width - 1 - x, height - 1 - y),
                _ => (width - 1 - y, x),
            };
            let x = if orientation.is_mirrored { width - 1 - x } else { x };
            spare.extend_from_slice(&from[y * width + x]);
        }
    }
    std::mem::swap(&mut plane.data, spare);
    (plane.width, plane.height) = (across as u32, down as u32);
    plane.extent = (across as f64, down as f64);
}
