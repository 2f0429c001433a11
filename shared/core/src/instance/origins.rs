//! The snapshots that the data volumes were created from, with their zones and their key.
//!
//! CloudFormation replaces a volume whose snapshot, zone or key changes, and with it the core's data: for every core at
//! once. So the values from the stack's creation are kept in the resource's physical id. The snapshots are returned
//! from there ever after, whatever the parameter says by then; another zone or key is refused before any core is
//! changed. So is a lower number of cores: the instances of those left out would be retained while they run, with their
//! volumes. And so is one that is too high at once: a rollback would delete all new cores together.

use std::fmt;

#[cfg(test)]
mod tests;

/// The most cores that a cluster has.
pub const MOST_CORES: u8 = 7;

/// The origins of a stack's data volumes. Their [`Display`](fmt::Display) is the physical id that remembers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// How many cores were requested; nothing when read from a physical id, which does not remember it.
    cores: Option<u8>,
    /// One for each core, or none.
    snapshots: Vec<String>,
    /// Zones and key, as written in the physical id.
    place: String,
}

/// Why CloudFormation must not continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginsRefused {
    /// Some cores would start with a blank volume beside others that do not.
    #[error("RestoreSnapshotIds names {snapshots} snapshots for {cores} cores: name one for each core, or none")]
    SnapshotCount {
        /// How many are named.
        snapshots: usize,
        /// How many cores are requested.
        cores: u8,
    },
    /// CloudFormation would replace every volume.
    #[error(
        "the data volumes were created with {then}, and this update requests {now}: CloudFormation would replace every one \
         with a blank volume. Set CoreZone1 to CoreZone3 and DataKmsKeyArn as they were; for others deploy a second stack"
    )]
    OtherPlace {
        /// The place that they were created with.
        then: String,
        /// The place that is requested.
        now: String,
    },
    /// Cores would be taken away while they run.
    #[error(
        "the cluster has {known} cores, and CoreCount={wanted} would take some away while they run: set CoreCount to \
         {known} or more; for fewer deploy a second stack with CoreCount={wanted} and seed its databases from this one"
    )]
    FewerCores {
        /// How many the cluster has.
        known: u8,
        /// How many are requested.
        wanted: u8,
    },
    /// A rollback would leave no majority of the cores that had joined.
    #[error(
        "the cluster has {known} cores, and CoreCount={wanted} would add as many or more: if this update failed, its rollback \
         would take them away all at once, and with them the quorum of the database system. Set CoreCount to {}, and go on \
         from there",
        most_at_once(*.known)
    )]
    TooManyAtOnce {
        /// How many the cluster has.
        known: u8,
        /// How many are requested.
        wanted: u8,
    },
}

/// Returns how many cores a cluster may have after an update, so that those that it had are a majority of them.
fn most_at_once(known: u8) -> u8 {
    known.saturating_mul(2).saturating_sub(1).min(MOST_CORES)
}

impl Origins {
    /// Makes the origins that a new stack requests. Snapshots are one for each core, core 1 first; empty strings are
    /// ignored.
    pub fn new(cores: u8, snapshots: Vec<String>, zones: &[String], key: &str) -> Result<Self, OriginsRefused> {
        let snapshots: Vec<_> = snapshots.into_iter().filter(|id| !id.is_empty()).collect();
        let count = snapshots.len();
        if count > 0 && count != usize::from(cores) {
            return Err(OriginsRefused::SnapshotCount { snapshots: count, cores });
        }
        Ok(Self { cores: Some(cores), snapshots, place: format!("zones={};key={key}", zones.join(",")) })
    }

    /// Returns the origins that a physical id remembers. One that is not ours remembers nothing.
    #[must_use]
    pub fn remembered(physical_id: &str) -> Self {
        let (snapshots, place) = physical_id.split_once(';').unwrap_or_default();
        let snapshots = snapshots.strip_prefix("snapshots=").unwrap_or_default().split(',');
        let snapshots = snapshots.filter(|id| !id.is_empty()).map(str::to_owned).collect();
        Self { cores: None, snapshots, place: place.to_owned() }
    }

    /// Refuses an update that would cost data. `known` is how many cores the cluster had when its last deployment
    /// ended. The snapshots that the update requests are ignored: those of the creation are remembered.
    pub fn refuse_change(&self, wanted: &Self, known: Option<u8>) -> Result<(), OriginsRefused> {
        if self.place != wanted.place {
            return Err(OriginsRefused::OtherPlace { then: self.place.clone(), now: wanted.place.clone() });
        }
        match (known, wanted.cores) {
            (Some(known), Some(wanted)) if wanted < known => Err(OriginsRefused::FewerCores { known, wanted }),
            (Some(known), Some(wanted)) if wanted > most_at_once(known) => {
                Err(OriginsRefused::TooManyAtOnce { known, wanted })
            }
            _ => Ok(()),
        }
    }

    /// Returns the snapshot of every core that there may be, with its number; empty for a blank volume.
    pub fn snapshots_by_core(&self) -> impl Iterator<Item = (u8, &str)> {
        (1..=MOST_CORES).map(|core| (core, self.snapshots.get(usize::from(core) - 1).map_or("", String::as_str)))
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshots={};{}", self.snapshots.join(","), self.place)
    }
}

/// Returns how many cores to expect: those of the last deployment that ended or of the one under way, whichever are
/// more. While an update with fewer is refused, the cores that it left out still exist.
#[must_use]
pub fn expected_cores(configured: u8, deployed: Option<u8>) -> u8 {
    configured.max(deployed.unwrap_or_default())
}
