//! What the scheduler leaves in a bucket, whatever becomes of its jobs and of itself.

use std::collections::BTreeMap;

use cluster_core::backup::{Layout, Manifest};
use cluster_lambda::Failure;
use cluster_sim::{
    cluster::Cluster,
    events::messages,
    functions::BACKUP_SCHEDULER,
    time::{Within, hours, minutes, play, seconds, within},
    wire::Fault,
};
use cluster_world::batch::{Outcome, Queue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A cluster of which only the scheduler's function runs, a minute after a quarter of an hour: no schedule is due for long.
fn cluster() -> Cluster {
    let mut cluster = Cluster::formed(3).quiet().only(&[BACKUP_SCHEDULER]);
    cluster.subject = BACKUP_SCHEDULER;
    cluster
}

fn now(cluster: &Cluster) -> Timestamp {
    cluster.wire.world().now
}

/// Sets how many jobs the queue in this variable runs at once.
fn set_capacity(cluster: &Cluster, variable: &str, capacity: Option<usize>) {
    let name = cluster.variable(variable).rsplit('/').next().unwrap().to_owned();
    cluster.wire.world().batch.queues.insert(name, Queue { capacity });
}

/// The message of a slot that is due now.
fn slot_message(cluster: &Cluster, kind: &str) -> String {
    let time = now(cluster).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"source": "neo4j.cluster", "detail-type": "Backup", "time": time, "detail": {"type": kind}}).to_string()
}

async fn slot(cluster: &Cluster, kind: &str) -> Result<Value, Failure> {
    let message = slot_message(cluster, kind);
    cluster.invoke(messages(&[message])).await
}

/// The manifests in the bucket, by database and chain.
fn manifests(cluster: &Cluster) -> BTreeMap<String, Manifest> {
    let layout = Layout::new(cluster.variable("BACKUP_PREFIX"));
    let mut world = cluster.wire.world();
    let bucket = world.bucket(cluster.variable("BACKUP_BUCKET"));
    let ours = bucket.objects.iter().filter(|(key, _)| key.starts_with(&layout.manifests_of_all()));
    let read = ours.filter_map(|(key, _)| {
        let object = bucket.objects.get(key)?;
        Some((key[layout.manifests_of_all().len()..].to_owned(), serde_json::from_str(&object.body).ok()?))
    });
    read.collect()
}

/// Each manifest as kinds and verdicts, such as `full good, differential good`.
fn chains(cluster: &Cluster, database: &str) -> Vec<String> {
    let of_database = |(key, _): &(String, Manifest)| key.starts_with(&format!("{database}/"));
    let told = |manifest: Manifest| {
        let backups = manifest.backups.iter().map(|backup| format!("{} {}", backup.kind, backup.verdict));
        backups.collect::<Vec<_>>().join(", ")
    };
    manifests(cluster).into_iter().filter(of_database).map(|(_, manifest)| told(manifest)).collect()
}

/// The reasons of the last backup of a database.
fn reasons(cluster: &Cluster, database: &str) -> String {
    let all = manifests(cluster);
    let last = all.iter().rev().find(|(key, _)| key.starts_with(database)).and_then(|(_, found)| found.backups.last());
    last.map(|backup| backup.reasons.join("; ")).unwrap_or_default()
}

/// The sum of a count since the beginning.
#[expect(clippy::cast_possible_truncation, reason = "counts are whole")]
fn sum(cluster: &Cluster, name: &str) -> i64 {
    cluster.metrics.lock().unwrap().iter().filter_map(|line| line[name].as_f64()).sum::<f64>() as i64
}

/// How many jobs were submitted, and how many backups are good, failed, unverified, refused; how many jobs were stuck.
fn tally(cluster: &Cluster) -> [i64; 6] {
    ["Submitted", "Good", "Failed", "Unverified", "Refused", "Stuck"]
        .map(|name| sum(cluster, &format!("Backups{name}")))
}

/// The jobs of a database as Batch knows them, in the order in which they were submitted.
fn jobs(cluster: &Cluster, database: &str) -> Vec<String> {
    let world = cluster.wire.world();
    let mut jobs: Vec<_> = world.batch.jobs.values().collect();
    jobs.sort_by_key(|job| job.created);
    let of_database = |job: &&cluster_world::batch::Job| job.environment["BACKUP_DATABASE"] == database;
    jobs.into_iter().filter(of_database).map(|job| job.environment["BACKUP_TYPE"].clone()).collect()
}

