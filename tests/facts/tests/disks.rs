//! Facts about what the tasks report of their disks, which is taken from what the containers' command really prints, and about
//! the alarms on it.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use cluster_facts::{
    root,
    template::{container, deployments, read, rendered, resources},
};
use cluster_lambda::telemetry::NAMESPACE;
use serde_json::{Value, json};

/// A deployment with both tiers.
const WITH_REPLICAS: &str = "replicas";

/// Runs the container's command until it has reported once. `tests/template/host.py` plays the rest of its life.
fn reported(tier: &str) -> Value {
    let container = container(&rendered(WITH_REPLICAS), tier, "debug-log");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disks-{tier}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("core"), "1\n").unwrap();
    std::fs::write(folder.join("debug.log"), "").unwrap();
    let place = folder.display().to_string();
    let words: Vec<_> = container["Command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let script = words[0].replace("/logs/", &format!("{place}/")).replace(" /data", &format!(" {place}"));
    let core = if tier == "core" { "core" } else { "none" };
    let script = script.replace("/etc/neo4j/core", &format!("{place}/{core}"));
    let mut shell = Command::new("/bin/bash");
    shell.args(["-euc", &script]).args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = shell.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let group = format!("-{}", child.id()); // all that it has started
    Command::new("kill").args(["-TERM", "--", &group]).status().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// Returns each metric that the tasks report, and the sets of dimensions that it has: (metric, names of dimensions).
fn written() -> &'static BTreeSet<(String, Vec<String>)> {
    static WRITTEN: OnceLock<BTreeSet<(String, Vec<String>)>> = OnceLock::new();
    WRITTEN.get_or_init(report)
}

fn report() -> BTreeSet<(String, Vec<String>)> {
    let mut written = BTreeSet::new();
    for tier in ["core", "replica"] {
        let document = reported(tier);
        assert_eq!(document["Tier"], json!(tier));
        for directive in document["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], json!(NAMESPACE));
            for set in directive["Dimensions"].as_array().unwrap() {
                let names: Vec<_> = set.as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
                assert!(names.iter().all(|name| document[name].is_string()), "{names:?} have values in {document}");
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    assert!(document[name].is_number(), "{name} has a value in {document}");
                    written.insert((name.to_owned(), names.clone()));
                }
            }
        }
    }
    written
}

/// Returns the names of the metrics that the tasks report.
pub(crate) fn metrics() -> BTreeSet<String> {
    written().iter().map(|(metric, _)| metric.clone()).collect()
}

/// Returns what an alarm watches: (metric, its dimensions).
pub(crate) fn watched(alarm: &Value) -> Vec<(String, Vec<(String, String)>)> {
    let parts = alarm["Metrics"].as_array().into_iter().flatten().map(|query| &query["MetricStat"]["Metric"]);
    let parts = parts.chain([alarm]).filter(|part| part["Namespace"] == NAMESPACE);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dimensions = |part: &Value| {
        part["Dimensions"].as_array().unwrap().iter().map(|one| (text(&one["Name"]), text(&one["Value"]))).collect()
    };
    parts.map(|part| (text(&part["MetricName"]), dimensions(part))).collect()
}

/// Returns the alarms on disks in a deployment: (logical id, properties).
fn alarms(deployment: &str) -> Vec<(String, Value)> {
    let stacks = rendered(deployment)["stacks"].take();
    let live = stacks.as_object().unwrap().values().flat_map(|stack| resources(&stack["live"]));
    let alarms = live.filter(|(id, resource)| resource["Type"] == "AWS::CloudWatch::Alarm" && id.contains("Disk"));
    alarms.map(|(id, alarm)| (id, alarm["Properties"].clone())).collect()
}

#[test]
fn each_alarm_on_disks_watches_what_the_tasks_report_and_names_the_parameter_to_raise() {
    let written = written();
    let root_parameters = read("infra/template.yaml")["Parameters"].clone();
    let mut levels = BTreeSet::new();
    for (id, alarm) in alarms(WITH_REPLICAS) {
        for (metric, dimensions) in watched(&alarm) {
            let names = dimensions.iter().map(|(name, _)| name.clone()).collect();
            assert!(written.contains(&(metric.clone(), names)), "{id}: no task reports {metric} with {dimensions:?}");
        }
        let text = alarm["AlarmDescription"].as_str().unwrap();
        assert!(text.len() <= 1024, "{id}: {text}");
        let Some(threshold) = alarm["Threshold"].as_u64().filter(|_| alarm["Metrics"].is_null()) else { continue };
        let (_, dimensions) = watched(&alarm).remove(0);
        let (_, tier) = dimensions.into_iter().find(|(name, _)| name == "Tier").unwrap();
        let parameter = if tier == "core" { "DataVolumeSize" } else { "ReplicaDiskSize" };
        assert!(root_parameters[parameter].is_object() && text.contains(parameter), "{id}: {text}");
        assert!(text.contains(&format!("Less than {threshold} %")), "{id}: {text}");
        // The fullest one of the tier.
        assert_eq!((&alarm["Statistic"], &alarm["TreatMissingData"]), (&json!("Minimum"), &json!("ignore")), "{id}");
        assert_eq!(alarm["ComparisonOperator"], json!("LessThanThreshold"), "{id}");
        levels.insert((tier, threshold));
    }
    // A replica has no data of its own: one that is full is replaced, and needs no word of its own.
    let wanted = [("core", 1), ("core", 10), ("core", 20), ("replica", 10), ("replica", 20)];
    assert_eq!(levels, wanted.map(|(tier, percent)| (tier.to_owned(), percent)).into());
}

