//! What the pruner leaves in a bucket.

use std::collections::BTreeSet;

use backup_pruner::Pruner;
use cluster_core::backup::{Artifact, Backup, ChainId, Kind, Layout, Manifest, Verdict};
use cluster_lambda::{Failure, Frame};
use cluster_sim::{
    functions::{Metrics, aws},
    time::play,
    wire::{Fault, Wire},
};
use cluster_world::{World, s3::Bucket};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const BUCKET: &str = "backups";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A bucket, and the function in front of it.
struct Story {
    wire: Wire,
    metrics: Metrics,
    frame: Frame<Pruner>,
}

fn began() -> Timestamp {
    "2026-11-30T00:30:00Z".parse().unwrap()
}

fn layout() -> Layout {
    Layout::new("graph")
}

impl Story {
    fn new(settings: &[(&str, &str)], fill: impl FnOnce(&mut Bucket)) -> Self {
        let mut world = World::new(began(), 7);
        fill(world.bucket(BUCKET));
        let (wire, metrics) = (Wire::new(world), Metrics::default());
        let environment = [
            ("CLUSTER_NAME", "graph"),
            ("BACKUP_BUCKET", BUCKET),
            ("BACKUP_BUCKET_OWNER", cluster_world::ACCOUNT),
            ("BACKUP_PREFIX", "graph"),
            ("HOURLY_DAYS", "3"),
            ("DAILY_DAYS", "14"),
            ("WEEKS", "0"),
            ("MONTHS", "0"),
            ("MINIMUM_CHAINS", "2"),
            ("PERCENT_PER_RUN", "100"),
            ("DRY_RUN", "false"),
            ("DEAD_LETTER_QUEUE_URL", "https://sqs/dead"),
        ];
        let lookup = |asked: &str| {
            let found = settings.iter().chain(&environment).find(|(name, _)| *name == asked)?;
            Some(found.1.to_owned())
        };
        let frame = Frame::new(&lookup, &aws(&wire, &metrics)).unwrap();
        Self { wire, metrics, frame }
    }

    async fn invoke(&self, payload: Value) -> Result<Value, Failure> {
        self.frame.handle(payload).await
    }

    /// The run of the schedule.
    async fn sweep(&self) -> Result<Value, Failure> {
        let sweep = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}});
        let message = json!({"messageId": "1", "body": sweep.to_string(), "eventSource": "aws:sqs"});
        self.invoke(json!({"Records": [message]})).await
    }

    fn keys(&self) -> BTreeSet<String> {
        self.wire.world().bucket(BUCKET).objects.keys().cloned().collect()
    }

    /// The keys of backups and manifests, without reports.
    fn backups(&self) -> BTreeSet<String> {
        self.keys().into_iter().filter(|key| !key.contains("/reports/")).collect()
    }

    fn writes(&self) -> usize {
        self.wire.world().count_calls(0).1
    }

    /// The last value of a metric, by its dimension.
    fn metric(&self, name: &str, database: Option<&str>) -> Option<f64> {
        let lines = self.metrics.lock().unwrap();
        let fits = |line: &&Value| line.get(name).is_some() && line.get("Database").and_then(Value::as_str) == database;
        lines.iter().rev().find(fits).and_then(|line| line[name].as_f64())
    }
}

/// Puts a chain of a full backup and so many differentials, one an hour, into the bucket, as the jobs would have.
fn put(bucket: &mut Bucket, database: &str, opened: Timestamp, differentials: i32, verdict: Verdict) -> ChainId {
    let chain = ChainId::new(opened, 1);
    let mut manifest = Manifest::new(database, chain);
    for number in 0..=differentials {
        let slot = opened + HOUR * number;
        let taken = slot + SignedDuration::from_mins(2);
        let file = format!("{database}-{}.backup", taken.strftime("%Y-%m-%dT%H-%M-%S"));
        let full = number == 0;
        bucket.put(&format!("{}{file}", layout().folder(database, chain)), "", 1_000_000, taken);
        let highest = 1000 + u64::from(number.unsigned_abs());
        let lowest = if full { 1 } else { highest };
        let artifact = Artifact {
            file,
            database: database.to_owned(),
            database_id: format!("id-of-{database}"),
            taken,
            full,
            lowest,
            highest,
            recovered: None,
        };
        manifest.record(Backup {
            job: format!("job-{slot}"),
            slot,
            kind: if full { Kind::Full } else { Kind::Differential },
            source: "core 2".to_owned(),
            ended: taken,
            verdict,
            reasons: vec![],
            artifact: Some(artifact),
            bytes: 1_000_000,
        });
    }
    let body = serde_json::to_string(&manifest).unwrap();
    let bytes = body.len() as u64;
    bucket.put(&layout().manifest(database, chain), &body, bytes, opened + HOUR * (differentials + 1));
    chain
}

