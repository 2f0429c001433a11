//! Facts about alarm-router by itself: it is the one of a cluster, under another root.

use std::collections::BTreeSet;

use cluster_facts::template::{read, rendered, resources};
use cluster_sim::{cluster::Cluster, functions::ALARM_ROUTER};
use serde_json::{Value, json};

use crate::template::names;

const TEMPLATE: &str = "infra/alerts-alone.yaml";
const DEPLOYMENT: &str = "alerts-alone";

#[test]
fn it_is_the_same_stack_with_a_table_that_goes_with_it() {
    let found = read(TEMPLATE);
    assert_eq!(names(&found["Resources"]), ["Alerting", "Table"].map(str::to_owned).into());
    assert_eq!(found["Resources"]["Alerting"]["Properties"]["Location"], json!("alerting.yaml"));
    let table = |template: &Value| {
        let mut properties = template["Resources"]["Table"]["Properties"].clone();
        properties.as_object_mut().unwrap().remove("Tags");
        properties
    };
    assert_eq!(table(&found), table(&read("infra/state.yaml")));
}

#[test]
fn it_hands_on_each_parameter_and_needs_nothing_but_a_topic() {
    let (alone, nested) = (read(TEMPLATE), read("infra/alerting.yaml"));
    let passed = &alone["Resources"]["Alerting"]["Properties"]["Parameters"];
    assert_eq!(names(passed), names(&nested["Parameters"]));
    let mut handed_on = BTreeSet::new();
    for value in passed.as_object().unwrap().values() {
        handed_on
            .extend(value["Ref"].as_str().filter(|own| alone["Parameters"].get(*own).is_some()).map(str::to_owned));
    }
    assert_eq!(handed_on, names(&alone["Parameters"]), "a parameter that does nothing");
    let required = alone["Parameters"].as_object().unwrap().iter().filter(|(_, one)| one["Default"].is_null());
    assert_eq!(required.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["AlarmTopicArn"]);
}

#[test]
fn its_outputs_are_those_of_the_nested_stack_and_the_alarms_name_one_of_them() {
    let stacks = rendered(DEPLOYMENT)["stacks"].take();
    let (own, nested) = (&stacks["root"]["live"]["Outputs"], &stacks["Alerting"]["live"]["Outputs"]);
    for (name, output) in own.as_object().unwrap() {
        let its = if name == "QueueArn" { "TriggersArn" } else { name };
        assert_eq!(output["Value"], nested[its]["Value"], "{name}");
    }
    for (path, stack) in stacks.as_object().unwrap() {
        for (id, alarm) in resources(&stack["live"]).into_iter().filter(|(_, r)| r["Type"] == "AWS::CloudWatch::Alarm")
        {
            let alarm = &alarm["Properties"];
            let text = alarm["AlarmDescription"].as_str().unwrap();
            let mut words = text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| word.starts_with("Show"));
            assert!(words.all(|word| word == "ShowAlarmRouterPlan" || own.get(word).is_some()), "{path}/{id}: {text}");
            // They go past the function, which may be what is wrong.
            for actions in ["AlarmActions", "OKActions"] {
                assert_eq!(alarm[actions], json!([stacks["root"]["parameters"]["AlarmTopicArn"]]), "{path}/{id}");
            }
        }
    }
}

#[test]
fn each_rule_is_there_for_what_was_named_and_for_nothing_else() {
    let rules = |deployment: &str| -> BTreeSet<String> {
        let live = rendered(deployment)["stacks"]["Alerting"]["live"].take();
        let rules = resources(&live).into_iter().filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule");
        rules.map(|(id, _)| id).collect()
    };
    assert_eq!(rules(DEPLOYMENT), ["Groups", "Jobs", "Tasks"].map(str::to_owned).into());
    assert_eq!(rules("default"), ["Groups", "Tasks"].map(str::to_owned).into(), "failed backups have an alarm");
    let groups = |deployment: &str| {
        let live = rendered(deployment)["stacks"]["Alerting"]["live"].take();
        let detail = live["Resources"]["Groups"]["Properties"]["EventPattern"]["detail"].clone();
        let prefixes = detail["AutoScalingGroupName"].as_array().unwrap().clone();
        let prefixes = prefixes.into_iter().map(|one| one["prefix"].as_str().unwrap().to_owned());
        // A name of a group has no colon.
        prefixes.filter(|prefix| !prefix.contains(':')).collect::<Vec<_>>()
    };
    assert_eq!(groups(DEPLOYMENT), ["shop-", "till"]);
    assert_eq!(
        groups("default"),
        ["neo4j-Cores-", "neo4j-Replicas-"],
        "those of nested stacks, not of another cluster"
    );
    assert!(groups(DEPLOYMENT).iter().chain(&groups("default")).all(|prefix| !prefix.is_empty()), "which matches all");
}

#[test]
fn its_page_names_each_parameter_with_its_default_and_each_output() {
    let page = std::fs::read_to_string(cluster_facts::root().join("docs/alerts-alone.md")).unwrap();
    for (name, definition) in read(TEMPLATE)["Parameters"].as_object().unwrap() {
        let default = match &definition["Default"] {
            Value::Null => "—".to_owned(),
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        assert!(
            page.contains(&format!("| `{name}` | {default} |")),
            "docs/alerts-alone.md lacks {name} with {default}"
        );
    }
    for name in names(&read(TEMPLATE)["Outputs"]) {
        assert!(page.contains(&format!("`{name}`")), "docs/alerts-alone.md lacks the output {name}");
    }
}

#[test]
fn its_variables_are_those_of_a_cluster() {
    let (alone, cluster) = (Cluster::alerts_alone(), Cluster::new(3));
    assert_eq!(alone.subject, ALARM_ROUTER);
    assert_eq!(alone.variable("CLUSTER_NAME"), rendered(DEPLOYMENT)["stacks"]["root"]["name"].as_str().unwrap());
    let live = rendered("default")["stacks"]["Alerting"]["live"].take();
    let variables = &live["Resources"]["Router"]["Properties"]["Environment"]["Variables"];
    let own = alone.environment().keys().filter(|name| !name.starts_with("AWS_"));
    assert_eq!(own.cloned().collect::<BTreeSet<_>>(), names(variables));
    assert_ne!(alone.variable("STATE_TABLE"), cluster.variable("STATE_TABLE"));
}
