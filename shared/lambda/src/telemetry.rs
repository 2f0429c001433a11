//! Logs and metrics, both as lines of JSON on standard output.

use std::{fmt, io::Write, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
pub use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::env;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "Neo4jCluster";

/// The format of timestamps. Lambda treats a line without a valid timestamp as level INFO, and filters it as such.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    #[expect(clippy::disallowed_methods, reason = "a log line says when it was written")]
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:.3}", Timestamp::now())
    }
}

/// Starts logging, at the level that Lambda requests (`AWS_LAMBDA_LOG_LEVEL`) or INFO.
pub fn init() {
    init_up_to(LevelFilter::TRACE);
}

/// Does the same, with no more details than this level has, whatever Lambda requests: at TRACE the runtime logs whole events.
pub fn init_up_to(most: LevelFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_timer(Rfc3339)
        .with_max_level(level(env::process("AWS_LAMBDA_LOG_LEVEL").as_deref()).min(most))
        .init();
}

fn level(asked: Option<&str>) -> LevelFilter {
    match asked {
        Some("FATAL") => LevelFilter::ERROR,
        Some(level) => level.parse().unwrap_or(LevelFilter::INFO),
        None => LevelFilter::INFO,
    }
}

/// The unit of a metric, named as CloudWatch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Milliseconds,
    /// A longer duration.
    Seconds,
}

/// One value of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The metric's name in CloudWatch.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its value.
    pub value: f64,
}

impl Metric {
    /// Makes a count. CloudWatch knows only floating point; counts here stay far below where that would lose one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn count(name: &'static str, value: usize) -> Self {
        Self { name, unit: Unit::Count, value: value as f64 }
    }

    /// Makes a count that may be negative, such as one above a limit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn signed(name: &'static str, value: i64) -> Self {
        Self { name, unit: Unit::Count, value: value as f64 }
    }

    /// Makes a duration in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn milliseconds(name: &'static str, value: i64) -> Self {
        Self { name, unit: Unit::Milliseconds, value: value as f64 }
    }

    /// Makes a duration in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn seconds(name: &'static str, value: i64) -> Self {
        Self { name, unit: Unit::Seconds, value: value as f64 }
    }
}

/// Metrics that share their dimensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSet {
    /// Dimensions besides `Cluster`. Each metric is stored once, under all dimensions together.
    pub dimensions: Vec<(&'static str, String)>,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

impl MetricSet {
    /// Leaves out those of these metrics that are 0, and returns nothing where no metric is left.
    #[must_use]
    pub fn without_zeros_of(mut self, names: &[&str]) -> Option<Self> {
        self.metrics.retain(|metric| metric.value != 0.0 || !names.contains(&metric.name));
        (!self.metrics.is_empty()).then_some(self)
    }

    /// Returns the set as one line in CloudWatch's embedded metric format, which costs no call.
    #[must_use]
    pub fn line(&self, at: Timestamp, cluster: &str) -> Value {
        let dimensions =
            || std::iter::once(("Cluster", cluster)).chain(self.dimensions.iter().map(|(n, v)| (*n, v.as_str())));
        let names: Vec<_> = dimensions().map(|(name, _)| name).collect();
        let metrics = self.metrics.iter().map(|m| json!({"Name": m.name, "Unit": format!("{:?}", m.unit)}));
        let metrics: Vec<_> = metrics.collect();
        let mut line = Map::new();
        // Without these two Lambda's own log filter would drop the line, and the metrics with it.
        line.insert("timestamp".into(), json!(format!("{at:.3}")));
        line.insert("level".into(), json!("INFO"));
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": at.as_millisecond(),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": metrics}],
            }),
        );
        line.extend(dimensions().map(|(name, value)| (name.to_owned(), json!(value))));
        line.extend(self.metrics.iter().map(|m| (m.name.to_owned(), json!(m.value))));
        Value::Object(line)
    }
}

/// The destination of metrics: [`Sink::stdout`] in a function, a list in a test.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(&Value) + Send + Sync>);

impl Sink {
    /// Makes a sink that hands each line to `take`.
    pub fn new(take: impl Fn(&Value) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Returns standard output, where Lambda's log agent reads the lines. If that is closed a line is lost, which is no
    /// reason to fail the work itself.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(|line| _ = writeln!(std::io::stdout().lock(), "{line}"))
    }

    /// Writes one line.
    pub fn emit(&self, line: &Value) {
        (self.0)(line);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_what_lambda_requests() {
        for (asked, level_is) in [
            (Some("TRACE"), LevelFilter::TRACE),
            (Some("WARN"), LevelFilter::WARN),
            (Some("FATAL"), LevelFilter::ERROR),
            (Some("loud"), LevelFilter::INFO),
            (None, LevelFilter::INFO),
        ] {
            assert_eq!(level(asked), level_is, "{asked:?}");
        }
    }

    #[test]
    fn metrics_are_one_line_that_cloudwatch_understands() {
        let at = "2026-11-23T10:00:00Z".parse().unwrap();
        let metrics = vec![Metric::count("DnsChanges", 2), Metric::milliseconds("DnsReplicationLagMs", 350)];
        let line = MetricSet { dimensions: vec![("Tier", "core".to_owned())], metrics }.line(at, "neo4j");
        let want = json!({
            "timestamp": "2026-11-23T10:00:00.000Z",
            "level": "INFO",
            "_aws": {
                "Timestamp": 1_795_428_000_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Neo4jCluster",
                    "Dimensions": [["Cluster", "Tier"]],
                    "Metrics": [
                        {"Name": "DnsChanges", "Unit": "Count"}, {"Name": "DnsReplicationLagMs", "Unit": "Milliseconds"},
                    ],
                }],
            },
            "Cluster": "neo4j",
            "Tier": "core",
            "DnsChanges": 2.0,
            "DnsReplicationLagMs": 350.0,
        });
        assert_eq!(line, want);
        assert!(!line.to_string().contains('\n'));
    }

    #[test]
    fn a_zero_is_left_out_where_it_says_nothing_and_so_is_a_set_of_such_zeros() {
        let set = |metrics: &[Metric]| MetricSet { dimensions: Vec::new(), metrics: metrics.to_vec() };
        let (none, some, state) = (Metric::count("Failed", 0), Metric::count("Failed", 2), Metric::count("Open", 0));
        for (written, left) in [
            (set(&[none, state]), Some(set(&[state]))),
            (set(&[some, state]), Some(set(&[some, state]))),
            (set(&[none]), None),
            (set(&[]), None),
        ] {
            assert_eq!(written.clone().without_zeros_of(&["Failed"]), left, "{written:?}");
        }
    }
}
