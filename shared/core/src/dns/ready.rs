//! Whether a new member's Neo4j answers. ECS takes a member that hangs in its start for healthy, since its health check
//! waits for the port.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};

use super::{Change, Plan, Policy, Reason, RecordSet, Tier, decide};

/// How long nobody must have answered before members are published without an answer: one timeout is no silence.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);
/// The longest time between two rounds without an answer that count as one silence.
const GAP: SignedDuration = SignedDuration::from_mins(3);

/// What was heard when the members of all tiers were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Whether each member's Neo4j answered, or why not.
    pub answers: BTreeMap<String, Result<(), String>>,
    /// Why nobody answered; nothing when somebody did.
    pub silence: Option<String>,
    /// Whether nobody has answered for so long that members are published all the same.
    pub lasting: bool,
    /// The published members that have never answered, since nobody could be asked when they were published.
    pub unheard: BTreeSet<String>,
}

impl Readiness {
    /// Returns why a member that is not published may be, or why not.
    pub(super) fn may_join(&self, member: &str) -> Result<Reason, Reason> {
        let why = match (self.answers.get(member), &self.silence) {
            (Some(Ok(())), _) => return Ok(Reason::Running),
            (_, Some(silence)) if self.lasting => return Ok(Reason::Unheard(silence.clone())),
            (Some(Err(why)), _) | (None, Some(why)) => why.clone(),
            (None, None) => "it was not asked".to_owned(),
        };
        Err(Reason::NotAnswering(why))
    }

    /// Returns why a published member should not have been, if it was published unheard and others answer now.
    pub(super) fn must_leave(&self, member: &str) -> Option<Reason> {
        let Some(Err(why)) = self.answers.get(member).filter(|_| self.unheard.contains(member)) else { return None };
        self.silence.is_none().then(|| Reason::NotAnswering(why.clone()))
    }
}

/// What is remembered of the members' answers from one round to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Since when nobody has answered, and when that was last so.
    pub silent: Option<Silent>,
    /// The members that were published although nobody could be asked. They are asked until they answer.
    pub unheard: BTreeSet<String>,
}

/// A period in which nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// When it was first seen; there was no long gap since then.
    pub since: Timestamp,
    /// When it was last seen.
    pub seen: Timestamp,
}

impl Heard {
    /// Returns what follows from asking, and remembers whether anybody answered. `failed` says why nobody was asked at all.
    pub fn hear(
        &mut self,
        answers: BTreeMap<String, Result<(), String>>,
        failed: Option<String>,
        now: Timestamp,
    ) -> Readiness {
        let silence = match failed {
            Some(why) => Some(why),
            None if answers.values().any(Result::is_ok) => None,
            None => Some("no member answers".to_owned()),
        };
        self.silent = silence.as_ref().map(|_| {
            let before = self.silent.filter(|silent| now.duration_since(silent.seen) <= GAP);
            Silent { since: before.map_or(now, |silent| silent.since), seen: now }
        });
        let lasting = self.silent.is_some_and(|silent| now.duration_since(silent.since) >= SILENCE);
        Readiness { answers, silence, lasting, unheard: self.unheard.clone() }
    }

    /// Remembers whom these plans publish unheard, and forgets those that have answered, or are no longer published. Where a
    /// tier could not be observed, its members are not forgotten: `complete` is false.
    pub fn see<'a>(
        &mut self,
        plans: impl IntoIterator<Item = (&'a Tier, &'a Plan)>,
        policy: &'a Policy,
        complete: bool,
    ) {
        let (mut published, mut joined) = (BTreeSet::new(), BTreeSet::new());
        for (tier, plan) in plans {
            let member = |set: &'a RecordSet| policy.owner.member(&set.set_identifier);
            published.extend(tier.records.multivalue.iter().filter_map(member));
            let answers = tier.readiness.iter().flat_map(|readiness| &readiness.answers);
            for (answered, _) in answers.filter(|(_, answer)| answer.is_ok()) {
                self.unheard.remove(answered);
            }
            for change in &plan.changes {
                match (change, member(change.record())) {
                    (Change::Create(_, Reason::Unheard(_)), Some(member)) => _ = joined.insert(member.to_owned()),
                    (Change::Delete(..), Some(member)) => _ = self.unheard.remove(member),
                    _ => {}
                }
            }
        }
        self.unheard.retain(|member| !complete || published.contains(member.as_str()));
        self.unheard.extend(joined);
    }
}

/// Returns the members to ask, each with its address: none unless a member would join, or has been published unheard. Then
/// all, since a new member that does not answer may be hung, but when nobody does, something else is wrong.
#[must_use]
pub fn to_ask(tiers: &[&Tier], policy: &Policy, heard: &Heard) -> BTreeMap<Ipv4Addr, String> {
    let joins = |tier: &Tier| {
        let published: BTreeSet<_> = tier.records.multivalue.iter().map(|set| &set.set_identifier).collect();
        let joins = |change: &Change| {
            matches!(change, Change::Create(..)) && !published.contains(&change.record().set_identifier)
        };
        decide::plan(&Tier { readiness: None, ..tier.clone() }, policy).changes.iter().any(joins)
    };
    if heard.unheard.is_empty() && !tiers.iter().any(|tier| joins(tier)) {
        return BTreeMap::new();
    }
    tiers.iter().flat_map(|tier| decide::fit(tier, policy)).map(|(member, address)| (address, member)).collect()
}
