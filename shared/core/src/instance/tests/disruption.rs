//! Cores that are stopped on purpose: one at a time, only while the others do without, and only under the lease.

use super::*;
use crate::quorum::{self, Quorum, tests::cluster::healthy};

/// A cluster of three cores that is well; each core's instance is `i-<core>`, and its task that of the core's member.
fn cluster() -> (Observed, Policy) {
    let quorum = healthy(3, &[]);
    let groups = (1..=3).map(|core| group(core, vec![instance(&format!("i-{core}"), in_service())])).collect();
    let found = quorum.members.iter().map(|member| {
        let core = member.core.unwrap();
        let own = Task { id: member.task.clone(), ..task(&format!("service:core-{core}"), 0) };
        let found = on(&format!("i-{core}"), registered(Some(&core.to_string()), 1));
        ContainerInstance { tasks: vec![own], ..found }
    });
    let container_instances = found.collect();
    let observed = Observed { phase: Phase::Complete, groups, container_instances, ..Observed::default() };
    let core_services = (1..=3).map(|core| format!("core-{core}")).collect();
    (asked(observed, quorum), Policy { cores: 3, core_services, ..policy() })
}

fn in_service() -> State {
    State::Other("InService".into())
}

/// The same, with this answer of Neo4j.
fn asked(observed: Observed, quorum: quorum::Observed) -> Observed {
    Observed { quorum: Some(Quorum::of(&quorum)), quorum_observed: Some(quorum), ..observed }
}

fn leave_core(observed: &mut Observed, core: u8, state: State) {
    observed.groups[usize::from(core) - 1].instances[0].state = state;
    observed.leaving.insert(format!("i-{core}").as_str().into(), now());
}

fn task_of(observed: &Observed, core: u8) -> String {
    observed.container_instances[usize::from(core) - 1].tasks[0].id.clone()
}

fn hold(observed: &mut Observed, core: u8, cause: Cause, minutes_ago: i64) {
    let since = now() - SignedDuration::from_mins(minutes_ago);
    let task = task_of(observed, core);
    observed.lease = Lease { fence: 7, holder: Some(Holder { core, task, cause, since }) };
}

fn silence(observed: &Observed, core: u8) -> Observed {
    let mut quorum = observed.quorum_observed.clone().unwrap();
    quorum.members[usize::from(core) - 1].answer = None;
    asked(observed.clone(), quorum)
}

fn step(observed: &Observed, policy: &Policy, core: u8) -> (Action, String) {
    let plan = plan(observed, policy, now());
    let id = format!("i-{core}");
    let step = plan.steps.into_iter().find(|step| step.instance == id.as_str()).unwrap();
    (step.action, step.why.to_string())
}

fn drains(core: u8) -> Action {
    Action::Drain { container_instances: vec![format!("arn:i-{core}").as_str().into()] }
}

const HEARTBEAT: Action = Action::Wait { heartbeat: true };

#[test]
fn a_core_is_claimed_first_and_stopped_only_under_a_lease_of_this_round() {
    let (mut observed, policy) = cluster();
    for state in [State::TerminatingWait, State::Retained] {
        leave_core(&mut observed, 2, state);
        let claim = Action::Claim { core: 2, task: task_of(&observed, 2), cause: Cause::Drain };
        assert_eq!(step(&observed, &policy, 2).0, claim);
        hold(&mut observed, 2, Cause::Drain, 0);
        assert_eq!(step(&observed, &policy, 2).0, claim, "claimed by an earlier round, which saw another world");
        observed.claimed = true;
        assert_eq!(step(&observed, &policy, 2).0, drains(2));
        observed.lease.holder.as_mut().unwrap().task = "another".into();
        assert_eq!(step(&observed, &policy, 2).0, claim, "claimed for another task");
        (observed.lease, observed.claimed) = (Lease::default(), false);
    }
}

