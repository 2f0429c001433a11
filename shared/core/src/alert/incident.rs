//! When an alert is told: once, again while it stays, and once more when it has gone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Alert, Status, Way};

/// What is remembered of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The alert as it was last heard.
    pub alert: Alert,
    /// What each destination was told last.
    pub told: BTreeMap<String, Told>,
}

/// What a destination was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Until when it may cause them.
    pub until: Timestamp,
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
    /// It has stayed.
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

impl Incident {
    /// Returns an alert that nobody was told of.
    #[must_use]
    pub fn new(alert: Alert) -> Self {
        Self { alert, told: BTreeMap::new() }
    }

    /// Takes over what was heard. An event that is older than what is known changes nothing: events come late and in any order. Returns
    /// whether anything has changed.
    pub fn hear(&mut self, heard: Alert) -> bool {
        // «The state change time» of two events tells them apart. An alert without a time is taken as it comes.
        let older = heard.since.zip(self.alert.since).is_some_and(|(heard, known)| heard < known);
        if older || heard == self.alert {
            return false;
        }
        // An alarm that lacks data does not say since when there is trouble.
        let since = if heard.status == Status::Unknown { self.alert.since } else { heard.since };
        let status = if heard.status == Status::Unknown { self.alert.status } else { heard.status };
        let changed = (status, since) != (self.alert.status, self.alert.since);
        self.alert = Alert { status, since, ..heard };
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
                _ => Step::Nothing(Reason::NeverTold),
            },
            Status::Firing => {
                let firing = told.filter(|told| told.status == Status::Firing);
                if let Some(told) = firing {
                    let again = now.duration_since(told.at) >= way.repeat;
                    return if again { Step::Trigger(Why::Repeat) } else { Step::Nothing(Reason::Told) };
                }
                if let Some(planned) = planned.filter(|planned| now < planned.until) {
                    return Step::Nothing(Reason::Planned(planned.clone()));
                }
                let since = self.alert.since.unwrap_or(now);
                let held = since.checked_add(way.hold).unwrap_or(Timestamp::MAX);
                if now < held {
                    return Step::Nothing(Reason::Held(held));
                }
                Step::Trigger(Why::New)
            }
        }
    }

    /// Puts down that a destination has taken what it was told.
    pub fn take(&mut self, to: &str, step: &Step, now: Timestamp) {
        let status = match step {
            Step::Trigger(_) => Status::Firing,
            Step::Resolve => Status::Resolved,
            Step::Nothing(_) => return,
        };
        self.told.insert(to.to_owned(), Told { status, at: now });
    }

    /// Returns whether nothing is left to be told of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.alert.status != Status::Firing && self.told.values().all(|told| told.status == Status::Resolved)
    }
}
