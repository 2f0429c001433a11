use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};

use super::{Change, Policy, Tier, decide};

/// How long the gateway must have had an answer of nobody before members are published unasked: one time-out is no silence.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);
/// How long nobody may have been asked before a silence counts from anew.
const GAP: SignedDuration = SignedDuration::from_mins(3);

/// What is known of the members' Neo4j. The default is that nobody asks, as in discovery alone: then a member is published
/// as soon as ECS calls it fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The members that were published although nobody could ask their Neo4j, and that have not answered since.
    pub unproven: BTreeSet<String>,
    /// What was heard in this round; nothing when nobody was asked.
    pub heard: Option<Hearing>,
}

/// What the members answered to `GET /` in one round, of both tiers: one that answers proves that the gateway hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// Each member that was asked, and why it did not answer.
    pub answers: BTreeMap<String, Result<(), String>>,
    /// Why nobody was heard, when that is the gateway's own failure.
    pub failure: Option<String>,
    /// How long nobody has been heard, after this round ([`Silence`]).
    pub silence: Option<Silence>,
}

/// How long the gateway has had an answer of nobody: a clock to be kept between rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The first round in which nobody was heard.
    pub since: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

impl Silence {
    /// Returns the clock after a round. It starts anew after an answer, and after a time in which nobody was asked.
    #[must_use]
    pub fn after(before: Option<Self>, answers: &BTreeMap<String, Result<(), String>>, now: Timestamp) -> Option<Self> {
        if answers.values().any(Result::is_ok) {
            return None;
        }
        let lasts = before.filter(|before| now.duration_since(before.last) <= GAP && before.since <= now);
        Some(Self { since: lasts.map_or(now, |before| before.since), last: now })
    }

    /// Returns whether it is silence, and no time-out that passes.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.last.duration_since(self.since) > SILENCE
    }
}

/// What may be concluded about one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// It answers, or nobody asks.
    Yes,
    /// It does not answer, and this is why.
    No(String),
    /// Nobody can be asked, and has not been for long.
    Unknowable(String),
}

impl Readiness {
    pub(super) fn of(&self, member: &str) -> Ready {
        let Some(heard) = &self.heard else { return Ready::Yes };
        let why = match heard.answers.get(member) {
            Some(Ok(())) => return Ready::Yes,
            Some(Err(why)) => why.clone(),
            None => heard.failure.clone().unwrap_or_else(|| "it was not asked".to_owned()),
        };
        let nobody = !heard.answers.values().any(Result::is_ok);
        if nobody && heard.silence.is_some_and(|silence| silence.lasts()) {
            Ready::Unknowable(heard.failure.clone().unwrap_or(why))
        } else {
            Ready::No(why)
        }
    }

    /// Returns whether a published member has yet to prove itself, and why it has not.
    pub(super) fn unproven(&self, member: &str) -> Option<String> {
        if !self.unproven.contains(member) {
            return None;
        }
        match &self.heard {
            None => Some("it was not asked again yet".to_owned()),
            Some(_) => match self.of(member) {
                Ready::Yes => None,
                Ready::No(why) | Ready::Unknowable(why) => Some(why),
            },
        }
    }
}

/// Returns the members to ask, with their addresses: none unless a member is about to join, or joined without being asked.
///
/// The other fit members are asked with them. Only by their answers is a member that hangs told from a gateway that reaches
/// nobody.
#[must_use]
pub fn to_ask<'a>(tiers: impl IntoIterator<Item = &'a Tier>, policy: &Policy) -> BTreeMap<String, Ipv4Addr> {
    let mut members = BTreeMap::new();
    let mut needed = false;
    for tier in tiers {
        let unheard = Tier { neo4j: Readiness { heard: None, ..tier.neo4j.clone() }, ..tier.clone() };
        let plan = decide::plan(&unheard, policy);
        let published = decide::published(tier, &policy.owner);
        let joins = |change: &Change| match change {
            Change::Create(record, _) => {
                let member = policy.owner.member(&record.set_identifier);
                member.is_some_and(|member| !published.contains_key(member))
            }
            Change::Delete(..) => false,
        };
        needed |= plan.changes.iter().any(joins);
        let fit = decide::fit(&unheard, policy, &published);
        needed |= fit.iter().any(|(member, _)| tier.neo4j.unproven.contains(*member) && published.contains_key(member));
        members.extend(fit.into_iter().map(|(member, address)| (member.to_owned(), address)));
    }
    if needed { members } else { BTreeMap::new() }
}
