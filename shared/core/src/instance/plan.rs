use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{
    Cause, Freed, Group, Instance, Observed, Phase, Reason, State, Task, budget::Budget, disruption::Disruptions,
    launch, lease, leave, rebalance, spot, stale,
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
    /// How long a core's instance may take to leave before it is kept.
    pub core_drain_timeout: SignedDuration,
    /// How long any other instance may take to leave.
    pub replica_drain_timeout: SignedDuration,
    /// How long tasks of no service may go on on an instance that leaves.
    pub standalone_grace: SignedDuration,
    /// Whether there is no Neo4j: every task is waited for, and no quorum is lost with any.
    pub stand_alone: bool,
}

impl Policy {
    /// Returns one that says who the members are, and limits nothing.
    #[must_use]
    pub fn of_members(cluster: String, cores: u8, core_services: Vec<String>, replica_services: Vec<String>) -> Self {
        let none = SignedDuration::ZERO;
        Self {
            cluster,
            cores,
            core_services,
            replica_services,
            register_timeout: none,
            core_drain_timeout: none,
            replica_drain_timeout: none,
            standalone_grace: none,
            stand_alone: false,
        }
    }

    /// Returns whether a task is a member of the cluster.
    #[must_use]
    pub fn is_ours(&self, task: &Task) -> bool {
        if self.stand_alone {
            return true;
        }
        let services = || self.core_services.iter().chain(&self.replica_services);
        task.service().is_some_and(|service| services().any(|ours| ours == service))
    }

    /// Returns the number of the core whose ECS service this is.
    #[must_use]
    pub fn core_of(&self, service: &str) -> Option<u8> {
        let index = self.core_services.iter().position(|core| core == service)?;
        u8::try_from(index + 1).ok()
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
    /// Deregister container instances by force: ECS considers the tasks on them stopped, and places others.
    Deregister {
        /// Their ARNs.
        container_instances: Vec<ContainerInstanceArn>,
    },
    /// Deregister its container instances, which ECS refuses while a task is to run there, and then let the instance go.
    Leave {
        /// The ARNs of all its registrations.
        container_instances: Vec<ContainerInstanceArn>,
    },
    /// Claim the lease for a core. The same round looks again, and stops the core if nothing speaks against it then.
    Claim {
        /// The core.
        core: u8,
        /// The task that is to be stopped.
        task: String,
        /// Why.
        cause: Cause,
    },
    /// Stop tasks. ECS starts those of services again.
    StopTasks {
        /// Their ids.
        tasks: Vec<String>,
    },
    /// Tell Auto Scaling that the instance is unhealthy: its group replaces it, by way of its hook.
    MarkUnhealthy,
    /// Abandon the termination: the container instances are set to ACTIVE again, and the hook is completed with ABANDON.
    Abandon {
        /// The container instances that drain.
        activate: Vec<ContainerInstanceArn>,
    },
    /// Complete the termination hook: Auto Scaling terminates the instance.
    Release,
    /// Terminate an instance that no hook holds yet, or no longer.
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
            Action::Deregister { .. } => write!(f, "- {group} {instance} deregister by force: {why}"),
            Action::Leave { .. } => write!(f, "- {group} {instance} deregister and release: {why}"),
            Action::Claim { core, .. } => write!(f, "- {group} {instance} stop core {core}: {why}"),
            Action::StopTasks { tasks } => write!(f, "- {group} {instance} stop {}: {why}", tasks.join(", ")),
            Action::MarkUnhealthy => write!(f, "- {group} {instance} replace: {why}"),
            Action::Abandon { .. } => write!(f, "- {group} {instance} keep: {why}"),
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
    /// Why the lease goes back; nothing when it is free, or stays where it is.
    pub freed: Option<Freed>,
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
            waiting: waits().filter(|step| step.hook().is_some()).count(),
            stuck: waits().filter(|step| step.why.is_stuck()).count(),
            retained: self.steps.iter().filter(|step| step.is_retained()).count(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.iter().map(ToString::to_string);
        let freed = self.freed.iter().map(|why| format!("+ the lease is free: {why}"));
        f.write_str(&steps.chain(freed).collect::<Vec<_>>().join("\n"))
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
    pub(super) budget: &'a Budget,
    pub(super) disruptions: &'a Disruptions,
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
    let (budget, disruptions) = (Budget::of(observed, &instances, policy, now), Disruptions::of(observed, policy, now));
    let situation = Situation { observed, policy, budget: &budget, disruptions: &disruptions, now };
    let steps = instances.into_iter().filter_map(|(group, instance)| {
        let (action, why) = judge(&situation, group, instance)?;
        let (group, state) = (group.name.clone(), Some(instance.state.clone()));
        Some(Step { group, instance: instance.id.clone(), state, action, why })
    });
    let mut stale: Vec<_> = stale::registrations(observed, now).collect();
    stale.sort_by_cached_key(|step| (step.instance.clone(), format!("{:?}", step.action)));
    let steps = steps.chain(stale).collect();
    Plan { steps, freed: lease::freed(observed, policy, now).or_else(|| disruptions.unused(observed)) }
}

/// Decides what to do about one instance; nothing when it is as it should be.
fn judge(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Option<Verdict> {
    let observed = situation.observed;
    Some(match instance.state {
        // Hooks on the way in are none of its business there.
        State::PendingWait if situation.policy.stand_alone => return None,
        State::PendingWait if observed.phase == Phase::Deleting => (Action::Admit, Reason::Deleting),
        State::PendingWait if group.is_core() => launch::launching(situation, group, instance),
        State::PendingWait => match launch::agent_fault(launch::current(&observed.of(&instance.id))) {
            None => (Action::Admit, Reason::Connected),
            Some(agent) => wait(Reason::AwaitingAgent(agent)),
        },
        State::TerminatingWait | State::Retained => leave::leaving(situation, group, instance),
        State::Other(_) => return staying(situation, group, instance),
    })
}

/// Decides what to do about an instance that no hook holds: EC2 may be about to take it, or its member may be ill.
fn staying(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Option<Verdict> {
    let Situation { observed, disruptions, .. } = *situation;
    if instance.state.is_leaving() {
        return None;
    }
    spot::interrupted(situation, group, instance)
        .or_else(|| leave::interrupted(situation, instance))
        .or_else(|| rebalance::emptied(situation, group, instance))
        .or_else(|| disruptions.heals(observed, instance))
}