/// How long a slot may take, with a queue that has no capacity, or a log that is missing.
const JUDGED: Within = within(minutes(55));

async fn until_judged(cluster: &Cluster) {
    let open = |cluster: &Cluster| {
        let world = cluster.wire.world();
        let items = world.dynamodb.tables.values().flatten();
        items.filter(|(_, item)| item["sk"]["S"].as_str().is_some_and(|sort| sort.starts_with("job/"))).count()
    };
    cluster.until("every job is judged", JUDGED, |cluster| open(cluster) == 0).await;
}

#[test]
fn a_day_of_slots_is_a_full_backup_and_its_differentials_for_each_database() {
    play(async {
        let cluster = cluster();
        cluster.live(hours(26)).await;
        // The first differential had nothing to join. That of 01:00 came a moment before the full one, and joined the old chain.
        for database in ["neo4j", "system"] {
            let chains = chains(&cluster, database);
            let counts: Vec<_> = chains.iter().map(|chain| chain.matches("differential good").count()).collect();
            assert!(chains.iter().all(|chain| chain.starts_with("full good")), "{chains:?}");
            assert_eq!((chains.len(), counts.iter().sum::<usize>()), (2, 25), "{chains:?}");
            assert_eq!(jobs(&cluster, database).iter().filter(|kind| *kind == "FULL").count(), 2);
        }
        assert_eq!(tally(&cluster), [54, 54, 0, 0, 0, 0]);
        let age = cluster.metric("BackupAgeSeconds", None).unwrap();
        assert!(age < 3_600.0, "{age}");
    });
}

#[test]
fn a_sweep_with_nothing_to_do_makes_one_call_and_writes_nothing() {
    play(async {
        let cluster = cluster();
        cluster.live(hours(2)).await;
        until_judged(&cluster).await;
        let before = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(before), (1, 0));
    });
}

#[test]
fn a_slot_that_is_delivered_twice_takes_one_backup() {
    play(async {
        let cluster = cluster();
        let message = slot_message(&cluster, "full");
        for _ in 0..2 {
            cluster.invoke(messages(&[message.clone(), message.clone()])).await.unwrap();
        }
        until_judged(&cluster).await;
        cluster.invoke(messages(&[message])).await.unwrap();
        cluster.live(minutes(3)).await;
        for database in ["neo4j", "system"] {
            assert_eq!(jobs(&cluster, database), ["FULL"]);
            assert_eq!(chains(&cluster, database), ["full good"]);
        }
    });
}

#[test]
fn a_job_without_capacity_goes_to_the_other_queue_and_then_fails_loudly() {
    play(async {
        for (both, want) in [(false, [2 + 2, 2, 0, 0, 0, 2]), (true, [4, 0, 2, 0, 0, 4])] {
            let cluster = cluster();
            set_capacity(&cluster, "JOB_QUEUE", Some(0));
            if both {
                set_capacity(&cluster, "ON_DEMAND_JOB_QUEUE", Some(0));
            }
            slot(&cluster, "full").await.unwrap();
            until_judged(&cluster).await;
            assert_eq!(tally(&cluster), want);
            // What never ran has written nothing: the chain is as it was.
            let expected: Vec<&str> = if both { vec![] } else { vec!["full good"] };
            assert_eq!(chains(&cluster, "neo4j"), expected);
            let age = cluster.metric("BackupAgeSeconds", None).unwrap();
            assert!((both && age > 1_800.0) || (!both && age < 1_800.0), "{age}");
        }
    });
}

