//! Every story that runs a function against the modelled AWS, and the model's own tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod alerts;
mod backups;
mod bad_input;
mod drains;
mod exploration;
mod instances;
mod lessons;
mod neo4j;
mod replicator;
mod reports;
mod updates;
mod world;
