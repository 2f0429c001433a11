//! Every test that runs a function against the modelled AWS.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

mod replicator;
mod world;
