//! Facts about instance-drainer by itself: what it is given, what wakes it, and that its rights end at one ECS cluster and at
//! the groups with its tag.

use std::{cell::RefCell, collections::BTreeSet};

use cluster_facts::template::{read, rendered, resources};
use cluster_sim::{
    cluster::Cluster,
    functions::{FUNCTIONS, INSTANCE_DRAINER},
    time::play,
};
use cluster_world::Context;
use serde_json::{Value, json};

use crate::{
    iam::{Question, Rendered},
    template::names,
};

const TEMPLATE: &str = "infra/drain-alone.yaml";
const DEPLOYMENT: &str = "drain-alone";
/// The ECS cluster of the rendered deployment.
const SERVICES: &str = "services";
const TAG: &str = cluster_core::names::DRAIN_TAG;
const HOOK: &str = cluster_core::names::DRAIN_HOOK;

/// The function's resource, live.
fn drainer() -> Value {
    let live = rendered(DEPLOYMENT)["stacks"]["root"]["live"].take();
    live["Resources"]["Drainer"]["Properties"].clone()
}

#[test]
fn it_is_the_same_function_with_what_stands_around_one() {
    let found = resources(&read(TEMPLATE));
    let kinds: BTreeSet<_> = found.iter().map(|(_, resource)| resource["Type"].as_str().unwrap()).collect();
    let known = [
        "AWS::CloudWatch::Alarm",
        "AWS::DynamoDB::Table",
        "AWS::Events::Rule",
        "AWS::IAM::Role",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Logs::LogGroup",
        "AWS::Serverless::Application",
        "AWS::Serverless::Function",
    ];
    assert_eq!(kinds, known.into(), "no volume, no secret, no network, nothing of Neo4j's");
    let nested = found.iter().filter_map(|(_, resource)| resource["Properties"]["Location"].as_str());
    assert_eq!(nested.collect::<BTreeSet<_>>(), ["queues.yaml", "silence.yaml"].into());
    let (alone, beside) = (read(TEMPLATE), read("infra/draining.yaml"));
    for same in ["CodeUri", "Handler", "Runtime", "MemorySize", "Timeout", "Tracing", "LoggingConfig"] {
        let of = |template: &Value| template["Resources"]["Drainer"]["Properties"][same].clone();
        assert_eq!(of(&alone), of(&beside), "{same}");
    }
    let table = |template: &Value| {
        let mut properties = template["Resources"]["Table"]["Properties"].clone();
        properties.as_object_mut().unwrap().remove("Tags");
        properties
    };
    assert_eq!(table(&alone), table(&read("infra/state.yaml")));
}

#[test]
fn its_queue_gives_a_message_back_when_the_function_has_ended_and_not_much_later() {
    let queues = rendered(DEPLOYMENT)["stacks"]["Queues"]["live"].take();
    let patience: u64 =
        queues["Resources"]["Triggers"]["Properties"]["VisibilityTimeout"].as_str().unwrap().parse().unwrap();
    let timeout = drainer()["Timeout"].as_u64().unwrap();
    assert!(patience > timeout && patience <= 120, "{patience} s, and the function may take {timeout} s");
    // Without a quorum nothing is put off, so nothing has to be looked at again.
    assert!(queues["Resources"]["SpotEndings"].is_null());
}

#[test]
fn each_variable_that_it_reads_is_set_and_no_other() {
    let variables = drainer()["Environment"]["Variables"].clone();
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        if name.starts_with("AWS_") {
            return None;
        }
        asked.borrow_mut().insert(name.to_owned());
        variables[name].as_str().map(str::to_owned)
    };
    let function = FUNCTIONS.iter().find(|function| function.name() == INSTANCE_DRAINER).unwrap();
    play(async { (function.start)(&lookup, Cluster::discovery().aws()).unwrap() });
    assert_eq!(names(&variables), asked.take(), "left: the template, right: what the function reads");
}

#[test]
fn it_is_woken_by_its_hook_its_cluster_and_spot() {
    let rules = resources(&read(TEMPLATE)).into_iter().filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule");
    let wakes = FUNCTIONS.iter().find(|f| f.name() == INSTANCE_DRAINER).unwrap().function.wakes;
    let mut events = BTreeSet::new();
    for (id, rule) in rules {
        let pattern = &rule["Properties"]["EventPattern"];
        for kind in pattern["detail-type"].as_array().unwrap() {
            let (source, kind) = (pattern["source"][0].as_str().unwrap(), kind.as_str().unwrap());
            assert!(wakes.contains(&(source, kind)), "{id}: {kind} does not wake the function");
            match source {
                "aws.autoscaling" => assert_eq!(pattern["detail"], json!({"LifecycleHookName": [HOOK]}), "{id}"),
                "aws.ecs" => assert!(pattern["detail"]["clusterArn"][0].to_string().contains("EcsClusterName"), "{id}"),
                _ => assert!(pattern["detail"].is_null(), "{id}: EC2 names nothing but the instance"),
            }
            events.insert(kind.to_owned());
        }
    }
    let wanted = [
        "EC2 Instance Rebalance Recommendation",
        "EC2 Instance-terminate Lifecycle Action",
        "EC2 Spot Instance Interruption Warning",
        "ECS Container Instance State Change",
        "ECS Task State Change",
    ];
    assert_eq!(events, wanted.map(str::to_owned).into());
}

