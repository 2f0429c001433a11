//! What an alarm has measured, and with what it compares that.

use serde_json::Value;

use super::super::{
    super::Reading,
    payload::{cut, field, list, pairs, text},
};

/// How long a metric or an expression is shown.
const METRIC: usize = 300;

/// Reads the measured metric from the alarm's configuration, which is a trigger in the message of SNS, and the last value and
/// the threshold from wherever they are: only that message has the threshold and the comparison as fields.
pub(super) fn reading(configuration: &Value, reason: Option<&str>, data: Option<&Value>) -> Option<Reading> {
    let metrics = list(field(configuration, &["metrics", "Metrics"]));
    let band = metrics.iter().find(|metric| is_band(metric, configuration));
    let others = || metrics.iter().filter(|metric| !is_band(metric, configuration));
    let returned = others().find(|metric| field(metric, &["returnData", "ReturnData"]) == true);
    let metric = match returned.or_else(|| others().next()) {
        Some(query) => described(query)?,
        None => of_trigger(configuration)?,
    };
    let threshold = match band {
        Some(_) => None,
        None => of_field(configuration).or_else(|| of_reason(reason?)).or_else(|| {
            // Without its comparison a threshold still says more than nothing.
            data?["threshold"].as_f64().map(|threshold| threshold.to_string())
        }),
    };
    let value = reason.and_then(last).or_else(|| match list(&data?["recentDatapoints"]) {
        [only] => only.as_f64(),
        _ => None,
    });
    Some(Reading { metric: cut(&metric, METRIC), value, threshold })
}

/// Whether this is the band of an anomaly alarm, not what is compared with it.
fn is_band(metric: &Value, configuration: &Value) -> bool {
    let id = text(metric, &["id", "Id"]);
    let expression = text(metric, &["expression", "Expression"]).unwrap_or_default();
    expression.starts_with("ANOMALY_DETECTION_BAND")
        || id.is_some() && id == text(configuration, &["thresholdMetricId", "ThresholdMetricId"])
}

/// Describes an entry of the list of metrics: an expression, or one metric.
fn described(query: &Value) -> Option<String> {
    if let Some(expression) = text(query, &["expression", "Expression"]) {
        let label = text(query, &["label", "Label"]).map(|label| format!("{label}: ")).unwrap_or_default();
        return Some(format!("{label}{expression}"));
    }
    let stat = field(query, &["metricStat", "MetricStat"]);
    let metric = field(stat, &["metric", "Metric"]);
    let name = text(metric, &["name", "MetricName", "metricName"])?;
    Some(words(
        text(metric, &["namespace", "Namespace"]),
        name,
        field(metric, &["dimensions", "Dimensions"]),
        text(stat, &["stat", "Stat"]),
        field(stat, &["period", "Period"]),
    ))
}

/// Describes the one metric of a trigger.
fn of_trigger(trigger: &Value) -> Option<String> {
    Some(words(
        text(trigger, &["Namespace"]),
        text(trigger, &["MetricName"])?,
        &trigger["Dimensions"],
        text(trigger, &["ExtendedStatistic", "Statistic"]),
        &trigger["Period"],
    ))
}

fn words(namespace: Option<&str>, name: &str, dimensions: &Value, statistic: Option<&str>, period: &Value) -> String {
    let namespace = namespace.map(|namespace| format!("{namespace} ")).unwrap_or_default();
    let dimensions: Vec<_> = pairs(dimensions).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let dimensions = if dimensions.is_empty() { String::new() } else { format!(" ({})", dimensions.join(", ")) };
    let statistic = statistic.map(|statistic| format!("{} of ", plain(statistic))).unwrap_or_default();
    let period = period.as_u64().map(|seconds| format!(" over {}", duration(seconds))).unwrap_or_default();
    format!("{statistic}{namespace}{name}{dimensions}{period}")
}

/// Writes a statistic as everywhere but in the message of SNS, which has it in capitals.
fn plain(statistic: &str) -> &str {
    match statistic {
        "AVERAGE" => "Average",
        "SUM" => "Sum",
        "MINIMUM" => "Minimum",
        "MAXIMUM" => "Maximum",
        "SAMPLE_COUNT" | "SAMPLECOUNT" => "SampleCount",
        other => other,
    }
}

fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size)).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Reads the threshold where it is a field.
fn of_field(trigger: &Value) -> Option<String> {
    let threshold = trigger["Threshold"].as_f64()?;
    let sign = match text(trigger, &["ComparisonOperator"])? {
        "GreaterThanThreshold" => ">",
        "GreaterThanOrEqualToThreshold" => ">=",
        "LessThanThreshold" => "<",
        "LessThanOrEqualToThreshold" => "<=",
        _ => return None,
    };
    Some(format!("{sign} {threshold}"))
}

/// Reads the threshold from `… was greater than the threshold (50.0) …`. What follows `not` is the same comparison, of an alarm
/// that is over.
fn of_reason(reason: &str) -> Option<String> {
    let (before, after) = reason.split_once(" the threshold (")?;
    let threshold: f64 = after.split_once(')')?.0.trim().parse().ok()?;
    let signs = [
        ("greater than or equal to", ">="),
        ("less than or equal to", "<="),
        ("greater than", ">"),
        ("less than", "<"),
    ];
    let (_, sign) = signs.into_iter().find(|(words, _)| before.ends_with(words))?;
    Some(format!("{sign} {threshold}"))
}

/// Reads the last value from `… datapoints [99.5 (02/10/19 16:59:00), …] …`, where the newest is the first, and from
/// `… datapoint [0.0 …]`.
fn last(reason: &str) -> Option<f64> {
    let (_, values) = reason.split_once('[')?;
    let value: f64 = values.split([' ', ',', ']']).next()?.parse().ok()?;
    value.is_finite().then_some(value)
}
