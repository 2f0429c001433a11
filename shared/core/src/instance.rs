//! What to do about the instances that Auto Scaling holds: those waiting in a lifecycle hook, on their way in or out,
//! and those that it retains; whether each core is whole, and whether each member runs what the last deployment wants.

mod budget;
mod clocks;
mod container_instance;
mod disruption;
mod group;
mod heal;
mod heard;
mod launch;
mod lease;
mod leave;
mod observed;
mod origins;
mod plan;
mod reason;
mod rebalance;
mod spot;
mod stale;
mod target;
#[cfg(test)]
mod tests;
mod volume;
mod whole;

pub use clocks::{Away, Clocks, Notice, NoticeKind};
pub use container_instance::{ContainerInstance, Task};
pub use group::{Group, Instance, InstanceStatus, State};
pub use heal::{Ill, NotYet, Witness, doubtful_disks, ill, may_be_wedged, not_yet};
pub use lease::{Cause, Freed, Holder, Lease};
pub use leave::{doubtfully_empty, may_be_dead};
pub use observed::{Heard, Observed, Phase, Seen};
pub use origins::{MOST_CORES, Origins, OriginsRefused, expected_cores};
pub use plan::{Action, Held, Plan, Policy, Step, plan};
pub use reason::Reason;
pub use target::{Compared, LaunchTemplate, Standing, Target, TargetRefused, Wanted};
pub use volume::{Attachment, Volume, VolumeStatus};
pub use whole::{Core, Fault, NOT_WHOLE, Replica, cores, replicas};
