//! What an alarm says of itself, to each of those who are told. The pages that show the forms are listed, by their short names, with
//! the fixtures of alerts in `shared/core/src/alert/tests/fixtures/fixtures.md`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{ACCOUNT, REGION},
    alarm::{Alarm, Kind, Standing},
    judge::{Missing, State},
    metrics::{MetricId, Statistic},
    mute::Window,
    watch::{Finding, Of, Query, Watch},
};

/// The region as SNS messages spell it.
const REGION_NAME: &str = "EU (Ireland)";

/// A time as payloads have it.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

/// Why a metric alarm changes its state.
pub(super) fn reason(watch: &Watch, finding: &Finding, from: State, to: State) -> String {
    let plural = |count: usize, one: &str, more: &str| if count == 1 { one.to_owned() } else { more.to_owned() };
    let Watch { periods, to_alarm, .. } = watch;
    let absent = periods - finding.recent.len().min(*periods);
    if to == State::InsufficientData {
        let were = plural(absent, "datapoint was", "datapoints were");
        return format!("Insufficient Data: {absent} {were} unknown.");
    }
    if finding.recent.is_empty() {
        let treated = if watch.missing == Missing::Breaching { "Breaching" } else { "NonBreaching" };
        let (in_periods, were) = (plural(*periods, "period", "periods"), plural(absent, "datapoint was", "datapoints were"));
        let missing = format!("{absent} missing {were} treated as [{treated}]");
        return format!("Threshold Crossed: no datapoints were received for {periods} {in_periods} and {missing}.");
    }
    let points = finding.recent.iter().map(|(at, value)| {
        let at = Timestamp::from_second(*at).unwrap_or_default().strftime("%d/%m/%y %H:%M:%S");
        format!("{value:?} ({at})")
    });
    let points: Vec<_> = points.collect();
    let there = points.len();
    let not = if to == State::Ok { "not " } else { "" };
    let least = if to == State::Ok { periods - to_alarm + 1 } else { *to_alarm };
    format!(
        "Threshold Crossed: {there} out of the last {periods} datapoints [{}] {} {not}{} the threshold ({:?}) (minimum {least} {} for \
         {from} -> {to} transition).",
        points.join(", "),
        plural(there, "was", "were"),
        watch.comparison.words(),
        watch.threshold,
        plural(least, "datapoint", "datapoints"),
    )
}

