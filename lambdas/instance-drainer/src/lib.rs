//! Looks after the instances that Auto Scaling holds in a lifecycle hook, or retains.
//!
//! A core is one data volume and whichever instance has it. This function gives a new instance its core's volume,
//! admits it once its ECS agent has registered, and releases an instance only when nothing is lost with it.

mod config;
mod custom_resources;
mod disks;
mod function;
mod groups;
mod look;
mod neo4j;
mod observe;
mod outcome;
mod reconcile;
mod statuses;
mod volumes;

pub use config::{Asks, Config};
pub use function::Drainer;
pub use neo4j::{Heard, Monitor, Neo4jOutcome};
pub use outcome::{Drained, Outcome, Tally};
