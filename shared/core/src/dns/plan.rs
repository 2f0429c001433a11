use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{MULTIVALUE_LIMIT, Name, Occupant, Owner, Readiness, RecordSet, Records, Registration, Service, Task};

/// How a replicator writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The owner of the record sets that may be changed.
    pub owner: Owner,
    /// The seconds for which resolvers may cache an answer.
    pub ttl: u32,
    /// Whether a new member is published only once it is `HEALTHY`. Otherwise `UNKNOWN` is enough, as for tasks without
    /// a health check.
    pub require_healthy: bool,
}

/// One tier as observed: its registered members, and the records in the zone.
///
/// Every list is complete. An observation that failed half way never becomes a `Tier`, so nothing is ever concluded
/// from a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// `core` or `replica`.
    pub tier: String,
    /// The name of its records.
    pub name: Name,
    /// All instances of its Cloud Map service.
    pub registered: Vec<Registration>,
    /// What ECS reports about the tasks of published members that Cloud Map does not list, by member.
    pub unlisted: BTreeMap<String, Task>,
    /// How many tasks ECS wants for all its services together. Needed, and asked for, only when no registered task may still run.
    pub service: Option<Service>,
    /// The records under `name`.
    pub records: Records,
    /// What is known of the members' Neo4j.
    pub neo4j: Readiness,
}

impl Tier {
    /// Returns whether the plan needs to know how many tasks ECS wants: only when no registered task may still run.
    #[must_use]
    pub fn needs_service(registered: &[Registration]) -> bool {
        let over = |task: &Task| matches!(task, Task::Foreign | Task::Missing | Task::Known { wanted: false, .. });
        registered.iter().all(|registration| over(&registration.task))
    }
}

/// Why a member is published or not, or why a record set is deleted or kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Published, as it should be.
    #[error("task is running")]
    Running,
    /// The instance id is no ECS task id.
    #[error("instance was not registered by ECS")]
    ForeignInstance,
    /// Cloud Map has no `AWS_INSTANCE_IPV4` for it.
    #[error("instance has no AWS_INSTANCE_IPV4 attribute")]
    NoIpv4,
    /// No client could reach the address.
    #[error("address {0:?} is not a usable IPv4 address")]
    UnusableAddress(String),
    /// Absence from a list is no proof: the list may be stale, or a page of it lost.
    #[error("Cloud Map does not list it, but its task is running")]
    Unlisted,
    /// ECS has forgotten the task.
    #[error("ECS knows no such task any more")]
    TaskGone,
    /// ECS did not answer for this task.
    #[error("ECS gave no answer for the task ({0})")]
    NoAnswer(String),
    /// The task's desired status is STOPPED.
    #[error("task is being stopped")]
    Stopping,
    /// The task is on its way up or down.
    #[error("task is {0}, not RUNNING")]
    NotRunning(String),
    /// A container health check fails.
    #[error("task is UNHEALTHY")]
    Unhealthy,
    /// No health check has passed yet.
    #[error("task health is UNKNOWN: waiting for HEALTHY")]
    AwaitingHealth,
    /// Its Neo4j was asked.
    #[error("its Neo4j does not answer yet: {0}")]
    NotReady(String),
    /// Nobody's Neo4j could be asked for long, and no name is frozen by that.
    #[error("published although nobody could ask its Neo4j: {0}")]
    Unasked(String),
    /// It was published unasked, and has not proven itself since. Readiness removes nothing.
    #[error("it was published although nobody could ask its Neo4j, which does not answer yet: {0}")]
    Unproven(String),
    /// Cloud Map has no such instance.
    #[error("no longer registered in Cloud Map")]
    NotRegistered,
    /// The record set is not what it should be.
    #[error("record is outdated")]
    Outdated,
    /// Another member has the same address.
    #[error("address is published for member {0}")]
    SameAddress(String),
    /// The name is full.
    #[error("the name holds {MULTIVALUE_LIMIT} multivalue records, the most that Route 53 allows")]
    Full,
    /// A record under the name rules out multivalue records.
    #[error("the name is occupied")]
    Occupied,
    /// Fail static: every registered member is unfit at once.
    #[error("no registered member is fit, and an empty answer would cut off every client")]
    NoneFit,
    /// Fail static: no member is left, yet ECS wants tasks.
    #[error("no member is left, but ECS wants {0} tasks: a failed read or a full restart")]
    NobodyLeft(u32),
    /// Fail static: the cluster cannot be found.
    #[error("no member is left, and ECS knows no such cluster: check the parameter EcsClusterName")]
    ClusterMissing,
    /// Fail static: ECS was not asked.
    #[error("no member is left, and it is not known what ECS wants")]
    ServiceNotAsked,
    /// Its services are scaled to nothing.
    #[error("its ECS services want no tasks")]
    WantsNone,
    /// Its services were deleted or never created.
    #[error("its ECS services do not exist")]
    ServiceMissing,
    /// The stack is being deleted.
    #[error("the replicator is being removed")]
    Removal,
}

/// One entry of the batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Delete exactly this record set.
    Delete(RecordSet, Reason),
    /// Create this record set.
    Create(RecordSet, Reason),
}

impl Change {
    /// The record set to write or to delete.
    #[must_use]
    pub fn record(&self) -> &RecordSet {
        match self {
            Self::Delete(record, _) | Self::Create(record, _) => record,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(record, why) => write!(f, "- {record}: {why}"),
            Self::Create(record, why) => write!(f, "+ {record}: {why}"),
        }
    }
}

/// Something left as it is although a change might be expected, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The name of the records.
    pub name: Name,
    /// The member's id.
    pub member: String,
    /// Whether it is published and stays so; otherwise it stays unpublished.
    pub published: bool,
    /// Why nothing changes.
    pub why: Reason,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.published { "kept" } else { "not published" };
        write!(f, "= {} {} {state}: {}", self.name, self.member, self.why)
    }
}

/// A name under which nothing can be written, because of somebody else's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// The name.
    pub name: Name,
    /// What occupies it.
    pub by: Occupant,
    /// How many fit members cannot be published because of it.
    pub waiting: usize,
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "= {} is occupied: {}", self.name, self.by)
    }
}

/// What to do with one name: one atomic batch, and what is left as it is, and why.
///
/// Each name has its own batch: Route 53 refuses a batch as a whole, so in a shared one a fault in one name would block
/// the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a plan that is not applied changes nothing"]
pub struct Plan {
    /// Deletions, then creations: Route 53 applies all of them or none. Never over 200 (the batch limit is 1,000).
    pub changes: Vec<Change>,
    /// Record sets that stay although a change might be expected, and members that are not published.
    pub kept: Vec<Kept>,
    /// How many of our record sets the name has once the plan is applied.
    pub published: usize,
    /// How many fit members found no room under the name.
    pub truncated: usize,
    /// What keeps anything from being written under the name.
    pub occupied: Option<Occupied>,
    /// The members that are published once the plan is applied, although their Neo4j has not answered: to be remembered
    /// ([`Readiness::unproven`]).
    pub unproven: BTreeSet<String>,
}

impl Plan {
    /// Returns one line for the name if it is occupied, and one for each thing that is left as it is.
    pub fn kept_lines(&self) -> impl Iterator<Item = String> {
        self.occupied.iter().map(ToString::to_string).chain(self.kept.iter().map(ToString::to_string))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.changes.iter().map(ToString::to_string).chain(self.kept_lines());
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}
