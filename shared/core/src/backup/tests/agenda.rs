use std::{collections::BTreeSet, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};

use super::{
    super::{
        Age, Ages, ChainId, Folder, JobName, Kind, NoSource, OpenJob, Role, Slot, Source, Step, Task, Verdict, decide,
    },
    bucket::{ID, add, at, folder},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn due() -> Timestamp {
    at("2026-11-30T04:00:00Z")
}

fn chain() -> Folder {
    folder("neo4j", ID, at("2026-11-30T01:00:00Z"), 2, HOUR)
}

fn source() -> Source {
    Source { member: "core 2".into(), address: Ipv4Addr::new(10, 0, 2, 12), role: Role::Follower }
}

fn none() -> NoSource {
    NoSource::NoCopy { database: "neo4j".into(), copies: vec!["core 1: its copy is offline".into()] }
}

fn job(asks: Kind, slot: Timestamp, kind: Kind) -> OpenJob {
    let attempt = ChainId::new(slot, 1);
    let task = Task {
        job: format!("id-{slot}"),
        database: "neo4j".into(),
        chain: if kind == Kind::Full { attempt } else { chain().chain },
        kind,
        slot,
        source: "core 2".into(),
    };
    let name = JobName { database: "neo4j".into(), slot: asks, attempt };
    OpenJob { name, task, nonce: "b1".into(), on_spot: true, claimed: slot, terminated: None }
}

fn step(kind: Kind, source: Result<Source, NoSource>, newest: Option<&Folder>, open: &[OpenJob], minutes: i64) -> Step {
    let slot = Slot::new(kind, due(), due());
    let open: Vec<&OpenJob> = open.iter().collect();
    decide(&slot, None, source, newest, &open, &BTreeSet::new(), due() + SignedDuration::from_mins(minutes))
}

#[test]
fn a_slot_submits_a_job_from_a_healthy_member() {
    let submitted = |kind, newest: Option<&Folder>| match step(kind, Ok(source()), newest, &[], 0) {
        Step::Submit(choice, from) => (choice.kind, choice.chain, from.member),
        other => panic!("{other:?}"),
    };
    let opens = ChainId::new(due(), 1);
    assert_eq!(submitted(Kind::Full, Some(&chain())), (Kind::Full, opens, "core 2".into()));
    assert_eq!(submitted(Kind::Differential, Some(&chain())), (Kind::Differential, chain().chain, "core 2".into()));
    assert_eq!(submitted(Kind::Differential, None), (Kind::Full, opens, "core 2".into()));
}

#[test]
fn what_may_come_by_itself_is_waited_for_and_then_refused_by_name() {
    let why = "no member has a healthy copy of neo4j: core 1: its copy is offline".to_owned();
    assert_eq!(step(Kind::Full, Err(none()), None, &[], 19), Step::Wait(why.clone()));
    assert_eq!(step(Kind::Full, Err(none()), None, &[], 20), Step::Refuse(why));
    // The verdict on the job before it may come within a quarter of an hour.
    let before = job(Kind::Differential, due() - HOUR, Kind::Differential);
    let slot = Slot::new(Kind::Differential, due(), due());
    let ended = [before.task.job.as_str()].into();
    for (minutes, waits) in [(19, true), (20, false)] {
        let now = due() + SignedDuration::from_mins(minutes);
        let step = decide(&slot, None, Ok(source()), Some(&chain()), &[&before], &ended, now);
        assert_eq!(matches!(step, Step::Wait(_)), waits, "{step:?}");
        assert_eq!(matches!(step, Step::Refuse(_)), !waits, "{step:?}");
    }
}

#[test]
fn no_slot_submits_beside_a_job_of_its_own_or_one_that_writes_into_the_same_chain() {
    for (asks, running) in [
        (Kind::Full, job(Kind::Full, due(), Kind::Full)),
        (Kind::Differential, job(Kind::Differential, due(), Kind::Differential)),
        (Kind::Differential, job(Kind::Full, due(), Kind::Full)),
        // The differential had nothing to join, so it is the full one of that time.
        (Kind::Full, job(Kind::Differential, due(), Kind::Full)),
    ] {
        let step = step(asks, Ok(source()), Some(&chain()), &[running], 0);
        assert!(matches!(step, Step::Settled(_)), "{step:?}");
    }
    for (asks, running) in [
        (Kind::Differential, job(Kind::Differential, due() - HOUR, Kind::Differential)),
        (Kind::Differential, job(Kind::Full, due() - HOUR, Kind::Full)),
        (Kind::Full, job(Kind::Full, due() - HOUR, Kind::Full)),
    ] {
        let step = step(asks, Ok(source()), Some(&chain()), &[running], 0);
        assert!(matches!(&step, Step::Refuse(why) if why.contains("still runs")), "{step:?}");
    }
    // One that was judged is not taken again.
    let mut taken = chain();
    add(&mut taken, ID, due(), Verdict::Good);
    let step = step(Kind::Differential, Ok(source()), Some(&taken), &[], 0);
    assert!(matches!(step, Step::Settled(_)), "{step:?}");
}

#[test]
fn a_database_that_is_not_backed_up_is_refused_at_once() {
    let sharded = NoSource::Sharded("big".into());
    let slot = Slot::new(Kind::Full, due(), due());
    let step = decide(&slot, Some(&sharded), Ok(source()), None, &[], &BTreeSet::new(), due());
    assert_eq!(step, Step::Refuse(sharded.to_string()));
}

#[test]
fn the_age_counts_from_the_oldest_of_the_newest_good_backups() {
    let mut ages = Ages::default();
    assert_eq!(ages.worst(due()), None);
    ages.began = Some(due() - HOUR);
    assert_eq!(ages.worst(due()), Some(("", 3600)));
    ages.see(["a".to_owned(), "b".to_owned()], due());
    assert_eq!(ages.worst(due() + HOUR), Some(("a", 3600)));
    let good = |at| Age { since: due(), good: Some(at) };
    ages.databases.insert("a".into(), good(due() + HOUR * 2));
    ages.databases.insert("b".into(), good(due() - HOUR * 2));
    assert_eq!(ages.worst(due() + HOUR), Some(("b", 3 * 3600)));
    // A database that is gone needs no backups, and one that is seen again keeps its age.
    ages.see(["a".to_owned()], due() + HOUR * 3);
    assert_eq!(ages.worst(due() + HOUR * 4), Some(("a", 2 * 3600)));
}
