use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use super::{MULTIVALUE_LIMIT, Name, Occupant, Owner, RecordSet, Records, Registration, Service, Task};

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
    /// How many tasks ECS wants. Needed, and asked for, only when no registered task may still run.
    pub service: Option<Service>,
    /// The records under `name`.
    pub records: Records,
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
    /// The service is scaled to nothing.
    #[error("the ECS service wants no tasks")]
    WantsNone,
    /// The service was deleted or never created.
    #[error("the ECS service does not exist")]
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

/// Plans the changes that make the record sets of a tier's name lead to its fit members.
///
/// Fails static: an observation without a fit member keeps what is published, because an empty answer is more often a
/// failed read than a deleted cluster. A name is emptied only when ECS itself wants no tasks.
pub fn plan(tier: &Tier, policy: &Policy) -> Plan {
    let published = published(tier, &policy.owner);
    let judged = Judged::of(tier, policy, &published);
    let mut plan = if let Some(by) = tier.records.occupant {
        leave_occupied(tier, &published, judged, by)
    } else if judged.fit.is_empty()
        && let Some(why) = fail_static(tier)
    {
        keep_all(tier, &published, &judged.unfit, &why)
    } else {
        Choice::of(tier, policy, &published, judged).plan(tier, &published)
    };
    plan.changes.sort();
    plan.kept.sort();
    plan
}

/// Plans the removal of all our record sets under one name, and of nothing else.
pub fn plan_removal(records: &Records, owner: &Owner) -> Plan {
    let ours = records.multivalue.iter().filter(|record| owner.member(&record.set_identifier).is_some());
    let mut changes: Vec<_> = ours.map(|record| Change::Delete(record.clone(), Reason::Removal)).collect();
    changes.sort();
    Plan { changes, ..Plan::default() }
}

/// Our record sets under a name, by member.
type Published<'a> = BTreeMap<&'a str, &'a RecordSet>;

fn published<'a>(tier: &'a Tier, owner: &Owner) -> Published<'a> {
    let sets = tier.records.multivalue.iter();
    sets.filter_map(|record| Some((owner.member(&record.set_identifier)?, record))).collect()
}

/// The members of a tier, each judged by itself.
#[derive(Default)]
struct Judged<'a> {
    /// The members that the name should lead to, with their addresses and why.
    fit: Vec<(&'a str, Ipv4Addr, Reason)>,
    /// The registered members that it should not lead to, and why.
    unfit: BTreeMap<&'a str, Reason>,
}

impl<'a> Judged<'a> {
    fn of(tier: &'a Tier, policy: &Policy, published: &Published<'a>) -> Self {
        let mut judged = Self::default();
        let listed = |id: &str| tier.registered.iter().any(|registration| registration.id == id);
        for (id, record) in published.iter().filter(|(id, _)| !listed(id)) {
            let registration = Registration::unlisted(id, record, &tier.unlisted);
            if let Ok((address, why)) = registration.judge(true, policy) {
                let why = if why == Reason::Running { Reason::Unlisted } else { why };
                judged.fit.push((id, address, why));
            }
        }
        for registration in &tier.registered {
            let id = registration.id.as_str();
            match registration.judge(published.contains_key(id), policy) {
                Ok((address, why)) => judged.fit.push((id, address, why)),
                Err(why) => _ = judged.unfit.insert(id, why),
            }
        }
        judged
    }
}

/// The fit members that find room under the name, and those that do not.
struct Choice<'a> {
    /// The record sets that the name should have, by member, and why.
    wanted: BTreeMap<&'a str, (RecordSet, Reason)>,
    /// Every other registered member, and why it is left out.
    left_out: BTreeMap<&'a str, Reason>,
    /// How many fit members found no room.
    truncated: usize,
}

