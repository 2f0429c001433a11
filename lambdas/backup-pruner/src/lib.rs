//! Deletes the backups that no window holds: whole chains, the oldest first, and never the newest good one of a database.
//!
//! It is the only function that may delete backups. In a versioned bucket a deletion is a marker, and no role may delete
//! versions, so what it deletes can be brought back until the bucket's rule for old versions has had its way.

mod config;
mod function;
mod outcome;
mod prune;

pub use config::Config;
pub use function::Pruner;
pub use outcome::{Outcome, Removed};
