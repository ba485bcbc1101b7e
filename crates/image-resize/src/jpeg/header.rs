//! The segments before the pixels.

use crate::error::Problem;
use crate::exif::{self, Orientation};

/// What the segments up to the first scan say.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// As stored, first the brightness.
    pub components: Vec<Component>,
    /// How to turn it for the viewer.
    pub orientation: Orientation,
    /// By destination and in the order of the file, which is diagonal.
    pub quantization: [Option<[u16; 64]>; 4],
    /// Huffman codes of first coefficients, by destination.
    pub dc: [Option<Codes<'a>>; 4],
    /// Huffman codes of the others.
    pub ac: [Option<Codes<'a>>; 4],
    /// Units of the scan between two restart markers; 0 for none.
    pub restart_interval: usize,
    /// Everything after the header of the first scan.
    pub scan: &'a [u8],
    coding: Coding,
    /// Components of the first scan.
    n_scanned: usize,
    has_jfif: bool,
    adobe_transform: Option<u8>,
    /// Number and contents.
    profile_parts: Vec<(u8, &'a [u8])>,
}

/// A component of the frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    id: u8,
    /// Blocks in a unit of the scan, across and down.
    pub sampling: (u32, u32),
    pub quantization: usize,
    pub dc: usize,
    pub ac: usize,
}

/// A Huffman table as it is stored: how many codes have 1 to 16 bits, and their symbols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes<'a> {
    pub counts: &'a [u8],
    pub symbols: &'a [u8],
}

/// Markers of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Huffman, sequential, 8 bits.
    Plain,
    /// Huffman, progressive.
    Progressive,
    Other,
}

const TRUNCATED: Problem = Problem::Truncated;

fn corrupt(what: &str) -> Problem {
    Problem::Corrupt(format!("JPEG: {what}"))
}

