//! Who may delete, and that each role may do what its function does, and no more.

use std::collections::BTreeSet;

use cluster_core::backup::Layout;
use cluster_facts::template::read;
use cluster_sim::{
    cluster::Cluster,
    events::messages,
    functions::{BACKUP_PRUNER, BACKUP_SCHEDULER},
    time::{minutes, play},
    wire::Fault,
};
use cluster_world::{Context, queue_arn};
use serde_json::json;

use super::fill;
use crate::{
    iam::{Around, Question, Rendered, Statement, questions, strings},
    template::everything,
};

/// Variables whose values the rights of backup-scheduler name.
const OF_THE_SCHEDULER: [&str; 6] =
    ["BACKUP_BUCKET", "STATE_TABLE", "JOB_DEFINITION", "JOB_QUEUE", "ON_DEMAND_JOB_QUEUE", "JOB_LOG_GROUP"];

#[test]
fn one_role_may_delete_and_none_may_delete_versions_or_lift_a_lock() {
    let (mut allowed, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for (path, id, resource) in everything() {
        let policies = resource["Properties"]["Policies"].as_array().cloned().unwrap_or_default();
        // A policy under a condition is the second part of an `Fn::If`.
        let policies =
            policies.iter().map(|policy| policy["Fn::If"].get(1).unwrap_or(policy)["PolicyDocument"].clone());
        let documents = policies.chain([resource["Properties"]["PolicyDocument"].clone()]);
        let statements = documents.flat_map(|document| document["Statement"].as_array().cloned().unwrap_or_default());
        // And a statement under one the third, where it is only for some.
        for statement in statements.map(|statement| statement["Fn::If"].get(2).cloned().unwrap_or(statement)) {
            let list = if statement["Effect"] == "Allow" { &mut allowed } else { &mut denied };
            let of_s3 = strings(&statement["Action"]).into_iter().filter(|action| action.starts_with("s3:"));
            list.extend(of_s3.map(|action| format!("{path}: {id}: {action}")));
        }
    }
    let may: Vec<_> = allowed.iter().filter(|line| !line.contains("s3:Get") && !line.contains("s3:List")).collect();
    insta::assert_snapshot!(may.into_iter().cloned().collect::<Vec<_>>().join("\n"), @r"
    infra/backup-job.yaml: JobRole: s3:AbortMultipartUpload
    infra/backup-job.yaml: JobRole: s3:PutObject
    infra/pruning.yaml: PrunerRole: s3:DeleteObject
    infra/pruning.yaml: PrunerRole: s3:PutObject
    infra/scheduling.yaml: SchedulerRole: s3:PutObject
    ");
    insta::assert_snapshot!(denied.into_iter().collect::<Vec<_>>().join("\n"), @r"
    infra/backups.yaml: BucketPolicy: s3:*
    infra/pruning.yaml: PrunerRole: s3:BypassGovernanceRetention
    infra/pruning.yaml: PrunerRole: s3:DeleteObjectVersion
    infra/scheduling.yaml: SchedulerRole: s3:BypassGovernanceRetention
    infra/scheduling.yaml: SchedulerRole: s3:DeleteObject
    infra/scheduling.yaml: SchedulerRole: s3:DeleteObjectVersion
    ");
}

/// Returns the rights of a function, in the names of a cluster, and what it is denied.
fn rights(cluster: &Cluster, stack: &str, variables: &[&str]) -> (Vec<Statement>, Vec<Statement>) {
    let function = Rendered::of("default", stack);
    let mut names: Vec<_> =
        variables.iter().map(|name| (function.variable(name), cluster.variable(name).to_owned())).collect();
    let dead_letters = queue_arn(cluster.variable("DEAD_LETTER_QUEUE_URL"));
    names.push((Around::of("default", stack).dead_letters, dead_letters));
    let denied = function.denials(&names[..1]);
    (function.rights(&names), denied)
}

/// Asserts that whatever was asked is allowed and not denied, and returns the rights that nobody used: (action, resource).
pub(crate) fn unused(
    asked: &BTreeSet<Question>,
    allowed: &[Statement],
    denied: &[Statement],
) -> BTreeSet<(String, String)> {
    for question in asked {
        assert!(allowed.iter().any(|statement| statement.allows(question)), "not allowed: {question:?}");
        assert!(!denied.iter().any(|statement| statement.allows(question)), "denied: {question:?}");
    }
    let mut unused = BTreeSet::new();
    for statement in allowed {
        for (action, resource) in statement.actions.iter().flat_map(|a| statement.resources.iter().map(move |r| (a, r)))
        {
            let one =
                Statement { actions: vec![action.clone()], resources: vec![resource.clone()], ..statement.clone() };
            if !asked.iter().any(|question| one.allows(question)) {
                unused.insert((action.clone(), resource.clone()));
            }
        }
    }
    unused
}

/// What Lambda does in the name of a function that answers no custom resource.
pub(crate) fn in_its_name(around: &Around) -> BTreeSet<(String, String)> {
    let all = [
        ("sqs:ReceiveMessage", around.triggers.as_str()),
        ("sqs:DeleteMessage", around.triggers.as_str()),
        ("sqs:GetQueueAttributes", around.triggers.as_str()),
        ("logs:CreateLogStream", around.log_streams.as_str()),
        ("logs:PutLogEvents", around.log_streams.as_str()),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
        // Whoever invokes it asynchronously, and fails three times, finds it there.
        ("sqs:SendMessage", around.undelivered.as_str()),
    ];
    all.into_iter().map(|(action, resource)| (action.to_owned(), resource.to_owned())).collect()
}

fn subject(function: &'static str) -> Cluster {
    let mut cluster = Cluster::formed(3).only(&[function]);
    cluster.subject = function;
    cluster
}

/// Plays runs of the pruner that delete, a look, and a message that nobody can read.
fn life_of_the_pruner() -> (Cluster, BTreeSet<Question>) {
    play(async {
        let cluster = subject(BACKUP_PRUNER);
        fill(&cluster);
        let bucket = cluster.variable("BACKUP_BUCKET").to_owned();
        let before = cluster.wire.world().bucket(&bucket).objects.len();
        let began = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        cluster.invoke(json!({})).await.unwrap();
        cluster.invoke(messages(&["not json".to_owned()])).await.unwrap();
        assert!(cluster.wire.world().bucket(&bucket).objects.len() < before, "nothing was deleted");
        let asked = questions(&cluster.wire.world()).split_off(began);
        (cluster, asked.into_iter().flatten().collect())
    })
}

#[test]
fn the_pruner_may_do_whatever_it_does_and_does_whatever_it_may() {
    let (cluster, asked) = life_of_the_pruner();
    let (allowed, denied) = rights(&cluster, "Pruning", &["BACKUP_BUCKET"]);
    let chains = format!("arn:aws:s3:::{}/neo4j/chains/*", cluster.variable("BACKUP_BUCKET"));
    let mut with_a_reason = in_its_name(&Around::of("default", "Pruning"));
    // A HEAD tells of locks and holds to whoever may read them, and to nobody else: API reference of HeadObject.
    for action in ["s3:GetObjectRetention", "s3:GetObjectLegalHold"] {
        with_a_reason.insert((action.to_owned(), chains.clone()));
    }
    let unused = unused(&asked, &allowed, &denied);
    assert_eq!(unused, with_a_reason, "left: rights that nobody uses; right: those with a reason");
}

#[test]
fn the_pruner_sees_what_forbids_a_deletion_and_touches_no_more_than_its_cluster() {
    let (cluster, asked) = life_of_the_pruner();
    let (allowed, denied) = rights(&cluster, "Pruning", &["BACKUP_BUCKET"]);
    let may = |action: &str, resource: &str, context: &Context| {
        let question = Question { action: action.to_owned(), resource: resource.to_owned(), context: context.clone() };
        let is = |statements: &[Statement]| statements.iter().any(|statement| statement.allows(&question));
        is(&allowed) && !is(&denied)
    };
    let none = Context::new();
    let deleted: Vec<_> = asked.iter().filter(|question| question.action == "s3:DeleteObject").collect();
    assert!(!deleted.is_empty());
    for question in deleted.iter().filter(|question| question.resource.contains("/chains/")) {
        for action in ["s3:GetObject", "s3:GetObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectTagging"] {
            assert!(
                may(action, &question.resource, &none),
                "{} is deleted, and {action} is not allowed",
                question.resource
            );
        }
        for never in ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObject", "s3:PutObjectRetention"]
        {
            assert!(!may(never, &question.resource, &none), "{never}");
        }
    }
    let object = |key: &str| format!("arn:aws:s3:::{}/{key}", cluster.variable("BACKUP_BUCKET"));
    assert!(may("s3:DeleteObject", &object("neo4j/manifests/neo4j/x.json"), &none));
    assert!(!may("s3:DeleteObject", &object("neo4j/reports/prune-x.txt"), &none), "a report");
    assert!(
        !may("s3:DeleteObject", &object("neo4j-2/chains/neo4j/x/y.backup"), &none),
        "a cluster whose name begins alike"
    );
    assert!(!may("s3:DeleteObject", "arn:aws:s3:::other/neo4j/chains/x", &none), "another bucket");
    let lists = |prefix: &str| {
        let context = Context::from([("s3:prefix".to_owned(), [prefix.to_owned()].into())]);
        may("s3:ListBucket", &format!("arn:aws:s3:::{}", cluster.variable("BACKUP_BUCKET")), &context)
    };
    assert!(lists("neo4j/chains/") && !lists("") && !lists("neo4j-2/chains/"));
    for never in ["s3:PutLifecycleConfiguration", "s3:PutBucketVersioning", "s3:DeleteBucket"] {
        assert!(!may(never, &format!("arn:aws:s3:::{}", cluster.variable("BACKUP_BUCKET")), &none), "{never}");
    }
}

#[test]
fn the_scheduler_may_write_what_it_remembers_and_manifests_and_delete_no_backup() {
    let cluster = subject(BACKUP_SCHEDULER);
    let (allowed, denied) = rights(&cluster, "Scheduling", &OF_THE_SCHEDULER);
    let may = |action: &str, resource: &str, context: &[(&str, &str)]| {
        let context = context.iter().map(|(key, value)| ((*key).to_owned(), [(*value).to_owned()].into())).collect();
        let question = Question { action: action.to_owned(), resource: resource.to_owned(), context };
        let is = |statements: &[Statement]| statements.iter().any(|statement| statement.allows(&question));
        is(&allowed) && !is(&denied)
    };
    let object = |key: &str| format!("arn:aws:s3:::{}/{key}", cluster.variable("BACKUP_BUCKET"));
    assert!(may("s3:PutObject", &object("neo4j/manifests/neo4j/x.json"), &[]));
    assert!(!may("s3:PutObject", &object("neo4j/chains/neo4j/x/y.backup"), &[]), "the job writes backups");
    assert!(
        !may("s3:GetObject", &object("neo4j/chains/neo4j/x/y.backup"), &[]),
        "what is in a backup is none of its business"
    );
    assert!(!may("s3:DeleteObject", &object("neo4j/manifests/neo4j/x.json"), &[]));
    let table = format!("arn:aws:dynamodb:eu-west-1:000000000000:table/{}", cluster.variable("STATE_TABLE"));
    for action in ["dynamodb:PutItem", "dynamodb:DeleteItem"] {
        assert!(may(action, &table, &[("dynamodb:LeadingKeys", "backup")]), "{action}");
        for partition in ["cluster", "clock"] {
            assert!(!may(action, &table, &[("dynamodb:LeadingKeys", partition)]), "{action} of {partition}");
        }
    }
    for submitted in ["JOB_DEFINITION", "JOB_QUEUE", "ON_DEMAND_JOB_QUEUE"] {
        assert!(may("batch:SubmitJob", cluster.variable(submitted), &[]), "{submitted}");
    }
    assert!(!may("batch:SubmitJob", "arn:aws:batch:eu-west-1:000000000000:job-queue/other", &[]));
    for never in ["ecs:StopTask", "ecs:UpdateService", "batch:RegisterJobDefinition", "iam:PassRole"] {
        assert!(!may(never, "*", &[]), "{never}");
    }
}

/// Plays a full backup whose submission nobody hears of, a differential, one whose job finds no Spot capacity, and a message that nobody can read.
fn life_of_the_scheduler() -> (Cluster, BTreeSet<Question>) {
    play(async {
        let cluster = subject(BACKUP_SCHEDULER);
        let began = cluster.wire.world().calls.len();
        cluster.wire.plan_for("batch:SubmitJob", 1, Fault::ResetAfterEffect);
        slot(&cluster, "Full").await;
        cluster.live(minutes(60)).await;
        slot(&cluster, "Differential").await;
        cluster.live(minutes(60)).await;
        let spot = cluster.variable("JOB_QUEUE").rsplit('/').next().unwrap().to_owned();
        cluster.wire.world().batch.queues.get_mut(&spot).unwrap().capacity = Some(0);
        slot(&cluster, "Differential").await;
        cluster.live(minutes(60)).await;
        cluster.invoke(messages(&["not json".to_owned()])).await.unwrap();
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        // Slots are remembered for two days.
        cluster.live_without_events(minutes(50 * 60)).await;
        let (bucket, layout) =
            (cluster.variable("BACKUP_BUCKET").to_owned(), Layout::new(cluster.variable("BACKUP_PREFIX")));
        let manifests = layout.manifests_of_all();
        let world = cluster.wire.world().clone();
        let kept = world.s3.buckets[&bucket].objects.keys().filter(|key| key.starts_with(&manifests)).count();
        assert!(kept > 0, "no manifest was written");
        (cluster, questions(&world).split_off(began).into_iter().flatten().collect())
    })
}

/// Lets a schedule send what it sends.
async fn slot(cluster: &Cluster, schedule: &str) {
    let input = read("infra/scheduling.yaml")["Resources"][schedule]["Properties"]["Target"]["Input"].take();
    let now = cluster.wire.world().now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body = input.as_str().unwrap().replace("<aws.scheduler.scheduled-time>", &now);
    _ = cluster.invoke(messages(&[body])).await;
}

#[test]
fn the_scheduler_may_do_whatever_it_does_and_does_whatever_it_may() {
    let (cluster, asked) = life_of_the_scheduler();
    let mut names = OF_THE_SCHEDULER.to_vec();
    names.extend(["ECS_CLUSTER", "GATEWAY_FUNCTION", "MONITOR_SECRET_ARN"]);
    let (allowed, denied) = rights(&cluster, "Scheduling", &names);
    let unused = unused(&asked, &allowed, &denied);
    let with_a_reason = in_its_name(&Around::of("default", "Scheduling"));
    assert_eq!(unused, with_a_reason, "left: rights that nobody uses; right: those with a reason");
}
