use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Action, Instance, InstanceStatus, NOT_WHOLE, Observed, Phase, Policy, Reason, Task,
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
    if is_dead(observed, instance, now) {
        let forced = Action::Deregister { container_instances: arns(), force: true };
        return if deregisters == Some(instance.id.as_str()) {
            (forced, Reason::Dead)
        } else {
            wait(Reason::NotAtOnce)
        };
    }
    if observed.phase == Phase::Complete && ours > 0 {
        return wait(Reason::QuorumUnproven(ours));
    }
    // Of several registrations one may be connected and the others silent: ECS counts on the tasks of each.
    let lost = registrations.iter().filter(|found| found.is_silent(now) && !found.tasks.is_empty());
    let lost: Vec<_> = lost.map(|found| found.arn.clone()).collect();
    if !lost.is_empty() {
        let why = if ours == 0 { Reason::SilentWithoutMember } else { Reason::Silent };
        return (Action::Deregister { container_instances: lost, force: true }, why);
    }
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    // Members are stopped only where the table says that the cluster goes: «creating» is also what it says when its item is
    // lost. While a creation is rolled back ECS stops them with their service.
    if !active.is_empty() && (ours == 0 || observed.phase == Phase::Deleting) {
        let why = if ours == 0 { Reason::Emptied } else { Reason::Leaving };
        return (Action::Drain { container_instances: active }, why);
    }
    if tasks().next().is_none() {
        return (Action::Deregister { container_instances: arns(), force: false }, Reason::NoTasks);
    }
    if registrations.iter().any(|found| !found.connected && !found.tasks.is_empty()) {
        return wait(Reason::AgentAway);
    }
    wait(Reason::TasksStopping(told(tasks())))
}

/// Tasks by whom they belong to, as in «service datadog (1), family cron (2)».
fn told<'a>(tasks: impl Iterator<Item = &'a Task>) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        *groups.entry(task.group.replacen(':', " ", 1)).or_default() += 1;
    }
    groups.iter().map(|(group, count)| format!("{group} ({count})")).collect::<Vec<_>>().join(", ")
}

/// Whether an instance that is to leave a complete cluster may be dead, so that EC2 is worth asking: it has tasks, and ECS
/// has heard of none of its registrations for long.
#[must_use]
pub fn may_be_dead(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let registrations = observed.of(&instance.id);
    let has_tasks = registrations.iter().any(|found| !found.tasks.is_empty());
    let silent = registrations.iter().all(|found| found.is_silent(now));
    observed.phase == Phase::Complete && instance.state.awaits_release() && has_tasks && silent
}

/// Whether it is of no use to the cluster any more: EC2 says so as well. Its volume goes to nobody before EC2 has ended it,
/// so what might still run there cannot write beside another.
fn is_dead(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let fails = matches!(instance.status, Some(InstanceStatus::Impaired | InstanceStatus::Gone));
    fails && may_be_dead(observed, instance, now)
}

/// Returns the dead instance that may be deregistered now: the first one, and none while another core is on its way back,
/// which is given half an hour for that. If it is a mistake, it shall not cost a quorum.
pub(super) fn may_be_deregistered(observed: &Observed, policy: &Policy, now: Timestamp) -> Option<String> {
    let instances =
        observed.groups.iter().flat_map(|group| group.instances.iter().map(move |i| (&group.name, &i.id, i)));
    let dead: BTreeSet<_> = instances
        .filter(|(_, _, instance)| is_dead(observed, instance, now))
        .map(|(group, id, _)| (group, id))
        .collect();
    let mut others = observed.groups.iter().filter(|group| {
        group.is_core() && !dead.iter().any(|(name, _)| **name == group.name) && !group.instances.is_empty()
    });
    let coming_back = others.any(|group| {
        let serves = group.instances.iter().any(|instance| serves(observed, instance, policy));
        let core: Option<u8> = group.core.as_deref().and_then(|core| core.parse().ok());
        let since = core.and_then(|core| observed.not_whole.get(&core));
        !serves && since.is_none_or(|since| now.duration_since(*since) <= NOT_WHOLE)
    });
    dead.first().filter(|_| !coming_back).map(|(_, id)| (*id).clone())
}

/// Whether a core's instance is in service, or runs a task of the cluster that ECS hears of, as a retained one may.
fn serves(observed: &Observed, instance: &Instance, policy: &Policy) -> bool {
    let runs = |task: &Task| policy.is_ours(task) && task.status == "RUNNING";
    let heard = observed.of(&instance.id).iter().any(|found| found.connected && found.tasks.iter().any(runs));
    instance.state.is_in_service() || heard
}