#[test]
fn it_may_touch_the_groups_with_its_tag_and_one_ecs_cluster_and_nothing_else() {
    let rights = Rendered::of(DEPLOYMENT, "root").rights(&[]);
    let asks = |action: &str, resource: &str, context: &[(&str, &str)]| {
        let context: Context =
            context.iter().map(|(key, value)| ((*key).to_owned(), BTreeSet::from([(*value).to_owned()]))).collect();
        let question = Question { action: action.to_owned(), resource: resource.to_owned(), context };
        rights.iter().any(|statement| statement.allows(&question))
    };
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:000000000000:{rest}");
    let group = arn("autoscaling", "autoScalingGroup:1-2:autoScalingGroupName/whatever");
    let tag = format!("aws:ResourceTag/{TAG}");
    for action in ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "TerminateInstanceInAutoScalingGroup"] {
        let action = format!("autoscaling:{action}");
        assert!(asks(&action, &group, &[(&tag, SERVICES)]), "{action}");
        assert!(!asks(&action, &group, &[(&tag, "other")]), "{action}: another ECS cluster's group");
        assert!(!asks(&action, &group, &[]), "{action}: a group that nobody has tagged");
        assert!(!asks(&action, &group, &[("aws:ResourceTag/neo4j:cluster", SERVICES)]), "{action}: a Neo4j cluster's");
    }
    for never in ["UpdateAutoScalingGroup", "SetDesiredCapacity", "SetInstanceHealth", "PutLifecycleHook"] {
        assert!(!asks(&format!("autoscaling:{never}"), &group, &[(&tag, SERVICES)]), "{never}");
    }
    for (action, resource) in [
        ("ecs:UpdateContainerInstancesState", "container-instance/services/1"),
        ("ecs:DeregisterContainerInstance", "cluster/services"),
        ("ecs:StopTask", "task/services/1"),
        ("ecs:DescribeTasks", "task/services/1"),
    ] {
        assert!(asks(action, &arn("ecs", resource), &[]), "{action}");
        assert!(!asks(action, &arn("ecs", &resource.replace("services", "other")), &[]), "{action}: another cluster");
    }
    let allowed: BTreeSet<_> = rights.iter().flat_map(|statement| &statement.actions).map(String::as_str).collect();
    for service in ["ec2", "secretsmanager", "kms", "lambda", "cloudwatch", "iam", "ssm"] {
        let its: Vec<_> = allowed.iter().filter(|action| action.split(':').next() == Some(service)).collect();
        let known: &[&&str] = if service == "ec2" { &[&"ec2:DescribeInstanceStatus"] } else { &[] };
        assert_eq!(its, known, "{service}");
    }
}

#[test]
fn its_alarms_name_what_only_this_stack_has() {
    let stack = rendered(DEPLOYMENT)["stacks"]["root"].take();
    let outputs = names(&stack["live"]["Outputs"]);
    let alarms = resources(&stack["live"]).into_iter().filter(|(_, r)| r["Type"] == "AWS::CloudWatch::Alarm");
    for (id, alarm) in alarms {
        let alarm = &alarm["Properties"];
        let text = alarm["AlarmDescription"].as_str().unwrap();
        assert!(text.contains(SERVICES) && text.contains("Logs-") && text.len() <= 1024, "{id}: {text}");
        // Those of the whole cluster speak of outputs of its root.
        for word in text.split_whitespace().filter(|word| word.starts_with("Show")) {
            assert!(outputs.contains(word), "{id}: there is no output {word}");
        }
        assert_eq!(alarm["Dimensions"], json!([{"Name": "Cluster", "Value": stack["name"]}]), "{id}");
    }
}

#[test]
fn its_page_names_the_tag_the_hook_and_each_parameter_with_its_default() {
    let page = std::fs::read_to_string(cluster_facts::root().join("docs/ecs-drain.md")).unwrap();
    assert!(page.contains(&format!("Key={TAG},")), "the command that sets the tag");
    assert!(page.contains(&format!("--lifecycle-hook-name {HOOK} ")), "the command that makes the hook");
    for (name, definition) in read(TEMPLATE)["Parameters"].as_object().unwrap() {
        let default = match &definition["Default"] {
            Value::Null => "—".to_owned(),
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        assert!(page.contains(&format!("| `{name}` | {default} |")), "docs/ecs-drain.md lacks {name} with {default}");
    }
}
