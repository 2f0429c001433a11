use jiff::Timestamp;

use super::{Action, ContainerInstance, Observed, Phase, Reason, Step};

/// Plans the end of stale registrations: ECS deregisters a terminated instance only if its agent was still connected,
/// and counts the tasks of any other as running forever.
///
/// That an instance is in no group and its agent disconnected proves nothing: a list may be stale, an agent silent for
/// a moment. That its core's volume is no longer attached to it is proof.
///
/// When the cluster is deleted, every silent registration is removed first: ECS waits for tasks that nobody can stop,
/// and keeps a cluster that has registrations.
pub(super) fn registrations(observed: &Observed, now: Timestamp) -> impl Iterator<Item = Step> {
    observed.container_instances.iter().filter(|found| !found.connected).filter_map(move |found| {
        if observed.phase == Phase::Deleting { silent(observed, found, now) } else { left_behind(observed, found) }
    })
}

fn silent(observed: &Observed, found: &ContainerInstance, now: Timestamp) -> Option<Step> {
    let group = observed.group_of(&found.instance);
    let mut instances = group.into_iter().flat_map(|group| &group.instances);
    let held = instances.any(|instance| instance.id == found.instance && instance.state.is_held());
    let group = group.map_or("(no group)", |group| &group.name);
    (found.is_silent(now) && !held).then(|| step(group, found, Reason::Silent))
}

fn left_behind(observed: &Observed, found: &ContainerInstance) -> Option<Step> {
    let core = found.core.as_ref()?;
    let group = observed.groups.iter().find(|group| group.core.as_ref() == Some(core))?;
    let (id, volume) = observed.volumes.get_key_value(group.volume.as_ref()?)?;
    let holds = volume.attachments.iter().any(|attachment| attachment.instance == found.instance);
    let gone = !holds && observed.group_of(&found.instance).is_none();
    gone.then(|| step(&group.name, found, Reason::Stale(id.clone())))
}

fn step(group: &str, found: &ContainerInstance, why: Reason) -> Step {
    Step {
        group: group.to_owned(),
        instance: found.instance.clone(),
        state: None,
        action: Action::Deregister { container_instances: vec![found.arn.clone()] },
        why,
    }
}
