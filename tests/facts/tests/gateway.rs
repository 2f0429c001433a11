//! Facts about neo4j-gateway. It is none of the functions that the registry lists: nothing wakes it, and it calls no AWS service.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use cluster_facts::{
    root,
    template::{all, dependencies, deployments, read, references, rendered, resources},
};
use neo4j_gateway::Config;
use serde_json::{Value, json};

use crate::{iam::strings, permissions::of_template, template::names};

/// The name of its crate and its binary.
pub(crate) const NAME: &str = "neo4j-gateway";
/// Its template.
pub(crate) const TEMPLATE: &str = "infra/gateway.yaml";

/// Returns the properties of the only resource of a type in the template.
fn only(kind: &str) -> (String, Value) {
    let found = of_template(TEMPLATE, kind);
    assert_eq!(found.len(), 1, "{TEMPLATE} has one {kind}");
    found.into_iter().next().unwrap()
}

/// Returns the gateway's stack in each deployment that has one: (deployment, all stacks, the gateway's).
fn deployed() -> Vec<(String, Value, Value)> {
    let of = |name: String| {
        let stacks = rendered(&name)["stacks"].take();
        let own = stacks["Gateway"]["live"].clone();
        (name, stacks, own)
    };
    let found: Vec<_> = deployments().into_iter().map(of).filter(|(_, _, own)| !own.is_null()).collect();
    assert!(found.len() > 20, "{}", found.len());
    found
}

fn function_of(stack: &Value) -> &Value {
    &stack["Resources"]["Gateway"]["Properties"]
}

#[test]
fn the_gateway_is_built_like_the_others_and_ends_before_its_callers_give_up() {
    let (_, function) = only("AWS::Serverless::Function");
    assert_eq!(read(TEMPLATE)["Resources"]["Gateway"]["Metadata"]["BuildProperties"]["Binary"], json!(NAME));
    assert_eq!(function["CodeUri"], json!(format!("../lambdas/{NAME}/")));
    assert_eq!((&function["Runtime"], &function["MemorySize"]), (&json!("provided.al2023"), &json!(256)));
    // Callers wait for 12 seconds, beside what they ask of AWS.
    assert_eq!(function["Timeout"], json!(15));
    for (caller, times) in [("infra/discovery.yaml", 1), ("infra/draining.yaml", 2)] {
        let found = of_template(caller, "AWS::Serverless::Function");
        assert!(found[0].1["Timeout"].as_u64().unwrap() >= times * (12 + 30), "{caller} asks {times} times");
    }
    let nested = &read("infra/template.yaml")["Resources"]["Gateway"]["Properties"];
    assert_eq!(nested["Location"], json!("gateway.yaml"));
}

/// A request may hold a password.
#[test]
fn no_copy_of_a_request_to_the_gateway_is_kept_anywhere() {
    let kinds =
        resources(&read(TEMPLATE)).into_iter().map(|(_, resource)| resource["Type"].as_str().unwrap().to_owned());
    let kinds: BTreeSet<_> = kinds.collect();
    let known =
        ["AWS::IAM::Role", "AWS::Lambda::EventInvokeConfig", "AWS::Logs::LogGroup", "AWS::Serverless::Function"];
    assert_eq!(kinds, known.map(str::to_owned).into(), "no queue, no rule, no destination");
    let (_, asynchronous) = only("AWS::Lambda::EventInvokeConfig");
    assert_eq!(asynchronous["FunctionName"], json!({"Ref": "Gateway"}));
    assert_eq!(asynchronous["MaximumRetryAttempts"], json!(0));
    assert!(asynchronous["DestinationConfig"].is_null(), "what failed would go there with its password");
    let (_, function) = only("AWS::Serverless::Function");
    for kept in ["DeadLetterQueue", "EventInvokeConfig", "FileSystemConfigs"] {
        assert!(function[kept].is_null(), "{kept}");
    }
    let variables = names(&function["Environment"]["Variables"]);
    assert!(!variables.iter().any(|name| name.contains("SECRET") || name.contains("PASSWORD")), "{variables:?}");
}

