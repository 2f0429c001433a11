use std::collections::BTreeMap;

use cluster_core::alert::{Due, Incident, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::tell::Telling;

/// What a sweep saw and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The incidents that are not over.
    pub open: Vec<Open>,
    /// How many messages destinations took.
    pub delivered: usize,
    /// How many they did not take.
    pub failed: usize,
    /// Why, by destination: the last reason.
    pub reasons: BTreeMap<String, String>,
    /// When the sweep began.
    pub at: Timestamp,
}

/// An incident that is not over, as the sweep found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// For people.
    pub shown: Value,
    /// For how long somebody should have been told something that nobody has been told yet, in seconds; 0 where nobody should.
    pub undelivered_seconds: i64,
}

impl Open {
    pub(crate) fn new(incident: &Incident, due: &[Due], now: Timestamp) -> Self {
        let alert = &incident.alert;
        let told = incident.told.iter().map(|(to, told)| (to.clone(), json!({"status": told.status, "at": told.at})));
        let waits = due.iter().map(|due| {
            let what = if due.step == Step::Resolve { "resolve" } else { "trigger" };
            json!({"to": due.to, "what": what, "since": due.since})
        });
        let shown = json!({
            "key": alert.key.as_str(),
            "status": alert.status,
            "severity": alert.severity,
            "title": alert.title,
            "since": alert.since,
            "told": told.collect::<serde_json::Map<_, _>>(),
            "due": waits.collect::<Vec<_>>(),
        });
        let mut open = Self { shown, undelivered_seconds: 0 };
        open.waits_for(due, now);
        open
    }

    /// Puts down what is still due after the sweep has told as much as it could.
    pub(crate) fn waits_for(&mut self, due: &[Due], now: Timestamp) {
        let waited = due.iter().map(|due| now.duration_since(due.since).as_secs()).max();
        self.undelivered_seconds = waited.unwrap_or_default().max(0);
    }
}

impl Outcome {
    pub(crate) fn at(at: Timestamp) -> Self {
        Self { at, ..Self::default() }
    }

    /// Puts down what came of telling an incident.
    pub(crate) fn told(&mut self, telling: Telling) {
        self.delivered += telling.delivered;
        self.failed += telling.failed.len();
        self.reasons.extend(telling.failed.into_iter().map(|(to, failure)| (to, failure.chain())));
    }

    /// Returns for how long the alert has waited that has waited longest to be told, in seconds.
    #[must_use]
    pub fn undelivered_seconds(&self) -> i64 {
        self.open.iter().map(|open| open.undelivered_seconds).max().unwrap_or_default()
    }

    /// Returns the answer to a person.
    #[must_use]
    pub fn answer(&self) -> Value {
        let open: Vec<_> = self.open.iter().map(|open| &open.shown).collect();
        json!({"open": open, "delivered": self.delivered, "failed": self.failed, "reasons": self.reasons})
    }
}