#[test]
fn while_the_others_need_it_a_core_stays_and_the_reason_says_who_is_missing() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    let (action, why) = step(&silence(&observed, 3), &policy, 2);
    assert_eq!(action, HEARTBEAT);
    assert!(why.starts_with("core 2 must not be stopped: core 3"), "{why}");
    // It is itself who may be silent.
    assert!(matches!(step(&silence(&observed, 2), &policy, 2).0, Action::Claim { .. }));
    let unasked = Observed { quorum: None, quorum_observed: None, ..observed.clone() };
    assert_eq!(step(&unasked, &policy, 2), (HEARTBEAT, Reason::NotAsked.to_string()));
    for (neo4j, start) in [
        (
            Seen::NoGateway,
            "nobody can ask Neo4j whether the others do without it: instance-drainer has no variable GATEWAY_FUNCTION",
        ),
        (
            Seen::GatewayFailed("it timed out".into()),
            "Neo4j could not be asked whether the others do without it: it timed out; the next",
        ),
    ] {
        let (action, why) = step(&Observed { neo4j, ..observed.clone() }, &policy, 2);
        assert!(action == HEARTBEAT && why.starts_with(start), "{why}");
    }
    // The gate has shut between the claim and the second look: nobody is stopped, and the lease goes back.
    hold(&mut observed, 2, Cause::Drain, 0);
    observed.claimed = true;
    let shut = silence(&observed, 3);
    assert_eq!(step(&shut, &policy, 2).0, HEARTBEAT);
    assert_eq!(plan(&shut, &policy, now()).freed, Some(Freed::Unused(2)));
    assert_eq!(plan(&observed, &policy, now()).freed, None);
}

#[test]
fn one_core_at_a_time_and_the_next_one_when_it_is_back() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    leave_core(&mut observed, 3, State::TerminatingWait);
    assert!(matches!(step(&observed, &policy, 2).0, Action::Claim { core: 2, .. }));
    assert_eq!(step(&observed, &policy, 3).1, "core 2 is stopped first (its instance leaves): one at a time");
    // Core 1 was stopped an hour ago, and is still away: its task is gone, and another one does not serve yet.
    hold(&mut observed, 1, Cause::Drain, 60);
    observed.lease.holder.as_mut().unwrap().task = "gone".into();
    let away = silence(&observed, 1);
    for core in [2, 3] {
        let (action, why) = step(&away, &policy, core);
        assert_eq!(action, HEARTBEAT);
        assert!(why.starts_with("core 1 was stopped at 2026-11-23T09:00:00Z (its instance leaves)"), "{why}");
    }
    assert_eq!(plan(&away, &policy, now()).freed, None, "however long it takes");
    // It is back by a peer's word.
    assert_eq!(plan(&observed, &policy, now()).freed, Some(Freed::Back(1)));
}

#[test]
fn a_lease_that_was_never_used_goes_back_once_no_invocation_can_act_under_it() {
    let (mut observed, policy) = cluster();
    for (minutes, freed) in [(0, None), (2, None), (3, Some(Freed::Unused(2)))] {
        hold(&mut observed, 2, Cause::Drain, minutes);
        assert_eq!(plan(&observed, &policy, now()).freed, freed, "{minutes}");
    }
    // It drains: that is use, and it is not back as long as the task is the old one.
    observed.container_instances[1].status = "DRAINING".into();
    assert_eq!(plan(&observed, &policy, now()).freed, None);
}

#[test]
fn a_core_above_the_number_of_cores_keeps_the_lease_until_it_is_gone() {
    let (mut observed, policy) = cluster();
    hold(&mut observed, 3, Cause::Drain, 5);
    observed.lease.holder.as_mut().unwrap().core = 4;
    let with = |observed: &Observed, services: u8| {
        let core_services = (1..=services).map(|core| format!("core-{core}")).collect();
        plan(observed, &Policy { core_services, ..policy.clone() }, now()).freed
    };
    assert_eq!(with(&observed, 4), Some(Freed::NoSuchCore(4)));
    observed.container_instances[0].tasks.push(task("service:core-4", 9));
    assert_eq!(with(&observed, 4), None);
}

