use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};

use super::{Group, Host, Instance, Life, Reading, Reason, State, Volume, VolumeStatus};

/// What a decision goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The cluster's name, which its volumes carry as the tag `neo4j:cluster`.
    pub cluster: String,
    /// How long after the attachment of its volume an instance may take to register with ECS.
    pub register_timeout: SignedDuration,
}

/// Agents lose their connection for moments several times an hour (the ECS guide on container instance events says so).
/// One that is away for longer than this is silent.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);
/// How long EC2 may go on calling a volume free after it was attached.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// What is done about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Attach this volume.
    Attach {
        /// The volume's id.
        volume: String,
    },
    /// Leave it as it is.
    Wait {
        /// Whether the hook's time-out begins anew, so that it never runs out. Without, there is a deadline.
        heartbeat: bool,
    },
    /// Complete the launch: the instance goes into service.
    Admit,
    /// Abandon the launch: Auto Scaling terminates the instance and launches another.
    Refuse,
    /// Set its container instance to DRAINING.
    Drain {
        /// The container instance's ARN.
        host: String,
    },
    /// Deregister its container instance by force, so that ECS takes its tasks for stopped and places others.
    Forsake {
        /// The container instance's ARN.
        host: String,
    },
    /// Complete the hook before its termination.
    Release,
    /// Terminate a retained instance.
    Terminate,
}

/// One instance, with what is done about it and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instance's Auto Scaling group.
    pub group: String,
    /// The EC2 id.
    pub instance: String,
    /// The state in which it is held.
    pub state: State,
    /// What is done.
    pub action: Action,
    /// Why.
    pub why: Reason,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, instance, action, why, .. } = self;
        match action {
            Action::Attach { volume } => write!(f, "+ {group} {instance} attach {volume}: {why}"),
            Action::Wait { .. } => write!(f, "= {group} {instance} waits: {why}"),
            Action::Admit => write!(f, "+ {group} {instance} admit: {why}"),
            Action::Refuse => write!(f, "- {group} {instance} refuse: {why}"),
            Action::Drain { .. } => write!(f, "- {group} {instance} drain: {why}"),
            Action::Forsake { .. } => write!(f, "- {group} {instance} forsake: {why}"),
            Action::Release => write!(f, "- {group} {instance} release: {why}"),
            Action::Terminate => write!(f, "- {group} {instance} terminate: {why}"),
        }
    }
}

