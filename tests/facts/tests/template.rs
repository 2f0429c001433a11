//! Facts about the templates, and about what they and the code or the documents must agree on.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::{
    root,
    template::{all, dependencies, read, resources},
};
use dns_replicator::Names;
use serde_json::{Value, json};

/// Returns every resource of every template: (path, logical id, resource).
pub(crate) fn everything() -> Vec<(String, String, Value)> {
    let of = |path: String| resources(&read(&path)).into_iter().map(move |(id, resource)| (path.clone(), id, resource));
    all().into_iter().flat_map(of).collect()
}

pub(crate) fn of_type(kind: &str) -> Vec<(String, Value)> {
    let found = everything().into_iter().filter(|(_, _, resource)| resource["Type"] == kind);
    found.map(|(path, id, resource)| (format!("{path}: {id}"), resource["Properties"].clone())).collect()
}

pub(crate) fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[test]
fn the_custom_resources_pass_each_name_that_a_deletion_needs() {
    for kind in ["Custom::DnsRecords", "Custom::DnsGuard"] {
        let (_, properties) = of_type(kind).remove(0);
        let passed: Vec<_> = names(&properties).into_iter().filter(|name| !name.starts_with("Service")).collect();
        let whole: serde_json::Map<_, _> = passed.iter().map(|name| (name.clone(), json!("x"))).collect();
        serde_json::from_value::<Names>(Value::Object(whole.clone())).unwrap();
        for name in &passed {
            let mut part = whole.clone();
            part.remove(name);
            assert!(serde_json::from_value::<Names>(Value::Object(part)).is_err(), "{name} is not read");
        }
        assert!(properties["ServiceTimeout"].is_string(), "a stack would hang for an hour");
    }
}

#[test]
fn each_parameter_of_a_nested_template_is_passed_or_defaulted_and_means_the_same() {
    for (path, id, resource) in everything() {
        let Some(child) = resource["Properties"]["Location"].as_str() else { continue };
        let (parent, child) = (read(&path), read(&format!("infra/{child}")));
        let passed = &resource["Properties"]["Parameters"];
        for (name, definition) in child["Parameters"].as_object().into_iter().flatten() {
            assert!(!passed[name].is_null() || !definition["Default"].is_null(), "{id} does not pass {name}");
        }
        for (name, value) in passed.as_object().into_iter().flatten() {
            let definition = &child["Parameters"][name];
            assert!(!definition.is_null(), "{id} passes {name}, which its template does not take");
            let Some(of_parent) = value["Ref"].as_str().map(|name| &parent["Parameters"][name]) else { continue };
            for rule in ["Default", "AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "MaxLength"] {
                // Rules and conditions of the root keep these from their templates.
                let kept_out =
                    [("AcceptLicense", "AllowedValues"), ("ReplicaCount", "MinValue"), ("Count", "MinValue")];
                // A topic is one of the two things that alarms may call.
                let wider = name == "AlarmActionArn"
                    && ["AllowedPattern", "Default"].contains(&rule)
                    && ["AlarmTopicArn", "PageTopicArn"].contains(&value["Ref"].as_str().unwrap());
                // A cluster may do without a topic, and then has no router. By itself the router has to have one.
                let required = (path.as_str(), name.as_str(), rule)
                    == ("infra/alerts-alone.yaml", "PageTopicArn", "AllowedPattern");
                let looser = of_parent.is_null()
                    || definition[rule].is_null()
                    || kept_out.contains(&(name, rule))
                    || wider
                    || required;
                assert!(looser || of_parent[rule] == definition[rule], "{id}: {name} differs in its {rule}");
            }
        }
    }
}

#[test]
fn each_parameter_is_grouped_labelled_described_and_in_the_documents() {
    let template = read("infra/template.yaml");
    let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().unwrap();
    let grouped: Vec<_> =
        groups.iter().flat_map(|g| g["Parameters"].as_array().unwrap()).map(|p| p.as_str().unwrap()).collect();
    let documents = std::fs::read_to_string(root().join("docs/parameters.md")).unwrap();
    for (name, definition) in template["Parameters"].as_object().unwrap() {
        assert_eq!(grouped.iter().filter(|grouped| *grouped == name).count(), 1, "{name} is in one group");
        assert!(interface["ParameterLabels"][name]["default"].is_string(), "{name} has a label");
        assert!(definition["Description"].is_string(), "{name} is described");
        let free = definition["Type"] == "String" && definition["AllowedValues"].is_null();
        assert!(
            !free || definition["AllowedPattern"].is_string() && definition["ConstraintDescription"].is_string(),
            "{name}"
        );
        let default = definition["Default"].as_str().map_or_else(|| definition["Default"].to_string(), str::to_owned);
        let default = match default.as_str() {
            "null" => "—".to_owned(),
            "" => "empty".to_owned(),
            value => format!("`{value}`"),
        };
        assert!(
            documents.contains(&format!("| `{name}` | {default} |")),
            "the table in docs/parameters.md lacks {name} with default {default}"
        );
    }
    assert_eq!(grouped.len(), template["Parameters"].as_object().unwrap().len());
}