/// The same in numbers.
pub(super) fn reason_data(watch: &Watch, finding: &Finding, now: Timestamp) -> Value {
    let recent: Vec<_> = finding.recent.iter().rev().map(|(_, value)| value).collect();
    let mut data = json!({
        "version": "1.0", "queryDate": time(now), "period": watch.period, "recentDatapoints": recent,
        "threshold": watch.threshold,
    });
    if let [Query { of: Of::Metric { statistic, .. }, .. }] = &watch.queries[..] {
        data["statistic"] = json!(format!("{statistic:?}"));
    }
    data
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let there = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// A state, as events and Lambda payloads have it.
fn standing(standing: &Standing) -> Value {
    without_nulls(json!({
        "value": standing.state.to_string(),
        "reason": standing.reason,
        "reasonData": standing.data.as_ref().map(Value::to_string),
        "timestamp": time(standing.since),
        "actionsSuppressedBy": standing.suppressed,
        "actionsSuppressedReason": standing.suppressed.map(|by| format!("Actions suppressed by {by}")),
    }))
}

/// One of an alarm's metrics, as events and Lambda payloads have it.
fn query(watch: &Watch, query: &Query) -> Value {
    let returns = query.id == watch.shown;
    without_nulls(match &query.of {
        Of::Expression { text, .. } => {
            json!({"id": query.id, "expression": text, "label": query.label, "returnData": returns})
        }
        Of::Metric { metric: MetricId { namespace, name, dimensions }, statistic, unit } => json!({
            "id": query.id, "label": query.label, "returnData": returns,
            "metricStat": {
                "metric": {"namespace": namespace, "name": name, "dimensions": dimensions},
                "period": watch.period, "stat": format!("{statistic:?}"), "unit": unit,
            },
        }),
    })
}

fn data(name: &str, alarm: &Alarm) -> Value {
    let mut configuration = match &alarm.kind {
        Kind::Metric(watch) => {
            let metrics: Vec<_> = watch.queries.iter().map(|one| query(watch, one)).collect();
            json!({"metrics": metrics})
        }
        Kind::Composite(composite) => without_nulls(json!({
            "alarmRule": composite.text,
            "actionsSuppressor": composite.suppressor.as_ref().map(|suppressor| &suppressor.alarm),
            "actionsSuppressorWaitPeriod": composite.suppressor.as_ref().map(|suppressor| suppressor.wait),
            "actionsSuppressorExtensionPeriod": composite.suppressor.as_ref().map(|suppressor| suppressor.extension),
        })),
    };
    if let Some(description) = &alarm.description {
        configuration["description"] = json!(description);
    }
    without_nulls(json!({
        "alarmName": name,
        "state": standing(&alarm.now),
        "previousState": alarm.before.as_ref().map(standing),
        "configuration": configuration,
    }))
}

/// What a function is invoked with.
pub(super) fn to_lambda(name: &str, alarm: &Alarm) -> Value {
    json!({
        "source": "aws.cloudwatch", "alarmArn": alarm.arn, "accountId": ACCOUNT, "time": time(alarm.now.since), "region": REGION,
        "alarmData": data(name, alarm),
    })
}

/// The detail of an event, which says what mutes the alarm.
pub(super) fn to_eventbridge(name: &str, alarm: &Alarm, muted: Option<&(String, Window)>) -> Value {
    let mut detail = data(name, alarm);
    if let Some((rule, window)) = muted {
        detail["muteDetail"] = json!({
            "mutedByArn": rule, "muteWindowStart": time(window.from), "muteWindowEnd": time(window.until),
        });
    }
    detail
}

fn dimensions(metric: &MetricId) -> Vec<Value> {
    metric.dimensions.iter().map(|(name, value)| json!({"value": value, "name": name})).collect()
}

/// `Trigger` of a message to a topic.
fn trigger(watch: &Watch) -> Value {
    let missing = match watch.missing {
        Missing::Missing => "missing",
        Missing::Ignore => "ignore",
        Missing::Breaching => "breaching",
        Missing::NotBreaching => "notBreaching",
    };
    let mut trigger = json!({
        "Period": watch.period, "EvaluationPeriods": watch.periods, "DatapointsToAlarm": watch.to_alarm,
        "ComparisonOperator": format!("{:?}Threshold", watch.comparison), "Threshold": watch.threshold, "TreatMissingData": missing,
        "EvaluateLowSampleCountPercentile": "",
    });
    if let [Query { of: Of::Metric { metric, statistic, unit }, .. }] = &watch.queries[..] {
        let upper = match statistic {
            Statistic::SampleCount => "SAMPLE_COUNT".to_owned(),
            other => format!("{other:?}").to_ascii_uppercase(),
        };
        trigger["MetricName"] = json!(metric.name);
        trigger["Namespace"] = json!(metric.namespace);
        trigger["StatisticType"] = json!("Statistic");
        trigger["Statistic"] = json!(upper);
        trigger["Unit"] = json!(unit);
        trigger["Dimensions"] = json!(dimensions(metric));
        return trigger;
    }
    let metrics = watch.queries.iter().map(|query| {
        let returns = query.id == watch.shown;
        without_nulls(match &query.of {
            Of::Expression { text, .. } => {
                json!({"Expression": text, "Id": query.id, "Label": query.label, "ReturnData": returns})
            }
            Of::Metric { metric, statistic, .. } => json!({
                "Id": query.id, "Label": query.label, "ReturnData": returns,
                "MetricStat": {
                    "Metric": {
                        "Dimensions": dimensions(metric), "MetricName": metric.name, "Namespace": metric.namespace,
                    },
                    "Period": watch.period, "Stat": format!("{statistic:?}"),
                },
            }),
        })
    });
    trigger["Metrics"] = metrics.collect();
    trigger
}

/// The subject and the text of what is published to a topic.
pub(super) fn to_topic(name: &str, alarm: &Alarm) -> (String, String) {
    let state = alarm.now.state;
    let actions = |state: State| alarm.actions.get(&state).cloned().unwrap_or_default();
    let mut message = Map::new();
    let mut say = |key: &str, value: Value| _ = message.insert(key.to_owned(), value);
    say("AlarmName", json!(name));
    say("AlarmDescription", json!(alarm.description));
    say("AWSAccountId", json!(ACCOUNT));
    say("NewStateValue", json!(state.to_string()));
    say("NewStateReason", json!(alarm.now.reason));
    say("StateChangeTime", json!(time(alarm.now.since)));
    say("Region", json!(REGION_NAME));
    say("AlarmArn", json!(alarm.arn));
    say("OldStateValue", json!(alarm.before.as_ref().map_or(state, |before| before.state).to_string()));
    say("OKActions", json!(actions(State::Ok)));
    say("AlarmActions", json!(actions(State::Alarm)));
    say("InsufficientDataActions", json!(actions(State::InsufficientData)));
    match &alarm.kind {
        Kind::Metric(watch) => say("Trigger", trigger(watch)),
        Kind::Composite(composite) => {
            say("AlarmRule", json!(composite.text));
            let children = alarm.now.data.iter().flat_map(|data| data["triggeringAlarms"].as_array().into_iter().flatten());
            let child = |child: &Value| {
                let state = &child["state"];
                json!({"Arn": child["arn"], "State": {"Value": state["value"], "Timestamp": state["timestamp"]}})
            };
            say("TriggeringChildren", children.map(child).collect());
        }
    }
    // The subject of SNS holds 100 characters.
    let subject: String = format!("{state}: \"{name}\" in {REGION_NAME}").chars().take(100).collect();
    (subject, Value::Object(message).to_string())
}
