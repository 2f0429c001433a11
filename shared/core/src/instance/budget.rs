//! What is settled before anything is planned: what only one instance may have at a time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Group, Instance, NOT_WHOLE, Observed, Policy, State, Task, launch, leave::is_dead};
use crate::ids::{InstanceId, VolumeId};

/// What only one instance may have at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// The dead instance that may be deregistered.
    deregisters: Option<InstanceId>,
    /// Which instance each volume goes to, once it is free.
    volumes: BTreeMap<VolumeId, InstanceId>,
}

impl Budget {
    /// Assigns what is available. `instances` are in the order in which they are served.
    pub(super) fn of(observed: &Observed, instances: &[(&Group, &Instance)], policy: &Policy, now: Timestamp) -> Self {
        let mut volumes = BTreeMap::new();
        for (group, instance) in instances.iter().filter(|(_, instance)| instance.state == State::PendingWait) {
            if let Some(volume) = launch::awaited(observed, group, instance, policy) {
                volumes.entry(volume.clone()).or_insert_with(|| instance.id.clone());
            }
        }
        Self { deregisters: deregisters(observed, policy, now), volumes }
    }

    /// Returns whether a dead instance may be deregistered now.
    pub(super) fn may_deregister(&self, instance: &InstanceId) -> bool {
        self.deregisters.as_ref() == Some(instance)
    }

    /// Returns the instance that a free volume goes to.
    pub(super) fn holder(&self, volume: &VolumeId) -> Option<&InstanceId> {
        self.volumes.get(volume)
    }
}

/// Returns the first dead instance; nothing while another core is on its way back, for which it has half an hour. A
/// false diagnosis must not cost the quorum.
fn deregisters(observed: &Observed, policy: &Policy, now: Timestamp) -> Option<InstanceId> {
    let instances =
        observed.groups.iter().flat_map(|group| group.instances.iter().map(move |found| (&group.name, found)));
    let dead: BTreeSet<_> = instances
        .filter(|(_, instance)| is_dead(observed, instance, now))
        .map(|(group, instance)| (group, &instance.id))
        .collect();
    let mut others = observed.groups.iter().filter(|group| {
        group.is_core() && !dead.iter().any(|(name, _)| **name == group.name) && !group.instances.is_empty()
    });
    let coming_back = others.any(|group| {
        let serves = group.instances.iter().any(|instance| serves(observed, instance, policy));
        let since = group.core.as_ref().and_then(|core| observed.not_whole.get(&core.number()?));
        !serves && since.is_none_or(|since| now.duration_since(*since) <= NOT_WHOLE)
    });
    dead.first().filter(|_| !coming_back).map(|(_, id)| (*id).clone())
}

/// Returns whether a core's instance is in service, or runs a task of the cluster under a connected agent, as a
/// retained one may.
fn serves(observed: &Observed, instance: &Instance, policy: &Policy) -> bool {
    let runs = |task: &Task| policy.is_ours(task) && task.status == "RUNNING";
    let heard = observed.of(&instance.id).iter().any(|found| found.connected && found.tasks.iter().any(runs));
    instance.state.is_in_service() || heard
}
