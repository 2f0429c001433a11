//! Auto Scaling groups and their instances, as observed.

use std::fmt;

use super::LaunchTemplate;
use crate::ids::{CoreId, InstanceId, VolumeId};

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
