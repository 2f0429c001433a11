//! The decisions of a Neo4j cluster on AWS.
//!
//! Everything here is a pure, synchronous function over plain values: no clock, no environment, no network. A Lambda
//! function observes the cluster, asks this crate what to do, and does it without decisions of its own.

pub mod alert;
pub mod backup;
pub mod dns;
pub mod ids;
pub mod instance;
pub mod names;
pub mod neo4j;
pub mod quorum;