#[test]
fn each_queue_is_encrypted_and_has_a_dead_letter_queue_of_its_kind_or_is_one() {
    let found: Vec<_> = everything().into_iter().filter(|(_, _, r)| r["Type"] == "AWS::SQS::Queue").collect();
    let queues: BTreeMap<_, _> = found.iter().map(|(_, id, resource)| (id.as_str(), &resource["Properties"])).collect();
    let all = resources(&read("infra/queues.yaml"));
    let arn = |id: &str| json!({"Fn::GetAtt": [id, "Arn"]});
    let mut dead = BTreeSet::from([arn("Undelivered").to_string()]);
    for (path, id, queue) in &found {
        assert_eq!(path, "infra/queues.yaml", "{id}");
        let queue = &queue["Properties"];
        assert_eq!(queue["SqsManagedSseEnabled"], json!(true), "{id}");
        let Some(its) = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0].as_str() else { continue };
        dead.insert(arn(its).to_string());
        assert_eq!(queue["FifoQueue"], queues[its]["FifoQueue"], "{id}: its dead-letter queue is of its kind");
    }
    for id in queues.keys() {
        if queues[id]["RedrivePolicy"].is_null() {
            assert!(dead.contains(&arn(id).to_string()), "{id} has no dead-letter queue and is none");
            let name = json!({"Fn::GetAtt": [id, "QueueName"]});
            let watched = all.iter().any(|(_, alarm)| alarm["Properties"]["Dimensions"][0]["Value"] == name);
            assert!(watched, "{id} has no alarm");
        }
    }
    assert!(
        queues["Undelivered"]["FifoQueue"].is_null(),
        "the dead-letter queue of a rule or schedule is a standard one"
    );
}

#[test]
fn each_target_of_a_rule_or_schedule_has_a_dead_letter_queue_and_the_message_group() {
    let targets = |(id, rule): (String, Value)| {
        rule["Targets"].as_array().unwrap().iter().map(|target| (id.clone(), target.clone())).collect::<Vec<_>>()
    };
    let rules: Vec<_> = of_type("AWS::Events::Rule").into_iter().flat_map(targets).collect();
    let schedules = of_type("AWS::Scheduler::Schedule").into_iter().map(|(id, p)| (id, p["Target"].clone()));
    assert!(!rules.is_empty());
    let sweep = &read("infra/queues.yaml")["Parameters"];
    let defaults = (&sweep["SweepRate"]["Default"], &sweep["SweepMaximumAgeSeconds"]["Default"]);
    assert_eq!(defaults, (&json!("rate(1 minute)"), &json!(60)), "alarms and documents say so");
    let woken =
        ["TriggersArn", "SpotEndingsArn"].map(|arn| json!({"Fn::GetAtt": ["Queues", format!("Outputs.{arn}")]}));
    for (id, target) in &rules {
        assert!(woken.contains(&target["Arn"]), "{id}");
        let lost = json!({"Fn::GetAtt": ["Queues", "Outputs.UndeliveredArn"]});
        assert_eq!(target["DeadLetterConfig"]["Arn"], lost, "{id}");
    }
    for (id, target) in rules.into_iter().chain(schedules) {
        assert!(!target["DeadLetterConfig"]["Arn"].is_null(), "{id}");
        let group = json!({"MessageGroupId": "reconcile"});
        let none = json!({"Ref": "AWS::NoValue"});
        let wanted = match id.split(':').next().unwrap() {
            // Its queue is a standard one.
            "infra/alerting.yaml" => Value::Null,
            "infra/queues.yaml" => json!({"Fn::If": ["IsOrdered", group, none]}),
            _ => group,
        };
        assert_eq!(target["SqsParameters"], wanted, "{id}: two groups would overlap");
    }
    for (id, schedule) in of_type("AWS::Scheduler::Schedule") {
        let input = schedule["Target"]["Input"].as_str().unwrap();
        let event: Value = serde_json::from_str(input).unwrap_or_else(|error| panic!("{id}: {error}"));
        let is_slot = id.starts_with("infra/scheduling.yaml");
        let kind = if is_slot { "Backup" } else { "Sweep" };
        assert_eq!((&event["source"], &event["detail-type"]), (&json!("neo4j.cluster"), &json!(kind)), "{id}");
        for attribute in ["<aws.scheduler.execution-id>", "<aws.scheduler.scheduled-time>"] {
            assert!(input.contains(attribute), "{id}: equal bodies would be dropped, and a slot is named by its time");
        }
        // Nothing makes up for a slot that is lost.
        let age = schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"].clone();
        let wanted = if is_slot { json!(3600) } else { json!({"Ref": "SweepMaximumAgeSeconds"}) };
        assert_eq!(age, wanted, "{id}");
    }
}

