//! Which multivalue A records should represent the members of a Cloud Map SRV service.

mod decide;
mod member;
mod plan;
mod ready;
mod record;
#[cfg(test)]
mod tests;

pub use decide::{plan, plan_removal};
pub use member::{Health, InUse, Registration, Service, Task, is_task_id};
pub use plan::{Change, Kept, Occupied, Plan, Policy, Reason, Tier};
pub use ready::{Hearing, Readiness, Silence, to_ask};
pub use record::{Name, Occupant, Owner, RecordSet, Records};

/// The most multivalue records of one name and type that Route 53 allows.
///
/// Source: «Quotas», Amazon Route 53 developer guide.
pub const MULTIVALUE_LIMIT: usize = 100;
