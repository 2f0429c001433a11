use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};

use super::{LaunchTemplate, Lease, Notice, Target};
use crate::{
    ids::{ContainerInstanceArn, CoreId, InstanceId, TaskDefinitionArn, VolumeId},
    neo4j::{Answer, Silent},
    quorum::{self, Quorum},
};

/// How long an agent may be disconnected before it counts as silent: agents disconnect for moments several times an
/// hour (developer guide, «Amazon ECS container instance state change events»).
const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// The phase of the cluster, from the state table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The table holds no phase yet: the stack is being created, and the cluster may never have had a quorum.
    #[default]
    Creating,
    /// The cluster is whole and must stay so.
    Complete,
    /// The stack is being deleted, and the cluster with it.
    Deleting,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Complete => "complete",
            Self::Deleting => "deleting",
        })
    }
}

/// The cluster's instances as observed, with everything that decides what to do about them.
///
/// Every list is complete. An observation that failed half way never becomes an `Observed`, so nothing is ever
/// concluded from a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The cluster's phase.
    pub phase: Phase,
    /// What the members should run; nothing before a deployment recorded it.
    pub target: Option<Target>,
    /// The cluster's Auto Scaling groups.
    pub groups: Vec<Group>,
    /// The volumes with the cluster's tag, by id.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// The container instances of the ECS cluster. One EC2 instance may have several: an agent that has lost its
    /// checkpoint registers again, and the first registration stays.
    pub container_instances: Vec<ContainerInstance>,
    /// The times since which cores have not been whole, by number, as remembered before this observation.
    pub not_whole: BTreeMap<u8, Timestamp>,
    /// What the cores' Neo4j says.
    pub neo4j: Seen,
    /// What decides which core may be stopped; nothing when nobody asked.
    pub quorum_observed: Option<quorum::Observed>,
    /// Which core may be stopped, judged from that.
    pub quorum: Option<Quorum>,
    /// The lease of voluntary disruptions.
    pub lease: Lease,
    /// Whether it was claimed in this round, before Neo4j was asked and AWS was read.
    pub claimed: bool,
    /// When instances were first seen on their way out.
    pub leaving: BTreeMap<InstanceId, Timestamp>,
    /// What EC2 has announced about instances.
    pub notices: BTreeMap<InstanceId, Notice>,
    /// How long members that had answered have been silent, by task.
    pub silent: BTreeMap<String, Silent>,
    /// When members of cores were restarted because they were ill: the last day, oldest first.
    pub restarts: BTreeMap<u8, Vec<Timestamp>>,
    /// The free space of cores' disks in per cent, oldest first; requested only where a disk may be what is wrong.
    pub disks: BTreeMap<u8, Vec<(Timestamp, f64)>>,
}

/// What is known of the cores' Neo4j.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// The gateway gave no answers, and the text says why. Its silence has an alarm of its own, and says nothing about a
    /// core.
    GatewayFailed(String),
    /// What each core's Neo4j answered, by the core's number.
    Answers(BTreeMap<u8, Heard>),
}

/// What a core's Neo4j answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its answer.
    pub answer: Answer,
    /// Whether the Neo4j of this task has ever answered before.
    pub answered_before: bool,
    /// Whether it was asked only for pages that need no login, because it left a statement unanswered not long ago.
    pub pages_only: bool,
}

impl Observed {
    /// Returns every registration of an EC2 instance by ARN, whatever the order of AWS's answer.
    #[must_use]
    pub fn of(&self, instance: &InstanceId) -> Vec<&ContainerInstance> {
        let mut found: Vec<_> = self.container_instances.iter().filter(|found| found.instance == *instance).collect();
        found.sort_by_key(|found| &found.arn);
        found
    }

    /// Returns the group that an EC2 instance belongs to.
    #[must_use]
    pub fn group_of(&self, instance: &InstanceId) -> Option<&Group> {
        self.groups.iter().find(|group| group.instances.iter().any(|found| found.id == *instance))
    }

    /// Returns when an instance's volume was attached.
    #[must_use]
    pub fn attached_since(&self, instance: &InstanceId) -> Option<Timestamp> {
        let mut attachments = self.volumes.values().flat_map(|volume| &volume.attachments);
        attachments.find(|attachment| attachment.instance == *instance)?.since
    }
}

