use std::collections::BTreeMap;

use cluster_lambda::{Aws, Failure, env::Lookup, telemetry::NAMESPACE};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use cluster_lambda::query::{CLOUDWATCH, Query};

/// The metric that each core writes once a minute (`infra/task.yaml`).
const METRIC: &str = "DataDiskFreePercent";
/// Data points of a minute are kept for 15 days (CloudWatch user guide, «Metrics retention»).
const OLDEST: SignedDuration = SignedDuration::from_hours(14 * 24);
/// From how long before its task started a core's disk is of interest.
const BEFORE: SignedDuration = SignedDuration::from_mins(5);
/// Pages that are read at most.
const PAGES: u8 = 20;

/// The free space of the cores' disks, over time.
#[derive(Clone, Debug)]
pub(crate) struct Disks {
    cluster: String,
    cloudwatch: Query,
}

impl Disks {
    /// Makes a client. Refuses where no endpoint is known.
    pub(crate) fn new(cluster: String, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { cluster, cloudwatch: Query::new(CLOUDWATCH, lookup, aws)? })
    }

    /// Returns the free space in per cent of these cores' disks since their tasks started, the oldest value first. Without any
    /// core it makes no call.
    pub(crate) async fn of(
        &self,
        cores: &BTreeMap<u8, Timestamp>,
        now: Timestamp,
    ) -> Result<BTreeMap<u8, Vec<(Timestamp, f64)>>, Failure> {
        let Some(since) = cores.values().min().map(|since| (*since - BEFORE).max(now - OLDEST)) else {
            return Ok(BTreeMap::new());
        };
        let mut disks: BTreeMap<u8, Vec<(Timestamp, f64)>> = BTreeMap::new();
        let mut token = String::new();
        for _ in 0..PAGES {
            let result = self.page(cores.keys().copied(), since, now, &token).await?;
            for found in result.metric_data_results.member {
                let Some(core) = found.id.strip_prefix("core").and_then(|core| core.parse().ok()) else { continue };
                disks.entry(core).or_default().extend(found.timestamps.member.into_iter().zip(found.values.member));
            }
            token = result.next_token.unwrap_or_default();
            if token.is_empty() {
                break;
            }
        }
        if !token.is_empty() {
            let what = format!("CloudWatch has more than {PAGES} pages of the metric {METRIC}");
            return Err(Failure::transient(what));
        }
        for values in disks.values_mut() {
            values.sort_by_key(|(at, _)| *at);
        }
        Ok(disks)
    }

    async fn page(
        &self,
        cores: impl Iterator<Item = u8>,
        since: Timestamp,
        now: Timestamp,
        token: &str,
    ) -> Result<GetMetricDataResult, Failure> {
        let step = format!("read the free space of the cores' disks from the metric {METRIC}");
        let mut form =
            vec![("StartTime".to_owned(), format!("{since:.0}")), ("EndTime".to_owned(), format!("{now:.0}"))];
        for (n, core) in (1..).zip(cores) {
            let mut add = |name: &str, value: &str| {
                form.push((format!("MetricDataQueries.member.{n}.{name}"), value.to_owned()));
            };
            add("Id", &format!("core{core}"));
            add("MetricStat.Metric.Namespace", NAMESPACE);
            add("MetricStat.Metric.MetricName", METRIC);
            let core = core.to_string();
            let dimensions = [("Cluster", self.cluster.as_str()), ("Tier", "core"), ("Core", core.as_str())];
            for (n, (name, value)) in (1..).zip(dimensions) {
                add(&format!("MetricStat.Metric.Dimensions.member.{n}.Name"), name);
                add(&format!("MetricStat.Metric.Dimensions.member.{n}.Value"), value);
            }
            add("MetricStat.Period", "60");
            add("MetricStat.Stat", "Minimum");
        }
        if !token.is_empty() {
            form.push(("NextToken".to_owned(), token.to_owned()));
        }
        let answer = self.cloudwatch.call("GetMetricData", &form).await.map_err(|error| error.failure(&step))?;
        let answer: Answer = self.cloudwatch.read(&answer, &step)?;
        Ok(answer.get_metric_data_result)
    }
}

/// An answer of `GetMetricData`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    get_metric_data_result: GetMetricDataResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetMetricDataResult {
    metric_data_results: Members<Found>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

/// The values of one metric. «The order of the timestamps always matches the order of the values» (API reference of
/// `MetricDataResult`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    id: String,
    timestamps: Members<Timestamp>,
    values: Members<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_lambda::stub::Answers;

    const PAGE: &str = "<GetMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricDataResult>\
        <MetricDataResults><member><Id>core2</Id><Label>l</Label><StatusCode>Complete</StatusCode><Timestamps>\
        <member>2026-11-23T10:01:00Z</member><member>2026-11-23T10:00:00Z</member></Timestamps><Values><member>30.5</member>\
        <member>0.2</member></Values></member><member><Id>core3</Id><Timestamps/><Values/></member></MetricDataResults>\
        <Messages/></GetMetricDataResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetMetricDataResponse>";

    #[tokio::test(start_paused = true)]
    async fn values_are_read_oldest_first_and_without_a_core_there_is_no_call() {
        let answers = Answers::new(&[(200, PAGE)]);
        let disks = Disks { cluster: "neo4j".into(), cloudwatch: answers.client(CLOUDWATCH) };
        let at = |time: &str| format!("2026-11-23T{time}:00Z").parse::<Timestamp>().unwrap();
        assert!(disks.of(&BTreeMap::new(), at("10:02")).await.unwrap().is_empty());
        let found = disks.of(&[(2, at("09:50")), (3, at("09:55"))].into(), at("10:02")).await.unwrap();
        let values = vec![(at("10:00"), 0.2), (at("10:01"), 30.5)];
        assert_eq!(found, [(2, values), (3, vec![])].into());
        let requests = answers.requests.lock().unwrap();
        let sent = String::from_utf8_lossy(requests[0].body().bytes().unwrap()).into_owned();
        assert!(sent.contains("StartTime=2026-11-23T09%3A45%3A00Z&EndTime=2026-11-23T10%3A02%3A00Z&"), "{sent}");
        assert!(sent.contains("MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.3.Value=2&"), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_is_read_and_values_that_are_cut_short_are_none() {
        let first = PAGE.replace("<Messages/>", "<NextToken>more</NextToken>");
        let second = PAGE.replace("30.5", "29.5").replace("10:0", "10:1");
        let at = |time: &str| format!("2026-11-23T{time}:00Z").parse::<Timestamp>().unwrap();
        let read = async |pages: &[(u16, &str)]| {
            let disks = Disks { cluster: "neo4j".into(), cloudwatch: Answers::new(pages).client(CLOUDWATCH) };
            disks.of(&[(2, at("09:50"))].into(), at("10:12")).await.map_err(|failure| failure.chain())
        };
        let found = read(&[(200, &first), (200, &second)]).await.unwrap();
        assert_eq!(found[&2], [(at("10:00"), 0.2), (at("10:01"), 30.5), (at("10:10"), 0.2), (at("10:11"), 29.5)]);
        let why = read(&[(200, &first)]).await.unwrap_err();
        assert!(why.contains("more than 20 pages"), "{why}");
    }
}
