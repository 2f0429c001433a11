use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

/// How far the cluster's life has come, as the state table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The table says nothing yet: the stack is being created, and the cluster may never have had a quorum.
    Creating,
    /// The cluster is whole and must stay so.
    Complete,
    /// The stack goes away, with the cluster.
    Deleting,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Complete => "complete",
            Self::Deleting => "deleting",
        })
    }
}

/// The cluster's instances as they were read, with what decides over them.
///
/// Every list is whole. A reading that failed half way never becomes a `Reading`, so nothing is ever concluded from a
/// part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How far the cluster's life has come.
    pub life: Life,
    /// The cluster's Auto Scaling groups.
    pub groups: Vec<Group>,
    /// The volumes with the cluster's tag, by id; needed, and asked for, only when a core's instance is launching.
    pub volumes: BTreeMap<String, Volume>,
    /// The container instances of the ECS cluster, by the id of their EC2 instance.
    pub hosts: BTreeMap<String, Host>,
}

impl Reading {
    /// Whether any of these instances is held, or the cluster goes. Otherwise there is nothing to plan, and nothing more to
    /// read.
    #[must_use]
    pub fn is_needed(life: Life, groups: &[Group]) -> bool {
        let mut instances = groups.iter().flat_map(|group| &group.instances);
        life == Life::Deleting || instances.any(|instance| instance.state.is_held())
    }

    /// Whether the plan needs to know the volumes: an instance of a core is launching.
    #[must_use]
    pub fn needs_volumes(groups: &[Group]) -> bool {
        let launching = |group: &Group| group.instances.iter().any(|instance| instance.state == State::PendingWait);
        groups.iter().any(|group| group.is_core() && launching(group))
    }

    /// Since when an instance has had its volume.
    #[must_use]
    pub fn attached_since(&self, instance: &str) -> Option<Timestamp> {
        let mut attachments = self.volumes.values().flat_map(|volume| &volume.attachments);
        attachments.find(|attachment| attachment.instance == instance)?.since
    }
}

/// An Auto Scaling group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its tag `neo4j:core`, the number of its core. A group of replicas has none.
    pub core: Option<String>,
    /// Its tag `neo4j:volume`, the id of its core's data volume.
    pub volume: Option<String>,
    /// Its instances, in whatever state.
    pub instances: Vec<Instance>,
}

impl Group {
    /// Whether its instances need a data volume. One of both tags is enough to tell: without the other it is stuck, but
    /// still no group of replicas.
    #[must_use]
    pub fn is_core(&self) -> bool {
        self.core.is_some() || self.volume.is_some()
    }
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its EC2 id.
    pub id: String,
    /// Its Availability Zone.
    pub zone: String,
    /// Its lifecycle state.
    pub state: State,
    /// Whether Auto Scaling takes it for healthy. Its own judgement is EC2's status checks.
    pub healthy: bool,
}

/// A lifecycle state of Auto Scaling, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// `Pending:Wait`: launched, and held by a hook.
    PendingWait,
    /// `Terminating:Wait`: to be terminated, and held by a hook.
    TerminatingWait,
    /// `Terminating:Retained`: its hook was abandoned, so it stays and counts no more.
    Retained,
    /// Any other one, in which nothing is asked of us.
    Other(String),
}

impl State {
    /// Whether Auto Scaling holds the instance until somebody says what becomes of it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl From<&str> for State {
    fn from(state: &str) -> Self {
        match state {
            "Pending:Wait" => Self::PendingWait,
            "Terminating:Wait" => Self::TerminatingWait,
            "Terminating:Retained" => Self::Retained,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// An EBS volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its Availability Zone: only instances there can have it.
    pub zone: String,
    /// Its state.
    pub status: VolumeStatus,
    /// Its tag `neo4j:cluster`.
    pub cluster: Option<String>,
    /// Its tag `neo4j:core`.
    pub core: Option<String>,
    /// Who has it, is about to have it, or has not quite let go of it. More than one only where somebody has allowed
    /// multi-attach.
    pub attachments: Vec<Attachment>,
}

/// The state of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeStatus {
    /// `creating`.
    Creating,
    /// `available`: free.
    Available,
    /// `in-use`.
    InUse,
    /// `error`, `deleting`, `deleted`, or one that this version does not know.
    Other(String),
}

impl From<&str> for VolumeStatus {
    fn from(status: &str) -> Self {
        match status {
            "creating" => Self::Creating,
            "available" => Self::Available,
            "in-use" => Self::InUse,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// The bond of a volume and an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The EC2 id.
    pub instance: String,
    /// Whether it is `attached`; otherwise it is `attaching`, `detaching` or `busy`.
    pub attached: bool,
    /// When it was asked for, if EC2 says so.
    pub since: Option<Timestamp>,
}

/// A container instance: an EC2 instance whose ECS agent has registered with the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its ARN.
    pub arn: String,
    /// Whether ECS has a connection to its agent.
    pub connected: bool,
    /// Such as `ACTIVE` or `DRAINING`.
    pub status: String,
    /// Its attribute `neo4j.core`, from the agent's configuration.
    pub core: Option<String>,
    /// How many tasks on it have not stopped.
    pub tasks: usize,
    /// When it registered, if ECS says so.
    pub registered: Option<Timestamp>,
    /// Since when ECS has not heard of its tasks, as far as that was asked.
    pub silent_since: Option<Timestamp>,
}

impl Host {
    /// Whether ECS may place tasks on it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }
}
