//! What must never happen, whatever lies in the bucket and whatever the policy says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::{
    super::{Chain, ChainId, Fate, Folder, Hold, Kind, Layout, Policy, Removal, State, Verdict, plan},
    bucket::{add, at, folder},
};

const IDS: [&str; 3] = ["id-one", "id-two", "id-three"];
const DATABASES: [&str; 2] = ["neo4j", "system"];
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What may be otherwise about one chain.
#[derive(Clone, Debug)]
struct Twist {
    database: usize,
    id: usize,
    /// Hours before the end of the schedule; some are dated into the future.
    age: i32,
    differentials: usize,
    /// The number of the first backup that is not good, and what it is.
    worse: Option<(usize, bool)>,
    manifest: u8,
    /// The number of a file that is missing.
    missing: Option<usize>,
    strangers: bool,
    hold: u8,
    looked_at: bool,
    /// How many hours after it was opened it was written last.
    late: i32,
}

fn any_twist() -> impl Strategy<Value = Twist> {
    let part = (0..2_usize, 0..3_usize, prop_oneof![20 => 0..24 * 400_i32, 1 => -500..0_i32], 0..4_usize);
    let faults = (
        prop::option::weighted(0.2, (0..4_usize, any::<bool>())),
        prop_oneof![20 => Just(0_u8), 1 => Just(1), 1 => Just(2), 1 => Just(3)],
        prop::option::weighted(0.1, 0..4_usize),
        prop::bool::weighted(0.05),
        prop_oneof![20 => Just(0_u8), 1 => 1..4_u8],
        prop::bool::weighted(0.9),
        prop_oneof![10 => Just(0), 1 => 0..1000_i32],
    );
    (part, faults).prop_map(
        |((database, id, age, differentials), (worse, manifest, missing, strangers, hold, looked_at, late))| Twist {
            database,
            id,
            age,
            differentials,
            worse,
            manifest,
            missing,
            strangers,
            hold,
            looked_at,
            late,
        },
    )
}

fn now() -> Timestamp {
    at("2026-11-30T12:00:00Z")
}

fn folders(twists: &[Twist]) -> Vec<(Folder, Twist)> {
    let mut made = BTreeMap::new();
    for twist in twists {
        let opened = now() - HOUR * twist.age - HOUR * 6;
        let database = DATABASES[twist.database];
        let mut found = folder(database, IDS[twist.id], opened, twist.differentials, HOUR);
        if let (Some((first, unverified)), Some(Ok(manifest))) = (twist.worse, &mut found.manifest) {
            let verdict = if unverified { Verdict::Unverified } else { Verdict::Failed };
            if let Some(backup) = manifest.backups.get_mut(first) {
                backup.verdict = verdict;
            }
        }
        if let Some(file) = twist.missing.filter(|file| *file < found.objects.len()) {
            found.objects.remove(file);
        }
        for object in &mut found.objects {
            object.written += HOUR * twist.late;
        }
        match twist.manifest {
            1 => found.manifest = None,
            2 => found.manifest = Some(Err("cut".to_owned())),
            3 => add(&mut found, IDS[twist.id], opened + HOUR * 5, Verdict::Failed),
            _ => {}
        }
        found.strangers = usize::from(twist.strangers);
        made.insert((found.database.clone(), found.chain), (found, twist.clone()));
    }
    made.into_values().collect()
}

fn chains(folders: &[(Folder, Twist)]) -> Vec<Chain> {
    let holds = |twist: &Twist| {
        twist.looked_at.then(|| match twist.hold {
            0 => vec![],
            1 => vec![Hold::Pinned],
            2 => vec![Hold::Legal],
            // Beyond every `now` of these tests.
            _ => vec![Hold::Until(now() + HOUR * 24 * 4000)],
        })
    };
    folders.iter().map(|(folder, twist)| Chain { holds: holds(twist), ..Chain::of(folder) }).collect()
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (0..5_u16, 0..20_u16, 0..10_u16, 0..14_u16, 0..4_u16, 1..=100_u8).prop_map(
        |(hourly_days, daily_days, weeks, months, minimum_chains, percent)| Policy {
            hourly_days,
            daily_days,
            weeks,
            months,
            minimum_chains,
            percent,
        },
    )
}

/// The newest good chain of each database id, as a person would look for it.
fn newest(chains: &[Chain], now: Timestamp) -> BTreeSet<(String, ChainId)> {
    let mut newest: BTreeMap<(&str, &str), (Timestamp, ChainId)> = BTreeMap::new();
    for chain in chains {
        let State::Good { id, ends, .. } = &chain.state else { continue };
        if *ends > now + SignedDuration::from_mins(5) {
            continue;
        }
        let best = newest.entry((&chain.database, id)).or_insert((*ends, chain.id));
        *best = (*best).max((*ends, chain.id));
    }
    newest.into_iter().map(|((database, _), (_, chain))| (database.to_owned(), chain)).collect()
}

