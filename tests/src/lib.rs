//! The modelled AWS, and what runs the real functions against it: in process, and end to end.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod bench;
pub mod cluster;
pub mod discovery_story;
pub mod explore;
pub mod given_zone;
pub mod inside;
pub mod machines;
pub mod narrator;
pub mod operations;
pub mod stage;
pub mod story;
pub mod template;
pub mod variants;
pub mod world;

/// The search path with a folder before all others.
#[expect(clippy::disallowed_methods, reason = "a tool's environment, not a function's")]
fn path_with(folder: &std::path::Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}
