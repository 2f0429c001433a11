//! What jobs of backups leave behind.

use cluster_core::backup::{Artifact, Evidence};
use cluster_world::logs::Line;

use super::*;

const FOLDER: &str = "graph/chains/neo4j/20261130T010000Z-1/";

impl Jobs {
    /// Submits a backup, lets it end, and returns its exit code and what its log says.
    fn back_up(&mut self, kind: &str, outcome: Outcome) -> (Option<i32>, Evidence) {
        self.world.plan_job("neo4j", outcome);
        let environment = [
            ("BACKUP_DATABASE", "neo4j"),
            ("BACKUP_TYPE", kind),
            ("BACKUP_FROM", "10.0.1.11:6362"),
            ("BACKUP_TO", &format!("s3://{BUCKET}/{FOLDER}")),
            ("BACKUP_NONCE", "n0nce"),
        ];
        let environment = environment.map(|(name, value)| json!({"name": name, "value": value}));
        let mut body = job("backup");
        body["containerOverrides"] = json!({"environment": environment});
        let id = self.ask("submitjob", &body)["jobId"].as_str().unwrap().to_owned();
        self.world.advance(3600);
        let job = self.job(&id);
        let stream = job.log_stream.clone().unwrap();
        let lines = self.world.logs.groups.get(GROUP).and_then(|group| group.get(&stream));
        let lines: &[Line] = lines.map_or(&[], Vec::as_slice);
        (job.exit_code, Evidence::read("n0nce", lines.iter().map(|line| line.message.as_str())))
    }

    fn objects(&self) -> Vec<Artifact> {
        let objects = self.world.s3.buckets[BUCKET].objects.iter();
        objects
            .map(|(key, object)| {
                let artifact: Artifact = serde_json::from_str(&object.body).unwrap();
                assert!(*key == format!("{FOLDER}{}", artifact.file) && object.bytes > 0, "{key}");
                artifact
            })
            .collect()
    }
}

/// The transactions of what a log lists, the oldest first.
fn ranges(evidence: &Evidence) -> Vec<(bool, u64, u64)> {
    let mut found = evidence.artifacts.clone().unwrap();
    found.sort_by_key(|artifact| artifact.taken);
    found.iter().map(|artifact| (artifact.full, artifact.lowest, artifact.highest)).collect()
}

#[test]
fn a_chain_grows_without_gaps_and_its_log_says_so() {
    let mut jobs = Jobs::new();
    let (code, full) = jobs.back_up("FULL", Outcome::Good);
    assert_eq!((code, full.checked, full.ended, ranges(&full)), (Some(0), true, true, vec![(true, 1, 1100)]));
    assert_eq!(full.artifacts.as_ref().unwrap()[0].file, "neo4j-2026-11-30T01-02-01.backup");
    let (code, diff) = jobs.back_up("DIFF", Outcome::Good);
    assert_eq!((code, diff.checked, diff.ended), (Some(0), false, true), "a differential is not checked");
    assert_eq!(ranges(&diff), [(true, 1, 1100), (false, 1101, 1200)]);
    jobs.world.batch.stores.get_mut("neo4j").unwrap().growth = 0;
    let (_, empty) = jobs.back_up("DIFF", Outcome::Good);
    assert_eq!(ranges(&empty).last(), Some(&(false, 0, 0)));
    jobs.world.batch.stores.get_mut("neo4j").unwrap().growth = 5;
    let (_, next) = jobs.back_up("DIFF", Outcome::Good);
    assert_eq!(ranges(&next).last(), Some(&(false, 1201, 1205)));
    let ids: std::collections::BTreeSet<_> = jobs.objects().into_iter().map(|artifact| artifact.database_id).collect();
    assert_eq!((ids.len(), jobs.objects().len()), (1, 4));
}

#[test]
fn a_differential_needs_something_to_follow() {
    let mut jobs = Jobs::new();
    let (code, evidence) = jobs.back_up("DIFF", Outcome::Good);
    assert_eq!((code, evidence.ended, jobs.objects().len()), (Some(1), false, 0));
}

#[test]
fn what_goes_wrong_shows_where_it_would() {
    // Exit code, objects, checked, ended.
    for (outcome, expected) in [
        (Outcome::BrokenCheck, (Some(70), 1, false, false)),
        (Outcome::Fails(1), (Some(1), 0, false, false)),
        (Outcome::Reclaimed { uploaded: false }, (None, 0, false, false)),
        (Outcome::Reclaimed { uploaded: true }, (None, 1, false, false)),
        (Outcome::Silent, (Some(0), 1, false, false)),
        (Outcome::NoLog, (Some(0), 1, false, false)),
        (Outcome::CutLog, (Some(0), 1, false, false)),
    ] {
        let mut jobs = Jobs::new();
        let (code, evidence) = jobs.back_up("FULL", outcome);
        assert_eq!((code, jobs.objects().len(), evidence.checked, evidence.ended), expected, "{outcome:?}");
        let streams = jobs.world.logs.groups.get(GROUP).map_or(0, std::collections::BTreeMap::len);
        assert_eq!(streams, usize::from(outcome != Outcome::NoLog), "{outcome:?}");
    }
}

#[test]
fn a_differential_can_leave_out_transactions_be_a_full_one_or_of_another_database() {
    for (outcome, last) in [
        (Outcome::Gap, (false, 1102, 1200)),
        (Outcome::Full, (true, 1, 1200)),
        (Outcome::OtherDatabase, (false, 1101, 1200)),
    ] {
        let mut jobs = Jobs::new();
        let (_, full) = jobs.back_up("FULL", Outcome::Good);
        let (code, diff) = jobs.back_up("DIFF", outcome);
        assert_eq!((code, diff.ended, ranges(&diff).last()), (Some(0), true, Some(&last)), "{outcome:?}");
        let ids = |evidence: &Evidence| {
            let artifacts = evidence.artifacts.clone().unwrap();
            artifacts.into_iter().map(|artifact| artifact.database_id).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(&diff).len(), if outcome == Outcome::OtherDatabase { 2 } else { 1 });
        assert!(ids(&diff).is_superset(&ids(&full)));
    }
}
