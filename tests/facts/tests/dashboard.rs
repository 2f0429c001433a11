//! Facts about the dashboard: its body is JSON, and what it shows is there in each variant.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::{
    root,
    template::{deployments, rendered, resources},
};
use cluster_lambda::telemetry::NAMESPACE;
use serde_json::Value;

use crate::{alarms, disks, metrics};

/// What alarm-router writes.
const OF_ROUTER: [&str; 4] = ["AlertUndeliveredSeconds", "AlertsDelivered", "AlertsOpen", "DeliveriesFailed"];
/// What AWS writes, with the dimensions that it has:
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>,
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>.
pub(crate) const OF_AWS: [(&str, &str, &[&str]); 5] = [
    ("AWS/EC2", "CPUUtilization", &["AutoScalingGroupName"]),
    ("AWS/ECS", "MemoryUtilization", &["ClusterName", "ServiceName"]),
    ("AWS/Lambda", "Duration", &["FunctionName"]),
    ("AWS/Lambda", "Errors", &["FunctionName"]),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", &["QueueName"]),
];

/// A metric as a widget shows it: the namespace, the name, and each dimension with its value.
type Shown = (String, String, Vec<(String, String)>);

/// Returns the widgets of a deployment's dashboard, if it has one.
fn widgets(deployment: &str) -> Option<Vec<Value>> {
    let stacks = rendered(deployment)["stacks"].take();
    let body = &stacks.get("Overview")?["live"]["Resources"]["Dashboard"]["Properties"]["DashboardBody"];
    let body: Value = serde_json::from_str(body.as_str().unwrap()).unwrap_or_else(|e| panic!("{deployment}: {e}"));
    Some(body["widgets"].as_array().unwrap().clone())
}

fn shown(widgets: &[Value]) -> Vec<Shown> {
    let entries = widgets.iter().flat_map(|widget| widget["properties"]["metrics"].as_array().into_iter().flatten());
    let words = entries.map(|entry| entry.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned));
    let of_words = |mut words: Vec<String>| {
        let dimensions = words.split_off(2);
        let pairs = dimensions.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        (words[0].clone(), words[1].clone(), pairs)
    };
    words.map(|words| of_words(words.collect())).collect()
}

/// Returns what there is in a deployment, by the dimension that names it.
fn there(deployment: &str) -> BTreeMap<&'static str, BTreeSet<String>> {
    let stacks = rendered(deployment)["stacks"].take();
    let stacks = stacks.as_object().unwrap();
    let outputs = |name: &str| -> BTreeSet<String> {
        let all = stacks.values().filter_map(|stack| stack["live"]["Outputs"][name]["Value"].as_str());
        all.flat_map(|value| value.split(',')).map(str::to_owned).collect()
    };
    let services = stacks.values().flat_map(|stack| resources(&stack["live"]));
    let services = services.filter(|(_, resource)| resource["Type"] == "AWS::ECS::Service");
    let services = services.map(|(_, service)| service["Properties"]["ServiceName"].as_str().unwrap().to_owned());
    [
        ("AutoScalingGroupName", outputs("GroupName")),
        ("Cluster", ["neo4j".to_owned()].into()),
        ("ClusterName", outputs("EcsClusterName")),
        ("FunctionName", outputs("FunctionName")),
        ("QueueName", outputs("QueueNames")),
        ("ServiceName", services.collect()),
    ]
    .into()
}

#[test]
fn each_metric_on_the_dashboard_is_one_that_somebody_writes_of_something_that_is_there() {
    let written = metrics::written().iter().map(|(metric, dimensions)| {
        let names = dimensions.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        (metric.clone(), names)
    });
    let written: BTreeSet<_> = written.chain(disks::written().iter().cloned()).collect();
    let mut dashboards = 0;
    for deployment in deployments() {
        let Some(widgets) = widgets(&deployment) else { continue };
        let there = there(&deployment);
        let routed = rendered(&deployment)["stacks"]["Overview"]["parameters"]["Routed"] == "true";
        for (namespace, metric, dimensions) in shown(&widgets) {
            let place = format!("{deployment}: {namespace} {metric} {dimensions:?}");
            let names: Vec<_> = dimensions.iter().map(|(name, _)| name.clone()).collect();
            let known = if namespace == NAMESPACE {
                let of_router = OF_ROUTER.contains(&metric.as_str());
                // What is written only when it is not 0, and does not happen in that life.
                let rare = metrics::absent_at_zero().contains(metric.as_str()) && names == ["Cluster"];
                if of_router { routed } else { rare || written.contains(&(metric, names)) }
            } else {
                OF_AWS.iter().any(|(of, name, with)| *of == namespace && *name == metric && **with == *names)
            };
            assert!(known, "nobody writes {place}");
            for (name, value) in &dimensions {
                let is_there = there.get(name.as_str()).is_none_or(|all| all.contains(value));
                assert!(is_there, "{place}: there is no such {name}");
            }
        }
        dashboards += 1;
    }
    assert!(dashboards >= 10, "{dashboards}");
}

#[test]
fn the_dashboard_shows_each_member_and_nothing_of_what_a_variant_lacks() {
    for deployment in deployments() {
        let Some(widgets) = widgets(&deployment) else { continue };
        let chosen = rendered(&deployment)["stacks"]["root"]["parameters"].take();
        let (cores, replicas) = (chosen["CoreCount"].as_str().unwrap(), chosen["ReplicaCount"].as_str().unwrap());
        let all = shown(&widgets);
        let count = |namespace: &str, metric: &str| {
            all.iter().filter(|(of, name, _)| of == namespace && name == metric).count()
        };
        let members = cores.parse::<usize>().unwrap() + usize::from(replicas != "0");
        assert_eq!(count("AWS/EC2", "CPUUtilization"), members, "{deployment}");
        assert_eq!(count("AWS/ECS", "MemoryUtilization"), members, "{deployment}");
        let has_backups = chosen["Backups"] == "true";
        assert_eq!(count("AWS/Lambda", "Errors"), if has_backups { 5 } else { 3 }, "{deployment}");
        let text = Value::from(widgets).to_string();
        assert_eq!(text.contains("Backup"), has_backups, "{deployment}");
        assert_eq!(text.contains("replica that") || text.contains("\"replica\""), replicas != "0", "{deployment}");
    }
}

