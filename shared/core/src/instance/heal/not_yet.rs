use jiff::Timestamp;

use crate::ids::InstanceId;

/// Why a core that may be ill is not healed yet: what is wrong, and what comes next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotYet {
    /// It may answer again.
    #[error(
        "its Neo4j (task {task}) has not answered since {since:.0}: after ten minutes it is restarted, if the other cores call it \
         unavailable and do without it"
    )]
    SilentNotLong {
        /// The task.
        task: String,
        /// Since when.
        since: Timestamp,
    },
    /// The other cores do not agree.
    #[error(
        "its Neo4j (task {task}) has not answered since {since:.0}, but is not restarted for that alone: {why}; look at its log, \
         and at the network between neo4j-gateway and its instance"
    )]
    OnlySilent {
        /// The task.
        task: String,
        /// Since when.
        since: Timestamp,
        /// Why the other cores do not call it unavailable.
        why: String,
    },
    /// One witness alone.
    #[error(
        "ECS has had no connection to the agent of its instance {instance} since {agent:.0}, but the instance is not replaced for \
         that alone: {why}; look at ecs.service on it by Session Manager"
    )]
    OneWitness {
        /// The instance.
        instance: InstanceId,
        /// Since when.
        agent: Timestamp,
        /// What speaks for it.
        why: String,
    },
    /// EC2 did not answer.
    #[error(
        "ECS has had no connection to the agent of its instance {instance} since {agent:.0}, and EC2 has not said yet whether its \
         status checks fail: the next sweep asks again"
    )]
    StatusUnknown {
        /// The instance.
        instance: InstanceId,
        /// Since when.
        agent: Timestamp,
    },
    /// It is not known which Neo4j would be lost.
    #[error(
        "ECS has had no connection to the agent of its instance {instance} since {agent:.0}, and it is not clear which tasks are \
         on it: look at the tasks of the ECS cluster, and replace the instance if it serves nothing"
    )]
    TasksUnclear {
        /// The instance.
        instance: InstanceId,
        /// Since when.
        agent: Timestamp,
    },
    /// A recovery is never interrupted.
    #[error(
        "its Neo4j (task {task}) has not answered since its start at {since:.0}: it may be recovering, which is never interrupted; \
         look at its log, and at the free space of its volume, and stop the task only if it stands still"
    )]
    Recovering {
        /// The task.
        task: String,
        /// When it started.
        since: Timestamp,
    },
    /// It has a vote.
    #[error(
        "its Neo4j (task {task}) has not answered since its start, and its disk was full then, but {why}: it is not restarted; look \
         at its log"
    )]
    Vouched {
        /// The task.
        task: String,
        /// Who says so.
        why: crate::quorum::Doubt,
    },
    /// A restart would end in the next start that hangs.
    #[error(
        "its disk was full, and {free:.2} % of it is free: raise the parameter DataVolumeSize; the file system grows by itself, and \
         with more than 20 % free for ten minutes its Neo4j is restarted"
    )]
    StillFull {
        /// How much is free, in per cent.
        free: f64,
    },
    /// It may be filled again.
    #[error(
        "its disk was full, and has had room since {since:.0}: {free:.0} % is free; after ten minutes its Neo4j is restarted"
    )]
    RoomNotLong {
        /// Since when.
        since: Timestamp,
        /// How much is free, in per cent.
        free: f64,
    },
    /// The metric has stopped.
    #[error(
        "its disk was full, and it is not known whether it has room now: the metric DataDiskFreePercent of core {core} {}; look at \
         its container debug-log, or restart the core once its volume has room", .last.map_or_else(|| "has no value".to_owned(), |at| format!("ends at {at:.0}"))
    )]
    RoomUnknown {
        /// The core.
        core: u8,
        /// The time of the last value.
        last: Option<Timestamp>,
    },
    /// Once for each task.
    #[error(
        "its task {task} was to be stopped at {at:.0}, but ECS still wants it to run: that is tried again at {again:.0}; look at the \
         log of instance-drainer"
    )]
    NotStopped {
        /// The task.
        task: String,
        /// When it was to be stopped.
        at: Timestamp,
        /// When that is tried again.
        again: Timestamp,
    },
    /// Once an hour.
    #[error("it was restarted at {at:.0}, and is ill again: it is not restarted before {again:.0}; look at its log")]
    RestartedLately {
        /// The last time.
        at: Timestamp,
        /// The earliest time of the next one.
        again: Timestamp,
    },
    /// Three times a day.
    #[error(
        "it was restarted {times} times within a day, and is ill again: it is not restarted before {again:.0}; look at its log, and \
         replace its instance"
    )]
    RestartedOften {
        /// How often.
        times: usize,
        /// The earliest time of the next one.
        again: Timestamp,
    },
}
