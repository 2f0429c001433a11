//! Facts about the templates, and about what they and the code or the documents must agree on.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use cluster_facts::{
    root,
    template::{FUNCTIONS, Function, all, dependencies, deployments, read, rendered, resources},
};
use dns_replicator::Names;
use serde_json::{Value, json};

/// Returns every resource of every template: (path, logical id, resource).
fn everything() -> Vec<(String, String, Value)> {
    let of = |path: String| resources(&read(&path)).into_iter().map(move |(id, resource)| (path.clone(), id, resource));
    all().into_iter().flat_map(of).collect()
}

fn of_type(kind: &str) -> Vec<(String, Value)> {
    let found = everything().into_iter().filter(|(_, _, resource)| resource["Type"] == kind);
    found.map(|(path, id, resource)| (format!("{path}: {id}"), resource["Properties"].clone())).collect()
}

fn function(binary: &str) -> Value {
    let all = everything().into_iter().map(|(_, _, resource)| resource);
    let mut ours = all.filter(|resource| resource["Metadata"]["BuildProperties"]["Binary"] == binary);
    ours.next().unwrap_or_else(|| panic!("no function builds {binary}"))
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[test]
fn each_function_has_a_crate_and_a_template_with_nothing_but_it_and_its_queues() {
    let crates = std::fs::read_dir(root().join("lambdas")).unwrap().map(|entry| entry.unwrap().file_name());
    let crates: BTreeSet<_> = crates.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(crates, FUNCTIONS.map(|function| function.name.to_owned()).into(), "left: folders, right: FUNCTIONS");
    let of_root = resources(&read("infra/template.yaml"));
    for Function { name, template, stack, .. } in FUNCTIONS {
        let found = resources(&read(template));
        let of_type = |kind: &str| found.iter().filter(|(_, r)| r["Type"] == kind).collect::<Vec<_>>();
        let [(id, function)] = of_type("AWS::Serverless::Function")[..] else { panic!("{template} has one function") };
        assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], json!(name), "{template}");
        let properties = &function["Properties"];
        assert_eq!(properties["CodeUri"], json!(format!("../lambdas/{name}/")), "{template}");
        assert_eq!(properties["Runtime"], json!("provided.al2023"), "{template}");
        // The root nests it under this name.
        let (_, nested) = of_root.iter().find(|(id, _)| id == stack).unwrap();
        assert_eq!(nested["Properties"]["Location"], json!(template.strip_prefix("infra/").unwrap()), "{stack}");
        // What stands around it stands in queues.yaml.
        let queues: Vec<_> =
            found.iter().filter(|(_, resource)| resource["Properties"]["Location"] == "queues.yaml").collect();
        let [(queues, nested)] = queues[..] else { panic!("{template} nests queues.yaml once") };
        assert_eq!(queues, "Queues", "{template}");
        let parameters = &nested["Properties"]["Parameters"];
        assert_eq!(parameters["Function"], json!(name), "{template}");
        assert_eq!(parameters["LogGroup"], properties["LoggingConfig"]["LogGroup"], "{template}");
        assert!(parameters["Consequence"].as_str().is_some_and(|text| text.ends_with('.')), "{template}: a sentence");
        for kind in ["AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::Scheduler::Schedule"] {
            assert!(of_type(kind).is_empty(), "{template}: {kind} belongs in queues.yaml");
        }
        let url = json!({"Fn::GetAtt": ["Queues", "Outputs.DeadLettersUrl"]});
        assert_eq!(properties["Environment"]["Variables"]["DEAD_LETTER_QUEUE_URL"], url, "{template}");
        let [(_, retries)] = of_type("AWS::Lambda::EventInvokeConfig")[..] else { panic!("{template}: one, for {id}") };
        let lost = json!({"Fn::GetAtt": ["Queues", "Outputs.UndeliveredArn"]});
        assert_eq!(retries["Properties"]["DestinationConfig"]["OnFailure"]["Destination"], lost, "{template}");
        assert_eq!(retries["Properties"]["FunctionName"], json!({"Ref": id}), "{template}");
        let [(_, mapping)] = of_type("AWS::Lambda::EventSourceMapping")[..] else { panic!("{template}: one mapping") };
        let triggers = json!({"Fn::GetAtt": ["Queues", "Outputs.TriggersArn"]});
        assert_eq!(mapping["Properties"]["EventSourceArn"], triggers, "{template}");
        assert_eq!(mapping["Properties"]["FunctionName"], json!({"Ref": id}), "{template}");
        // Lambda refuses a mapping whose queue gives a message back before the function can have ended.
        let patience = &read("infra/queues.yaml")["Resources"]["Triggers"]["Properties"]["VisibilityTimeout"];
        assert!(patience.as_u64() > properties["Timeout"].as_u64(), "{template}: {patience}");
    }
    let nested = everything().into_iter().filter(|(_, _, r)| r["Properties"]["Location"] == "queues.yaml").count();
    assert_eq!(nested, FUNCTIONS.len(), "queues.yaml is nested by functions alone");
}

