//! Huffman codes, decoded by tables.
//!
//! A symbol says how many coefficients are zero before the next, and how many bits that has. They follow the code.

use super::bits::Bits;
use super::header::Codes;
use crate::error::Problem;

/// Bits that find a code at once; longer ones are rare.
const LOOKUP_BITS: u32 = 10;
/// Bits that find all codes in them at once.
const SKIP_BITS: u32 = 12;

/// A table of codes.
#[derive(Debug)]
pub(super) struct Table {
    /// By the next bits: the length of the code above the symbol; 0 if it is longer.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// For each length: the first 16 bits that are beyond its codes.
    ends: [u32; 17],
    /// For each length: what to add to a code to get the place of its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

/// A table that steps over as many coefficients as the next bits hold.
#[derive(Debug)]
pub(super) struct SkipTable {
    /// By the next bits; 0 if the code is longer.
    steps: [Step; 1 << SKIP_BITS],
}

/// Bits, coefficients, and whether the block ends: 5, 7 and 1 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Step(u16);

const BAD_TABLE: &str = "JPEG: a Huffman table that cannot be";
const BAD_CODE: &str = "JPEG: bits that are no code";

/// The symbol of sixteen zeros and no number.
const SIXTEEN: u8 = 0xf0;

impl Default for Table {
    fn default() -> Self {
        Table { lookup: [0; 1 << LOOKUP_BITS], ends: [0; 17], offsets: [0; 17], symbols: [0; 256] }
    }
}

impl Default for SkipTable {
    fn default() -> Self {
        SkipTable { steps: [Step(0); 1 << SKIP_BITS] }
    }
}

impl Table {
    /// Reads a table as it is stored.
    pub(super) fn fill(&mut self, codes: Codes<'_>) -> Result<(), Problem> {
        let bad = || Problem::Corrupt(BAD_TABLE.to_owned());
        if codes.symbols.len() > 256 {
            return Err(bad());
        }
        self.symbols[..codes.symbols.len()].copy_from_slice(codes.symbols);
        self.lookup.fill(0);
        let (mut code, mut place) = (0u32, 0u32);
        for (length, &count) in (1u32..).zip(codes.counts) {
            self.offsets[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return Err(bad());
                }
                if length <= LOOKUP_BITS {
                    let first = (code << (LOOKUP_BITS - length)) as usize;
                    let entry = (length as u16) << 8 | u16::from(self.symbols[place as usize]);
                    self.lookup[first..first + (1 << (LOOKUP_BITS - length))].fill(entry);
                }
                (code, place) = (code + 1, place + 1);
            }
            self.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(())
    }

    /// The next symbol, and steps over its code. Needs 16 bits ready.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Problem> {
        let entry = self.lookup[bits.peek::<LOOKUP_BITS>()];
        let (length, symbol) = if entry != 0 { (u32::from(entry >> 8), entry as u8) } else { self.long(bits)? };
        bits.skip(length);
        Ok(symbol)
    }

    #[cold]
    #[inline(never)]
    fn long(&self, bits: &Bits<'_>) -> Result<(u32, u8), Problem> {
        self.find(bits.peek::<16>() as u32, 16).ok_or_else(|| Problem::Corrupt(BAD_CODE.to_owned()))
    }

    /// The code at the high end of 16 bits, if it is not longer than so many of them.
    fn find(&self, sixteen: u32, most: u32) -> Option<(u32, u8)> {
        let length = (1..=most).find(|&length| sixteen < self.ends[length as usize])?;
        let place = (sixteen >> (16 - length)) as i32 + self.offsets[length as usize];
        Some((length, self.symbols[usize::try_from(place).ok()?]))
    }
}

impl SkipTable {
    /// Makes the table for the same codes.
    pub(super) fn fill(&mut self, table: &Table) {
        for (index, step) in self.steps.iter_mut().enumerate() {
            *step = Step::of(table, (index as u32) << (16 - SKIP_BITS));
        }
    }

    /// Steps over the rest of a block, whose next coefficient is `k`.
    #[inline(always)]
    pub(super) fn skip_block(&self, table: &Table, mut k: usize, bits: &mut Bits<'_>) -> Result<(), Problem> {
        while k < 64 {
            if bits.n_ready() < 32 {
                bits.refill();
            }
            let step = self.steps[bits.peek::<SKIP_BITS>()];
            // What follows the last coefficient belongs to another block, and to another table.
            if step != Step(0) && k + step.coefficients() < 64 {
                bits.skip(step.bits());
                k += step.coefficients();
                if step.ends() {
                    return Ok(());
                }
                continue;
            }
            match table.symbol(bits)? {
                SIXTEEN => k += 16,
                symbol if symbol & 15 == 0 => return Ok(()),
                symbol => {
                    bits.skip(u32::from(symbol & 15));
                    k += usize::from(symbol >> 4) + 1;
                }
            }
        }
        check_end(k)
    }
}

/// Reads coefficients up to the last that is wanted, in the order of the file and multiplied by the quantization table.
/// Tells where the rest of the block begins, 64 if it has none, and whether any was not zero.
#[inline(always)]
pub(super) fn read_block(
    table: &Table,
    last: usize,
    quantization: &[i32; 64],
    block: &mut [i32; 64],
    bits: &mut Bits<'_>,
) -> Result<(usize, bool), Problem> {
    let (mut k, mut is_any) = (1, false);
    while k <= last {
        if bits.n_ready() < 32 {
            bits.refill();
        }
        let symbol = table.symbol(bits)?;
        let n = u32::from(symbol & 15);
        if n == 0 {
            if symbol != SIXTEEN {
                return Ok((64, is_any));
            }
            k += 16;
            continue;
        }
        k += usize::from(symbol >> 4);
        let number = bits.number(n);
        if k <= last {
            block[k & 63] = number.wrapping_mul(quantization[k & 63]);
            is_any = true;
        }
        k += 1;
    }
    check_end(k)?;
    Ok((k, is_any))
}

/// A run of zeros must not lead out of the block.
fn check_end(k: usize) -> Result<(), Problem> {
    if k <= 64 { Ok(()) } else { Err(Problem::Corrupt("JPEG: a block of more than 64 coefficients".to_owned())) }
}

impl Step {
    /// What can be stepped over if these are the next bits, of which only the first are known.
    fn of(table: &Table, sixteen: u32) -> Step {
        let (mut used, mut coefficients) = (0, 0);
        while used < SKIP_BITS {
            let Some((length, symbol)) = table.find(sixteen << used & 0xffff, SKIP_BITS - used) else { break };
            if symbol & 15 == 0 && symbol != SIXTEEN {
                return Step::new(used + length, coefficients, true);
            }
            let more = if symbol == SIXTEEN { 16 } else { u32::from(symbol >> 4) + 1 };
            if coefficients + more >= 64 {
                break;
            }
            coefficients += more;
            used += length + u32::from(symbol & 15);
        }
        Step::new(used, coefficients, false)
    }

    fn new(bits: u32, coefficients: u32, ends: bool) -> Self {
        Step((bits << 8 | coefficients << 1 | u32::from(ends)) as u16)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self.0 >> 8)
    }

    #[inline(always)]
    fn coefficients(self) -> usize {
        usize::from(self.0 >> 1 & 0x7f)
    }

    #[inline(always)]
    fn ends(self) -> bool {
        self.0 & 1 == 1
    }
}
