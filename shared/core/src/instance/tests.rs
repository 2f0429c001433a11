use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

const TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn policy() -> Policy {
    Policy { cluster: "neo4j".into(), register_timeout: TIMEOUT }
}

fn instance(id: &str, state: State) -> Instance {
    Instance { id: id.into(), zone: "eu-west-1a".into(), state, healthy: true }
}

fn group(core: u8, instances: Vec<Instance>) -> Group {
    let volume = Some(format!("vol-{core}"));
    Group { name: format!("neo4j-core-{core}"), core: Some(core.to_string()), volume, instances }
}

fn replicas(instances: Vec<Instance>) -> Group {
    Group { name: "neo4j-replica".into(), core: None, volume: None, instances }
}

fn volume(core: u8, status: VolumeStatus, attachments: Vec<Attachment>) -> (String, Volume) {
    let tag = |value: &str| Some(value.to_owned());
    let (cluster, core_tag) = (tag("neo4j"), tag(&core.to_string()));
    (format!("vol-{core}"), Volume { zone: "eu-west-1a".into(), status, cluster, core: core_tag, attachments })
}

fn free() -> (String, Volume) {
    volume(1, VolumeStatus::Available, vec![])
}

fn attachment(instance: &str, attached: bool, minutes_ago: i64) -> Attachment {
    let since = Some(now() - SignedDuration::from_mins(minutes_ago));
    Attachment { instance: instance.into(), attached, since }
}

fn attached(minutes_ago: i64) -> (String, Volume) {
    volume(1, VolumeStatus::InUse, vec![attachment("i-1", true, minutes_ago)])
}

fn host(core: Option<&str>, tasks: usize) -> Host {
    Host {
        arn: "arn:1".into(),
        connected: true,
        status: "ACTIVE".into(),
        core: core.map(str::to_owned),
        tasks,
        registered: Some(now() - SignedDuration::from_mins(3)),
        silent_since: None,
    }
}

/// Its agent was heard of so many minutes ago.
fn silent(host: Host, minutes: i64) -> Host {
    Host { connected: false, silent_since: Some(now() - SignedDuration::from_mins(minutes)), ..host }
}

fn reading(life: Life, groups: Vec<Group>, volume: Option<(String, Volume)>, host: Option<Host>) -> Reading {
    let hosts = host.map(|host| ("i-1".to_owned(), host)).into_iter().collect();
    Reading { life, groups, volumes: volume.into_iter().collect(), hosts }
}

/// Instance `i-1` of core 1 is launching, in a cluster that is complete.
fn launching(volume: Option<(String, Volume)>, host: Option<Host>) -> Reading {
    reading(Life::Complete, vec![group(1, vec![instance("i-1", State::PendingWait)])], volume, host)
}

/// Instance `i-1` of core 1 is held in this state.
fn held(state: State, life: Life, host: Option<Host>) -> Reading {
    reading(life, vec![group(1, vec![instance("i-1", state)])], None, host)
}

fn text(reading: &Reading) -> String {
    plan(reading, &policy(), now()).to_string()
}

/// What is decided about `i-1`, with the name of the reason.
fn verdict(reading: &Reading) -> (Action, Reason) {
    let plan = plan(reading, &policy(), now());
    let step = plan.steps.into_iter().find(|step| step.instance == "i-1").unwrap();
    (step.action, step.why)
}

fn waits(reading: &Reading, heartbeat: bool) -> Reason {
    let (action, why) = verdict(reading);
    assert_eq!(action, Action::Wait { heartbeat }, "{why}");
    why
}