#[test]
fn each_function_has_its_outputs_in_its_template_and_in_the_root() {
    let of_root = read("infra/template.yaml")["Outputs"].clone();
    let mut kept = BTreeSet::new();
    for Function { template, stack, output, .. } in FUNCTIONS {
        let own = names(&read(template)["Outputs"]);
        for (of_root, of_function) in [
            (format!("{output}Function"), "FunctionName"),
            (format!("Show{output}Plan"), "ShowPlan"),
            (format!("Follow{output}Log"), "FollowLog"),
            (format!("Read{output}DeadLetters"), "ReadDeadLetters"),
            (format!("Purge{output}DeadLetters"), "PurgeDeadLetters"),
        ] {
            kept.insert((of_root, json!({"Fn::GetAtt": [stack, format!("Outputs.{of_function}")]}).to_string()));
            assert!(own.contains(of_function), "{template} has no output {of_function}");
        }
        for of_function in ["FunctionArn", "LogGroup"] {
            assert!(own.contains(of_function), "{template} has no output {of_function}");
        }
    }
    let speaks_of_one = |name: &String| {
        FUNCTIONS.iter().any(|function| name.contains(function.output)) || name.ends_with("DeadLetters")
    };
    let found = of_root.as_object().unwrap().iter().filter(|(name, _)| speaks_of_one(name));
    let found: BTreeSet<_> = found.map(|(name, output)| (name.clone(), output["Value"].to_string())).collect();
    assert_eq!(found, kept, "left: outputs of the root, right: those that follow from FUNCTIONS");
}

/// The live form of each stack of queues.yaml in a deployment, by the function that it stands around.
fn around(deployment: &str) -> BTreeMap<String, Value> {
    let stacks = rendered(deployment)["stacks"].take();
    let stacks = stacks.as_object().unwrap().values().filter(|stack| stack["file"] == "queues.yaml");
    stacks.map(|stack| (stack["parameters"]["Function"].as_str().unwrap().to_owned(), stack["live"].clone())).collect()
}

