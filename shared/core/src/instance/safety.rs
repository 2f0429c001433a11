//! What is settled before anything is planned: which instances must not lose their tasks, and what only one instance may
//! have at a time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Group, Instance, NOT_WHOLE, Observed, Phase, Policy, Reason, State, Task, launch, leave::is_dead};
use crate::ids::{InstanceId, VolumeId};

/// The reasons why instances must not lose their tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Safety {
    reasons: BTreeMap<InstanceId, Vec<Reason>>,
}

impl Safety {
    /// Judges every instance that waits to be released. An instance with tasks of a complete cluster may be what its quorum
    /// depends on, unless it is dead.
    pub(super) fn of(observed: &Observed, policy: &Policy, now: Timestamp) -> Self {
        let instances = observed.groups.iter().flat_map(|group| &group.instances);
        let leaving = instances.filter(|instance| instance.state.awaits_release());
        let reasons = leaving.filter(|instance| !is_dead(observed, instance, now)).filter_map(|instance| {
            let registrations = observed.of(&instance.id);
            let ours = registrations.iter().flat_map(|found| &found.tasks).filter(|task| policy.is_ours(task)).count();
            let unlisted: usize = registrations.iter().map(|found| found.unlisted_tasks()).sum();
            let why = if instance.state == State::Retained { Reason::Retained } else { Reason::QuorumUnproven };
            let mut reasons = Vec::new();
            if observed.phase == Phase::Complete && ours > 0 {
                reasons.push(why(ours));
            }
            // What a list left out may be a member. When the cluster is being deleted that makes no difference.
            if observed.phase != Phase::Deleting && unlisted > 0 {
                reasons.push(Reason::TasksUnlisted(unlisted));
            }
            (!reasons.is_empty()).then(|| (instance.id.clone(), reasons))
        });
        Self { reasons: reasons.collect() }
    }

    /// Returns why the tasks on an instance must keep running; nothing when they may be stopped.
    pub(super) fn unsafe_to_stop(&self, instance: &InstanceId) -> &[Reason] {
        self.reasons.get(instance).map_or(&[], Vec::as_slice)
    }
}

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