impl<'a> Header<'a> {
    /// Reads up to the first scan.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Problem> {
        let mut header = Header::empty();
        let mut rest = bytes.get(2..).ok_or(TRUNCATED)?;
        loop {
            let marker;
            (marker, rest) = next_marker(rest)?;
            // Without a length.
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                continue;
            }
            if marker == 0xd9 {
                return Err(corrupt("it has no pixels"));
            }
            let (length, _) = rest.split_first_chunk::<2>().ok_or(TRUNCATED)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let segment = rest.get(..length).ok_or(TRUNCATED)?.get(2..).ok_or_else(|| corrupt("an empty segment"))?;
            rest = &rest[length..];
            if marker == 0xda {
                header.read_scan(segment)?;
                header.scan = rest;
                return Ok(header);
            }
            header.read_segment(marker, segment)?;
        }
    }

    fn empty() -> Self {
        Header {
            width: 0,
            height: 0,
            components: Vec::new(),
            orientation: Orientation::default(),
            quantization: [None; 4],
            dc: [None; 4],
            ac: [None; 4],
            restart_interval: 0,
            scan: &[],
            coding: Coding::Other,
            n_scanned: 0,
            has_jfif: false,
            adobe_transform: None,
            profile_parts: Vec::new(),
        }
    }

    fn read_segment(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), Problem> {
        match marker {
            0xc4 => self.read_codes(segment),
            // Not a frame: JPG and DAC.
            0xc8 | 0xcc => Ok(()),
            0xc0..=0xcf => self.read_frame(marker, segment),
            0xdb => self.read_quantization(segment),
            0xdd => {
                let interval = segment.first_chunk().ok_or_else(|| corrupt("a short restart interval"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(*interval));
                Ok(())
            }
            0xe0 => {
                self.has_jfif |= segment.starts_with(b"JFIF\0");
                Ok(())
            }
            0xe1 => {
                if let Some(tiff) = segment.strip_prefix(b"Exif\0\0") {
                    self.orientation = exif::orientation(tiff).unwrap_or_default();
                }
                Ok(())
            }
            0xe2 => {
                // Number, how many there are, contents.
                if let Some([number, _, part @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile_parts.push((*number, part));
                }
                Ok(())
            }
            0xee => {
                if let Some(adobe) = segment.strip_prefix(b"Adobe") {
                    self.adobe_transform = adobe.get(6).copied();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), Problem> {
        let &[bits, h1, h0, w1, w0, n, ref components @ ..] = segment else { return Err(corrupt("a short frame")) };
        if !self.components.is_empty() {
            return Err(corrupt("two frames"));
        }
        self.coding = match (marker, bits) {
            (0xc0 | 0xc1, 8) => Coding::Plain,
            (0xc2, _) => Coding::Progressive,
            _ => Coding::Other,
        };
        (self.width, self.height) = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        if self.width == 0 || self.height == 0 {
            return Err(corrupt("a frame without pixels"));
        }
        let stored = components.get(..3 * usize::from(n)).ok_or_else(|| corrupt("a short frame"))?;
        for &[id, sampling, quantization] in stored.as_chunks().0 {
            let sampling = (u32::from(sampling >> 4), u32::from(sampling & 15));
            if !(1..=4).contains(&sampling.0) || !(1..=4).contains(&sampling.1) || quantization > 3 {
                return Err(corrupt("a component that cannot be"));
            }
            let quantization = usize::from(quantization);
            self.components.push(Component { id, sampling, quantization, dc: 0, ac: 0 });
        }
        if self.components.is_empty() {
            return Err(corrupt("a frame without components"));
        }
        Ok(())
    }

    fn read_quantization(&mut self, mut segment: &[u8]) -> Result<(), Problem> {
        while let Some((&kind, rest)) = segment.split_first() {
            let bytes = if kind >> 4 == 0 { 64 } else { 128 };
            let (values, rest) = rest.split_at_checked(bytes).ok_or_else(|| corrupt("a short quantization table"))?;
            let mut table = [0; 64];
            for (index, value) in table.iter_mut().enumerate() {
                *value = match bytes {
                    64 => u16::from(values[index]),
                    _ => u16::from_be_bytes([values[2 * index], values[2 * index + 1]]),
                };
            }
            *self.quantization.get_mut(usize::from(kind & 15)).ok_or_else(|| corrupt("a fifth table"))? = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn read_codes(&mut self, mut segment: &'a [u8]) -> Result<(), Problem> {
        while let Some((&kind, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_at_checked(16).ok_or_else(|| corrupt("a short Huffman table"))?;
            let n: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(n).ok_or_else(|| corrupt("a short Huffman table"))?;
            let tables = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(kind & 15)).ok_or_else(|| corrupt("a fifth table"))?;
            *table = Some(Codes { counts, symbols });
            segment = rest;
        }
        Ok(())
    }

    fn read_scan(&mut self, segment: &[u8]) -> Result<(), Problem> {
        if self.components.is_empty() {
            return Err(corrupt("a scan before the frame"));
        }
        let (&n, rest) = segment.split_first().ok_or_else(|| corrupt("a short scan header"))?;
        self.n_scanned = usize::from(n);
        let stored = rest.get(..2 * self.n_scanned).ok_or_else(|| corrupt("a short scan header"))?;
        for selected in stored.chunks_exact(2) {
            let component = self.components.iter_mut().find(|component| component.id == selected[0]);
            let component = component.ok_or_else(|| corrupt("a scan of an unknown component"))?;
            (component.dc, component.ac) = (usize::from(selected[1] >> 4), usize::from(selected[1] & 15));
        }
        Ok(())
    }

    /// Whether [`Decoder`](super::Decoder) can decode it.
    pub(crate) fn is_direct(&self) -> bool {
        let is_known = match self.components.len() {
            1 => true,
            3 => self.is_ycc(),
            _ => false,
        };
        self.coding == Coding::Plain && is_known && self.n_scanned == self.components.len()
    }

    /// Whether it is sequential, and its components follow one another.
    pub(crate) fn is_scan_by_scan(&self) -> bool {
        self.coding != Coding::Progressive && self.n_scanned < self.components.len()
    }

    /// Whether three components are brightness and two colours, not red, green and blue.
    fn is_ycc(&self) -> bool {
        match self.adobe_transform {
            Some(transform) => transform == 1,
            None => self.has_jfif || !self.components.iter().map(|component| component.id).eq(*b"RGB"),
        }
    }

    /// The colour profile, if all its parts are there.
    pub(crate) fn profile(&self) -> Option<Vec<u8>> {
        let mut parts = self.profile_parts.clone();
        parts.sort_by_key(|(number, _)| *number);
        let is_whole = parts.iter().map(|(number, _)| usize::from(*number)).eq(1..=parts.len());
        (is_whole && !parts.is_empty()).then(|| parts.iter().flat_map(|(_, part)| *part).copied().collect())
    }
}

/// The marker that comes next, and what follows it. Bytes that are none are passed over, as others do.
fn next_marker(mut bytes: &[u8]) -> Result<(u8, &[u8]), Problem> {
    loop {
        let start = memchr::memchr(0xff, bytes).ok_or(TRUNCATED)?;
        bytes = &bytes[start + 1..];
        match bytes.split_first() {
            None => return Err(TRUNCATED),
            Some((0x00 | 0xff, _)) => {}
            Some((&marker, rest)) => return Ok((marker, rest)),
        }
    }
}
