use jiff::{SignedDuration, Timestamp};

use super::{
    super::{
        Chain, ChainId, Fate, Folder, Hold, Keep, Layout, Manifest, Object, Plan, Policy, Refused, Removal, Verdict,
        plan, report, waves,
    },
    bucket::{ID, add, at, file, folder, looked_at},
};

const OTHER: &str = "62d1820c-3ac6-4b15-a0b3-bf7e7becc8d0";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn policy() -> Policy {
    Policy { hourly_days: 3, daily_days: 14, weeks: 8, months: 12, minimum_chains: 2, percent: 100 }
}

/// A chain a day, of a full backup and 23 differentials.
fn days(count: i32, from: Timestamp) -> Vec<Folder> {
    (0..count).map(|day| folder("neo4j", ID, from + DAY * day, 23, HOUR)).collect()
}

fn fate<'a>(plan: &'a Plan, chain: &Folder) -> &'a Fate {
    let found = plan.chains.iter().find(|(found, _)| found.id == chain.chain && found.database == chain.database);
    &found.unwrap().1
}

/// Returns why a chain stays, in words.
fn why(plan: &Plan, chain: &Folder) -> String {
    match fate(plan, chain) {
        Fate::Delete => "deleted".to_owned(),
        Fate::Keep(reasons) => reasons.iter().map(Keep::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[test]
fn a_year_of_hourly_backups_shrinks_to_its_windows() {
    let mut folders = days(365, at("2025-12-01T00:00:00Z"));
    // One day the full backup failed; another day the last differential did.
    if let Some(Ok(manifest)) = &mut folders[200].manifest {
        manifest.backups.truncate(1);
        manifest.backups[0].verdict = Verdict::Failed;
        manifest.backups[0].artifact = None;
    }
    folders[200].objects.clear();
    if let Some(Ok(manifest)) = &mut folders[362].manifest {
        manifest.backups[23].verdict = Verdict::Unverified;
    }
    let now = at("2026-11-30T23:30:00Z");
    let plan = plan(looked_at(&folders), &policy(), now);
    insta::assert_snapshot!("year", report(&plan, now));
}

#[test]
fn fulls_each_hour_are_thinned_as_the_predecessor_did() {
    // `BackupHourlyStoreForDays` 2 and `BackupDailyStoreForDays` 7.
    let policy = Policy { hourly_days: 2, daily_days: 7, weeks: 0, months: 0, minimum_chains: 1, percent: 100 };
    let from = at("2026-11-20T00:00:00Z");
    let folders: Vec<_> = (0..24 * 10).map(|hour| folder("neo4j", ID, from + HOUR * hour, 0, HOUR)).collect();
    let now = at("2026-11-30T00:00:00Z");
    let plan = plan(looked_at(&folders), &policy, now);
    insta::assert_snapshot!("predecessor", report(&plan, now));
    // 48 hours, and the last one of each of the 5 days before.
    assert_eq!(plan.chains.len() - plan.deleted().count(), 48 + 5);
}

#[test]
fn what_stays_for_another_reason_than_a_window_says_so() {
    let mut folders = days(40, at("2026-10-01T00:00:00Z"));
    let now = at("2026-11-09T23:30:00Z");
    let policy = Policy { weeks: 0, months: 0, ..policy() };
    folders[1].strangers = 1;
    folders[2].manifest = None;
    folders[3].manifest = Some(Err("it is no JSON".to_owned()));
    if let Some(Ok(manifest)) = &mut folders[4].manifest {
        manifest.version = 9;
    }
    folders[5].manifest = folders[6].manifest.clone();
    let mut chains = looked_at(&folders);
    chains[7].holds = Some(vec![Hold::Pinned]);
    chains[8].holds = Some(vec![Hold::Legal, Hold::Until(now + DAY)]);
    chains[9].holds = Some(vec![Hold::Until(now)]);
    chains[10].holds = None;
    // Written again, long after it was taken.
    chains[11].written = Some(now - HOUR);
    let plan = plan(chains, &policy, now);
    let said: Vec<_> =
        folders.iter().take(13).map(|folder| format!("{}: {}", folder.chain, why(&plan, folder))).collect();
    insta::assert_snapshot!("reasons", said.join("\n"));
    assert_eq!(plan.candidates, [("neo4j".to_owned(), folders[10].chain)]);
}

#[test]
fn when_backups_stop_nothing_ages_out() {
    let folders = days(30, at("2026-11-01T00:00:00Z"));
    let plan_at = |now: &str| plan(looked_at(&folders), &policy(), at(now));
    let soon = plan_at("2026-11-30T23:30:00Z");
    assert_eq!(soon.deleted().count(), plan_at("2036-11-30T23:30:00Z").deleted().count());
    assert!(soon.deleted().count() > 0);
}

#[test]
fn failed_and_unverified_chains_never_displace_good_ones() {
    let mut folders = days(3, at("2026-11-01T00:00:00Z"));
    // For a month nothing has been good.
    for day in 3..33 {
        let mut bad = folder("neo4j", ID, at("2026-11-01T00:00:00Z") + DAY * day, 0, HOUR);
        let verdict = if day % 2 == 0 { Verdict::Failed } else { Verdict::Unverified };
        if let Some(Ok(manifest)) = &mut bad.manifest {
            manifest.backups[0].verdict = verdict;
        }
        folders.push(bad);
    }
    let policy = Policy { hourly_days: 1, daily_days: 3, weeks: 0, months: 0, minimum_chains: 1, percent: 100 };
    let now = at("2026-12-04T00:00:00Z");
    let stopped = plan(looked_at(&folders), &policy, now);
    assert_eq!(stopped.deleted().count(), 0, "{}", report(&stopped, now));
    // One good backup later what failed may go, and what is unverified after a week.
    folders.push(folder("neo4j", ID, now, 0, HOUR));
    let resumed = plan(looked_at(&folders), &policy, now + HOUR);
    insta::assert_snapshot!("resumed", report(&resumed, now + HOUR));
}

#[test]
fn each_id_of_a_database_keeps_its_newest_chain() {
    let mut folders = days(3, at("2025-01-01T00:00:00Z"));
    let again = at("2026-01-01T00:00:00Z");
    folders.extend((0..100).map(|day| folder("neo4j", OTHER, again + DAY * day, 0, HOUR)));
    let policy = Policy { minimum_chains: 1, ..policy() };
    let plan = plan(looked_at(&folders), &policy, again + DAY * 100);
    assert!(why(&plan, &folders[2]).contains("newest good"), "{}", why(&plan, &folders[2]));
    assert!(plan.deleted().count() > 50);
}

#[test]
fn a_future_date_holds_its_chain_and_ages_nothing_out() {
    let mut folders = days(3, at("2026-11-01T00:00:00Z"));
    folders.push(folder("neo4j", ID, at("2027-11-01T00:00:00Z"), 0, HOUR));
    let plan = plan(looked_at(&folders), &policy(), at("2026-11-04T00:00:00Z"));
    assert_eq!(plan.deleted().count(), 0);
    assert!(why(&plan, &folders[3]).contains("dated into the future"), "{}", why(&plan, &folders[3]));
    assert!(why(&plan, &folders[2]).contains("newest good"), "{}", why(&plan, &folders[2]));
}

#[test]
fn one_run_deletes_only_so_many() {
    let folders = days(365, at("2025-12-01T00:00:00Z"));
    let now = at("2026-11-30T23:30:00Z");
    let few = Policy { percent: 10, ..policy() };
    let plan = plan(looked_at(&folders), &few, now);
    let deleted: Vec<_> = plan.deleted().map(|chain| chain.id).collect();
    assert_eq!(deleted.len(), 36);
    assert_eq!(deleted[0], folders[0].chain, "the oldest go first");
    assert!(why(&plan, &folders[100]).contains("goes in a later run"));
}

#[test]
fn nothing_is_deleted_that_nobody_has_looked_at() {
    let folders = days(365, at("2025-12-01T00:00:00Z"));
    let now = at("2026-11-30T23:30:00Z");
    let first = plan(folders.iter().map(Chain::of).collect(), &policy(), now);
    assert_eq!(first.deleted().count(), 0);
    assert_eq!(first.candidates.len(), plan(looked_at(&folders), &policy(), now).deleted().count());
}

#[test]
fn a_chain_loses_its_differentials_first_and_its_manifest_last() {
    let mut chain = folder("neo4j", ID, at("2026-11-01T00:00:00Z"), 2, HOUR);
    // A differential whose job was taken away left a file that nothing was built on.
    let left = file("neo4j", at("2026-10-01T00:00:00Z"));
    chain.objects.insert(0, Object { file: left.clone(), bytes: 1, written: at("2026-11-01T05:00:00Z") });
    let layout = Layout::new("graph");
    let removal = Removal::of(&chain, &layout);
    let at_folder = layout.folder("neo4j", chain.chain);
    let keys: Vec<_> = removal.keys.iter().map(|key| key.strip_prefix(&at_folder).unwrap_or(key)).collect();
    assert_eq!(
        keys,
        [
            left.as_str(),
            "neo4j-2026-11-01T02-02-00.backup",
            "neo4j-2026-11-01T01-02-00.backup",
            "neo4j-2026-11-01T00-02-00.backup",
            "graph/manifests/neo4j/20261101T000000Z-1.json",
        ]
    );
}

#[test]
fn no_call_deletes_two_objects_of_one_chain_or_more_than_a_thousand() {
    let layout = Layout::new("graph");
    let folders: Vec<_> = (0..2100)
        .map(|hour| {
            folder("neo4j", ID, at("2026-01-01T00:00:00Z") + HOUR * hour, usize::try_from(hour % 3).unwrap(), HOUR)
        })
        .collect();
    let removals: Vec<_> = folders.iter().map(|folder| Removal::of(folder, &layout)).collect();
    let mut done: Vec<Vec<&str>> = vec![vec![]; removals.len()];
    let mut calls = 0;
    for wave in waves(&removals) {
        calls += 1;
        assert!(!wave.is_empty() && wave.len() <= 1000);
        let chains: std::collections::BTreeSet<_> = wave.iter().map(|(at, _)| at).collect();
        assert_eq!(chains.len(), wave.len());
        for (at, key) in wave {
            done[at].push(key);
        }
    }
    assert_eq!(calls, 3 + 3 + 2 + 1);
    for (removal, done) in removals.iter().zip(done) {
        assert_eq!(removal.keys, done);
    }
}

#[test]
fn a_policy_that_keeps_nothing_is_refused_by_name() {
    let none = Policy { hourly_days: 0, daily_days: 0, weeks: 0, months: 0, ..policy() };
    assert_eq!(none.checked(), Err(Refused::KeepsNothing));
    assert!(Policy { months: 1, ..none }.checked().is_ok());
    assert_eq!(Policy { minimum_chains: 0, ..policy() }.checked(), Err(Refused::NoMinimum));
    for percent in [0, 101] {
        assert_eq!(Policy { percent, ..policy() }.checked(), Err(Refused::Percent(percent)));
    }
}

#[test]
fn a_chain_ends_where_its_files_do() {
    let mut chain = folder("neo4j", ID, at("2026-11-01T00:00:00Z"), 3, HOUR);
    assert_eq!(Chain::of(&chain).ends(), Some(at("2026-11-01T03:02:00Z")));
    let third = chain.objects.remove(2);
    assert_eq!(Chain::of(&chain).ends(), Some(at("2026-11-01T01:02:00Z")));
    chain.objects.insert(2, Object { bytes: 0, ..third });
    assert_eq!(Chain::of(&chain).ends(), Some(at("2026-11-01T01:02:00Z")));
    chain.objects.remove(0);
    assert_eq!(Chain::of(&chain).ends(), None);
    let mut empty = folder("neo4j", ID, at("2026-11-01T00:00:00Z"), 0, HOUR);
    empty.manifest = Some(Ok(Manifest::new("neo4j", ChainId::new(at("2026-11-01T00:00:00Z"), 1))));
    assert_eq!(Chain::of(&empty).ends(), None);
    add(&mut empty, ID, at("2026-11-01T00:00:00Z"), Verdict::Unverified);
    assert_eq!(Chain::of(&empty).ends(), None);
}