/// An Auto Scaling group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its tag `neo4j:core`, the number of its core. A group of replicas has none.
    pub core: Option<CoreId>,
    /// Its tag `neo4j:volume`, the id of its core's data volume.
    pub volume: Option<VolumeId>,
    /// Its desired capacity.
    pub desired: usize,
    /// Auto Scaling's message about the last failed launch, with its time; requested only for a core's group without an
    /// instance.
    pub launch_failure: Option<String>,
    /// Its instances, in whatever state.
    pub instances: Vec<Instance>,
}

impl Group {
    /// Returns whether its instances need a data volume. Either tag is proof: without the other one the group is stuck,
    /// but it is not a group of replicas.
    #[must_use]
    pub fn is_core(&self) -> bool {
        self.core.is_some() || self.volume.is_some()
    }

    /// Returns whether a core has no instance that counts, although its group should have one: no capacity, for
    /// example.
    #[must_use]
    pub fn lacks_instance(&self) -> bool {
        self.is_core() && self.desired > 0 && !self.instances.iter().any(|instance| !instance.state.is_leaving())
    }
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its Availability Zone.
    pub zone: String,
    /// Its lifecycle state.
    pub state: State,
    /// The launch template that it was launched from, if Auto Scaling reports that.
    pub template: Option<LaunchTemplate>,
    /// Its status in EC2; requested only if it may be dead. Auto Scaling's own `HealthStatus` is no evidence: anybody
    /// with the permission can set it.
    pub status: Option<InstanceStatus>,
}

/// The result of EC2's status checks of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceStatus {
    /// No check fails, or there is no result yet.
    NotImpaired,
    /// A check fails.
    Impaired,
    /// It no longer runs.
    Gone,
}

impl InstanceStatus {
    /// Judges an instance by its state and its status checks.
    ///
    /// `ok`, `insufficient-data`, `not-applicable` and `initializing` are not failures (API reference of
    /// `InstanceStatusSummary`); an instance that is stopping or shutting down may still run.
    #[must_use]
    pub fn of<'a>(state: &str, mut checks: impl Iterator<Item = &'a str>) -> Self {
        match state {
            "terminated" | "stopped" => Self::Gone,
            _ if checks.any(|check| check == "impaired") => Self::Impaired,
            _ => Self::NotImpaired,
        }
    }
}

/// An Auto Scaling lifecycle state, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// `Pending:Wait`: launched, and held by a hook.
    PendingWait,
    /// `Terminating:Wait`: to be terminated, and held by a hook.
    TerminatingWait,
    /// `Terminating:Retained`: its hook was abandoned, so it stays, but no longer counts.
    Retained,
    /// Any other state, in which there is nothing to decide.
    Other(String),
}

impl State {
    /// Returns whether Auto Scaling holds the instance until somebody decides what happens to it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Returns whether the instance waits to be released.
    #[must_use]
    pub fn awaits_release(&self) -> bool {
        matches!(self, Self::TerminatingWait | Self::Retained)
    }

    /// Returns whether the instance no longer counts towards its group's desired capacity.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        match self {
            Self::PendingWait => false,
            Self::TerminatingWait | Self::Retained => true,
            Self::Other(state) => state.starts_with("Terminat") || state.starts_with("Detach"),
        }
    }

    /// Returns whether the instance is in service.
    #[must_use]
    pub fn is_in_service(&self) -> bool {
        matches!(self, Self::Other(state) if state == "InService")
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PendingWait => "Pending:Wait",
            Self::TerminatingWait => "Terminating:Wait",
            Self::Retained => "Terminating:Retained",
            Self::Other(state) => state,
        })
    }
}