#[test]
fn a_large_cluster_goes_on_without_a_core_that_has_been_silent_for_an_hour() {
    let quorum = healthy(5, &[]);
    let policy = Policy { cores: 5, ..cluster().1 };
    let held = |minutes: i64| {
        let since = now() - SignedDuration::from_mins(minutes);
        let holder = Holder { core: 4, task: "old".into(), cause: Cause::Drain, since };
        let lease = Lease { fence: 1, holder: Some(holder) };
        let mut quorum = quorum.clone();
        quorum.members.remove(3);
        asked(
            Observed { phase: Phase::Complete, lease, neo4j: Seen::Answers([].into()), ..Observed::default() },
            quorum,
        )
    };
    assert_eq!(plan(&held(60), &policy, now()).freed, None);
    assert_eq!(plan(&held(61), &policy, now()).freed, Some(Freed::Silent(4)));
    let small = Policy { cores: 3, ..policy };
    assert_eq!(plan(&held(61), &small, now()).freed, Some(Freed::NoSuchCore(4)));
}

#[test]
fn an_instance_that_cannot_leave_in_time_is_kept_with_its_tasks() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    let shut = silence(&observed, 3);
    let late = |hours: i64| {
        let since = now() - SignedDuration::from_hours(hours);
        let mut late = shut.clone();
        late.leaving.insert("i-2".into(), since);
        late
    };
    assert_eq!(step(&late(3), &policy, 2).0, HEARTBEAT);
    let (action, why) = step(&late(4), &policy, 2);
    assert_eq!(action, Action::Abandon { activate: vec![] });
    assert!(why.starts_with("it could not leave within 240 minutes: core 2 must not be stopped"), "{why}");
    let mut drained = late(4);
    drained.container_instances[1].status = "DRAINING".into();
    assert_eq!(step(&drained, &policy, 2).0, Action::Abandon { activate: vec!["arn:i-2".into()] });
    // Once it is retained it waits as long as it takes, and leaves when the gate opens.
    let mut retained = late(400);
    retained.groups[1].instances[0].state = State::Retained;
    assert_eq!(step(&retained, &policy, 2).0, Action::Wait { heartbeat: false });
    let open = asked(retained, observed.quorum_observed.clone().unwrap());
    assert!(matches!(step(&open, &policy, 2).0, Action::Claim { .. }));
}

#[test]
fn under_a_lease_that_is_unreadable_nobody_is_stopped_and_people_are_told_what_to_do() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    observed.lease = Lease { fence: 7, holder: Some(Holder::nobody()) };
    assert_eq!(step(&observed, &policy, 2), (HEARTBEAT, Reason::LeaseUnreadable.to_string()));
    assert_eq!(plan(&observed, &policy, now()).freed, None);
}

#[test]
fn a_replica_leaves_without_the_gate_and_its_deadline_is_its_own() {
    let (mut observed, policy) = cluster();
    let mut replica = on("i-r", registered(None, 0));
    replica.tasks = vec![task("service:replica", 7)];
    observed.container_instances.push(replica);
    observed.groups.push(replicas(vec![instance("i-r", State::TerminatingWait)]));
    let id = InstanceId::from("i-r");
    let of = |observed: &Observed| {
        plan(observed, &policy, now()).steps.into_iter().find(|step| step.instance == id).unwrap().action
    };
    let unasked = Observed { quorum: None, ..observed.clone() };
    assert_eq!(of(&unasked), Action::Drain { container_instances: vec!["arn:i-r".into()] });
    let last = observed.container_instances.len() - 1;
    observed.container_instances[last].status = "DRAINING".into();
    for (minutes, action) in [(59, HEARTBEAT), (60, Action::Abandon { activate: vec!["arn:i-r".into()] })] {
        observed.leaving.insert(id.clone(), now() - SignedDuration::from_mins(minutes));
        assert_eq!(of(&observed), action);
    }
}

