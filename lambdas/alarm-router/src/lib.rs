//! Tells the right people of alarms and failures: once, again while they stay, and when they are over.
//!
//! An alert is written down before it is told, so nothing that dies in between loses it, and whatever could not be told is told by
//! a later sweep. One invocation at a time tells an incident: it claims it by a conditional write.

mod alarms;
mod config;
mod deliver;
mod function;
mod hear;
mod outcome;
mod route_test;
mod routes;
mod sweep;
mod tell;
mod unheard;

pub use config::{Config, Destinations};
pub use function::Router;
pub use outcome::Outcome;
