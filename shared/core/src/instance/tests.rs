use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::ids::{CoreId, InstanceId, VolumeId};

const TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn policy() -> Policy {
    let services = vec!["core".into(), "replica".into()];
    Policy { cluster: "neo4j".into(), cores: 1, services, register_timeout: TIMEOUT }
}

fn instance(id: &str, state: State) -> Instance {
    Instance { id: id.into(), zone: "eu-west-1a".into(), state, status: Some(InstanceStatus::NotImpaired) }
}

fn group(core: u8, instances: Vec<Instance>) -> Group {
    let volume = Some(format!("vol-{core}").into());
    let (name, core) = (format!("neo4j-core-{core}"), Some(core.into()));
    Group { name, core, volume, desired: 1, launch_failure: None, instances }
}

fn replicas(instances: Vec<Instance>) -> Group {
    let (core, volume, desired, launch_failure) = (None, None, 1, None);
    Group { name: "neo4j-replica".into(), core, volume, desired, launch_failure, instances }
}

fn volume(core: u8, status: VolumeStatus, attachments: Vec<Attachment>) -> (VolumeId, Volume) {
    let tag = |value: &str| Some(value.to_owned());
    let (cluster, core_tag) = (tag("neo4j"), Some(core.into()));
    (format!("vol-{core}").into(), Volume { zone: "eu-west-1a".into(), status, cluster, core: core_tag, attachments })
}

fn free() -> (VolumeId, Volume) {
    volume(1, VolumeStatus::Available, vec![])
}

fn attachment(instance: &str, attached: bool, minutes_ago: i64) -> Attachment {
    let since = Some(now() - SignedDuration::from_mins(minutes_ago));
    Attachment { instance: instance.into(), attached, since }
}

fn attached(minutes_ago: i64) -> (VolumeId, Volume) {
    volume(1, VolumeStatus::InUse, vec![attachment("i-1", true, minutes_ago)])
}

fn task(group: &str, n: usize) -> Task {
    let connected_at = Some(now() - SignedDuration::from_mins(40));
    let (status, started_at) = ("RUNNING".into(), connected_at);
    Task { id: format!("task-{n}"), group: group.into(), status, connected_at, started_at }
}

/// The registration of `i-1`, with so many tasks of the cluster on it.
fn registered(core: Option<&str>, tasks: usize) -> ContainerInstance {
    ContainerInstance {
        arn: "arn:1".into(),
        instance: "i-1".into(),
        connected: true,
        status: "ACTIVE".into(),
        core: core.map(Into::into),
        tasks: (0..tasks).map(|n| task("service:core", n)).collect(),
        registered: Some(now() - SignedDuration::from_mins(3)),
        disconnected_since: None,
    }
}

fn on(instance: &str, found: ContainerInstance) -> ContainerInstance {
    ContainerInstance { arn: format!("arn:{instance}").into(), instance: instance.into(), ..found }
}

fn draining(found: ContainerInstance) -> ContainerInstance {
    ContainerInstance { status: "DRAINING".into(), ..found }
}

/// Its agent was first seen disconnected so many minutes ago.
fn silent(found: ContainerInstance, minutes: i64) -> ContainerInstance {
    let disconnected_since = Some(now() - SignedDuration::from_mins(minutes));
    ContainerInstance { connected: false, disconnected_since, ..found }
}

fn observed(
    phase: Phase,
    groups: Vec<Group>,
    volume: Option<(VolumeId, Volume)>,
    found: Option<ContainerInstance>,
) -> Observed {
    let (volumes, container_instances) = (volume.into_iter().collect(), found.into_iter().collect());
    Observed { phase, groups, volumes, container_instances, not_whole: [].into() }
}

/// Instance `i-1` of core 1 is launching, in a cluster that is complete.
fn launching(volume: Option<(VolumeId, Volume)>, found: Option<ContainerInstance>) -> Observed {
    observed(Phase::Complete, vec![group(1, vec![instance("i-1", State::PendingWait)])], volume, found)
}

/// Instance `i-1` of core 1 is held in this state.
fn held(state: State, phase: Phase, found: Option<ContainerInstance>) -> Observed {
    observed(phase, vec![group(1, vec![instance("i-1", state)])], None, found)
}

fn text(observed: &Observed) -> String {
    plan(observed, &policy(), now()).to_string()
}

/// What is decided about `i-1`, with the name of the reason.
fn verdict(observed: &Observed) -> (Action, Reason) {
    let plan = plan(observed, &policy(), now());
    let step = plan.steps.into_iter().find(|step| step.instance == "i-1").unwrap();
    (step.action, step.why)
}

fn waits(observed: &Observed, heartbeat: bool) -> Reason {
    let (action, why) = verdict(observed);
    assert_eq!(action, Action::Wait { heartbeat }, "{why}");
    why
}

/// What the world looks like once EC2 has taken every attachment; refuses what EC2 would refuse.
fn apply(observed: &Observed, plan: &Plan) -> Observed {
    let mut after = observed.clone();
    for step in &plan.steps {
        let Action::Attach { volume } = &step.action else { continue };
        let volume = after.volumes.get_mut(volume).expect("a volume that is there");
        assert_eq!((&volume.status, volume.attachments.len()), (&VolumeStatus::Available, 0), "{step}");
        let attached = Attachment { instance: step.instance.clone(), attached: true, since: Some(now()) };
        *volume = Volume { status: VolumeStatus::InUse, attachments: vec![attached], ..volume.clone() };
    }
    after
}