#[test]
fn the_gateway_may_write_its_log_and_lambda_may_make_its_interfaces_but_its_own_code_may_not() {
    let (_, role) = only("AWS::IAM::Role");
    let (_, function) = only("AWS::Serverless::Function");
    assert_eq!(
        function["Role"],
        json!({"Fn::GetAtt": ["GatewayRole", "Arn"]}),
        "the function is deleted before its role"
    );
    // Policies of their own could be gone before the function is, and its interfaces would stay.
    let policies = role["Policies"].as_array().unwrap();
    let statements: Vec<_> =
        policies.iter().flat_map(|p| p["PolicyDocument"]["Statement"].as_array().unwrap()).collect();
    let of = |effect: &str| -> BTreeMap<String, Value> {
        let statements = statements.iter().filter(|statement| statement["Effect"] == effect);
        let each = |statement: &&&Value| {
            let resource = statement["Resource"].clone();
            strings(&statement["Action"]).into_iter().map(move |action| (action, resource.clone())).collect::<Vec<_>>()
        };
        statements.flat_map(|statement| each(&statement)).collect()
    };
    let log = json!({"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${GatewayLogs}:log-stream:*"});
    let any = json!({"Fn::Sub": "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*/*"});
    let allowed: BTreeMap<_, _> = [
        ("ec2:AssignPrivateIpAddresses", &any),
        ("ec2:CreateNetworkInterface", &any),
        ("ec2:DeleteNetworkInterface", &any),
        ("ec2:DescribeNetworkInterfaces", &json!("*")),
        ("ec2:DescribeSubnets", &json!("*")),
        ("ec2:UnassignPrivateIpAddresses", &any),
        ("logs:CreateLogStream", &log),
        ("logs:PutLogEvents", &log),
        ("xray:PutTelemetryRecords", &json!("*")),
        ("xray:PutTraceSegments", &json!("*")),
    ]
    .map(|(action, resource)| (action.to_owned(), resource.clone()))
    .into();
    assert_eq!(of("Allow"), allowed);
    let denied = of("Deny");
    for action in allowed.keys().filter(|action| action.starts_with("ec2:")) {
        assert_eq!(denied.get(action), Some(&json!("*")), "{action} is not denied to the function's own code");
    }
    let by = json!({"ArnEquals": {"lambda:SourceFunctionArn": {"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${FunctionName}"}}});
    for deny in statements.iter().filter(|statement| statement["Effect"] == "Deny") {
        assert_eq!(deny["Condition"], by, "without its condition Lambda itself were denied");
    }
    assert_eq!(function["FunctionName"], json!({"Ref": "FunctionName"}), "the key of the condition is this function");
}

/// Its interfaces take long to go. Until then only their security group has to stay.
#[test]
fn nobody_waits_for_the_gateway_but_the_phase_which_is_deleted_first() {
    let of_root: BTreeMap<String, Value> = resources(&read("infra/template.yaml")).into_iter().collect();
    let waiting: Vec<_> = of_root.keys().filter(|id| dependencies(&of_root, id).contains("Gateway")).collect();
    assert_eq!(waiting, ["Phase"]);
    let waits = dependencies(&of_root, "Gateway");
    assert_eq!(waits, ["Network".to_owned()].into(), "the group of its interfaces outlives them");
    // The name that its callers are given is made from nothing but the id of the root's stack.
    let name = &of_root["Gateway"]["Properties"]["Parameters"]["FunctionName"];
    assert_eq!(references(name), ["AWS::StackId", "Id"]);
    for caller in ["Discovery", "Draining"] {
        assert_eq!(&of_root[caller]["Properties"]["Parameters"]["GatewayFunctionName"], name, "{caller}");
    }
}

#[test]
fn the_gateway_reaches_the_http_port_of_members_and_nothing_else() {
    for (deployment, stacks, own) in deployed() {
        let network = &stacks["Network"]["live"];
        let group = |id: &str| network["Outputs"][format!("{id}Group")]["Value"].clone();
        let tls = stacks["root"]["parameters"]["TlsSecretArn"] != "";
        let port = if tls { 7473 } else { 7474 };
        let out = network["Resources"]["Gateway"]["Properties"]["SecurityGroupEgress"].as_array().unwrap();
        let [out] = &out[..] else { panic!("{deployment}: {out:?}") };
        let rule = |rule: &Value, peer: &str| {
            [&rule["IpProtocol"], &rule["FromPort"], &rule["ToPort"], &rule[peer]].map(Value::to_string).join(" ")
        };
        let want = |peer: &str| format!("\"tcp\" {port} {port} {}", group(peer));
        assert_eq!(rule(out, "DestinationSecurityGroupId"), want("Members"), "{deployment}");
        let all = resources(network).into_iter();
        let ingress = all.filter(|(_, r)| r["Properties"]["SourceSecurityGroupId"] == group("Gateway"));
        let ingress: Vec<_> = ingress.map(|(_, resource)| resource["Properties"].clone()).collect();
        let [ingress] = &ingress[..] else { panic!("{deployment}: {ingress:?}") };
        assert_eq!(rule(ingress, "SourceSecurityGroupId"), want("Gateway"), "{deployment}");
        assert_eq!(ingress["GroupId"], group("Members"), "{deployment}");
        // Nobody else has the group, nor may reach whoever has it.
        let vpc = &function_of(&own)["VpcConfig"];
        assert_eq!(vpc["SecurityGroupIds"], json!([group("Gateway")]), "{deployment}");
        for (path, stack) in
            stacks.as_object().unwrap().iter().filter(|(path, _)| *path != "Gateway" && *path != "Network")
        {
            for (id, resource) in resources(&stack["live"]) {
                let passed_on = resource["Type"] == "AWS::CloudFormation::Stack";
                let uses = resource["Properties"].to_string().contains(group("Gateway").as_str().unwrap());
                assert!(!uses || passed_on && id == "Gateway", "{deployment}: {path}: {id}");
            }
        }
    }
}

