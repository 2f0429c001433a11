//! `GetMetricData`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{Refusal, World, page, query::Form},
    metrics::{EACH, MetricId, Statistic},
};

/// How many queries one call takes (API reference of `GetMetricData`, `MetricDataQueries`).
const QUERIES: usize = 500;

/// A query of one metric.
struct Query {
    id: String,
    metric: MetricId,
    period: i64,
    statistic: Statistic,
}

impl Query {
    fn read(form: &Form, n: usize) -> Result<Option<Self>, Refusal> {
        let of = |key: &str| form.text(&format!("MetricDataQueries.member.{n}.{key}")).to_owned();
        let id = of("Id");
        if id.is_empty() {
            return Ok(None);
        }
        let invalid = |message: String| Err(Refusal::new("ValidationError", message));
        if !id.starts_with(|c: char| c.is_ascii_lowercase()) {
            return invalid(format!("The value {id} for Id must begin with a lowercase letter"));
        }
        let dimension = |m: usize| {
            let of = |key: &str| of(&format!("MetricStat.Metric.Dimensions.member.{m}.{key}"));
            Some((of("Name"), of("Value"))).filter(|(name, _)| !name.is_empty())
        };
        let period = of("MetricStat.Period").parse().unwrap_or_default();
        if period < EACH || period % EACH != 0 {
            return invalid(format!("Period {period} of {id} must be a multiple of 60"));
        }
        let (namespace, name) = (of("MetricStat.Metric.Namespace"), of("MetricStat.Metric.MetricName"));
        let metric = MetricId { namespace, name, dimensions: (1..).map_while(dimension).collect() };
        let statistic = of("MetricStat.Stat");
        let Some(statistic) = Statistic::named(&statistic) else {
            return invalid(format!("The world has no statistic {statistic:?}"));
        };
        Ok(Some(Self { id, metric, period, statistic }))
    }
}

impl World {
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>: from the start on, rounded down to
    /// a minute, and before the end; the latest first, unless asked otherwise. A metric that nobody wrote has no values.
    pub(super) fn get_metric_data(&self, form: &Form) -> Result<Value, Refusal> {
        let time = |key: &str| -> Result<Timestamp, Refusal> {
            let wrong = |_| Refusal::new("ValidationError", format!("{key} is no timestamp"));
            form.required(key)?.parse().map_err(wrong)
        };
        let (start, end) = (time("StartTime")?.as_second() / EACH * EACH, time("EndTime")?.as_second());
        if start >= end {
            return Err(Refusal::new("ValidationError", "The parameter StartTime must be less than the parameter EndTime"));
        }
        let mut queries = Vec::new();
        for n in 1.. {
            let Some(query) = Query::read(form, n)? else { break };
            queries.push(query);
        }
        let ids: BTreeSet<_> = queries.iter().map(|query| &query.id).collect();
        if queries.is_empty() || queries.len() > QUERIES || ids.len() < queries.len() {
            return Err(Refusal::new("ValidationError", "MetricDataQueries must hold 1 to 500 queries with ids of their own"));
        }
        let ascending = form.text("ScanBy") == "TimestampAscending";
        let results = queries.iter().map(|query| {
            let mut points: Vec<_> = self.points(query, start, end).into_iter().collect();
            if !ascending {
                points.reverse();
            }
            let at = |(at, _): &(i64, f64)| Timestamp::from_second(*at).map(|at| at.to_string()).unwrap_or_default();
            json!({
                "Id": query.id, "Label": query.metric.name, "StatusCode": "Complete",
                "Timestamps": points.iter().map(at).collect::<Vec<_>>(),
                "Values": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            })
        });
        let (shown, next) = page(&results.collect::<Vec<_>>(), Some(form.text("NextToken")), self.page);
        Ok(json!({"MetricDataResults": shown, "NextToken": next}))
    }

    /// The statistic of each period of a query in which something was written.
    fn points(&self, query: &Query, start: i64, end: i64) -> BTreeMap<i64, f64> {
        let first = start / query.period * query.period;
        let periods = (first..end).step_by(usize::try_from(query.period).unwrap_or(60));
        let value = |at: i64| {
            let summary = self.summary(&query.metric, None, at.max(start), end.min(at + query.period))?;
            Some((at, summary.statistic(query.statistic)))
        };
        periods.filter_map(value).collect()
    }
}