impl<'a> Choice<'a> {
    fn of(tier: &Tier, policy: &Policy, published: &Published<'_>, Judged { mut fit, unfit }: Judged<'a>) -> Self {
        let foreign = tier.records.multivalue.len() - published.len();
        let room = MULTIVALUE_LIMIT.saturating_sub(foreign);
        let mut choice = Self { wanted: BTreeMap::new(), left_out: unfit, truncated: 0 };
        let mut taken: BTreeMap<_, &str> = BTreeMap::new();
        // Published members stay, whatever the order of the answer: a choice that moves would churn.
        fit.sort_by_key(|(id, ..)| (Reverse(published.contains_key(id)), *id));
        for (id, address, why) in fit {
            if let Some(other) = taken.get(&address) {
                choice.left_out.insert(id, Reason::SameAddress((*other).to_owned()));
            } else if choice.wanted.len() >= room {
                choice.truncated += 1;
                choice.left_out.insert(id, Reason::Full);
            } else {
                taken.insert(address, id);
                let record = RecordSet {
                    name: tier.name.clone(),
                    set_identifier: policy.owner.set_identifier(id),
                    ttl: policy.ttl,
                    values: vec![address.to_string()],
                    health_check: None,
                };
                choice.wanted.insert(id, (record, why));
            }
        }
        choice
    }

    /// Plans the changes from the published record sets to the wanted ones.
    fn plan(self, tier: &Tier, published: &Published<'a>) -> Plan {
        let Self { wanted, mut left_out, truncated } = self;
        let mut plan = Plan { published: wanted.len(), truncated, ..Plan::default() };
        for (id, record) in published {
            let why = match wanted.get(id) {
                Some((want, _)) if want == *record => continue,
                Some(_) => Reason::Outdated,
                None => left_out.remove(id).unwrap_or_else(|| gone(tier)),
            };
            plan.changes.push(Change::Delete((*record).clone(), why));
        }
        for (id, (record, why)) in wanted {
            if published.get(id).is_none_or(|current| **current != record) {
                plan.changes.push(Change::Create(record, why));
            } else if why != Reason::Running {
                plan.kept.push(kept(tier, id, true, why));
            }
        }
        plan.kept.extend(left_out.into_iter().map(|(id, why)| kept(tier, id, false, why)));
        plan
    }
}

/// Returns the plan for a name under which nothing can be written.
fn leave_occupied(tier: &Tier, published: &Published<'_>, judged: Judged<'_>, by: Occupant) -> Plan {
    let Judged { fit, mut unfit } = judged;
    let waiting: Vec<_> = fit.into_iter().map(|(id, ..)| id).filter(|id| !published.contains_key(id)).collect();
    let occupied = Occupied { name: tier.name.clone(), by, waiting: waiting.len() };
    unfit.extend(waiting.into_iter().map(|id| (id, Reason::Occupied)));
    Plan { occupied: Some(occupied), ..keep_all(tier, published, &unfit, &Reason::Occupied) }
}

/// Returns the plan that keeps every published record set, for one reason.
fn keep_all(tier: &Tier, published: &Published<'_>, unfit: &BTreeMap<&str, Reason>, why: &Reason) -> Plan {
    let members: BTreeSet<&str> = published.keys().chain(unfit.keys()).copied().collect();
    let members = members.into_iter().map(|id| match unfit.get(id).filter(|_| !published.contains_key(id)) {
        Some(unfit) => kept(tier, id, false, unfit.clone()),
        None => kept(tier, id, true, why.clone()),
    });
    Plan { kept: members.collect(), published: published.len(), ..Plan::default() }
}

fn kept(tier: &Tier, member: &str, published: bool, why: Reason) -> Kept {
    Kept { name: tier.name.clone(), member: member.to_owned(), published, why }
}

/// Returns why an empty answer must not be believed; nothing when ECS itself wants no member.
fn fail_static(tier: &Tier) -> Option<Reason> {
    if !Tier::needs_service(&tier.registered) {
        return Some(Reason::NoneFit);
    }
    match tier.service {
        Some(Service::Wants(0) | Service::Missing) => None,
        Some(Service::Wants(tasks)) => Some(Reason::NobodyLeft(tasks)),
        Some(Service::ClusterMissing) => Some(Reason::ClusterMissing),
        None => Some(Reason::ServiceNotAsked),
    }
}

/// Returns why the record set of an unregistered member is deleted.
fn gone(tier: &Tier) -> Reason {
    match tier.service {
        Some(Service::Wants(0)) => Reason::WantsNone,
        Some(Service::Missing) => Reason::ServiceMissing,
        _ => Reason::NotRegistered,
    }
}
