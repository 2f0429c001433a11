//! What becomes of an instance that EC2 takes within two minutes.

use jiff::SignedDuration;

use super::{
    Action, Group, Instance, NoticeKind, Phase, Reason,
    disruption::{core_of, needed},
    plan::{Situation, Verdict},
};

/// From the notice until EC2 takes the instance (EC2 user guide, «Spot Instance interruption notices»).
pub(super) const WARNING: SignedDuration = SignedDuration::from_mins(2);
/// From the notice until a core is stopped whatever the others need. Some look comes later than this and 45 seconds or more
/// before the end: that of the delayed message, or the sweep. An idle Neo4j ends within 12 s, one with a running transaction
/// within 22 s in 5.26, but after about 80 s in 2026.08: that one is taken without a checkpoint, and recovers at its next start.
const LATE: SignedDuration = SignedDuration::from_secs(55);

/// Decides what to do about an instance with a notice; nothing when there is none, or when it drains already.
///
/// A core leaves at once where the others do without it, and else as late as its checkpoint allows: until then it votes.
pub(super) fn interrupted(situation: &Situation<'_>, group: &Group, instance: &Instance) -> Option<Verdict> {
    let Situation { observed, policy, now, .. } = *situation;
    let notice = observed.notices.get(&instance.id).filter(|notice| notice.kind == NoticeKind::Spot)?;
    let registrations = observed.of(&instance.id);
    let active = registrations.iter().filter(|found| found.connected && found.is_active());
    let active: Vec<_> = active.map(|found| found.arn.clone()).collect();
    if active.is_empty() {
        return None;
    }
    let ends = notice.since + WARNING;
    let drain = |why| Some((Action::Drain { container_instances: active }, why));
    let core = core_of(observed, policy, group, instance).filter(|_| observed.phase == Phase::Complete);
    let has_member = registrations.iter().flat_map(|found| &found.tasks).any(|task| policy.is_ours(task));
    let Some(core) = core.filter(|_| has_member) else { return drain(Reason::Spot(ends)) };
    let why = match needed(observed, core) {
        None => return drain(Reason::Spot(ends)),
        Some(Reason::GateShut { why, .. }) => why,
        Some(why) => why.to_string(),
    };
    if now.duration_since(notice.since) >= LATE {
        return drain(Reason::SpotEnds { ends, why });
    }
    Some((Action::Wait { heartbeat: true }, Reason::SpotWaits { ends, why }))
}
