use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    plan::{Policy, Reason},
    record::RecordSet,
};

/// An instance of a Cloud Map service, with what ECS reports about the task behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The instance id. ECS uses the task id.
    pub id: String,
    /// The attribute `AWS_INSTANCE_IPV4`, unchecked.
    pub address: Option<String>,
    /// What ECS reports about the task with this id.
    pub task: Task,
}

/// What ECS reports about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// The instance was not registered by ECS: its id is no task id.
    Foreign,
    /// ECS knows no such task: it stopped at least an hour ago.
    Missing,
    /// ECS gave no answer about this task, for this reason. Nothing may be concluded from that.
    Unknown(String),
    /// ECS described the task.
    Known {
        /// `lastStatus`, such as `RUNNING` or `DEACTIVATING`.
        last_status: String,
        /// Whether `desiredStatus` is `RUNNING`; otherwise the task is being stopped.
        wanted: bool,
        /// `healthStatus`.
        health: Health,
    },
}

/// The health of a task, from the health checks of its essential containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every health check passes.
    Healthy,
    /// A health check fails.
    Unhealthy,
    /// Not known yet, or the task has no health check.
    Unknown,
}

/// Why an instance must not be deregistered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Its task's desired status is `RUNNING`.
    Running,
    /// ECS did not register it.
    Foreign,
    /// ECS gave no answer about its task, for this reason.
    Unknown(String),
}

/// How many tasks ECS wants for a service, or for all services of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The service exists and wants this many.
    Wants(u32),
    /// The cluster has no such service, or it has been deleted.
    Missing,
    /// Even the cluster does not exist: more often a wrong name than a deleted cluster.
    ClusterMissing,
}

impl Service {
    /// Returns what several services want together; nothing when it is unknown of any of them, or of none: what one wants
    /// may be all that keeps a name from being emptied.
    #[must_use]
    pub fn sum(services: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut sum = None;
        for service in services {
            sum = Some(match (sum, service?) {
                (Some(Self::ClusterMissing), _) | (_, Self::ClusterMissing) => Self::ClusterMissing,
                (None | Some(Self::Missing), found) => found,
                (Some(wants), Self::Missing) => wants,
                (Some(Self::Wants(some)), Self::Wants(more)) => Self::Wants(some.saturating_add(more)),
            });
        }
        sum
    }
}

/// Returns whether an instance id can be the id of an ECS task: 32 hexadecimal digits, or a UUID as in older accounts.
///
/// Anything else in a request to ECS fails the whole request, so ids are checked first.
#[must_use]
pub fn is_task_id(id: &str) -> bool {
    matches!(id.len(), 32 | 36) && id.chars().all(|c| c.is_ascii_hexdigit() || (c == '-' && id.len() == 36))
}

impl Registration {
    /// Makes the registration of a published member that Cloud Map does not list.
    pub(super) fn unlisted(id: &str, record: &RecordSet, tasks: &BTreeMap<String, Task>) -> Self {
        let task = tasks.get(id).cloned().unwrap_or_else(|| Task::Unknown("it was not asked".to_owned()));
        Self { id: id.to_owned(), address: record.values.first().cloned(), task }
    }

    /// Returns why it must not be deregistered; nothing when it is certainly left over from a stopped task.
    #[must_use]
    pub fn in_use(&self) -> Option<InUse> {
        match &self.task {
            Task::Missing | Task::Known { wanted: false, .. } => None,
            Task::Known { .. } => Some(InUse::Running),
            Task::Foreign => Some(InUse::Foreign),
            Task::Unknown(why) => Some(InUse::Unknown(why.clone())),
        }
    }

    /// Judges whether the name should lead to this member: returns its address and why, or why not.
    pub(super) fn judge(&self, published: bool, policy: &Policy) -> Result<(Ipv4Addr, Reason), Reason> {
        if self.task == Task::Foreign {
            return Err(Reason::ForeignInstance);
        }
        let address = usable(self.address.as_deref())?;
        match &self.task {
            Task::Foreign => Err(Reason::ForeignInstance),
            Task::Missing => Err(Reason::TaskGone),
            Task::Unknown(why) if published => Ok((address, Reason::NoAnswer(why.clone()))),
            Task::Unknown(why) => Err(Reason::NoAnswer(why.clone())),
            Task::Known { wanted: false, .. } => Err(Reason::Stopping),
            Task::Known { last_status, .. } if last_status != "RUNNING" => Err(Reason::NotRunning(last_status.clone())),
            Task::Known { health: Health::Unhealthy, .. } => Err(Reason::Unhealthy),
            Task::Known { health: Health::Unknown, .. } if policy.require_healthy && !published => {
                Err(Reason::AwaitingHealth)
            }
            Task::Known { .. } => Ok((address, Reason::Running)),
        }
    }
}

/// Parses an address. Refuses one that no client could connect to: its record would be a wrong answer.
fn usable(address: Option<&str>) -> Result<Ipv4Addr, Reason> {
    let text = address.ok_or(Reason::NoIpv4)?;
    let ip: Ipv4Addr = text.parse().map_err(|_| Reason::UnusableAddress(text.to_owned()))?;
    let useless =
        ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local();
    if useless { Err(Reason::UnusableAddress(text.to_owned())) } else { Ok(ip) }
}
