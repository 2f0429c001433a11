//! Takes backups when their slots come: one Batch job for each database, from one healthy member. When a job has ended, it judges what
//! the backup is worth, and writes that into the manifest of its chain.
//!
//! It remembers slots and jobs in the state table before it acts on them, so that a round that breaks off anywhere is carried
//! on by the next one, and no slot goes by without a job, a refusal or an alarm.

mod batch;
mod config;
mod function;
mod jobs;
mod logs;
mod neo4j;
mod outcome;
mod slots;

pub use config::Config;
pub use function::Scheduler;
pub use outcome::{Outcome, Tally};
