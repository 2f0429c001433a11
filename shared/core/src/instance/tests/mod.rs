use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::ids::{CoreId, InstanceId, VolumeId};

mod clocks;
mod disruption;
mod heal;
mod heard;
mod launch;
mod leave;
mod properties;
mod stale;
mod target;
mod whole;
mod whole_plan;

const TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn policy() -> Policy {
    let (core_services, replica_services) = (vec!["core-1".into(), "core-2".into()], vec!["replica".into()]);
    Policy {
        cluster: "neo4j".into(),
        cores: 1,
        core_services,
        replica_services,
        register_timeout: TIMEOUT,
        core_drain_timeout: SignedDuration::from_hours(4),
        replica_drain_timeout: SignedDuration::from_hours(1),
        standalone_grace: TIMEOUT,
        stand_alone: false,
    }
}

fn instance(id: &str, state: State) -> Instance {
    let (status, template) = (Some(InstanceStatus::NotImpaired), LaunchTemplate::read("lt-1:2"));
    Instance { id: id.into(), zone: "eu-west-1a".into(), state, template, status }
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
    let definition = Some("arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:3".into());
    Task {
        id: format!("task-{n}"),
        group: group.into(),
        status,
        connected_at,
        started_at,
        wanted: true,
        unhealthy: false,
        definition,
    }
}

/// Returns the registration of `i-1`, with so many tasks of the cluster on it.
fn registered(core: Option<&str>, tasks: usize) -> ContainerInstance {
    ContainerInstance {
        arn: "arn:1".into(),
        instance: "i-1".into(),
        connected: true,
        status: "ACTIVE".into(),
        core: core.map(Into::into),
        tasks: (0..tasks).map(|n| task("service:core-1", n)).collect(),
        running_tasks: tasks,
        registered: Some(now() - SignedDuration::from_mins(3)),
        disconnected_since: None,
        last_stopped: None,
    }
}

fn on(instance: &str, found: ContainerInstance) -> ContainerInstance {
    ContainerInstance { arn: format!("arn:{instance}").into(), instance: instance.into(), ..found }
}

fn draining(found: ContainerInstance) -> ContainerInstance {
    ContainerInstance { status: "DRAINING".into(), ..found }
}

/// Returns a registration whose agent was first seen disconnected so many minutes ago.
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
    Observed { phase, groups, volumes, container_instances, ..Observed::default() }
}

/// Returns a complete cluster in which instance `i-1` of core 1 is launching.
fn launching(volume: Option<(VolumeId, Volume)>, found: Option<ContainerInstance>) -> Observed {
    observed(Phase::Complete, vec![group(1, vec![instance("i-1", State::PendingWait)])], volume, found)
}

/// Returns a cluster in which instance `i-1` of core 1 is held in this state.
/// An instance on its way out that was seen without a task half a minute ago, so that lists can be believed.
fn held(state: State, phase: Phase, found: Option<ContainerInstance>) -> Observed {
    let empty = [("i-1".into(), now() - SignedDuration::from_secs(30))].into();
    Observed { empty, ..observed(phase, vec![group(1, vec![instance("i-1", state)])], None, found) }
}

fn text(observed: &Observed) -> String {
    plan(observed, &policy(), now()).to_string()
}

/// Returns what is decided about `i-1`, and why.
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

#[test]
fn a_plan_names_what_to_do_about_each_instance_and_why() {
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
        ("i-old", ContainerInstance { tasks: vec![task("service:core-2", 1)], ..registered(Some("2"), 1) }),
        ("i-3", registered(Some("3"), 0)),
        ("i-kept", registered(None, 2)),
        ("i-r", registered(None, 0)),
        ("i-lost", lost),
    ];
    let container_instances = found.map(|(id, found)| on(id, found)).into();
    let observed = Observed {
        phase: Phase::Complete,
        groups,
        volumes: volumes.into(),
        container_instances,
        ..Observed::default()
    };
    insta::assert_snapshot!(text(&observed), @r"
    + neo4j-core-1 i-new attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-second waits: volume vol-1 is held by i-new, which must release it first
    = neo4j-core-2 i-2 waits: volume vol-2 is held by i-old, which must release it first
    = neo4j-core-2 i-old waits: nobody asked Neo4j yet whether the others do without it: the next sweep does
    + neo4j-core-3 i-3 admit: volume vol-3 is attached, and the ECS agent is connected
    = neo4j-core-3 i-kept waits: its group's tag neo4j:core, its tasks and its agent do not name one core, so nobody can say whether the others do without it: correct the tag neo4j:core, or move the task that is not its own
    - neo4j-core-4 i-4 refuse: volume vol-4 was attached more than 600 s ago, but the ECS agent has not registered: look at the instance's console output for the mount and for ecs.service
    - neo4j-replica i-gone release: it is not a container instance of the ECS cluster: it never joined, or has left
    + neo4j-replica i-r admit: the ECS agent is connected
    - neo4j-core-4 i-lost deregister by force: its instance is gone and no longer holds volume vol-4, but ECS still counts on its tasks
    ");
}

