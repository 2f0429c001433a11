//! Alarms that are in ALARM though nobody was told, or though somebody said too early that they are over: a call may be lost, and so
//! may the right to make it.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Alert, Incident, Key, Status, read};

/// How long after an alarm has changed its call may still be on its way: Lambda makes one that fails again after one minute and two
/// (Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation").
const ON_ITS_WAY: SignedDuration = SignedDuration::from_mins(5);
/// What the message says, so that somebody looks for what has lost the call.
const LOST: &str = "Its call was lost: CloudWatch itself says that it is in alarm.";

/// An alarm that is in ALARM, as CloudWatch describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its description.
    pub description: Option<String>,
    /// Why it is in ALARM.
    pub reason: String,
    /// When its state last changed (`StateTransitionedTimestamp`).
    pub since: Option<Timestamp>,
    /// The name of its metric; nothing of metric math and of a composite alarm.
    pub metric: Option<String>,
    /// What its metric is compared with.
    pub threshold: Option<f64>,
    /// How (`GreaterThanThreshold` and its like).
    pub comparison: Option<String>,
    /// The rule of a composite alarm.
    pub rule: Option<String>,
    /// Whether it acts at all (`ActionsEnabled`).
    pub acts: bool,
    /// The ARNs of what it does when it goes to ALARM (`AlarmActions`).
    pub actions: Vec<String>,
    /// What suppresses its actions (`ActionsSuppressedBy`).
    pub suppressed_by: Option<String>,
}

impl Described {
    /// Returns whether this function should have been called by now: its ARN, or a version or alias of it, is an action, and nothing
    /// that CloudWatch says here holds actions back. Mute rules it does not say here.
    #[must_use]
    pub fn should_have_called(&self, function: &str, now: Timestamp) -> bool {
        let is_ours = |action: &String| {
            action.strip_prefix(function).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let late = self.since.is_some_and(|since| now.duration_since(since) >= ON_ITS_WAY);
        self.acts && self.suppressed_by.is_none() && late && self.actions.iter().any(is_ours)
    }

    /// Returns whether one of these incidents tells of it: of itself, or of one of its contributors, for each of which it calls.
    #[must_use]
    pub fn is_known<'a>(&self, mut incidents: impl Iterator<Item = &'a Incident>) -> bool {
        let own = Key::new(&self.arn);
        incidents.any(|incident| {
            let key = incident.alert.key.as_str();
            let contributor = key.strip_prefix(&self.arn).is_some_and(|rest| rest.starts_with('#'));
            incident.alert.status == Status::Firing && (contributor || incident.alert.key == own)
        })
    }

    /// Returns the alert that its call would have brought, and says that it did not.
    #[must_use]
    pub fn alert(&self) -> Option<Alert> {
        let trigger = json!({
            "MetricName": self.metric, "Threshold": self.threshold, "ComparisonOperator": self.comparison,
        });
        let message = json!({
            "AlarmName": self.name, "AlarmArn": self.arn, "AlarmDescription": self.description, "NewStateValue": "ALARM",
            "NewStateReason": self.reason, "StateChangeTime": self.since.map(|since| since.to_string()),
            "AlarmRule": self.rule, "Trigger": trigger,
        });
        let mut alert = read(&message).into_iter().next()?;
        alert.meaning = format!("{}\n{LOST}", alert.meaning);
        Some(alert)
    }
}

impl Incident {
    /// Takes over what CloudWatch itself says is firing, of which nobody was told. What said that it is over was wrong, if that is so
    /// long ago that no change can be on its way. Returns whether anything has changed.
    pub fn correct(&mut self, found: Alert, now: Timestamp) -> bool {
        let settled = self.alert.since.is_none_or(|since| now.duration_since(since) >= ON_ITS_WAY);
        if self.alert.status == Status::Firing || !settled {
            return false;
        }
        self.alert = found;
        true
    }
}
