//! Promises of the crate, one module each.

mod bombs;
mod damage;
mod folders;
mod kinds;
mod likeness;
mod made;
mod orientation;
