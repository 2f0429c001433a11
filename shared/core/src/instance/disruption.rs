//! Which core may be stopped on purpose: the gate, and the budget of one.

use std::collections::BTreeSet;

use super::{
    Action, Cause, ContainerInstance, Freed, Group, Instance, NoticeKind, Observed, Phase, Policy, Reason, Seen, State,
    Task,
    heal::{Ill, ill},
    launch::current,
    lease::NO_CORE,
    plan::Verdict,
};
use crate::ids::{CoreId, InstanceId};
use jiff::Timestamp;

/// A core that should be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The core's number.
    core: u8,
    /// Its instance.
    instance: InstanceId,
    /// The task that would be stopped.
    task: String,
    /// Why.
    cause: Cause,
    /// Why, with what proves it.
    why: String,
}

/// What is settled about every core that should be stopped, before anything is planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disruptions {
    /// The one whose turn it is.
    chosen: Option<Candidate>,
    /// The others, each with what it waits for.
    waiting: Vec<(Candidate, Reason)>,
}

impl Disruptions {
    /// Judges every core that should be stopped. Only in a complete cluster there is a quorum to lose.
    pub(super) fn of(observed: &Observed, policy: &Policy, now: Timestamp) -> Self {
        let mut settled = Self::default();
        if observed.phase != Phase::Complete {
            return settled;
        }
        for candidate in candidates(observed, policy, now) {
            let why = blocked(observed, &candidate).or_else(|| {
                let first = settled.chosen.as_ref()?;
                Some(Reason::AnotherFirst { core: first.core, cause: first.cause })
            });
            match why {
                None => settled.chosen = Some(candidate),
                Some(why) => settled.waiting.push((candidate, why)),
            }
        }
        settled
    }

    /// Returns that the lease that was claimed in this round goes back, if this plan stops nobody under it.
    pub(super) fn unused(&self, observed: &Observed) -> Option<Freed> {
        let core = observed.lease.core().filter(|_| observed.claimed)?;
        let used = self.chosen.as_ref().is_some_and(|chosen| holds(observed, chosen));
        (!used).then_some(Freed::Unused(core))
    }

    /// Decides about an instance in service that should be stopped.
    pub(super) fn heals(&self, observed: &Observed, instance: &Instance) -> Option<Verdict> {
        let candidates = self.chosen.iter().chain(self.waiting.iter().map(|(candidate, _)| candidate));
        let Candidate { task, cause, why, .. } = candidates.into_iter().find(|found| found.instance == instance.id)?;
        let why = Reason::Spared { cause: *cause, why: why.clone() };
        self.verdict(observed, &instance.id, *cause, || match cause {
            Cause::Wedged => (Action::MarkUnhealthy, why),
            Cause::Rebalance | Cause::Drain => {
                let active = observed.of(&instance.id).into_iter().filter(|found| found.is_active());
                (Action::Drain { container_instances: active.map(|found| found.arn.clone()).collect() }, why)
            }
            Cause::Hang | Cause::DiskStart | Cause::Disk => (Action::StopTasks { tasks: vec![task.clone()] }, why),
        })
    }

    /// Returns what is done about an instance for this cause: what was asked for, if the lease was claimed in this round;
    /// else the claim, or what it waits for. Nothing when nobody wants it stopped for this cause.
    pub(super) fn verdict(
        &self,
        observed: &Observed,
        instance: &InstanceId,
        cause: Cause,
        act: impl FnOnce() -> Verdict,
    ) -> Option<Verdict> {
        let of = |candidate: &Candidate| candidate.instance == *instance && candidate.cause == cause;
        if let Some(chosen) = self.chosen.as_ref().filter(|chosen| of(chosen)) {
            if holds(observed, chosen) {
                return Some(act());
            }
            let Candidate { core, task, cause, why, .. } = chosen.clone();
            return Some((Action::Claim { core, task, cause }, Reason::Spared { cause, why }));
        }
        let (_, why) = self.waiting.iter().find(|(candidate, _)| of(candidate))?;
        Some((Action::Wait { heartbeat: true }, why.clone()))
    }
}

/// Returns whether this candidate's lease was claimed in this round, so that what Neo4j said came after.
fn holds(observed: &Observed, candidate: &Candidate) -> bool {
    let holder = observed.lease.holder.as_ref();
    observed.claimed
        && holder.is_some_and(|holder| {
            (holder.core, &holder.task, holder.cause) == (candidate.core, &candidate.task, candidate.cause)
        })
}

/// Returns why a core must not be stopped now.
fn blocked(observed: &Observed, candidate: &Candidate) -> Option<Reason> {
    match &observed.lease.holder {
        Some(holder) if holder.is_nobody() => return Some(Reason::LeaseUnreadable),
        Some(holder) if holder.core != candidate.core => {
            return Some(Reason::LeaseHeld { core: holder.core, cause: holder.cause, since: holder.since });
        }
        _ => {}
    }
    if candidate.cause.is_gated() { needed(observed, candidate.core) } else { None }
}

