//! Alerts: one form for whatever tells of trouble, whom it goes to, and when it is told again.

mod form;
pub mod render;
#[cfg(test)]
mod tests;

pub use form::{Alert, Key, Link, Reading, Severity, Status};
