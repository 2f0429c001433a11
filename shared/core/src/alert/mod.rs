//! Alerts: one form for whatever tells of trouble, whom it goes to, and when it is told again.

mod form;
mod incident;
mod input;
pub mod render;
mod route;
mod shell;
#[cfg(test)]
mod tests;
mod unheard;

pub use form::{Alert, Key, Link, Reading, Severity, Status};
pub use incident::{Due, Incident, Planned, Reason, Step, TELLING, Told, Why};
pub use input::read;
pub use route::{Refused, Tree, Way, is_entry, named};
pub use shell::{aws, quote};
pub use unheard::Described;