/// Thirty days of two databases, each with a full backup a day and two differentials.
fn a_month(bucket: &mut Bucket) {
    for day in 1..=30 {
        for database in ["neo4j", "system"] {
            put(bucket, database, began() - DAY * day - SignedDuration::from_mins(30), 2, Verdict::Good);
        }
    }
}

fn of_day(day: i32) -> String {
    ChainId::new(began() - DAY * day - SignedDuration::from_mins(30), 1).to_string()
}

#[test]
fn a_run_deletes_what_no_window_holds_and_says_what_it_did() {
    play(async {
        let story = Story::new(&[], a_month);
        let answer = story.sweep().await.unwrap();
        // Fourteen days of each database stay: the day of the newest backup is the first.
        let left = story.backups();
        assert_eq!(left.len(), 2 * 14 * 4);
        assert!(left.iter().all(|key| (1..=14).any(|day| key.contains(&of_day(day)))), "{left:?}");
        assert_eq!(answer["reconciled"]["deleted"], json!({"chains": 32, "objects": 32 * 4}));
        let report = answer["reconciled"]["report"].as_str().unwrap().strip_prefix("s3://backups/").unwrap();
        let world = story.wire.world();
        insta::assert_snapshot!("report", world.s3.buckets[BUCKET].objects[report].body);
        let json = report.replace(".txt", ".json");
        let json: Value = serde_json::from_str(&world.s3.buckets[BUCKET].objects[&json].body).unwrap();
        assert_eq!((json["dryRun"].as_bool(), json["chains"].as_array().map(Vec::len)), (Some(false), Some(60)));
        // Whatever was deleted is still there, behind a marker.
        assert_eq!(world.s3.buckets[BUCKET].hidden.len(), 32 * 4);
    });
}

#[test]
fn a_second_run_writes_nothing_and_the_ages_are_told_all_the_same() {
    play(async {
        let story = Story::new(&[], a_month);
        story.sweep().await.unwrap();
        let (before, writes) = (story.keys(), story.writes());
        story.wire.sleep(3600).await;
        story.metrics.lock().unwrap().clear();
        story.sweep().await.unwrap();
        assert_eq!((story.keys(), story.writes()), (before, writes));
        // The newest backup is of 02:02 of the day before, and the second run comes an hour after the first.
        let age = f64::from(23 * 3600 + 28 * 60);
        for database in ["neo4j", "system"] {
            let told = story.metric("NewestGoodBackupSeconds", Some(database)).unwrap();
            assert!((told - age).abs() < 60.0, "{told}");
        }
        assert_eq!((story.metric("ChainsDeleted", None), story.metric("ChainsKept", None)), (None, Some(28.0)));
    });
}

#[test]
fn by_hand_it_only_looks_unless_it_is_told() {
    play(async {
        let story = Story::new(&[], a_month);
        let before = story.keys();
        let answer = story.invoke(json!({})).await.unwrap();
        assert_eq!((answer["delete"].as_array().map(Vec::len), &answer["report"]), (Some(32), &Value::Null));
        assert_eq!((story.keys(), story.writes()), (before, 0));
        assert!(answer["table"].as_str().unwrap().contains("16 chains go"), "{}", answer["table"]);
        let answer = story.invoke(json!({"dryRun": false})).await.unwrap();
        assert_eq!(answer["deleted"]["chains"], 32);
    });
}

#[test]
fn a_deployed_dry_run_deletes_nothing_and_reports() {
    play(async {
        let story = Story::new(&[("DRY_RUN", "true")], a_month);
        let before = story.backups();
        let answer = story.sweep().await.unwrap();
        assert_eq!(story.backups(), before);
        assert!(answer["reconciled"]["report"].is_string(), "{answer}");
        assert_eq!(story.metric("ChainsDeleted", None), None);
    });
}

