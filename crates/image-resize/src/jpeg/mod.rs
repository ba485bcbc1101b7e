//! JPEG, decoded no larger than needed.
//!
//! A JPEG is a grid of 8 × 8 blocks, each of which is a sum of 64 cosines. The n × n slowest of them are the block at
//! n × n pixels: nothing is made that a filter would have to take away again, and the other coefficients are only stepped
//! over. Each component has an n of its own, as a colour that is stored at half the size needs no further reduction.
//!
//! ```text
//!  header::Header     bits::unstuff     scan::Decoder
//! ┌───────────────┐   ┌────────────┐   ┌─────────────────────────────────┐ Planes
//! │ segments up   │══▶│ bytes of   │══▶│ huffman: coefficients we want,  │═══════▶
//! │ to the scan   │   │ an interval│   │ a table that skips the others   │
//! └───────────────┘   └────────────┘   │ inverse: n × n pixels of a block│
//!                                      └─────────────────────────────────┘
//! ```
//!
//! Only what cameras write is done here: Huffman, sequential, 8 bits, grey or YCbCr, all components in one scan. The rest
//! (progressive, CMYK, RGB, scan by scan) is decoded in full by `zune-jpeg`; see [`is_direct`](header::Header::is_direct).

mod bits;
pub(crate) mod header;
mod huffman;
mod inverse;
mod scan;

pub(crate) use header::Header;
pub(crate) use scan::Decoder;
