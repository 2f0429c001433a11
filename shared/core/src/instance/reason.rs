use crate::ids::{CoreId, InstanceId, VolumeId};

/// Why something is done about an instance, or why nothing is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The stack is being deleted. Abandoning a launch would only make Auto Scaling start the next one.
    #[error("the cluster is being deleted")]
    Deleting,
    /// Its volume is free.
    #[error("volume {0} is available")]
    Available(VolumeId),
    /// The group has a core, but no volume.
    #[error("its group names no data volume: give the group the tag neo4j:volume")]
    NoVolumeTag,
    /// The group has a volume, but no core.
    #[error("its group names a data volume, but no core: give the group the tag neo4j:core")]
    NoCoreTag,
    /// The group's volume is not among the cluster's.
    #[error(
        "the cluster has no volume {0}: correct the group's tag neo4j:volume, or give the volume the tag neo4j:cluster"
    )]
    NoSuchVolume(VolumeId),
    /// The volume does not hold this core's data.
    #[error(
        "volume {volume} has the tag {tag}={}, not {wants}: correct the group's tag neo4j:volume, or the volume's tag",
        shown(.has.as_deref())
    )]
    ForeignVolume {
        /// The volume's id.
        volume: VolumeId,
        /// The tag's key.
        tag: &'static str,
        /// The tag's value.
        has: Option<String>,
        /// What it should be.
        wants: String,
    },
    /// No instance in another zone can have the volume.
    #[error("volume {volume} is in zone {zone}, but the instance is in {instance}: correct the group's subnet")]
    OtherZone {
        /// The volume's id.
        volume: VolumeId,
        /// The volume's zone.
        zone: String,
        /// The instance's zone.
        instance: String,
    },
    /// The volume is broken or on its way out.
    #[error(
        "volume {volume} is in state {status}: this core stays down, since no snapshot may stand in for the volume of one \
         core of a running cluster; keep the others whole, and move to a second stack"
    )]
    UnusableVolume {
        /// The volume's id.
        volume: VolumeId,
        /// Its state.
        status: String,
    },
    /// Another instance has the volume, or gets it in the same plan.
    #[error("volume {volume} is held by {by}, which must release it first")]
    Held {
        /// The volume's id.
        volume: VolumeId,
        /// The other instance.
        by: InstanceId,
    },
    /// The volume is not free, and EC2 does not say why.
    #[error("volume {0} is in use, but EC2 does not say by which instance")]
    HeldUnseen(VolumeId),
    /// The volume does not exist yet.
    #[error("volume {0} is being created")]
    CreatingVolume(VolumeId),
    /// The volume is being attached.
    #[error("volume {0} is not attached yet")]
    Attaching(VolumeId),
    /// Nothing but the ECS agent is missing.
    #[error("volume {volume} is attached, but the ECS agent {agent}")]
    Registering {
        /// The volume's id.
        volume: VolumeId,
        /// What is wrong with the agent.
        agent: String,
    },
    /// The ECS agent took too long.
    #[error(
        "volume {volume} was attached more than {seconds} s ago, but the ECS agent {agent}: look at the instance's \
         console output for the mount and for ecs.service"
    )]
    NeverRegistered {
        /// The volume's id.
        volume: VolumeId,
        /// The policy's timeout.
        seconds: i64,
        /// What is wrong with the agent.
        agent: String,
    },
    /// The agent registered as another core's.
    #[error(
        "its ECS agent registered with neo4j.core={}, but its group is that of core {wants}: correct ecs.config in the \
         group's launch template",
        shown(.has.as_ref().map(CoreId::as_str))
    )]
    OtherCore {
        /// The attribute's value.
        has: Option<CoreId>,
        /// The group's core.
        wants: CoreId,
    },
    /// ECS would count the tasks on the other instance as the core's, and place none on this one.
    #[error("core {core} is still registered by {by}, on whose tasks ECS counts: its ECS agent must go first")]
    OtherRegistration {
        /// The core.
        core: CoreId,
        /// The other instance.
        by: InstanceId,
    },
    /// An instance that is gone has left its registration behind.
    #[error("its instance is gone and no longer holds volume {0}, but ECS still counts on its tasks")]
    Stale(VolumeId),
    /// The agent did not wait for the volume.
    #[error(
        "its ECS agent registered although volume {0} is not attached, so that Neo4j would write to the root disk: make \
         ecs.service require the mount in the group's launch template"
    )]
    RegisteredWithoutVolume(VolumeId),
    /// Everything is ready.
    #[error("volume {0} is attached, and the ECS agent is connected")]
    Ready(VolumeId),
    /// Everything that a replica needs is ready.
    #[error("the ECS agent is connected")]
    Connected,
    /// A replica's agent is missing.
    #[error("the ECS agent {0}")]
    AwaitingAgent(String),
    /// It takes no part in the cluster.
    #[error("it is not a container instance of the ECS cluster: it never joined, or has left")]
    NotJoined,
    /// Nothing runs on it, so its registration can be removed, and then the instance.
    #[error("no task is left on it")]
    NoTasks,
    /// It no longer counts towards the quorum.
    #[error("it is dead: EC2's status checks fail, and ECS has lost its agent for more than five minutes")]
    Dead,
    /// ECS cannot reach it, and there is no complete cluster that could be harmed. ECS would wait forever for its
    /// tasks.
    #[error("ECS has lost its agent for more than five minutes, and the cluster is not complete")]
    Silent,
    /// Only somebody else's tasks are on it, and nobody can stop them.
    #[error("ECS has lost its agent for more than five minutes, and no task of the cluster is on it")]
    SilentWithoutMember,
    /// It may still reconnect.
    #[error("ECS has lost its agent, but not for long")]
    AgentAway,
    /// A list of tasks was incomplete.
    #[error("ECS counts more running tasks on it than it lists: {0} more, and any may be a member")]
    TasksUnlisted(usize),
    /// Another one is deregistered in the same plan, or another core is on its way back.
    #[error("it is dead, but instances are deregistered one at a time: another core must be in service first")]
    NotAtOnce,
    /// No more tasks may be placed on it, and those of services must stop.
    #[error("the cluster is being deleted: ECS is to stop the tasks on it, and to place no more")]
    Leaving,
    /// It is drained, and the tasks left on it are stopping, or never will.
    #[error("tasks on it that have not stopped: {0}: stop those that ECS does not stop by itself")]
    TasksStopping(String),
    /// The quorum may depend on it.
    #[error(
        "tasks on it: {0}, and nothing can prove yet that the others have quorum without them: when the hook runs out, \
         Auto Scaling retains it; once the other cores are healthy, set its container instance to DRAINING"
    )]
    QuorumUnproven(usize),
    /// A task placed now would be killed.
    #[error("no task of the cluster is left on it, and no more may be placed")]
    Emptied,
    /// Its hook was abandoned.
    #[error(
        "Auto Scaling retains it with tasks on it: {0}, since nothing could prove that the others have quorum without them: \
         once the other cores are healthy, set its container instance to DRAINING; the rest follows"
    )]
    Retained(usize),
}