#[test]
fn each_log_group_has_a_retention_and_each_function_a_log_group_tracing_and_a_role() {
    for (id, group) in of_type("AWS::Logs::LogGroup") {
        assert!(!group["RetentionInDays"].is_null(), "{id}");
    }
    for (id, function) in of_type("AWS::Serverless::Function") {
        assert_eq!(function["LoggingConfig"]["LogFormat"], json!("JSON"), "{id}");
        assert!(!function["LoggingConfig"]["LogGroup"].is_null(), "{id}");
        assert_eq!(function["Tracing"], json!("Active"), "{id}");
        assert!(!function["Role"].is_null(), "{id}: a role of its own, not one that SAM makes up");
    }
}

/// Returns the statements of a resource's policies, wherever its type has them.
fn statements(resource: &Value) -> Vec<Value> {
    let properties = &resource["Properties"];
    let inline = properties["Policies"].as_array().into_iter().flatten().map(|policy| &policy["PolicyDocument"]);
    let documents = inline.chain([&properties["PolicyDocument"]]);
    documents.flat_map(|document| document["Statement"].as_array().into_iter().flatten()).cloned().collect()
}

/// Actions for which AWS knows no resource type, by the service authorization reference.
const WITHOUT_RESOURCE: [&str; 20] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "batch:DescribeJobs",
    "batch:ListJobs",
    // It has one, under which composite alarms cannot be described (API reference of `DescribeAlarms`).
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListAlarmMuteRules",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ecr:GetAuthorizationToken",
    "ecs:DiscoverPollEndpoint",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

#[test]
fn no_policy_allows_every_resource_or_action_but_where_aws_knows_no_resource_type() {
    for (path, id, resource) in everything() {
        for statement in statements(&resource).into_iter().filter(|statement| statement["Effect"] == "Allow") {
            let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            let actions = list(&statement["Action"]);
            // A list of a whole cluster's tasks names no container instance: its cluster is the condition.
            let of_cluster = !statement["Condition"]["ArnEquals"]["ecs:cluster"].is_null();
            let without = |action: &Value| match action.as_str().unwrap_or_default() {
                "ecs:ListTasks" => of_cluster,
                action => WITHOUT_RESOURCE.contains(&action),
            };
            let all = list(&statement["Resource"]).contains(&json!("*"));
            assert!(!all || actions.iter().all(without), "{path}: {id} allows {actions:?} on everything");
            assert!(actions.iter().all(|action| !action.as_str().unwrap().contains('*')), "{path}: {id}: {actions:?}");
        }
    }
}

#[test]
fn deletion_begins_with_the_guard_and_nothing_wakes_the_function_after_the_last_reconciliation() {
    let resources: BTreeMap<String, Value> = resources(&read("infra/discovery.yaml")).into_iter().collect();
    let needs = |id: &str| dependencies(&resources, id);
    // Events and sweeps may still reach the queue, but only the mapping brings them to the function.
    let wakes = ["AWS::Lambda::EventSourceMapping", "AWS::Events::Rule", "AWS::Scheduler::Schedule"];
    let wakes = resources.iter().filter(|(_, resource)| wakes.iter().any(|kind| resource["Type"] == *kind));
    let wakes: Vec<_> = wakes.map(|(id, _)| id.as_str()).collect();
    assert_eq!(wakes, ["Mapping", "TaskChanges"]);
    for trigger in wakes {
        assert!(needs(trigger).contains("Records"), "{trigger} could wake the function after its last reconciliation");
    }
    let last = needs("Records");
    for id in [
        "Replicator",
        "ReplicatorRole",
        "ReplicatorLogs",
        "ReplicatorRetries",
        "Queues",
        "ZoneAccess",
        "RegistryAccess",
        "Zone",
        "Namespace",
        "CoreRegistry",
        "ReplicaRegistry",
    ] {
        assert!(last.contains(id), "{id} could be gone before the last reconciliation");
    }
    // Deletion begins with the guard, so that its refusal leaves everything working.
    let guard = needs("Guard");
    for id in resources.keys().filter(|id| *id != "Guard") {
        assert!(guard.contains(id), "{id} could be gone before the guard has agreed to the deletion");
    }
}

