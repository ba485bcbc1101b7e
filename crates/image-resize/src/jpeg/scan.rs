//! From the bits of a scan to planes of pixels.

use super::bits::{self, Bits};
use super::header::{Component, Header};
use super::huffman::{SkipTable, Table, read_block};
use super::inverse::{Basis, four_pixels, last_place, one_pixel};
use crate::error::Problem;
use crate::picture::Plane;

/// Decodes scans. Keeps its tables and its buffer for the next.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    tables: Box<Tables>,
    four: Basis<4>,
    eight: Basis<8>,
    /// The bytes of an interval.
    interval: Vec<u8>,
}

#[derive(Debug, Default)]
struct Tables {
    dc: [Table; 4],
    ac: [Table; 4],
    skip: [SkipTable; 4],
}

/// A component at the size that it is wanted.
#[derive(Debug)]
struct Channel {
    /// Pixels across and down a block.
    n: usize,
    quantization: [i32; 64],
    dc: usize,
    ac: usize,
    /// Blocks in a unit, across and down.
    blocks: (usize, usize),
    /// Pixels in a row of the plane.
    stride: usize,
    /// The first coefficient of the block before.
    before: i32,
}

impl Decoder {
    /// Decodes into planes, one for each component, that are at least so many pixels wide and high unless the picture is
    /// smaller. `most` is the bound on their bytes.
    ///
    /// # Errors
    ///
    /// When the bits are damaged or end too soon, or the planes would be too large.
    pub(crate) fn decode(
        &mut self,
        header: &Header<'_>,
        wanted: (f64, f64),
        most: usize,
        planes: &mut [Plane; 3],
    ) -> Result<(), Problem> {
        let units = unit_counts(header);
        let mut channels = Vec::with_capacity(3);
        let mut bytes = 0;
        for (component, plane) in header.components.iter().zip(planes.iter_mut()) {
            let channel = Channel::new(header, component, units.0, wanted)?;
            plane.lay_out(header, component, &channel, units);
            bytes += plane.bytes();
            channels.push(channel);
        }
        if bytes > most {
            return Err(Problem::TooManyBytes { bytes: bytes as u64, most: most as u64 });
        }
        planes.iter_mut().take(channels.len()).for_each(Plane::allocate);
        self.fill_tables(header, &channels)?;
        self.read(header, units, &mut channels, planes)
    }

    fn fill_tables(&mut self, header: &Header<'_>, channels: &[Channel]) -> Result<(), Problem> {
        let missing = || Problem::Corrupt("JPEG: a Huffman table is missing".to_owned());
        let tables = &mut *self.tables;
        for (index, channel) in channels.iter().enumerate() {
            let (dc, ac) = (channel.dc, channel.ac);
            tables.dc.get_mut(dc).ok_or_else(missing)?.fill(header.dc[dc].ok_or_else(missing)?)?;
            // Two components mostly share one, which takes longest to fill.
            if channels[..index].iter().any(|other| other.ac == ac) {
                continue;
            }
            tables.ac.get_mut(ac).ok_or_else(missing)?.fill(header.ac[ac].ok_or_else(missing)?)?;
            tables.skip[ac].fill(&tables.ac[ac]);
        }
        Ok(())
    }

    /// Interval by interval.
    fn read(
        &mut self,
        header: &Header<'_>,
        units: (usize, usize),
        channels: &mut [Channel],
        planes: &mut [Plane; 3],
    ) -> Result<(), Problem> {
        let n_units = units.0 * units.1;
        let length = if header.restart_interval == 0 { n_units } else { header.restart_interval };
        let mut scan = header.scan;
        let mut interval = std::mem::take(&mut self.interval);
        let mut first = 0;
        let done = loop {
            let (marker, rest) = bits::unstuff(scan, &mut interval);
            let end = n_units.min(first + length);
            if let Err(problem) = self.read_interval(&interval, first..end, units.0, channels, planes) {
                break Err(problem);
            }
            if end == n_units {
                break Ok(());
            }
            match marker {
                Some(0xd0..=0xd7) => (scan, first) = (rest, end),
                Some(_) => break Err(Problem::Corrupt("JPEG: a restart marker is missing".to_owned())),
                None => break Err(Problem::Truncated),
            }
        };
        self.interval = interval;
        done
    }

    fn read_interval(
        &self,
        bytes: &[u8],
        units: std::ops::Range<usize>,
        units_across: usize,
        channels: &mut [Channel],
        planes: &mut [Plane; 3],
    ) -> Result<(), Problem> {
        let mut bits = Bits::new(bytes);
        channels.iter_mut().for_each(|channel| channel.before = 0);
        let (mut row, mut column) = (units.start / units_across, units.start % units_across);
        for _ in units {
            for (channel, plane) in channels.iter_mut().zip(planes.iter_mut()) {
                self.read_unit(channel, (row, column), &mut plane.data, &mut bits)?;
            }
            column += 1;
            if column == units_across {
                (row, column) = (row + 1, 0);
                if bits.is_overdrawn() {
                    return Err(Problem::Truncated);
                }
            }
        }
        if bits.is_overdrawn() { Err(Problem::Truncated) } else { Ok(()) }
    }

