//! The real functions in the modelled AWS, in process and on virtual time, and the explorer of what can go wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod alerts;
pub mod cluster;
pub mod events;
pub mod explore;
pub mod functions;
pub mod gateway;
pub mod schedules;
pub mod stacks;
pub mod time;
pub mod wire;
