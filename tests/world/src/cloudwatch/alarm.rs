//! Alarms: their states, and what they do when these change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{World, cloudformation::text},
    composite::{Composite, Suppressed},
    judge::State,
    message,
    mute::Window,
    metrics::MetricId,
    watch::{Finding, Of, Query, Watch},
};

/// How many actions each state may have (API reference of `PutMetricAlarm`).
const ACTIONS: usize = 5;

/// An alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Its ARN.
    pub arn: String,
    /// `AlarmDescription`.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The ARNs of what it does, by the state that it goes to.
    pub actions: BTreeMap<State, Vec<String>>,
    /// `ActionsEnabled`.
    pub enabled: bool,
    /// The state that it is in.
    pub now: Standing,
    /// The state that it was in before.
    pub(super) before: Option<Standing>,
    /// The state whose actions a mute rule holds back.
    pub(super) held: Option<State>,
    pub(super) kind: Kind,
}

/// What an alarm watches.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Metric(Watch),
    Composite(Composite),
}

/// A state, since when, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// Since when (`StateUpdatedTimestamp`).
    pub since: Timestamp,
    /// `StateReason`.
    pub reason: String,
    /// `StateReasonData`.
    pub(super) data: Option<Value>,
    /// What suppresses the actions of a composite alarm.
    pub(super) suppressed: Option<&'static str>,
}

impl Alarm {
    /// Reads what metric and composite alarms share.
    pub(super) fn read(arn: String, properties: &Value, kind: Kind, now: Timestamp) -> Result<Self, String> {
        let mut actions = BTreeMap::new();
        for (state, key) in [
            (State::Ok, "OKActions"),
            (State::Alarm, "AlarmActions"),
            (State::InsufficientData, "InsufficientDataActions"),
        ] {
            let all: Vec<_> = properties[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let unknown = |arn: &&str| !arn.contains(":sns:") && !arn.contains(":lambda:");
            if let Some(arn) = all.iter().copied().find(|arn| unknown(arn)) {
                return Err(format!("{key}: the world knows no action {arn}"));
            }
            let each: BTreeSet<_> = all.iter().collect();
            if all.len() > ACTIONS || each.len() < all.len() {
                return Err(format!("{key}: at most {ACTIONS} actions, each once"));
            }
            actions.insert(state, all.into_iter().map(str::to_owned).collect());
        }
        let tags = properties["Tags"].as_array().into_iter().flatten();
        let description = Some(text(properties, "AlarmDescription")).filter(|text| !text.is_empty());
        let reason = "Unchecked: Initial alarm creation".to_owned();
        Ok(Self {
            arn,
            description,
            tags: tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect(),
            actions,
            enabled: text(properties, "ActionsEnabled") != "false",
            // User guide, «Alarm states»: «The alarm has just started […]».
            now: Standing { state: State::InsufficientData, since: now, reason, data: None, suppressed: None },
            before: None,
            held: None,
            kind,
        })
    }

    /// Returns the metrics that it compares, or computes with: none of a composite alarm.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricId> {
        let Kind::Metric(watch) = &self.kind else { return vec![] };
        let metric = |query: &Query| if let Of::Metric { metric, .. } = &query.of { Some(metric.clone()) } else { None };
        watch.queries.iter().filter_map(metric).collect()
    }

    /// Whether the actions of a state still wait for a mute rule's end: they do as long as the state is that.
    fn is_held(&self) -> bool {
        self.held == Some(self.now.state)
    }
}

impl World {
    /// Returns the state of an alarm, named by its name or its ARN.
    #[must_use]
    pub fn alarm_state(&self, alarm: &str) -> Option<State> {
        self.cloudwatch.named(alarm).map(|(_, alarm)| alarm.now.state)
    }

    /// Sets the state of an alarm, as `SetAlarmState` does: its actions follow, and the next evaluation may end it.
    pub fn set_alarm_state(&mut self, alarm: &str, state: State, reason: &str) -> Result<(), String> {
        let known = self.cloudwatch.named(alarm).map(|(name, _)| name.clone());
        let name = known.ok_or_else(|| format!("there is no alarm {alarm}"))?;
        self.go_to(&name, state, reason.to_owned(), None);
        self.settle();
        Ok(())
    }

