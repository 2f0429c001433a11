use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Action, Instance, InstanceStatus, Observed, Phase, Reason, State, Task,
    plan::{Situation, Verdict, wait},
};

/// Decides what to do about an instance on its way out.
///
/// An instance is released only once ECS no longer counts on anything there: it is drained, all its tasks have stopped,
/// and it is deregistered. Without force, ECS refuses to deregister while a task runs, which is the fence against a
/// task placed late. Nor can a cluster with registrations be deleted, and ECS may take minutes to forget a terminated
/// instance by itself.
pub(super) fn leaving(situation: &Situation<'_>, instance: &Instance) -> Verdict {
    let Situation { observed, policy, safety, budget, now } = *situation;
    let registrations = observed.of(&instance.id);
    if registrations.is_empty() {
        // A retained instance no longer has a hook.
        let go = if instance.state == State::Retained { Action::Terminate } else { Action::Release };
        return (go, Reason::NotJoined);
    }
    let arns = || registrations.iter().map(|found| found.arn.clone()).collect();
    if is_dead(observed, instance, now) {
        return if budget.may_deregister(&instance.id) {
            (Action::Deregister { container_instances: arns(), force: true }, Reason::Dead)
        } else {
            wait(Reason::NotAtOnce)
        };
    }
    if let Some(why) = safety.unsafe_to_stop(&instance.id).first() {
        return wait(why.clone());
    }
    let tasks = || registrations.iter().flat_map(|found| &found.tasks);
    let has_members = tasks().any(|task| policy.is_ours(task));
    // Of several registrations, one may be connected and the others silent: ECS counts on the tasks of each.
    let lost = registrations.iter().filter(|found| found.is_silent(now) && !found.tasks.is_empty());
    let lost: Vec<_> = lost.map(|found| found.arn.clone()).collect();
    if !lost.is_empty() {
        let why = if has_members { Reason::Silent } else { Reason::SilentWithoutMember };
        return (Action::Deregister { container_instances: lost, force: true }, why);
    }
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    // Members are stopped only if the table says that the cluster is being deleted: «creating» is also its answer when
    // the item is lost. While a creation is rolled back, ECS stops them with their service.
    if !active.is_empty() && (!has_members || observed.phase == Phase::Deleting) {
        let why = if has_members { Reason::Leaving } else { Reason::Emptied };
        return (Action::Drain { container_instances: active }, why);
    }
    if tasks().next().is_none() {
        return (Action::Deregister { container_instances: arns(), force: false }, Reason::NoTasks);
    }
    if registrations.iter().any(|found| !found.connected && !found.tasks.is_empty()) {
        return wait(Reason::AgentAway);
    }
    wait(Reason::TasksStopping(by_group(tasks())))
}

/// Counts tasks by their group, as in «service datadog (1), family cron (2)».
fn by_group<'a>(tasks: impl Iterator<Item = &'a Task>) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        *groups.entry(task.group.replacen(':', " ", 1)).or_default() += 1;
    }
    groups.iter().map(|(group, count)| format!("{group} ({count})")).collect::<Vec<_>>().join(", ")
}

/// Returns whether an instance about to leave a complete cluster may be dead, so that EC2 is worth asking: it has
/// tasks, and all its registrations have been silent for long.
#[must_use]
pub fn may_be_dead(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let registrations = observed.of(&instance.id);
    let has_tasks = registrations.iter().any(|found| !found.tasks.is_empty());
    let silent = registrations.iter().all(|found| found.is_silent(now));
    observed.phase == Phase::Complete && instance.state.awaits_release() && has_tasks && silent
}

/// Returns whether an instance is dead: EC2 agrees with ECS. Its volume goes to no other instance before EC2 has
/// terminated it, so whatever still runs there cannot write beside another.
pub(super) fn is_dead(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let fails = matches!(instance.status, Some(InstanceStatus::Impaired | InstanceStatus::Gone));
    fails && may_be_dead(observed, instance, now)
}
