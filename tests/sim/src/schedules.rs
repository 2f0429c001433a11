//! Schedules of EventBridge Scheduler: when they fire, and what they send then.
//!
//! Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.

use cluster_world::cron::{Cron, zone};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A schedule whose target is the queue of a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schedule {
    /// The function that the queue wakes.
    pub function: String,
    /// `Target.Input`.
    pub input: String,
    /// `ScheduleExpression`.
    pub expression: String,
    /// `ScheduleExpressionTimezone`.
    pub zone: String,
}

impl Schedule {
    /// Reads the properties of an `AWS::Scheduler::Schedule`; nothing where it is disabled.
    #[must_use]
    pub fn read(function: &str, properties: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let zone = properties["ScheduleExpressionTimezone"].as_str().unwrap_or("UTC");
        let schedule = Self {
            function: function.to_owned(),
            input: text(&properties["Target"]["Input"]),
            expression: text(&properties["ScheduleExpression"]),
            zone: zone.to_owned(),
        };
        (properties["State"] != "DISABLED").then_some(schedule)
    }

    /// Returns whether it is the one that has a function look again.
    #[must_use]
    pub fn sweeps(&self) -> bool {
        let input: Value = serde_json::from_str(&self.input).unwrap_or_default();
        input["detail-type"] == "Sweep"
    }

    /// Returns what it sends when it is due at this time: the context attributes stand in for themselves.
    /// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>.
    #[must_use]
    pub fn message(&self, due: Timestamp) -> String {
        let time = due.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // Each execution has an id of its own. Sweeps are told apart by their times.
        let execution =
            if self.sweeps() { "execution".to_owned() } else { format!("execution-{}", time.replace([':', '-'], "")) };
        let input = self.input.replace("<aws.scheduler.scheduled-time>", &time);
        let input = input.replace("<aws.scheduler.execution-id>", &execution);
        input.replace("<aws.scheduler.attempt-number>", "1")
    }

    /// Returns when it fires next after a time. A rate counts from there: one without a start date begins at once, and whoever
    /// asks has taken that for granted.
    ///
    /// # Panics
    /// When the expression is none that the page knows, or never fires again.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Timestamp {
        let next = match inner(&self.expression, "rate") {
            Some(rate) => Ok(after + every(rate).unwrap_or_else(|why| panic!("{}: {why}", self.expression))),
            None => self.next_of_cron(after),
        };
        next.unwrap_or_else(|why| panic!("{} in {}: {why}", self.expression, self.zone))
    }

    fn next_of_cron(&self, after: Timestamp) -> Result<Timestamp, String> {
        let fields = inner(&self.expression, "cron").ok_or("neither rate(…) nor cron(…)")?;
        Cron::of_scheduler(fields)?.next(after, &zone(&self.zone)?)
    }
}

/// What stands in the parentheses of `rate(…)` or `cron(…)`.
fn inner<'a>(expression: &'a str, kind: &str) -> Option<&'a str> {
    expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')
}

/// «rate(value unit)»: a positive number of minutes, hours or days. A day is one of 24 hours, whatever the clocks do.
fn every(rate: &str) -> Result<SignedDuration, String> {
    let (value, unit) = rate.split_once(' ').ok_or("a rate has a value and a unit")?;
    let value: i64 = value.parse().ok().filter(|value| *value > 0).ok_or("the value is a positive number")?;
    match unit.trim_end_matches('s') {
        "minute" => Ok(SignedDuration::from_mins(value)),
        "hour" => Ok(SignedDuration::from_hours(value)),
        "day" => Ok(SignedDuration::from_hours(24 * value)),
        _ => Err(format!("{unit} is none of minutes, hours and days")),
    }
}
