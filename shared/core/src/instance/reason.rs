use jiff::Timestamp;

use super::Cause;
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
    /// Nothing is listed on it, in lists that may be older than its drain.
    #[error("no task is listed on it, and none has been seen to stop: the next sweeps look again for half a minute")]
    Settling,
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
    /// A task placed now would be killed.
    #[error("no task of the cluster is left on it, and no more may be placed")]
    Emptied,
    /// The others do without it.
    #[error("{why}, and {}", if .cause.is_gated() { "every database keeps its majority without it" } else { "it has no vote" })]
    Spared {
        /// Why it is stopped.
        cause: Cause,
        /// The same, with what proves it.
        why: String,
    },
    /// The gate is shut.
    #[error("core {core} must not be stopped: {why}")]
    GateShut {
        /// The core.
        core: u8,
        /// What speaks against it.
        why: String,
    },
    /// Neo4j was not asked.
    #[error("nobody asked Neo4j yet whether the others do without it: the next sweep does")]
    NotAsked,
    /// Neo4j could not be asked.
    #[error(
        "Neo4j could not be asked whether the others do without it: {0}; the next sweep asks again, and where that does not help, \
         the log of neo4j-gateway says more"
    )]
    GatewayFailed(String),
    /// The function does not know whom to ask.
    #[error(
        "nobody can ask Neo4j whether the others do without it: instance-drainer has no variable GATEWAY_FUNCTION; an update of \
         the stack gives it one"
    )]
    NoGateway,
    /// No gate can be asked about it.
    #[error(
        "its group's tag neo4j:core, its tasks and its agent do not name one core, so nobody can say whether the others do \
         without it: correct the tag neo4j:core, or move the task that is not its own"
    )]
    NotOneCore,
    /// Another core is away.
    #[error("core {core} was stopped at {since:.0} ({cause}), and must be back before another core may be stopped")]
    LeaseHeld {
        /// The core that is away.
        core: u8,
        /// Why it was stopped.
        cause: Cause,
        /// When.
        since: Timestamp,
    },
    /// Nobody can tell who holds it.
    #[error(
        "the lease in the state table is unreadable, so no core is stopped on purpose: when every core is whole, delete the item \
         cluster/lease"
    )]
    LeaseUnreadable,
    /// One at a time.
    #[error("core {core} is stopped first ({cause}): one at a time")]
    AnotherFirst {
        /// The other core.
        core: u8,
        /// Why that one is stopped.
        cause: Cause,
    },
    /// No vote depends on it.
    #[error("it leaves, and no core is on it")]
    NoCore,
    /// ECS is stopping its core, for whatever reason.
    #[error("its core is being stopped, and no more tasks may be placed on it")]
    Ending,
    /// Its agent will never report that its tasks have stopped.
    #[error("ECS has lost its agent for more than five minutes: its tasks will never be reported as stopped")]
    Unreachable,
    /// EC2 takes it within two minutes.
    #[error("EC2 takes its Spot instance at {0:.0}")]
    Spot(Timestamp),
    /// EC2 takes it, and the others need it.
    #[error("EC2 takes its Spot instance at {ends:.0}, and the others need it as long as it lasts: {why}")]
    SpotWaits {
        /// When EC2 takes it.
        ends: Timestamp,
        /// Why the others need it.
        why: String,
    },
    /// EC2 takes it, although the others need it.
    #[error(
        "EC2 takes its Spot instance at {ends:.0}: its Neo4j is stopped now, so that it ends cleanly, although the others need \
         it: {why}"
    )]
    SpotEnds {
        /// When EC2 takes it.
        ends: Timestamp,
        /// Why the others need it.
        why: String,
    },
    /// DRAINING does not stop them.
    #[error("ECS does not stop tasks that belong to no service, and they had {minutes} minutes: {tasks}")]
    Standalone {
        /// The time that they had.
        minutes: i64,
        /// The tasks by their group.
        tasks: String,
    },
    /// It took too long.
    #[error(
        "it could not leave within {minutes} minutes: {why}; its hook is abandoned, and a group with a retention policy keeps it"
    )]
    Deadline {
        /// The time that it had.
        minutes: i64,
        /// What it waited for.
        why: String,
    },
    /// No task of a service is left on its container instance, so that it may go.
    #[error("EC2 recommends to replace its Spot instance, and its core has been stopped")]
    Rebalanced,
}

/// Returns how a tag or attribute is shown that may be absent.
fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("(none)")
}

impl Reason {
    /// Returns what an instance on its way out waits for: a value of the dimension `Reason` of the metric `WaitSeconds`.
    #[must_use]
    pub fn waits_for(&self) -> &'static str {
        match self {
            Self::GateShut { .. }
            | Self::NotAsked
            | Self::GatewayFailed(_)
            | Self::NoGateway
            | Self::NotOneCore
            | Self::SpotWaits { .. } => "gate",
            Self::LeaseHeld { .. } | Self::LeaseUnreadable | Self::AnotherFirst { .. } | Self::NotAtOnce => "lease",
            Self::AgentAway | Self::TasksUnlisted(_) => "agent",
            _ => "tasks",
        }
    }

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
            | Self::Settling
            | Self::TasksStopping(_)
            | Self::Emptied
            | Self::Spared { .. }
            | Self::GateShut { .. }
            | Self::NotAsked
            | Self::GatewayFailed(_)
            | Self::NoGateway
            | Self::NotOneCore
            | Self::LeaseHeld { .. }
            | Self::LeaseUnreadable
            | Self::AnotherFirst { .. }
            | Self::NoCore
            | Self::Ending
            | Self::Unreachable
            | Self::Spot(_)
            | Self::SpotWaits { .. }
            | Self::SpotEnds { .. }
            | Self::Standalone { .. }
            | Self::Deadline { .. }
            | Self::Rebalanced => false,
        }
    }
}