#[test]
fn the_dashboard_shows_each_alarm_that_calls_once() {
    for deployment in deployments() {
        let Some(widgets) = widgets(&deployment) else { continue };
        let arns = widgets.iter().flat_map(|widget| widget["properties"]["alarms"].as_array().into_iter().flatten());
        let arns: Vec<_> = arns.map(|arn| arn.as_str().unwrap()).collect();
        assert!(arns.iter().all(|arn| arn.starts_with("arn:aws:cloudwatch:eu-west-1:000000000000:alarm:")), "{arns:?}");
        let names: Vec<_> = arns.iter().map(|arn| arn.rsplit(':').next().unwrap()).collect();
        let found = alarms::alarms(&deployment);
        let times = |alarm: &alarms::Found| names.iter().filter(|name| alarm.is_named(name)).count();
        for alarm in &found {
            let spoken_for = found.iter().any(|other| other.speaks_for(alarm));
            assert_eq!(times(alarm), usize::from(!spoken_for), "{deployment}: {}", alarm.place);
        }
        assert_eq!(names.len(), found.iter().map(times).sum::<usize>(), "{deployment}: alarms that are not there");
        // A widget takes so many, says the page on its form.
        let most = widgets.iter().filter_map(|widget| widget["properties"]["alarms"].as_array()).map(Vec::len).max();
        assert!(most.unwrap() <= 100, "{deployment}");
    }
}

#[test]
fn the_rows_of_the_dashboard_are_full_and_texts_say_what_good_looks_like() {
    for deployment in deployments() {
        let Some(widgets) = widgets(&deployment) else { continue };
        let mut column = 0;
        for widget in &widgets {
            let width = widget["width"].as_u64().unwrap();
            assert!(column + width <= 24, "{deployment}: {widget} does not fit into its row");
            column = (column + width) % 24;
            // What stands in a row of its own begins it.
            assert!(width < 24 || column == 0, "{deployment}: {widget}");
        }
        let texts: Vec<_> = widgets.iter().filter_map(|widget| widget["properties"]["markdown"].as_str()).collect();
        let headings = texts.iter().filter(|text| text.starts_with('#'));
        for text in headings {
            assert!(text.contains("**Good:**"), "{deployment}: {text}");
        }
        assert!(texts.len() >= 5, "{deployment}: {texts:?}");
    }
}

#[test]
fn the_outputs_that_the_dashboard_names_are_those_of_the_stack() {
    for deployment in deployments() {
        let Some(widgets) = widgets(&deployment) else { continue };
        let outputs = rendered(&deployment)["stacks"]["root"]["live"]["Outputs"].take();
        assert!(outputs["DashboardUrl"]["Value"].as_str().unwrap().contains("#dashboards/dashboard/"), "{deployment}");
        let texts: Vec<_> = widgets.iter().filter_map(|widget| widget["properties"]["markdown"].as_str()).collect();
        let bold = texts.iter().flat_map(|text| text.split("**").skip(1).step_by(2));
        let named = bold.filter(|word| *word != "Good:" && !word.contains('…'));
        for name in named {
            assert!(!outputs[name].is_null(), "{deployment}: the stack has no output {name}");
        }
    }
}

#[test]
fn there_is_a_dashboard_when_it_is_wanted_and_its_lists_fit_into_parameters_whatever_the_stacks_name() {
    for deployment in deployments() {
        let stacks = rendered(&deployment)["stacks"].take();
        let wanted = stacks["root"]["parameters"]["Dashboard"] == "true";
        assert_eq!(stacks.get("Overview").is_some(), wanted, "{deployment}");
        for (path, stack) in ["Overview", "Muting"].into_iter().filter_map(|path| Some((path, stacks.get(path)?))) {
            for (name, value) in stack["parameters"].as_object().unwrap() {
                let Some(text) = value.as_str() else { continue };
                // The longest name of a stack, and of a region.
                let names = text.matches("neo4j-").count() * (64 - "neo4j".len());
                let regions = text.matches("eu-west-1").count() * ("ap-southeast-1".len() - "eu-west-1".len());
                let longest = text.len() + names + regions;
                assert!(longest <= 4096, "{deployment}: {path}: {name} may have {longest} bytes");
            }
        }
    }
}

#[test]
fn the_dashboard_of_three_cores_costs_nothing() {
    // Free are three dashboards of at most fifty metrics each: https://aws.amazon.com/cloudwatch/pricing/
    for deployment in ["default", "replicas"] {
        let metrics: BTreeSet<_> = shown(&widgets(deployment).unwrap()).into_iter().collect();
        assert!(metrics.iter().any(|(_, metric, _)| metric == "AlertsOpen"), "{deployment}: with alarm-router");
        assert!(metrics.len() <= 50, "{deployment}: {} metrics", metrics.len());
        let page = std::fs::read_to_string(root().join("docs/real-account.md")).unwrap();
        let row = format!("| dashboard | {} metrics, ", metrics.len());
        assert!(deployment != "default" || page.contains(&row), "docs/real-account.md has no {row}");
    }
}
