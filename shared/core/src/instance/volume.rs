//! EBS volumes, as observed.

use jiff::Timestamp;

use crate::ids::{CoreId, InstanceId};

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
