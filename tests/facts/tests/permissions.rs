//! Who may do what: the replicator's rights are exactly what it does, and nobody else can wake it or become it.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::template::{all, read, resources};
use cluster_sim::inside::{CLUSTER, DEAD_LETTERS, DOMAIN, Inside, messages, play};
use cluster_world::{ACCOUNT, REGION, cloud_map, queue_arn, route53};
use serde_json::{Value, json};

use crate::iam::{Question, Statement, questions, rights, strings};

const OTHER_DOMAIN: &str = "graph.neo4j.service";
const TASK: &str = "0123456789abcdef0123456789abcdef";
const TRIGGERS: &str = "arn:aws:sqs:eu-west-1:000000000000:triggers.fifo";
const UNDELIVERED: &str = "arn:aws:sqs:eu-west-1:000000000000:undelivered";
const LOG_STREAMS: &str = "arn:aws:logs:eu-west-1:000000000000:log-group:replicator:log-stream:*";

fn of_type(kind: &str) -> Vec<(String, Value)> {
    all().iter().flat_map(|path| of_template(path, kind)).collect()
}

/// The resources of a type in one template: (logical id, properties).
fn of_template(path: &str, kind: &str) -> Vec<(String, Value)> {
    let all = resources(&read(path)).into_iter().filter(|(_, resource)| resource["Type"] == kind);
    all.map(|(id, resource)| (id, resource["Properties"].clone())).collect()
}

/// What the template's names are in the world.
fn names(inside: &Inside, domain: &str) -> BTreeMap<String, String> {
    let world = inside.wire.world();
    let (namespace, of_cloud_map) = world.cloud_map.namespaces.iter().next().unwrap();
    let [core, replica] = inside.registries.each_ref().map(|id| (id.clone(), cloud_map::arn("service", id)));
    let names = [
        ("AWS::Partition", "aws".to_owned()),
        ("AWS::Region", REGION.to_owned()),
        ("AWS::AccountId", ACCOUNT.to_owned()),
        ("ClusterName", CLUSTER.to_owned()),
        ("DomainName", domain.to_owned()),
        ("HostedZoneId", String::new()),
        ("EcsClusterName", CLUSTER.to_owned()),
        ("CoreServiceName", "core".to_owned()),
        ("ReplicaServiceName", "replica".to_owned()),
        ("Zone", inside.zone.clone()),
        ("Namespace", namespace.clone()),
        ("Namespace.HostedZoneId", of_cloud_map.zone.clone()),
        ("CoreRegistry", core.0),
        ("CoreRegistry.Arn", core.1),
        ("ReplicaRegistry", replica.0),
        ("ReplicaRegistry.Arn", replica.1),
        ("ReplicatorRole", "role".to_owned()),
        ("ReplicatorLogs", "replicator".to_owned()),
        ("Triggers.Arn", TRIGGERS.to_owned()),
        ("DeadLetters.Arn", queue_arn(DEAD_LETTERS)),
        ("Undelivered.Arn", UNDELIVERED.to_owned()),
    ];
    names.map(|(name, value)| (name.to_owned(), value)).into()
}

fn replicators_rights(names: &BTreeMap<String, String>) -> Vec<Statement> {
    rights("infra/discovery.yaml", "Replicator", names)
}

/// The whole life of a stack, in three chapters: under its first domain, while its domain changes, and under the second.
struct Life {
    inside: Inside,
    chapters: [Vec<Vec<Question>>; 3],
}

