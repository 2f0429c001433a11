//! Metrics: what was written of each, and what the statistics of a time are.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{World, disk};

/// How often something reports that reports by itself, in seconds.
pub(super) const EACH: i64 = 60;

/// What tells one metric from another (user guide, «Metrics concepts»: namespace, name and dimensions).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Values by the name of the dimension.
    pub dimensions: BTreeMap<String, String>,
}

/// What was written of one metric.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// By second.
    written: BTreeMap<i64, Summary>,
    /// The unit that came with the values, if any.
    unit: Option<String>,
}

/// Values, as far as statistics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

/// A statistic of the values of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Minimum,
    Maximum,
    Average,
    Sum,
    SampleCount,
}

impl MetricId {
    /// Returns a metric's id.
    #[must_use]
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions: dimensions.collect() }
    }
}

impl Statistic {
    /// The statistic of this name; nothing for another one, such as a percentile.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "SampleCount" => Self::SampleCount,
            _ => return None,
        })
    }
}

impl Summary {
    fn of(value: f64) -> Self {
        Self { count: 1.0, sum: value, minimum: value, maximum: value }
    }

    fn with(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }

    /// One statistic of these values.
    pub(super) fn statistic(&self, statistic: Statistic) -> f64 {
        match statistic {
            Statistic::Minimum => self.minimum,
            Statistic::Maximum => self.maximum,
            Statistic::Average => self.sum / self.count,
            Statistic::Sum => self.sum,
            Statistic::SampleCount => self.count,
        }
    }
}

impl World {
    /// Writes one value of a metric, now.
    pub fn put_metric(&mut self, metric: &MetricId, value: f64) {
        self.write(metric, self.now.as_second(), value, None);
    }

    /// Lets a metric report this value each minute from now on, as AWS's own metrics do; or nothing any more.
    pub fn set_gauge(&mut self, metric: &MetricId, value: Option<f64>) {
        let now = self.now.as_second();
        self.cloudwatch.gauges.entry(metric.clone()).or_default().push((now, value));
    }

    /// Takes a line of a function's log. One in the embedded metric format becomes metrics, each stored once for each of its sets
    /// of dimensions; any other is none of CloudWatch's.
    /// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
    pub fn put_line(&mut self, line: &Value) -> Result<(), String> {
        let about = &line["_aws"];
        if about.is_null() {
            return Ok(());
        }
        let wrong = |what: &str| format!("no line of the embedded metric format, by its {what}: {line}");
        let at = about["Timestamp"].as_i64().ok_or_else(|| wrong("Timestamp"))?.div_euclid(1000);
        for directive in about["CloudWatchMetrics"].as_array().ok_or_else(|| wrong("CloudWatchMetrics"))? {
            let namespace = directive["Namespace"].as_str().ok_or_else(|| wrong("Namespace"))?;
            for set in directive["Dimensions"].as_array().ok_or_else(|| wrong("Dimensions"))? {
                let dimension = |name: &Value| {
                    let name = name.as_str()?;
                    Some((name.to_owned(), line[name].as_str()?.to_owned()))
                };
                let set = set.as_array().ok_or_else(|| wrong("sets of dimensions"))?;
                let dimensions: Option<BTreeMap<_, _>> = set.iter().map(dimension).collect();
                let dimensions = dimensions.ok_or_else(|| wrong("dimensions"))?;
                for metric in directive["Metrics"].as_array().ok_or_else(|| wrong("Metrics"))? {
                    let name = metric["Name"].as_str().ok_or_else(|| wrong("names of metrics"))?;
                    let id = MetricId { namespace: namespace.to_owned(), name: name.to_owned(), dimensions: dimensions.clone() };
                    let one = std::slice::from_ref(&line[name]);
                    for value in line[name].as_array().map_or(one, Vec::as_slice) {
                        let value = value.as_f64().ok_or_else(|| wrong(name))?;
                        self.write(&id, at, value, metric["Unit"].as_str());
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, metric: &MetricId, at: i64, value: f64, unit: Option<&str>) {
        let series = self.cloudwatch.series.entry(metric.clone()).or_default();
        series.unit = unit.map(str::to_owned).or_else(|| series.unit.take());
        let value = Summary::of(value);
        series.written.entry(at).and_modify(|known| *known = known.with(value)).or_insert(value);
    }

    /// The values of a metric from one second on and before another, as far as they can be read by now; nothing where there are
    /// none, or none of the unit that is asked for.
    pub(super) fn summary(&self, metric: &MetricId, unit: Option<&str>, from: i64, to: i64) -> Option<Summary> {
        let readable = self.now - SignedDuration::from_secs(self.cloudwatch.lag);
        let to = to.min(readable.as_second() + 1);
        if from >= to {
            return None;
        }
        let series = self.cloudwatch.series.get(metric).into_iter();
        let series = series.filter(|series| unit.is_none() || series.unit.as_deref() == unit);
        let written = series.flat_map(|series| series.written.range(from..to).map(|(_, summary)| *summary));
        let gauge = self.cloudwatch.gauges.get(metric).into_iter();
        let gauge = gauge.flat_map(|changes| reported(changes, from, to).map(Summary::of));
        let disk = self.reported_disk(metric, from, to).map(Summary::of);
        written.chain(gauge).chain(disk).reduce(Summary::with)
    }

    /// What the tasks of members report about their disks in a time.
    fn reported_disk(&self, metric: &MetricId, from: i64, to: i64) -> impl Iterator<Item = f64> {
        let is_free = metric.namespace == disk::NAMESPACE && metric.name == disk::FREE;
        let reports = self.cloudwatch.reports.values().filter(move |report| is_free && report.is_of(&metric.dimensions));
        reports.flat_map(move |report| {
            let began = report.from.as_second();
            let until = report.until.map_or(to - 1, Timestamp::as_second).min(to - 1);
            // The first report of its own that is in the time that is asked for.
            let first = began + ((from - began).max(0) + EACH - 1) / EACH * EACH;
            (first..=until).step_by(60).map(|at| self.neo4j.free_at(&report.disk, at))
        })
    }
}

/// What a gauge reports in a time: at each full minute what it shows then.
fn reported(changes: &[(i64, Option<f64>)], from: i64, to: i64) -> impl Iterator<Item = f64> {
    let first = (from + EACH - 1).div_euclid(EACH) * EACH;
    (first..to).step_by(60).filter_map(|at| {
        let shown = changes.iter().rfind(|(since, _)| *since <= at);
        shown.and_then(|(_, value)| *value)
    })
}