impl From<&str> for State {
    fn from(state: &str) -> Self {
        match state {
            "Pending:Wait" => Self::PendingWait,
            // A warm pool's instances have the same hooks (Auto Scaling user guide, «Use lifecycle hooks with a warm pool»).
            "Terminating:Wait" | "Warmed:Terminating:Wait" => Self::TerminatingWait,
            "Terminating:Retained" => Self::Retained,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// An EBS volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its Availability Zone: only instances there can attach it.
    pub zone: String,
    /// Its state.
    pub status: VolumeStatus,
    /// Its tag `neo4j:cluster`.
    pub cluster: Option<String>,
    /// Its tag `neo4j:core`.
    pub core: Option<CoreId>,
    /// Its attachments, also those that are in progress or not yet fully detached. More than one only where somebody
    /// has allowed multi-attach.
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

/// The attachment of a volume to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance, or whatever else holds the volume.
    pub instance: InstanceId,
    /// Whether it is `attached`; otherwise it is `attaching`, `detaching` or `busy`.
    pub attached: bool,
    /// When it was requested, if EC2 reports that.
    pub since: Option<Timestamp>,
}

/// A container instance: a registration of an EC2 instance with the ECS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInstance {
    /// Its ARN.
    pub arn: ContainerInstanceArn,
    /// Its EC2 instance.
    pub instance: InstanceId,
    /// Whether ECS has a connection to its agent.
    pub connected: bool,
    /// Its status, such as `ACTIVE` or `DRAINING`.
    pub status: String,
    /// Its attribute `neo4j.core`, from the agent's configuration.
    pub core: Option<CoreId>,
    /// Its tasks that have not stopped, as far as the lists of tasks have them.
    pub tasks: Vec<Task>,
    /// How many tasks on it have the desired status `RUNNING`, by ECS's own count (API reference of `ContainerInstance`,
    /// `runningTasksCount`).
    pub running_tasks: usize,
    /// When it registered, if ECS reports that.
    pub registered: Option<Timestamp>,
    /// The time since which its agent has been seen disconnected, by our own clock ([`Clocks`](super::Clocks)).
    pub disconnected_since: Option<Timestamp>,
    /// When the last task on it stopped, if ECS still lists one that has.
    pub last_stopped: Option<Timestamp>,
}

impl ContainerInstance {
    /// Returns whether a status means that the container instance is gone. One that is `DEREGISTERING` only waits for
    /// its trunk network interface to be removed (API reference of `ContainerInstance`, `status`).
    #[must_use]
    pub fn is_gone(status: &str) -> bool {
        matches!(status, "INACTIVE" | "DEREGISTERING")
    }

    /// Returns whether tasks on it may be stopping, judged by those that should run: its agent is disconnected, or it
    /// is a core that drains, or without any of a service.
    #[must_use]
    pub fn may_be_stopping_tasks(&self) -> bool {
        let serves = self.tasks.iter().any(|task| task.service().is_some());
        !self.connected || (self.core.is_some() && (self.status == "DRAINING" || !serves))
    }

    /// Returns how many tasks that should run ECS counts on it beyond those listed: a list may leave something out.
    #[must_use]
    pub fn unlisted_tasks(&self) -> usize {
        let listed = self.tasks.iter().filter(|task| task.wanted).count();
        self.running_tasks.saturating_sub(listed)
    }

    /// Adds tasks that have not stopped. A later observation of a task replaces an earlier one: a task that is stopped
    /// between two lists is in both.
    pub fn add_tasks(&mut self, tasks: impl IntoIterator<Item = Task>) {
        for task in tasks {
            self.tasks.retain(|known| known.id != task.id);
            self.tasks.push(task);
        }
        self.tasks.sort();
    }

    /// Returns whether ECS may place tasks on it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }

    /// Returns whether its agent has been disconnected for longer than agents usually are.
    ///
    /// The clock is our own. `connectivityAt` of a task is when it last went *into* `CONNECTED` (API reference of
    /// `Task`), which proves that the agent was connected then, and nothing about how long it has been disconnected.
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        let connected = self.tasks.iter().filter_map(|task| task.connected_at).max();
        let since = self.disconnected_since.map(|since| connected.map_or(since, |at| since.max(at)));
        !self.connected && since.is_some_and(|since| now.duration_since(since) > SILENCE)
    }
}

/// A task that has not stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The last part of its ARN.
    pub id: String,
    /// Its task group: `service:` and the service's name, or whatever a standalone task was started with.
    pub group: String,
    /// `lastStatus`, such as `RUNNING`.
    pub status: String,
    /// When its agent last connected.
    pub connected_at: Option<Timestamp>,
    /// When it went from `PENDING` to `RUNNING`.
    pub started_at: Option<Timestamp>,
    /// Whether its `desiredStatus` is `RUNNING`.
    pub wanted: bool,
    /// Whether its `healthStatus` is `UNHEALTHY`: the service scheduler is about to replace it.
    pub unhealthy: bool,
    /// Its task definition with the revision, if ECS reports that.
    pub definition: Option<TaskDefinitionArn>,
}

impl Task {
    /// Returns the ECS service that it belongs to; nothing for a standalone task.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.group.strip_prefix("service:")
    }
}