fn whole_life() -> Life {
    play(async {
        let inside = Inside::new();
        let marks = [life_under(&inside).await, {
            let moved = inside.with("DOMAIN", OTHER_DOMAIN);
            let old = inside.custom_resource("Delete", Some("old"));
            let mut update = moved.custom_resource("Update", Some("old"));
            update["OldResourceProperties"] = old["ResourceProperties"].clone();
            succeeds(&moved, update).await;
            leave_something_behind(&inside, DOMAIN);
            inside.wire.sleep(5).await;
            succeeds(&moved, old).await;
            inside.wire.world().calls.len()
        }];
        let moved = inside.with("DOMAIN", OTHER_DOMAIN);
        life_under(&moved).await;
        leave_something_behind(&inside, OTHER_DOMAIN);
        inside.wire.sleep(5).await;
        succeeds(&moved, moved.custom_resource("Delete", Some("new"))).await;
        assert_eq!(inside.wire.world().route53.zones[&inside.zone].written(), 0, "the story ends with nothing left");
        let mut first = questions(&inside.wire.world());
        let (third, second) = (first.split_off(marks[1]), first.split_off(marks[0]));
        Life { inside, chapters: [first, second, third] }
    })
}

/// Creation, members that join, fail, and leave, a message that nobody can read, a person who asks.
async fn life_under(inside: &Inside) -> usize {
    succeeds(inside, inside.custom_resource("Create", None)).await;
    inside.scale("core", 3);
    inside.scale("replica", 2);
    inside.wire.sleep(60).await;
    inside.sweep().await.unwrap();
    let ill = inside.a_task("core");
    inside.wire.world().fail_health(CLUSTER, &ill);
    inside.sweep().await.unwrap();
    inside.invoke(messages(&["not json".to_owned()])).await.unwrap();
    inside.invoke(json!({"dryRun": true})).await.unwrap();
    let mut guard = inside.custom_resource("Delete", Some("guard"));
    guard["ResourceType"] = json!("Custom::DnsGuard");
    inside.invoke(guard.clone()).await.unwrap();
    assert_eq!(inside.last_answer().unwrap()["Status"], json!("FAILED"), "members run");
    for service in ["core", "replica"] {
        inside.wire.world().scale(CLUSTER, service, 0);
    }
    inside.wire.sleep(120).await;
    inside.sweep().await.unwrap();
    succeeds(inside, guard).await;
    inside.wire.world().calls.len()
}

/// Invokes until the function does not ask to be invoked again, and CloudFormation hears of success.
async fn succeeds(inside: &Inside, request: Value) {
    while inside.invoke(request.clone()).await.is_err() {
        inside.wire.sleep(60).await;
    }
    assert_eq!(inside.last_answer().unwrap()["Status"], json!("SUCCESS"));
}

/// A record of a pass that died, and what ECS forgot to deregister.
fn leave_something_behind(inside: &Inside, domain: &str) {
    let mut world = inside.wire.world();
    let now = world.now;
    for (tier, registry) in ["core", "replica"].iter().zip(&inside.registries) {
        world.cloud_map.register(registry, TASK, [], true, now);
        let set = route53::RecordSet::multivalue(&format!("{tier}.{domain}"), &format!("{CLUSTER}/{TASK}"), "10.0.9.9");
        world.route53.zones.get_mut(&inside.zone).unwrap().put(set);
    }
}

