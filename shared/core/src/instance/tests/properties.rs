use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// Returns the observation once EC2 has made every attachment; panics where EC2 would refuse.
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
    let tasks = vec(select(vec!["service:core-1", "service:core-1", "service:datadog"]), 0..3);
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
        Observed { phase, groups, volumes: volumes.collect(), container_instances, ..Observed::default() }
    })
}

/// Returns the steps of a plan, each with its group and its instance.
fn steps(observed: &Observed) -> Vec<(Step, Group, Instance)> {
    let found = |step: &Step| {
        let group = observed.groups.iter().find(|group| group.name == step.group).unwrap();
        (group.clone(), group.instances.iter().find(|instance| instance.id == step.instance).unwrap().clone())
    };
    let steps = plan(observed, &policy(), now()).steps.into_iter();
    steps.map(|step| (found(&step), step)).map(|((group, instance), step)| (step, group, instance)).collect()
}

/// Returns whether EC2 reports that an instance has failed.
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
    fn a_volume_is_assigned_once(observed in any_observed()) {
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
                let releases = matches!(step.action, Action::Release | Action::Leave { .. } | Action::Terminate);
                prop_assert!(!releases, "{step}");
                let serving = found.iter().filter(|found| found.is_active()).flat_map(|found| &found.tasks);
                let serves = serving.into_iter().any(|task| policy().is_ours(task) && task.wanted);
                prop_assert!(!matches!(step.action, Action::Drain { .. }) || !serves, "{step}");
                let silent = found.iter().all(|found| found.is_silent(now()));
                let Action::Deregister { container_instances } = &step.action else { continue };
                let mut lost = found.iter().filter(|found| container_instances.contains(&found.arn));
                let members = lost.any(|found| found.tasks.iter().any(|task| policy().is_ours(task)));
                prop_assert!(!members || (silent && fails(&instance)), "{step}");
            }
        }
    }

    #[test]
    fn nothing_is_released_that_ecs_still_counts_on(observed in any_observed()) {
        for (step, ..) in steps(&observed) {
            let registered = !observed.of(&step.instance).is_empty();
            prop_assert!(!(registered && matches!(step.action, Action::Release | Action::Terminate)), "{step}");
        }
    }

    #[test]
    fn every_held_instance_has_one_step_and_no_other_has_any(observed in any_observed()) {
        let held = observed.groups.iter().flat_map(|group| &group.instances).filter(|i| i.state.is_held());
        let held: Vec<_> = held.map(|instance| instance.id.clone()).collect();
        let mut planned: Vec<_> = steps(&observed).into_iter().map(|(step, ..)| step.instance).collect();
        planned.sort();
        // When the cluster is deleted, silent registrations are deregistered too.
        if observed.phase != Phase::Deleting {
            prop_assert_eq!(held.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), planned);
        }
    }

    #[test]
    fn an_instance_that_can_be_reached_is_never_deregistered_by_force(observed in any_observed()) {
        let mut dead = 0;
        for (step, _, instance) in steps(&observed) {
            let (Action::Deregister { container_instances } | Action::Leave { container_instances }) = &step.action else {
                continue;
            };
            let found = observed.of(&instance.id);
            let found: Vec<_> = found.iter().filter(|found| container_instances.contains(&found.arn)).collect();
            if matches!(step.action, Action::Leave { .. }) {
                prop_assert!(found.iter().all(|found| found.tasks.is_empty()), "{step}");
                continue;
            }
            prop_assert!(found.iter().all(|found| found.is_silent(now())), "{step}");
            let ours = found.iter().flat_map(|found| &found.tasks).any(|task| policy().is_ours(task));
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
            let launches = step.state == Some(State::PendingWait);
            prop_assert_eq!(launches && step.action == Action::Wait { heartbeat: true }, holds, "{}", step);
        }
    }
}
