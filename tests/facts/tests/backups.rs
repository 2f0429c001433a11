//! Facts about backups: what the bucket keeps, who may delete, and that each role may do what its function does, and no more.

use std::collections::BTreeSet;

use cluster_core::backup::{Artifact, Backup, ChainId, JobName, Kind, Layout, Manifest, Verdict};
use cluster_facts::{
    root,
    template::{deployments, read, rendered, resources},
};
use cluster_sim::{
    cluster::Cluster,
    events::messages,
    functions::{BACKUP_PRUNER, BACKUP_SCHEDULER},
    time::{minutes, play},
    wire::Fault,
};
use cluster_world::{Context, queue_arn};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    iam::{Around, Question, Rendered, Statement, questions, strings},
    template::everything,
};

/// Variables whose values the rights of backup-scheduler name.
const OF_THE_SCHEDULER: [&str; 6] =
    ["BACKUP_BUCKET", "STATE_TABLE", "JOB_DEFINITION", "JOB_QUEUE", "ON_DEMAND_JOB_QUEUE", "JOB_LOG_GROUP"];
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Puts a full backup a day of one database into the cluster's bucket, for as many days as no policy keeps whole.
pub(crate) fn fill(cluster: &Cluster) {
    let mut cluster = cluster.clone();
    cluster.subject = BACKUP_PRUNER;
    let (bucket, layout) = (cluster.variable("BACKUP_BUCKET"), Layout::new(cluster.variable("BACKUP_PREFIX")));
    let mut world = cluster.wire.world();
    let now = world.now;
    for day in 1..=60 {
        put(world.bucket(bucket), &layout, now - DAY * day);
    }
}

fn put(bucket: &mut cluster_world::s3::Bucket, layout: &Layout, slot: Timestamp) {
    let (database, chain) = ("neo4j", ChainId::new(slot, 1));
    let file = format!("{database}-{}.backup", slot.strftime("%Y-%m-%dT%H-%M-%S"));
    bucket.put(&format!("{}{file}", layout.folder(database, chain)), "", 1000, slot);
    let artifact = Artifact {
        file,
        database: database.to_owned(),
        database_id: "id".to_owned(),
        taken: slot,
        full: true,
        lowest: 1,
        highest: 1000,
        recovered: None,
    };
    let mut manifest = Manifest::new(database, chain);
    manifest.record(Backup {
        job: format!("job-{slot}"),
        slot,
        kind: Kind::Full,
        source: "core 2".to_owned(),
        ended: slot,
        verdict: Verdict::Good,
        reasons: vec![],
        artifact: Some(artifact),
        bytes: 1000,
    });
    let body = serde_json::to_string(&manifest).unwrap();
    bucket.put(&layout.manifest(database, chain), &body, body.len() as u64, slot);
}

/// Every bucket of every deployment: (deployment, the bucket, its policy).
fn buckets() -> Vec<(String, Value, Value)> {
    let of = |deployment: String| {
        let stacks = rendered(&deployment)["stacks"].take();
        let all = stacks.as_object().unwrap().values().flat_map(|stack| resources(&stack["live"])).collect::<Vec<_>>();
        let of_type =
            |kind: &str| all.iter().filter(|(_, r)| r["Type"] == kind).map(|(_, r)| r.clone()).collect::<Vec<_>>();
        let (buckets, policies) = (of_type("AWS::S3::Bucket"), of_type("AWS::S3::BucketPolicy"));
        assert_eq!(buckets.len(), policies.len(), "{deployment}");
        buckets
            .into_iter()
            .zip(policies)
            .map(move |(bucket, policy)| (deployment.clone(), bucket, policy))
            .collect::<Vec<_>>()
    };
    deployments().into_iter().flat_map(of).collect()
}

#[test]
fn the_bucket_keeps_versions_lets_nobody_in_without_tls_and_outlives_the_stack() {
    let found = buckets();
    assert!(found.len() > 5, "{}", found.len());
    for (deployment, bucket, policy) in found {
        for resource in [&bucket, &policy] {
            let policies = (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]);
            assert_eq!(policies, (&json!("Retain"), &json!("Retain")), "{deployment}");
        }
        let bucket = &bucket["Properties"];
        assert!(bucket["BucketName"].is_null(), "{deployment}: a kept bucket would stand in the way of the next");
        assert_eq!(bucket["VersioningConfiguration"]["Status"], json!("Enabled"), "{deployment}");
        assert_eq!(bucket["OwnershipControls"]["Rules"], json!([{"ObjectOwnership": "BucketOwnerEnforced"}]));
        let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
        assert!(blocked.len() == 4 && blocked.values().all(|value| *value == json!(true)), "{deployment}: {blocked:?}");
        let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        let by_kms = encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms";
        assert_eq!(encryption["BucketKeyEnabled"].as_bool().unwrap_or_default(), by_kms, "{deployment}");
        let lock = &bucket["ObjectLockConfiguration"];
        assert!(lock.is_null() || bucket["ObjectLockEnabled"] == true, "{deployment}");
        assert!(lock.is_null() || lock["Rule"]["DefaultRetention"]["Mode"] == "GOVERNANCE", "{deployment}");
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
        let arn = statements[0]["Resource"][0].as_str().unwrap();
        let without_tls = json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        });
        assert_eq!(statements, &[without_tls], "{deployment}");
    }
}