#[test]
fn the_replicator_may_do_whatever_it_does_in_its_whole_life() {
    let Life { inside, chapters } = whole_life();
    let (first, second) =
        (replicators_rights(&names(&inside, DOMAIN)), replicators_rights(&names(&inside, OTHER_DOMAIN)));
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
    let Life { inside, chapters } = whole_life();
    let names = names(&inside, DOMAIN);
    let done: BTreeSet<_> = chapters[..2].iter().flatten().flatten().cloned().collect();
    let (mut unused, mut said) = (BTreeSet::new(), BTreeSet::new());
    let mut changed = BTreeMap::<_, BTreeSet<String>>::new();
    for statement in replicators_rights(&names) {
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
            said.insert((key.clone(), strings(values).into_iter().collect::<BTreeSet<_>>()));
        }
    }
    let changed: BTreeSet<_> = changed.into_iter().map(|(key, values)| (key.clone(), values)).collect();
    assert_eq!(said, changed, "the conditions allow what is written, and no more");

    let queue = "Lambda polls the queue with the function's role";
    let logs = "Lambda writes what the function prints";
    let traces = "Lambda sends the function's traces";
    let in_its_name = [
        ("sqs:ReceiveMessage", TRIGGERS, queue),
        ("sqs:DeleteMessage", TRIGGERS, queue),
        ("sqs:GetQueueAttributes", TRIGGERS, queue),
        ("sqs:SendMessage", UNDELIVERED, "Lambda sends a request of CloudFormation there that failed three times"),
        ("logs:CreateLogStream", LOG_STREAMS, logs),
        ("logs:PutLogEvents", LOG_STREAMS, logs),
        ("xray:PutTraceSegments", "*", traces),
        ("xray:PutTelemetryRecords", "*", traces),
        (
            "route53:ChangeResourceRecordSets",
            &route53::arn(&names["Namespace.HostedZoneId"]),
            "Cloud Map deletes the records of an instance that is deregistered in the caller's name",
        ),
    ];
    let in_its_name = in_its_name.map(|(action, resource, _)| (action.to_owned(), resource.to_owned()));
    assert_eq!(unused, BTreeSet::from(in_its_name), "left: rights that nobody uses; right: those with a reason");
}

#[test]
fn the_replicator_may_not_touch_what_is_not_its_own() {
    let inside = Inside::new();
    let names = names(&inside, DOMAIN);
    let rights = replicators_rights(&names);
    let asks = |action: &str, resource: &str, batch: &[(&str, &str, &str)]| {
        let set = |name, kind| route53::RecordSet::simple(name, kind, 10, &["10.0.0.1"]);
        let batch: Vec<_> = batch.iter().map(|(action, name, kind)| (*action, set(name, kind))).collect();
        let (action, resource, context) = (action.to_owned(), resource.to_owned(), route53::circumstances(&batch));
        let question = Question { action, resource, context };
        rights.iter().any(|statement| statement.allows(&question))
    };
    let (zone, core) = (route53::arn(&inside.zone), names["CoreRegistry.Arn"].as_str());
    let writes = |batch: &[(&str, &str, &str)]| asks("route53:ChangeResourceRecordSets", &zone, batch);
    assert!(writes(&[("CREATE", "core.neo4j.service", "A"), ("DELETE", "Replica.Neo4j.Service.", "A")]));
    assert!(!writes(&[("CREATE", "core.neo4j.service", "A"), ("CREATE", "www.neo4j.service", "A")]), "another name");
    assert!(!writes(&[("CREATE", "neo4j.service", "A")]), "the domain itself");
    assert!(!writes(&[("CREATE", "core.neo4j.service", "CNAME")]), "another type");
    assert!(!writes(&[("UPSERT", "core.neo4j.service", "A")]), "an overwriting change");
    let own = [("CREATE", "core.neo4j.service", "A")];
    assert!(!asks("route53:ChangeResourceRecordSets", &route53::arn("ZOTHER"), &own), "another zone");
    assert!(asks("servicediscovery:DeregisterInstance", core, &[]));
    assert!(!asks("servicediscovery:RegisterInstance", core, &[]));
    assert!(!asks("servicediscovery:DeregisterInstance", &cloud_map::arn("service", "srv-other"), &[]));
    let task = |cluster: &str| format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{TASK}");
    assert!(asks("ecs:DescribeTasks", &task(CLUSTER), &[]));
    assert!(!asks("ecs:DescribeTasks", &task("neo4j-2"), &[]), "a cluster whose name begins alike");
    assert!(!asks("ecs:StopTask", &task(CLUSTER), &[]));
    assert!(!asks("sqs:SendMessage", TRIGGERS, &[]), "it must not wake itself");
}

