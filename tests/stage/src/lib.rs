//! The real template and the real binaries on a local AWS, with the modelled AWS behind sockets: the demo, the bench, the
//! end-to-end stories. And members, whose start lines and settings a real Neo4j is started with.

#![cfg(feature = "stage")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod alert_story;
pub mod backup_story;
pub mod bench;
pub mod cluster;
pub mod discovery_story;
pub mod dns;
pub mod documents;
pub mod drain_story;
pub mod given_zone;
pub mod member;
pub mod narrator;
pub mod operations;
mod proxy;
pub mod serve;
pub mod stage;
pub mod story;
pub mod variants;

/// The search path with a folder before all others.
#[expect(clippy::disallowed_methods, reason = "a tool's environment, not a function's")]
fn path_with(folder: &std::path::Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}