#[test]
fn nothing_is_planned_for_an_instance_that_is_not_held() {
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

fn deregister() -> Action {
    Action::Deregister { container_instances: vec!["arn:1".into()] }
}

fn leave() -> Action {
    Action::Leave { container_instances: vec!["arn:1".into()] }
}

#[test]
fn what_is_deregistering_is_gone() {
    for (status, gone) in
        [("ACTIVE", false), ("DRAINING", false), ("REGISTERING", false), ("DEREGISTERING", true), ("INACTIVE", true)]
    {
        assert_eq!(ContainerInstance::is_gone(status), gone, "{status}");
    }
}

#[test]
fn an_instance_has_had_its_volume_since_it_was_attached() {
    let observed = launching(Some(attached(3)), None);
    assert_eq!(observed.attached_since(&"i-1".into()), Some(now() - SignedDuration::from_mins(3)));
    assert_eq!(observed.attached_since(&"i-2".into()), None);
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

#[test]
fn a_phase_is_named_as_the_state_table_names_it() {
    let names = [Phase::Creating, Phase::Complete, Phase::Deleting].map(|phase| phase.to_string());
    assert_eq!(names, ["creating", "complete", "deleting"]);
}

#[test]
fn a_lifecycle_state_tells_whether_an_instance_is_held_leaves_or_serves() {
    // (state, is held, awaits its release, is leaving, is in service)
    for (state, want) in [
        ("Pending:Wait", [true, false, false, false]),
        ("Terminating:Wait", [true, true, true, false]),
        ("Terminating:Retained", [true, true, true, false]),
        ("Terminating:Proceed", [false, false, true, false]),
        ("Detaching", [false, false, true, false]),
        ("InService", [false, false, false, true]),
        ("Pending", [false, false, false, false]),
    ] {
        let read = State::from(state);
        assert_eq!(read.to_string(), state);
        let is = [read.is_held(), read.awaits_release(), read.is_leaving(), read.is_in_service()];
        assert_eq!(is, want, "{state}");
    }
}

#[test]
fn tasks_may_be_stopping_where_the_agent_is_away_or_a_core_drains_or_has_none() {
    let with = |connected, core, tasks| ContainerInstance { connected, ..registered(core, tasks) };
    for (found, want) in [
        (with(true, Some("1"), 1), false),
        (with(true, Some("1"), 0), true),
        (with(true, None, 0), false),
        (with(false, Some("1"), 1), true),
        (with(false, None, 1), true),
    ] {
        assert_eq!(found.may_be_stopping_tasks(), want, "{found:?}");
    }
    let drains = ContainerInstance { status: "DRAINING".into(), ..registered(Some("1"), 1) };
    assert!(drains.may_be_stopping_tasks(), "a task of no service may be all that is to run on it");
    let mut cron = registered(Some("1"), 1);
    cron.tasks[0].group = "family:cron".into();
    assert!(cron.may_be_stopping_tasks(), "the core's own is not to run");
}

#[test]
fn of_a_task_in_two_lists_the_later_one_counts() {
    let mut found = registered(Some("1"), 2);
    let stopping = Task { wanted: false, ..task("service:core-1", 1) };
    found.add_tasks([stopping.clone(), task("service:core-1", 2)]);
    assert_eq!(found.tasks, [task("service:core-1", 0), stopping, task("service:core-1", 2)]);
}

#[test]
fn a_plan_counts_whom_it_leaves_and_names_their_hooks() {
    let states = [State::PendingWait, State::TerminatingWait, State::Retained];
    let instances = ["i-1", "i-2", "i-3"].iter().zip(states).map(|(id, state)| instance(id, state)).collect();
    let mut observed = observed(Phase::Complete, vec![group(1, instances)], None, None);
    for id in ["i-2", "i-3"] {
        observed.container_instances.push(on(id, registered(Some("1"), 1)));
    }
    let plan = plan(&observed, &policy(), now());
    assert_eq!(plan.held(), Held { waiting: 2, stuck: 1, retained: 1 }, "{plan}");
    let hooks: Vec<_> = plan.steps.iter().map(Step::hook).collect();
    assert_eq!(hooks, [Some("neo4j-launch"), Some("neo4j-terminate"), None]);
}
