use std::{collections::BTreeMap, net::Ipv4Addr};

use cluster_core::{
    ids::InstanceId,
    instance::{ContainerInstance, Policy, Task},
    neo4j::{Asked, Memory},
    quorum::Going,
};
use jiff::Timestamp;

/// Returns the members' tasks that have not stopped, each with its container instance. A task that two registrations of
/// an instance have is one.
pub fn tasks<'a>(
    found: &'a [ContainerInstance],
    policy: &Policy,
) -> impl Iterator<Item = (&'a ContainerInstance, &'a Task)> {
    let tasks = found.iter().flat_map(|on| on.tasks.iter().map(move |task| (on, task)));
    let ours: BTreeMap<&str, _> =
        tasks.filter(|(_, task)| policy.is_ours(task)).map(|(on, task)| (task.id.as_str(), (on, task))).collect();
    ours.into_values()
}

/// Returns the members to ask: those that run. Of two tasks at one address that is the one that stays.
#[must_use]
pub fn asked(
    tasks: &[(&ContainerInstance, &Task)],
    addresses: &BTreeMap<InstanceId, Ipv4Addr>,
    policy: &Policy,
    memory: &Memory,
    now: Timestamp,
) -> Vec<Asked> {
    let mut running: Vec<_> = tasks.iter().filter(|(_, task)| task.status == "RUNNING").collect();
    running.sort_by_key(|(_, task)| task.wanted);
    let asked = running.into_iter().filter_map(|(on, task)| {
        let address = *addresses.get(&on.instance)?;
        let pages_only = memory.pages_only(&task.id, now);
        Some((address, Asked { task: task.id.clone(), core: core_of(task, policy), address, pages_only }))
    });
    let by_address: BTreeMap<_, _> = asked.collect();
    let mut asked: Vec<_> = by_address.into_values().collect();
    asked.sort();
    asked
}

/// Returns the number of the core whose service a task belongs to.
#[must_use]
pub fn core_of(task: &Task, policy: &Policy) -> Option<u8> {
    policy.core_of(task.service()?)
}

/// Returns why a task is about to stop.
#[must_use]
pub fn going(on: &ContainerInstance, task: &Task) -> Option<Going> {
    if !task.wanted {
        return Some(Going::NotWanted);
    }
    if on.status == "DRAINING" {
        return Some(Going::Draining);
    }
    task.unhealthy.then_some(Going::Unhealthy)
}
