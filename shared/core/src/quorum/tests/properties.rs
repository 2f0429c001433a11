use proptest::prelude::*;

use super::{
    model::{look, truth},
    *,
};
use crate::neo4j::{Fault, Kind};

/// How many clusters a property looks at. `PROPTEST_CASES` asks for more.
fn cases(least: u32) -> ProptestConfig {
    let cases = ProptestConfig::default().cases.max(least);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

/// How often something looks otherwise than it is, in 1,000.
fn often() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0u64, 2, 10, 50, 300])
}

fn safe(observed: &Observed) -> Vec<u8> {
    let quorum = Quorum::of(observed);
    (1..=observed.cores).filter(|core| quorum.unsafe_to_stop(*core).is_empty()).collect()
}

/// Takes what somebody says: all of it, or a part.
fn silence(observed: &mut Observed, core: u8, what: u8) {
    let fault = || Fault::new(Kind::Silent, "no answer");
    for member in observed.members.iter_mut().filter(|member| member.core == Some(core)) {
        match (what % 6, &mut member.answer) {
            (1, Some(answer)) => answer.page = Err(fault()),
            (2, Some(answer)) => answer.raft = Err(fault()),
            (3, Some(answer)) => answer.view = Err(fault()),
            (4, Some(answer)) => answer.check = Err(fault()),
            (5, _) => member.going = Some(Going::Spot),
            (_, answer) => *answer = None,
        }
    }
}

/// Turns the order of everything that has none.
fn turned(observed: &Observed) -> Observed {
    let mut turned = observed.clone();
    turned.members.reverse();
    for answer in turned.members.iter_mut().filter_map(|member| member.answer.as_mut()) {
        answer.raft.iter_mut().for_each(|raft| raft.reverse());
        answer.check.iter_mut().for_each(|checks| checks.reverse());
        if let Ok(view) = &mut answer.view {
            view.servers.reverse();
            view.databases.reverse();
            view.databases.iter_mut().for_each(|database| database.copies.reverse());
        }
    }
    turned
}

proptest! {
    #![proptest_config(cases(1_024))]

    /// Whoever is about to go goes at the same moment.
    #[test]
    fn what_is_safe_to_stop_takes_no_majority(truth in truth(), seed in any::<u64>(), often in often()) {
        let observed = look(&truth, seed, often);
        for core in safe(&observed) {
            let goes = |other: u8| {
                other == core || observed.members.iter().any(|found| found.core == Some(other) && found.going.is_some())
            };
            for group in truth.groups.iter().filter(|group| !group.is_consent()) {
                prop_assert!(
                    group.has_majority(goes) || !group.has_majority(|_| false),
                    "core {core} is called safe, and database {} loses its majority: {group:?}\n{observed:#?}",
                    group.name
                );
            }
        }
    }

    #[test]
    fn silence_never_makes_anything_safer(
        truth in truth(), seed in any::<u64>(), often in often(),
        silent in prop::collection::vec((1..=7u8, any::<u8>()), 1..4),
    ) {
        let observed = look(&truth, seed, often);
        let mut quieter = observed.clone();
        for (core, what) in silent {
            silence(&mut quieter, core, what);
        }
        let before = safe(&observed);
        for core in safe(&quieter) {
            prop_assert!(before.contains(&core), "core {core} became safe by silence: {quieter:#?}");
        }
    }

}

proptest! {
    #[test]
    fn the_order_of_answers_does_not_matter(truth in truth(), seed in any::<u64>(), often in often()) {
        let observed = look(&truth, seed, often);
        prop_assert_eq!(Quorum::of(&observed), Quorum::of(&turned(&observed)));
    }

    #[test]
    fn a_cluster_that_is_well_lets_every_core_go_and_one_that_nobody_expects_never(truth in truth(), other in any::<u8>()) {
        let mut well = truth.clone();
        for group in &mut well.groups {
            group.requested = group.requested.max(3).min(u32::from(truth.cores));
            group.hosts = (1..=truth.cores).take(group.requested as usize).collect();
            (group.voters, group.healthy, group.never_online) = (group.hosts.clone(), group.hosts.clone(), false);
        }
        let observed = look(&well, 1, 0);
        if well.groups.len() > 1 {
            prop_assert_eq!(safe(&observed), (1..=truth.cores).collect::<Vec<_>>());
        }
        if !(1..=truth.cores).contains(&other) {
            prop_assert!(!Quorum::of(&observed).unsafe_to_stop(other).is_empty());
        }
    }
}
