//! Which multivalue A records should stand for the members behind a Cloud Map SRV service.

mod member;
mod plan;
mod record;
#[cfg(test)]
mod tests;

pub use member::{Health, InUse, Registration, Service, Task, is_task_id};
pub use plan::{Change, Kept, Occupied, Plan, Policy, Reason, Tier, plan, plan_removal};
pub use record::{Name, Occupant, Owner, RecordSet, Records};

/// Route 53 takes at most this many multivalue records of one name and type.
///
/// Source: «Quotas», Amazon Route 53 developer guide.
pub const MULTIVALUE_LIMIT: usize = 100;
