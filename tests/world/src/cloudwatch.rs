//! CloudWatch: the metric that each task of a member writes about its disk, and `GetMetricData` of it. Alarms are not here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Refusal, World, page,
    query::{CLOUDWATCH, Form},
    service::{Asked, Service, Target, Touched},
};

/// The namespace of the metric.
const NAMESPACE: &str = "Neo4jCluster";
/// Its name.
const FREE: &str = "DataDiskFreePercent";
/// How often a task writes it.
const EACH: i64 = 60;
/// How many queries one call takes (API reference of `GetMetricData`, `MetricDataQueries`).
const QUERIES: usize = 500;
/// How much of a disk is free when nobody said otherwise.
pub const ROOM: f64 = 60.0;

/// What was reported.
#[derive(Clone, Debug, Default)]
pub struct CloudWatch {
    /// By task, when it reports.
    pub(super) reports: BTreeMap<String, Report>,
    /// Seconds from a report until it can be read. No page says how long that takes.
    pub lag: i64,
}

/// The time in which a task reports, and of what.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) disk: String,
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
}

impl Service for CloudWatch {
    const NAME: &'static str = "cloudwatch";
    const TARGET: Target = Target::Query(CLOUDWATCH);

    /// Service authorization reference of CloudWatch: `GetMetricData` knows no resources.
    fn asked(_: &World, _: &Asked<'_>) -> Touched {
        Touched::resources(vec!["*".to_owned()])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let form = asked.form()?;
        if form.action != "GetMetricData" {
            let message = format!("Could not find operation {} for version {CLOUDWATCH}", form.action);
            return Err(Refusal::new("InvalidAction", message));
        }
        world.get_metric_data(form)
    }
}

impl Report {
    /// Whether these are dimensions of a metric that it writes: with the core, and without.
    fn is_of(&self, dimensions: &BTreeMap<String, String>) -> bool {
        let core = dimensions.contains_key("Core") || !self.dimensions.contains_key("Core");
        let shown = self.dimensions.iter().filter(|(name, _)| core || *name != "Core");
        shown.eq(dimensions.iter())
    }
}

/// A query of one metric.
struct Query {
    id: String,
    is_free: bool,
    dimensions: BTreeMap<String, String>,
    period: i64,
    statistic: String,
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
        let is_free = of("MetricStat.Metric.Namespace") == NAMESPACE && of("MetricStat.Metric.MetricName") == FREE;
        let (dimensions, statistic) = ((1..).map_while(dimension).collect(), of("MetricStat.Stat"));
        if !["Minimum", "Maximum", "Average", "Sum", "SampleCount"].contains(&statistic.as_str()) {
            return invalid(format!("The world has no statistic {statistic:?}"));
        }
        Ok(Some(Self { id, is_free, dimensions, period, statistic }))
    }

    fn value(&self, values: &[f64]) -> f64 {
        let sum: f64 = values.iter().sum();
        let count: f64 = values.iter().map(|_| 1.0).sum();
        match self.statistic.as_str() {
            "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "Sum" => sum,
            "SampleCount" => count,
            _ => sum / count,
        }
    }
}

impl World {
    /// A task of a member begins to report: at once, and then once a minute.
    pub(super) fn begin_report(&mut self, task: &str, dimensions: BTreeMap<String, String>, disk: &str) {
        let (disk, from) = (disk.to_owned(), self.now);
        self.cloudwatch.reports.insert(task.to_owned(), Report { dimensions, disk, from, until: None });
    }

    /// It ends.
    pub(super) fn end_report(&mut self, task: &str) {
        let now = self.now;
        if let Some(report) = self.cloudwatch.reports.get_mut(task) {
            report.until.get_or_insert(now);
        }
    }

    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>: from the start on, rounded down to
    /// a minute, and before the end; the latest first, unless asked otherwise. A metric that nobody wrote has no values.
    fn get_metric_data(&self, form: &Form) -> Result<Value, Refusal> {
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
            let at = |(at, _): &(i64, Vec<f64>)| Timestamp::from_second(*at).map(|at| at.to_string()).unwrap_or_default();
            json!({
                "Id": query.id, "Label": FREE, "StatusCode": "Complete",
                "Timestamps": points.iter().map(at).collect::<Vec<_>>(),
                "Values": points.iter().map(|(_, values)| query.value(values)).collect::<Vec<_>>(),
            })
        });
        let (shown, next) = page(&results.collect::<Vec<_>>(), Some(form.text("NextToken")), self.page);
        Ok(json!({"MetricDataResults": shown, "NextToken": next}))
    }

    /// What was reported in each period of a query.
    fn points(&self, query: &Query, start: i64, end: i64) -> BTreeMap<i64, Vec<f64>> {
        let mut points = BTreeMap::<i64, Vec<f64>>::new();
        let read = self.now - SignedDuration::from_secs(self.cloudwatch.lag);
        let reports = self.cloudwatch.reports.values().filter(|report| query.is_free && report.is_of(&query.dimensions));
        for report in reports {
            let from = report.from.as_second();
            let until = report.until.map_or(read, |until| until.min(read)).as_second().min(end - 1);
            // The first report of its own that is in the time that is asked for.
            let first = from + ((start - from).max(0) + EACH - 1) / EACH * EACH;
            for at in (first..=until).step_by(60) {
                let bucket = at / query.period * query.period;
                points.entry(bucket).or_default().push(self.neo4j.free_at(&report.disk, at));
            }
        }
        points.retain(|at, _| *at >= start / query.period * query.period);
        points
    }
}
