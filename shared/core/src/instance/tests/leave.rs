use super::*;

#[test]
fn an_instance_is_released_only_when_nothing_is_lost_with_it() {
    let (drain, wait) =
        (Action::Drain { container_instances: vec!["arn:1".into()] }, Action::Wait { heartbeat: false });
    let hold = Action::Wait { heartbeat: true };
    let connected = |tasks| Some(registered(Some("1"), tasks));
    let lost = |tasks| Some(silent(registered(Some("1"), tasks), 6));
    let away = |tasks| Some(silent(registered(Some("1"), tasks), 4));
    let drained = |tasks| Some(draining(registered(Some("1"), tasks)));
    let stopping = |tasks: usize| Reason::TasksStopping(format!("service core-1 ({tasks})"));
    let (creating, complete, deleting) = (Phase::Creating, Phase::Complete, Phase::Deleting);
    for (phase, found, action, why) in [
        (complete, None, Action::Release, Reason::NotJoined),
        (complete, connected(0), drain.clone(), Reason::Emptied),
        (complete, lost(0), leave(), Reason::NoTasks),
        (complete, away(0), leave(), Reason::NoTasks),
        (complete, drained(0), leave(), Reason::NoTasks),
        (complete, connected(1), hold.clone(), Reason::NotAsked),
        (complete, lost(1), hold.clone(), Reason::NotAsked),
        (complete, away(1), hold.clone(), Reason::NotAsked),
        (complete, drained(1), hold, stopping(1)),
        (creating, None, Action::Release, Reason::NotJoined),
        (creating, connected(0), drain.clone(), Reason::Emptied),
        (creating, drained(0), leave(), Reason::NoTasks),
        (creating, lost(1), deregister(), Reason::Silent),
        (creating, away(1), wait.clone(), Reason::AgentAway),
        (creating, connected(2), wait.clone(), stopping(2)),
        (deleting, None, Action::Release, Reason::NotJoined),
        (deleting, connected(0), drain.clone(), Reason::Emptied),
        (deleting, lost(1), deregister(), Reason::Silent),
        (deleting, lost(0), leave(), Reason::NoTasks),
        (deleting, away(1), wait.clone(), Reason::AgentAway),
        (deleting, connected(1), drain, Reason::Leaving),
        (deleting, drained(2), wait, stopping(2)),
    ] {
        let observed = held(State::TerminatingWait, phase, found);
        assert_eq!(verdict(&observed), (action, why), "{observed:?}");
    }
}

#[test]
fn lists_that_may_be_older_than_the_drain_release_nothing() {
    let seconds = |ago: i64| now() - SignedDuration::from_secs(ago);
    // Of a core: since when it is empty, who has the lease since when, and when a task on it stopped.
    let with = |empty: Option<i64>, lease: Option<(u8, i64)>, stopped: Option<i64>| {
        let found = ContainerInstance { last_stopped: stopped.map(seconds), ..draining(registered(Some("1"), 0)) };
        let mut observed = held(State::TerminatingWait, Phase::Complete, Some(found));
        // It has waited for the gate for an hour.
        observed.leaving.insert("i-1".into(), seconds(3600));
        observed.empty = empty.map(|ago| ("i-1".into(), seconds(ago))).into_iter().collect();
        let holder =
            |(core, ago): (u8, i64)| Holder { core, task: "t".into(), cause: Cause::Drain, since: seconds(ago) };
        observed.lease = Lease { fence: 1, holder: lease.map(holder) };
        let doubtful = !doubtfully_empty(&observed, &policy()).is_empty();
        let goes = verdict(&observed) == (leave(), Reason::NoTasks);
        assert!(goes || verdict(&observed) == (Action::Wait { heartbeat: true }, Reason::Settling));
        (goes, doubtful)
    };
    for (empty, lease, stopped, want) in [
        (None, None, None, (false, true)),
        (Some(29), None, None, (false, true)),
        (Some(30), None, None, (true, true)),
        // One that has stopped since the lease was claimed shows that the lists are younger.
        (None, Some((1, 29)), Some(1), (true, false)),
        (None, Some((1, 29)), Some(1800), (false, true)),
        // Who drained it without the lease, and when, nobody knows.
        (None, None, Some(1), (false, true)),
        (None, Some((2, 29)), Some(1), (false, true)),
        (None, Some((0, 29)), Some(1), (false, true)),
    ] {
        assert_eq!(with(empty, lease, stopped), want, "{empty:?} {lease:?} {stopped:?}");
    }
    let quiet = held(State::TerminatingWait, Phase::Complete, Some(registered(Some("1"), 0)));
    assert!(doubtfully_empty(&quiet, &policy()).is_empty(), "it is ACTIVE: tasks may still be placed");
    assert!(doubtfully_empty(&held(State::TerminatingWait, Phase::Complete, None), &policy()).is_empty());
    let deleted = held(State::TerminatingWait, Phase::Deleting, Some(draining(registered(Some("1"), 0))));
    assert_eq!(verdict(&deleted), (leave(), Reason::NoTasks), "its service is gone");
    assert!(doubtfully_empty(&deleted, &policy()).is_empty());
}

