use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{MULTIVALUE_LIMIT, Name, Occupant, Owner, RecordSet, Records, Registration, Service, Task};

/// How a replicator writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose record sets may be touched.
    pub owner: Owner,
    /// Seconds that resolvers may keep an answer.
    pub ttl: u32,
    /// Publish a new member only once it is `HEALTHY`. Off, `UNKNOWN` is enough, as for tasks without a health check.
    pub require_healthy: bool,
}

/// One tier as it was read: who is registered, and what the zone says.
///
/// Every list is whole. A reading that failed half way never becomes a `Tier`, so nothing is ever concluded from a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// `core` or `replica`.
    pub tier: String,
    /// The name of its records.
    pub name: Name,
    /// All instances of its Cloud Map service.
    pub registered: Vec<Registration>,
    /// What ECS says of published members that Cloud Map does not list, by member.
    pub unlisted: BTreeMap<String, Task>,
    /// What ECS wants; needed, and asked for, only when nothing registered may still run.
    pub service: Option<Service>,
    /// What stands under `name`.
    pub records: Records,
}

impl Tier {
    /// Whether the plan needs to know how many tasks ECS wants: no task that is registered may still run.
    #[must_use]
    pub fn needs_service(registered: &[Registration]) -> bool {
        let over = |task: &Task| matches!(task, Task::Foreign | Task::Missing | Task::Known { wanted: false, .. });
        registered.iter().all(|registration| over(&registration.task))
    }
}

/// Why a member is published or not, or why a record set goes or stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// In, as it should be.
    #[error("task is running")]
    Running,
    /// The instance id is no ECS task id.
    #[error("instance was not registered by ECS")]
    ForeignInstance,
    /// Cloud Map has no `AWS_INSTANCE_IPV4` for it.
    #[error("instance has no AWS_INSTANCE_IPV4 attribute")]
    NoIpv4,
    /// The address is none that a client could reach.
    #[error("address {0:?} is not a usable IPv4 address")]
    UnusableAddress(String),
    /// Absence from a list is no proof: the list may be stale, or a page of it lost.
    #[error("Cloud Map does not list it, but its task is running")]
    Unlisted,
    /// ECS forgot the task.
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
    /// The record set says something else than it should.
    #[error("record is outdated")]
    Outdated,
    /// Another member has the same address.
    #[error("address is published for member {0}")]
    SameAddress(String),
    /// The name is full.
    #[error("the name holds {MULTIVALUE_LIMIT} multivalue records, the most that Route 53 allows")]
    Full,
    /// The name is taken by a record beside which no multivalue record may stand.
    #[error("the name is occupied")]
    Occupied,
    /// Fail static: everything registered is unfit at once.
    #[error("no registered member is fit, and an empty answer would cut off every client")]
    NoneFit,
    /// Fail static: nobody is left, yet ECS wants tasks.
    #[error("no member is left, but ECS wants {0} tasks: a failed read or a full restart")]
    NobodyLeft(u32),
    /// Fail static: the cluster cannot be found.
    #[error("no member is left, and ECS knows no such cluster: check the parameter EcsClusterName")]
    ClusterMissing,
    /// Fail static: nobody asked ECS.
    #[error("no member is left, and it is not known what ECS wants")]
    ServiceNotAsked,
    /// The service is scaled to nothing.
    #[error("the ECS service wants no tasks")]
    WantsNone,
    /// The service was deleted or never created.
    #[error("the ECS service does not exist")]
    ServiceMissing,
    /// The stack goes away.
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

/// Something that stays as it is although one might expect a change, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The name of the records.
    pub name: Name,
    /// The member's id.
    pub member: String,
    /// Whether it is published, and stays so; otherwise it is not and does not become so.
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

/// A name under which nothing can be written, because of a record that somebody else put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// The name.
    pub name: Name,
    /// What stands there.
    pub by: Occupant,
    /// How many fit members are not published for it.
    pub waiting: usize,
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "= {} is occupied: {}", self.name, self.by)
    }
}

/// What to do with one name: one atomic batch, and what stays for which reason.
///
/// Each name has a batch of its own: Route 53 refuses a batch as a whole, so that in a common one a fault of one name
/// would freeze the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a plan that is not applied changes nothing"]
pub struct Plan {
    /// Deletions first, then creations: Route 53 takes them as a whole or not at all. Never over 200 (the batch limit is
    /// 1,000).
    pub changes: Vec<Change>,
    /// What stays although its member is unfit, and who is not published.
    pub kept: Vec<Kept>,
    /// How many record sets of ours the name has once the plan is applied.
    pub published: usize,
    /// How many fit members found no room under the name.
    pub truncated: usize,
    /// Why nothing is written under the name at all, when it is taken.
    pub occupied: Option<Occupied>,
}

