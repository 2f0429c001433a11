use super::*;

#[test]
fn silent_registrations_go_first_when_the_cluster_is_deleted() {
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
fn only_a_registration_that_no_longer_holds_its_volume_is_stale() {
    let stale = |connected: bool, core: &str, holder: &str| {
        let held = volume(1, VolumeStatus::InUse, vec![attachment(holder, true, 1)]);
        let mut observed = launching(Some(held), None);
        observed.container_instances.push(ContainerInstance { connected, ..on("i-gone", registered(Some(core), 1)) });
        plan(&observed, &policy(), now()).steps.into_iter().any(|step| step.instance == "i-gone")
    };
    assert!(stale(false, "1", "i-1"));
    assert!(!stale(true, "1", "i-1"), "its agent is there");
    assert!(!stale(false, "1", "i-gone"), "it still has the volume");
    assert!(!stale(false, "2", "i-1"), "nothing is known about that core's volume");
}
