//! How a camera was held.

/// The eight ways to turn a picture, as EXIF numbers them: first mirrored left to right or not, then turned clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Left and right are exchanged, before it is turned.
    pub is_mirrored: bool,
    /// Quarters of a full turn, clockwise.
    pub quarters: u8,
}

impl Orientation {
    /// By its number in EXIF.
    fn numbered(number: u16) -> Option<Self> {
        let (is_mirrored, quarters) = match number {
            1 => (false, 0),
            2 => (true, 0),
            3 => (false, 2),
            4 => (true, 2),
            5 => (true, 3),
            6 => (false, 1),
            7 => (true, 1),
            8 => (false, 3),
            _ => return None,
        };
        Some(Orientation { is_mirrored, quarters })
    }

    /// Whether width and height are exchanged.
    pub(crate) fn is_on_its_side(self) -> bool {
        self.quarters % 2 == 1
    }
}

/// The tag of the orientation.
const ORIENTATION: u16 = 0x0112;
/// Numbers of 16 bits.
const SHORT: u16 = 3;

/// The orientation in a block of EXIF, which begins with the header of TIFF. None if there is none, or a damaged one:
/// then the picture is shown as it is stored.
pub(crate) fn orientation(tiff: &[u8]) -> Option<Orientation> {
    let number: fn([u8; 2]) -> u16 = match tiff.get(..4)? {
        b"II*\0" => u16::from_le_bytes,
        b"MM\0*" => u16::from_be_bytes,
        _ => return None,
    };
    let is_little = tiff[0] == b'I';
    let short = |at: usize| Some(number(*tiff.get(at..)?.first_chunk()?));
    let long = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let n = usize::from(short(directory)?);
    let entries = (0..n).map(|index| directory + 2 + 12 * index);
    let entry = entries.take_while(|&at| at < tiff.len()).find(|&at| short(at) == Some(ORIENTATION))?;
    if short(entry + 2)? != SHORT {
        return None;
    }
    Orientation::numbered(short(entry + 8)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LITTLE: &[u8] = b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\0\0\0\0\0\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    const BIG: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x05\0\0";

    #[test]
    fn both_orders_of_bytes_are_read() {
        assert_eq!(orientation(LITTLE), Orientation::numbered(6));
        assert_eq!(orientation(BIG), Orientation::numbered(5));
    }

    #[test]
    fn damage_is_no_orientation() {
        for end in 0..LITTLE.len() - 4 {
            assert_eq!(orientation(&LITTLE[..end]), None, "{end} bytes");
        }
        let mut ninth = BIG.to_vec();
        ninth[19] = 9;
        assert_eq!(orientation(&ninth), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = orientation(&[b"II*\0".as_slice(), &bytes].concat());
            let _ = orientation(&[b"MM\0*".as_slice(), &bytes].concat());
        }
    }
}
