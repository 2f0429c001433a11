use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{
    Change, Kept, MULTIVALUE_LIMIT, Occupant, Occupied, Owner, Plan, Policy, Reason, RecordSet, Records, Registration,
    Service, Tier, ready::Ready,
};

/// Plans the changes that make the record sets of a tier's name lead to its fit members.
///
/// Fails static: an observation without a fit member keeps what is published, because an empty answer is more often a
/// failed read than a deleted cluster. A name is emptied only when ECS itself wants no tasks.
pub fn plan(tier: &Tier, policy: &Policy) -> Plan {
    let published = published(tier, &policy.owner);
    let judged = Judged::of(tier, policy, &published);
    let mut plan = if let Some(by) = tier.records.occupant {
        leave_occupied(tier, &published, judged, by)
    } else if judged.fit.is_empty()
        && let Some(why) = fail_static(tier)
    {
        keep_all(tier, &published, &judged.unfit, &why)
    } else {
        Choice::of(tier, policy, &published, judged).plan(tier, &published)
    };
    plan.changes.sort();
    plan.kept.sort();
    plan.unproven = unproven(tier, policy, &published, &plan.changes);
    plan
}

/// Returns the members that will be published although their Neo4j has not answered.
fn unproven(tier: &Tier, policy: &Policy, published: &Published<'_>, changes: &[Change]) -> BTreeSet<String> {
    let mut unproven: BTreeSet<_> = published.keys().copied().filter(|id| tier.neo4j.unproven(id).is_some()).collect();
    for change in changes {
        // Deletions come first: a record that is replaced is deleted, and created again.
        match (policy.owner.member(&change.record().set_identifier), change) {
            (Some(member), Change::Delete(..)) => _ = unproven.remove(member),
            (Some(member), Change::Create(_, Reason::Unasked(_) | Reason::Unproven(_))) => _ = unproven.insert(member),
            _ => {}
        }
    }
    unproven.into_iter().map(str::to_owned).collect()
}

/// Returns the members that the name should lead to, with their addresses.
pub(super) fn fit<'a>(tier: &'a Tier, policy: &Policy, published: &Published<'a>) -> Vec<(&'a str, Ipv4Addr)> {
    Judged::of(tier, policy, published).fit.into_iter().map(|(id, address, _)| (id, address)).collect()
}

/// Plans the removal of all our record sets under one name, and of nothing else.
pub fn plan_removal(records: &Records, owner: &Owner) -> Plan {
    let ours = records.multivalue.iter().filter(|record| owner.member(&record.set_identifier).is_some());
    let mut changes: Vec<_> = ours.map(|record| Change::Delete(record.clone(), Reason::Removal)).collect();
    changes.sort();
    Plan { changes, ..Plan::default() }
}

/// Our record sets under a name, by member.
pub(super) type Published<'a> = BTreeMap<&'a str, &'a RecordSet>;

pub(super) fn published<'a>(tier: &'a Tier, owner: &Owner) -> Published<'a> {
    let sets = tier.records.multivalue.iter();
    sets.filter_map(|record| Some((owner.member(&record.set_identifier)?, record))).collect()
}

/// The members of a tier, each judged by itself.
#[derive(Default)]
struct Judged<'a> {
    /// The members that the name should lead to, with their addresses and why.
    fit: Vec<(&'a str, Ipv4Addr, Reason)>,
    /// The registered members that it should not lead to, and why.
    unfit: BTreeMap<&'a str, Reason>,
}

impl<'a> Judged<'a> {
    fn of(tier: &'a Tier, policy: &Policy, published: &Published<'a>) -> Self {
        let mut judged = Self::default();
        let listed = |id: &str| tier.registered.iter().any(|registration| registration.id == id);
        for (id, record) in published.iter().filter(|(id, _)| !listed(id)) {
            let registration = Registration::unlisted(id, record, &tier.unlisted);
            if let Ok((address, why)) = registration.judge(true, policy) {
                let why = if why == Reason::Running { Reason::Unlisted } else { why };
                judged.fit.push((id, address, why));
            }
        }
        for registration in &tier.registered {
            let id = registration.id.as_str();
            let is_published = published.contains_key(id);
            match registration.judge(is_published, policy) {
                Ok((address, why)) => match ready(tier, id, is_published, why) {
                    Ok(why) => judged.fit.push((id, address, why)),
                    Err(why) => _ = judged.unfit.insert(id, why),
                },
                Err(why) => _ = judged.unfit.insert(id, why),
            }
        }
        judged
    }
}

/// Adds what a fit member's Neo4j says. It keeps one from joining, and never removes one: a published member that does not
/// answer is only named.
fn ready(tier: &Tier, id: &str, published: bool, why: Reason) -> Result<Reason, Reason> {
    if published {
        let unproven = tier.neo4j.unproven(id).filter(|_| why == Reason::Running);
        return Ok(unproven.map_or(why, Reason::Unproven));
    }
    match tier.neo4j.of(id) {
        Ready::Yes => Ok(why),
        Ready::No(silent) => Err(Reason::NotReady(silent)),
        Ready::Unknowable(silent) => Ok(Reason::Unasked(silent)),
    }
}

