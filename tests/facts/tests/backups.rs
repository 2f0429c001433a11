//! Facts about backups: what the bucket keeps, who may delete, and that each role may do what its function does, and no more.

mod bucket;
mod jobs;
mod roles;

use cluster_core::backup::{Artifact, Backup, ChainId, Kind, Layout, Manifest, Verdict};
use cluster_facts::{root, template::read};
use cluster_sim::{cluster::Cluster, functions::BACKUP_PRUNER};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

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
