//! Container instances and their tasks, as observed.

use jiff::{SignedDuration, Timestamp};

use crate::ids::{ContainerInstanceArn, CoreId, InstanceId, TaskDefinitionArn};

/// How long an agent may be disconnected before it counts as silent: agents disconnect for moments several times an
/// hour (developer guide, «Amazon ECS container instance state change events»).
const SILENCE: SignedDuration = SignedDuration::from_mins(5);

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