impl Plan {
    /// One line for the name when it is occupied, and one for each thing that stays.
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
/// Fails static: a reading that leaves no member keeps what is published, because an empty answer is more often a
/// failed read than a cluster that has gone. Only ECS's own word that it wants no tasks empties a name.
pub fn plan(tier: &Tier, policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    plan_tier(tier, policy, &mut plan);
    plan.changes.sort();
    plan.kept.sort();
    plan
}

/// Plans the removal of every record set of ours under one name, and of nothing else.
pub fn plan_removal(records: &Records, owner: &Owner) -> Plan {
    let ours = records.multivalue.iter().filter(|record| owner.member(&record.set_identifier).is_some());
    let mut changes: Vec<_> = ours.map(|record| Change::Delete(record.clone(), Reason::Removal)).collect();
    changes.sort();
    Plan { changes, ..Plan::default() }
}

fn plan_tier(tier: &Tier, policy: &Policy, plan: &mut Plan) {
    let published: BTreeMap<&str, &RecordSet> = tier
        .records
        .multivalue
        .iter()
        .filter_map(|record| Some((policy.owner.member(&record.set_identifier)?, record)))
        .collect();
    let mut unfit: BTreeMap<&str, Reason> = BTreeMap::new();
    let mut fit = Vec::new();
    let unlisted = published.iter().filter(|(id, _)| !tier.registered.iter().any(|r| r.id == **id));
    let unlisted: Vec<_> = unlisted.map(|(id, record)| Registration::unlisted(id, record, &tier.unlisted)).collect();
    for registration in &unlisted {
        if let Ok((address, why)) = registration.judge(true, policy) {
            let why = if why == Reason::Running { Reason::Unlisted } else { why };
            fit.push((registration.id.as_str(), address, why));
        }
    }
    for registration in &tier.registered {
        let id = registration.id.as_str();
        match registration.judge(published.contains_key(id), policy) {
            Ok((address, why)) => fit.push((id, address, why)),
            Err(why) => _ = unfit.insert(id, why),
        }
    }

    if let Some(by) = tier.records.occupant {
        let waiting: Vec<_> = fit.into_iter().map(|(id, ..)| id).filter(|id| !published.contains_key(id)).collect();
        plan.occupied = Some(Occupied { name: tier.name.clone(), by, waiting: waiting.len() });
        plan.published = published.len();
        unfit.extend(waiting.into_iter().map(|id| (id, Reason::Occupied)));
        keep_all(tier, &published, &unfit, &Reason::Occupied, plan);
        return;
    }

    if fit.is_empty()
        && let Some(why) = fail_static(tier)
    {
        plan.published = published.len();
        keep_all(tier, &published, &unfit, &why, plan);
        return;
    }

    let mut truncated = 0;
    let mut wanted: BTreeMap<&str, (RecordSet, Reason)> = BTreeMap::new();
    let foreign = tier.records.multivalue.len() - published.len();
    let room = MULTIVALUE_LIMIT.saturating_sub(foreign);
    let mut taken: BTreeMap<_, &str> = BTreeMap::new();
    // Those already published stay, whatever the order of the answer: a choice that moves would churn.
    fit.sort_by_key(|(id, ..)| (Reverse(published.contains_key(id)), *id));
    for (id, address, why) in fit {
        let why_not = if let Some(other) = taken.get(&address) {
            Some(Reason::SameAddress((*other).to_owned()))
        } else if wanted.len() >= room {
            truncated += 1;
            Some(Reason::Full)
        } else {
            None
        };
        if let Some(why_not) = why_not {
            unfit.insert(id, why_not);
            continue;
        }
        taken.insert(address, id);
        let record = RecordSet {
            name: tier.name.clone(),
            set_identifier: policy.owner.set_identifier(id),
            ttl: policy.ttl,
            values: vec![address.to_string()],
            health_check: None,
        };
        wanted.insert(id, (record, why));
    }

    for (id, record) in &published {
        let why = match wanted.get(id) {
            Some((want, _)) if want == *record => continue,
            Some(_) => Reason::Outdated,
            None => unfit.remove(id).unwrap_or_else(|| gone(tier)),
        };
        plan.changes.push(Change::Delete((*record).clone(), why));
    }
    plan.published = wanted.len();
    plan.truncated = truncated;
    for (id, (record, why)) in wanted {
        if published.get(id).is_none_or(|current| **current != record) {
            plan.changes.push(Change::Create(record, why));
        } else if why != Reason::Running {
            plan.kept.push(Kept { name: tier.name.clone(), member: id.to_owned(), published: true, why });
        }
    }
    let left_out = unfit.into_iter().map(|(id, why)| (id.to_owned(), why));
    plan.kept.extend(left_out.map(|(member, why)| Kept { name: tier.name.clone(), member, published: false, why }));
}

/// Why an empty answer must not be believed, or nothing when ECS itself says that there shall be no member.
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

/// Why a record set goes whose member is not registered.
fn gone(tier: &Tier) -> Reason {
    match tier.service {
        Some(Service::Wants(0)) => Reason::WantsNone,
        Some(Service::Missing) => Reason::ServiceMissing,
        _ => Reason::NotRegistered,
    }
}

fn keep_all(
    tier: &Tier,
    published: &BTreeMap<&str, &RecordSet>,
    unfit: &BTreeMap<&str, Reason>,
    why: &Reason,
    plan: &mut Plan,
) {
    let members: BTreeSet<&str> = published.keys().chain(unfit.keys()).copied().collect();
    for id in members {
        let published = published.contains_key(id);
        let why = if published { why.clone() } else { unfit.get(id).unwrap_or(why).clone() };
        plan.kept.push(Kept { name: tier.name.clone(), member: id.to_owned(), published, why });
    }
}
