//! The modelled AWS, and what runs the real functions against it: in process, and end to end.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod inside;
pub mod world;