#[test]
fn each_function_has_alarms_on_its_dead_letters_on_what_does_not_reach_it_and_on_its_silence() {
    for deployment in deployments() {
        let around = around(&deployment);
        let expected =
            if deployment == "discovery" { vec!["dns-replicator"] } else { FUNCTIONS.map(|f| f.name).into() };
        assert_eq!(around.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{deployment}");
        for (function, stack) in &around {
            let alarm = |id: &str| stack["Resources"][id]["Properties"].clone();
            let output = |name: &str| stack["Outputs"][name]["Value"].as_str().unwrap().to_owned();
            for queue in ["DeadLetters", "Undelivered"] {
                let (id, arn) = (format!("{queue}Alarm"), output(&format!("{queue}Arn")));
                let alarm = alarm(&id);
                let name = json!([{"Name": "QueueName", "Value": arn.rsplit(':').next().unwrap()}]);
                assert_eq!((&alarm["Namespace"], &alarm["Dimensions"]), (&json!("AWS/SQS"), &name), "{function}: {id}");
            }
            let silence = alarm("SilenceAlarm");
            assert_eq!(silence["Namespace"], json!("Neo4jCluster"), "{function}");
            assert_eq!(silence["TreatMissingData"], json!("breaching"), "{function}: silence is no data");
            let minutes = silence["Period"].as_u64().unwrap() * silence["EvaluationPeriods"].as_u64().unwrap() / 60;
            assert_eq!(minutes, 5, "{function}: as the text says");
            for id in ["DeadLettersAlarm", "UndeliveredAlarm", "SilenceAlarm"] {
                let text = alarm(id)["AlarmDescription"].as_str().unwrap().to_owned();
                assert!(text.contains(function.as_str()) && text.len() <= 1024, "{function}: {id}: {text}");
                assert!(text.contains("Logs-"), "{function}: {id} does not name the log: {text}");
            }
        }
        // Two functions that shared a metric would hide each other's silence.
        let metrics: BTreeSet<_> =
            around.values().map(|s| s["Resources"]["SilenceAlarm"]["Properties"]["MetricName"].to_string()).collect();
        assert_eq!(metrics.len(), around.len(), "{deployment}: {metrics:?}");
    }
}

#[test]
fn each_variable_that_a_function_reads_is_set_and_no_other() {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        let value = match name {
            "HOSTED_ZONE_ID" => "Z1",
            "DOMAIN" => "neo4j.service",
            "RECORD_TTL" => "10",
            "REGISTER_TIMEOUT_SECONDS" => "900",
            "CORE_COUNT" => "3",
            "REQUIRE_HEALTHY" | "DRY_RUN" => "true",
            name if name.ends_with("CLOUD_MAP_SERVICE") => "srv-1",
            _ => "x",
        };
        Some(value.to_owned())
    };
    let set = |binary: &str| names(&function(binary)["Properties"]["Environment"]["Variables"]);
    dns_replicator::Config::read(&lookup).unwrap();
    assert_eq!(set("dns-replicator"), asked.take());
    instance_drainer::Config::read(&lookup).unwrap();
    assert_eq!(set("instance-drainer"), asked.take());
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
                let looser = of_parent.is_null() || definition[rule].is_null() || kept_out.contains(&(name, rule));
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
    for (id, target) in &rules {
        assert_eq!(target["Arn"], json!({"Fn::GetAtt": ["Queues", "Outputs.TriggersArn"]}), "{id}");
        let lost = json!({"Fn::GetAtt": ["Queues", "Outputs.UndeliveredArn"]});
        assert_eq!(target["DeadLetterConfig"]["Arn"], lost, "{id}");
    }
    for (id, target) in rules.into_iter().chain(schedules) {
        assert!(!target["DeadLetterConfig"]["Arn"].is_null(), "{id}");
        assert_eq!(target["SqsParameters"], json!({"MessageGroupId": "reconcile"}), "{id}: two groups would overlap");
    }
    for (id, schedule) in of_type("AWS::Scheduler::Schedule") {
        let input = schedule["Target"]["Input"].as_str().unwrap();
        let event: Value = serde_json::from_str(input).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!((&event["source"], &event["detail-type"]), (&json!("neo4j.cluster"), &json!("Sweep")), "{id}");
        assert!(input.contains("<aws.scheduler.execution-id>"), "{id}: equal bodies would be dropped");
        assert_eq!(schedule["ScheduleExpression"], json!("rate(1 minute)"), "{id}: alarms and documents say so");
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
const WITHOUT_RESOURCE: [&str; 12] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "ec2:DescribeInstanceStatus",
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
    infra/core-node.yaml DataVolume AWS::EC2::Volume Snapshot, Snapshot
    infra/discovery.yaml Namespace AWS::ServiceDiscovery::PrivateDnsNamespace Delete, Delete
    infra/discovery.yaml ReplicatorLogs AWS::Logs::LogGroup Delete, Delete
    infra/discovery.yaml Zone AWS::Route53::HostedZone Delete, Delete
    infra/draining.yaml DrainerLogs AWS::Logs::LogGroup Delete, Delete
    infra/ecs.yaml DebugLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml GeneralLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml InsightsLog AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/ecs.yaml SlowQueries AWS::Logs::LogGroup RetainExceptOnCreate, Retain
    infra/secrets.yaml Admin AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/secrets.yaml ReadOnly AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/secrets.yaml ReadWrite AWS::SecretsManager::Secret RetainExceptOnCreate, Retain
    infra/state.yaml Table AWS::DynamoDB::Table RetainExceptOnCreate, Retain
    ");
}

#[test]
fn each_message_that_the_readme_explains_is_one_that_the_code_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut code = String::new();
    let mut folders = vec![root().join("shared"), root().join("lambdas")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                code += &std::fs::read_to_string(entry).unwrap();
            }
        }
    }
    // Containers say things too, by their commands.
    for path in all() {
        code += &std::fs::read_to_string(root().join(path)).unwrap();
    }
    // A message may be broken over two lines.
    let code = code.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let table = readme.split("## When something is wrong").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let messages: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(messages.len() >= 8, "{messages:?}");
    for message in messages {
        for part in message.split('…') {
            assert!(code.contains(part.trim()), "no message says {part:?}, which the README explains");
        }
    }
}

