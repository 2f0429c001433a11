use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// How many clusters a property looks at. `PROPTEST_CASES` asks for more.
fn cases(least: u32) -> ProptestConfig {
    let cases = ProptestConfig::default().cases.max(least);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

/// Returns a cluster whose core 2 may be ill in some way, with whatever may be missing from the proof.
pub(crate) fn any_patient() -> impl Strategy<Value = Observed> {
    let minutes = || 0i64..80;
    let status = prop_oneof![
        12 => Just(Some("UNAVAILABLE")), 1 => Just(Some("APPLYING")), 1 => Just(Some("REPLICATING")), 1 => Just(None)
    ];
    let fault = prop_oneof![12 => Just(0u8), 3 => 1u8..4];
    let clock = (option::weighted(0.9, minutes()), minutes(), prop_oneof![8 => 0i64..3, 1 => 3i64..6]);
    let restarts = vec(prop_oneof![1 => 0i64..70, 2 => 0i64..1_500], 0..4);
    let changes = vec(0usize..40, 0..2);
    let kind = option::weighted(0.2, select(vec![Kind::Silent, Kind::Unreachable, Kind::Failed]));
    (0u8..5, [minutes(), minutes()], vec(status, 4), [fault.clone(), fault], clock, restarts, changes, kind).prop_map(
        |(base, [one, two], statuses, faults, (alone, since, seen), restarts, changes, kind)| {
            let mut observed = match base {
                0 | 1 => hangs(one),
                2 => hung_in_its_start(one, two),
                3 => met_full_disk(two),
                _ => is_cut_off(one, two),
            };
            let mut statuses = statuses.into_iter();
            for (peer, fault) in [1, 3].into_iter().zip(faults) {
                let answer = asked(&mut observed).answer(peer);
                for row in answer.check.iter_mut().flatten().filter(|row| row.server == "server-2") {
                    // What is well stays so but for what the others say.
                    row.status = statuses.next().flatten().map(str::to_owned);
                }
                let error = || Said::new(Kind::Silent, "no answer");
                match fault {
                    1 => answer.page = Err(error()),
                    2 => answer.check = Err(error()),
                    3 => answer.check.as_mut().unwrap().retain(|row| row.server != "server-2"),
                    _ => {}
                }
            }
            for silent in observed.silent.values_mut() {
                let alone = silent.alone.and(alone).map(|minutes| ago(minutes.min(since)));
                *silent = Silent { since: ago(since), seen: ago(seen), alone };
            }
            let restarts: Vec<_> = restarts.into_iter().map(ago).collect();
            observed.restarts = [(CORE, restarts)].into();
            if let Some(kind) = kind.filter(|_| base != 3) {
                mute(&mut observed, kind);
            }
            let all: Vec<_> = hands_off().into_iter().chain(missing()).collect();
            for (_, change) in changes.into_iter().filter_map(|index| all.get(index)) {
                // What somebody removed cannot be changed further.
                if observed.container_instances.len() == 3 && matches!(observed.neo4j, Seen::Answers(_)) {
                    change(&mut observed);
                }
            }
            observed
        },
    )
}

/// Returns what the other cores that answer a page say of core 2: of each, the statuses in its status check; nothing where it
/// gives none.
fn words(observed: &Observed) -> Vec<Option<Vec<Option<String>>>> {
    let members = observed.quorum_observed.iter().flat_map(|asked| &asked.members);
    let answers = members.filter(|member| member.core != Some(CORE)).filter_map(|member| member.answer.as_ref());
    let answers = answers.filter(|answer| answer.page.is_ok());
    let rows = answers.map(|answer| {
        let rows = answer.check.as_ref().ok()?.iter().filter(|row| row.server == "server-2");
        Some(rows.map(|row| row.status.clone()).collect())
    });
    rows.collect()
}

fn are_unavailable(words: &[Option<Vec<Option<String>>>]) -> bool {
    let unavailable = |rows: &Vec<Option<String>>| {
        !rows.is_empty() && rows.iter().all(|status| status.as_deref() == Some("UNAVAILABLE"))
    };
    words.len() >= 2 && words.iter().all(|rows| rows.as_ref().is_some_and(unavailable))
}

proptest! {
    #![proptest_config(cases(2_048))]

    #[test]
    fn nobody_is_healed_for_silence_whose_peers_do_not_call_it_unavailable(observed in any_patient()) {
        let (ill, words) = (ill(&observed), words(&observed));
        let takes_part = words.iter().flatten().flatten().flatten().any(|status| status != "UNAVAILABLE");
        match ill {
            Some(Ill::Hanging { .. } | Ill::Wedged { witness: Witness::Peers(_), .. }) => prop_assert!(are_unavailable(&words)),
            Some(Ill::DiskStart { .. } | Ill::Wedged { .. }) => prop_assert!(!takes_part),
            Some(Ill::DiskRunning { .. }) | None => {}
        }
    }

    #[test]
    fn nobody_is_healed_twice_within_an_hour_and_no_task_twice(observed in any_patient()) {
        let Some(ill) = ill(&observed) else { return Ok(()) };
        // What should have stopped the task that ECS still wants, and is over, came to nothing.
        let running = observed.container_instances.iter().filter(|on| on.connected).flat_map(|on| &on.tasks);
        let running: Vec<_> = running.filter(|task| Some(task.id.as_str()) == ill.task()).collect();
        let undone = |at: &Timestamp| {
            let started = running.iter().filter_map(|task| task.started_at).max();
            started.is_some_and(|started| started <= *at) && *at <= ago(2)
        };
        let restarts = observed.restarts.get(&CORE).into_iter().flatten();
        let Some(last) = restarts.filter(|at| !undone(at)).max() else { return Ok(()) };
        let long_ago = now().duration_since(*last) >= SignedDuration::from_hours(1);
        // It had no vote, and is another task than the one that was stopped.
        let another = matches!(ill, Ill::DiskStart { since, .. } if *last < since);
        prop_assert!(long_ago || another);
    }

    #[test]
    fn nobody_is_healed_for_silence_in_the_first_sweep_after_a_gap(observed in any_patient(), minutes in 4i64..10_000) {
        let mut after = observed;
        for silent in after.silent.values_mut() {
            silent.seen = silent.seen.min(ago(minutes));
        }
        // The clock of its agent starts anew as well.
        let lost = after.container_instances.iter_mut().filter(|found| !found.connected);
        lost.for_each(|found| found.disconnected_since = Some(now()));
        let healed = matches!(ill(&after), Some(Ill::Hanging { .. } | Ill::Wedged { .. }));
        prop_assert!(!healed);
    }

    #[test]
    fn whoever_is_healed_is_the_one_member_of_a_core_in_service_of_a_complete_cluster(observed in any_patient()) {
        let Some(ill) = ill(&observed) else { return Ok(()) };
        prop_assert_eq!(observed.phase, Phase::Complete);
        let instances = observed.groups.iter().filter(|group| group.core == Some(CoreId::from(CORE)));
        let instances: Vec<_> = instances.flat_map(|group| &group.instances).filter(|i| i.state.is_in_service()).collect();
        prop_assert_eq!(instances.iter().map(|instance| &instance.id).collect::<Vec<_>>(), vec![ill.instance()]);
        let registrations = observed.of(ill.instance());
        let tasks: Vec<_> = observed.container_instances.iter().flat_map(|on| &on.tasks).collect();
        let tasks: Vec<_> = tasks.into_iter().filter(|task| task.service() == Some("core-2")).collect();
        if let Ill::Wedged { task, .. } = &ill {
            prop_assert!(registrations.iter().all(|found| found.is_silent(now())));
            prop_assert_eq!(tasks.iter().map(|task| &task.id).collect::<Vec<_>>(), task.iter().collect::<Vec<_>>());
        } else {
            let [task] = tasks[..] else { return Err(TestCaseError::fail("one task")) };
            prop_assert_eq!(Some(task.id.as_str()), ill.task());
            prop_assert!(task.status == "RUNNING" && task.wanted && !task.unhealthy);
            prop_assert!(registrations.iter().any(|found| found.connected && found.is_active()));
        }
    }

    #[test]
    fn a_recovery_is_never_interrupted(observed in any_patient()) {
        let ill = ill(&observed);
        let Seen::Answers(cores) = &observed.neo4j else {
            prop_assert_eq!(ill, None);
            return Ok(());
        };
        match ill {
            Some(Ill::Hanging { .. } | Ill::Wedged { task: Some(_), .. }) => prop_assert!(cores[&CORE].answered_before),
            Some(Ill::DiskStart { was, .. }) => prop_assert!(was < 1.0 && !cores[&CORE].answered_before),
            Some(Ill::DiskRunning { .. }) => prop_assert!(cores[&CORE].answer.page.is_ok()),
            Some(Ill::Wedged { task: None, .. }) | None => {}
        }
    }

    #[test]
    fn the_order_of_what_is_observed_decides_nothing(observed in any_patient()) {
        let mut turned = observed.clone();
        turned.groups.reverse();
        turned.groups.iter_mut().for_each(|group| group.instances.reverse());
        turned.container_instances.reverse();
        turned.container_instances.iter_mut().for_each(|found| found.tasks.reverse());
        turned.restarts.values_mut().for_each(|restarts| restarts.reverse());
        if let Some(asked) = &mut turned.quorum_observed {
            asked.members.reverse();
            let answers = asked.members.iter_mut().filter_map(|member| member.answer.as_mut());
            answers.flat_map(|answer| answer.check.iter_mut()).for_each(|rows| rows.reverse());
        }
        prop_assert_eq!(ill(&observed), ill(&turned));
        prop_assert_eq!(not_yet(&observed, &three(), CORE, now()), not_yet(&turned, &three(), CORE, now()));
    }
}

/// The properties are about something: every illness occurs.
#[test]
fn every_illness_is_among_the_clusters_that_the_properties_look_at() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let (mut runner, mut seen) = (TestRunner::deterministic(), std::collections::BTreeMap::<&str, usize>::new());
    for _ in 0..2_048 {
        let observed = any_patient().new_tree(&mut runner).unwrap().current();
        *seen
            .entry(match ill(&observed) {
                Some(Ill::Hanging { .. }) => "hanging",
                Some(Ill::DiskStart { .. }) => "disk start",
                Some(Ill::DiskRunning { .. }) => "disk running",
                Some(Ill::Wedged { .. }) => "wedged",
                None => "none",
            })
            .or_default() += 1;
    }
    assert!(seen.len() == 5 && seen.values().all(|times| *times >= 10), "{seen:?}");
}
