use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Action, Instance, Observed, Phase, Policy, Reason, State, Task,
    plan::{Verdict, wait},
};

/// Decides about an instance on its way out. `deregisters` is the one dead instance that may be deregistered by this plan.
///
/// An instance is let go only when ECS counts on nothing there any more: drained, without a task that has not stopped,
/// deregistered. Without force ECS refuses to deregister while a task runs, which is the fence against one that was placed
/// late. And a cluster with registrations cannot be deleted, although ECS forgets an instance that has ended by itself:
/// that may take minutes.
pub(super) fn leaving(
    observed: &Observed,
    instance: &Instance,
    policy: &Policy,
    deregisters: Option<&str>,
    now: Timestamp,
) -> Verdict {
    let registrations = observed.of(&instance.id);
    if registrations.is_empty() {
        return (Action::Release, Reason::NotJoined);
    }
    let arns = || registrations.iter().map(|found| found.arn.clone()).collect();
    let tasks = || registrations.iter().flat_map(|found| &found.tasks);
    let ours = tasks().filter(|task| policy.is_ours(task)).count();
    let silent = registrations.iter().all(|found| found.is_silent(now));
    let forced = || Action::Deregister { container_instances: arns(), force: true };
    if is_dead(observed, instance, now) {
        return if deregisters == Some(instance.id.as_str()) {
            (forced(), Reason::Dead)
        } else {
            wait(Reason::NotAtOnce)
        };
    }
    if observed.phase == Phase::Complete && ours > 0 {
        return wait(Reason::QuorumUnproven(ours));
    }
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    if !active.is_empty() {
        let why = if ours == 0 { Reason::Emptied } else { Reason::Leaving(observed.phase) };
        return (Action::Drain { container_instances: active }, why);
    }
    if tasks().next().is_none() {
        return (Action::Deregister { container_instances: arns(), force: false }, Reason::NoTasks);
    }
    match observed.phase {
        Phase::Creating | Phase::Deleting if silent => (forced(), Reason::Silent),
        Phase::Creating | Phase::Deleting if registrations.iter().all(|found| !found.connected) => {
            wait(Reason::AgentAway)
        }
        _ => wait(Reason::TasksStopping(told(tasks()))),
    }
}

/// Tasks by whom they belong to, as in «service datadog (1), family cron (2)».
fn told<'a>(tasks: impl Iterator<Item = &'a Task>) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        *groups.entry(task.group.replacen(':', " ", 1)).or_default() += 1;
    }
    groups.iter().map(|(group, count)| format!("{group} ({count})")).collect::<Vec<_>>().join(", ")
}

/// Whether an instance that is to leave a complete cluster is of no use to it any more: Auto Scaling finds it unhealthy,
/// and ECS has heard of none of its registrations for long. Its volume goes to nobody before EC2 has ended it, so what
/// might still run there cannot write beside another.
fn is_dead(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let registrations = observed.of(&instance.id);
    let leaves = matches!(instance.state, State::TerminatingWait | State::Retained);
    let has_tasks = registrations.iter().any(|found| !found.tasks.is_empty());
    let silent = registrations.iter().all(|found| found.is_silent(now));
    observed.phase == Phase::Complete && leaves && !instance.healthy && has_tasks && silent
}

/// Returns the dead instance that may be deregistered now: the first one, and none while another core is on its way back.
/// If it is a mistake, it shall not cost a quorum.
pub(super) fn may_be_deregistered(observed: &Observed, now: Timestamp) -> Option<String> {
    let instances =
        observed.groups.iter().flat_map(|group| group.instances.iter().map(move |i| (&group.name, &i.id, i)));
    let dead: BTreeSet<_> = instances
        .filter(|(_, _, instance)| is_dead(observed, instance, now))
        .map(|(group, id, _)| (group, id))
        .collect();
    let mut others = observed.groups.iter().filter(|group| {
        group.is_core() && !dead.iter().any(|(name, _)| **name == group.name) && !group.instances.is_empty()
    });
    let coming_back = others.any(|group| !group.instances.iter().any(|instance| instance.state.is_in_service()));
    dead.first().filter(|_| !coming_back).map(|(_, id)| (*id).clone())
}
