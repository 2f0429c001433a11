//! When an alert is told: once, again while it stays, and once more when it has gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Alert, Status, Way};
use crate::instance::Holder;

/// How long a core that is stopped on purpose mutes what it causes. A core that takes longer to come back is a fault.
const PLANNED: SignedDuration = SignedDuration::from_mins(30);
/// The tag of alarms that the stop of one core causes, and its value.
const CAUSED: (&str, &str) = ("planned", "drain");

/// How long whoever claims an incident may take to tell it: longer than an invocation can last, so that nobody tells it beside
/// somebody who still does.
pub const TELLING: SignedDuration = SignedDuration::from_secs(120);

/// What is remembered of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The alert as it was last heard. It says since when.
    pub alert: Alert,
    /// What each destination was told last.
    #[serde(default)]
    pub told: BTreeMap<String, Told>,
    /// The destinations that may know of the trouble though nobody wrote down that they took it: whoever told them has died, or they
    /// gave no answer. They are told of its end too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unsure: BTreeSet<String>,
    /// Since when somebody tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling: Option<Timestamp>,
}

/// What a destination was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// That there is trouble, or that there is no more.
    pub status: Status,
    /// When.
    pub at: Timestamp,
}

/// Planned work that causes alerts, such as the drain of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What is done, for people.
    pub what: String,
    /// Since when. What was wrong before is not of its making.
    pub since: Timestamp,
    /// Until when it may cause them.
    pub until: Timestamp,
}

impl Planned {
    /// Returns the planned work that the lease of disruptions is held for; none where nobody can read the lease.
    #[must_use]
    pub fn of(holder: &Holder) -> Option<Self> {
        let what = format!("core {} is stopped: {}", holder.core, holder.cause);
        let until = later(holder.since, PLANNED);
        (!holder.is_nobody()).then_some(Self { what, since: holder.since, until })
    }
}

impl Alert {
    /// Returns whether planned work causes it by itself, by the tag of its alarm.
    #[must_use]
    pub fn is_caused_by_plans(&self) -> bool {
        self.labels.get(CAUSED.0).map(String::as_str) == Some(CAUSED.1)
    }

    /// Returns what says that it is over since then, for a reason that nothing brought here told of.
    #[must_use]
    pub fn ended(&self, since: Timestamp, meaning: String) -> Self {
        let event = format!("{}@{since}/OK", self.key);
        Self { status: Status::Resolved, since: Some(since), event, meaning, ..self.clone() }
    }
}

/// What is done about one alert and one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is told that there is trouble.
    Trigger(Why),
    /// It is told that there is no more.
    Resolve,
    /// Nothing, and why.
    Nothing(Reason),
}

/// Why trouble is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is new.
    New,
    /// It has stayed, or has happened again.
    Repeat,
}

/// Why nothing is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has been told, and it is not time to tell it again.
    Told,
    /// It has not lasted for as long as the route wants.
    Held(Timestamp),
    /// Planned work causes it, until then.
    Planned(Planned),
    /// Nobody was told of it, so nobody needs to know that it is over.
    NeverTold,
    /// Nobody knows whether there is trouble. What was told stays.
    Unknown,
}

/// What a destination should be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The destination.
    pub to: String,
    /// A trigger or a resolve.
    pub step: Step,
    /// Since when it should be.
    pub since: Timestamp,
}

impl Incident {
    /// Returns an alert that nobody was told of. One that does not say since when has been so since it was heard; nothing has been
    /// so since later: clocks differ.
    #[must_use]
    pub fn new(alert: Alert, now: Timestamp) -> Self {
        let alert = Alert { since: Some(alert.since.map_or(now, |since| since.min(now))), ..alert };
        Self { alert, told: BTreeMap::new(), unsure: BTreeSet::new(), telling: None }
    }

    /// Takes over what was heard. An event that is older than what is known changes nothing: events come late, twice, and in any
    /// order. Returns whether anything has changed.
    pub fn hear(&mut self, heard: Alert, now: Timestamp) -> bool {
        // «The state change time» of two events tells them apart.
        let since = heard.since.map_or(now, |since| since.min(now));
        let same = (&heard.event, heard.status) == (&self.alert.event, self.alert.status);
        let older = self.alert.since.is_some_and(|known| since < known);
        if same || older {
            return false;
        }
        if heard.status == Status::Unknown {
            // An alarm that lacks data does not say since when there is trouble, and whether.
            return false;
        }
        let heard = Alert { since: Some(since), ..heard };
        let changed = heard != self.alert;
        self.alert = heard;
        changed
    }

