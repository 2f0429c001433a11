//! The decisions of a Neo4j cluster on AWS.
//!
//! Everything here is a pure, synchronous function over plain values: no clock, no environment, no network. A function
//! of the cluster reads the world, asks this crate what to do, and carries the answer out without choices of its own.

pub mod dns;
pub mod ids;
pub mod instance;
pub mod names;
