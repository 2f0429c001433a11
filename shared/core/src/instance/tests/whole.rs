use super::*;

type Change = Box<dyn FnOnce(&mut Observed)>;

/// Returns why core 1, as it should be but for `change`, is not whole.
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
        "nothing is expected of a cluster that is being deleted"
    );
    assert_eq!(fault_of(|o| o.phase = Phase::Creating), None);
    let no_capacity = "We currently do not have sufficient capacity (at 2026-11-23T09:00:00Z)";
    let table: [Change; 24] = [
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
        // Placement rules out another member here; one that is seen nevertheless is not taken for this core.
        Box::new(|o| ci(o).tasks = vec![task("service:core-2", 0)]),
        Box::new(|o| ci(o).tasks.push(task("service:core-2", 1))),
        Box::new(|o| ci(o).tasks = vec![task("service:replica", 0)]),
        Box::new(|o| ci(o).tasks[0].status = "PENDING".into()),
        Box::new(|o| ci(o).tasks[0].started_at = Some(now() - SignedDuration::from_mins(4))),
        Box::new(|o| {
            // Its agent has registered again, and ECS still counts on the task of the first registration.
            let old = silent(registered(Some("1"), 1), 600);
            o.container_instances = vec![old, ContainerInstance { arn: "arn:2".into(), ..registered(Some("1"), 0) }];
        }),
    ];
    let faults = table.map(|change| fault_of(change).expect("a fault"));
    insta::assert_snapshot!(faults.join("\n"), @r"
    no Auto Scaling group of the cluster has the tag neo4j:core=1: deploy the stack again
    several Auto Scaling groups have the tag of this core: neo4j-core-1, neo4j-copy: take it off those that are not the stack's
    its Auto Scaling group neo4j-core-1 has no instance: if that lasts, choose the next larger instance type of the same processor
    its Auto Scaling group neo4j-core-1 has no instance, and Auto Scaling reports of its last failed launch: We currently do not have sufficient capacity (at 2026-11-23T09:00:00Z): if that lasts, choose the next larger instance type of the same processor
    its Auto Scaling group neo4j-core-1 is to have no instance: set its desired capacity to 1
    its instance i-1 is Standby
    its instance i-1 is Pending:Wait: volume vol-1 is held by i-0, which must release it first
    its Auto Scaling group neo4j-core-1 has no instance: if that lasts, choose the next larger instance type of the same processor
    its group names no data volume: give the group the tag neo4j:volume
    the cluster has no volume vol-1: correct the group's tag neo4j:volume, or give the volume the tag neo4j:cluster
    volume vol-1 is held by i-0, which must release it first
    volume vol-1 is not attached to its instance i-1, which is in service: replace the instance
    the ECS agent of its instance i-1 has not registered: look at ecs.service on the instance by Session Manager, or replace it
    the ECS agent of its instance i-1 is not connected: look at ecs.service on the instance by Session Manager, or replace it
    the ECS agent of its instance i-1 is DRAINING, not ACTIVE: set it to ACTIVE, or replace the instance
    its ECS agent registered with neo4j.core=2, but its group is that of core 1: correct ecs.config in the group's launch template
    no task of ECS service core-1 runs on its instance i-1: look at the events of that service
    no task of ECS service core-1 runs on its instance i-1: look at the events of that service
    task task-0 of ECS service core-2 is on its instance i-1, where only core-1 may have one: correct the placement constraint of core-2, and stop that task
    task task-1 of ECS service core-2 is on its instance i-1, where only core-1 may have one: correct the placement constraint of core-2, and stop that task
    task task-0 of ECS service replica is on its instance i-1, where only core-1 may have one: correct the placement constraint of replica, and stop that task
    its task task-0 is PENDING, not RUNNING
    its task task-0 has been running since 2026-11-23T09:56:00Z: the core counts as whole after five minutes
    no task of ECS service core-1 runs on its instance i-1: look at the events of that service
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
