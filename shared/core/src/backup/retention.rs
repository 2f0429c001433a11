//! Which chains stay, each with its reasons, and which ones go.
//!
//! A wrong answer here loses data, so everything that is not known is a reason to keep: a chain goes only when a newer good
//! one of the same database stands, no window holds it, and each of its objects was looked at.

mod policy;
mod removal;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

pub use policy::{Policy, Refused};
pub use removal::{Removal, waves};
pub use report::report;

use super::{Chain, ChainId, Hold, State};

/// How far a backup may be dated into the future: clocks differ.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long before the newest good backup a chain must have been written last: an upload of it may still go on.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);
/// How long a chain with nothing good in it is kept, for whoever finds out why.
const FAILED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why a chain stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// It is the newest good one of its database id. Nothing ever deletes it.
    Newest,
    /// It is one of the good ones that are always kept.
    Minimum,
    /// It is within the days in which every chain is kept.
    Hourly,
    /// It is the last one of this day.
    Daily(Date),
    /// It is the last one of this week: ISO 8601 year and week.
    Weekly(i16, i8),
    /// It is the last one of this month.
    Monthly(i16, i8),
    /// It was written not long before the newest good one, or after it.
    Young,
    /// It is dated into the future.
    Future,
    /// No newer good one of its database stands.
    NothingNewer,
    /// Nobody can say what it is.
    Unknown(String),
    /// Nothing in it is good, and it is not old enough to go.
    Unproven,
    /// Its folder holds objects that are not ours.
    Strangers(usize),
    /// An object forbids it.
    Held(Hold),
    /// It goes in a later run: one run deletes only so many.
    Later,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest good"),
            Self::Minimum => f.write_str("minimum"),
            Self::Hourly => f.write_str("hourly"),
            Self::Daily(day) => write!(f, "daily {day}"),
            Self::Weekly(year, week) => write!(f, "weekly {year}-W{week:02}"),
            Self::Monthly(year, month) => write!(f, "monthly {year}-{month:02}"),
            Self::Young => f.write_str("written within a day of the newest good one"),
            Self::Future => f.write_str("dated into the future: look at the clock of the job"),
            Self::NothingNewer => f.write_str("no newer good one of this database"),
            Self::Unknown(why) => write!(f, "not judged: {why}"),
            Self::Unproven => f.write_str("nothing good in it, kept for whoever finds out why"),
            Self::Strangers(count) => write!(f, "{count} objects in its folder are not ours"),
            Self::Held(Hold::Pinned) => f.write_str("pinned by the tag keep"),
            Self::Held(Hold::Legal) => f.write_str("legal hold"),
            Self::Held(Hold::Until(until)) => write!(f, "locked until {}", until.strftime("%F %R")),
            Self::Later => f.write_str("goes in a later run"),
        }
    }
}

/// What becomes of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for every one of these reasons.
    Keep(Vec<Keep>),
    /// It goes.
    Delete,
}

/// The fate of every chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// Each chain with its fate, by database, oldest first.
    pub chains: Vec<(Chain, Fate)>,
    /// Chains that would go once each of their objects was looked at: until then they stay.
    pub candidates: Vec<(String, ChainId)>,
}

impl Plan {
    /// Returns the chains that go.
    pub fn deleted(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(|(_, fate)| *fate == Fate::Delete).map(|(chain, _)| chain)
    }
}

/// Decides about all chains of all databases. The order in which they are given does not matter.
///
/// Ages count from the newest good backup of the database, not from `now`: when backups stop, nothing ages out. `now` only
/// says what is dated into the future, and what is still locked.
pub fn plan(chains: Vec<Chain>, policy: &Policy, now: Timestamp) -> Plan {
    let mut databases: BTreeMap<String, Vec<Chain>> = BTreeMap::new();
    for chain in chains {
        databases.entry(chain.database.clone()).or_default().push(chain);
    }
    let mut plan = Plan::default();
    for (_, mut chains) in databases {
        chains.sort_by_key(|chain| chain.id);
        plan_database(chains, policy, now, &mut plan);
    }
    plan
}