    /// The blocks of a component in a unit.
    #[inline(always)]
    fn read_unit(
        &self,
        channel: &mut Channel,
        place: (usize, usize),
        plane: &mut [u8],
        bits: &mut Bits<'_>,
    ) -> Result<(), Problem> {
        match channel.n {
            1 => self.read_blocks(channel, place, plane, bits, |block, _| [[one_pixel(block)]]),
            2 => self.read_blocks(channel, place, plane, bits, |block, _| four_pixels(block)),
            4 => self.read_blocks(channel, place, plane, bits, |block, is_flat| {
                if is_flat { [[one_pixel(block); 4]; 4] } else { self.four.pixels(block) }
            }),
            _ => self.read_blocks(channel, place, plane, bits, |block, is_flat| {
                if is_flat { [[one_pixel(block); 8]; 8] } else { self.eight.pixels(block) }
            }),
        }
    }

    /// The same for a size that the compiler knows. `pixels` gets the coefficients, and whether all but the first are zero.
    #[inline(always)]
    fn read_blocks<const N: usize>(
        &self,
        channel: &mut Channel,
        (row, column): (usize, usize),
        plane: &mut [u8],
        bits: &mut Bits<'_>,
        pixels: impl Fn(&[i32; 64], bool) -> [[u8; N]; N],
    ) -> Result<(), Problem> {
        let (across, down) = channel.blocks;
        // Only what is read from it has to be cleared.
        let mut block = [0; 64];
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                let is_flat = self.read_block(channel, last_place(N), &mut block, bits)?;
                let at = (y * channel.stride + x) * N;
                for (y, pixels) in pixels(&block, is_flat).iter().enumerate() {
                    plane[at + y * channel.stride..][..N].copy_from_slice(pixels);
                }
                block[..=last_place(N)].fill(0);
            }
        }
        Ok(())
    }

    /// Reads the coefficients that are wanted, and tells whether all but the first are zero.
    #[inline(always)]
    fn read_block(
        &self,
        channel: &mut Channel,
        last: usize,
        block: &mut [i32; 64],
        bits: &mut Bits<'_>,
    ) -> Result<bool, Problem> {
        let (dc, ac) = (&self.tables.dc[channel.dc & 3], &self.tables.ac[channel.ac & 3]);
        bits.refill();
        let n = dc.symbol(bits)?;
        if n > 15 {
            return Err(Problem::Corrupt("JPEG: a number of more than 15 bits".to_owned()));
        }
        channel.before = channel.before.wrapping_add(bits.number(n.into()));
        block[0] = channel.before.wrapping_mul(channel.quantization[0]);
        let (k, is_any) = read_block(ac, last, &channel.quantization, block, bits)?;
        if k < 64 {
            self.tables.skip[channel.ac & 3].skip_block(ac, k, bits)?;
        }
        Ok(!is_any)
    }
}

impl Channel {
    fn new(
        header: &Header<'_>,
        component: &Component,
        units_across: usize,
        wanted: (f64, f64),
    ) -> Result<Self, Problem> {
        let missing = || Problem::Corrupt("JPEG: a quantization table is missing".to_owned());
        let n = pixels_of_a_block(component_size(header, component), wanted);
        let quantization = header.quantization[component.quantization].ok_or_else(missing)?.map(i32::from);
        let (across, down) = sampling(header, component);
        let blocks = (across as usize, down as usize);
        Ok(Channel {
            n,
            quantization,
            dc: component.dc,
            ac: component.ac,
            blocks,
            stride: units_across * blocks.0 * n,
            before: 0,
        })
    }
}

impl Plane {
    /// Takes the size of the blocks of a component.
    fn lay_out(&mut self, header: &Header<'_>, component: &Component, channel: &Channel, units: (usize, usize)) {
        let size = component_size(header, component);
        let scale = channel.n as f64 / 8.0;
        self.channels = 1;
        self.width = channel.stride as u32;
        self.height = (units.1 * channel.blocks.1 * channel.n) as u32;
        self.extent = (size.0 * scale, size.1 * scale);
    }
}

/// Blocks in a unit. If there is only one component, a unit is a block whatever the header says.
fn sampling(header: &Header<'_>, component: &Component) -> (u32, u32) {
    if header.components.len() == 1 { (1, 1) } else { component.sampling }
}

fn largest_sampling(header: &Header<'_>) -> (u32, u32) {
    let all = header.components.iter().map(|component| sampling(header, component));
    all.fold((1, 1), |largest, sampling| (largest.0.max(sampling.0), largest.1.max(sampling.1)))
}

/// Units across and down.
fn unit_counts(header: &Header<'_>) -> (usize, usize) {
    let (across, down) = largest_sampling(header);
    (header.width.div_ceil(8 * across) as usize, header.height.div_ceil(8 * down) as usize)
}

/// How many of a component's pixels the picture covers, which need not be whole ones.
fn component_size(header: &Header<'_>, component: &Component) -> (f64, f64) {
    let (own, largest) = (sampling(header, component), largest_sampling(header));
    let part = |size, own, largest| f64::from(size) * f64::from(own) / f64::from(largest);
    (part(header.width, own.0, largest.0), part(header.height, own.1, largest.1))
}

/// The fewest pixels of a block that are enough.
fn pixels_of_a_block(size: (f64, f64), wanted: (f64, f64)) -> usize {
    let is_enough = |n: &usize| {
        let scale = *n as f64 / 8.0;
        size.0 * scale >= wanted.0 && size.1 * scale >= wanted.1
    };
    [1, 2, 4].into_iter().find(is_enough).unwrap_or(8)
}