#[test]
fn a_plan_says_of_each_instance_what_becomes_of_it_and_why() {
    let held = |ids: &[(&str, State)]| ids.iter().map(|(id, state)| instance(id, state.clone())).collect();
    let groups = vec![
        group(1, held(&[("i-new", State::PendingWait), ("i-second", State::PendingWait)])),
        group(2, held(&[("i-2", State::PendingWait), ("i-old", State::TerminatingWait)])),
        group(3, held(&[("i-3", State::PendingWait), ("i-kept", State::Retained)])),
        group(4, held(&[("i-4", State::PendingWait), ("i-fine", State::Other("InService".into()))])),
        replicas(held(&[("i-r", State::PendingWait), ("i-gone", State::TerminatingWait)])),
    ];
    let volumes = [
        free(),
        volume(2, VolumeStatus::InUse, vec![attachment("i-old", true, 90)]),
        volume(3, VolumeStatus::InUse, vec![attachment("i-3", true, 2)]),
        volume(4, VolumeStatus::InUse, vec![attachment("i-4", true, 11)]),
    ];
    let lost = ContainerInstance { connected: false, ..registered(Some("4"), 1) };
    let found = [
        ("i-old", registered(Some("2"), 1)),
        ("i-3", registered(Some("3"), 0)),
        ("i-kept", registered(None, 2)),
        ("i-r", registered(None, 0)),
        ("i-lost", lost),
    ];
    let container_instances = found.map(|(id, found)| on(id, found)).into();
    let observed =
        Observed { phase: Phase::Complete, groups, volumes: volumes.into(), container_instances, not_whole: [].into() };
    insta::assert_snapshot!(text(&observed), @r"
    + neo4j-core-1 i-new attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-second waits: volume vol-1 is held by i-new, which must let go of it first
    = neo4j-core-2 i-2 waits: volume vol-2 is held by i-old, which must let go of it first
    = neo4j-core-2 i-old waits: tasks on it: 1, and nothing can prove yet that the others have quorum without them: when the hook runs out, Auto Scaling retains it; once the other cores are healthy, set its container instance to DRAINING and stop its tasks
    + neo4j-core-3 i-3 admit: volume vol-3 is attached, and the ECS agent is connected
    = neo4j-core-3 i-kept waits: Auto Scaling retains it with tasks on it: 2, since nothing could prove that the others have quorum without them: once the other cores are healthy, set its container instance to DRAINING and stop its tasks; the rest follows
    - neo4j-core-4 i-4 refuse: volume vol-4 was attached more than 600 s ago, but the ECS agent has not registered: look at the instance's console output for the mount and for ecs.service
    - neo4j-replica i-gone release: it is no container instance of the ECS cluster: it never joined, or has left
    + neo4j-replica i-r admit: the ECS agent is connected
    - neo4j-core-4 i-lost deregister by force: its instance is gone and volume vol-4 is free of it, but ECS still counts on its tasks
    ");
}

#[test]
fn nothing_is_planned_for_who_is_not_held() {
    for state in [
        "Pending",
        "Pending:Proceed",
        "InService",
        "Standby",
        "Terminating",
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Pending:Wait",
    ] {
        assert_eq!(text(&held(State::from(state), Phase::Complete, None)), "", "{state}");
    }
}

#[test]
fn a_launch_in_a_cluster_that_is_being_deleted_is_let_through() {
    let one = || vec![instance("i-1", State::PendingWait)];
    for group in [group(1, one()), Group { volume: None, ..group(1, one()) }, replicas(one())] {
        let observed = observed(Phase::Deleting, vec![group], Some(free()), None);
        assert_eq!(verdict(&observed), (Action::Admit, Reason::Deleting));
    }
}

#[test]
fn what_only_people_can_mend_is_never_attached_and_gets_no_heartbeat() {
    let with = |change: fn(&mut Group, &mut Volume, &mut Instance)| {
        let (id, mut volume) = free();
        let mut launching = instance("i-1", State::PendingWait);
        let mut group = group(1, vec![]);
        change(&mut group, &mut volume, &mut launching);
        group.instances = vec![launching];
        observed(Phase::Complete, vec![group], Some((id, volume)), None)
    };
    let table: [fn(&mut Group, &mut Volume, &mut Instance); 9] = [
        |group, _, _| group.volume = None,
        |group, _, _| group.core = None,
        |group, _, _| group.volume = Some("vol-9".into()),
        |_, volume, _| volume.cluster = Some("neo4j-2".into()),
        |_, volume, _| volume.cluster = None,
        |_, volume, _| volume.core = Some("2".into()),
        |_, _, instance| instance.zone = "eu-west-1b".into(),
        |_, volume, _| volume.status = VolumeStatus::from("error"),
        |_, volume, _| volume.status = VolumeStatus::from("deleting"),
    ];
    let reasons = table.map(|change| {
        let why = waits(&with(change), false);
        assert!(why.is_stuck(), "{why}");
        why.to_string()
    });
    insta::assert_snapshot!(reasons.join("\n"), @r"
    its group names no data volume: give the group the tag neo4j:volume
    its group names a data volume, but no core: give the group the tag neo4j:core
    the cluster has no volume vol-9: correct the group's tag neo4j:volume, or give the volume the tag neo4j:cluster
    volume vol-1 has the tag neo4j:cluster=neo4j-2, not neo4j: correct the group's tag neo4j:volume, or the volume's tag
    volume vol-1 has the tag neo4j:cluster=(none), not neo4j: correct the group's tag neo4j:volume, or the volume's tag
    volume vol-1 has the tag neo4j:core=2, not 1: correct the group's tag neo4j:volume, or the volume's tag
    volume vol-1 is in zone eu-west-1a, but the instance is in eu-west-1b: correct the group's subnet
    volume vol-1 is in state error: this core stays away, since no snapshot may stand in for the volume of one core of a living cluster; keep the others whole, and move to a second stack
    volume vol-1 is in state deleting: this core stays away, since no snapshot may stand in for the volume of one core of a living cluster; keep the others whole, and move to a second stack
    ");
}

#[test]
fn a_volume_that_another_instance_holds_is_waited_for_without_a_deadline() {
    let held_by = |by: &str| Reason::Held { volume: "vol-1".into(), by: by.into() };
    for taken in [true, false] {
        let volume = volume(1, VolumeStatus::InUse, vec![attachment("i-0", taken, 90)]);
        assert_eq!(waits(&launching(Some(volume), None), true), held_by("i-0"));
    }
    let both = vec![attachment("i-1", true, 1), attachment("i-0", true, 90)];
    let both = volume(1, VolumeStatus::InUse, both);
    assert_eq!(waits(&launching(Some(both), Some(registered(Some("1"), 0))), true), held_by("i-0"));
    let unseen = volume(1, VolumeStatus::InUse, vec![]);
    assert_eq!(waits(&launching(Some(unseen), None), true), Reason::HeldUnseen("vol-1".into()));
}

#[test]
fn an_instance_with_its_volume_is_admitted_once_its_agent_is_there() {
    let ready = Reason::Ready("vol-1".into());
    assert_eq!(verdict(&launching(Some(attached(1)), Some(registered(Some("1"), 0)))), (Action::Admit, ready.clone()));
    // It may have taken long: it is there now.
    assert_eq!(verdict(&launching(Some(attached(60)), Some(registered(Some("1"), 0)))), (Action::Admit, ready));
    let attaching = volume(1, VolumeStatus::InUse, vec![attachment("i-1", false, 60)]);
    assert_eq!(waits(&launching(Some(attaching), None), false), Reason::Attaching("vol-1".into()));
}

#[test]
fn an_agent_has_its_time_to_register_and_not_more() {
    let table = [
        (None, "has not registered"),
        (Some(ContainerInstance { connected: false, ..registered(Some("1"), 0) }), "is not connected"),
        (
            Some(ContainerInstance { status: "REGISTERING".into(), ..registered(Some("1"), 0) }),
            "is REGISTERING, not ACTIVE",
        ),
    ];
    for (found, agent) in table {
        let (volume, agent) = (VolumeId::from("vol-1"), agent.to_owned());
        let registering = Reason::Registering { volume: volume.clone(), agent: agent.clone() };
        assert_eq!(waits(&launching(Some(attached(10)), found.clone()), false), registering);
        let never = Reason::NeverRegistered { volume, seconds: 600, agent };
        assert_eq!(verdict(&launching(Some(attached(11)), found.clone())), (Action::Refuse, never));
        // EC2 did not say since when: the hook's own time-out is the only one.
        let (id, mut unsaid) = attached(11);
        unsaid.attachments[0].since = None;
        assert_eq!(waits(&launching(Some((id, unsaid)), found), false), registering);
    }
}

#[test]
fn an_agent_that_registered_for_another_core_is_for_people() {
    for has in [Some("2"), None] {
        for minutes_ago in [1, 60] {
            let why = waits(&launching(Some(attached(minutes_ago)), Some(registered(has, 0))), false);
            assert_eq!(why, Reason::OtherCore { has: has.map(CoreId::from), wants: "1".into() });
            assert!(why.is_stuck());
        }
    }
}

#[test]
fn a_free_volume_goes_to_an_instance_whose_agent_waits_for_it() {
    let attach = Action::Attach { volume: "vol-1".into() };
    assert_eq!(verdict(&launching(Some(free()), None)), (attach, Reason::Available("vol-1".into())));
    let early = Reason::RegisteredWithoutVolume("vol-1".into());
    assert_eq!(verdict(&launching(Some(free()), Some(registered(Some("1"), 0)))), (Action::Refuse, early.clone()));
    let new = ContainerInstance { registered: Some(now() - SignedDuration::from_secs(30)), ..registered(Some("1"), 0) };
    assert_eq!(waits(&launching(Some(free()), Some(new)), false), early, "EC2 may lag behind");
    let creating = volume(1, VolumeStatus::Creating, vec![]);
    assert_eq!(waits(&launching(Some(creating), None), false), Reason::CreatingVolume("vol-1".into()));
}

#[test]
fn of_two_launching_instances_one_gets_the_volume() {
    let both = vec![instance("i-2", State::PendingWait), instance("i-1", State::PendingWait)];
    let groups = vec![group(1, both)];
    insta::assert_snapshot!(text(&observed(Phase::Complete, groups, Some(free()), None)), @r"
    + neo4j-core-1 i-1 attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-2 waits: volume vol-1 is held by i-1, which must let go of it first
    ");
}

#[test]
fn a_replica_is_admitted_when_its_agent_is_there() {
    let given = |host| observed(Phase::Complete, vec![replicas(vec![instance("i-1", State::PendingWait)])], None, host);
    assert_eq!(verdict(&given(Some(registered(None, 0)))), (Action::Admit, Reason::Connected));
    let absent = Reason::AwaitingAgent("has not registered".into());
    assert_eq!(waits(&given(None), false), absent);
    let draining = ContainerInstance { status: "DRAINING".into(), ..registered(None, 0) };
    assert_eq!(waits(&given(Some(draining)), false), Reason::AwaitingAgent("is DRAINING, not ACTIVE".into()));
}

fn deregister(force: bool) -> Action {
    Action::Deregister { container_instances: vec!["arn:1".into()], force }
}

#[test]
fn an_instance_is_let_go_only_when_nothing_is_lost_with_it() {
    let (drain, wait) =
        (Action::Drain { container_instances: vec!["arn:1".into()] }, Action::Wait { heartbeat: false });
    let connected = |tasks| Some(registered(Some("1"), tasks));
    let lost = |tasks| Some(silent(registered(Some("1"), tasks), 6));
    let away = |tasks| Some(silent(registered(Some("1"), tasks), 4));
    let drained = |tasks| Some(draining(registered(Some("1"), tasks)));
    let stopping = |tasks: usize| Reason::TasksStopping(format!("service core ({tasks})"));
    let (creating, complete, deleting) = (Phase::Creating, Phase::Complete, Phase::Deleting);
    for (phase, found, action, why) in [
        (complete, None, Action::Release, Reason::NotJoined),
        (complete, connected(0), drain.clone(), Reason::Emptied),
        (complete, lost(0), deregister(false), Reason::NoTasks),
        (complete, away(0), deregister(false), Reason::NoTasks),
        (complete, drained(0), deregister(false), Reason::NoTasks),
        (complete, connected(1), wait.clone(), Reason::QuorumUnproven(1)),
        (complete, lost(1), wait.clone(), Reason::QuorumUnproven(1)),
        (complete, drained(1), wait.clone(), Reason::QuorumUnproven(1)),
        (creating, None, Action::Release, Reason::NotJoined),
        (creating, connected(0), drain.clone(), Reason::Emptied),
        (creating, drained(0), deregister(false), Reason::NoTasks),
        (creating, lost(1), deregister(true), Reason::Silent),
        (creating, away(1), wait.clone(), Reason::AgentAway),
        (creating, connected(2), wait.clone(), stopping(2)),
        (deleting, None, Action::Release, Reason::NotJoined),
        (deleting, connected(0), drain.clone(), Reason::Emptied),
        (deleting, lost(1), deregister(true), Reason::Silent),
        (deleting, lost(0), deregister(false), Reason::NoTasks),
        (deleting, away(1), wait.clone(), Reason::AgentAway),
        (deleting, connected(1), drain, Reason::Leaving),
        (deleting, drained(2), wait, stopping(2)),
    ] {
        let observed = held(State::TerminatingWait, phase, found);
        assert_eq!(verdict(&observed), (action, why), "{observed:?}");
    }
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
        let waits = (Action::Wait { heartbeat: false }, named.clone());
        assert_eq!(with(foreign(draining(registered(Some("1"), 0)))), waits, "{phase}: no quorum hangs on these");
    }
}

#[test]
fn every_registration_of_an_instance_is_asked_and_deregistered() {
    let second = |found: ContainerInstance| ContainerInstance { arn: "arn:2".into(), ..found };
    let both = Action::Deregister { container_instances: vec!["arn:1".into(), "arn:2".into()], force: true };
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
    // Whatever the other one is like, ECS counts on the tasks of the silent one, and nobody can stop them.
    let back = second(registered(Some("1"), 0));
    for other in [none, second(silent(registered(Some("1"), 0), 1)), back.clone(), draining(back.clone())] {
        for phase in [Phase::Creating, Phase::Deleting] {
            assert_eq!(with(phase, &tasks, other.clone()), (deregister(true), Reason::Silent), "{other:?}");
        }
    }
    assert_eq!(with(Phase::Complete, &tasks, back).1, Reason::QuorumUnproven(1), "the agent speaks by the second");
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
        (Phase::Complete, Some(registered(Some("1"), 1)), (wait, Reason::Retained(1))),
        (Phase::Complete, Some(registered(Some("1"), 0)), (drain.clone(), Reason::Emptied)),
        (Phase::Complete, Some(empty.clone()), (deregister(false), Reason::NoTasks)),
        (Phase::Complete, None, (Action::Terminate, Reason::NotJoined)),
        (Phase::Deleting, Some(registered(Some("1"), 1)), (drain, Reason::Leaving)),
        (Phase::Deleting, Some(empty), (deregister(false), Reason::NoTasks)),
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
            assert_eq!(with(silent(there.clone(), 6), status, state.clone()), (deregister(true), Reason::Dead));
        }
        for (found, status) in [
            (there.clone(), impaired),
            (silent(there.clone(), 6), fine),
            (silent(there.clone(), 6), None),
            (silent(there.clone(), 5), impaired),
            (unknown.clone(), impaired),
        ] {
            assert_eq!(with(found, status, state.clone()).0, Action::Wait { heartbeat: false }, "{state:?}");
        }
    }
}

