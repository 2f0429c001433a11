//! Every test that runs a function against the modelled AWS.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod bad_input;
mod cluster_template;
mod drainer_permissions;
mod end_to_end;
mod exploration;
mod iam;
mod lessons;
mod machines;
mod permissions;
mod replicator;
mod reports;
mod template;
mod world;
