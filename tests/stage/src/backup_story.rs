//! Days of backups in seconds: the functions run in this process, against the modelled AWS, on virtual time.

use cluster_core::backup::{Layout, Manifest, Verdict};
use cluster_sim::{
    cluster::Cluster,
    functions::{BACKUP_PRUNER, BACKUP_SCHEDULER},
    time::{hours, minutes, play as simulated},
};
use cluster_world::batch::{Outcome, Queue};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    narrator::{Narrator, Row},
    stage::Trouble,
};

/// The age of the newest good backup from which `BackupAgeAlarm` is active, in seconds: the default of `BackupMaximumAgeMinutes`.
const TOO_OLD: f64 = 7_200.0;

/// What the days were like.
struct Days {
    lines: String,
    report: String,
    rows: Vec<Row>,
}

/// Plays three days of backups, with a full one that fails, a prune, and the hours after which it is noticed that none come any more.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let days = async {
        let days = tokio::task::spawn_blocking(|| simulated(live()));
        days.await.map_err(|error| format!("the days of backups broke off: {error}"))
    };
    let Days { lines, report, rows } = narrator.work("three days of backups, on virtual time", days).await?;
    narrator.lines(&lines);
    narrator.note("backup-pruner's report, with windows of one day of every chain and two days of daily ones");
    narrator.lines(&report);
    rows.into_iter().try_for_each(|row| narrator.row(row))
}

async fn live() -> Days {
    let mut cluster = Cluster::formed(3).quiet().only(&[BACKUP_SCHEDULER, BACKUP_PRUNER]);
    cluster.subject = BACKUP_PRUNER;
    for (name, value) in [("HOURLY_DAYS", "1"), ("DAILY_DAYS", "2"), ("WEEKS", "0"), ("MONTHS", "0")] {
        cluster.set(name, value);
    }
    let mut rows = Vec::new();
    let calls = |cluster: &Cluster, from: usize| cluster.wire.world().count_calls(from);
    let mut from = 0;
    let mut row = |cluster: &Cluster, event, answer: String, held| {
        let (calls, writes) = calls(cluster, from);
        from = cluster.wire.world().calls.len();
        rows.push(Row { event, answer, held, took: None, calls, writes });
    };

    cluster.live(hours(22)).await;
    let good = count(&cluster, "neo4j", Verdict::Good);
    row(&cluster, "backups are due each hour, for a day", format!("{good} good ones of neo4j"), good > 20);

    cluster.wire.world().plan_job("neo4j", Outcome::Hangs);
    cluster.live(minutes(70)).await;
    let hanging = cluster.wire.world().open_jobs();
    for id in &hanging {
        cluster.wire.world().reclaim_host(id);
    }
    cluster.live(hours(2)).await;
    let newest = chains(&cluster, "neo4j").pop().unwrap_or_default();
    let failed = count(&cluster, "neo4j", Verdict::Failed);
    let held = failed == 1 && newest.starts_with("full good");
    row(&cluster, "Spot takes the host of a job", "it has failed, and the next slot takes a full one".to_owned(), held);

    cluster.live(hours(48)).await;
    let pruned = sum(&cluster, "ChainsDeleted");
    let report = report(&cluster);
    row(
        &cluster,
        "backup-pruner runs each six hours",
        format!("{pruned} chains deleted"),
        pruned > 0.0 && !report.is_empty(),
    );
    let lines = ["neo4j", "system"].map(|name| format!("{name}\n  {}", chains(&cluster, name).join("\n  "))).join("\n");

    for queue in cluster.wire.world().batch.queues.values_mut() {
        *queue = Queue { capacity: Some(0) };
    }
    let stopped = now(&cluster);
    cluster.live(hours(3)).await;
    let age = cluster.metric("BackupAgeSeconds", None).unwrap_or_default();
    let stuck = sum(&cluster, "BackupsStuck");
    let passed = now(&cluster).duration_since(stopped).as_mins();
    let answer =
        format!("after {passed} min: {stuck} jobs ended, the newest good backup is {:.0} min old: alarms", age / 60.0);
    row(&cluster, "no job starts any more", answer, age > TOO_OLD && stuck > 0.0);
    Days { lines, report, rows }
}

fn now(cluster: &Cluster) -> Timestamp {
    cluster.wire.world().now
}

fn sum(cluster: &Cluster, name: &str) -> f64 {
    let lines = cluster.metrics.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lines.iter().filter_map(|line| line.get(name).and_then(Value::as_f64)).sum()
}

/// The manifests of a database, oldest first.
fn manifests(cluster: &Cluster, database: &str) -> Vec<Manifest> {
    let layout = Layout::new(cluster.variable("BACKUP_PREFIX"));
    let mut world = cluster.wire.world();
    let bucket = world.bucket(cluster.variable("BACKUP_BUCKET"));
    let ours = bucket.objects.iter().filter(|(key, _)| key.starts_with(&layout.manifests(database)));
    ours.filter_map(|(_, object)| serde_json::from_str(&object.body).ok()).collect()
}

fn count(cluster: &Cluster, database: &str, verdict: Verdict) -> usize {
    let of = |manifest: &Manifest| manifest.backups.iter().filter(|backup| backup.verdict == verdict).count();
    manifests(cluster, database).iter().map(of).sum()
}

/// Each chain in a line, such as `20261130T010000Z-1  full good, 23 differentials good`.
fn chains(cluster: &Cluster, database: &str) -> Vec<String> {
    let told = |manifest: Manifest| {
        let differentials = manifest.backups.len().saturating_sub(1);
        let first =
            manifest.backups.first().map(|backup| format!("{} {}", backup.kind, backup.verdict)).unwrap_or_default();
        let bad = manifest.backups.iter().skip(1).filter(|backup| backup.verdict != Verdict::Good).count();
        let bad = if bad == 0 { String::new() } else { format!(", {bad} of them failed") };
        format!("{first}, {differentials} differentials{bad}  ({})", manifest.chain)
    };
    manifests(cluster, database).into_iter().map(told).collect()
}

/// The last report of the pruner.
fn report(cluster: &Cluster) -> String {
    let mut world = cluster.wire.world();
    let bucket = world.bucket(cluster.variable("BACKUP_BUCKET"));
    let mut reports = bucket.objects.iter().rev().filter(|(key, _)| key.contains("/reports/"));
    reports.find(|(_, object)| !object.body.starts_with('{')).map(|(_, object)| object.body.clone()).unwrap_or_default()
}
