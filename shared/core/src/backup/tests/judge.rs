use jiff::{SignedDuration, Timestamp};

use super::{
    super::{Artifact, Backup, ChainId, Ended, Evidence, Kind, Manifest, Task, Unreadable, Verdict, judge},
    bucket::{ID, add, at, file, folder},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A job that has gone well, one part of which a test changes.
#[derive(Clone, Debug)]
struct Case {
    task: Task,
    ended: Ended,
    evidence: Evidence,
    chain: Manifest,
}

impl Case {
    /// The job that opens a chain, or joins one of two backups.
    fn new(kind: Kind) -> Self {
        let opened = at("2026-11-30T01:00:00Z");
        let (slot, chain) = match kind {
            Kind::Full => (opened, Manifest::new("neo4j", ChainId::new(opened, 1))),
            Kind::Differential => {
                let made = folder("neo4j", ID, opened, 1, HOUR);
                (opened + HOUR * 2, made.manifest.unwrap().unwrap())
            }
        };
        let taken = slot + SignedDuration::from_mins(2);
        let full = kind == Kind::Full;
        let new = Artifact {
            file: file("neo4j", taken),
            database: "neo4j".to_owned(),
            database_id: ID.to_owned(),
            taken,
            full,
            lowest: if full { 1 } else { 1011 },
            highest: 1020,
            recovered: None,
        };
        let known = chain.backups.iter().filter_map(|backup| backup.artifact.clone());
        let artifacts: Vec<_> = known.chain([new.clone()]).collect();
        Self {
            task: Task {
                job: "job".to_owned(),
                database: "neo4j".to_owned(),
                chain: chain.chain,
                kind,
                slot,
                source: "replica 0a1b2c3d".to_owned(),
            },
            ended: Ended {
                at: taken,
                exit_code: Some(0),
                reason: String::new(),
                sizes: Some(vec![(new.file, 20_000_000)]),
            },
            evidence: Evidence { artifacts: Ok(artifacts), checked: full, ended: true },
            chain,
        }
    }

    fn new_artifact(&mut self) -> &mut Artifact {
        self.evidence.artifacts.as_mut().unwrap().last_mut().unwrap()
    }

    fn judged_at(&self, now: Timestamp) -> Option<Backup> {
        judge(&self.task, &self.ended, &self.evidence, &self.chain, now)
    }

    /// What it is in the end, and why.
    fn verdict(&self) -> (Verdict, String) {
        let judged = self.judged_at(self.ended.at + HOUR).unwrap();
        (judged.verdict, judged.reasons.join("; "))
    }

    /// What a change makes of it.
    fn with(kind: Kind, change: impl FnOnce(&mut Self)) -> (Verdict, String) {
        let mut case = Self::new(kind);
        change(&mut case);
        case.verdict()
    }
}

#[test]
fn a_backup_is_good_by_its_exit_code_and_its_evidence() {
    for kind in [Kind::Full, Kind::Differential] {
        let case = Case::new(kind);
        let backup = case.judged_at(case.ended.at).unwrap();
        assert_eq!(
            (backup.verdict, backup.reasons.as_slice(), backup.bytes),
            (Verdict::Good, [].as_slice(), 20_000_000)
        );
        assert_eq!(backup.artifact.as_ref(), case.evidence.artifacts.as_ref().unwrap().last());
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let failed = |code| Case::with(Kind::Full, |case| case.ended.exit_code = code);
    assert_eq!(failed(Some(1)), (Verdict::Failed, "the job ended with exit code 1: read its log".to_owned()));
    assert_eq!(failed(Some(70)).0, Verdict::Failed);
    assert_eq!(failed(None), (Verdict::Failed, "the job ended without an exit code".to_owned()));
    let taken = Case::with(Kind::Full, |case| {
        case.ended.exit_code = None;
        case.ended.reason = "Host EC2 (instance i-0a1b) terminated.".to_owned();
    });
    assert_eq!(taken.1, "the job ended without an exit code: Host EC2 (instance i-0a1b) terminated.");
}

#[test]
fn missing_evidence_is_waited_for_and_then_unverified() {
    type Change = fn(&mut Case);
    let missing: [(Change, &str); 5] = [
        (|case| case.evidence.ended = false, "the log of the job has no end"),
        (|case| case.evidence.checked = false, "no consistency check is in the log"),
        (
            |case| case.evidence.artifacts = Err(Unreadable::NoHeadings),
            "the log cannot be read: inspect printed no headings",
        ),
        (|case| case.evidence.artifacts = Ok(vec![]), "no new file is in the log"),
        (|case| case.ended.sizes = None, "the folder of the chain could not be listed"),
    ];
    for (change, why) in missing {
        let mut case = Case::new(Kind::Full);
        change(&mut case);
        assert_eq!(case.judged_at(case.ended.at + SignedDuration::from_mins(14)), None, "{why}");
        assert_eq!(case.verdict(), (Verdict::Unverified, why.to_owned()));
        // What has failed is not waited for.
        case.ended.exit_code = Some(1);
        assert_eq!(case.judged_at(case.ended.at).unwrap().verdict, Verdict::Failed);
    }
}

#[test]
fn evidence_that_speaks_against_a_backup_condemns_it() {
    type Change = fn(&mut Case);
    let full: [(Change, &str); 5] = [
        (|case| case.new_artifact().full = false, "a full backup was asked for, and the file is a differential one"),
        (|case| case.new_artifact().lowest = 2, "a full backup begins with transaction 1, and the file with 2"),
        (|case| case.new_artifact().database = "other".to_owned(), "the file is of the database other"),
        (|case| case.ended.sizes = Some(vec![]), "neo4j-2026-11-30T01-02-00.backup is not in the bucket, or empty"),
        (
            |case| {
                let one = case.new_artifact().clone();
                let other = Artifact { file: file("neo4j", at("2026-11-30T01:01:00Z")), ..one };
                case.evidence.artifacts.as_mut().unwrap().push(other);
            },
            "2 new files are in the folder: who else writes into it?",
        ),
    ];
    for (change, why) in full {
        assert_eq!(Case::with(Kind::Full, change), (Verdict::Failed, why.to_owned()));
    }
    let differential: [(Change, &str); 6] = [
        (|case| case.new_artifact().full = true, "a differential backup was asked for, and the file is a full one"),
        (
            |case| case.new_artifact().lowest = 1012,
            "the chain ends with transaction 1010, and the file begins with 1012",
        ),
        (
            |case| case.new_artifact().lowest = 1010,
            "the chain ends with transaction 1010, and the file begins with 1010",
        ),
        (
            |case| case.new_artifact().highest = 1005,
            "the chain ends with transaction 1010, and the file begins with 1011",
        ),
        (
            |case| case.new_artifact().database_id = "another".to_owned(),
            "the chain is of the database id 7dcb1d0c-4374-4476-b8ae-d3c3f124683f, and the file of another: the database was dropped and created again",
        ),
        (|case| case.chain.backups[1].verdict = Verdict::Unverified, "the chain has no good full backup to join"),
    ];
    for (change, why) in differential {
        assert_eq!(Case::with(Kind::Differential, change), (Verdict::Failed, why.to_owned()));
    }
}

#[test]
fn the_first_differential_may_overlap_with_its_full_backup() {
    for (lowest, verdict) in
        [(1001, Verdict::Good), (900, Verdict::Good), (1, Verdict::Good), (1002, Verdict::Failed), (0, Verdict::Failed)]
    {
        let judged = Case::with(Kind::Differential, |case| {
            case.chain.backups.truncate(1);
            let new = case.new_artifact().clone();
            case.evidence.artifacts = Ok(vec![Artifact { lowest, ..new }]);
        });
        assert_eq!(judged.0, verdict, "{lowest}: {}", judged.1);
    }
}

#[test]
fn an_empty_differential_is_good_and_the_next_one_goes_on_from_before_it() {
    let mut case = Case::new(Kind::Differential);
    *case.new_artifact() = Artifact { lowest: 0, highest: 0, ..case.new_artifact().clone() };
    let empty = case.judged_at(case.ended.at).unwrap();
    assert_eq!(empty.verdict, Verdict::Good);
    let mut next = Case::new(Kind::Differential);
    assert!(next.chain.record(empty));
    next.task.job = "next".to_owned();
    let taken = next.ended.at + HOUR;
    *next.new_artifact() = Artifact { file: file("neo4j", taken), taken, ..next.new_artifact().clone() };
    next.ended.sizes = Some(vec![(file("neo4j", taken), 1)]);
    assert_eq!(next.verdict(), (Verdict::Good, String::new()));
}

#[test]
fn a_second_word_about_a_job_replaces_the_first_unless_that_was_good() {
    let mut case = Case::new(Kind::Full);
    case.evidence.ended = false;
    let unverified = case.judged_at(case.ended.at + HOUR).unwrap();
    let mut manifest = case.chain.clone();
    assert!(manifest.record(unverified.clone()));
    assert!(!manifest.record(unverified.clone()), "nothing has changed");
    case.evidence.ended = true;
    case.chain = manifest.clone();
    let good = case.judged_at(case.ended.at + HOUR).unwrap();
    assert_eq!(good.verdict, Verdict::Good, "its own file is not a second one: {:?}", good.reasons);
    assert!(manifest.record(good.clone()));
    assert!(!manifest.record(unverified));
    assert_eq!(manifest.backups, [good]);
}

#[test]
fn a_chain_with_a_failed_backup_takes_no_other() {
    let mut made = folder("neo4j", ID, at("2026-11-30T01:00:00Z"), 1, HOUR);
    add(&mut made, ID, at("2026-11-30T03:00:00Z"), Verdict::Failed);
    let mut case = Case::new(Kind::Differential);
    case.chain = made.manifest.unwrap().unwrap();
    assert_eq!(case.verdict().0, Verdict::Failed);
}