/// S3 knows neither chains nor which backup is good: a rule by age would delete the last ones when backups stop.
#[test]
fn no_rule_of_the_bucket_touches_an_object_that_is_current() {
    for (deployment, bucket, _) in buckets() {
        let mut rules = BTreeSet::new();
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"].as_array().unwrap() {
            assert_eq!(rule["Status"], json!("Enabled"), "{deployment}");
            let acts = rule.as_object().unwrap().iter().filter(|(key, _)| !["Id", "Status"].contains(&key.as_str()));
            rules.extend(acts.map(|(key, value)| format!("{key}: {value}")));
        }
        let harmless = [
            r#"AbortIncompleteMultipartUpload: {"DaysAfterInitiation":7}"#,
            "ExpiredObjectDeleteMarker: true",
            r#"NoncurrentVersionExpiration: {"NoncurrentDays":30}"#,
        ];
        assert_eq!(rules, harmless.map(str::to_owned).into(), "{deployment}");
    }
}

#[test]
fn one_role_may_delete_and_none_may_delete_versions_or_lift_a_lock() {
    let (mut allowed, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for (path, id, resource) in everything() {
        let policies = resource["Properties"]["Policies"].as_array().cloned().unwrap_or_default();
        // A policy under a condition is the second part of an `Fn::If`.
        let policies =
            policies.iter().map(|policy| policy["Fn::If"].get(1).unwrap_or(policy)["PolicyDocument"].clone());
        let documents = policies.chain([resource["Properties"]["PolicyDocument"].clone()]);
        for statement in documents.flat_map(|document| document["Statement"].as_array().cloned().unwrap_or_default()) {
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
fn unused(asked: &BTreeSet<Question>, allowed: &[Statement], denied: &[Statement]) -> BTreeSet<(String, String)> {
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
fn in_its_name(around: &Around) -> BTreeSet<(String, String)> {
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

/// The scheduler waits for a job first: what Batch does by itself is for when it cannot.
#[test]
fn batch_cancels_a_job_that_does_not_start_a_little_after_the_scheduler_would() {
    let stacks = rendered("default")["stacks"].take();
    let scheduler = Rendered::of("default", "Scheduling");
    let start = scheduler.variable("START_TIMEOUT_MINUTES").parse::<u64>().unwrap() * 60;
    let all = resources(&stacks["Backup"]["live"]);
    let queues: Vec<_> = all.iter().filter(|(_, r)| r["Type"] == "AWS::Batch::JobQueue").collect();
    assert_eq!(queues.len(), 2);
    for (id, queue) in queues {
        let queue = &queue["Properties"];
        assert_eq!(queue["ComputeEnvironmentOrder"].as_array().unwrap().len(), 1, "{id}: the scheduler falls back");
        let mut reasons = BTreeSet::new();
        for action in queue["JobStateTimeLimitActions"].as_array().unwrap() {
            assert_eq!((&action["State"], &action["Action"]), (&json!("RUNNABLE"), &json!("CANCEL")), "{id}");
            let after = action["MaxTimeSeconds"].as_u64().unwrap();
            assert!(after > start && after <= 2 * start, "{id}: {after} s, and the scheduler waits for {start} s");
            reasons.insert(action["Reason"].as_str().unwrap().to_owned());
        }
        // https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable_time_limit_actions.html
        let known = [
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        ];
        assert_eq!(reasons, known.map(str::to_owned).into(), "{id}");
    }
}

#[test]
fn an_update_of_the_instances_ends_no_job_and_replaces_no_environment() {
    let stacks = rendered("default")["stacks"].take();
    let longest = Rendered::of("default", "Scheduling").variable("RUN_TIMEOUT_MINUTES");
    let all = resources(&stacks["Backup"]["live"]);
    let mut paid = BTreeSet::new();
    for (id, environment) in all.iter().filter(|(_, r)| r["Type"] == "AWS::Batch::ComputeEnvironment") {
        let environment = &environment["Properties"];
        assert_eq!(environment["ReplaceComputeEnvironment"], json!(false), "{id}");
        // With another role or strategy Batch cannot change it in place:
        // https://docs.aws.amazon.com/batch/latest/userguide/infrastructure-updates.html
        assert!(environment["ServiceRole"].is_null() && environment["ComputeEnvironmentName"].is_null(), "{id}");
        let policy = &environment["UpdatePolicy"];
        assert_eq!(policy["TerminateJobsOnUpdate"], json!(false), "{id}");
        assert_eq!(policy["JobExecutionTimeoutMinutes"], json!(longest), "{id}: as long as a job may run");
        let resources = &environment["ComputeResources"];
        assert_eq!(resources["MinvCpus"], json!(0), "{id}: idle instances cost");
        let text = |key: &str| resources[key].as_str().unwrap().to_owned();
        paid.insert((text("Type"), text("AllocationStrategy")));
    }
    let known = [("EC2", "BEST_FIT_PROGRESSIVE"), ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")];
    assert_eq!(paid, known.map(|(kind, strategy)| (kind.to_owned(), strategy.to_owned())).into());
}

/// On a queue of yours jobs of others end, too.
#[test]
fn the_rule_on_job_ends_knows_the_clusters_jobs_by_their_names() {
    let rule = &read("infra/scheduling.yaml")["Resources"]["JobEnds"];
    let detail = &rule["Properties"]["EventPattern"]["detail"];
    let prefix = detail["jobName"][0]["prefix"].as_str().unwrap().to_owned();
    let due: Timestamp = "2026-11-30T01:00:00Z".parse().unwrap();
    for kind in [Kind::Full, Kind::Differential] {
        let name = JobName { database: "neo4j".to_owned(), slot: kind, attempt: ChainId::new(due, 1) };
        assert!(name.to_string().starts_with(&prefix), "{name}");
    }
    assert_eq!(detail["status"], json!(["SUCCEEDED", "FAILED"]));
}

#[test]
fn the_alarm_on_the_age_of_backups_counts_in_minutes_and_goes_off_when_nobody_tells_it() {
    let alarm = &read("infra/backup-alarms.yaml")["Resources"]["BackupAgeAlarm"]["Properties"];
    assert_eq!(alarm["TreatMissingData"], json!("breaching"));
    assert_eq!(alarm["Threshold"], json!({"Ref": "MaximumAgeMinutes"}));
    assert_eq!(alarm["Metrics"][0]["Expression"], json!("seconds / 60"));
    assert_eq!(alarm["Metrics"][1]["MetricStat"]["Stat"], json!("Maximum"), "the worst database");
}

/// A person's command is run by a shell, whose quotes are easily wrong.
#[test]
fn a_person_asks_for_a_backup_with_the_message_of_the_schedule() {
    let template = read("infra/scheduling.yaml");
    let command = template["Outputs"]["Take"]["Value"]["Fn::Sub"][0].as_str().unwrap();
    assert_eq!(
        read("infra/template.yaml")["Outputs"]["TakeBackup"]["Value"],
        json!({"Fn::GetAtt": ["Scheduling", "Outputs.Take"]})
    );
    let script = format!(
        "aws() {{ for last; do :; done; printf %s \"$last\"; }}\n{}",
        command.replace("${Queue}", "https://queue")
    );
    let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(said.status.success(), "{script}: {said:?}");
    let mut sent: Value = serde_json::from_slice(&said.stdout).unwrap();
    let time: Timestamp = sent["time"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.subsec_nanosecond(), 0, "chains are named by whole seconds");
    let input = &template["Resources"]["Full"]["Properties"]["Target"]["Input"];
    let schedule: Value = serde_json::from_str(input.as_str().unwrap()).unwrap();
    for own in ["id", "time"] {
        assert!(schedule[own].is_string() && sent[own].is_string(), "{own}");
        sent[own] = schedule[own].clone();
    }
    assert_eq!(sent, schedule);
}

/// The page shows what the snapshot of the decision says: its head whole, and of its lines those that say something new.
#[test]
fn the_page_shows_the_report_of_a_year_as_the_snapshot_has_it() {
    let snapshot = "shared/core/src/backup/tests/snapshots/cluster_core__backup__tests__retention__year.snap";
    let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (snapshot, page) = (text(snapshot), text("docs/backups.md"));
    let report = snapshot.splitn(3, "---\n").nth(2).unwrap();
    let section = page.split("\n### A year of hourly backups\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let shown = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    // The first 20 lines, a line with the number of those left out, and the last four.
    let lines: Vec<_> = report.trim_end().lines().collect();
    let (head, rest) = lines.split_at(20);
    let (left_out, tail) = rest.split_at(rest.len() - 4);
    let middle = format!("… {} more lines", left_out.len());
    let wanted: Vec<_> = head.iter().copied().chain([middle.as_str()]).chain(tail.iter().copied()).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), wanted, "left: docs/backups.md, right: the snapshot");
}
