use jiff::{SignedDuration, Timestamp};

use super::{
    Action, ContainerInstance, Group, Instance, Observed, Policy, Reason, Volume, VolumeStatus,
    plan::{Verdict, wait, wait_on},
};

/// How long EC2 may go on calling a volume free after it was attached.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// Decides about a core's instance on its way in.
pub(super) fn launching(
    observed: &Observed,
    group: &Group,
    instance: &Instance,
    policy: &Policy,
    now: Timestamp,
) -> Verdict {
    let (core, id, volume) = match own_volume(observed, group, instance, policy) {
        Ok(found) => found,
        Err(why) => return wait(why),
    };
    if let Some(other) = volume.attachments.iter().find(|attachment| attachment.instance != instance.id) {
        return wait_on(Reason::Held { volume: id.to_owned(), by: other.instance.clone() });
    }
    let registrations = observed.of(&instance.id);
    let registered = current(&registrations);
    let Some(attachment) = volume.attachments.first() else {
        return match volume.status {
            VolumeStatus::Creating => wait(Reason::CreatingVolume(id.to_owned())),
            // EC2 may not yet say what was attached a moment ago, and the agent may have waited for.
            VolumeStatus::Available if let Some(found) = registered => {
                let why = Reason::RegisteredWithoutVolume(id.to_owned());
                let old = found.registered.is_some_and(|registered| now.duration_since(registered) > STALE);
                if old { (Action::Refuse, why) } else { wait(why) }
            }
            VolumeStatus::Available => (Action::Attach { volume: id.to_owned() }, Reason::Available(id.to_owned())),
            VolumeStatus::InUse | VolumeStatus::Other(_) => wait_on(Reason::HeldUnseen(id.to_owned())),
        };
    };
    if !attachment.attached {
        return wait(Reason::Attaching(id.to_owned()));
    }
    if let Some(found) = registered
        && found.core.as_deref() != Some(core)
    {
        return wait(Reason::OtherCore { has: found.core.clone(), wants: core.to_owned() });
    }
    let Some(agent) = agent_fault(registered) else {
        let mut others = observed.container_instances.iter().filter(|other| other.instance != instance.id);
        return match others.find(|other| other.core.as_deref() == Some(core)) {
            Some(other) => wait(Reason::OtherRegistration { core: core.to_owned(), by: other.instance.clone() }),
            None => (Action::Admit, Reason::Ready(id.to_owned())),
        };
    };
    if attachment.since.is_some_and(|since| now.duration_since(since) > policy.register_timeout) {
        let seconds = policy.register_timeout.as_secs();
        return (Action::Refuse, Reason::NeverRegistered { volume: id.to_owned(), seconds, agent });
    }
    wait(Reason::Registering { volume: id.to_owned(), agent })
}

/// Returns the core of a group, with the id and the state of its volume; or why this instance must not have that volume.
pub(super) fn own_volume<'a>(
    observed: &'a Observed,
    group: &'a Group,
    instance: &Instance,
    policy: &Policy,
) -> Result<(&'a str, &'a str, &'a Volume), Reason> {
    let id = group.volume.as_deref().ok_or(Reason::NoVolumeTag)?;
    let core = group.core.as_deref().ok_or(Reason::NoCoreTag)?;
    let volume = observed.volumes.get(id).ok_or_else(|| Reason::NoSuchVolume(id.to_owned()))?;
    let tags = [("neo4j:cluster", &volume.cluster, policy.cluster.as_str()), ("neo4j:core", &volume.core, core)];
    for (tag, has, wants) in tags {
        if has.as_deref() != Some(wants) {
            let (volume, has, wants) = (id.to_owned(), has.clone(), wants.to_owned());
            return Err(Reason::ForeignVolume { volume, tag, has, wants });
        }
    }
    if volume.zone != instance.zone {
        let (zone, instance) = (volume.zone.clone(), instance.zone.clone());
        return Err(Reason::OtherZone { volume: id.to_owned(), zone, instance });
    }
    if let VolumeStatus::Other(status) = &volume.status {
        return Err(Reason::UnusableVolume { volume: id.to_owned(), status: status.clone() });
    }
    Ok((core, id, volume))
}

/// Returns the registration that speaks for an instance: of several the connected one, since an agent has one connection.
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
