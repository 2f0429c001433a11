//! What becomes of the instances that Auto Scaling holds for us: those that wait in a lifecycle hook, on their way in or
//! out, and those that it retains.

mod plan;
mod reading;
mod reason;
#[cfg(test)]
mod tests;

pub use plan::{Action, Plan, Policy, Step, plan};
pub use reading::{Attachment, Group, Host, Instance, Life, Reading, State, Volume, VolumeStatus};
pub use reason::Reason;
