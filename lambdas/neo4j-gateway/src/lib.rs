//! Asks the members of a cluster what they say at one moment. It decides nothing, keeps nothing and calls no AWS service.
//!
//! A statement whose client gives up runs on in Neo4j, so nothing may pile up: what needs no login comes first, Cypher goes
//! only to members that answered it, one statement at a time, and what an earlier invocation left there is ended first.

mod ask;
mod config;
mod connect;
mod declare_users;
mod faults;
mod gateway;
mod left_overs;
mod observe;
mod read;
mod request;

pub use config::{Config, Tls};
pub use connect::Connect;
pub use gateway::{Gateway, run};

/// How long one request may take.
pub const REQUEST: std::time::Duration = std::time::Duration::from_secs(3);
/// How long an invocation may take.
pub const INVOCATION: std::time::Duration = std::time::Duration::from_secs(8);
/// The most bytes of one answer that are read.
pub const ANSWER: usize = 1 << 20;