#[test]
fn tasks_of_no_service_get_their_time_and_are_stopped_then() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    let own = Task { wanted: false, ..task("family:cron", 5) };
    observed.container_instances[1].tasks = vec![task("family:cron", 4), own, task("service:datadog", 6)];
    observed.container_instances[1].status = "DRAINING".into();
    for (minutes, action) in [(9, HEARTBEAT), (10, Action::StopTasks { tasks: vec!["task-4".into()] })] {
        observed.leaving.insert("i-2".into(), now() - SignedDuration::from_mins(minutes));
        assert_eq!(step(&observed, &policy, 2).0, action);
    }
}

#[test]
fn a_spot_instance_leaves_at_once_or_as_late_as_its_neo4j_can_end_cleanly() {
    let (observed, policy) = cluster();
    let noticed = |observed: &Observed, cores: &[u8], seconds: i64| {
        let since = now() - SignedDuration::from_secs(seconds);
        let mut noticed = observed.clone();
        let mut quorum = noticed.quorum_observed.clone().unwrap();
        for core in cores {
            noticed.notices.insert(format!("i-{core}").as_str().into(), Notice { since, kind: NoticeKind::Spot });
            quorum.members[usize::from(*core) - 1].going = Some(quorum::Going::Spot);
        }
        asked(noticed, quorum)
    };
    for state in [in_service(), State::TerminatingWait] {
        let mut held = observed.clone();
        held.groups[1].instances[0].state = state;
        assert_eq!(step(&noticed(&held, &[2], 3), &policy, 2).0, drains(2), "without a lease: it is not our choice");
    }
    let two = noticed(&observed, &[2, 3], 54);
    for core in [2, 3] {
        let (action, why) = step(&two, &policy, core);
        assert_eq!(action, HEARTBEAT, "{why}");
        assert!(
            why.starts_with("EC2 takes its Spot instance at 2026-11-23T10:01:06Z, and the others need it"),
            "{why}"
        );
    }
    let late = noticed(&observed, &[2, 3], 55);
    for core in [2, 3] {
        let (action, why) = step(&late, &policy, core);
        assert_eq!((action, why.contains("although the others need it")), (drains(core), true), "{why}");
    }
    // Another core's drain finds the gate shut.
    let mut other = noticed(&observed, &[2], 3);
    leave_core(&mut other, 1, State::TerminatingWait);
    assert_eq!(step(&other, &policy, 1).0, HEARTBEAT);
    // A replica has no vote to wait for.
    let unasked = Observed { quorum: None, ..two };
    assert_eq!(step(&unasked, &policy, 2).0, HEARTBEAT);
}

#[test]
fn what_ecs_leaves_running_is_stopped_before_spot_takes_its_instance() {
    let (mut observed, policy) = cluster();
    let since = now() - SignedDuration::from_secs(5);
    observed.notices.insert("i-2".into(), Notice { since, kind: NoticeKind::Spot });
    observed.container_instances[1].status = "DRAINING".into();
    let of = |observed: &Observed| plan(observed, &policy, now()).steps.into_iter().find(|step| step.instance == "i-2");
    assert_eq!(of(&observed), None, "ECS stops those of services");
    observed.container_instances[1].tasks.push(task("family:cron", 4));
    assert_eq!(of(&observed).unwrap().action, Action::StopTasks { tasks: vec!["task-4".into()] });
    observed.notices.insert("i-2".into(), Notice { since, kind: NoticeKind::Rebalance });
    assert_eq!(of(&observed), None, "nobody takes it yet");
}

