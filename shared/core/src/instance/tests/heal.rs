use super::*;
use crate::{
    neo4j::{Fault as Said, Kind, Silent},
    quorum::tests::cluster::{Alter, healthy},
};

mod clocks;
mod disks;
pub(super) mod properties;

pub(super) const CORE: u8 = 2;

pub(super) fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

pub(super) fn three() -> Policy {
    let core_services = (1..=3).map(|core| format!("core-{core}")).collect();
    Policy { cores: 3, core_services, ..policy() }
}

/// Returns the task of a core.
pub(super) fn task_of(core: u8) -> String {
    format!("{core}a5c0ffee0000000")
}

/// Returns a complete cluster of three cores that are well: every agent is connected, and every Neo4j answers.
pub(super) fn well() -> Observed {
    let neo4j = healthy(3, &[("neo4j", &[1, 2, 3])]);
    let cores = 1..=3u8;
    let on_core = |core: u8| {
        let id = format!("i-{core}");
        let task = Task { id: task_of(core), ..task(&format!("service:core-{core}"), 0) };
        ContainerInstance { tasks: vec![task], ..on(&id, registered(Some(&core.to_string()), 1)) }
    };
    let heard = |core: u8| {
        let answer = neo4j.members[usize::from(core) - 1].answer.clone().unwrap();
        (core, Heard { answer, answered_before: true, pages_only: false })
    };
    let in_service = |core: u8| instance(&format!("i-{core}"), State::Other("InService".into()));
    Observed {
        phase: Phase::Complete,
        groups: cores.clone().map(|core| group(core, vec![in_service(core)])).collect(),
        container_instances: cores.clone().map(on_core).collect(),
        neo4j: Seen::Answers(cores.map(heard).collect()),
        quorum_observed: Some(neo4j),
        ..Observed::default()
    }
}

pub(super) fn heard(observed: &mut Observed) -> &mut Heard {
    let Seen::Answers(cores) = &mut observed.neo4j else { panic!("answers") };
    cores.get_mut(&CORE).unwrap()
}

pub(super) fn found(observed: &mut Observed) -> &mut ContainerInstance {
    observed.container_instances.iter_mut().find(|found| found.instance == "i-2").unwrap()
}

pub(super) fn asked(observed: &mut Observed) -> &mut crate::quorum::Observed {
    observed.quorum_observed.as_mut().unwrap()
}

/// Core 2 says nothing to neo4j-gateway.
pub(super) fn mute(observed: &mut Observed, kind: Kind) {
    let fault = Said::new(kind, "no answer");
    heard(observed).answer.page = Err(fault.clone());
    asked(observed).answer(CORE).page = Err(fault);
}

/// Everybody calls core 2 this.
pub(super) fn call(observed: &mut Observed, status: &str) {
    for database in ["system", "neo4j"] {
        asked(observed).status(CORE, database, status);
    }
}

/// Core 2 stands still for so many minutes, and its agent is connected.
pub(super) fn hangs(minutes: i64) -> Observed {
    let mut observed = well();
    mute(&mut observed, Kind::Silent);
    call(&mut observed, "UNAVAILABLE");
    let silent = Silent { since: ago(minutes), seen: now(), alone: Some(ago(minutes)) };
    observed.silent.insert(task_of(CORE), silent);
    observed
}

/// Core 2 hung in its start so many minutes ago, when its disk was full; it has had room for so many.
pub(super) fn hung_in_its_start(started: i64, room: i64) -> Observed {
    let mut observed = well();
    mute(&mut observed, Kind::Unreachable);
    call(&mut observed, "UNAVAILABLE");
    heard(&mut observed).answered_before = false;
    found(&mut observed).tasks[0].started_at = Some(ago(started));
    let free = |minute| if minute <= room { 45.5 } else { 0.25 };
    observed.disks = [(CORE, (0..=started + 2).rev().map(|minute| (ago(minute), free(minute))).collect())].into();
    observed
}

/// Core 2 runs and met a full disk, which has had room for so many minutes.
pub(super) fn met_full_disk(room: i64) -> Observed {
    let mut observed = Observed { disks: hung_in_its_start(60, room).disks, ..well() };
    for row in &mut heard(&mut observed).answer.view.as_mut().unwrap().databases {
        let own =
            row.copies.iter_mut().filter(|copy| row.name == "neo4j" && copy.server.as_deref() == Some("server-2"));
        own.for_each(|copy| copy.message = "java.io.IOException: No space left on device".into());
    }
    observed
}