#[test]
fn a_full_volume_pages_within_a_minute_and_names_the_remedy() {
    let found = alarms("default");
    let (_, alarm) = found.iter().find(|(id, _)| id == "DataDiskFullAlarm").unwrap();
    assert_eq!((&alarm["Period"], &alarm["EvaluationPeriods"]), (&json!(60), &json!(1)));
    let text = alarm["AlarmDescription"].as_str().unwrap();
    for words in ["it is full", "Deploy with a larger DataVolumeSize now", "stop nothing by hand"] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_disk_that_will_be_full_within_a_day_is_told_of_at_the_pace_of_the_last_six_hours() {
    let found = alarms(WITH_REPLICAS);
    let tomorrow: Vec<_> = found.iter().filter(|(id, _)| id.ends_with("FullTomorrowAlarm")).collect();
    assert_eq!(tomorrow.len(), 3 + 1, "one for each core, and one for the replicas");
    for (id, alarm) in tomorrow {
        let [tomorrow, free] = [0, 1].map(|place| &alarm["Metrics"][place]);
        assert_eq!(tomorrow["Expression"], json!("free + 4 * DIFF(free)"), "{id}");
        let (period, periods) =
            (free["MetricStat"]["Period"].as_u64().unwrap(), alarm["EvaluationPeriods"].as_u64().unwrap());
        assert_eq!((period, 4 * period), (6 * 3600, 24 * 3600), "{id}: as the text says");
        assert_eq!((&free["Id"], &free["MetricStat"]["Stat"]), (&json!("free"), &json!("Minimum")), "{id}");
        // The oldest value has none before it, and an alarm looks at a week at most.
        assert_eq!((periods, &alarm["DatapointsToAlarm"]), (2, &json!(1)), "{id}");
        assert!(period * periods <= 7 * 86_400, "{id}");
        assert_eq!(alarm["ComparisonOperator"], json!("LessThanOrEqualToThreshold"), "{id}");
        assert_eq!((&alarm["Threshold"], &alarm["TreatMissingData"]), (&json!(0), &json!("ignore")), "{id}");
        let text = alarm["AlarmDescription"].as_str().unwrap();
        let parameter = if id.starts_with("Data") { "DataVolumeSize" } else { "ReplicaDiskSize" };
        for words in ["within 24 hours", "of the last six", parameter] {
            assert!(text.contains(words), "{id}: {text}");
        }
    }
}

#[test]
fn replicas_are_counted_by_their_reports() {
    for deployment in deployments() {
        let stacks = rendered(&deployment)["stacks"].take();
        let Some(stack) = stacks.get("Monitoring/Replicas") else { continue };
        let alarm = &stack["live"]["Resources"]["ReplicasMissingAlarm"]["Properties"];
        let wanted = &stacks["Replicas"]["live"]["Resources"]["Service"]["Properties"]["DesiredCount"];
        assert_eq!(&alarm["Threshold"], wanted, "{deployment}");
        // A task reports once a minute: the sleep in its command.
        assert_eq!((&alarm["Period"], &alarm["Statistic"]), (&json!(60), &json!("SampleCount")), "{deployment}");
        let script = container(&rendered(&deployment), "replica", "debug-log")["Command"][0].to_string();
        assert!(script.contains("sleep 60"), "{script}");
        assert_eq!(alarm["TreatMissingData"], json!("breaching"), "{deployment}: nobody is fewer than all");
    }
}

#[test]
fn each_core_is_missed_when_it_does_not_report_the_disk_of_its_volume() {
    for deployment in deployments() {
        let found = alarms(&deployment);
        let Some((_, alarm)) = found.iter().find(|(id, _)| id == "DataDiskUnreportedAlarm") else { continue };
        let stacks = rendered(&deployment)["stacks"].take();
        let cores = stacks.as_object().unwrap().values().filter(|stack| stack["file"] == "core-node.yaml");
        let cores: BTreeSet<_> = cores.map(|stack| stack["parameters"]["Core"].to_string().replace('"', "")).collect();
        let asked: Vec<_> = watched(alarm).into_iter().map(|(_, dimensions)| dimensions).collect();
        let asked: BTreeSet<_> = asked.iter().map(|dimensions| dimensions[2].1.clone()).collect();
        assert_eq!(asked, cores, "{deployment}");
        let queries = alarm["Metrics"].as_array().unwrap();
        let expression = queries.iter().find_map(|query| query["Expression"].as_str()).unwrap();
        let sum: Vec<_> = (1..=cores.len()).map(|core| format!("(c{core} > 0)")).collect();
        assert_eq!(expression, sum.join(" + "), "{deployment}");
        assert_eq!(alarm["Threshold"].to_string().replace('"', ""), cores.len().to_string(), "{deployment}");
        assert_eq!(alarm["TreatMissingData"], json!("breaching"), "{deployment}: nobody is fewer than all");
        let period = queries.iter().find_map(|query| query["MetricStat"]["Period"].as_u64()).unwrap();
        assert_eq!(period * alarm["EvaluationPeriods"].as_u64().unwrap(), 30 * 60, "{deployment}: as the text says");
        assert!(alarm["AlarmDescription"].as_str().unwrap().contains("30 minutes"), "{deployment}");
    }
}

#[test]
fn each_metric_of_the_tasks_has_a_row() {
    let monitoring = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for metric in metrics() {
        assert!(monitoring.contains(&format!("| `{metric}`")), "docs/monitoring.md has no row for {metric}");
    }
}