#[test]
fn other_peoples_tasks_are_drained_and_what_does_not_stop_is_named() {
    let foreign = |found: ContainerInstance| {
        let groups = ["service:datadog", "family:cron", "service:datadog", "core"];
        let tasks = groups.into_iter().enumerate().map(|(n, group)| task(group, n));
        ContainerInstance { tasks: tasks.collect(), ..found }
    };
    let drain = Action::Drain { container_instances: vec!["arn:1".into()] };
    let named = Reason::TasksStopping("core (1), family cron (1), service datadog (2)".into());
    for phase in [Phase::Creating, Phase::Complete, Phase::Deleting] {
        let with = |found| verdict(&held(State::TerminatingWait, phase, Some(found)));
        assert_eq!(with(foreign(registered(Some("1"), 0))), (drain.clone(), Reason::Emptied), "{phase}");
        let waits = (Action::Wait { heartbeat: phase == Phase::Complete }, named.clone());
        assert_eq!(with(foreign(draining(registered(Some("1"), 0)))), waits, "{phase}: no quorum depends on these");
    }
}

#[test]
fn every_registration_of_an_instance_is_judged_and_deregistered() {
    let second = |found: ContainerInstance| ContainerInstance { arn: "arn:2".into(), ..found };
    let both = Action::Deregister { container_instances: vec!["arn:1".into(), "arn:2".into()] };
    let with = |phase, first: &ContainerInstance, other: ContainerInstance| {
        let mut observed = held(State::TerminatingWait, phase, Some(first.clone()));
        observed.container_instances.push(other);
        observed.groups[0].instances[0].status = Some(InstanceStatus::Impaired);
        verdict(&observed)
    };
    let (tasks, none) = (silent(registered(Some("1"), 1), 6), second(silent(registered(Some("1"), 0), 6)));
    assert_eq!(with(Phase::Complete, &tasks, none.clone()), (both.clone(), Reason::Dead));
    let two = second(silent(registered(Some("1"), 2), 6));
    assert_eq!(with(Phase::Deleting, &tasks, two), (both, Reason::Silent));
    // Whatever the state of the other one, ECS counts on the tasks of the silent one, and nobody can stop them.
    let back = second(registered(Some("1"), 0));
    for other in [none, second(silent(registered(Some("1"), 0), 1)), back.clone(), draining(back.clone())] {
        for phase in [Phase::Creating, Phase::Deleting] {
            assert_eq!(with(phase, &tasks, other.clone()), (deregister(), Reason::Silent), "{other:?}");
        }
    }
    assert_eq!(with(Phase::Complete, &tasks, back).1, Reason::NotAsked, "the agent is connected under the second");
    let away = silent(registered(Some("1"), 1), 4);
    let empty = draining(second(registered(Some("1"), 0)));
    assert_eq!(with(Phase::Deleting, &away, empty).1, Reason::AgentAway);
}

#[test]
fn a_retained_instance_stays_until_nothing_is_lost_with_it() {
    let retained = |phase, found| verdict(&held(State::Retained, phase, found));
    let (drain, wait) =
        (Action::Drain { container_instances: vec!["arn:1".into()] }, Action::Wait { heartbeat: false });
    let empty = draining(registered(Some("1"), 0));
    for (phase, found, want) in [
        (Phase::Complete, Some(registered(Some("1"), 1)), (wait, Reason::NotAsked)),
        (Phase::Complete, Some(registered(Some("1"), 0)), (drain.clone(), Reason::Emptied)),
        (Phase::Complete, Some(empty.clone()), (leave(), Reason::NoTasks)),
        (Phase::Complete, None, (Action::Terminate, Reason::NotJoined)),
        (Phase::Deleting, Some(registered(Some("1"), 1)), (drain, Reason::Leaving)),
        (Phase::Deleting, Some(empty), (leave(), Reason::NoTasks)),
        (Phase::Deleting, None, (Action::Terminate, Reason::NotJoined)),
    ] {
        assert_eq!(retained(phase, found), want);
    }
}

#[test]
fn a_dead_instance_is_deregistered_and_one_that_is_only_silent_or_only_ill_is_not() {
    let with = |found: ContainerInstance, status, state: State| {
        let mut observed = held(state, Phase::Complete, Some(found));
        observed.groups[0].instances[0].status = status;
        verdict(&observed)
    };
    let (impaired, fine) = (Some(InstanceStatus::Impaired), Some(InstanceStatus::NotImpaired));
    let there = registered(Some("1"), 1);
    let unknown = ContainerInstance { disconnected_since: None, ..silent(there.clone(), 6) };
    for state in [State::TerminatingWait, State::Retained] {
        for status in [impaired, Some(InstanceStatus::Gone)] {
            assert_eq!(with(silent(there.clone(), 6), status, state.clone()), (deregister(), Reason::Dead));
        }
        for (found, status) in [
            (there.clone(), impaired),
            (silent(there.clone(), 6), fine),
            (silent(there.clone(), 6), None),
            (silent(there.clone(), 5), impaired),
            (unknown.clone(), impaired),
        ] {
            let heartbeat = state == State::TerminatingWait;
            assert_eq!(with(found, status, state.clone()).0, Action::Wait { heartbeat }, "{state:?}");
        }
    }
}

