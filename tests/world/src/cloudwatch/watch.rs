//! What a metric alarm looks at, and when that breaches.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{World, cloudformation::text},
    grammar::Expression,
    judge::{Missing, State, judge, range},
    math::{Computed, Given, Points},
    metrics::{EACH, MetricId, Statistic},
};

/// How many metrics the expression of an alarm may name: «A math expression used for an alarm can include as many as 10 metrics».
const METRICS: usize = 10;
/// How long an alarm may look back (API reference of `PutMetricAlarm`, `Period`): a day, and seven where the period is an hour or
/// more.
const DAY: i64 = 86_400;

/// A metric alarm's own part.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) queries: Vec<Query>,
    /// The query whose data points are compared.
    pub(super) shown: String,
    pub(super) period: i64,
    pub(super) periods: usize,
    pub(super) to_alarm: usize,
    pub(super) comparison: Comparison,
    pub(super) threshold: f64,
    pub(super) missing: Missing,
}

/// One of the metrics and expressions of an alarm.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) of: Of,
}

#[derive(Clone, Debug)]
pub(super) enum Of {
    Metric { metric: MetricId, statistic: Statistic, unit: Option<String> },
    Expression { text: String, read: Expression },
}

/// `ComparisonOperator` without its last word, `Threshold`: with a band nothing is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    GreaterThanOrEqualTo,
    GreaterThan,
    LessThan,
    LessThanOrEqualTo,
}

impl Comparison {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "GreaterThanOrEqualToThreshold" => Self::GreaterThanOrEqualTo,
            "GreaterThanThreshold" => Self::GreaterThan,
            "LessThanThreshold" => Self::LessThan,
            "LessThanOrEqualToThreshold" => Self::LessThanOrEqualTo,
            _ => return Err(format!("the world knows no ComparisonOperator {name:?}")),
        })
    }

    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterThanOrEqualTo => value >= threshold,
            Self::GreaterThan => value > threshold,
            Self::LessThan => value < threshold,
            Self::LessThanOrEqualTo => value <= threshold,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualTo => "greater than or equal to",
            Self::GreaterThan => "greater than",
            Self::LessThan => "less than",
            Self::LessThanOrEqualTo => "less than or equal to",
        }
    }
}

/// A number among properties, or what stands in for it.
fn number<T: std::str::FromStr>(properties: &Value, key: &str, otherwise: Option<T>) -> Result<T, String> {
    let given = text(properties, key);
    match otherwise {
        Some(otherwise) if given.is_empty() => Ok(otherwise),
        _ => given.parse().map_err(|_| format!("{key} {given:?} is no number")),
    }
}

/// The metric in the properties of an alarm, or of one of its `MetricStat`s.
fn metric(properties: &Value) -> MetricId {
    let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
    MetricId {
        namespace: text(properties, "Namespace"),
        name: text(properties, "MetricName"),
        dimensions: dimensions.map(|one| (text(one, "Name"), text(one, "Value"))).collect(),
    }
}

fn statistic(name: &str) -> Result<Statistic, String> {
    Statistic::named(name).ok_or_else(|| format!("the world has no statistic {name:?}"))
}

fn of_metric(properties: &Value, stat: &str) -> Result<Of, String> {
    let unit = Some(text(properties, "Unit")).filter(|unit| !unit.is_empty());
    let described = if properties["Metric"].is_null() { properties } else { &properties["Metric"] };
    Ok(Of::Metric { metric: metric(described), statistic: statistic(&text(properties, stat))?, unit })
}

/// One of `Metrics`, and its period where it has one.
fn query(properties: &Value) -> Result<(Query, Option<i64>), String> {
    let (id, label) = (text(properties, "Id"), Some(text(properties, "Label")).filter(|label| !label.is_empty()));
    let expression = text(properties, "Expression");
    if !expression.is_empty() {
        let read = Expression::read(&expression)?;
        return Ok((Query { id, label, of: Of::Expression { text: expression, read } }, None));
    }
    let described = &properties["MetricStat"];
    let period = number(described, "Period", None)?;
    Ok((Query { id, label, of: of_metric(described, "Stat")? }, Some(period)))
}