#[test]
fn a_backup_that_is_not_good_is_never_joined() {
    play(async {
        for (outcome, verdict, why, counts) in [
            (Outcome::BrokenCheck, "failed", "exit code 70", [0, 1, 0]),
            (Outcome::Fails(1), "failed", "exit code 1", [0, 1, 0]),
            (Outcome::Reclaimed { uploaded: true }, "failed", "without an exit code: Host EC2", [0, 1, 0]),
            (Outcome::Reclaimed { uploaded: false }, "failed", "without an exit code: Host EC2", [0, 1, 0]),
            (Outcome::Silent, "unverified", "the log of the job has no end", [0, 0, 1]),
            (Outcome::NoLog, "unverified", "the log cannot be read", [0, 0, 1]),
            (Outcome::CutLog, "unverified", "the log of the job has no end", [0, 0, 1]),
        ] {
            let cluster = cluster();
            cluster.wire.world().plan_job("neo4j", outcome);
            slot(&cluster, "full").await.unwrap();
            until_judged(&cluster).await;
            let [_, good, failed, unverified, ..] = tally(&cluster);
            assert_eq!([good - 1, failed, unverified], counts, "{outcome:?}");
            assert_eq!(chains(&cluster, "neo4j"), [format!("full {verdict}")], "{outcome:?}");
            let reasons = reasons(&cluster, "neo4j");
            assert!(reasons.contains(why), "{outcome:?}: {reasons}");
            slot(&cluster, "differential").await.unwrap();
            until_judged(&cluster).await;
            assert_eq!(chains(&cluster, "neo4j"), [format!("full {verdict}"), "full good".to_owned()], "{outcome:?}");
            assert_eq!(chains(&cluster, "system"), ["full good, differential good"], "{outcome:?}");
        }
    });
}

#[test]
fn a_differential_that_does_not_fit_its_chain_makes_the_next_one_full() {
    play(async {
        for (outcome, why) in [
            (Outcome::Gap, "the chain ends with transaction"),
            (Outcome::OtherDatabase, "the database was dropped and created again"),
            (Outcome::Full, "a differential backup was asked for"),
            (Outcome::Fails(1), "exit code 1"),
        ] {
            let cluster = cluster();
            slot(&cluster, "full").await.unwrap();
            until_judged(&cluster).await;
            cluster.wire.world().plan_job("neo4j", outcome);
            slot(&cluster, "differential").await.unwrap();
            until_judged(&cluster).await;
            let reasons = reasons(&cluster, "neo4j");
            assert!(reasons.contains(why), "{outcome:?}: {reasons}");
            slot(&cluster, "differential").await.unwrap();
            until_judged(&cluster).await;
            assert_eq!(chains(&cluster, "neo4j"), ["full good, differential failed", "full good"], "{outcome:?}");
        }
    });
}

#[test]
fn a_job_that_does_not_end_is_ended_by_our_own_clock() {
    play(async {
        let mut cluster = cluster();
        cluster.set("RUN_TIMEOUT_MINUTES", "20");
        cluster.wire.world().plan_job("neo4j", Outcome::Hangs);
        slot(&cluster, "full").await.unwrap();
        until_judged(&cluster).await;
        assert_eq!(tally(&cluster), [2, 1, 1, 0, 0, 1]);
        assert_eq!(chains(&cluster, "neo4j"), ["full failed"]);
    });
}

#[test]
fn a_job_that_takes_minutes_to_end_is_told_once_and_ended_in_each_round() {
    play(async {
        let mut cluster = cluster();
        cluster.set("RUN_TIMEOUT_MINUTES", "20");
        cluster.wire.world().batch.pace.stopping = SignedDuration::from_mins(5);
        cluster.wire.world().plan_job("neo4j", Outcome::Hangs);
        slot(&cluster, "full").await.unwrap();
        until_judged(&cluster).await;
        assert_eq!(tally(&cluster), [2, 1, 1, 0, 0, 1]);
        let asked = cluster.wire.world().calls.iter().filter(|call| call.action == "batch:TerminateJob").count();
        assert!(asked > 1, "{asked}");
    });
}

#[test]
fn without_a_healthy_copy_the_slot_fails_by_name_in_its_time() {
    play(async {
        let cluster = cluster();
        for core in 1..=3 {
            let task = cluster.a_task(&format!("core-{core}"));
            let server = cluster.wire.world().neo4j.members[&task].server.clone();
            let broken =
                cluster.wire.world().break_copy(&cluster.ecs_cluster, "neo4j", &server, "offline", "an error occurred");
            assert!(broken);
        }
        slot(&cluster, "full").await.unwrap();
        cluster.live(minutes(15)).await;
        assert_eq!(tally(&cluster)[4], 0);
        let told = cluster.invoke(json!({"dryRun": true})).await.unwrap()["table"].as_str().unwrap().to_owned();
        assert!(told.contains("neo4j: waits: no member has a healthy copy of neo4j: core 1: "), "{told}");
        cluster.live(minutes(8)).await;
        assert_eq!(tally(&cluster), [1, 1, 0, 0, 1, 0]);
        assert_eq!(chains(&cluster, "system"), ["full good"]);
    });
}

