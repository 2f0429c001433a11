use super::*;

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
    volume vol-1 is in state error: this core stays down, since no snapshot may stand in for the volume of one core of a running cluster; keep the others whole, and move to a second stack
    volume vol-1 is in state deleting: this core stays down, since no snapshot may stand in for the volume of one core of a running cluster; keep the others whole, and move to a second stack
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
        // EC2 did not report since when: the hook's own timeout is the only one.
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
    let limit =
        ContainerInstance { registered: Some(now() - SignedDuration::from_mins(2)), ..registered(Some("1"), 0) };
    assert_eq!(waits(&launching(Some(free()), Some(limit)), false), early, "for two minutes");
    let creating = volume(1, VolumeStatus::Creating, vec![]);
    assert_eq!(waits(&launching(Some(creating), None), false), Reason::CreatingVolume("vol-1".into()));
}

#[test]
fn of_two_launching_instances_one_gets_the_volume() {
    let both = vec![instance("i-2", State::PendingWait), instance("i-1", State::PendingWait)];
    let groups = vec![group(1, both)];
    insta::assert_snapshot!(text(&observed(Phase::Complete, groups, Some(free()), None)), @r"
    + neo4j-core-1 i-1 attach vol-1: volume vol-1 is available
    = neo4j-core-1 i-2 waits: volume vol-1 is held by i-1, which must release it first
    ");
}

#[test]
fn an_agent_that_did_not_wait_for_the_volume_does_not_keep_it_from_another_instance() {
    let both = vec![instance("i-1", State::PendingWait), instance("i-2", State::PendingWait)];
    let early = ContainerInstance { registered: Some(now()), ..registered(Some("1"), 0) };
    let observed = observed(Phase::Complete, vec![group(1, both)], Some(free()), Some(early));
    let steps = plan(&observed, &policy(), now()).steps;
    assert_eq!(steps[0].action, Action::Wait { heartbeat: false });
    assert_eq!(steps[1].action, Action::Attach { volume: "vol-1".into() });
}

#[test]
fn a_replica_is_admitted_when_its_agent_is_there() {
    let given =
        |found| observed(Phase::Complete, vec![replicas(vec![instance("i-1", State::PendingWait)])], None, found);
    assert_eq!(verdict(&given(Some(registered(None, 0)))), (Action::Admit, Reason::Connected));
    let absent = Reason::AwaitingAgent("has not registered".into());
    assert_eq!(waits(&given(None), false), absent);
    let draining = ContainerInstance { status: "DRAINING".into(), ..registered(None, 0) };
    assert_eq!(waits(&given(Some(draining)), false), Reason::AwaitingAgent("is DRAINING, not ACTIVE".into()));
}

#[test]
fn a_core_is_not_admitted_beside_another_registration_of_the_same_core() {
    let mut observed = launching(Some(attached(1)), Some(registered(Some("1"), 0)));
    observed.container_instances.push(on("i-9", registered(Some("1"), 1)));
    let other = Reason::OtherRegistration { core: "1".into(), by: "i-9".into() };
    assert_eq!(waits(&observed, false), other);
}