#[test]
fn dead_instances_are_deregistered_one_at_a_time() {
    let ill = |id: &str| Instance { status: Some(InstanceStatus::Impaired), ..instance(id, State::TerminatingWait) };
    let groups = vec![group(1, vec![ill("i-1")]), group(2, vec![ill("i-2")])];
    let found = [("i-1", "1"), ("i-2", "2")].map(|(id, core)| on(id, silent(registered(Some(core), 1), 9)));
    let observed =
        Observed { phase: Phase::Complete, groups, container_instances: found.into(), ..Observed::default() };
    insta::assert_snapshot!(text(&observed), @r"
    - neo4j-core-1 i-1 deregister by force: it is dead: EC2's status checks fail, and ECS has lost its agent for more than five minutes
    = neo4j-core-2 i-2 waits: it is dead, but instances are deregistered one at a time: another core must be in service first
    ");
    // The first one is gone, and its replacement is on its way: the second waits until that is in service.
    let mut later = observed.clone();
    later.groups[0].instances = vec![instance("i-3", State::PendingWait)];
    later.container_instances.remove(0);
    assert!(text(&later).contains("i-2 waits: it is dead"), "{}", text(&later));
    later.groups[0].instances = vec![instance("i-3", State::Other("InService".into()))];
    assert!(text(&later).contains("i-2 deregister by force: it is dead"), "{}", text(&later));
    // One that never comes back, as when its volume is broken, holds the other up for half an hour and not forever.
    later.groups[0].instances = vec![instance("i-3", State::PendingWait)];
    for (minutes, deregisters) in [(30, false), (31, true)] {
        later.not_whole = [(1, now() - SignedDuration::from_mins(minutes))].into();
        let text = text(&later);
        assert_eq!(text.contains("i-2 deregister by force"), deregisters, "{text}");
    }
    // One whose instance is retained but works is not on its way back.
    later.not_whole.clear();
    later.groups[0].instances = vec![instance("i-1", State::Retained), instance("i-3", State::PendingWait)];
    later.container_instances.push(on("i-1", registered(Some("1"), 1)));
    assert!(text(&later).contains("i-2 deregister by force"), "{}", text(&later));
    later.container_instances.last_mut().unwrap().tasks[0].status = "STOPPING".into();
    assert!(text(&later).contains("i-2 waits: it is dead"), "{}", text(&later));
}

#[test]
fn a_task_that_ecs_counts_and_does_not_list_may_be_a_member() {
    let unlisted = ContainerInstance { tasks: vec![], ..registered(Some("1"), 1) };
    assert_eq!(unlisted.unlisted_tasks(), 1);
    for state in [State::TerminatingWait, State::Retained] {
        for phase in [Phase::Creating, Phase::Complete] {
            let held = held(state.clone(), phase, Some(unlisted.clone()));
            let heartbeat = phase == Phase::Complete && state == State::TerminatingWait;
            assert_eq!(waits(&held, heartbeat), Reason::TasksUnlisted(1), "{phase}");
        }
        let (action, why) = verdict(&held(state, Phase::Deleting, Some(unlisted.clone())));
        assert_eq!((action, why), (Action::Drain { container_instances: vec!["arn:1".into()] }, Reason::Emptied));
    }
    // ECS counts what should run: a task that is stopping does not make up for one that is not listed.
    for (wanted, unlisted) in [(true, 0), (false, 1)] {
        let other = Task { status: "PENDING".into(), wanted, ..task("service:datadog", 7) };
        let found = ContainerInstance { tasks: vec![other], ..registered(Some("1"), 1) };
        assert_eq!(found.unlisted_tasks(), unlisted);
    }
    assert_eq!(registered(Some("1"), 2).unlisted_tasks(), 0);
}

#[test]
fn nothing_is_let_go_while_a_task_of_anybody_is_in_any_status_but_stopped() {
    let before_the_end =
        ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"];
    for status in before_the_end {
        for group in ["service:core-1", "service:replica", "service:datadog", "family:cron"] {
            for (state, phase) in [State::TerminatingWait, State::Retained].into_iter().flat_map(|state| {
                [Phase::Creating, Phase::Complete, Phase::Deleting].map(|phase| (state.clone(), phase))
            }) {
                let left = Task { status: status.into(), wanted: false, ..task(group, 1) };
                let found = ContainerInstance { tasks: vec![left], ..draining(registered(Some("1"), 0)) };
                let (action, why) = verdict(&held(state, phase, Some(found)));
                assert!(matches!(action, Action::Wait { .. }), "{group} {status} {phase}: {action:?}, {why}");
            }
        }
    }
}