#[test]
fn whoever_cannot_be_asked_is_waited_for() {
    play(async {
        let cluster = cluster();
        for core in 1..=3 {
            let task = cluster.a_task(&format!("core-{core}"));
            cluster.wire.world().hang_member(&task, true);
        }
        slot(&cluster, "full").await.unwrap();
        cluster.live(minutes(10)).await;
        for core in 1..=3 {
            let task = cluster.a_task(&format!("core-{core}"));
            cluster.wire.world().hang_member(&task, false);
        }
        until_judged(&cluster).await;
        cluster.live(minutes(10)).await;
        assert_eq!(tally(&cluster), [2, 2, 0, 0, 0, 0]);
    });
}

#[test]
fn a_cluster_that_is_deleted_or_stopped_is_not_backed_up_and_nobody_is_paged() {
    play(async {
        let cluster = cluster();
        for core in 1..=3 {
            cluster.scale(&format!("core-{core}"), 0);
        }
        cluster.live(minutes(2)).await;
        slot(&cluster, "full").await.unwrap();
        cluster.live(minutes(2)).await;
        assert_eq!(tally(&cluster), [0; 6]);
        for core in 1..=3 {
            cluster.scale(&format!("core-{core}"), 1);
        }
        cluster.live(minutes(10)).await;
        slot(&cluster, "full").await.unwrap();
        until_judged(&cluster).await;
        assert_eq!(chains(&cluster, "neo4j"), ["full good"]);
    });
}

#[test]
fn a_dry_run_says_what_a_slot_would_do_and_does_nothing() {
    play(async {
        let cluster = cluster();
        let before = cluster.wire.world().calls.len();
        let told = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let table = told["table"].as_str().unwrap();
        assert!(table.contains("full backup from core"), "{table}");
        assert!(table.contains("since there is no chain to join"), "{table}");
        assert_eq!(cluster.wire.world().count_calls(before).1, 0);
        assert_eq!(jobs(&cluster, "neo4j"), [""; 0]);
    });
}

#[test]
fn what_cannot_be_read_is_told_and_left_alone() {
    play(async {
        let cluster = cluster();
        slot(&cluster, "full").await.unwrap();
        until_judged(&cluster).await;
        let key = {
            let mut world = cluster.wire.world();
            let at = world.now;
            let bucket = world.bucket(cluster.variable("BACKUP_BUCKET"));
            let key = bucket.objects.keys().find(|key| key.contains("manifests/neo4j/")).unwrap().clone();
            bucket.put(&key, "{", 1, at);
            key
        };
        // A differential cannot tell what it would join.
        slot(&cluster, "differential").await.unwrap();
        until_judged(&cluster).await;
        assert_eq!(jobs(&cluster, "neo4j"), ["FULL", "FULL"]);
        assert_eq!(cluster.wire.world().bucket(cluster.variable("BACKUP_BUCKET")).objects[&key].body, "{");
        let wrong =
            json!({"source": "neo4j.cluster", "detail-type": "Backup", "time": "2026-11-30T00:00:00Z", "detail": {}});
        let refused = cluster.invoke(messages(&[wrong.to_string()])).await.unwrap_err().chain();
        assert!(refused.contains("it should be full or differential"), "{refused}");
    });
}

/// Whatever breaks off in the round that submits, no chain has two writers, and each database gets its backup.
#[test]
fn a_fault_at_any_call_of_a_slot_costs_no_backup_and_makes_no_second_writer() {
    play(async {
        for fault in [Fault::ResetAfterEffect, Fault::Outage, Fault::Hang, Fault::KillAfterEffect] {
            for nth in 1.. {
                let cluster = cluster();
                cluster.wire.plan(nth, fault);
                tokio::select! {
                    _ = slot(&cluster, "full") => {}
                    () = cluster.wire.killed() => {}
                }
                let struck = !cluster.wire.struck().is_empty();
                cluster.wire.calm();
                // SQS hands the message on again.
                cluster.live(seconds(100)).await;
                if cluster.wire.world().batch.jobs.is_empty() {
                    slot(&cluster, "full").await.unwrap();
                }
                until_judged(&cluster).await;
                for database in ["neo4j", "system"] {
                    let chains = chains(&cluster, database);
                    assert_eq!(chains, ["full good"], "{nth} {fault:?}");
                    assert_eq!(jobs(&cluster, database), ["FULL"], "{nth} {fault:?}");
                }
                if !struck {
                    break;
                }
            }
        }
    });
}
