//! CloudWatch: metrics and `GetMetricData` of them; alarms, evaluated once a minute, what holds their actions back, and their tags.

mod alarm;
mod composite;
mod data;
mod describe;
mod disk;
mod grammar;
mod judge;
mod math;
mod message;
mod metrics;
mod mute;
mod resources;
mod rule;
mod text;
mod watch;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Refusal, World,
    cloudformation::{Change, Operation, Wanted},
    query::CLOUDWATCH,
    service::{Asked, Service, Target, Touched},
};

pub use alarm::{Alarm, Standing};
pub use disk::ROOM;
pub use judge::{Missing, State, judge, range};
pub use metrics::MetricId;
pub use mute::MuteRule;
pub use resources::alarm_arn;

/// Metrics and alarms.
#[derive(Clone, Debug, Default)]
pub struct CloudWatch {
    /// By task, when it reports.
    pub(super) reports: BTreeMap<String, disk::Report>,
    /// Seconds from a report until it can be read. No page says how long that takes.
    pub lag: i64,
    /// Alarms by name.
    pub alarms: BTreeMap<String, Alarm>,
    /// Mute rules by name.
    pub mute_rules: BTreeMap<String, MuteRule>,
    /// Whether the lines of functions become metrics. Most stories look at no metric, and need not keep any.
    pub listens: bool,
    /// Actions that failed, as the alarms' history has them: the alarm's name, and the ARN. A topic may not be there.
    pub unheard: Vec<(String, String)>,
    /// Evaluations that could not be made, which are faults of the world's: there should be none.
    pub faults: Vec<String>,
    series: BTreeMap<MetricId, metrics::Series>,
    /// What reports by itself: since when, and which value.
    gauges: BTreeMap<MetricId, Vec<(i64, Option<f64>)>>,
    /// The last minute whose alarms were evaluated, once there is an alarm.
    evaluated: Option<i64>,
}

impl CloudWatch {
    /// The alarm of this name or ARN, with its name.
    fn named(&self, alarm: &str) -> Option<(&String, &Alarm)> {
        self.alarms.get_key_value(resources::name_of(alarm))
    }
}

impl Service for CloudWatch {
    const NAME: &'static str = "cloudwatch";
    const TARGET: Target = Target::Query(CLOUDWATCH);
    const RESOURCES: &'static [&'static str] =
        &["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::AlarmMuteRule"];

    /// Service authorization reference of CloudWatch: `GetMetricData` knows no resources, `ListTagsForResource` the alarm.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let resource = match (asked.operation.as_str(), &asked.form) {
            ("ListTagsForResource", Some(form)) => form.text("ResourceARN").to_owned(),
            ("DescribeAlarms", Some(form)) => describe::described(form),
            _ => "*".to_owned(),
        };
        Touched::resources(vec![resource])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let form = asked.form()?;
        match form.action.as_str() {
            "GetMetricData" => world.get_metric_data(form),
            "DescribeAlarms" => world.describe_alarms(form),
            "ListAlarmMuteRules" => world.list_mute_rules(form),
            "ListTagsForResource" => world.list_tags(form),
            other => {
                let message = format!("Could not find operation {other} for version {CLOUDWATCH}");
                Err(Refusal::new("InvalidAction", message))
            }
        }
    }

    /// «For any period of one minute or longer, an alarm is evaluated every minute»: here at each full one.
    fn next_due(world: &World) -> Option<Timestamp> {
        if world.cloudwatch.alarms.is_empty() {
            return None;
        }
        let minute = world.cloudwatch.evaluated.map(|minute| (minute + 1) * 60);
        let minute = minute.and_then(|second| Timestamp::from_second(second).ok());
        minute.into_iter().chain(world.next_release()).chain(world.next_unmuting()).min()
    }

    fn settle(world: &mut World) -> bool {
        let minute = world.now.as_second().div_euclid(60);
        let Some(evaluated) = world.cloudwatch.evaluated.filter(|_| !world.cloudwatch.alarms.is_empty()) else { return false };
        if evaluated < minute {
            world.cloudwatch.evaluated = Some(minute);
            world.evaluate_alarms(minute * 60);
            return true;
        }
        world.settle_composites() || world.unmute()
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        world.create_in_cloudwatch(wanted)
    }

    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        world.update_in_cloudwatch(change)
    }

    fn delete(world: &mut World, kind: &str, id: &str, _: &Value) -> Result<(), String> {
        world.delete_in_cloudwatch(kind, id)
    }
}
