//! Alerts: one form for whatever tells of trouble, whom it goes to, and when it is told again.

mod form;
mod incident;
mod route;
mod input;
mod shell;
pub mod render;
#[cfg(test)]
mod tests;

pub use form::{Alert, Key, Link, Reading, Severity, Status};
pub use incident::{Incident, Planned, Reason, Step, Told, Why};
pub use route::{Refused, Tree, Way};
pub use input::read;
pub use shell::{aws, quote};