impl Watch {
    /// Reads the properties of an `AWS::CloudWatch::Alarm`.
    pub(super) fn read(properties: &Value) -> Result<Self, String> {
        let (queries, period, shown) = match properties["Metrics"].as_array() {
            None => {
                let period = number(properties, "Period", None)?;
                let query = Query { id: "m1".to_owned(), label: None, of: of_metric(properties, "Statistic")? };
                (vec![query], period, "m1".to_owned())
            }
            Some(all) => {
                let read = all.iter().map(query).collect::<Result<Vec<_>, _>>()?;
                // «Each metric must be using the same period.»
                let periods: Vec<i64> = read.iter().filter_map(|(_, period)| *period).collect();
                let period = *periods.first().ok_or("an alarm needs a metric")?;
                if periods.iter().any(|other| *other != period) || periods.len() > METRICS {
                    return Err(format!("an alarm compares at most {METRICS} metrics of one period"));
                }
                let returns = |one: &&Value| all.len() == 1 || text(one, "ReturnData") != "false";
                let shown: Vec<_> = all.iter().filter(returns).map(|one| text(one, "Id")).collect();
                let [shown] = &shown[..] else { return Err(format!("one of Metrics returns data, not {shown:?}")) };
                (read.into_iter().map(|(query, _)| query).collect(), period, shown.clone())
            }
        };
        let periods = number(properties, "EvaluationPeriods", None)?;
        let to_alarm = number(properties, "DatapointsToAlarm", Some(periods))?;
        if period < EACH || period % EACH != 0 {
            return Err(format!("Period {period}: the world evaluates periods that are multiples of 60"));
        }
        let looks_back = period.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
        if looks_back > if period < 3600 { DAY } else { 7 * DAY } {
            return Err(format!("{periods} periods of {period} seconds are too long a time"));
        }
        if periods == 0 || !(1..=periods).contains(&to_alarm) {
            return Err(format!("DatapointsToAlarm {to_alarm} is not from 1 to EvaluationPeriods {periods}"));
        }
        let missing = text(properties, "TreatMissingData");
        let missing = Missing::named(&missing).ok_or_else(|| format!("there is no TreatMissingData {missing:?}"))?;
        let comparison = Comparison::named(&text(properties, "ComparisonOperator"))?;
        let threshold = number(properties, "Threshold", None)?;
        let watch = Self { queries, shown, period, periods, to_alarm, comparison, threshold, missing };
        // Whatever an expression calls and names, it calls and names now.
        watch.points(|_, _| vec![Some(1.0); range(periods)])?;
        Ok(watch)
    }

    /// The data points that are compared, given those of each metric, the oldest first.
    fn points(&self, of_metric: impl Fn(&MetricId, (Statistic, Option<&str>)) -> Points) -> Result<Points, String> {
        let (mut series, mut left) = (BTreeMap::new(), Vec::new());
        for query in &self.queries {
            match &query.of {
                Of::Metric { metric, statistic, unit } => {
                    series.insert(query.id.clone(), of_metric(metric, (*statistic, unit.as_deref())));
                }
                Of::Expression { read, .. } => left.push((&query.id, read)),
            }
        }
        let period = f64::from(u32::try_from(self.period).unwrap_or(u32::MAX));
        // One that names another waits for it.
        while !left.is_empty() {
            let waits = |read: &Expression| read.names().iter().any(|name| left.iter().any(|(id, _)| id == name));
            let next = left.iter().position(|(_, read)| !waits(read)).ok_or("expressions name each other in a circle")?;
            let (id, read) = left.remove(next);
            let given = Given { series: &series, length: range(self.periods), period };
            let Computed::Series(points) = given.value(read)? else { return Err(format!("{id} is no single series")) };
            series.insert(id.clone(), points);
        }
        let shown = series.remove(&self.shown).ok_or("nothing returns data")?;
        Ok(shown.into_iter().map(|point| point.filter(|value| !value.is_nan())).collect())
    }
}

/// What an evaluation has found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Nothing where the state stays.
    pub(super) state: Option<State>,
    /// The data points that are there, the latest first, with the starts of their periods.
    pub(super) recent: Vec<(i64, f64)>,
}

impl World {
    /// Evaluates a metric alarm at a full minute. The window slides: «at the end of minute 6, the alarm is evaluated based on the
    /// data from minutes 2 to 6» (user guide, «Evaluating an alarm»; also «Alarm evaluation window», `SlidingWindow`).
    pub(super) fn look(&self, watch: &Watch, minute: i64) -> Result<Finding, String> {
        let length = range(watch.periods);
        let starts: Vec<i64> = (1..).map(|n: i64| minute - n * watch.period).take(length).collect();
        let points = watch.points(|metric, (statistic, unit)| {
            let value = |from: i64| Some(self.summary(metric, unit, from, from + watch.period)?.statistic(statistic));
            starts.iter().rev().map(|from| value(*from)).collect()
        })?;
        let breaches = |value: f64| watch.comparison.holds(value, watch.threshold);
        let breaching: Vec<_> = points.iter().map(|point| point.map(breaches)).collect();
        let state = judge(&breaching, watch.periods, watch.to_alarm, watch.missing);
        let recent = starts.iter().zip(points.iter().rev()).filter_map(|(at, point)| Some((*at, (*point)?)));
        Ok(Finding { state, recent: recent.take(watch.periods).collect() })
    }
}