#[test]
fn sam_waits_for_a_deployment_and_keeps_the_order_of_creation() {
    let config = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let sections = config.split("\n[").filter(|section| section.contains(".deploy.parameters]"));
    let sections: Vec<_> = sections.map(|section| section.split_once(']').unwrap()).collect();
    assert_eq!(sections.len(), 3);
    for (name, section) in sections {
        let lines: Vec<_> = section.lines().collect();
        let wait = lines.iter().find_map(|line| line.strip_prefix("max_wait_duration = "));
        // Minutes. A service may roll for three hours.
        assert!(wait.is_some_and(|wait| wait.parse::<u32>().unwrap() > 3 * 60), "{name}: {wait:?}");
        assert!(lines.contains(&"express = false"), "{name}: CloudFormation would not wait for what it asked for");
    }
    // The first that knows `express`; `max_wait_duration` is older.
    let pins = std::fs::read_to_string(root().join("tests/requirements.txt")).unwrap();
    let pin = pins.lines().find_map(|line| line.strip_prefix("aws-sam-cli==1.")).unwrap();
    assert!(pin.split('.').next().unwrap().parse::<u32>().unwrap() >= 163, "1.{pin}");
}

#[test]
fn each_output_that_the_readme_asks_for_is_one_of_the_stack() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let outputs = read("infra/template.yaml")["Outputs"].clone();
    let asked = |before: &str| -> BTreeSet<String> {
        let words = readme.split(before).skip(1);
        let words = words.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
        words.filter(|word| !word.is_empty()).collect()
    };
    let names: BTreeSet<_> = &asked("$(output ") | &asked("\noutput ");
    assert!(
        names.contains("ClientsGroup") && names.contains("BackupGroup") && names.contains("MembersGroup"),
        "{names:?}"
    );
    for name in names {
        assert!(!outputs[&name].is_null(), "the stack has no output {name}");
    }
}

#[test]
fn the_check_for_a_whole_cluster_shows_what_there_is_beside_what_there_should_be() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("### Is the cluster whole?\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let statements = section.split("```").nth(1).unwrap();
    let [servers, databases, _] = statements.split(';').take(3).collect::<Vec<_>>()[..] else {
        panic!("three statements, not {statements}");
    };
    // What filters is also empty when everything is missing.
    assert!(!statements.contains("WHERE"), "{statements}");
    assert!(["hosting", "requestedHosting"].iter().all(|column| servers.contains(column)), "{servers}");
    for of in ["PrimariesCount", "SecondariesCount"] {
        let both = ["current", "requested"].map(|which| databases.contains(&format!("{which}{of}")));
        assert_eq!(both, [true, true], "{of}: {databases}");
    }
}

#[test]
fn the_secrets_that_are_kept_are_found_by_what_the_readme_asks_for() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let [filter] = readme.split("list-secrets --filters Key=description,Values=\"").skip(1).collect::<Vec<_>>()[..]
    else {
        panic!("the README looks for secrets once");
    };
    // Secrets Manager compares beginnings: without the last sign a stack `neo4j` would find those of `neo4j-dev`.
    let beginning = filter.split('"').next().unwrap().replace("$NAME", "${ClusterName}");
    assert!(beginning.ends_with("${ClusterName}:"), "{beginning}");
    for (id, secret) in of_type("AWS::SecretsManager::Secret") {
        let description = secret["Description"]["Fn::Sub"].as_str().unwrap();
        assert!(description.starts_with(&beginning), "{id}: {description}");
    }
}

#[test]
fn whoever_comes_from_the_predecessor_finds_each_of_its_parameters() {
    let documents = std::fs::read_to_string(root().join("docs/parameters.md")).unwrap();
    for name in [
        "AcceptLicense",
        "VpcId",
        "KeyName",
        "ECSAMI",
        "NodeSecurityGroups",
        "SNSTopicArn",
        "ClusterInstanceType",
        "SubnetID",
        "DesiredCapacity",
        "EBSSize",
        "EBSType",
        "ReplicasInstanceType",
        "ReplicasCount",
        "ReplicasSubnetID",
        "DockerImage",
        "DockerECRARN",
        "AdminUser",
        "AdminPassword",
        "ReadOnlyUser",
        "ReadOnlyUserPassword",
        "CloudMapNamespaceID",
        "CloudMapNamespaceName",
        "Neo4jCoreSubdomain",
        "Neo4jReplicasSubdomain",
        "BackupPath",
        "BackupHourlyStoreForDays",
        "BackupDailyStoreForDays",
        "IsDrainSupported",
        "SlowQueryLog",
    ] {
        let row = documents
            .lines()
            .any(|line| line.starts_with("| ") && line.split('|').nth(1).unwrap().contains(&format!("`{name}`")));
        assert!(row, "docs/parameters.md says nothing of {name}");
    }
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
