//! Who may do what: the replicator may do exactly what it does, and nobody else can wake it or assume its role.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::template::{all, deployments, read, rendered, resources};
use cluster_sim::{
    cluster::{CLUSTER, Cluster, DOMAIN},
    events::messages,
    functions::{DNS_REPLICATOR, FUNCTIONS, Registered},
    time::{minutes, play},
};
use cluster_world::{ACCOUNT, REGION, cloud_map, queue_arn, route53};
use serde_json::{Value, json};

use crate::{
    functions::of_deployment,
    gateway::TEMPLATE,
    iam::{Around, Question, Rendered, Statement, questions, strings},
};

const OTHER_DOMAIN: &str = "graph.neo4j.service";
const TASK: &str = "0123456789abcdef0123456789abcdef";
fn of_type(kind: &str) -> Vec<(String, Value)> {
    all().iter().flat_map(|path| of_template(path, kind)).collect()
}

/// The resources of a type in one template: (logical id, properties).
pub(crate) fn of_template(path: &str, kind: &str) -> Vec<(String, Value)> {
    let all = resources(&read(path)).into_iter().filter(|(_, resource)| resource["Type"] == kind);
    all.map(|(id, resource)| (id, resource["Properties"].clone())).collect()
}

/// Returns the rights that the template gives in this world, under a domain.
fn replicators_rights(cluster: &Cluster, domain: &str) -> Vec<Statement> {
    let replicator = Rendered::of("discovery", "root");
    let world = cluster.wire.world();
    let of_cloud_map = world.cloud_map.namespaces.values().next().unwrap();
    let registries = &replicator.resource("RegistryAccess")["Properties"]["PolicyDocument"]["Statement"];
    let zone = registries[1]["Resource"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut names = vec![
        (replicator.variable("HOSTED_ZONE_ID"), cluster.zone.clone()),
        (zone, of_cloud_map.zone.clone()),
        (Around::of("discovery", "root").dead_letters, queue_arn(cluster.variable("DEAD_LETTER_QUEUE_URL"))),
    ];
    for (variable, id) in ["CORE_CLOUD_MAP_SERVICE", "REPLICA_CLOUD_MAP_SERVICE"].iter().zip(&cluster.registries) {
        names.push((replicator.variable(variable), id.clone()));
    }
    assert_eq!(replicator.variable("ECS_CLUSTER"), CLUSTER);
    if replicator.variable("DOMAIN") != domain {
        names.push((replicator.variable("DOMAIN"), domain.to_owned()));
    }
    replicator.rights(&names)
}

/// A stack from creation to deletion, in three chapters: under its first domain, while the domain changes, under the second.
struct Life {
    cluster: Cluster,
    chapters: [Vec<Vec<Question>>; 3],
}

fn whole_life() -> Life {
    play(async {
        let cluster = Cluster::discovery();
        let marks = [life_under(&cluster).await, {
            let moved = cluster.with("DOMAIN", OTHER_DOMAIN);
            let old = cluster.custom_resource("Delete", Some("old"));
            let mut update = moved.custom_resource("Update", Some("old"));
            update["OldResourceProperties"] = old["ResourceProperties"].clone();
            succeeds(&moved, update).await;
            leave_something_behind(&cluster, DOMAIN);
            cluster.wire.sleep(5).await;
            succeeds(&moved, old).await;
            cluster.wire.world().calls.len()
        }];
        let moved = cluster.with("DOMAIN", OTHER_DOMAIN);
        life_under(&moved).await;
        leave_something_behind(&cluster, OTHER_DOMAIN);
        cluster.wire.sleep(5).await;
        succeeds(&moved, moved.custom_resource("Delete", Some("new"))).await;
        assert_eq!(
            cluster.wire.world().route53.zones[&cluster.zone].written(),
            2,
            "the story ends with the template's own names left"
        );
        let mut first = questions(&cluster.wire.world());
        let (third, second) = (first.split_off(marks[1]), first.split_off(marks[0]));
        Life { cluster, chapters: [first, second, third] }
    })
}

/// Plays creation, members that join, fail, and leave, a message that nobody can read, a person who asks.
async fn life_under(cluster: &Cluster) -> usize {
    succeeds(cluster, cluster.custom_resource("Create", None)).await;
    cluster.scale("core", 3);
    cluster.scale("replica", 2);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    let ill = cluster.a_task("core");
    cluster.wire.world().fail_health(CLUSTER, &ill);
    cluster.sweep().await.unwrap();
    cluster.invoke(messages(&["not json".to_owned()])).await.unwrap();
    cluster.invoke(json!({"dryRun": true})).await.unwrap();
    let mut guard = cluster.custom_resource("Delete", Some("guard"));
    guard["ResourceType"] = json!("Custom::DnsGuard");
    cluster.invoke(guard.clone()).await.unwrap();
    assert_eq!(cluster.last_answer().unwrap()["Status"], json!("FAILED"), "members run");
    for service in ["core", "replica"] {
        cluster.wire.world().scale(CLUSTER, service, 0);
    }
    cluster.wire.sleep(120).await;
    cluster.sweep().await.unwrap();
    succeeds(cluster, guard).await;
    cluster.wire.world().calls.len()
}

/// Invokes until the function does not ask to be invoked again, and CloudFormation hears of success.
async fn succeeds(cluster: &Cluster, request: Value) {
    while cluster.invoke(request.clone()).await.is_err() {
        cluster.wire.sleep(60).await;
    }
    assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
}

/// Leaves a record of a reconciliation that died, and what ECS forgot to deregister.
fn leave_something_behind(cluster: &Cluster, domain: &str) {
    let mut world = cluster.wire.world();
    let now = world.now;
    for (tier, registry) in ["core", "replica"].iter().zip(&cluster.registries) {
        world.cloud_map.register(registry, TASK, [], true, now);
        let set = route53::RecordSet::multivalue(&format!("{tier}.{domain}"), &format!("{CLUSTER}/{TASK}"), "10.0.9.9");
        world.route53.zones.get_mut(&cluster.zone).unwrap().put(set);
    }
}

#[test]
fn the_replicator_may_do_whatever_it_does_in_its_whole_life() {
    let Life { cluster, chapters } = whole_life();
    let (first, second) = (replicators_rights(&cluster, DOMAIN), replicators_rights(&cluster, OTHER_DOMAIN));
    // While the domain changes the policies of both stand.
    let both: Vec<_> = first.iter().chain(&second).cloned().collect();
    for (chapter, rights) in chapters.iter().zip([first, both, second]) {
        assert!(chapter.iter().any(|call| call[0].action == "route53:ChangeResourceRecordSets"));
        for question in chapter.iter().flatten() {
            assert!(rights.iter().any(|statement| statement.allows(question)), "not allowed: {question:?}");
        }
    }
}

#[test]
fn the_replicator_does_whatever_it_may_or_somebody_else_does_it_in_its_name() {
    let Life { cluster, chapters } = whole_life();
    let around = Around::of("discovery", "root");
    let done: BTreeSet<_> = chapters[..2].iter().flatten().flatten().cloned().collect();
    let (mut unused, mut conditions) = (BTreeSet::new(), BTreeSet::new());
    let mut changed = BTreeMap::<_, BTreeSet<String>>::new();
    for statement in replicators_rights(&cluster, DOMAIN) {
        for (action, resource) in statement.actions.iter().flat_map(|a| statement.resources.iter().map(move |r| (a, r)))
        {
            let one =
                Statement { actions: vec![action.clone()], resources: vec![resource.clone()], ..statement.clone() };
            let uses: Vec<_> = done.iter().filter(|question| one.allows(question)).collect();
            if uses.is_empty() {
                unused.insert((action.clone(), resource.clone()));
            }
            for (key, values) in uses.iter().flat_map(|question| &question.context) {
                changed.entry(key).or_default().extend(values.clone());
            }
        }
        for (key, values) in statement.condition["ForAllValues:StringEquals"].as_object().into_iter().flatten() {
            conditions.insert((key.clone(), strings(values).into_iter().collect::<BTreeSet<_>>()));
        }
    }
    let changed: BTreeSet<_> = changed.into_iter().map(|(key, values)| (key.clone(), values)).collect();
    assert_eq!(conditions, changed, "the conditions allow what is written, and no more");

    let queue = "Lambda polls the queue with the function's role";
    let logs = "Lambda writes what the function prints";
    let traces = "Lambda sends the function's traces";
    let in_its_name = [
        ("sqs:ReceiveMessage", around.triggers.as_str(), queue),
        ("sqs:DeleteMessage", around.triggers.as_str(), queue),
        ("sqs:GetQueueAttributes", around.triggers.as_str(), queue),
        (
            "sqs:SendMessage",
            around.undelivered.as_str(),
            "Lambda sends a request of CloudFormation there that failed three times",
        ),
        ("logs:CreateLogStream", around.log_streams.as_str(), logs),
        ("logs:PutLogEvents", around.log_streams.as_str(), logs),
        ("xray:PutTraceSegments", "*", traces),
        ("xray:PutTelemetryRecords", "*", traces),
        (
            "route53:ChangeResourceRecordSets",
            &route53::arn(&cluster.wire.world().cloud_map.namespaces.values().next().unwrap().zone),
            "Cloud Map deletes the records of an instance that is deregistered in the caller's name",
        ),
    ];
    let in_its_name = in_its_name.map(|(action, resource, _)| (action.to_owned(), resource.to_owned()));
    assert_eq!(unused, BTreeSet::from(in_its_name), "left: rights that nobody uses; right: those with a reason");
}

#[test]
fn the_replicator_may_not_touch_what_is_not_its_own() {
    let cluster = Cluster::discovery();
    let rights = replicators_rights(&cluster, DOMAIN);
    let asks = |action: &str, resource: &str, batch: &[(&str, &str, &str)]| {
        let set = |name, kind| route53::RecordSet::simple(name, kind, 10, &["10.0.0.1"]);
        let batch: Vec<_> = batch.iter().map(|(action, name, kind)| (*action, set(name, kind))).collect();
        let (action, resource, context) = (action.to_owned(), resource.to_owned(), route53::circumstances(&batch));
        let question = Question { action, resource, context };
        rights.iter().any(|statement| statement.allows(&question))
    };
    let (zone, core) = (route53::arn(&cluster.zone), cloud_map::arn("service", &cluster.registries[0]));
    let writes = |batch: &[(&str, &str, &str)]| asks("route53:ChangeResourceRecordSets", &zone, batch);
    assert!(writes(&[("CREATE", "core.neo4j.service", "A"), ("DELETE", "Replica.Neo4j.Service.", "A")]));
    assert!(!writes(&[("CREATE", "core.neo4j.service", "A"), ("CREATE", "www.neo4j.service", "A")]), "another name");
    assert!(!writes(&[("CREATE", "neo4j.service", "A")]), "the domain itself");
    assert!(!writes(&[("CREATE", "core.neo4j.service", "CNAME")]), "another type");
    assert!(!writes(&[("UPSERT", "core.neo4j.service", "A")]), "an overwriting change");
    let own = [("CREATE", "core.neo4j.service", "A")];
    assert!(!asks("route53:ChangeResourceRecordSets", &route53::arn("ZOTHER"), &own), "another zone");
    assert!(asks("servicediscovery:DeregisterInstance", &core, &[]));
    assert!(!asks("servicediscovery:RegisterInstance", &core, &[]));
    assert!(!asks("servicediscovery:DeregisterInstance", &cloud_map::arn("service", "srv-other"), &[]));
    let task = |cluster: &str| format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{TASK}");
    assert!(asks("ecs:DescribeTasks", &task(CLUSTER), &[]));
    assert!(!asks("ecs:DescribeTasks", &task("neo4j-2"), &[]), "a cluster whose name begins alike");
    assert!(!asks("ecs:StopTask", &task(CLUSTER), &[]));
    assert!(!asks("sqs:SendMessage", &Around::of("discovery", "root").triggers, &[]), "it must not wake itself");
}

/// In a whole cluster a member that has just started is asked first, and what came of it is remembered.
#[test]
fn the_replicator_of_a_cluster_may_ask_the_gateway_and_remember_what_it_heard_and_does_so() {
    let (cluster, asked) = play(async {
        let cluster = Cluster::formed(3).only(&[DNS_REPLICATOR]);
        let before = cluster.wire.world().calls.len();
        let functions = cluster.wire.world().lambda.functions.clone();
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-2", 0);
        cluster.live(minutes(3)).await;
        // While the gateway is gone nobody answers, which is remembered, and then forgotten.
        cluster.wire.world().lambda.functions.clear();
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-2", 1);
        cluster.live(minutes(4)).await;
        cluster.wire.world().lambda.functions = functions;
        cluster.live(minutes(10)).await;
        let asked = questions(&cluster.wire.world()).split_off(before);
        (cluster, asked)
    });
    let replicator = Rendered::of("default", "Discovery");
    let here = |name: &str| cluster.environment()[name].clone();
    let names = ["GATEWAY_FUNCTION", "STATE_TABLE"].map(|name| (replicator.variable(name), here(name)));
    let mine = |action: &str| action.starts_with("lambda:") || action.starts_with("dynamodb:");
    let rights: Vec<_> = replicator.rights(&names).into_iter().filter(|s| s.actions.iter().all(|a| mine(a))).collect();
    let asked: BTreeSet<_> = asked.into_iter().flatten().filter(|question| mine(&question.action)).collect();
    for question in &asked {
        assert!(rights.iter().any(|statement| statement.allows(question)), "not allowed: {question:?}");
    }
    let used: BTreeSet<_> = asked.iter().map(|question| question.action.as_str()).collect();
    let given: BTreeSet<_> = rights.iter().flat_map(|statement| &statement.actions).map(String::as_str).collect();
    assert_eq!(used, given, "left: what it did, right: what it may");
}

#[test]
fn a_role_is_assumed_by_the_one_service_that_needs_it() {
    let (mut of_functions, mut others) = (Vec::new(), BTreeSet::new());
    let here = json!({"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}});
    for path in all() {
        for (id, role) in of_template(&path, "AWS::IAM::Role") {
            let document = &role["AssumeRolePolicyDocument"];
            assert_eq!(document["Statement"].as_array().unwrap().len(), 1, "{id}");
            let statement = document["Statement"][0].clone();
            let allowed = (&statement["Effect"], &statement["Action"]);
            assert_eq!(allowed, (&json!("Allow"), &json!("sts:AssumeRole")), "{id}");
            assert!(role["ManagedPolicyArns"].is_null(), "{id}: what a managed policy allows changes by itself");
            let arn = json!({"Fn::GetAtt": [id, "Arn"]});
            let functions =
                of_template(&path, "AWS::Serverless::Function").into_iter().filter(|(_, p)| p["Role"] == arn);
            let schedules = of_template(&path, "AWS::Scheduler::Schedule").into_iter();
            let schedules = schedules.filter(|(_, p)| p["Target"]["RoleArn"] == arn).count();
            let instances = of_template(&path, "AWS::IAM::InstanceProfile").into_iter();
            let instances = instances.filter(|(_, p)| p["Roles"] == json!([{"Ref": id}])).count();
            // Anybody's schedule or task could name the role otherwise.
            let (service, condition) = match (functions.count(), schedules, instances) {
                (1, 0, 0) => ("lambda.amazonaws.com", Value::Null),
                (0, 1.., 0) => ("scheduler.amazonaws.com", here.clone()),
                (0, 0, 1) => ("ec2.amazonaws.com", Value::Null),
                (0, 0, 0) if ["ExecutionRole", "JobRole"].contains(&id.as_str()) => {
                    ("ecs-tasks.amazonaws.com", here.clone())
                }
                other => panic!("{path}: {id} is the role of {other:?}"),
            };
            assert_eq!(statement["Principal"], json!({"Service": service}), "{id}");
            assert_eq!(statement["Condition"], condition, "{id}");
            if service == "lambda.amazonaws.com" { of_functions.push(path.clone()) } else { _ = others.insert(id) }
        }
    }
    let others_of = [TEMPLATE.to_owned(), "infra/drain-alone.yaml".to_owned()];
    let mut functions: Vec<_> = FUNCTIONS.iter().map(Registered::template).chain(others_of).collect();
    functions.sort();
    assert_eq!(of_functions, functions, "each function has one role");
    let known = ["ExecutionRole", "InstanceRole", "JobRole", "SlotRole", "SweepRole"];
    assert_eq!(others, known.map(str::to_owned).into());
}

#[test]
fn a_schedule_may_send_to_its_target_and_to_its_dead_letter_queue_and_do_nothing_else() {
    for path in all() {
        for (id, schedule) in of_template(&path, "AWS::Scheduler::Schedule") {
            let target = &schedule["Target"];
            let role = target["RoleArn"]["Fn::GetAtt"][0].as_str().unwrap();
            let role = read(&path)["Resources"][role]["Properties"].clone();
            let policies = role["Policies"].as_array().unwrap().iter();
            let statements: Vec<_> =
                policies.flat_map(|p| p["PolicyDocument"]["Statement"].as_array().unwrap()).collect();
            let want = json!({
                "Effect": "Allow", "Action": "sqs:SendMessage",
                "Resource": [target["Arn"], target["DeadLetterConfig"]["Arn"]],
            });
            assert_eq!(statements, [&want], "{path}: {id}");
        }
    }
}

/// The properties of the resources of a type in the live form of a stack.
fn live(stack: &Value, kind: &str) -> Vec<(String, Value)> {
    let all = resources(&stack["live"]).into_iter().filter(|(_, resource)| resource["Type"] == kind);
    all.map(|(id, resource)| (id, resource["Properties"].clone())).collect()
}

#[test]
fn only_this_stacks_rules_may_send_to_a_queue_and_nobody_without_tls() {
    for deployment in deployments() {
        let stacks = rendered(&deployment)["stacks"].take();
        let mut prefixes = BTreeSet::new();
        for (path, stack) in stacks.as_object().unwrap() {
            let policies = live(stack, "AWS::SQS::QueuePolicy");
            for (queue, _) in live(stack, "AWS::SQS::Queue") {
                let place = format!("{deployment}: {path}: {queue}");
                let ours: Vec<_> = policies.iter().filter(|(id, _)| *id == format!("{queue}Policy")).collect();
                let [(_, policy)] = &ours[..] else { panic!("{place} has no policy of its name") };
                let arn = &stack["live"]["Outputs"][format!("{queue}Arn")]["Value"];
                let name = arn.as_str().unwrap().rsplit(':').next().unwrap();
                assert_eq!(policy["Queues"].as_array().unwrap().len(), 1, "{place}");
                assert!(policy["Queues"][0].as_str().unwrap().ends_with(&format!("/{name}")), "{place}");
                let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().clone();
                let (allowed, denied): (Vec<_>, Vec<_>) = statements.into_iter().partition(|s| s["Effect"] == "Allow");
                let without_tls = json!({
                    "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": arn,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                });
                assert_eq!(denied, [without_tls], "{place}");
                // What the function itself dead-letters comes with its role.
                let prefix = stack["live"]["Outputs"]["RuleNamePrefix"]["Value"].as_str().unwrap();
                let by_rules = json!({
                    "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
                    "Resource": arn, "Condition": {"ArnLike": {"aws:SourceArn": rule_arn(&format!("{prefix}-*"))}},
                });
                // Topics of the account may send to a queue whose messages have something to say.
                let by_topics = json!({
                    "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                    "Resource": arn, "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
                });
                let want = match (queue.as_str(), path.as_str()) {
                    ("DeadLetters", _) => vec![],
                    ("Triggers", "Alerting/Queues") => vec![by_rules, by_topics],
                    _ => vec![by_rules],
                };
                assert_eq!(allowed, want, "{place}");
                // Of the id of the stack, so that no other stack of the account has rules of such a name.
                assert_eq!(
                    Some(prefix),
                    stack["id"].as_str().unwrap().rsplit('/').next().map(|id| format!("neo4j-{id}")).as_deref()
                );
                prefixes.insert(prefix.to_owned());
            }
        }
        assert_eq!(prefixes.len(), of_deployment(&deployment).len(), "{deployment}");
    }
}

fn rule_arn(name: &str) -> String {
    format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}")
}

#[test]
fn each_rule_has_a_name_that_the_policies_of_its_queues_allow() {
    for deployment in deployments() {
        let stacks = rendered(&deployment)["stacks"].take();
        let mut names = BTreeSet::new();
        for (path, stack) in stacks.as_object().unwrap() {
            let queues = if path == "root" { "Queues".to_owned() } else { format!("{path}/Queues") };
            for (id, rule) in live(stack, "AWS::Events::Rule") {
                let place = format!("{deployment}: {path}: {id}");
                let name = rule["Name"].as_str().unwrap();
                let outputs = &stacks[&queues]["live"]["Outputs"];
                let prefix =
                    outputs["RuleNamePrefix"]["Value"].as_str().unwrap_or_else(|| panic!("{place}: no queues"));
                assert_eq!(name, format!("{prefix}-{id}"), "{place}");
                assert!(name.len() <= 64, "{place}: EventBridge takes no longer name than 64: {name}");
                assert!(names.insert(name.to_owned()), "{place}: {name} is there twice");
                for target in rule["Targets"].as_array().unwrap() {
                    assert!(target["RoleArn"].is_null(), "{place}: the policy of the queue lets a rule send, no role");
                    let queues = [&outputs["TriggersArn"]["Value"], &outputs["SpotEndingsArn"]["Value"]];
                    assert!(target["Arn"].is_string() && queues.contains(&&target["Arn"]), "{place}");
                    assert_eq!(target["DeadLetterConfig"]["Arn"], outputs["UndeliveredArn"]["Value"], "{place}");
                }
            }
        }
        assert!(!names.is_empty(), "{deployment} has no rules");
    }
}

#[test]
fn alarms_of_the_account_may_invoke_the_router_and_nobody_else_any_function() {
    let [(id, permission)] = &of_type("AWS::Lambda::Permission")[..] else { panic!("one permission") };
    let wanted = json!({
        "FunctionName": {"Ref": "Router"}, "Action": "lambda:InvokeFunction",
        "Principal": "lambda.alarms.cloudwatch.amazonaws.com", "SourceAccount": {"Ref": "AWS::AccountId"},
    });
    assert_eq!(permission, &wanted, "{id}");
    // Lambda itself polls the queue, and CloudFormation invokes with the rights of whoever deploys.
    for kind in ["AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission"] {
        assert_eq!(of_type(kind), [], "{kind}");
    }
    for (id, function) in of_type("AWS::Serverless::Function") {
        for made_by_sam in ["Events", "FunctionUrlConfig", "EventInvokeConfig", "Policies", "DeadLetterQueue"] {
            assert!(function[made_by_sam].is_null(), "{id}: SAM would write rights for its {made_by_sam}");
        }
    }
    for (id, mapping) in of_type("AWS::Lambda::EventSourceMapping") {
        assert!(!mapping["EventSourceArn"]["Fn::GetAtt"].is_null(), "{id} polls the queue of its own stack");
    }
}