#[test]
fn silence_is_counted_by_our_own_clock_and_a_connection_since_then_ends_it() {
    let at = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    // The task connected forty minutes ago, which says nothing about how long its agent has been away.
    assert!(!silent(registered(Some("1"), 1), 0).is_silent(now()));
    assert!(silent(registered(Some("1"), 1), 6).is_silent(now()));
    assert!(!ContainerInstance { connected: true, ..silent(registered(Some("1"), 1), 6) }.is_silent(now()));
    // A connection that no pass has seen: the clock runs on from an earlier loss.
    let mut back = silent(registered(Some("1"), 2), 90);
    back.tasks[1].connected_at = Some(at(2));
    assert!(!back.is_silent(now()));
    back.tasks[1].connected_at = Some(at(6));
    assert!(back.is_silent(now()));
}

#[test]
fn a_clock_runs_from_the_first_sight_to_the_reconnection() {
    let lost = |arn: &str| ContainerInstance { arn: arn.into(), connected: false, ..registered(Some("1"), 1) };
    let later = now() + SignedDuration::from_mins(2);
    let mut clocks = Clocks::default();
    let mut found = [lost("arn:1"), registered(Some("2"), 1)];
    clocks.see_connections(&mut found, now());
    assert_eq!(found.map(|found| found.disconnected_since), [Some(now()), None]);
    let mut found = [lost("arn:1"), lost("arn:2")];
    clocks.see_connections(&mut found, later);
    assert_eq!(found.map(|found| found.disconnected_since), [Some(now()), Some(later)]);
    assert_eq!(clocks.disconnected["arn:1"], Away { since: now(), seen: later });
    // A second look at once is not worth a write.
    let before = clocks.clone();
    clocks.see_connections(&mut [lost("arn:1"), lost("arn:2")], later + SignedDuration::from_secs(30));
    assert_eq!(clocks, before);
    // Nobody looked for a while: it may have been there.
    let after = later + SignedDuration::from_secs(181);
    let mut found = [lost("arn:1"), lost("arn:2")];
    clocks.see_connections(&mut found, after);
    assert_eq!(found.map(|found| found.disconnected_since), [Some(after), Some(after)]);
    // One has reconnected, the other is gone.
    clocks.see_connections(&mut [ContainerInstance { connected: true, ..lost("arn:1") }], after);
    assert_eq!(clocks, Clocks::default());
    clocks.see_cores([2].into_iter(), now());
    clocks.see_cores([2, 3].into_iter(), later);
    assert_eq!(clocks.not_whole, [(2, now()), (3, later)].into());
    clocks.see_cores([3].into_iter(), later);
    assert_eq!(clocks.not_whole, [(3, later)].into());
}

