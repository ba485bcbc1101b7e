//! What the larger example programs are made of, in a library so that it can be tested.
//!
//! The programs themselves are in `examples/`: run one with `cargo run --release --example NAME`.
//!
//! | program | shows |
//! | --- | --- |
//! | `quickstart` | a pipeline in a few lines |
//! | `ordered_words` | parallel work whose results come out in order |
//! | `custom_stage` | a source, a per-worker state and a store of one's own |
//! | `flights` | CSV in, SQLite out: [`flights`] |
//! | `word_count` | the most frequent words of a text: what workers have counted is merged in parts |
//! | `brc` | the One Billion Row Challenge: a table per worker, merged at the end |
//! | `hash_tree` | checksums of trees and huge files: [`hash_tree`] |
//! | `frames` | raw video scaled frame by frame, in order |
//! | `compress` | blocks of a stream compressed on every core, written in order: [`compress`] |
//! | `resize_folder` | thumbnails of a folder of images; what is broken is noted: [`resize_folder`] |
//! | `sqrt_sum` | a sum with the same bits whoever adds what: [`sqrt_sum`] |

pub mod bar;
pub mod compress;
pub mod flights;
pub mod hash_tree;
pub mod program;
pub mod resize_folder;
pub mod sqrt_sum;
pub mod text;
pub mod values;