/// The agent of core 2 has been silent for so many minutes, and so has its Neo4j.
pub(super) fn is_cut_off(agent: i64, neo4j: i64) -> Observed {
    let mut observed = hangs(neo4j);
    observed.silent.get_mut(&task_of(CORE)).unwrap().alone = None;
    let lost = found(&mut observed);
    (lost.connected, lost.disconnected_since) = (false, Some(ago(agent)));
    observed
}

pub(super) fn ill(observed: &Observed) -> Option<Ill> {
    super::ill(observed, &three(), CORE, now())
}

/// Returns what is made of core 2.
pub(super) fn said(observed: &Observed) -> String {
    let (ill, not_yet) = (ill(observed), not_yet(observed, &three(), CORE, now()));
    assert!(ill.is_none() || not_yet.is_none());
    for core in [0, 1, 3, 4] {
        assert_eq!(super::ill(observed, &three(), core, now()), None, "core {core}");
    }
    match (ill, not_yet) {
        (Some(ill), _) => format!("ill: {ill}"),
        (None, Some(why)) => format!("not yet: {why}"),
        (None, None) => "well".to_owned(),
    }
}

fn after(mut observed: Observed, change: impl FnOnce(&mut Observed)) -> String {
    change(&mut observed);
    said(&observed)
}

type Change = fn(&mut Observed);

/// What leaves nothing to heal, whatever else is proven.
fn hands_off() -> Vec<(&'static str, Change)> {
    vec![
        ("creating", |o| o.phase = Phase::Creating),
        ("deleting", |o| o.phase = Phase::Deleting),
        ("leaving", |o| o.groups[1].instances[0].state = State::TerminatingWait),
        ("retained", |o| o.groups[1].instances[0].state = State::Retained),
        ("standby", |o| o.groups[1].instances[0].state = State::Other("Standby".into())),
        ("launching", |o| o.groups[1].instances[0].state = State::PendingWait),
        ("two instances", |o| {
            let twin = Instance { id: "i-9".into(), ..o.groups[1].instances[0].clone() };
            o.groups[1].instances.push(twin);
        }),
        ("two groups", |o| o.groups.push(group(2, vec![]))),
        ("no group", |o| o.groups[1].core = None),
        ("no registration", |o| o.container_instances.clear()),
    ]
}

#[test]
fn a_core_that_is_well_is_not_ill() {
    assert_eq!(said(&well()), "well");
}

#[test]
fn nothing_is_healed_where_no_quorum_is_to_be_kept_or_people_have_taken_over() {
    for (what, change) in hands_off() {
        for observed in [hangs(60), hung_in_its_start(60, 30), met_full_disk(30), is_cut_off(60, 60)] {
            assert!(said(&observed).starts_with("ill: "), "{what}: {}", said(&observed));
            assert_eq!(after(observed, change), "well", "{what}");
        }
    }
}

