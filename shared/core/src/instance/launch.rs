use jiff::SignedDuration;

use super::{
    Action, ContainerInstance, Group, Instance, Observed, Policy, Reason, Volume, VolumeStatus,
    plan::{Situation, Verdict, wait, wait_on},
};
use crate::{
    ids::{CoreId, VolumeId},
    names::{CLUSTER_TAG, CORE_TAG},
};

/// How long EC2 may go on reporting a volume as available after it was attached.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// Decides what to do about a core's instance on its way in.
pub(super) fn launching(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Verdict {
    let Situation { observed, policy, budget, now, .. } = *situation;
    let (core, id, volume) = match own_volume(observed, group, instance, policy) {
        Ok(found) => found,
        Err(why) => return wait(why),
    };
    if let Some(other) = volume.attachments.iter().find(|attachment| attachment.instance != instance.id) {
        return wait_on(Reason::Held { volume: id.clone(), by: other.instance.clone() });
    }
    let registrations = observed.of(&instance.id);
    let registered = current(&registrations);
    let Some(attachment) = volume.attachments.first() else {
        return match volume.status {
            VolumeStatus::Creating => wait(Reason::CreatingVolume(id.clone())),
            // EC2 may not yet report an attachment made a moment ago, which the agent did wait for.
            VolumeStatus::Available if let Some(found) = registered => {
                let why = Reason::RegisteredWithoutVolume(id.clone());
                let old = found.registered.is_some_and(|registered| now.duration_since(registered) > STALE);
                if old { (Action::Refuse, why) } else { wait(why) }
            }
            VolumeStatus::Available => match budget.holder(id) {
                Some(other) if *other != instance.id => wait_on(Reason::Held { volume: id.clone(), by: other.clone() }),
                _ => (Action::Attach { volume: id.clone() }, Reason::Available(id.clone())),
            },
            VolumeStatus::InUse | VolumeStatus::Other(_) => wait_on(Reason::HeldUnseen(id.clone())),
        };
    };
    if !attachment.attached {
        return wait(Reason::Attaching(id.clone()));
    }
    if let Some(found) = registered
        && found.core.as_ref() != Some(core)
    {
        return wait(Reason::OtherCore { has: found.core.clone(), wants: core.clone() });
    }
    let Some(agent) = agent_fault(registered) else {
        let mut others = observed.container_instances.iter().filter(|other| other.instance != instance.id);
        return match others.find(|other| other.core.as_ref() == Some(core)) {
            Some(other) => wait(Reason::OtherRegistration { core: core.clone(), by: other.instance.clone() }),
            None => (Action::Admit, Reason::Ready(id.clone())),
        };
    };
    if attachment.since.is_some_and(|since| now.duration_since(since) > policy.register_timeout) {
        let seconds = policy.register_timeout.as_secs();
        return (Action::Refuse, Reason::NeverRegistered { volume: id.clone(), seconds, agent });
    }
    wait(Reason::Registering { volume: id.clone(), agent })
}

/// Returns the volume that an instance on its way in is waiting for. Whether the volume is free is another question.
pub(super) fn awaited<'a>(
    observed: &'a Observed,
    group: &'a Group,
    instance: &Instance,
    policy: &Policy,
) -> Option<&'a VolumeId> {
    let (_, id, _) = own_volume(observed, group, instance, policy).ok()?;
    current(&observed.of(&instance.id)).is_none().then_some(id)
}

/// Returns the core of a group, with the id and the state of its volume; or why this instance must not have that volume.
pub(super) fn own_volume<'a>(
    observed: &'a Observed,
    group: &'a Group,
    instance: &Instance,
    policy: &Policy,
) -> Result<(&'a CoreId, &'a VolumeId, &'a Volume), Reason> {
    let id = group.volume.as_ref().ok_or(Reason::NoVolumeTag)?;
    let core = group.core.as_ref().ok_or(Reason::NoCoreTag)?;
    let volume = observed.volumes.get(id).ok_or_else(|| Reason::NoSuchVolume(id.clone()))?;
    let (its_cluster, its_core) = (volume.cluster.as_deref(), volume.core.as_ref().map(CoreId::as_str));
    for (tag, has, wants) in [(CLUSTER_TAG, its_cluster, policy.cluster.as_str()), (CORE_TAG, its_core, core.as_str())]
    {
        if has != Some(wants) {
            let (volume, has, wants) = (id.clone(), has.map(str::to_owned), wants.to_owned());
            return Err(Reason::ForeignVolume { volume, tag, has, wants });
        }
    }
    if volume.zone != instance.zone {
        let (zone, instance) = (volume.zone.clone(), instance.zone.clone());
        return Err(Reason::OtherZone { volume: id.clone(), zone, instance });
    }
    if let VolumeStatus::Other(status) = &volume.status {
        return Err(Reason::UnusableVolume { volume: id.clone(), status: status.clone() });
    }
    Ok((core, id, volume))
}

/// Returns the registration that represents an instance: of several, the connected one, since an agent has only one
/// connection.
pub(super) fn current<'a>(registrations: &[&'a ContainerInstance]) -> Option<&'a ContainerInstance> {
    let connected = registrations.iter().find(|found| found.connected);
    connected.or(registrations.last()).copied()
}

/// Returns what keeps an ECS agent from taking tasks.
pub(super) fn agent_fault(registered: Option<&ContainerInstance>) -> Option<String> {
    match registered {
        None => Some("has not registered".to_owned()),
        Some(found) if !found.connected => Some("is not connected".to_owned()),
        Some(found) if !found.is_active() => Some(format!("is {}, not ACTIVE", found.status)),
        Some(_) => None,
    }
}