/// What to do about every instance that Auto Scaling holds. The steps do not depend on each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a plan that is not applied changes nothing"]
pub struct Plan {
    /// By group and instance; at most one for each instance.
    pub steps: Vec<Step>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

/// What is decided about one instance.
type Verdict = (Action, Reason);

/// Waits, and lets the hook's time-out run: it is the deadline.
fn wait(why: Reason) -> Verdict {
    (Action::Wait { heartbeat: false }, why)
}

/// Waits as long as it takes.
fn wait_on(why: Reason) -> Verdict {
    (Action::Wait { heartbeat: true }, why)
}

/// Plans what becomes of every instance that Auto Scaling holds.
///
/// A volume goes only to an instance of the group that names it, only when its own tags say the same, and only to one: its
/// data is the core. An instance with tasks is let go only where no quorum can be lost with it.
pub fn plan(reading: &Reading, policy: &Policy, now: Timestamp) -> Plan {
    let groups = reading.groups.iter();
    let mut instances: Vec<_> = groups.flat_map(|group| group.instances.iter().map(move |i| (group, i))).collect();
    // Of two that could have a volume the first one gets it: always the same, whatever the order of the answer.
    instances.sort_by_key(|(group, instance)| (&group.name, &instance.id));
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    let mut plan = Plan::default();
    for (group, instance) in instances {
        let Some(mut verdict) = judge(reading, group, instance, policy, now) else { continue };
        if let (Action::Attach { volume }, _) = &verdict {
            let by = given.entry(volume.clone()).or_insert_with(|| instance.id.clone());
            if *by != instance.id {
                verdict = wait_on(Reason::Held { volume: volume.clone(), by: by.clone() });
            }
        }
        let (action, why) = verdict;
        let (group, state) = (group.name.clone(), instance.state.clone());
        plan.steps.push(Step { group, instance: instance.id.clone(), state, action, why });
    }
    one_at_a_time(&mut plan, reading);
    plan.steps.extend(ghosts(reading, now));
    plan
}

/// Of machines that are forsaken for dead holds all but the first back, and that one too while another core is on its way
/// back: if it is a mistake, it shall not cost a quorum.
fn one_at_a_time(plan: &mut Plan, reading: &Reading) {
    let is_dead = |step: &&mut Step| step.why == Reason::Dead;
    let dead: Vec<_> = plan.steps.iter_mut().filter(is_dead).map(|step| step.group.clone()).collect();
    let in_service = |instance: &Instance| instance.state == State::Other("InService".to_owned());
    let mut others = reading.groups.iter().filter(|group| group.is_core() && !dead.contains(&group.name));
    let coming_back = others.any(|group| !group.instances.is_empty() && !group.instances.iter().any(in_service));
    for step in plan.steps.iter_mut().filter(is_dead).skip(usize::from(!coming_back)) {
        (step.action, step.why) = wait(Reason::NotAtOnce);
    }
}

/// Whether ECS has lost an agent for longer than agents are away anyway. What runs no task cannot be asked for how long.
fn is_silent(host: &Host, now: Timestamp) -> bool {
    let long = host.silent_since.is_some_and(|since| now.duration_since(since) > SILENCE);
    !host.connected && (long || host.tasks == 0)
}

/// Registrations that machines have left behind which are no more. ECS deregisters a machine that is terminated only while
/// its agent is connected, and takes the tasks of any other for running for ever.
///
/// That a machine is in no group and its agent away is no proof: a list may be stale, an agent silent for a moment. That
/// its core's volume has let go of it is one.
///
/// When the cluster goes every silent registration goes first: ECS waits for tasks that nobody can stop, and keeps a cluster
/// that has registrations.
fn ghosts(reading: &Reading, now: Timestamp) -> impl Iterator<Item = Step> {
    reading.hosts.iter().filter(|(_, host)| !host.connected).filter_map(move |(instance, host)| {
        if reading.life == Life::Deleting {
            let group = reading.groups.iter().find(|group| group.instances.iter().any(|found| found.id == *instance));
            let held =
                group.is_some_and(|group| group.instances.iter().any(|i| i.id == *instance && i.state.is_held()));
            return (is_silent(host, now) && !held).then(|| Step {
                group: group.map_or("(no group)", |group| &group.name).to_owned(),
                instance: instance.clone(),
                state: State::Other("not held".to_owned()),
                action: Action::Forsake { host: host.arn.clone() },
                why: Reason::Silent,
            });
        }
        let core = host.core.as_deref()?;
        let member = |group: &&Group| group.instances.iter().any(|found| found.id == *instance);
        let group = reading.groups.iter().find(|group| group.core.as_deref() == Some(core))?;
        let (id, volume) = reading.volumes.get_key_value(group.volume.as_deref()?)?;
        let holds = volume.attachments.iter().any(|attachment| attachment.instance == *instance);
        (!holds && reading.groups.iter().find(member).is_none()).then(|| Step {
            group: group.name.clone(),
            instance: instance.clone(),
            state: State::Other("gone".to_owned()),
            action: Action::Forsake { host: host.arn.clone() },
            why: Reason::Ghost(id.clone()),
        })
    })
}

/// What is decided about one instance, or nothing when it is not held.
fn judge(reading: &Reading, group: &Group, instance: &Instance, policy: &Policy, now: Timestamp) -> Option<Verdict> {
    let host = reading.hosts.get(&instance.id);
    let deleting = reading.life == Life::Deleting;
    Some(match instance.state {
        State::PendingWait if deleting => (Action::Admit, Reason::Deleting),
        State::PendingWait if group.is_core() => launching(reading, group, instance, policy, now),
        State::PendingWait => match fault(host) {
            None => (Action::Admit, Reason::Connected),
            Some(agent) => wait(Reason::AwaitingAgent(agent)),
        },
        State::TerminatingWait => leaving(reading.life, instance, host, now),
        State::Retained => match leaving(reading.life, instance, host, now) {
            (Action::Release, why) => (Action::Terminate, why),
            (Action::Wait { .. }, Reason::QuorumUnproven(tasks)) => wait(Reason::Retained(tasks)),
            other => other,
        },
        State::Other(_) => return None,
    })
}

/// A core's instance on its way in.
fn launching(reading: &Reading, group: &Group, instance: &Instance, policy: &Policy, now: Timestamp) -> Verdict {
    let (core, id, volume) = match own_volume(reading, group, instance, policy) {
        Ok(found) => found,
        Err(why) => return wait(why),
    };
    let host = reading.hosts.get(&instance.id);
    if let Some(other) = volume.attachments.iter().find(|attachment| attachment.instance != instance.id) {
        return wait_on(Reason::Held { volume: id.to_owned(), by: other.instance.clone() });
    }
    let Some(attachment) = volume.attachments.first() else {
        return match volume.status {
            VolumeStatus::Creating => wait(Reason::CreatingVolume(id.to_owned())),
            // EC2 may not yet say what was attached a moment ago, and the agent may have waited for.
            VolumeStatus::Available if let Some(host) = host => {
                let why = Reason::RegisteredWithoutVolume(id.to_owned());
                let old = host.registered.is_some_and(|registered| now.duration_since(registered) > STALE);
                if old { (Action::Refuse, why) } else { wait(why) }
            }
            VolumeStatus::Available => (Action::Attach { volume: id.to_owned() }, Reason::Available(id.to_owned())),
            VolumeStatus::InUse | VolumeStatus::Other(_) => wait_on(Reason::HeldUnseen(id.to_owned())),
        };
    };
    if !attachment.attached {
        return wait(Reason::Attaching(id.to_owned()));
    }
    if let Some(host) = host
        && host.core.as_deref() != Some(core)
    {
        return wait(Reason::OtherCore { has: host.core.clone(), wants: core.to_owned() });
    }
    let Some(agent) = fault(host) else {
        let mut others = reading.hosts.iter().filter(|(other, _)| **other != instance.id);
        return match others.find(|(_, other)| other.core.as_deref() == Some(core)) {
            Some((by, _)) => wait(Reason::OtherHost { core: core.to_owned(), by: by.clone() }),
            None => (Action::Admit, Reason::Ready(id.to_owned())),
        };
    };
    if attachment.since.is_some_and(|since| now.duration_since(since) > policy.register_timeout) {
        let seconds = policy.register_timeout.as_secs();
        return (Action::Refuse, Reason::NeverRegistered { volume: id.to_owned(), seconds, agent });
    }
    wait(Reason::Registering { volume: id.to_owned(), agent })
}

/// The core of a group, with the id and the state of its volume; or why this instance must not have that volume.
fn own_volume<'a>(
    reading: &'a Reading,
    group: &'a Group,
    instance: &Instance,
    policy: &Policy,
) -> Result<(&'a str, &'a str, &'a Volume), Reason> {
    let id = group.volume.as_deref().ok_or(Reason::NoVolumeTag)?;
    let core = group.core.as_deref().ok_or(Reason::NoCoreTag)?;
    let volume = reading.volumes.get(id).ok_or_else(|| Reason::NoSuchVolume(id.to_owned()))?;
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

/// What keeps an ECS agent from taking tasks.
fn fault(host: Option<&Host>) -> Option<String> {
    match host {
        None => Some("has not registered".to_owned()),
        Some(host) if !host.connected => Some("is not connected".to_owned()),
        Some(host) if !host.is_active() => Some(format!("is {}, not ACTIVE", host.status)),
        Some(_) => None,
    }
}

/// An instance on its way out.
fn leaving(life: Life, instance: &Instance, host: Option<&Host>, now: Timestamp) -> Verdict {
    let Some(host) = host else { return (Action::Release, Reason::NotJoined) };
    let silent = is_silent(host, now);
    let forsake = || Action::Forsake { host: host.arn.clone() };
    match (life, host.tasks) {
        (Life::Complete, 0) if host.is_active() => (Action::Drain { host: host.arn.clone() }, Reason::Emptied),
        (Life::Complete, 0) => (Action::Release, Reason::NoTasks),
        // Its volume goes to nobody before EC2 has ended it: what might still run there cannot write beside another.
        (Life::Complete, _) if silent && !instance.healthy => (forsake(), Reason::Dead),
        (Life::Complete, tasks) => wait(Reason::QuorumUnproven(tasks)),
        (Life::Creating | Life::Deleting, _) if silent => (forsake(), Reason::Silent),
        (Life::Creating | Life::Deleting, 0) => (Action::Release, Reason::NoTasks),
        (Life::Creating | Life::Deleting, _) if !host.connected => wait(Reason::AgentAway),
        (Life::Creating | Life::Deleting, tasks) => wait(Reason::TasksStopping(tasks)),
    }
}