/// What the world looks like once EC2 has taken every attachment; refuses what EC2 would refuse.
fn apply(reading: &Reading, plan: &Plan) -> Reading {
    let mut after = reading.clone();
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
    let lost = Host { connected: false, ..host(Some("4"), 1) };
    let hosts = [
        ("i-old", host(Some("2"), 1)),
        ("i-3", host(Some("3"), 0)),
        ("i-kept", host(None, 2)),
        ("i-r", host(None, 0)),
        ("i-lost", lost),
    ];
    let hosts = hosts.map(|(id, host)| (id.to_owned(), host)).into();
    let reading = Reading { life: Life::Complete, groups, volumes: volumes.into(), hosts };
    insta::assert_snapshot!(text(&reading), @r"
    + neo4j-core-1 i-new attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-second waits: volume vol-1 is held by i-new, which must let go of it first
    = neo4j-core-2 i-2 waits: volume vol-2 is held by i-old, which must let go of it first
    = neo4j-core-2 i-old waits: tasks on it: 1, and nothing can prove yet that the others have quorum without them: when the hook runs out, Auto Scaling retains it; once the other cores are healthy, set its container instance to DRAINING and stop its tasks
    + neo4j-core-3 i-3 admit: volume vol-3 is attached, and the ECS agent is connected
    = neo4j-core-3 i-kept waits: Auto Scaling retains it with tasks on it: 2, since nothing could prove that the others have quorum without them: once the other cores are healthy, set its container instance to DRAINING and stop its tasks; the rest follows
    - neo4j-core-4 i-4 refuse: volume vol-4 was attached more than 600 s ago, but the ECS agent has not registered: look at the instance's console output for the mount and for ecs.service
    - neo4j-replica i-gone release: it is no container instance of the ECS cluster: it never joined, or has left
    + neo4j-replica i-r admit: the ECS agent is connected
    - neo4j-core-4 i-lost forsake: its instance is gone and volume vol-4 is free of it, but ECS still counts on its tasks
    ");
}

#[test]
fn nothing_is_planned_for_who_is_not_held() {
    for state in [
        "Pending",
        "Pending:Proceed",
        "InService",
        "Terminating",
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Pending:Wait",
    ] {
        let groups = [group(1, vec![instance("i-1", State::from(state))])];
        assert!(!Reading::is_needed(Life::Complete, &groups), "{state}");
        assert!(Reading::is_needed(Life::Deleting, &groups), "{state}");
        assert_eq!(text(&held(State::from(state), Life::Complete, None)), "");
    }
    for state in ["Pending:Wait", "Terminating:Wait", "Terminating:Retained"] {
        let groups = [group(1, vec![instance("i-1", State::from(state))])];
        assert!(Reading::is_needed(Life::Complete, &groups), "{state}");
    }
}

#[test]
fn volumes_are_needed_only_for_a_launching_core() {
    let one = |state| vec![instance("i-1", state)];
    assert!(Reading::needs_volumes(&[group(1, one(State::PendingWait))]));
    assert!(!Reading::needs_volumes(&[group(1, one(State::TerminatingWait)), replicas(one(State::PendingWait))]));
}

#[test]
fn a_launch_in_a_cluster_that_is_being_deleted_is_let_through() {
    let one = || vec![instance("i-1", State::PendingWait)];
    for group in [group(1, one()), Group { volume: None, ..group(1, one()) }, replicas(one())] {
        let reading = reading(Life::Deleting, vec![group], Some(free()), None);
        assert_eq!(verdict(&reading), (Action::Admit, Reason::Deleting));
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
        reading(Life::Complete, vec![group], Some((id, volume)), None)
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
    volume vol-1 is in state error: restore it from a snapshot, and name the new volume in the group's tag
    volume vol-1 is in state deleting: restore it from a snapshot, and name the new volume in the group's tag
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
    assert_eq!(waits(&launching(Some(both), Some(host(Some("1"), 0))), true), held_by("i-0"));
    let unseen = volume(1, VolumeStatus::InUse, vec![]);
    assert_eq!(waits(&launching(Some(unseen), None), true), Reason::HeldUnseen("vol-1".into()));
}

#[test]
fn an_instance_with_its_volume_is_admitted_once_its_agent_is_there() {
    let ready = Reason::Ready("vol-1".into());
    assert_eq!(verdict(&launching(Some(attached(1)), Some(host(Some("1"), 0)))), (Action::Admit, ready.clone()));
    // It may have taken long: it is there now.
    assert_eq!(verdict(&launching(Some(attached(60)), Some(host(Some("1"), 0)))), (Action::Admit, ready));
    let attaching = volume(1, VolumeStatus::InUse, vec![attachment("i-1", false, 60)]);
    assert_eq!(waits(&launching(Some(attaching), None), false), Reason::Attaching("vol-1".into()));
}

#[test]
fn an_agent_has_its_time_to_register_and_not_more() {
    let table = [
        (None, "has not registered"),
        (Some(Host { connected: false, ..host(Some("1"), 0) }), "is not connected"),
        (Some(Host { status: "REGISTERING".into(), ..host(Some("1"), 0) }), "is REGISTERING, not ACTIVE"),
    ];
    for (host, agent) in table {
        let (volume, agent) = ("vol-1".to_owned(), agent.to_owned());
        let registering = Reason::Registering { volume: volume.clone(), agent: agent.clone() };
        assert_eq!(waits(&launching(Some(attached(10)), host.clone()), false), registering);
        let never = Reason::NeverRegistered { volume, seconds: 600, agent };
        assert_eq!(verdict(&launching(Some(attached(11)), host.clone())), (Action::Refuse, never));
        // EC2 did not say since when: the hook's own time-out is the only one.
        let (id, mut unsaid) = attached(11);
        unsaid.attachments[0].since = None;
        assert_eq!(waits(&launching(Some((id, unsaid)), host), false), registering);
    }
}

#[test]
fn an_agent_that_registered_for_another_core_is_for_people() {
    for has in [Some("2"), None] {
        for minutes_ago in [1, 60] {
            let why = waits(&launching(Some(attached(minutes_ago)), Some(host(has, 0))), false);
            assert_eq!(why, Reason::OtherCore { has: has.map(str::to_owned), wants: "1".into() });
            assert!(why.is_stuck());
        }
    }
}

#[test]
fn a_free_volume_goes_to_an_instance_whose_agent_waits_for_it() {
    let attach = Action::Attach { volume: "vol-1".into() };
    assert_eq!(verdict(&launching(Some(free()), None)), (attach, Reason::Available("vol-1".into())));
    let early = Reason::RegisteredWithoutVolume("vol-1".into());
    assert_eq!(verdict(&launching(Some(free()), Some(host(Some("1"), 0)))), (Action::Refuse, early.clone()));
    let new = Host { registered: Some(now() - SignedDuration::from_secs(30)), ..host(Some("1"), 0) };
    assert_eq!(waits(&launching(Some(free()), Some(new)), false), early, "EC2 may lag behind");
    let creating = volume(1, VolumeStatus::Creating, vec![]);
    assert_eq!(waits(&launching(Some(creating), None), false), Reason::CreatingVolume("vol-1".into()));
}

#[test]
fn of_two_launching_instances_one_gets_the_volume() {
    let both = vec![instance("i-2", State::PendingWait), instance("i-1", State::PendingWait)];
    let groups = vec![group(1, both)];
    insta::assert_snapshot!(text(&reading(Life::Complete, groups, Some(free()), None)), @r"
    + neo4j-core-1 i-1 attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-2 waits: volume vol-1 is held by i-1, which must let go of it first
    ");
}

#[test]
fn a_replica_is_admitted_when_its_agent_is_there() {
    let given = |host| reading(Life::Complete, vec![replicas(vec![instance("i-1", State::PendingWait)])], None, host);
    assert_eq!(verdict(&given(Some(host(None, 0)))), (Action::Admit, Reason::Connected));
    let absent = Reason::AwaitingAgent("has not registered".into());
    assert_eq!(waits(&given(None), false), absent);
    let draining = Host { status: "DRAINING".into(), ..host(None, 0) };
    assert_eq!(waits(&given(Some(draining)), false), Reason::AwaitingAgent("is DRAINING, not ACTIVE".into()));
}

#[test]
fn an_instance_is_let_go_only_when_nothing_is_lost_with_it() {
    let drain = Action::Drain { host: "arn:1".into() };
    let wait = Action::Wait { heartbeat: false };
    let connected = |tasks| Some(host(Some("1"), tasks));
    let lost = |tasks| Some(silent(host(Some("1"), tasks), 6));
    let away = |tasks| Some(silent(host(Some("1"), tasks), 4));
    let forsake = Action::Forsake { host: "arn:1".into() };
    let draining = |tasks| Some(Host { status: "DRAINING".into(), ..host(Some("1"), tasks) });
    let (creating, complete, deleting) = (Life::Creating, Life::Complete, Life::Deleting);
    for (life, host, action, why) in [
        (complete, None, Action::Release, Reason::NotJoined),
        (complete, connected(0), drain.clone(), Reason::Emptied),
        (complete, lost(0), drain, Reason::Emptied),
        (complete, draining(0), Action::Release, Reason::NoTasks),
        (complete, connected(1), wait.clone(), Reason::QuorumUnproven(1)),
        (complete, lost(1), wait.clone(), Reason::QuorumUnproven(1)),
        (complete, draining(1), wait.clone(), Reason::QuorumUnproven(1)),
        (creating, None, Action::Release, Reason::NotJoined),
        (creating, connected(0), Action::Release, Reason::NoTasks),
        (creating, lost(1), forsake.clone(), Reason::Silent),
        (creating, away(1), wait.clone(), Reason::AgentAway),
        (creating, connected(2), wait.clone(), Reason::TasksStopping(2)),
        (deleting, None, Action::Release, Reason::NotJoined),
        (deleting, connected(0), Action::Release, Reason::NoTasks),
        (deleting, lost(1), forsake.clone(), Reason::Silent),
        (deleting, lost(0), forsake, Reason::Silent),
        (deleting, away(1), wait.clone(), Reason::AgentAway),
        (deleting, draining(1), wait, Reason::TasksStopping(1)),
    ] {
        let reading = held(State::TerminatingWait, life, host);
        assert_eq!(verdict(&reading), (action, why), "{reading:?}");
    }
}

#[test]
fn a_retained_instance_stays_until_nothing_is_lost_with_it() {
    let retained = |life, host| verdict(&held(State::Retained, life, host));
    let (draining, wait) = (Action::Drain { host: "arn:1".into() }, Action::Wait { heartbeat: false });
    let empty = Host { status: "DRAINING".into(), ..host(Some("1"), 0) };
    for (life, host, want) in [
        (Life::Complete, Some(host(Some("1"), 1)), (wait.clone(), Reason::Retained(1))),
        (Life::Complete, Some(host(Some("1"), 0)), (draining, Reason::Emptied)),
        (Life::Complete, Some(empty), (Action::Terminate, Reason::NoTasks)),
        (Life::Complete, None, (Action::Terminate, Reason::NotJoined)),
        (Life::Deleting, Some(host(Some("1"), 1)), (wait, Reason::TasksStopping(1))),
        (Life::Deleting, Some(host(Some("1"), 0)), (Action::Terminate, Reason::NoTasks)),
        (Life::Deleting, None, (Action::Terminate, Reason::NotJoined)),
    ] {
        assert_eq!(retained(life, host), want);
    }
}

#[test]
fn a_dead_instance_is_forsaken_and_one_that_is_only_silent_or_only_ill_is_not() {
    let with = |host: Host, healthy: bool, state: State| {
        let mut reading = held(state, Life::Complete, Some(host));
        reading.groups[0].instances[0].healthy = healthy;
        verdict(&reading)
    };
    let (there, forsaken) = (host(Some("1"), 1), (Action::Forsake { host: "arn:1".into() }, Reason::Dead));
    let unasked = Host { silent_since: None, ..silent(there.clone(), 6) };
    for state in [State::TerminatingWait, State::Retained] {
        assert_eq!(with(silent(there.clone(), 6), false, state.clone()), forsaken);
        for (host, healthy) in [
            (there.clone(), false),
            (silent(there.clone(), 6), true),
            (silent(there.clone(), 5), false),
            (unasked.clone(), false),
        ] {
            assert_eq!(with(host, healthy, state.clone()).0, Action::Wait { heartbeat: false }, "{state:?}");
        }
    }
}

#[test]
fn dead_instances_are_forsaken_one_at_a_time() {
    let ill = |id: &str| Instance { healthy: false, ..instance(id, State::TerminatingWait) };
    let groups = vec![group(1, vec![ill("i-1")]), group(2, vec![ill("i-2")])];
    let hosts = [("i-1", "1"), ("i-2", "2")].map(|(id, core)| (id.to_owned(), silent(host(Some(core), 1), 9)));
    let reading = Reading { life: Life::Complete, groups, volumes: [].into(), hosts: hosts.into() };
    insta::assert_snapshot!(text(&reading), @r"
    - neo4j-core-1 i-1 forsake: it is dead: EC2 finds it unhealthy, and ECS has lost its agent
    = neo4j-core-2 i-2 waits: it is dead, but machines are forsaken one at a time: another core must be in service first
    ");
    // The first one has gone, and its replacement is on its way: the second waits for it, and no longer.
    let mut later = reading.clone();
    later.groups[0].instances = vec![instance("i-3", State::PendingWait)];
    later.hosts.remove("i-1");
    assert!(text(&later).contains("i-2 waits: it is dead"), "{}", text(&later));
    later.groups[0].instances = vec![instance("i-3", State::Other("InService".into()))];
    assert!(text(&later).contains("i-2 forsake: it is dead"), "{}", text(&later));
}

#[test]
fn when_the_cluster_goes_silent_registrations_go_first_whether_held_or_not() {
    let one = |host: Host| {
        let groups = vec![group(1, vec![instance("i-1", State::Other("InService".into()))]), replicas(vec![])];
        let mut reading = reading(Life::Deleting, groups, None, Some(host.clone()));
        reading.hosts.insert("i-r".into(), Host { core: None, ..host });
        plan(&reading, &policy(), now()).steps.into_iter().map(|step| (step.instance, step.why)).collect::<Vec<_>>()
    };
    let both = [("i-1".to_owned(), Reason::Silent), ("i-r".to_owned(), Reason::Silent)];
    assert_eq!(one(silent(host(Some("1"), 1), 6)), both);
    assert_eq!(one(silent(host(Some("1"), 1), 4)), [], "it may be back in a moment");
    assert_eq!(one(host(Some("1"), 1)), [], "ECS stops its tasks");
}

#[test]
fn only_a_registration_whose_volume_has_let_go_is_a_ghosts() {
    let ghost = |connected: bool, core: &str, holder: &str| {
        let held = volume(1, VolumeStatus::InUse, vec![attachment(holder, true, 1)]);
        let mut reading = launching(Some(held), None);
        reading.hosts.insert("i-gone".into(), Host { connected, ..host(Some(core), 1) });
        plan(&reading, &policy(), now()).steps.into_iter().any(|step| step.instance == "i-gone")
    };
    assert!(ghost(false, "1", "i-1"));
    assert!(!ghost(true, "1", "i-1"), "its agent is there");
    assert!(!ghost(false, "1", "i-gone"), "it still has the volume");
    assert!(!ghost(false, "2", "i-1"), "nothing is known of that core's volume");
}

#[test]
fn a_core_is_not_admitted_beside_another_registration_of_the_same_core() {
    let mut reading = launching(Some(attached(1)), Some(host(Some("1"), 0)));
    reading.hosts.insert("i-9".into(), host(Some("1"), 1));
    let other = Reason::OtherHost { core: "1".into(), by: "i-9".into() };
    assert_eq!(waits(&reading, false), other);
}

#[test]
fn an_instance_has_had_its_volume_since_it_was_attached() {
    let reading = launching(Some(attached(3)), None);
    assert_eq!(reading.attached_since("i-1"), Some(now() - SignedDuration::from_mins(3)));
    assert_eq!(reading.attached_since("i-2"), None);
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

fn any_core() -> impl Strategy<Value = Option<String>> {
    option::weighted(0.9, select(vec!["1", "2"]).prop_map(str::to_owned))
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

fn any_host() -> impl Strategy<Value = Host> {
    let status = select(vec!["ACTIVE", "ACTIVE", "DRAINING"]);
    let ago = || option::weighted(0.7, 0i64..12);
    (any::<bool>(), status, any_core(), 0usize..3, ago(), ago()).prop_map(
        |(connected, status, core, tasks, registered, silent)| {
            let at = |ago: Option<i64>| ago.map(|ago| now() - SignedDuration::from_mins(ago));
            let (status, registered, silent_since) = (status.into(), at(registered), at(silent));
            Host { connected, status, core, tasks, registered, silent_since, ..host(None, 0) }
        },
    )
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let life = select(vec![Life::Creating, Life::Complete, Life::Complete, Life::Deleting]);
    let volume_id = || select(vec!["vol-1", "vol-2", "vol-9"]).prop_map(str::to_owned);
    let tags = vec((any_core(), option::weighted(0.8, volume_id())), 3);
    let instances = vec((0usize..3, any_zone(), any_state(), any::<bool>()), IDS.len());
    let volumes = [any_volume(), any_volume()];
    let hosts = vec(option::of(any_host()), IDS.len());
    (life, tags, instances, volumes, hosts).prop_map(|(life, tags, instances, volumes, hosts)| {
        let mut groups: Vec<_> =
            (0..).zip(tags).map(|(n, (core, volume))| Group { core, volume, ..group(n, vec![]) }).collect();
        for (id, (group, zone, state, healthy)) in IDS.iter().zip(instances) {
            groups[group].instances.push(Instance { zone, healthy, ..instance(id, state) });
        }
        let hosts = IDS.iter().zip(hosts).filter_map(|(id, host)| Some(((*id).to_owned(), host?)));
        let volumes = ["vol-1", "vol-2"].map(str::to_owned).into_iter().zip(volumes);
        Reading { life, groups, volumes: volumes.collect(), hosts: hosts.collect() }
    })
}

/// The steps of a plan, each with the group and the instance that it is about.
fn steps(reading: &Reading) -> Vec<(Step, Group, Instance)> {
    let found = |step: &Step| {
        let group = reading.groups.iter().find(|group| group.name == step.group).unwrap();
        (group.clone(), group.instances.iter().find(|instance| instance.id == step.instance).unwrap().clone())
    };
    let steps = plan(reading, &policy(), now()).steps.into_iter();
    steps.map(|step| (found(&step), step)).map(|((group, instance), step)| (step, group, instance)).collect()
}

proptest! {
    #[test]
    fn only_a_free_volume_of_the_same_core_and_zone_is_attached(reading in any_reading()) {
        for (step, group, instance) in steps(&reading) {
            let Action::Attach { volume: id } = &step.action else { continue };
            let volume = &reading.volumes[id];
            prop_assert_eq!(group.volume.as_ref(), Some(id));
            prop_assert_eq!(volume.cluster.as_deref(), Some("neo4j"));
            prop_assert!(volume.core.is_some() && volume.core == group.core);
            prop_assert_eq!(&volume.zone, &instance.zone);
            prop_assert_eq!((&volume.status, volume.attachments.len()), (&VolumeStatus::Available, 0));
            prop_assert_eq!(instance.state, State::PendingWait);
            prop_assert!(!reading.hosts.contains_key(&instance.id));
        }
    }

    #[test]
    fn a_volume_is_given_away_once(reading in any_reading()) {
        let mut given = BTreeSet::new();
        for (step, ..) in steps(&reading) {
            if let Action::Attach { volume } = step.action {
                prop_assert!(given.insert(volume.clone()), "{volume} was given twice");
            }
        }
    }

    #[test]
    fn attached_once_the_plan_attaches_nothing(before in any_reading()) {
        let after = apply(&before, &plan(&before, &policy(), now()));
        for (step, ..) in steps(&after) {
            prop_assert!(!matches!(step.action, Action::Attach { .. }), "{step}");
        }
    }

    #[test]
    fn no_core_is_admitted_without_its_own_volume(reading in any_reading()) {
        for (step, group, instance) in steps(&reading) {
            if step.action != Action::Admit || !group.is_core() || reading.life == Life::Deleting {
                continue;
            }
            let volume = &reading.volumes[&group.volume.unwrap()];
            let has_it = |attachment: &Attachment| attachment.instance == instance.id && attachment.attached;
            prop_assert!(volume.attachments.iter().all(has_it) && !volume.attachments.is_empty());
            prop_assert!(volume.core.is_some() && volume.core == group.core);
            prop_assert_eq!(&reading.hosts[&instance.id].core, &group.core);
        }
    }

    #[test]
    fn no_instance_with_tasks_leaves_a_complete_cluster(reading in any_reading()) {
        for (step, ..) in steps(&reading) {
            let tasks = reading.hosts.get(&step.instance).map_or(0, |host| host.tasks);
            if reading.life == Life::Complete && tasks > 0 {
                prop_assert!(!matches!(step.action, Action::Release | Action::Drain { .. } | Action::Terminate), "{step}");
            }
        }
    }

    #[test]
    fn every_held_instance_has_one_step_and_nobody_else(reading in any_reading()) {
        let held = reading.groups.iter().flat_map(|group| &group.instances).filter(|i| i.state.is_held());
        let held: Vec<String> = held.map(|instance| instance.id.clone()).collect();
        let mut planned: Vec<String> = steps(&reading).into_iter().map(|(step, ..)| step.instance).collect();
        planned.sort();
        // When the cluster goes, silent registrations are forsaken too.
        if reading.life != Life::Deleting {
            prop_assert_eq!(held.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), planned);
        }
    }

    #[test]
    fn whoever_can_be_reached_is_never_forsaken(reading in any_reading()) {
        let mut dead = 0;
        for (step, _, instance) in steps(&reading) {
            if let Action::Forsake { .. } = step.action {
                prop_assert!(!reading.hosts[&instance.id].connected, "{step}");
                prop_assert!(reading.life != Life::Complete || !instance.healthy, "{step}");
                dead += usize::from(reading.life == Life::Complete);
            }
        }
        prop_assert!(dead <= 1);
    }

    #[test]
    fn the_order_of_the_readings_does_not_matter(reading in any_reading()) {
        let mut turned = reading.clone();
        turned.groups.reverse();
        turned.groups.iter_mut().for_each(|group| group.instances.reverse());
        prop_assert_eq!(plan(&reading, &policy(), now()), plan(&turned, &policy(), now()));
    }

    #[test]
    fn only_a_volume_that_somebody_holds_is_waited_for_without_a_deadline(reading in any_reading()) {
        for (step, ..) in steps(&reading) {
            let holds = matches!(step.why, Reason::Held { .. } | Reason::HeldUnseen(_));
            prop_assert_eq!(step.action == Action::Wait { heartbeat: true }, holds, "{}", step);
        }
    }
}
