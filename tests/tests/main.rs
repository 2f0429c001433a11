//! Every test that runs a function against the modelled AWS.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod end_to_end;
mod permissions;
mod replicator;
mod template;
mod world;