#[test]
fn the_gateway_is_in_the_subnets_of_the_cores_in_each_once() {
    for (deployment, stacks, own) in deployed() {
        let given = |place: u8| stacks["root"]["parameters"][format!("CoreSubnet{place}")].as_str().unwrap().to_owned();
        let found = strings(&function_of(&own)["VpcConfig"]["SubnetIds"]);
        let distinct: BTreeSet<_> = (1..=3).map(given).collect();
        assert_eq!(found.len(), distinct.len(), "{deployment}: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), distinct, "{deployment}");
    }
    assert_eq!(
        function_of(&rendered("one-zone")["stacks"]["Gateway"]["live"])["VpcConfig"]["SubnetIds"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// Lambda takes 64 signs, and no other stack of the account has this id.
#[test]
fn the_gateway_is_named_after_the_stack_of_the_cluster() {
    for (deployment, stacks, own) in deployed() {
        let id = stacks["root"]["id"].as_str().unwrap().rsplit('/').next().unwrap();
        let name = function_of(&own)["FunctionName"].as_str().unwrap();
        assert_eq!(name, format!("neo4j-gateway-{id}"), "{deployment}");
        assert!(name.len() <= 64 && id.len() == 36, "{deployment}: {name}");
    }
}

#[test]
fn discovery_alone_asks_nobody() {
    let own = rendered("discovery")["stacks"]["root"]["live"].take();
    let variables = &own["Resources"]["Replicator"]["Properties"]["Environment"]["Variables"];
    assert_eq!((&variables["GATEWAY_FUNCTION"], &variables["STATE_TABLE"]), (&json!(""), &json!("")));
    let rights = own["Resources"]["ReplicatorRole"]["Properties"]["Policies"].to_string();
    assert!(!rights.contains("lambda:") && !rights.contains("dynamodb:"), "{rights}");
}

#[test]
fn dns_replicator_keeps_clocks_in_the_state_table_and_may_touch_nothing_else_there() {
    let stacks = rendered("default")["stacks"].take();
    let policies = &stacks["Discovery"]["live"]["Resources"]["ReplicatorRole"]["Properties"]["Policies"];
    let statements =
        policies.as_array().unwrap().iter().flat_map(|p| p["PolicyDocument"]["Statement"].as_array().unwrap());
    let of_table: Vec<_> = statements.filter(|s| s["Action"].to_string().contains("dynamodb:")).collect();
    let [statement] = of_table[..] else { panic!("{of_table:?}") };
    let table = stacks["State"]["live"]["Outputs"]["TableArn"]["Value"].clone();
    assert_eq!(statement["Resource"], table);
    let clocks = json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["clock"]}});
    assert_eq!(statement["Condition"], clocks);
    let variables = &stacks["Discovery"]["live"]["Resources"]["Replicator"]["Properties"]["Environment"]["Variables"];
    assert!(table.as_str().unwrap().ends_with(variables["STATE_TABLE"].as_str().unwrap()));
}

#[test]
fn the_user_that_looks_is_generated_as_monitor() {
    let secret = &read("infra/secrets.yaml")["Resources"]["Monitor"]["Properties"]["GenerateSecretString"];
    assert_eq!(secret["SecretStringTemplate"], json!(r#"{"username": "monitor"}"#));
    assert_eq!(secret["GenerateStringKey"], json!("password"));
}

#[test]
fn the_gateway_has_a_page_and_its_outputs() {
    assert!(root().join("lambdas").join(NAME).is_dir(), "there is no crate {NAME}");
    assert!(root().join(format!("docs/{NAME}.md")).is_file(), "there is no docs/{NAME}.md");
    let outputs = read("infra/template.yaml")["Outputs"].clone();
    for (of_root, own) in [("Neo4jGatewayFunction", "FunctionName"), ("FollowNeo4jGatewayLog", "FollowLog")] {
        assert_eq!(outputs[of_root]["Value"], json!({"Fn::GetAtt": ["Gateway", format!("Outputs.{own}")]}));
    }
    assert_eq!(
        all().iter().filter(|path| read(path)["Resources"]["Gateway"]["Type"] == "AWS::Serverless::Function").count(),
        1
    );
}

/// What each alarm on Neo4j's own state waits for: the metric, the value of a minute, for how long, and the limit.
const ALARMS: [(&str, &str, &str, u64, &str); 6] = [
    ("GatewaySilentAlarm", "MembersAnswering", "Maximum", 5, "< 1"),
    ("MembersMissingAlarm", "MembersMissing", "Minimum", 30, "> 0"),
    ("MonitorLoginRefusedAlarm", "MonitorLoginsRefused", "Minimum", 5, "> 0"),
    ("MonitorRightsMissingAlarm", "MonitorRightsMissing", "Minimum", 5, "> 0"),
    ("QuorumAtRiskAlarm", "QuorumMargin", "Maximum", 10, "< 1"),
    ("QuorumLostAlarm", "QuorumMargin", "Maximum", 3, "< 0"),
];

#[test]
fn each_alarm_on_neo4j_takes_the_best_value_of_each_minute_and_says_what_to_look_at() {
    for (deployment, stacks, _) in deployed() {
        let own = &stacks["Monitoring"]["live"]["Resources"];
        for (id, metric, statistic, minutes, limit) in ALARMS {
            let alarm = &own[id]["Properties"];
            let of = |name: &str| alarm[name].as_str().unwrap_or_else(|| panic!("{deployment}: {id} has no {name}"));
            assert_eq!((of("MetricName"), of("Statistic")), (metric, statistic), "{deployment}: {id}");
            let sign = if of("ComparisonOperator") == "LessThanThreshold" { "<" } else { ">" };
            assert_eq!(format!("{sign} {}", alarm["Threshold"]), limit, "{deployment}: {id}");
            // Where a composite alarm calls in its place, that one says it.
            let calls = id.replace("Alarm", "UnlessQuorumLostAlarm");
            let calls = own.get(&calls).map_or(alarm, |composite| &composite["Properties"]);
            let text = calls["AlarmDescription"].as_str().unwrap();
            assert!(
                text.contains(&format!("for {minutes} minutes")) || text.contains(&format!("For {minutes} minutes")),
                "{text}"
            );
            assert_eq!(
                (alarm["Period"].as_u64(), alarm["EvaluationPeriods"].as_u64()),
                (Some(60), Some(minutes)),
                "{id}"
            );
            assert!(text.len() <= 1024 && text.contains("stack's output ShowMembers"), "{id}: {text}");
            // While the function is silent its SilenceAlarm goes off, and nothing is known to be better. What is not written at 0 is
            // missing when all is well.
            let missing = if metric.starts_with("Monitor") { "notBreaching" } else { "ignore" };
            assert_eq!(of("TreatMissingData"), missing, "{deployment}: {id}");
        }
        // Whoever is woken by it has to know which secrets are meant.
        let text = own["MonitorLoginRefusedAlarm"]["Properties"]["AlarmDescription"].as_str().unwrap();
        for secret in ["AdminSecretArn", "MonitorSecretArn"] {
            let arn = stacks["root"]["live"]["Outputs"][secret]["Value"].as_str().unwrap();
            assert!(text.contains(arn), "{deployment}: {arn}: {text}");
        }
    }
}

#[test]
fn each_variable_that_the_gateway_reads_is_set_and_no_other_and_each_deployment_gives_what_it_takes() {
    let mut asked = BTreeSet::new();
    for (deployment, _, own) in deployed() {
        let variables = &function_of(&own)["Environment"]["Variables"];
        let read = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            variables[name].as_str().map(str::to_owned)
        };
        let config = Config::read(&lookup).unwrap_or_else(|failure| panic!("{deployment}: {}", failure.chain()));
        let read = read.take();
        assert!(read.is_subset(&names(variables)), "{deployment}: {read:?}");
        assert_eq!(config.tls.is_some(), variables["TLS_NAME"] != "", "{deployment}");
        asked.extend(read.into_iter().map(|name| (name, names(variables).len())));
    }
    assert_eq!(
        asked,
        [("TLS_CA".to_owned(), 2), ("TLS_NAME".to_owned(), 2)].into(),
        "the variables are those that it reads"
    );
}