    /// Decides what one destination is told now.
    #[must_use]
    pub fn step(&self, way: &Way, planned: Option<&Planned>, now: Timestamp) -> Step {
        let told = self.told.get(&way.to).copied();
        match self.alert.status {
            Status::Unknown => Step::Nothing(Reason::Unknown),
            Status::Resolved => match told {
                Some(Told { status: Status::Firing, .. }) => Step::Resolve,
                _ if self.unsure.contains(&way.to) => Step::Resolve,
                _ => Step::Nothing(Reason::NeverTold),
            },
            Status::Firing => {
                let since = self.alert.since.unwrap_or(now);
                let firing = told.filter(|told| told.status == Status::Firing);
                if let Some(told) = firing {
                    // What has happened once is told once.
                    let more = self.alert.lasting || since > told.at;
                    let again = more && now.duration_since(told.at) >= way.repeat;
                    return if again { Step::Trigger(Why::Repeat) } else { Step::Nothing(Reason::Told) };
                }
                let planned = planned.filter(|planned| since >= planned.since && now < planned.until);
                if let Some(planned) = planned {
                    return Step::Nothing(Reason::Planned(planned.clone()));
                }
                // What has happened does not last.
                let hold = if self.alert.lasting { way.hold } else { SignedDuration::ZERO };
                let until = later(since, hold);
                if now < until {
                    return Step::Nothing(Reason::Held(until));
                }
                Step::Trigger(Why::New)
            }
        }
    }

    /// Returns what the destinations of these ways should be told now; and of what is over, those too that were told on other ways.
    #[must_use]
    pub fn due(&self, ways: &[Way], planned: Option<&Planned>, now: Timestamp) -> Vec<Due> {
        let since = self.alert.since.unwrap_or(now);
        if self.alert.status == Status::Resolved {
            let firing = self.told.iter().filter(|(_, told)| told.status == Status::Firing).map(|(to, _)| to);
            let all: BTreeSet<_> = firing.chain(&self.unsure).collect();
            return all.into_iter().map(|to| Due { to: to.clone(), step: Step::Resolve, since }).collect();
        }
        let due = ways.iter().filter_map(|way| {
            let step = self.step(way, planned, now);
            let since = match step {
                Step::Trigger(Why::New) if self.alert.lasting => later(since, way.hold),
                Step::Trigger(Why::Repeat) => later(self.told.get(&way.to)?.at, way.repeat),
                Step::Nothing(_) => return None,
                Step::Trigger(Why::New) | Step::Resolve => since,
            };
            Some(Due { to: way.to.clone(), step, since })
        });
        due.collect()
    }

    /// Returns whether somebody tells it now, or died not long ago.
    #[must_use]
    pub fn is_being_told(&self, now: Timestamp) -> bool {
        self.telling.is_some_and(|since| now.duration_since(since) < TELLING)
    }

    /// Puts down, before anybody is told, that somebody tells these destinations now. Returns those that were not unsure before.
    pub fn claim(&mut self, due: &[Due], now: Timestamp) -> BTreeSet<String> {
        self.telling = Some(now);
        let triggers = due.iter().filter(|due| matches!(due.step, Step::Trigger(_)));
        triggers.filter(|due| self.unsure.insert(due.to.clone())).map(|due| due.to.clone()).collect()
    }

    /// Puts down that a destination has taken what it was told.
    pub fn take(&mut self, to: &str, step: &Step, now: Timestamp) {
        let status = match step {
            Step::Trigger(_) => Status::Firing,
            Step::Resolve => Status::Resolved,
            Step::Nothing(_) => return,
        };
        self.unsure.remove(to);
        self.told.insert(to.to_owned(), Told { status, at: now });
    }

    /// Returns whether nothing is told of it any more unless something is heard.
    #[must_use]
    pub fn is_over(&self, ways: &[Way]) -> bool {
        match self.alert.status {
            Status::Resolved | Status::Unknown => {
                self.unsure.is_empty() && self.told.values().all(|told| told.status == Status::Resolved)
            }
            Status::Firing if self.alert.lasting => false,
            Status::Firing => ways.iter().all(|way| {
                let told = self.told.get(&way.to).filter(|told| told.status == Status::Firing);
                told.is_some_and(|told| self.alert.since.is_none_or(|since| since <= told.at))
            }),
        }
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