/// The fit members that find room under the name, and those that do not.
struct Choice<'a> {
    /// The record sets that the name should have, by member, and why.
    wanted: BTreeMap<&'a str, (RecordSet, Reason)>,
    /// Every other registered member, and why it is left out.
    left_out: BTreeMap<&'a str, Reason>,
    /// How many fit members found no room.
    truncated: usize,
}

impl<'a> Choice<'a> {
    fn of(tier: &Tier, policy: &Policy, published: &Published<'_>, Judged { mut fit, unfit }: Judged<'a>) -> Self {
        let foreign = tier.records.multivalue.len() - published.len();
        let room = MULTIVALUE_LIMIT.saturating_sub(foreign);
        let mut choice = Self { wanted: BTreeMap::new(), left_out: unfit, truncated: 0 };
        let mut taken: BTreeMap<_, &str> = BTreeMap::new();
        // Published members stay, whatever the order of the answer: a choice that moves would churn.
        fit.sort_by_key(|(id, ..)| (Reverse(published.contains_key(id)), *id));
        for (id, address, why) in fit {
            if let Some(other) = taken.get(&address) {
                choice.left_out.insert(id, Reason::SameAddress((*other).to_owned()));
            } else if choice.wanted.len() >= room {
                choice.truncated += 1;
                choice.left_out.insert(id, Reason::Full);
            } else {
                taken.insert(address, id);
                let record = RecordSet {
                    name: tier.name.clone(),
                    set_identifier: policy.owner.set_identifier(id),
                    ttl: policy.ttl,
                    values: vec![address.to_string()],
                    health_check: None,
                };
                choice.wanted.insert(id, (record, why));
            }
        }
        choice
    }

    /// Plans the changes from the published record sets to the wanted ones.
    fn plan(self, tier: &Tier, published: &Published<'a>) -> Plan {
        let Self { wanted, mut left_out, truncated } = self;
        let mut plan = Plan { published: wanted.len(), truncated, ..Plan::default() };
        for (id, record) in published {
            let why = match wanted.get(id) {
                Some((want, _)) if want == *record => continue,
                Some(_) => Reason::Outdated,
                None => left_out.remove(id).unwrap_or_else(|| gone(tier)),
            };
            plan.changes.push(Change::Delete((*record).clone(), why));
        }
        for (id, (record, why)) in wanted {
            if published.get(id).is_none_or(|current| **current != record) {
                plan.changes.push(Change::Create(record, why));
            } else if why != Reason::Running {
                plan.kept.push(kept(tier, id, true, why));
            }
        }
        plan.kept.extend(left_out.into_iter().map(|(id, why)| kept(tier, id, false, why)));
        plan
    }
}

/// Returns the plan for a name under which nothing can be written.
fn leave_occupied(tier: &Tier, published: &Published<'_>, judged: Judged<'_>, by: Occupant) -> Plan {
    let Judged { fit, mut unfit } = judged;
    let waiting: Vec<_> = fit.into_iter().map(|(id, ..)| id).filter(|id| !published.contains_key(id)).collect();
    let occupied = Occupied { name: tier.name.clone(), by, waiting: waiting.len() };
    unfit.extend(waiting.into_iter().map(|id| (id, Reason::Occupied)));
    Plan { occupied: Some(occupied), ..keep_all(tier, published, &unfit, &Reason::Occupied) }
}

/// Returns the plan that keeps every published record set, for one reason.
fn keep_all(tier: &Tier, published: &Published<'_>, unfit: &BTreeMap<&str, Reason>, why: &Reason) -> Plan {
    let members: BTreeSet<&str> = published.keys().chain(unfit.keys()).copied().collect();
    let members = members.into_iter().map(|id| match unfit.get(id).filter(|_| !published.contains_key(id)) {
        Some(unfit) => kept(tier, id, false, unfit.clone()),
        None => kept(tier, id, true, why.clone()),
    });
    Plan { kept: members.collect(), published: published.len(), ..Plan::default() }
}

fn kept(tier: &Tier, member: &str, published: bool, why: Reason) -> Kept {
    Kept { name: tier.name.clone(), member: member.to_owned(), published, why }
}

/// Returns why an empty answer must not be believed; nothing when ECS itself wants no member.
fn fail_static(tier: &Tier) -> Option<Reason> {
    if !Tier::needs_service(&tier.registered) {
        return Some(Reason::NoneFit);
    }
    match tier.service {
        Some(Service::Wants(0) | Service::Missing) => None,
        Some(Service::Wants(tasks)) => Some(Reason::NobodyLeft(tasks)),
        Some(Service::ClusterMissing) => Some(Reason::ClusterMissing),
        None => Some(Reason::ServiceNotAsked),
    }
}

/// Returns why the record set of an unregistered member is deleted.
fn gone(tier: &Tier) -> Reason {
    match tier.service {
        Some(Service::Wants(0)) => Reason::WantsNone,
        Some(Service::Missing) => Reason::ServiceMissing,
        _ => Reason::NotRegistered,
    }
}
