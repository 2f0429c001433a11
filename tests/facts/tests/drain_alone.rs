//! Facts about instance-drainer by itself: what it is given, what wakes it, and that its rights end at one ECS cluster and at
//! the groups with its tag.

use std::{cell::RefCell, collections::BTreeSet};

use cluster_facts::template::{read, rendered, resources};
use cluster_sim::{
    cluster::Cluster,
    events::messages,
    functions::{FUNCTIONS, INSTANCE_DRAINER},
    time::{minutes, play},
};
use cluster_world::{Context, queue_arn};
use serde_json::{Value, json};

use crate::{
    iam::{Around, Question, Rendered, questions},
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

/// Makes a group of so many instances of the ECS cluster, as its owner has it, and a service with a task on each.
fn populate(cluster: &Cluster, instances: usize) {
    let mut world = cluster.wire.world();
    world.ec2.subnets.insert("subnet-0000000000000000a".to_owned(), "eu-west-1a".to_owned());
    let mut make =
        |kind: &str, id: &str, properties: Value| world.create(kind, id, &properties).unwrap().unwrap().physical_id;
    let config = format!(
        "#cloud-config\nwrite_files:\n  - {{path: /etc/ecs/ecs.config, content: \"ECS_CLUSTER={SERVICES}\"}}\n"
    );
    let data = json!({"LaunchTemplateData": {"UserData": {"Fn::Base64": config}}});
    let template = make("AWS::EC2::LaunchTemplate", "Template", data);
    make(
        "AWS::AutoScaling::AutoScalingGroup",
        "Group",
        json!({
            "AutoScalingGroupName": "shop", "MinSize": "0", "MaxSize": instances.to_string(),
            "DesiredCapacity": instances.to_string(), "VPCZoneIdentifier": ["subnet-0000000000000000a"],
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"},
            "Tags": [{"Key": TAG, "Value": SERVICES, "PropagateAtLaunch": false}],
            "LifecycleHookSpecificationList": [{
                "LifecycleHookName": HOOK, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "HeartbeatTimeout": 1800, "DefaultResult": "ABANDON",
            }],
            "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
        }),
    );
    let definition = json!({"Family": "web", "ContainerDefinitions": [{"Name": "web"}]});
    let definition = make("AWS::ECS::TaskDefinition", "Definition", definition);
    make(
        "AWS::ECS::Service",
        "Service",
        json!({
            "ServiceName": "web", "Cluster": SERVICES, "TaskDefinition": definition, "DesiredCount": instances,
            "DeploymentConfiguration": {"MinimumHealthyPercent": "0", "MaximumPercent": "100"},
        }),
    );
}

/// The instances of the group that are in service.
fn serving(cluster: &Cluster) -> Vec<String> {
    let world = cluster.wire.world();
    let members = world.auto_scaling.groups["shop"].members.iter();
    members.filter(|(_, member)| member.state == "InService").map(|(id, _)| id.clone()).collect()
}

#[test]
fn it_may_do_whatever_it_does_and_does_whatever_it_may() {
    let asked: BTreeSet<Question> = play(async {
        let cluster = Cluster::alone().with("DRAIN_TIMEOUT_MINUTES", "5");
        populate(&cluster, 3);
        cluster.live(minutes(5)).await;
        let [kept, dead, taken] = &serving(&cluster)[..] else { panic!("{:?}", serving(&cluster)) };
        cluster.invoke(messages(&["not json".to_owned()])).await.unwrap();
        // A task of no service outlives the time limit, and is stopped once the instance is retained.
        let address = cluster.wire.world().ec2.instances[kept].address;
        cluster.wire.world().run_task(SERVICES, "cron", address);
        cluster.wire.world().mark_unhealthy(kept);
        cluster.live(minutes(30)).await;
        cluster.wire.world().silence(dead);
        cluster.wire.world().impair(dead);
        cluster.live(minutes(20)).await;
        cluster.wire.world().interrupt(taken);
        cluster.live(minutes(5)).await;
        let world = cluster.wire.world();
        questions(&world).into_iter().flatten().collect()
    });
    let (alone, around) = (Rendered::of(DEPLOYMENT, "root"), Around::of(DEPLOYMENT, "root"));
    let cluster = Cluster::alone();
    let names = [
        (alone.variable("STATE_TABLE"), cluster.variable("STATE_TABLE").to_owned()),
        (around.dead_letters.clone(), queue_arn(cluster.variable("DEAD_LETTER_QUEUE_URL"))),
    ];
    let rights = alone.rights(&names);
    for question in &asked {
        assert!(rights.iter().any(|statement| statement.allows(question)), "not allowed: {question:?}");
    }
    let used: BTreeSet<_> = asked.iter().map(|question| question.action.as_str()).collect();
    let given: BTreeSet<_> = rights.iter().flat_map(|statement| &statement.actions).map(String::as_str).collect();
    let unused: BTreeSet<_> = given.difference(&used).copied().collect();
    // Lambda polls the queue, writes the log and sends traces with the function's role.
    let in_its_name = [
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    assert_eq!(unused, in_its_name.into(), "left: rights that nobody uses; right: those with a reason");
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
