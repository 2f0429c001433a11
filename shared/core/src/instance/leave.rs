use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Action, Cause, ContainerInstance, Group, Instance, InstanceStatus, NoticeKind, Observed, Phase, Policy, Reason,
    State, Task,
    disruption::core_of,
    plan::{Situation, Verdict, wait, wait_on},
    spot,
};
use crate::ids::InstanceId;

/// How long an instance has to be seen without a task until no list is older than its drain. No page says how long that takes.
const SETTLES: SignedDuration = SignedDuration::from_secs(30);

/// Decides what to do about an instance on its way out.
///
/// An instance is released only once ECS no longer counts on anything there: it is drained, all its tasks have stopped,
/// and it is deregistered. Without force, ECS refuses to deregister while a task is to run, which is the fence against a
/// task placed late. Nor can a cluster with registrations be deleted, and ECS may take minutes to forget a terminated
/// instance by itself.
pub(super) fn leaving(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Verdict {
    let Situation { observed, budget, disruptions, now, .. } = *situation;
    let registrations = observed.of(&instance.id);
    if registrations.is_empty() {
        // A retained instance no longer has a hook.
        let go = if instance.state == State::Retained { Action::Terminate } else { Action::Release };
        return (go, Reason::NotJoined);
    }
    if is_dead(observed, instance, now) {
        return if budget.may_deregister(&instance.id) {
            (deregister(&registrations), Reason::Dead)
        } else {
            hold(situation, group, instance, Reason::NotAtOnce)
        };
    }
    // What a list left out may be a member. When the cluster is being deleted that makes no difference.
    let unlisted: usize = registrations.iter().map(|found| found.unlisted_tasks()).sum();
    if unlisted > 0 && observed.phase != Phase::Deleting {
        return hold(situation, group, instance, Reason::TasksUnlisted(unlisted));
    }
    let asked = || stop(&registrations, now);
    let verdict = spot::interrupted(situation, group, instance)
        .or_else(|| disruptions.verdict(observed, &instance.id, Cause::Drain, asked))
        .unwrap_or_else(|| unhindered(situation, group, instance, &registrations));
    match verdict {
        (Action::Wait { .. }, why) => hold(situation, group, instance, why),
        verdict => verdict,
    }
}

/// Stops a core whose turn it is: ECS stops the tasks on a container instance that drains, and considers those stopped
/// whose container instance is deregistered, because its agent will never report anything.
fn stop(registrations: &[&ContainerInstance], now: Timestamp) -> Verdict {
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    if !active.is_empty() {
        return (
            Action::Drain { container_instances: active },
            Reason::Spared { cause: Cause::Drain, why: Cause::Drain.to_string() },
        );
    }
    let silent: Vec<_> = registrations.iter().filter(|found| found.is_silent(now)).copied().collect();
    if silent.is_empty() {
        return wait(Reason::AgentAway);
    }
    (deregister(&silent), Reason::Unreachable)
}

fn deregister(registrations: &[&ContainerInstance]) -> Action {
    let arns = registrations.iter().map(|found| found.arn.clone());
    Action::Deregister { container_instances: arns.collect() }
}

/// Decides about an instance on which no core has to be spared.
fn unhindered(
    situation: &Situation<'_>,
    group: &Group,
    instance: &Instance,
    registrations: &[&ContainerInstance],
) -> Verdict {
    let Situation { observed, policy, now, .. } = *situation;
    let core = core_of(observed, policy, group, instance).is_some();
    let tasks = || registrations.iter().flat_map(|found| &found.tasks);
    let has_members = tasks().any(|task| policy.is_ours(task));
    // Of several registrations, one may be connected and the others silent: ECS counts on the tasks of each.
    let lost = registrations.iter().filter(|found| found.is_silent(now) && !found.tasks.is_empty());
    let lost: Vec<_> = lost.copied().collect();
    if !lost.is_empty() {
        let counted = lost.iter().flat_map(|found| &found.tasks).any(|task| policy.is_ours(task));
        let why = match (counted, observed.phase) {
            (false, _) => Reason::SilentWithoutMember,
            (true, Phase::Complete) => Reason::Unreachable,
            (true, Phase::Creating | Phase::Deleting) => Reason::Silent,
        };
        return (deregister(&lost), why);
    }
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    // In a cluster that is not complete, members are stopped only if the table says that it is being deleted: «creating» is
    // also its answer when the item is lost. While a creation is rolled back, ECS stops them with their service.
    if !active.is_empty() && (!has_members || observed.phase != Phase::Creating) {
        let why = match (has_members, observed.phase) {
            (false, _) => Reason::Emptied,
            (true, Phase::Deleting) => Reason::Leaving,
            (true, Phase::Creating | Phase::Complete) if core => Reason::Ending,
            (true, Phase::Creating | Phase::Complete) => Reason::NoCore,
        };
        return (Action::Drain { container_instances: active }, why);
    }
    if tasks().next().is_none() {
        let empty = observed.empty.get(&instance.id).is_some_and(|since| now.duration_since(*since) >= SETTLES);
        if !empty && !lists_are_later(observed, policy, group, instance, registrations) {
            return wait(Reason::Settling);
        }
        let arns = registrations.iter().map(|found| found.arn.clone()).collect();
        return (Action::Leave { container_instances: arns }, Reason::NoTasks);
    }
    if registrations.iter().any(|found| !found.connected && !found.tasks.is_empty()) {
        return wait(Reason::AgentAway);
    }
    let standalone = standalone(situation, instance, registrations);
    if !standalone.is_empty() {
        let (minutes, named) = (policy.standalone_grace.as_mins(), by_group(standalone.iter().copied()));
        let tasks = standalone.into_iter().map(|task| task.id.clone()).collect();
        return (Action::StopTasks { tasks }, Reason::Standalone { minutes, tasks: named });
    }
    wait(Reason::TasksStopping(by_group(tasks())))
}

/// Returns the instances on their way out that are drained and without a task, as far as the lists say: how long that has been so
/// has to be remembered.
///
/// A task moves from the list of those that should run to that of those that should not, and a list may be some seconds old: in
/// the moment after a drain it may be in neither. ECS's own count leaves it out, too (API reference of `ContainerInstance`,
/// `runningTasksCount`), so nothing would keep ECS from deregistering. A task that has stopped since the drain began shows that
/// the lists are younger; without one they are given time.
#[must_use]
pub fn doubtfully_empty(observed: &Observed, policy: &Policy) -> Vec<InstanceId> {
    let all = observed.groups.iter().flat_map(|group| group.instances.iter().map(move |instance| (group, instance)));
    let leaving = all.filter(|(_, instance)| instance.state.awaits_release());
    let doubtful = leaving.filter(|(group, instance)| {
        let registrations = observed.of(&instance.id);
        let drained =
            registrations.iter().all(|found| !(found.connected && found.is_active()) && found.tasks.is_empty());
        drained && !registrations.is_empty() && !lists_are_later(observed, policy, group, instance, &registrations)
    });
    doubtful.map(|(_, instance)| instance.id.clone()).collect()
}

/// Returns whether the lists of tasks are known to be later than the drain of an instance: a task on it has stopped since. The
/// drain of a core without the lease may have been begun by anybody, at any time: of it nothing is known. While the cluster is
/// being deleted, no drain stops members: CloudFormation has deleted their services before it comes to the groups.
fn lists_are_later(
    observed: &Observed,
    policy: &Policy,
    group: &Group,
    instance: &Instance,
    registrations: &[&ContainerInstance],
) -> bool {
    if observed.phase == Phase::Deleting {
        return true;
    }
    let leaves = observed.leaving.get(&instance.id).copied();
    let since = match core_of(observed, policy, group, instance) {
        None => leaves,
        Some(core) => {
            let holder = observed.lease.holder.as_ref().filter(|holder| holder.core == core && !holder.is_nobody());
            holder.and_then(|holder| Some(holder.since.max(leaves?)))
        }
    };
    let stopped = registrations.iter().filter_map(|found| found.last_stopped).max();
    stopped.zip(since).is_some_and(|(stopped, since)| stopped >= since)
}

/// Stops what ECS leaves running on an instance that EC2 takes, once it drains: no hook holds such an instance.
pub(super) fn interrupted(situation: &Situation<'_>, instance: &Instance) -> Option<Verdict> {
    let Situation { observed, now, .. } = *situation;
    let notice = observed.notices.get(&instance.id).filter(|notice| notice.kind == NoticeKind::Spot)?;
    let registrations: Vec<_> = observed.of(&instance.id).into_iter().filter(|on| !on.is_silent(now)).collect();
    let tasks = standalone(situation, instance, &registrations);
    let ends = notice.since + spot::WARNING;
    let ids = tasks.iter().map(|task| task.id.clone()).collect();
    (!tasks.is_empty()).then_some((Action::StopTasks { tasks: ids }, Reason::Spot(ends)))
}

/// Returns the tasks that nobody stops when a container instance drains, once they had their time: «You must wait for them to
/// finish or stop them manually» (ECS developer guide, «Draining Amazon ECS container instances», of standalone tasks).
fn standalone<'a>(
    situation: &Situation<'_>,
    instance: &Instance,
    registrations: &[&'a ContainerInstance],
) -> Vec<&'a Task> {
    let Situation { observed, policy, now, .. } = *situation;
    let since = observed.leaving.get(&instance.id).copied().unwrap_or(now);
    let spot = observed.notices.get(&instance.id).is_some_and(|notice| notice.kind == NoticeKind::Spot);
    if !spot && now.duration_since(since) < policy.standalone_grace {
        return Vec::new();
    }
    let tasks = registrations.iter().flat_map(|found| &found.tasks);
    tasks.filter(|task| task.service().is_none() && task.wanted).collect()
}

/// Waits as long as the tier allows. Then the instance gets its tasks back, and the hook is abandoned: a group with a
/// retention policy keeps the instance (Auto Scaling user guide, «Control instance retention with instance lifecycle policies»).
fn hold(situation: &Situation<'_>, group: &Group, instance: &Instance, why: Reason) -> Verdict {
    let Situation { observed, policy, now, .. } = *situation;
    if observed.phase != Phase::Complete || instance.state == State::Retained {
        return wait(why);
    }
    let core = core_of(observed, policy, group, instance).is_some();
    let limit = if core { policy.core_drain_timeout } else { policy.replica_drain_timeout };
    let since = observed.leaving.get(&instance.id).copied().unwrap_or(now);
    if now.duration_since(since) < limit {
        return wait_on(why);
    }
    let registrations = observed.of(&instance.id);
    let drained = registrations.iter().filter(|found| found.status == "DRAINING").map(|found| found.arn.clone());
    let why = Reason::Deadline { minutes: limit.as_mins(), why: why.to_string() };
    (Action::Abandon { activate: drained.collect() }, why)
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