    /// Evaluates every metric alarm. A finding that cannot be made is a fault of the world's.
    pub(super) fn evaluate_alarms(&mut self, minute: i64) {
        let found = |(name, alarm): (&String, &Alarm)| {
            let Kind::Metric(watch) = &alarm.kind else { return None };
            Some((name.clone(), self.look(watch, minute)))
        };
        let findings: Vec<_> = self.cloudwatch.alarms.iter().filter_map(found).collect();
        for (name, finding) in findings {
            match finding {
                Ok(finding) => self.follow(&name, &finding),
                Err(why) => self.cloudwatch.faults.push(format!("{name}: {why}")),
            }
        }
    }

    fn follow(&mut self, name: &str, finding: &Finding) {
        let Some(Alarm { kind: Kind::Metric(watch), now, .. }) = self.cloudwatch.alarms.get(name) else { return };
        let Some(state) = finding.state.filter(|state| *state != now.state) else { return };
        let reason = message::reason(watch, finding, now.state, state);
        let data = message::reason_data(watch, finding, self.now);
        self.go_to(name, state, reason, Some(data));
    }

    /// Lets an alarm go to a state, if it is in another one: EventBridge is told, and its actions follow unless something holds
    /// them back.
    pub(super) fn go_to(&mut self, name: &str, state: State, reason: String, data: Option<Value>) {
        let now = self.now;
        let Some(alarm) = self.cloudwatch.alarms.get_mut(name) else { return };
        if alarm.now.state == state {
            return;
        }
        let standing = Standing { state, since: now, reason, data, suppressed: None };
        alarm.before = Some(std::mem::replace(&mut alarm.now, standing));
        // What waited for a mute rule's end was about another state.
        alarm.held = None;
        let suppressed = self.suppress(name);
        let muted = if suppressed == Suppressed::No { self.act(name) } else { self.muted(name) };
        self.tell_eventbridge(name, muted.as_ref());
    }

    /// The window of a mute rule that is open for an alarm, with the rule's ARN.
    fn muted(&self, name: &str) -> Option<(String, Window)> {
        let rules = self.cloudwatch.mute_rules.values().filter(|rule| rule.targets.contains(name));
        rules.filter_map(|rule| Some((rule.arn.clone(), rule.window(self.now)?))).max_by_key(|(_, window)| window.until)
    }

    /// Takes the actions of the state that an alarm is in, or notes them for the end of the window that mutes it, which is
    /// returned.
    pub(super) fn act(&mut self, name: &str) -> Option<(String, Window)> {
        let muted = self.muted(name);
        let alarm = self.cloudwatch.alarms.get_mut(name)?;
        if muted.is_some() {
            alarm.held = Some(alarm.now.state);
            return muted;
        }
        alarm.held = None;
        let alarm = alarm.clone();
        let actions = alarm.actions.get(&alarm.now.state).into_iter().flatten().filter(|_| alarm.enabled);
        for arn in actions {
            if arn.contains(":lambda:") {
                let payload = message::to_lambda(name, &alarm);
                self.invoke_later(arn, payload);
            } else {
                let (subject, body) = message::to_topic(name, &alarm);
                if self.publish(arn, Some(&subject), &body).is_err() {
                    self.cloudwatch.unheard.push((name.to_owned(), arn.clone()));
                }
            }
        }
        None
    }

    /// When the window ends that holds actions back, the earliest.
    pub(super) fn next_unmuting(&self) -> Option<Timestamp> {
        let held = self.cloudwatch.alarms.iter().filter(|(_, alarm)| alarm.is_held());
        held.map(|(name, _)| self.muted(name).map_or(self.now, |(_, window)| window.until)).min()
    }

    /// Takes actions that a mute rule has held back until now: «Alarm action is executed because the mute window has ended and the
    /// alarm remains in the same state […] in which it was originally muted», whichever state that is.
    /// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-mute-rules-behaviour.html>.
    pub(super) fn unmute(&mut self) -> bool {
        let held = self.cloudwatch.alarms.iter().find(|(name, alarm)| alarm.is_held() && self.muted(name).is_none());
        let Some(name) = held.map(|(name, _)| name.clone()) else { return false };
        self.act(&name);
        true
    }

    fn tell_eventbridge(&mut self, name: &str, muted: Option<&(String, Window)>) {
        let Some(alarm) = self.cloudwatch.alarms.get(name) else { return };
        let (arn, detail) = (alarm.arn.clone(), message::to_eventbridge(name, alarm, muted));
        self.emit("aws.cloudwatch", "CloudWatch Alarm State Change", &[arn], &detail);
    }
}