/// Returns why the others may not be able to do without a core; nothing when they do.
pub(super) fn needed(observed: &Observed, core: u8) -> Option<Reason> {
    if core == NO_CORE {
        return Some(Reason::NotOneCore);
    }
    match &observed.neo4j {
        Seen::GatewayFailed(why) => return Some(Reason::GatewayFailed(why.clone())),
        Seen::NoGateway => return Some(Reason::NoGateway),
        Seen::NotAsked | Seen::Answers(_) => {}
    }
    let Some(quorum) = &observed.quorum else { return Some(Reason::NotAsked) };
    let reasons = quorum.unsafe_to_stop(core);
    let shown: Vec<_> = reasons.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = reasons.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!reasons.is_empty()).then(|| Reason::GateShut { core, why: shown.join("; ") + &more })
}

/// How many reasons are shown.
const SHOWN: usize = 3;

/// Returns every core that should be stopped, in the order of their turns: who is ill before who leaves, since the gate of
/// the healthy ones is shut meanwhile; who may run out of time before who may wait.
fn candidates(observed: &Observed, policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    let mut found = Vec::new();
    for group in &observed.groups {
        for instance in &group.instances {
            let Some(core) = core_of(observed, policy, group, instance) else { continue };
            let Some((cause, task, why)) = wanted(observed, policy, core, instance, now) else { continue };
            let rank = (rank(cause, instance), observed.leaving.get(&instance.id).copied(), core);
            found.push((rank, Candidate { core, instance: instance.id.clone(), task, cause, why }));
        }
    }
    found.sort_by(|(left, one), (right, other)| left.cmp(right).then_with(|| one.instance.cmp(&other.instance)));
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

fn rank(cause: Cause, instance: &Instance) -> u8 {
    match (cause, &instance.state) {
        (Cause::Hang | Cause::DiskStart | Cause::Disk, _) => 0,
        (Cause::Wedged, _) => 1,
        (Cause::Drain, State::Retained) => 3,
        (Cause::Drain, _) => 2,
        (Cause::Rebalance, _) => 4,
    }
}

/// Returns the number of the core that an instance is of, by its group, by the service of a task on it, or by what its agent
/// registered: any of them is enough, so that a tag that somebody takes off makes no replica of a core. It is 0 where they do
/// not say which core: no gate opens for that one. Nothing for a replica.
pub(super) fn core_of(observed: &Observed, policy: &Policy, group: &Group, instance: &Instance) -> Option<u8> {
    let registrations = observed.of(&instance.id);
    let tasks = registrations.iter().flat_map(|found| &found.tasks);
    let by_task: BTreeSet<u8> = tasks.filter_map(|task| policy.core_of(task.service()?)).collect();
    let attribute = registrations.iter().filter_map(|found| found.core.as_ref()).min();
    let is_core = group.is_core() || !by_task.is_empty() || attribute.is_some();
    let number = group.core.as_ref().and_then(CoreId::number).or_else(|| by_task.first().copied());
    // Where a task of another core is on it as well, no gate can be asked for both.
    let number = number.or_else(|| attribute?.number()).filter(|number| by_task.iter().all(|core| core == number));
    (is_core && !policy.stand_alone).then(|| number.unwrap_or(NO_CORE))
}

/// Returns why an instance's member should be stopped, with the task that would be, and with what proves it.
fn wanted(
    observed: &Observed,
    policy: &Policy,
    core: u8,
    instance: &Instance,
    now: Timestamp,
) -> Option<(Cause, String, String)> {
    if instance.state.awaits_release() {
        let task = to_stop(observed, policy, instance, now)?;
        return Some((Cause::Drain, task, Cause::Drain.to_string()));
    }
    if let Some(ill) = ill(observed, policy, core, now).filter(|ill| *ill.instance() == instance.id) {
        let cause = match ill {
            Ill::Hanging { .. } => Cause::Hang,
            Ill::DiskStart { .. } => Cause::DiskStart,
            Ill::DiskRunning { .. } => Cause::Disk,
            Ill::Wedged { .. } => Cause::Wedged,
        };
        return Some((cause, ill.task().unwrap_or_default().to_owned(), ill.to_string()));
    }
    let registrations = observed.of(&instance.id);
    let own = |task: &&Task| task.service().and_then(|service| policy.core_of(service)) == Some(core);
    let task = current(&registrations)?.tasks.iter().filter(own).map(|task| task.id.clone()).min()?;
    let notice = observed.notices.get(&instance.id)?;
    let active = registrations.iter().any(|found| found.is_active());
    (notice.kind == NoticeKind::Rebalance && instance.state.is_in_service() && active)
        .then(|| (Cause::Rebalance, task, Cause::Rebalance.to_string()))
}

/// Returns the member on a leaving instance that only this function would stop: ECS stops those on a container instance
/// that drains, unless its agent is silent.
fn to_stop(observed: &Observed, policy: &Policy, instance: &Instance, now: Timestamp) -> Option<String> {
    let registrations = observed.of(&instance.id);
    let stays = |on: &ContainerInstance, task: &Task| on.is_silent(now) || (on.is_active() && task.wanted);
    let tasks = registrations.iter().flat_map(|on| on.tasks.iter().filter(|task| stays(on, task)));
    let mut ours: Vec<&Task> = tasks.filter(|task| policy.is_ours(task)).collect();
    ours.sort_by_key(|task| (!task.wanted, &task.id));
    ours.first().map(|task| task.id.clone())
}
