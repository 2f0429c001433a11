//! Neo4j as its members describe it: what they are asked, and what they answered.

mod answer;
mod memory;
pub mod monitor;
mod request;
mod secret;
pub mod statement;

pub use answer::{
    Answer, Answers, Check, Copy, Database, Declaration, Declared, Fault, Kind, Page, Raft, Server, View,
};
pub use memory::{Down, Memory, Silent};
pub use request::{Asked, DeclareUsers, Login, Observe, Request};
pub use secret::Secret;
