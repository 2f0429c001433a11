//! Rules that mute alarms in windows of time.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-mute-rules.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutAlarmMuteRule.html>.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

use super::super::{
    cloudformation::text,
    cron::{Cron, zone},
};

/// How many alarms a rule may name.
const TARGETS: usize = 100;
/// The shortest and the longest window: «minimum of 1 minute (PT1M) and maximum of 15 days (P15D)».
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(15 * 24);

/// A mute rule.
#[derive(Clone, Debug)]
pub struct MuteRule {
    pub(super) arn: String,
    /// The names of the alarms that it mutes.
    pub(super) targets: BTreeSet<String>,
    begins: Begins,
    zone: TimeZone,
    lasts: SignedDuration,
    /// `StartDate` and `ExpireDate`.
    effective: (Option<Timestamp>, Option<Timestamp>),
}

#[derive(Clone, Debug)]
enum Begins {
    Once(Timestamp),
    Each(Cron),
}

/// A window in which a rule mutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// What stands in the parentheses of `cron(…)` or `at(…)`.
fn inner<'a>(expression: &'a str, kind: &str) -> Option<&'a str> {
    expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')
}

impl MuteRule {
    /// Reads the properties of an `AWS::CloudWatch::AlarmMuteRule`.
    pub(super) fn read(arn: String, properties: &Value) -> Result<Self, String> {
        let schedule = &properties["Rule"]["Schedule"];
        let (expression, named) = (text(schedule, "Expression"), text(schedule, "Timezone"));
        let zone = zone(if named.is_empty() { "UTC" } else { &named }).map_err(|why| format!("{named}: {why}"))?;
        let wrong = |why: String| format!("{expression}: {why}");
        let begins = match (inner(&expression, "cron"), inner(&expression, "at")) {
            (Some(fields), _) => Begins::Each(Cron::of_mute_rule(fields).map_err(wrong)?),
            (_, Some(at)) => {
                let at: DateTime = at.parse().map_err(|_| wrong("no time such as at(2026-05-10T14:00)".to_owned()))?;
                let at = zone.to_ambiguous_timestamp(at).compatible().map_err(|error| wrong(error.to_string()))?;
                Begins::Once(at)
            }
            _ => return Err(wrong("neither cron(…) nor at(…)".to_owned())),
        };
        let lasts: Span = text(schedule, "Duration").parse().map_err(|_| "Duration is no ISO 8601 duration")?;
        let lasts = lasts.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
        if !(SHORTEST..=LONGEST).contains(&lasts) {
            return Err(format!("Duration {lasts} is not from 1 minute to 15 days"));
        }
        let alarms = properties["MuteTargets"]["AlarmNames"].as_array().into_iter().flatten();
        let targets: BTreeSet<_> = alarms.filter_map(Value::as_str).map(str::to_owned).collect();
        if targets.len() > TARGETS {
            return Err(format!("a mute rule names at most {TARGETS} alarms, and this one names {}", targets.len()));
        }
        let date = |key: &str| match text(properties, key) {
            date if date.is_empty() => Ok(None),
            date => date.parse().map(Some).map_err(|_| format!("{key} {date} is no timestamp")),
        };
        let effective = (date("StartDate")?, date("ExpireDate")?);
        Ok(Self { arn, targets, begins, zone, lasts, effective })
    }

    /// The window that is open at this time.
    pub(super) fn window(&self, now: Timestamp) -> Option<Window> {
        let (start, expire) = self.effective;
        if start.is_some_and(|start| now < start) || expire.is_some_and(|expire| now >= expire) {
            return None;
        }
        let from = match &self.begins {
            Begins::Once(at) => *at,
            // The first that has not ended by now.
            Begins::Each(cron) => cron.next(now - self.lasts, &self.zone).ok()?,
        };
        let until = from + self.lasts;
        let until = expire.map_or(until, |expire| expire.min(until));
        (from <= now && now < until).then_some(Window { from, until })
    }
}