#[test]
fn a_role_is_taken_by_the_one_service_that_needs_it() {
    let mut roles = BTreeSet::new();
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
            let machines = of_template(&path, "AWS::IAM::InstanceProfile").into_iter();
            let machines = machines.filter(|(_, p)| p["Roles"] == json!([{"Ref": id}])).count();
            // Anybody's schedule or task could name the role otherwise.
            let (service, condition) = match (functions.count(), schedules, machines) {
                (1, 0, 0) => ("lambda.amazonaws.com", Value::Null),
                (0, 1, 0) => ("scheduler.amazonaws.com", here.clone()),
                (0, 0, 1) => ("ec2.amazonaws.com", Value::Null),
                (0, 0, 0) if id == "ExecutionRole" => ("ecs-tasks.amazonaws.com", here.clone()),
                other => panic!("{path}: {id} is the role of {other:?}"),
            };
            assert_eq!(statement["Principal"], json!({"Service": service}), "{id}");
            assert_eq!(statement["Condition"], condition, "{id}");
            roles.insert(id);
        }
    }
    let want = ["DrainerRole", "ExecutionRole", "InstanceRole", "ReplicatorRole", "SweepRole"];
    assert_eq!(roles, want.map(str::to_owned).into());
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

#[test]
fn only_the_rules_that_send_to_a_queue_may_and_nobody_without_tls() {
    let queue_of = |id: &str| json!({"Fn::GetAtt": [id, "Arn"]});
    for path in all() {
        let mut senders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (rule, properties) in of_template(&path, "AWS::Events::Rule") {
            for target in properties["Targets"].as_array().unwrap() {
                assert!(target["RoleArn"].is_null(), "{rule}: a queue is sent to by right of its policy");
                for arn in [&target["Arn"], &target["DeadLetterConfig"]["Arn"]] {
                    let queue = arn["Fn::GetAtt"][0].as_str().unwrap().to_owned();
                    senders.entry(queue).or_default().insert(rule.clone());
                }
            }
        }
        let policies = of_template(&path, "AWS::SQS::QueuePolicy");
        for (queue, _) in of_template(&path, "AWS::SQS::Queue") {
            let ours: Vec<_> = policies.iter().filter(|(_, p)| p["Queues"] == json!([{"Ref": queue}])).collect();
            assert_eq!(ours.len(), 1, "{path}: {queue} has one policy");
            let statements = ours[0].1["PolicyDocument"]["Statement"].as_array().unwrap().clone();
            let (allowed, denied): (Vec<_>, Vec<_>) = statements.into_iter().partition(|s| s["Effect"] == "Allow");
            let rules = senders.remove(&queue).unwrap_or_default();
            let mut sources: Vec<_> = rules.iter().map(|rule| queue_of(rule)).collect();
            let want: Vec<_> = (!sources.is_empty())
                .then(|| if sources.len() == 1 { sources.remove(0) } else { json!(sources) })
                .map(|sources| {
                    json!({
                        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage", "Resource": queue_of(&queue),
                        "Condition": {"ArnEquals": {"aws:SourceArn": sources}},
                    })
                })
                .into_iter()
                .collect();
            assert_eq!(allowed, want, "{path}: {queue}");
            let without_tls = json!({
                "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue_of(&queue),
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            });
            assert_eq!(denied, [without_tls], "{path}: {queue}");
        }
        assert!(senders.is_empty(), "sent to, but no queue of ours: {senders:?}");
    }
}

#[test]
fn nobody_is_given_the_right_to_invoke_a_function() {
    // Lambda itself polls the queue, and CloudFormation invokes with the rights of whoever deploys.
    for kind in ["AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission"] {
        assert_eq!(of_type(kind), [], "{kind}");
    }
    for (id, function) in of_type("AWS::Serverless::Function") {
        for made_by_sam in ["Events", "FunctionUrlConfig", "EventInvokeConfig", "Policies", "DeadLetterQueue"] {
            assert!(function[made_by_sam].is_null(), "{id}: SAM would write rights for its {made_by_sam}");
        }
    }
    for (id, mapping) in of_type("AWS::Lambda::EventSourceMapping") {
        assert!(!mapping["EventSourceArn"]["Fn::GetAtt"].is_null(), "{id} polls a queue of this template");
    }
}