#[test]
fn dead_instances_are_deregistered_one_at_a_time() {
    let ill = |id: &str| Instance { status: Some(InstanceStatus::Impaired), ..instance(id, State::TerminatingWait) };
    let groups = vec![group(1, vec![ill("i-1")]), group(2, vec![ill("i-2")])];
    let found = [("i-1", "1"), ("i-2", "2")].map(|(id, core)| on(id, silent(registered(Some(core), 1), 9)));
    let observed = Observed {
        phase: Phase::Complete,
        groups,
        volumes: [].into(),
        container_instances: found.into(),
        not_whole: [].into(),
    };
    insta::assert_snapshot!(text(&observed), @r"
    - neo4j-core-1 i-1 deregister by force: it is dead: EC2's status checks fail, and ECS has lost its agent for more than five minutes
    = neo4j-core-2 i-2 waits: it is dead, but instances are deregistered one at a time: another core must be in service first
    ");
    // The first one has gone, and its replacement is on its way: the second waits for it, and no longer.
    let mut later = observed.clone();
    later.groups[0].instances = vec![instance("i-3", State::PendingWait)];
    later.container_instances.remove(0);
    assert!(text(&later).contains("i-2 waits: it is dead"), "{}", text(&later));
    later.groups[0].instances = vec![instance("i-3", State::Other("InService".into()))];
    assert!(text(&later).contains("i-2 deregister by force: it is dead"), "{}", text(&later));
    // One that never comes back, as when its volume is broken, holds the other up for half an hour and not for ever.
    later.groups[0].instances = vec![instance("i-3", State::PendingWait)];
    for (minutes, deregisters) in [(30, false), (31, true)] {
        later.not_whole = [(1, now() - SignedDuration::from_mins(minutes))].into();
        let text = text(&later);
        assert_eq!(text.contains("i-2 deregister by force"), deregisters, "{text}");
    }
    // One whose instance is retained, but works, is not on its way back.
    later.not_whole.clear();
    later.groups[0].instances = vec![instance("i-1", State::Retained), instance("i-3", State::PendingWait)];
    later.container_instances.push(on("i-1", registered(Some("1"), 1)));
    assert!(text(&later).contains("i-2 deregister by force"), "{}", text(&later));
    later.container_instances.last_mut().unwrap().tasks[0].status = "STOPPING".into();
    assert!(text(&later).contains("i-2 waits: it is dead"), "{}", text(&later));
}

#[test]
fn when_the_cluster_goes_silent_registrations_go_first_whether_held_or_not() {
    let one = |found: ContainerInstance| {
        let groups = vec![group(1, vec![instance("i-1", State::Other("InService".into()))]), replicas(vec![])];
        let mut observed = observed(Phase::Deleting, groups, None, Some(found.clone()));
        observed.container_instances.push(on("i-r", ContainerInstance { core: None, ..found }));
        let steps = plan(&observed, &policy(), now()).steps.into_iter();
        steps.map(|step| (step.instance, step.why)).collect::<Vec<_>>()
    };
    let both = ["i-1", "i-r"].map(|id| (InstanceId::from(id), Reason::Silent));
    assert_eq!(one(silent(registered(Some("1"), 1), 6)), both);
    assert_eq!(one(silent(registered(Some("1"), 1), 4)), [], "it may be back in a moment");
    assert_eq!(one(registered(Some("1"), 1)), [], "ECS stops its tasks");
    // One that is held has a step of its own.
    let held = held(State::TerminatingWait, Phase::Deleting, Some(silent(registered(Some("1"), 1), 6)));
    assert_eq!(plan(&held, &policy(), now()).steps.len(), 1);
}

#[test]
fn only_a_registration_whose_volume_has_let_go_is_stale() {
    let stale = |connected: bool, core: &str, holder: &str| {
        let held = volume(1, VolumeStatus::InUse, vec![attachment(holder, true, 1)]);
        let mut observed = launching(Some(held), None);
        observed.container_instances.push(ContainerInstance { connected, ..on("i-gone", registered(Some(core), 1)) });
        plan(&observed, &policy(), now()).steps.into_iter().any(|step| step.instance == "i-gone")
    };
    assert!(stale(false, "1", "i-1"));
    assert!(!stale(true, "1", "i-1"), "its agent is there");
    assert!(!stale(false, "1", "i-gone"), "it still has the volume");
    assert!(!stale(false, "2", "i-1"), "nothing is known of that core's volume");
}

#[test]
fn what_is_deregistering_is_gone() {
    for (status, gone) in
        [("ACTIVE", false), ("DRAINING", false), ("REGISTERING", false), ("DEREGISTERING", true), ("INACTIVE", true)]
    {
        assert_eq!(ContainerInstance::is_gone(status), gone, "{status}");
    }
}

type Change = Box<dyn FnOnce(&mut Observed)>;

/// Core 1 as it should be, after `change`, with why it is not whole.
fn fault_of(change: impl FnOnce(&mut Observed)) -> Option<String> {
    let groups = vec![group(1, vec![instance("i-1", State::Other("InService".into()))])];
    let mut observed = observed(Phase::Complete, groups, Some(attached(90)), Some(registered(Some("1"), 1)));
    change(&mut observed);
    let plan = plan(&observed, &policy(), now());
    let [core] = &cores(&observed, &plan, &policy(), now())[..] else { panic!("one core") };
    core.fault.as_ref().map(ToString::to_string)
}

#[test]
fn a_core_is_whole_or_the_cause_is_named() {
    fn ci(observed: &mut Observed) -> &mut ContainerInstance {
        &mut observed.container_instances[0]
    }
    fn core(observed: &mut Observed) -> &mut Group {
        &mut observed.groups[0]
    }
    assert_eq!(fault_of(|_| ()), None);
    assert_eq!(
        fault_of(|o| (o.phase, o.groups) = (Phase::Deleting, vec![])),
        None,
        "nothing is expected of it any more"
    );
    assert_eq!(fault_of(|o| o.phase = Phase::Creating), None);
    let no_capacity = "We currently do not have sufficient capacity (at 2026-11-23T09:00:00Z)";
    let table: [Change; 21] = [
        Box::new(|o| o.groups.clear()),
        Box::new(|o| o.groups.push(Group { name: "neo4j-copy".into(), ..group(1, vec![]) })),
        Box::new(|o| core(o).instances.clear()),
        Box::new(move |o| {
            core(o).launch_failure = Some(no_capacity.into());
            core(o).instances[0].state = State::Other("Terminating".into());
        }),
        Box::new(|o| (core(o).desired, core(o).instances) = (0, vec![])),
        Box::new(|o| core(o).instances[0].state = State::Other("Standby".into())),
        Box::new(|o| {
            o.volumes = [volume(1, VolumeStatus::InUse, vec![attachment("i-0", false, 600)])].into();
            core(o).instances[0].state = State::PendingWait;
            o.container_instances.clear();
        }),
        Box::new(|o| core(o).instances[0].state = State::Retained),
        Box::new(|o| core(o).volume = None),
        Box::new(|o| o.volumes.clear()),
        Box::new(|o| o.volumes = [volume(1, VolumeStatus::InUse, vec![attachment("i-0", true, 9)])].into()),
        Box::new(|o| o.volumes = [free()].into()),
        Box::new(|o| o.container_instances.clear()),
        Box::new(|o| ci(o).connected = false),
        Box::new(|o| ci(o).status = "DRAINING".into()),
        Box::new(|o| ci(o).core = Some("2".into())),
        Box::new(|o| ci(o).tasks.clear()),
        Box::new(|o| ci(o).tasks = vec![task("service:datadog", 0)]),
        Box::new(|o| ci(o).tasks[0].status = "PENDING".into()),
        Box::new(|o| ci(o).tasks[0].started_at = Some(now() - SignedDuration::from_mins(4))),
        Box::new(|o| {
            // Its agent has registered anew, and ECS still counts on the task of the first registration.
            let old = silent(registered(Some("1"), 1), 600);
            o.container_instances = vec![old, ContainerInstance { arn: "arn:2".into(), ..registered(Some("1"), 0) }];
        }),
    ];
    let faults = table.map(|change| fault_of(change).expect("a fault"));
    insta::assert_snapshot!(faults.join("\n"), @r"
    no Auto Scaling group of the cluster has the tag neo4j:core=1: deploy the stack again
    several Auto Scaling groups have the tag of this core: neo4j-core-1, neo4j-copy: take it off those that are not the stack's
    its Auto Scaling group neo4j-core-1 has no instance: if that lasts, choose another instance type of the same memory
    its Auto Scaling group neo4j-core-1 has no instance, and Auto Scaling said of its last launch that failed: We currently do not have sufficient capacity (at 2026-11-23T09:00:00Z): if that lasts, choose another instance type of the same memory
    its Auto Scaling group neo4j-core-1 is to have no instance: set its desired capacity to 1
    its instance i-1 is Standby
    its instance i-1 is Pending:Wait: volume vol-1 is held by i-0, which must let go of it first
    its Auto Scaling group neo4j-core-1 has no instance: if that lasts, choose another instance type of the same memory
    its group names no data volume: give the group the tag neo4j:volume
    the cluster has no volume vol-1: correct the group's tag neo4j:volume, or give the volume the tag neo4j:cluster
    volume vol-1 is held by i-0, which must let go of it first
    volume vol-1 is not attached to its instance i-1, which is in service: replace the instance
    the ECS agent of its instance i-1 has not registered: look at ecs.service on the instance by Session Manager, or replace it
    the ECS agent of its instance i-1 is not connected: look at ecs.service on the instance by Session Manager, or replace it
    the ECS agent of its instance i-1 is DRAINING, not ACTIVE: set it to ACTIVE, or replace the instance
    its ECS agent registered with neo4j.core=2, but its group is that of core 1: correct ecs.config in the group's launch template
    no task of the cluster runs on its instance i-1: look at the events of the ECS service
    no task of the cluster runs on its instance i-1: look at the events of the ECS service
    its task task-0 is PENDING, not RUNNING
    its task task-0 runs since 2026-11-23T09:56:00Z: it counts as whole when it has run for five minutes
    no task of the cluster runs on its instance i-1: look at the events of the ECS service
    ");
}

#[test]
fn a_replacement_in_service_makes_a_core_whole_while_the_old_instance_leaves() {
    assert_eq!(fault_of(|o| o.groups[0].instances.push(instance("i-0", State::TerminatingWait))), None);
    assert_eq!(fault_of(|o| o.groups[0].instances.insert(0, instance("i-0", State::Retained))), None);
    let starts = fault_of(|o| {
        o.groups[0].instances[0].state = State::TerminatingWait;
        o.groups[0].instances.push(instance("i-2", State::PendingWait));
    });
    assert!(starts.unwrap().starts_with("its instance i-2 is Pending:Wait: volume vol-1 is held by i-1"));
}

#[test]
fn a_core_is_not_admitted_beside_another_registration_of_the_same_core() {
    let mut observed = launching(Some(attached(1)), Some(registered(Some("1"), 0)));
    observed.container_instances.push(on("i-9", registered(Some("1"), 1)));
    let other = Reason::OtherRegistration { core: "1".into(), by: "i-9".into() };
    assert_eq!(waits(&observed, false), other);
}

#[test]
fn an_instance_has_had_its_volume_since_it_was_attached() {
    let observed = launching(Some(attached(3)), None);
    assert_eq!(observed.attached_since(&"i-1".into()), Some(now() - SignedDuration::from_mins(3)));
    assert_eq!(observed.attached_since(&"i-2".into()), None);
}

const IDS: [&str; 6] = ["i-1", "i-2", "i-3", "i-4", "i-5", "i-6"];

fn any_state() -> impl Strategy<Value = State> {
    let states =
        ["Pending:Wait", "Pending:Wait", "Pending:Wait", "Terminating:Wait", "Terminating:Retained", "InService"];
    select(states.to_vec()).prop_map(State::from)
}

fn any_zone() -> impl Strategy<Value = String> {
    select(vec!["eu-west-1a", "eu-west-1a", "eu-west-1b"]).prop_map(str::to_owned)
}

fn any_core() -> impl Strategy<Value = Option<CoreId>> {
    option::weighted(0.9, select(vec!["1", "2"]).prop_map(CoreId::from))
}

fn any_volume() -> impl Strategy<Value = Volume> {
    let statuses = vec!["available", "available", "available", "in-use", "in-use", "creating", "error"];
    let cluster = option::weighted(0.9, select(vec!["neo4j", "neo4j", "other"]).prop_map(str::to_owned));
    let attachment = (select(IDS.to_vec()), any::<bool>(), option::weighted(0.9, 0i64..20));
    let attachment = attachment.prop_map(|(instance, attached, ago)| Attachment {
        since: ago.map(|ago| now() - SignedDuration::from_mins(ago)),
        ..self::attachment(instance, attached, 0)
    });
    let attachments = prop_oneof![2 => Just(vec![]), 2 => vec(attachment, 0..3)];
    (any_zone(), select(statuses), cluster, any_core(), attachments).prop_map(
        |(zone, status, cluster, core, attachments)| Volume {
            zone,
            status: VolumeStatus::from(status),
            cluster,
            core,
            attachments,
        },
    )
}

fn any_container_instance() -> impl Strategy<Value = ContainerInstance> {
    let status = select(vec!["ACTIVE", "ACTIVE", "DRAINING"]);
    let ago = || option::weighted(0.7, 0i64..12);
    let tasks = vec(select(vec!["service:core", "service:core", "service:datadog"]), 0..3);
    (select(IDS.to_vec()), any::<bool>(), status, any_core(), tasks, ago(), ago()).prop_map(
        |(id, connected, status, core, tasks, registered_ago, lost)| {
            let at = |ago: Option<i64>| ago.map(|ago| now() - SignedDuration::from_mins(ago));
            let (status, registered_at, disconnected_since) = (status.into(), at(registered_ago), at(lost));
            let tasks = tasks.into_iter().enumerate().map(|(n, group)| task(group, n)).collect();
            let found = on(id, registered(None, 0));
            ContainerInstance { connected, status, core, tasks, registered: registered_at, disconnected_since, ..found }
        },
    )
}

fn any_observed() -> impl Strategy<Value = Observed> {
    let phase = select(vec![Phase::Creating, Phase::Complete, Phase::Complete, Phase::Deleting]);
    let volume_id = || select(vec!["vol-1", "vol-2", "vol-9"]).prop_map(VolumeId::from);
    let tags = vec((any_core(), option::weighted(0.8, volume_id())), 3);
    let statuses =
        vec![None, Some(InstanceStatus::NotImpaired), Some(InstanceStatus::Impaired), Some(InstanceStatus::Gone)];
    let instances = vec((0usize..3, any_zone(), any_state(), select(statuses)), IDS.len());
    let volumes = [any_volume(), any_volume()];
    let found = vec(any_container_instance(), 0..IDS.len());
    (phase, tags, instances, volumes, found).prop_map(|(phase, tags, instances, volumes, found)| {
        let mut groups: Vec<_> =
            (0..).zip(tags).map(|(n, (core, volume))| Group { core, volume, ..group(n, vec![]) }).collect();
        for (id, (group, zone, state, status)) in IDS.iter().zip(instances) {
            groups[group].instances.push(Instance { zone, status, ..instance(id, state) });
        }
        let numbered = (0..).zip(found).map(|(n, found)| ContainerInstance { arn: format!("arn:{n}").into(), ..found });
        let container_instances = numbered.collect();
        let volumes = ["vol-1", "vol-2"].map(VolumeId::from).into_iter().zip(volumes);
        Observed { phase, groups, volumes: volumes.collect(), container_instances, not_whole: [].into() }
    })
}

/// The steps of a plan, each with the group and the instance that it is about.
fn steps(observed: &Observed) -> Vec<(Step, Group, Instance)> {
    let found = |step: &Step| {
        let group = observed.groups.iter().find(|group| group.name == step.group).unwrap();
        (group.clone(), group.instances.iter().find(|instance| instance.id == step.instance).unwrap().clone())
    };
    let steps = plan(observed, &policy(), now()).steps.into_iter();
    steps.map(|step| (found(&step), step)).map(|((group, instance), step)| (step, group, instance)).collect()
}

/// Whether EC2 says that an instance is of no use any more.
fn fails(instance: &Instance) -> bool {
    matches!(instance.status, Some(InstanceStatus::Impaired | InstanceStatus::Gone))
}

proptest! {
    #[test]
    fn only_a_free_volume_of_the_same_core_and_zone_is_attached(observed in any_observed()) {
        for (step, group, instance) in steps(&observed) {
            let Action::Attach { volume: id } = &step.action else { continue };
            let volume = &observed.volumes[id];
            prop_assert_eq!(group.volume.as_ref(), Some(id));
            prop_assert_eq!(volume.cluster.as_deref(), Some("neo4j"));
            prop_assert!(volume.core.is_some() && volume.core == group.core);
            prop_assert_eq!(&volume.zone, &instance.zone);
            prop_assert_eq!((&volume.status, volume.attachments.len()), (&VolumeStatus::Available, 0));
            prop_assert_eq!(instance.state, State::PendingWait);
            prop_assert!(observed.of(&instance.id).is_empty());
        }
    }

    #[test]
    fn a_volume_is_given_away_once(observed in any_observed()) {
        let mut given = BTreeSet::new();
        for (step, ..) in steps(&observed) {
            if let Action::Attach { volume } = step.action {
                prop_assert!(given.insert(volume.clone()), "{volume} was given twice");
            }
        }
    }

    #[test]
    fn attached_once_the_plan_attaches_nothing(before in any_observed()) {
        let after = apply(&before, &plan(&before, &policy(), now()));
        for (step, ..) in steps(&after) {
            prop_assert!(!matches!(step.action, Action::Attach { .. }), "{step}");
        }
    }

    #[test]
    fn no_core_is_admitted_without_its_own_volume(observed in any_observed()) {
        for (step, group, instance) in steps(&observed) {
            if step.action != Action::Admit || !group.is_core() || observed.phase == Phase::Deleting {
                continue;
            }
            let volume = &observed.volumes[&group.volume.unwrap()];
            let has_it = |attachment: &Attachment| attachment.instance == instance.id && attachment.attached;
            prop_assert!(volume.attachments.iter().all(has_it) && !volume.attachments.is_empty());
            prop_assert!(volume.core.is_some() && volume.core == group.core);
            let found = observed.of(&instance.id);
            prop_assert!(found.iter().any(|found| found.connected && found.core == group.core));
        }
    }

    #[test]
    fn no_instance_with_tasks_of_the_cluster_leaves_a_complete_one(observed in any_observed()) {
        for (step, _, instance) in steps(&observed) {
            let found = observed.of(&step.instance);
            let ours = found.iter().flat_map(|found| &found.tasks).any(|task| policy().is_ours(task));
            if observed.phase == Phase::Creating && ours {
                prop_assert!(!matches!(step.action, Action::Drain { .. }), "{step}");
            }
            if observed.phase == Phase::Complete && ours {
                let lets_go = matches!(step.action, Action::Release | Action::Drain { .. } | Action::Terminate);
                prop_assert!(!lets_go, "{step}");
                let silent = found.iter().all(|found| found.is_silent(now()));
                let deregisters = matches!(step.action, Action::Deregister { .. });
                prop_assert!(!deregisters || (silent && fails(&instance)), "{step}");
            }
        }
    }

    #[test]
    fn nothing_is_let_go_that_ecs_still_counts_on(observed in any_observed()) {
        for (step, ..) in steps(&observed) {
            let registered = !observed.of(&step.instance).is_empty();
            prop_assert!(!(registered && matches!(step.action, Action::Release | Action::Terminate)), "{step}");
        }
    }

    #[test]
    fn every_held_instance_has_one_step_and_nobody_else(observed in any_observed()) {
        let held = observed.groups.iter().flat_map(|group| &group.instances).filter(|i| i.state.is_held());
        let held: Vec<_> = held.map(|instance| instance.id.clone()).collect();
        let mut planned: Vec<_> = steps(&observed).into_iter().map(|(step, ..)| step.instance).collect();
        planned.sort();
        // When the cluster goes, silent registrations are deregistered too.
        if observed.phase != Phase::Deleting {
            prop_assert_eq!(held.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), planned);
        }
    }

    #[test]
    fn whoever_can_be_reached_is_never_deregistered_by_force(observed in any_observed()) {
        let mut dead = 0;
        for (step, _, instance) in steps(&observed) {
            let Action::Deregister { container_instances, force } = &step.action else { continue };
            let found = observed.of(&instance.id);
            let found: Vec<_> = found.iter().filter(|found| container_instances.contains(&found.arn)).collect();
            if !force {
                prop_assert!(found.iter().all(|found| found.tasks.is_empty()), "{step}");
                continue;
            }
            prop_assert!(found.iter().all(|found| found.is_silent(now())), "{step}");
            let ours = observed.of(&instance.id).iter().flat_map(|found| &found.tasks).any(|task| policy().is_ours(task));
            prop_assert!(observed.phase != Phase::Complete || fails(&instance) || !ours, "{step}");
            dead += usize::from(step.why == Reason::Dead);
        }
        prop_assert!(dead <= 1);
    }

    #[test]
    fn a_core_that_is_whole_has_everything(observed in any_observed()) {
        let plan = plan(&observed, &policy(), now());
        for core in cores(&observed, &plan, &Policy { cores: 2, ..policy() }, now()) {
            if core.fault.is_some() || observed.phase == Phase::Deleting {
                continue;
            }
            let number = CoreId::from(core.number);
            let group = observed.groups.iter().find(|group| group.core.as_ref() == Some(&number)).unwrap();
            let instance = core.instance.unwrap();
            prop_assert!(group.instances.iter().any(|found| found.id == instance && found.state.is_in_service()));
            let volume = &observed.volumes[group.volume.as_ref().unwrap()];
            prop_assert!(!volume.attachments.is_empty());
            prop_assert!(volume.attachments.iter().all(|held| held.instance == instance));
            let found = observed.of(&instance);
            let runs = |task: &Task| policy().is_ours(task) && task.status == "RUNNING";
            let serves = |found: &&ContainerInstance| found.connected && found.is_active() && found.tasks.iter().any(runs);
            prop_assert!(found.iter().any(serves));
        }
    }

    #[test]
    fn the_order_of_what_is_observed_does_not_matter(observed in any_observed()) {
        let mut turned = observed.clone();
        turned.groups.reverse();
        turned.groups.iter_mut().for_each(|group| group.instances.reverse());
        prop_assert_eq!(plan(&observed, &policy(), now()), plan(&turned, &policy(), now()));
    }

    #[test]
    fn only_a_volume_that_somebody_holds_is_waited_for_without_a_deadline(observed in any_observed()) {
        for (step, ..) in steps(&observed) {
            let holds = matches!(step.why, Reason::Held { .. } | Reason::HeldUnseen(_));
            prop_assert_eq!(step.action == Action::Wait { heartbeat: true }, holds, "{}", step);
        }
    }
}

#[test]
fn only_a_failed_status_check_is_an_impairment_and_only_the_end_is_gone() {
    for checks in [["ok", "impaired"], ["impaired", "ok"]] {
        assert_eq!(InstanceStatus::of("running", checks.into_iter()), InstanceStatus::Impaired);
    }
    for fine in ["ok", "insufficient-data", "not-applicable", "initializing"] {
        assert_eq!(InstanceStatus::of("running", [fine, fine].into_iter()), InstanceStatus::NotImpaired, "{fine}");
    }
    for (state, want) in [
        ("terminated", InstanceStatus::Gone),
        ("stopped", InstanceStatus::Gone),
        ("shutting-down", InstanceStatus::NotImpaired),
        ("stopping", InstanceStatus::NotImpaired),
    ] {
        assert_eq!(InstanceStatus::of(state, std::iter::empty()), want, "{state}");
    }
}
