//! What becomes of a core that was stopped because EC2 recommends to replace its Spot instance.

use super::{
    Action, Cause, Group, Instance, Reason,
    disruption::core_of,
    plan::{Situation, Verdict},
};

/// Terminates an instance by way of its hook, once the core on it was stopped for this reason and no task of a service is left
/// there.
///
/// The core is stopped first and the instance terminated last: a termination cannot be taken back if the gate shuts meanwhile.
/// Tasks that belong to no service get their grace in the hook: ECS never stops them, and the core cannot come back before.
pub(super) fn emptied(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Option<Verdict> {
    let Situation { observed, policy, .. } = *situation;
    let holder = observed.lease.holder.as_ref().filter(|holder| holder.cause == Cause::Rebalance)?;
    let registrations = observed.of(&instance.id);
    let mut tasks = registrations.iter().flat_map(|found| &found.tasks);
    let drained = registrations.iter().all(|found| found.status == "DRAINING") && tasks.all(|t| t.service().is_none());
    let ours =
        core_of(observed, policy, group, instance) == Some(holder.core) && observed.notices.contains_key(&instance.id);
    (ours && drained && instance.state.is_in_service()).then_some((Action::Terminate, Reason::Rebalanced))
}