/// Returns how a tag or attribute is shown that may be absent.
fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("(none)")
}

impl Reason {
    /// Returns whether only people can fix it. Such a launch gets no heartbeat: the hook's own timeout abandons it,
    /// which limits how many instances are launched in vain.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        match self {
            Self::NoVolumeTag
            | Self::NoCoreTag
            | Self::NoSuchVolume(_)
            | Self::ForeignVolume { .. }
            | Self::OtherZone { .. }
            | Self::UnusableVolume { .. }
            | Self::OtherCore { .. } => true,
            Self::Deleting
            | Self::Available(_)
            | Self::Held { .. }
            | Self::HeldUnseen(_)
            | Self::CreatingVolume(_)
            | Self::Attaching(_)
            | Self::Registering { .. }
            | Self::NeverRegistered { .. }
            | Self::OtherRegistration { .. }
            | Self::Stale(_)
            | Self::RegisteredWithoutVolume(_)
            | Self::Ready(_)
            | Self::Connected
            | Self::AwaitingAgent(_)
            | Self::NotJoined
            | Self::NoTasks
            | Self::Dead
            | Self::Silent
            | Self::SilentWithoutMember
            | Self::AgentAway
            | Self::TasksUnlisted(_)
            | Self::NotAtOnce
            | Self::Leaving
            | Self::TasksStopping(_)
            | Self::QuorumUnproven(_)
            | Self::Emptied
            | Self::Retained(_) => false,
        }
    }
}
