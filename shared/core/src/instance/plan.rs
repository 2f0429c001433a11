use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{
    Group, Instance, Observed, Phase, Reason, State, Task, launch, leave,
    safety::{Budget, Safety},
    stale,
};
use crate::{
    ids::{ContainerInstanceArn, InstanceId, VolumeId},
    names::{LAUNCH_HOOK, TERMINATE_HOOK},
};

/// The configuration of every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The cluster's name, which its volumes carry as the tag `neo4j:cluster`.
    pub cluster: String,
    /// How many cores there are, numbered from 1.
    pub cores: u8,
    /// The ECS services of the cores, core 1 first. There may be names for more cores than there are.
    pub core_services: Vec<String>,
    /// The ECS services of the replicas. Tasks of all other services belong to somebody else.
    pub replica_services: Vec<String>,
    /// How long after the attachment of its volume an instance may take to register with ECS.
    pub register_timeout: SignedDuration,
}

impl Policy {
    /// Returns whether a task is a member of the cluster.
    #[must_use]
    pub fn is_ours(&self, task: &Task) -> bool {
        let services = || self.core_services.iter().chain(&self.replica_services);
        task.service().is_some_and(|service| services().any(|ours| ours == service))
    }

    /// Returns the ECS service of a core, if it has one.
    #[must_use]
    pub fn service_of(&self, core: u8) -> Option<&str> {
        self.core_services.get(usize::from(core).checked_sub(1)?).map(String::as_str)
    }
}

/// What to do about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Attach this volume.
    Attach {
        /// The volume's id.
        volume: VolumeId,
    },
    /// Leave it as it is.
    Wait {
        /// Whether to restart the hook's timeout, so that it never runs out. Otherwise that timeout is the deadline.
        heartbeat: bool,
    },
    /// Complete the launch: the instance goes into service.
    Admit,
    /// Abandon the launch: Auto Scaling terminates the instance and launches another.
    Refuse,
    /// Set container instances to DRAINING.
    Drain {
        /// Their ARNs.
        container_instances: Vec<ContainerInstanceArn>,
    },
    /// Deregister its container instances.
    Deregister {
        /// The ARNs of all its registrations.
        container_instances: Vec<ContainerInstanceArn>,
        /// Whether to do so even with tasks on them: ECS then considers these stopped, and places others.
        force: bool,
    },
    /// Complete the termination hook: Auto Scaling terminates the instance.
    Release,
    /// Terminate a retained instance.
    Terminate,
}

/// What to do about one instance, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instance's Auto Scaling group.
    pub group: String,
    /// The instance.
    pub instance: InstanceId,
    /// The state in which Auto Scaling holds it; nothing when only its registration is left.
    pub state: Option<State>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub why: Reason,
}

impl Step {
    /// Returns the lifecycle hook that holds the instance. A retained one no longer has any.
    #[must_use]
    pub fn hook(&self) -> Option<&'static str> {
        match self.state {
            Some(State::PendingWait) => Some(LAUNCH_HOOK),
            Some(State::TerminatingWait) => Some(TERMINATE_HOOK),
            Some(State::Retained | State::Other(_)) | None => None,
        }
    }

    fn is_retained(&self) -> bool {
        self.state == Some(State::Retained)
    }
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
            Action::Deregister { force: false, .. } => write!(f, "- {group} {instance} deregister: {why}"),
            Action::Deregister { force: true, .. } => write!(f, "- {group} {instance} deregister by force: {why}"),
            Action::Release => write!(f, "- {group} {instance} release: {why}"),
            Action::Terminate => write!(f, "- {group} {instance} terminate: {why}"),
        }
    }
}

/// What to do about every instance that Auto Scaling holds. The steps do not depend on each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a plan that is not applied changes nothing"]
pub struct Plan {
    /// The steps by group and instance, at most one for each instance.
    pub steps: Vec<Step>,
}

/// How many instances wait, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Those in a lifecycle hook that wait for something.
    pub waiting: usize,
    /// Those that only people can move on.
    pub stuck: usize,
    /// Those that Auto Scaling retains, whatever the plan does about them.
    pub retained: usize,
}

impl Plan {
    /// Counts the instances that the plan leaves where they are.
    #[must_use]
    pub fn held(&self) -> Held {
        let waits = || self.steps.iter().filter(|step| matches!(step.action, Action::Wait { .. }));
        Held {
            waiting: waits().filter(|step| !step.is_retained()).count(),
            stuck: waits().filter(|step| step.why.is_stuck()).count(),
            retained: self.steps.iter().filter(|step| step.is_retained()).count(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

/// The decision about one instance.
pub(super) type Verdict = (Action, Reason);

/// Waits, and lets the hook's timeout run: it is the deadline.
pub(super) fn wait(why: Reason) -> Verdict {
    (Action::Wait { heartbeat: false }, why)
}

/// Waits as long as it takes.
pub(super) fn wait_on(why: Reason) -> Verdict {
    (Action::Wait { heartbeat: true }, why)
}

/// The basis of every decision: the observation, and what is settled before anything is planned.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) observed: &'a Observed,
    pub(super) policy: &'a Policy,
    pub(super) safety: &'a Safety,
    pub(super) budget: &'a Budget,
    pub(super) now: Timestamp,
}

/// Plans what to do about every instance that Auto Scaling holds.
///
/// A volume goes only to an instance of the group that names it, only if its own tags agree, and only to one: its data
/// is the core. An instance with tasks of the cluster is released only if no quorum can be lost with it.
pub fn plan(observed: &Observed, policy: &Policy, now: Timestamp) -> Plan {
    let groups = observed.groups.iter();
    let mut instances: Vec<_> = groups.flat_map(|group| group.instances.iter().map(move |i| (group, i))).collect();
    // The first of two that could have a volume gets it: always the same one, whatever the order of AWS's answer.
    instances.sort_by_key(|(group, instance)| (&group.name, &instance.id));
    let (safety, budget) = (Safety::of(observed, policy, now), Budget::of(observed, &instances, policy, now));
    let situation = Situation { observed, policy, safety: &safety, budget: &budget, now };
    let steps = instances.into_iter().filter_map(|(group, instance)| {
        let (action, why) = judge(&situation, group, instance)?;
        let (group, state) = (group.name.clone(), Some(instance.state.clone()));
        Some(Step { group, instance: instance.id.clone(), state, action, why })
    });
    Plan { steps: steps.chain(stale::registrations(observed, now)).collect() }
}

/// Decides what to do about one instance; nothing when it is not held.
fn judge(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Option<Verdict> {
    let observed = situation.observed;
    Some(match instance.state {
        State::PendingWait if observed.phase == Phase::Deleting => (Action::Admit, Reason::Deleting),
        State::PendingWait if group.is_core() => launch::launching(situation, group, instance),
        State::PendingWait => match launch::agent_fault(launch::current(&observed.of(&instance.id))) {
            None => (Action::Admit, Reason::Connected),
            Some(agent) => wait(Reason::AwaitingAgent(agent)),
        },
        State::TerminatingWait | State::Retained => leave::leaving(situation, instance),
        State::Other(_) => return None,
    })
}
