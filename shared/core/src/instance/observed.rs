use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use super::{ContainerInstance, Group, Lease, Notice, Target, Volume};
use crate::{
    ids::{InstanceId, VolumeId},
    neo4j::{Answer, Silent},
    quorum::{self, Quorum},
};

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
    /// When instances on their way out were first seen drained and without a task, where nothing shows how old that list is.
    pub empty: BTreeMap<InstanceId, Timestamp>,
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
    /// Nobody asked in this round.
    #[default]
    NotAsked,
    /// Nobody can ask: the function has no gateway.
    NoGateway,
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