#[test]
fn a_recommendation_stops_a_core_through_the_gate_and_terminates_its_instance_when_it_is_empty() {
    let (mut observed, policy) = cluster();
    observed.notices.insert("i-2".into(), Notice { since: now(), kind: NoticeKind::Rebalance });
    assert!(matches!(step(&observed, &policy, 2).0, Action::Claim { cause: Cause::Rebalance, .. }));
    assert_eq!(step(&silence(&observed, 1), &policy, 2).0, HEARTBEAT);
    hold(&mut observed, 2, Cause::Rebalance, 0);
    observed.claimed = true;
    assert_eq!(step(&observed, &policy, 2).0, drains(2));
    (observed.claimed, observed.container_instances[1].status) = (false, "DRAINING".into());
    assert!(!plan(&observed, &policy, now()).steps.iter().any(|step| step.instance == "i-2"));
    observed.container_instances[1].tasks = vec![task("family:cron", 4)];
    assert_eq!(step(&observed, &policy, 2).0, Action::Terminate, "ECS never stops it: its grace runs in the hook");
    observed.container_instances[1].tasks.push(task("service:agent", 5));
    assert!(!plan(&observed, &policy, now()).steps.iter().any(|step| step.instance == "i-2"), "ECS stops this one");
    observed.container_instances[1].tasks.clear();
    assert_eq!(step(&observed, &policy, 2).0, Action::Terminate);
    observed.lease.holder.as_mut().unwrap().cause = Cause::Drain;
    assert!(
        !plan(&observed, &policy, now()).steps.iter().any(|step| step.instance == "i-2"),
        "somebody else drains it"
    );
}

#[test]
fn a_core_whose_agent_is_lost_is_deregistered_under_the_lease_only() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    observed.container_instances[1].connected = false;
    observed.container_instances[1].disconnected_since = Some(now() - SignedDuration::from_mins(6));
    for task in &mut observed.container_instances[1].tasks {
        task.connected_at = None;
    }
    assert!(matches!(step(&observed, &policy, 2).0, Action::Claim { .. }));
    assert_eq!(step(&silence(&observed, 3), &policy, 2).0, HEARTBEAT);
    hold(&mut observed, 2, Cause::Drain, 0);
    observed.claimed = true;
    let by_force = Action::Deregister { container_instances: vec!["arn:i-2".into()] };
    assert_eq!(step(&observed, &policy, 2).0, by_force);
}

#[test]
fn a_group_whose_core_nobody_knows_finds_no_open_gate() {
    let (mut observed, policy) = cluster();
    leave_core(&mut observed, 2, State::TerminatingWait);
    observed.groups[1].core = Some("4".into());
    assert_eq!(step(&observed, &policy, 2), (HEARTBEAT, Reason::NotOneCore.to_string()));
    // Without a tag its task says which core it is.
    for core in [None, Some("two".into())] {
        (observed.groups[1].core, observed.groups[1].volume) = (core, None);
        assert!(matches!(step(&observed, &policy, 2).0, Action::Claim { core: 2, .. }));
    }
    observed.quorum = None;
    assert_eq!(step(&observed, &policy, 2).0, HEARTBEAT, "it is no replica because a tag was taken off");
}

#[test]
fn without_a_neo4j_every_task_is_waited_for_and_no_launch_is_touched() {
    let alone = Policy { stand_alone: true, cores: 0, core_services: vec![], replica_services: vec![], ..policy() };
    let any = |state| replicas(vec![instance("i-1", state)]);
    let mut observed =
        Observed { phase: Phase::Complete, groups: vec![any(State::PendingWait)], ..Observed::default() };
    assert_eq!(plan(&observed, &alone, now()).steps, []);
    let mut found = registered(None, 0);
    found.tasks = vec![task("service:shop", 1), task("family:cron", 2)];
    (observed.groups, observed.container_instances) = (vec![any(State::TerminatingWait)], vec![found]);
    let of = |observed: &Observed| plan(observed, &alone, now()).steps.remove(0).action;
    assert_eq!(of(&observed), Action::Drain { container_instances: vec!["arn:1".into()] });
    observed.container_instances[0].status = "DRAINING".into();
    assert_eq!(of(&observed), HEARTBEAT);
    observed.container_instances[0].tasks.clear();
    assert_eq!(of(&observed), HEARTBEAT, "the lists may be older than its drain");
    observed.container_instances[0].last_stopped = Some(now());
    observed.leaving.insert("i-1".into(), now());
    assert_eq!(of(&observed), leave());
}