#[test]
fn pins_locks_and_strangers_hold_their_chain_alone() {
    play(async {
        let (old, locked, pinned, strange, lapsed) = (30, 29, 28, 27, 26);
        let story = Story::new(&[], |bucket| {
            a_month(bucket);
            let file = |day: i32, number: i32| {
                let opened = began() - DAY * day - SignedDuration::from_mins(30);
                let taken = opened + HOUR * number + SignedDuration::from_mins(2);
                format!(
                    "{}neo4j-{}.backup",
                    layout().folder("neo4j", ChainId::new(opened, 1)),
                    taken.strftime("%Y-%m-%dT%H-%M-%S")
                )
            };
            // Not the full one: any object will do.
            bucket.objects.get_mut(&file(old, 1)).unwrap().hold = true;
            bucket.objects.get_mut(&file(locked, 2)).unwrap().locked_until = Some(began() + DAY);
            bucket.objects.get_mut(&file(pinned, 1)).unwrap().tags.insert("keep".to_owned(), String::new());
            bucket.objects.get_mut(&file(lapsed, 0)).unwrap().locked_until = Some(began() - DAY);
            let folder =
                layout().folder("neo4j", ChainId::new(began() - DAY * strange - SignedDuration::from_mins(30), 1));
            bucket.put(&format!("{folder}notes.txt"), "mine", 4, began());
            bucket.put("graph/chains/neo4j/mine/neo4j-2026-01-01T00-00-00.backup", "", 1, began());
            bucket.put("graph/chains/README", "", 1, began());
            bucket.put("other/chains/neo4j/x", "", 1, began());
        });
        let answer = story.sweep().await.unwrap();
        assert_eq!(answer["reconciled"]["deleted"]["chains"], 32 - 4);
        assert_eq!(answer["reconciled"]["foreign"], 2);
        let left = story.backups();
        for (day, stays) in [(old, true), (locked, true), (pinned, true), (strange, true), (lapsed, false), (25, false)]
        {
            let objects = left.iter().filter(|key| key.contains("/neo4j/") && key.contains(&of_day(day))).count();
            let wanted = if day == strange { 5 } else { 4 };
            assert_eq!(objects, if stays { wanted } else { 0 }, "day {day}");
        }
        assert!(left.contains("other/chains/neo4j/x") && left.contains("graph/chains/README"));
    });
}

#[test]
fn a_list_that_is_cut_or_refused_deletes_nothing() {
    play(async {
        for fault in [Fault::CutPage, Fault::Denied, Fault::Outage] {
            for action in ["s3:ListObjectsV2", "s3:GetObject", "s3:HeadObject", "s3:GetObjectTagging"] {
                if fault == Fault::CutPage && action != "s3:ListObjectsV2" {
                    continue;
                }
                let story = Story::new(&[], a_month);
                story.wire.world().page = 7;
                let before = story.keys();
                // More often than the SDK tries, for all that run at once.
                story.wire.plan_for(action, if fault == Fault::CutPage { 3 } else { 10_000 }, fault);
                let result = story.sweep().await;
                let left = story.keys();
                // A token without «more follows» is followed all the same: then nothing was lost.
                assert!(result.is_ok() || left == before, "{action} {fault:?}");
                assert!(fault == Fault::CutPage || result.is_err(), "{action} {fault:?}");
                assert!((1..=14).all(|day| left.iter().filter(|key| key.contains(&of_day(day))).count() == 8));
                story.wire.calm();
                story.sweep().await.unwrap();
                assert_eq!(story.backups().len(), 2 * 14 * 4);
            }
        }
    });
}

#[test]
fn an_object_that_stays_keeps_the_rest_of_its_chain_and_is_named() {
    play(async {
        let stuck = {
            let opened = began() - DAY * 20 - SignedDuration::from_mins(30);
            let taken = opened + HOUR + SignedDuration::from_mins(2);
            let file = format!("neo4j-{}.backup", taken.strftime("%Y-%m-%dT%H-%M-%S"));
            format!("{}{file}", layout().folder("neo4j", ChainId::new(opened, 1)))
        };
        let story = Story::new(&[], a_month);
        story.wire.world().bucket(BUCKET).stuck.push(stuck.clone());
        let failure = story.sweep().await.unwrap_err().chain();
        assert!(failure.contains(&format!("{stuck} could not be deleted: AccessDenied")), "{failure}");
        // Its newest differential has gone, the stuck one stands on its full backup, and everybody else's chain is gone.
        let left: Vec<_> = story.backups().into_iter().filter(|key| key.contains(&of_day(20))).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(story.backups().len(), 2 * 14 * 4 + 3);
        assert!(story.metric("PrunesFailed", None).unwrap() > 0.0);
        story.wire.world().bucket(BUCKET).stuck.clear();
        story.sweep().await.unwrap();
        assert_eq!(story.backups().len(), 2 * 14 * 4);
    });
}

#[test]
fn wherever_a_run_dies_the_next_one_ends_it() {
    play(async {
        for call in 1.. {
            for fault in [Fault::Reset, Fault::ResetAfterEffect, Fault::Kill, Fault::KillAfterEffect, Fault::Hang] {
                let story = Story::new(&[], |bucket| {
                    for day in [1, 2, 3, 20, 21] {
                        put(bucket, "neo4j", began() - DAY * day - SignedDuration::from_mins(30), 1, Verdict::Good);
                    }
                });
                story.wire.plan(call, fault);
                tokio::select! {
                    _ = story.sweep() => {}
                    () = story.wire.killed() => {}
                }
                let calls = story.wire.calls().len();
                let left = story.backups();
                for day in [1, 2, 3] {
                    assert_eq!(left.iter().filter(|key| key.contains(&of_day(day))).count(), 3, "{call} {fault:?}");
                }
                story.sweep().await.unwrap();
                assert_eq!(story.backups().len(), 3 * 3, "{call} {fault:?}");
                if calls < call {
                    return;
                }
            }
        }
    });
}
