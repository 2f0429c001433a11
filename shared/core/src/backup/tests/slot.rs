use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::{
    super::{Because, ChainId, Choice, Folder, Kind, Refusal, Running, Verdict, choose},
    bucket::{ID, add, at, folder},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn opened() -> Timestamp {
    at("2026-11-30T01:00:00Z")
}

fn chain() -> Folder {
    folder("neo4j", ID, opened(), 2, HOUR)
}

fn slot() -> Timestamp {
    at("2026-11-30T04:00:00Z")
}

fn differential(newest: Option<&Folder>, running: &[Running]) -> Result<Choice, Refusal> {
    choose(Kind::Differential, slot(), 1, newest, running)
}

/// Why a differential slot takes a full backup.
fn because(newest: Option<&Folder>) -> Because {
    let choice = differential(newest, &[]).unwrap();
    assert_eq!((choice.kind, choice.chain), (Kind::Full, ChainId::new(slot(), 1)));
    choice.because
}

fn running(kind: Kind, chain: ChainId, ended: bool) -> Running {
    Running { job: format!("{kind}-job"), kind, chain, ended }
}

#[test]
fn a_differential_joins_the_newest_chain_if_all_of_it_is_good() {
    let chain = chain();
    let joined = Choice { kind: Kind::Differential, chain: chain.chain, because: Because::Schedule };
    assert_eq!(differential(Some(&chain), &[]), Ok(joined));
}

#[test]
fn a_differential_that_has_nothing_to_join_is_a_full_one() {
    assert_eq!(because(None), Because::NoChain);
    for (verdict, reasons) in [(Verdict::Failed, "told so"), (Verdict::Unverified, "told so")] {
        let mut bad = chain();
        add(&mut bad, ID, at("2026-11-30T03:30:00Z"), verdict);
        assert_eq!(because(Some(&bad)), Because::Last(verdict, vec![reasons.to_owned()]));
    }
    let mut bare = chain();
    bare.manifest = None;
    assert_eq!(because(Some(&bare)), Because::Unknown("it has no manifest".to_owned()));
    let mut holed = chain();
    holed.objects.remove(1);
    assert_eq!(because(Some(&holed)), Because::FilesMissing);
    let ahead = folder("neo4j", ID, slot() + HOUR * 30, 0, HOUR);
    assert_eq!(because(Some(&ahead)), Because::Future);
}

#[test]
fn a_full_one_opens_a_chain_of_its_own_beside_a_differential() {
    let chain = chain();
    let job = running(Kind::Differential, chain.chain, false);
    let choice = choose(Kind::Full, slot(), 2, Some(&chain), &[job]).unwrap();
    assert_eq!(choice, Choice { kind: Kind::Full, chain: ChainId::new(slot(), 2), because: Because::Schedule });
}

#[test]
fn overlap_is_refused_with_the_job_that_is_in_the_way() {
    let chain = chain();
    for kind in [Kind::Full, Kind::Differential] {
        let job = running(kind, chain.chain, false);
        assert_eq!(differential(Some(&chain), &[job]), Err(Refusal::Overlap(format!("{kind}-job"))));
        let job = running(kind, chain.chain, true);
        assert_eq!(differential(Some(&chain), &[job]), Err(Refusal::NotJudged(format!("{kind}-job"))));
    }
    let job = running(Kind::Full, chain.chain, false);
    assert_eq!(choose(Kind::Full, slot(), 1, Some(&chain), &[job]), Err(Refusal::Overlap("full-job".to_owned())));
}

#[test]
fn the_full_backup_of_the_same_time_covers_a_differential() {
    let job = running(Kind::Full, ChainId::new(slot(), 1), false);
    assert_eq!(differential(Some(&chain()), &[job]), Err(Refusal::Covered));
    let taken = folder("neo4j", ID, slot(), 0, HOUR);
    assert_eq!(differential(Some(&taken), &[]), Err(Refusal::Covered));
    assert!(Refusal::Covered.is_expected() && !Refusal::Late(taken.chain).is_expected());
}

#[test]
fn a_slot_that_is_delivered_twice_opens_no_second_chain() {
    let taken = folder("neo4j", ID, slot(), 0, HOUR);
    assert_eq!(choose(Kind::Full, slot(), 1, Some(&taken), &[]), Err(Refusal::Done(taken.chain)));
    assert_eq!(choose(Kind::Full, slot(), 2, Some(&taken), &[]).unwrap().chain, ChainId::new(slot(), 2));
}

#[test]
fn a_slot_that_comes_late_takes_nothing_behind_a_newer_chain() {
    let newer = folder("neo4j", ID, slot() + HOUR, 0, HOUR);
    for kind in [Kind::Full, Kind::Differential] {
        assert_eq!(choose(kind, slot(), 1, Some(&newer), &[]), Err(Refusal::Late(newer.chain)));
    }
}

proptest! {
    #[test]
    fn two_jobs_never_write_into_one_chain(
        jobs in vec((any::<bool>(), 0..6_i32, any::<bool>()), 0..4), full in any::<bool>(), hour in 0..6_i32,
        attempt in 1..3_u8, has_chain in any::<bool>(),
    ) {
        let chain = chain();
        let running: Vec<_> = jobs
            .into_iter()
            .map(|(full, hour, ended)| {
                let kind = if full { Kind::Full } else { Kind::Differential };
                running(kind, ChainId::new(opened() + HOUR * hour, 1), ended)
            })
            .collect();
        let kind = if full { Kind::Full } else { Kind::Differential };
        let choice = choose(kind, opened() + HOUR * hour, attempt, has_chain.then_some(&chain), &running);
        if let Ok(choice) = choice {
            prop_assert!(running.iter().all(|job| job.chain != choice.chain));
            prop_assert!(choice.kind == Kind::Differential || choice.chain != chain.chain || !has_chain);
        }
    }
}