/// More than the default, and not more than `make check` has time for.
fn cases() -> ProptestConfig {
    let cases = ProptestConfig::default().cases;
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_newest_good_chain_of_every_database_id_stays(
        twists in vec(any_twist(), 0..60), policy in any_policy(),
    ) {
        let folders = folders(&twists);
        let plan = plan(chains(&folders), &policy, now());
        let deleted: BTreeSet<_> = plan.deleted().map(|chain| (chain.database.clone(), chain.id)).collect();
        for (database, chain) in newest(&chains(&folders), now()) {
            prop_assert!(!deleted.contains(&(database.clone(), chain)), "{database} {chain}");
        }
        for (folder, twist) in &folders {
            if deleted.contains(&(folder.database.clone(), folder.chain)) {
                prop_assert!(twist.looked_at && twist.hold == 0 && !twist.strangers && twist.age >= 0, "{twist:?}");
                prop_assert!(!matches!(folder.manifest, None | Some(Err(_))));
            }
        }
    }

    #[test]
    fn wherever_a_run_ends_what_stays_can_be_restored_and_another_run_finds_it_so(
        twists in vec(any_twist(), 0..40), policy in any_policy(), stop in 0..200_usize,
    ) {
        let mut folders = folders(&twists);
        let before = chains(&folders);
        let first = plan(before.clone(), &policy, now());
        let gone: BTreeSet<_> = first.deleted().map(|chain| (chain.database.clone(), chain.id)).collect();
        let layout = Layout::new("graph");
        let removals: Vec<_> = folders
            .iter()
            .filter(|(folder, _)| gone.contains(&(folder.database.clone(), folder.chain)))
            .map(|(folder, _)| Removal::of(folder, &layout))
            .collect();
        let keys: Vec<String> = super::super::waves(&removals).flatten().take(stop).map(|(_, key)| key.to_owned()).collect();
        for (folder, _) in &mut folders {
            let had = Chain::of(folder);
            let at = layout.folder(&folder.database, folder.chain);
            folder.objects.retain(|object| !keys.contains(&format!("{at}{}", object.file)));
            let now_has = Chain::of(folder);
            // Nothing that was not to go has changed, and no differential outlives its full backup.
            if !gone.contains(&(folder.database.clone(), folder.chain)) {
                prop_assert_eq!(&had, &now_has);
            }
            if let (State::Good { .. }, State::Failed | State::Unverified) = (&had.state, &now_has.state) {
                prop_assert!(folder.objects.is_empty(), "{:?}", folder.objects);
            }
        }
        let left: Vec<Chain> = chains(&folders);
        prop_assert!(newest(&before, now()).is_subset(&newest(&left, now())));
        let second = plan(left.clone(), &policy, now());
        for chain in newest(&left, now()) {
            prop_assert!(!second.deleted().any(|deleted| (deleted.database.clone(), deleted.id) == chain));
        }
    }

    #[test]
    fn a_second_run_plans_nothing(twists in vec(any_twist(), 0..60), policy in any_policy()) {
        let policy = Policy { percent: 100, ..policy };
        let all = chains(&folders(&twists));
        let first = plan(all, &policy, now());
        let left = first.chains.iter().filter(|(_, fate)| *fate != Fate::Delete).map(|(chain, _)| chain.clone()).collect();
        prop_assert_eq!(plan(left, &policy, now()).deleted().count(), 0);
    }

    #[test]
    fn time_alone_deletes_nothing(twists in vec(any_twist(), 0..60), policy in any_policy(), hours in 0..24 * 3000_i32) {
        let folders: Vec<_> = folders(&twists).into_iter().filter(|(_, twist)| twist.age >= 0).collect();
        let soon = plan(chains(&folders), &policy, now());
        let late = plan(chains(&folders), &policy, now() + HOUR * hours);
        prop_assert_eq!(soon, late);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (twists, other) in vec(any_twist(), 0..40).prop_flat_map(|twists| {
            let count = folders(&twists).len();
            (Just(twists), Just((0..count).collect::<Vec<_>>()).prop_shuffle())
        }),
        policy in any_policy(),
    ) {
        let folders = chains(&folders(&twists));
        let shuffled = other.iter().map(|at| folders[*at].clone()).collect();
        prop_assert_eq!(plan(folders, &policy, now()), plan(shuffled, &policy, now()));
    }

    #[test]
    fn no_kept_differential_loses_its_base(twists in vec(any_twist(), 0..40), policy in any_policy()) {
        let layout = Layout::new("graph");
        for (folder, _) in folders(&twists) {
            let Some(Ok(manifest)) = &folder.manifest else { continue };
            let removal = Removal::of(&folder, &layout);
            let kind = |key: &str| {
                let found = manifest.backups.iter().find(|backup| {
                    backup.artifact.as_ref().is_some_and(|artifact| key.ends_with(&artifact.file))
                });
                found.map(|backup| backup.kind)
            };
            let fulls: Vec<_> = removal.keys.iter().map(|key| kind(key) == Some(Kind::Full)).collect();
            let full = fulls.iter().position(|full| *full);
            // After the full backup only the manifest goes.
            prop_assert!(full.is_none_or(|at| at + 2 == removal.keys.len()), "{:?}", removal.keys);
        }
        _ = policy;
    }
}