#[test]
fn whatever_has_state_has_deletion_policies_and_keeps_its_logical_id() {
    let stateful = [
        "AWS::DynamoDB::Table",
        "AWS::EC2::Volume",
        "AWS::Logs::LogGroup",
        "AWS::Route53::HostedZone",
        "AWS::S3::Bucket",
        "AWS::SecretsManager::Secret",
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
    ];
    let mut ids = Vec::new();
    for (path, id, resource) in everything() {
        let kind = resource["Type"].as_str().unwrap();
        if stateful.contains(&kind) {
            let policies = (resource["DeletionPolicy"].as_str(), resource["UpdateReplacePolicy"].as_str());
            assert!(policies.0.is_some() && policies.1.is_some(), "{path}: {id}");
            ids.push(format!("{path} {id} {kind} {}, {}", policies.0.unwrap(), policies.1.unwrap()));
        }
    }
    insta::assert_snapshot!(ids.join("\n"), @r"
    infra/alerting.yaml RouterLogs AWS::Logs::LogGroup Delete, Delete
    infra/alerts-alone.yaml Table AWS::DynamoDB::Table Delete, Delete
    infra/backup-job.yaml JobLogs AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/backups.yaml Bucket AWS::S3::Bucket Retain, Retain
    infra/core-node.yaml DataVolume AWS::EC2::Volume Snapshot, Snapshot
    infra/discovery.yaml Namespace AWS::ServiceDiscovery::PrivateDnsNamespace Delete, Delete
    infra/discovery.yaml ReplicatorLogs AWS::Logs::LogGroup Delete, Delete
    infra/discovery.yaml Zone AWS::Route53::HostedZone Delete, Delete
    infra/drain-alone.yaml DrainerLogs AWS::Logs::LogGroup Delete, Delete
    infra/drain-alone.yaml Table AWS::DynamoDB::Table Delete, Delete
    infra/draining.yaml DrainerLogs AWS::Logs::LogGroup Delete, Delete
    infra/ecs.yaml DebugLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml GeneralLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml InsightsLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml SlowQueries AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/gateway.yaml GatewayLogs AWS::Logs::LogGroup Delete, Delete
    infra/pruning.yaml PrunerLogs AWS::Logs::LogGroup Delete, Delete
    infra/scheduling.yaml SchedulerLogs AWS::Logs::LogGroup Delete, Delete
    infra/secrets.yaml Admin AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/secrets.yaml Monitor AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/secrets.yaml ReadOnly AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/secrets.yaml ReadWrite AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/state.yaml Table AWS::DynamoDB::Table RetainExceptOnCreate, Retain
    ");
}

#[test]
fn sam_waits_for_a_deployment_and_keeps_the_order_of_creation() {
    let config = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let sections = config.split("\n[").filter(|section| section.contains(".deploy.parameters]"));
    let sections: Vec<_> = sections.map(|section| section.split_once(']').unwrap()).collect();
    assert_eq!(sections.len(), 5);
    for (name, section) in sections {
        let lines: Vec<_> = section.lines().collect();
        let wait = lines.iter().find_map(|line| line.strip_prefix("max_wait_duration = "));
        // Minutes. A service that is created waits up to three hours for its tasks.
        assert!(wait.is_some_and(|wait| wait.parse::<u32>().unwrap() > 3 * 60), "{name}: {wait:?}");
        assert!(lines.contains(&"express = false"), "{name}: CloudFormation would not wait for what it asked for");
    }
    // The first that knows `express`; `max_wait_duration` is older.
    let pins = std::fs::read_to_string(root().join("tests/requirements.txt")).unwrap();
    let pin = pins.lines().find_map(|line| line.strip_prefix("aws-sam-cli==1.")).unwrap();
    assert!(pin.split('.').next().unwrap().parse::<u32>().unwrap() >= 163, "1.{pin}");
}

#[test]
fn templates_use_no_yaml_that_cloudformation_does_not_read() {
    for path in all() {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for (n, line) in text.lines().enumerate() {
            let value = line.split_once(": ").map_or("", |(_, value)| value.trim_start());
            assert!(
                !value.starts_with(['&', '*']) && !line.contains("<<:"),
                "{path}:{}: anchors and merges: {line}",
                n + 1
            );
        }
    }
}
