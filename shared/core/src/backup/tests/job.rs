use jiff::SignedDuration;

use super::{
    super::{ChainId, Job, JobName, Kind, Limits, Next, Overdue, Progress, next},
    bucket::at,
};

const LIMITS: Limits = Limits { start: SignedDuration::from_mins(30), run: SignedDuration::from_hours(6) };

fn job(progress: Progress, started: bool, on_spot: bool) -> Job {
    let created = at("2026-11-30T01:00:00Z");
    Job { progress, created, started: started.then(|| created + SignedDuration::from_mins(5)), on_spot }
}

fn after(minutes: i64, job: &Job) -> Next {
    next(job, &LIMITS, at("2026-11-30T01:00:00Z") + SignedDuration::from_mins(minutes))
}

#[test]
fn a_name_is_one_of_batch_and_is_read_back() {
    let attempt = ChainId::new(at("2026-11-30T01:00:00Z"), 2);
    for (database, slot, text) in [
        ("neo4j", Kind::Full, "backup-full-20261130T010000Z-2-neo4j"),
        ("a.b-c.1", Kind::Differential, "backup-diff-20261130T010000Z-2-a_b-c_1"),
    ] {
        let name = JobName { database: database.to_owned(), slot, attempt };
        assert_eq!(name.to_string(), text);
        assert_eq!(text.parse(), Ok(name));
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
    }
    let longest = JobName { database: "d".repeat(63), slot: Kind::Full, attempt };
    assert!(longest.to_string().len() <= 128);
    for foreign in [
        "",
        "backup",
        "backup-full-20261130T010000Z-2",
        "backup-full-20261130T010000Z-2-",
        "backup-auto-20261130T010000Z-2-neo4j",
        "backup-full-20261130-2-neo4j",
        "backup-full-20261130T010000Z-02-neo4j",
        "backup-full-20261130T010000Z-2-a.b.c",
        "Backup-full-20261130T010000Z-2-neo4j",
    ] {
        assert_eq!(foreign.parse::<JobName>(), Err(()), "{foreign:?}");
    }
}

#[test]
fn every_state_of_batch_is_known() {
    for waits in ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING"] {
        assert_eq!(Progress::read(waits), Some(Progress::Waits));
    }
    assert_eq!(Progress::read("RUNNING"), Some(Progress::Runs));
    assert_eq!((Progress::read("SUCCEEDED"), Progress::read("FAILED")), (Some(Progress::Ended), Some(Progress::Ended)));
    assert_eq!(Progress::read("SCHEDULED"), None);
}

#[test]
fn a_job_without_capacity_is_terminated_and_tried_on_demand_once() {
    let waits = job(Progress::Waits, false, true);
    assert_eq!(after(30, &waits), Next::Wait);
    assert_eq!(after(31, &waits), Next::Terminate(Overdue::Start(30)));
    assert_eq!(after(32, &job(Progress::Ended, false, true)), Next::SubmitOnDemand);
    assert_eq!(after(32, &job(Progress::Ended, false, false)), Next::GiveUp);
    assert_eq!(Overdue::Start(30).to_string(), "no capacity: its container has not started within 30 minutes");
}

#[test]
fn a_job_that_has_run_is_never_tried_again_but_judged() {
    let runs = job(Progress::Runs, true, true);
    assert_eq!(after(6 * 60 + 5, &runs), Next::Wait);
    assert_eq!(after(6 * 60 + 6, &runs), Next::Terminate(Overdue::Run(360)));
    for on_spot in [true, false] {
        assert_eq!(after(10, &job(Progress::Ended, true, on_spot)), Next::Judge);
    }
    // One of which Batch does not say when it began is not forgotten.
    assert_eq!(after(6 * 60 + 1, &job(Progress::Runs, false, true)), Next::Terminate(Overdue::Run(360)));
}