fn plan_database(chains: Vec<Chain>, policy: &Policy, now: Timestamp, plan: &mut Plan) {
    let reasons = reasons(&chains, policy, now);
    // Of every id of this name: what failed is superseded by whatever was good later.
    let newest = chains.iter().filter_map(Chain::ends).filter(|ends| *ends <= now + AHEAD).max();
    let mut left = policy.most_of(chains.len());
    for (chain, mut keep) in chains.into_iter().zip(reasons) {
        let windows = !keep.is_empty();
        keep.extend(kept_anyway(&chain, policy, newest, now).into_iter().filter(|why| !windows || *why != Keep::Young));
        if keep.is_empty() && left == 0 {
            keep.insert(Keep::Later);
        }
        if keep.is_empty() {
            left -= 1;
            if chain.holds.is_none() {
                plan.candidates.push((chain.database.clone(), chain.id));
                keep.insert(Keep::Later);
            }
        }
        let fate = if keep.is_empty() { Fate::Delete } else { Fate::Keep(keep.into_iter().collect()) };
        plan.chains.push((chain, fate));
    }
}

/// Returns for each chain the windows that hold it, each database id by itself.
fn reasons(chains: &[Chain], policy: &Policy, now: Timestamp) -> Vec<BTreeSet<Keep>> {
    let mut reasons = vec![BTreeSet::new(); chains.len()];
    let mut ids: BTreeMap<&str, Vec<(Timestamp, ChainId, usize)>> = BTreeMap::new();
    for (at, chain) in chains.iter().enumerate() {
        if let State::Good { id, ends, .. } = &chain.state
            && *ends <= now + AHEAD
        {
            ids.entry(id).or_default().push((*ends, chain.id, at));
        }
    }
    for mut good in ids.into_values() {
        good.sort();
        good.reverse();
        let Some((newest, _, _)) = good.first().copied() else { continue };
        let mut days = BTreeSet::new();
        let mut weeks = BTreeSet::new();
        let mut months = BTreeSet::new();
        for (rank, (ends, _, at)) in good.into_iter().enumerate() {
            let Some(keep) = reasons.get_mut(at) else { continue };
            let age = newest.duration_since(ends);
            let day = TimeZone::UTC.to_datetime(ends).date();
            let week = day.iso_week_date();
            if rank == 0 {
                keep.insert(Keep::Newest);
            }
            if rank < policy.minimum() {
                keep.insert(Keep::Minimum);
            }
            if age < policy.hourly() {
                keep.insert(Keep::Hourly);
            }
            if days.insert(day) && age < policy.daily() {
                keep.insert(Keep::Daily(day));
            }
            if weeks.insert((week.year(), week.week())) && weeks.len() <= policy.weekly() {
                keep.insert(Keep::Weekly(week.year(), week.week()));
            }
            if months.insert((day.year(), day.month())) && months.len() <= policy.monthly() {
                keep.insert(Keep::Monthly(day.year(), day.month()));
            }
        }
    }
    reasons
}

/// Returns why a chain stays that no window holds.
fn kept_anyway(chain: &Chain, policy: &Policy, newest: Option<Timestamp>, now: Timestamp) -> BTreeSet<Keep> {
    let mut keep = BTreeSet::new();
    let dated = chain.ends().into_iter().chain([chain.id.opened()]).max();
    if dated.is_some_and(|dated| dated > now + AHEAD) {
        keep.insert(Keep::Future);
    }
    match newest {
        None => _ = keep.insert(Keep::NothingNewer),
        Some(newest) => {
            let written = chain.written.into_iter().chain(dated).max();
            if written.is_some_and(|written| newest.duration_since(written) < YOUNG) {
                keep.insert(Keep::Young);
            }
            let age = newest.duration_since(chain.id.opened());
            let unproven = match chain.state {
                State::Failed => Some(FAILED),
                // Somebody may still find that it can be restored.
                State::Unverified => Some(FAILED.max(policy.daily()).max(policy.hourly())),
                _ => None,
            };
            if unproven.is_some_and(|kept| age < kept) {
                keep.insert(Keep::Unproven);
            }
        }
    }
    if let State::Unknown(why) = &chain.state {
        keep.insert(Keep::Unknown(why.clone()));
    }
    if chain.strangers > 0 {
        keep.insert(Keep::Strangers(chain.strangers));
    }
    let holds = chain.holds.iter().flatten();
    keep.extend(holds.filter(|hold| !matches!(hold, Hold::Until(until) if *until <= now)).cloned().map(Keep::Held));
    keep
}