#[test]
fn a_member_hangs_only_by_its_own_silence_and_the_word_of_its_peers() {
    let said = [
        said(&hangs(10)),
        said(&hangs(9)),
        after(hangs(60), |o| call(o, "APPLYING")),
        after(hangs(60), |o| o.quorum_observed = None),
        after(hangs(60), |o| o.disks = [(CORE, vec![(ago(1), 0.25)])].into()),
        after(hangs(60), |o| o.restarts = [(CORE, vec![ago(59)])].into()),
        after(hangs(60), |o| o.restarts = [(CORE, vec![ago(23 * 60), ago(12 * 60), ago(60)])].into()),
        after(hangs(60), |o| o.restarts = [(CORE, vec![ago(25 * 60), ago(12 * 60), ago(60)])].into()),
        after(hangs(60), |o| o.restarts = [(1, vec![ago(1)]), (3, vec![ago(0); 7])].into()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    ill: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:50:00Z, and cores 1, 3 call it unavailable
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:51:00Z: after ten minutes it is restarted, if the other cores call it unavailable and do without it
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:00:00Z, but is not restarted for that alone: core 1 calls its copy of database neo4j APPLYING; look at its log, and at the network between neo4j-gateway and its instance
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:00:00Z, but is not restarted for that alone: nobody asked the other cores; look at its log, and at the network between neo4j-gateway and its instance
    not yet: its disk was full, and 0.25 % of it is free: raise the parameter DataVolumeSize; the file system grows by itself, and with more than 20 % free for ten minutes its Neo4j is restarted
    not yet: it was restarted at 2026-11-23T09:01:00Z, and is ill again: it is not restarted before 2026-11-23T10:01:00Z; look at its log
    not yet: it was restarted 3 times within a day, and is ill again: it is not restarted before 2026-11-23T11:00:00Z; look at its log, and replace its instance
    ill: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:00:00Z, and cores 1, 3 call it unavailable
    ill: its Neo4j (task 2a5c0ffee0000000) has not answered since 2026-11-23T09:00:00Z, and cores 1, 3 call it unavailable
    ");
}

/// What takes something from the proof of a member that hangs.
fn missing() -> Vec<(&'static str, Change)> {
    vec![
        ("nobody asked", |o| o.neo4j = Seen::NotAsked),
        ("the gateway failed", |o| o.neo4j = Seen::GatewayFailed("it timed out".into())),
        ("no clock", |o| o.silent.clear()),
        ("the clock of another task", |o| {
            let silent = o.silent.remove(&task_of(CORE));
            o.silent.extend(silent.map(|silent| ("another".to_owned(), silent)));
        }),
        ("an old clock", |o| o.silent.values_mut().for_each(|silent| silent.seen = ago(4))),
        ("a clock of the future", |o| o.silent.values_mut().for_each(|silent| silent.seen = ago(-4))),
        ("the agent was away", |o| o.silent.values_mut().for_each(|silent| silent.alone = None)),
        ("the agent is away", |o| {
            let lost = found(o);
            (lost.connected, lost.disconnected_since) = (false, Some(ago(1)));
        }),
        ("it answers", |o| heard(o).answer.page = Ok(page())),
        ("it answers as somebody else", |o| mute(o, Kind::Certificate)),
        ("it was not asked", |o| mute(o, Kind::NotAsked)),
        ("another task was asked", |o| heard(o).answer.task = "another".into()),
        ("its task starts", |o| found(o).tasks[0].status = "PENDING".into()),
        ("its task is being stopped", |o| found(o).tasks[0].wanted = false),
        ("ECS replaces its task", |o| found(o).tasks[0].unhealthy = true),
        ("its container instance drains", |o| found(o).status = "DRAINING".into()),
        ("it has two tasks", |o| {
            let twin = Task { id: "twin".into(), ..found(o).tasks[0].clone() };
            found(o).tasks.push(twin);
        }),
        ("its task is elsewhere", |o| {
            let tasks = std::mem::take(&mut found(o).tasks);
            o.container_instances[0].tasks.extend(tasks);
        }),
        ("its task is somebody else's", |o| found(o).tasks[0].group = "family:core-2".into()),
    ]
}

#[test]
fn what_is_missing_from_the_proof_of_a_member_that_hangs_leaves_it_alone() {
    for (what, change) in missing() {
        assert_eq!(after(hangs(60), change), "well", "{what}");
    }
    assert!(after(hangs(60), |o| heard(o).answered_before = false).contains("may be recovering"));
}

fn page() -> crate::neo4j::Page {
    crate::neo4j::Page { version: "2026.08.1".into(), edition: "enterprise".into() }
}

#[test]
fn a_task_that_two_registrations_have_is_one() {
    let observed = |connected: bool| {
        let mut observed = hangs(60);
        let stale = silent(ContainerInstance { arn: "arn:0".into(), ..found(&mut observed).clone() }, 90);
        observed.container_instances.push(stale);
        found(&mut observed).connected = connected;
        said(&observed)
    };
    assert!(observed(true).starts_with("ill: "));
    assert_eq!(observed(false), "well", "nobody could stop it");
}

#[test]
fn a_restart_that_was_noted_and_never_came_counts_for_two_minutes() {
    // Its task started forty minutes ago, and ECS still wants it.
    let with = |minutes: i64| after(hangs(60), |o| o.restarts = [(CORE, vec![ago(minutes)])].into());
    let lately = |minutes: i64| with(minutes).starts_with("not yet: it was restarted at ");
    assert_eq!([41, 40, 2, 1].map(lately), [true, false, false, true]);
    // What is wedged is replaced: ECS wants its task all the while.
    let wedged = after(is_cut_off(6, 60), |o| o.restarts = [(CORE, vec![ago(2)])].into());
    assert!(wedged.starts_with("not yet: it was restarted at "), "{wedged}");
}

#[test]
fn an_instance_is_wedged_only_by_two_witnesses() {
    let no_clock: Change = |o| o.silent.clear();
    let said = [
        said(&is_cut_off(6, 10)),
        said(&is_cut_off(5, 60)),
        said(&is_cut_off(6, 9)),
        after(is_cut_off(6, 60), no_clock),
        after(is_cut_off(6, 9), |o| call(o, "APPLYING")),
        after(is_cut_off(6, 60), |o| call(o, "APPLYING")),
        after(is_cut_off(6, 9), |o| o.quorum_observed = None),
        after(is_cut_off(6, 60), |o| o.silent.get_mut(&task_of(CORE)).unwrap().seen = ago(4)),
        after(is_cut_off(6, 60), |o| heard(o).answer.page = Ok(page())),
        after(is_cut_off(6, 60), |o| mute(o, Kind::Certificate)),
        after(is_cut_off(6, 60), |o| heard(o).answered_before = false),
        after(is_cut_off(6, 60), |o| o.neo4j = Seen::GatewayFailed("it timed out".into())),
        after(is_cut_off(6, 60), |o| o.groups[1].instances[0].status = None),
        after(is_cut_off(6, 60), |o| o.groups[1].instances[0].status = Some(InstanceStatus::Impaired)),
        after(is_cut_off(6, 60), |o| o.groups[1].instances[0].status = Some(InstanceStatus::Gone)),
        after(is_cut_off(6, 60), |o| found(o).tasks.clear()),
        after(is_cut_off(6, 60), |o| (found(o).tasks, found(o).running_tasks) = (vec![], 0)),
        after(is_cut_off(6, 60), |o| {
            (found(o).tasks, found(o).running_tasks) = (vec![], 0);
            call(o, "APPLYING");
        }),
        after(is_cut_off(6, 60), |o| o.restarts = [(CORE, vec![ago(59)])].into()),
        after(is_cut_off(6, 60), |o| o.restarts = [(CORE, vec![ago(60); 3])].into()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    ill: ECS has had no connection to its agent since 2026-11-23T09:54:00Z, and its Neo4j has not answered since 2026-11-23T09:50:00Z
    well
    ill: ECS has had no connection to its agent since 2026-11-23T09:54:00Z, and cores 1, 3 call its Neo4j unavailable
    ill: ECS has had no connection to its agent since 2026-11-23T09:54:00Z, and cores 1, 3 call its Neo4j unavailable
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: core 1 calls its copy of database neo4j APPLYING; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: core 1 calls its copy of database neo4j APPLYING; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: nobody asked the other cores; look at ecs.service on it by Session Manager
    ill: ECS has had no connection to its agent since 2026-11-23T09:54:00Z, and cores 1, 3 call its Neo4j unavailable
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: its Neo4j answers; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: its Neo4j is not silent: no answer; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: its Neo4j has not answered since its start, and may be recovering; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: nobody asked its Neo4j; look at ecs.service on it by Session Manager
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, and EC2 has not said yet whether its status checks fail: the next sweep asks again
    well
    well
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, and it is not clear which tasks are on it: look at the tasks of the ECS cluster, and replace the instance if it serves nothing
    ill: ECS has had no connection to its agent since 2026-11-23T09:54:00Z, and cores 1, 3 call its Neo4j unavailable
    not yet: ECS has had no connection to the agent of its instance i-2 since 2026-11-23T09:54:00Z, but the instance is not replaced for that alone: core 1 calls its copy of database neo4j APPLYING; look at ecs.service on it by Session Manager
    not yet: it was restarted at 2026-11-23T09:01:00Z, and is ill again: it is not restarted before 2026-11-23T10:01:00Z; look at its log
    not yet: it was restarted 3 times within a day, and is ill again: it is not restarted before 2026-11-24T09:00:00Z; look at its log, and replace its instance
    ");
}

#[test]
fn ec2_is_worth_asking_about_an_instance_in_service_whose_agents_are_all_silent() {
    let asks = |change: Change| {
        let mut observed = is_cut_off(6, 0);
        change(&mut observed);
        may_be_wedged(&observed, &observed.groups[1].instances[0], now())
    };
    assert!(asks(|_| ()));
    assert!(!asks(|o| found(o).connected = true));
    assert!(!asks(|o| found(o).disconnected_since = Some(ago(5))));
    assert!(!asks(|o| o.container_instances.clear()));
    assert!(!asks(|o| o.phase = Phase::Creating));
    assert!(!asks(|o| o.groups[1].instances[0].state = State::TerminatingWait));
    assert!(!asks(|o| {
        let other = ContainerInstance { arn: "arn:0".into(), connected: true, ..found(o).clone() };
        o.container_instances.push(other);
    }));
}
