//! Machines of cores come and go: stories of the real function and the real templates against the modelled AWS.

use cluster_sim::{
    inside::{delivered, messages, play},
    machines::{CLUSTER, ECS_CLUSTER, Machines, ZONES},
    wire::Fault,
};
use cluster_world::ec2::Contents;
use serde_json::{Value, json};

use crate::exploration::SAMPLE;

#[test]
fn three_cores_boot_for_the_first_time_each_on_its_own_volume() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        for core in 1..=3 {
            assert_eq!(machines.holder(core), machines.serving(core), "core {core}");
            assert_eq!(machines.contents(core), Contents::Xfs, "core {core}: a blank volume is formatted");
        }
        let world = machines.wire.world();
        let attached = world.calls.iter().filter(|call| call.action == "ec2:AttachVolume").count();
        assert_eq!(attached, 3, "each volume is attached once");
        assert!(world.ecs.clusters[ECS_CLUSTER].container_instances.values().all(|host| !host.root_disk));
    });
}

#[test]
fn events_alone_bring_a_core_up_without_waiting_for_a_sweep() {
    play(async {
        let machines = Machines::new(1);
        // Launched, attached, registered: each is told at once but for the running machine, which only a sweep sees.
        for _ in 0..12 {
            machines.wire.sleep(5).await;
            let events = std::mem::take(&mut machines.wire.world().events);
            for event in events {
                machines.invoke(messages(&[delivered(&event)])).await.unwrap();
            }
        }
        assert_eq!(machines.holder(1), machines.in_state(1, "InService"));
    });
}

#[test]
fn sweeps_alone_bring_cores_up_when_every_event_is_lost() {
    play(async {
        let machines = Machines::new(3);
        machines.minutes(6).await;
        for core in 1..=3 {
            assert!(machines.serving(core).is_some(), "core {core}: {:?}", machines.states(core));
        }
    });
}

#[test]
fn an_idle_pass_is_eight_calls_and_writes_nothing() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let from = machines.wire.world().calls.len();
        let answer = machines.sweep().await.unwrap();
        assert_eq!(machines.wire.world().count_calls(from), (8, 0), "{answer}");
        assert_eq!(machines.metric("InstancesWaiting"), Some(0.0), "silence is alarmed on, so an idle pass says so");
    });
}

#[test]
fn a_lost_machine_is_replaced_and_the_new_one_gets_the_same_volume() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.wire.world().lose_instance(&old);
        machines.live(8).await;
        let new = machines.serving(2).unwrap();
        assert_ne!(new, old);
        assert_eq!(machines.contents(2), Contents::Xfs);
        let untouched: Vec<_> = [1, 3].map(|core| machines.serving(core).is_some()).into();
        assert_eq!(untouched, [true, true]);
    });
}

#[test]
fn a_replacement_waits_for_the_volume_as_long_as_its_holder_lives() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.wire.world().mark_unhealthy(&old);
        machines.live(10).await;
        let new = machines.in_state(2, "Pending:Wait").expect("Auto Scaling launches before the old one is gone");
        assert_eq!(machines.states(2)[&old], "Terminating:Wait", "nothing proves that the others have a quorum");
        // The hook of the old one runs out: it is kept, with its task and the volume.
        machines.live(40).await;
        assert_eq!(machines.states(2)[&old], "Terminating:Retained");
        assert_eq!(machines.metric("InstancesRetained"), Some(1.0));
        // Hours later, many times the time-out of its hook, the same new machine still waits.
        machines.live(180).await;
        assert_eq!(machines.in_state(2, "Pending:Wait"), Some(new.clone()));
        assert_eq!(machines.holder(2), Some(old.clone()), "a volume is never taken from who has it");
        // People end the old machine.
        machines.wire.world().lose_instance(&old);
        machines.live(8).await;
        assert_eq!(machines.serving(2), Some(new));
    });
}

#[test]
fn a_volume_that_carries_something_else_is_left_alone_and_its_machine_refused() {
    play(async {
        let machines = Machines::new(3);
        let volume = machines.nodes[1].volume.clone();
        machines.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Foreign;
        machines.live(15).await;
        let first = machines.in_state(2, "Pending:Wait").unwrap();
        machines.live(10).await;
        assert_eq!(machines.contents(2), Contents::Foreign, "what is on a volume is never overwritten");
        assert!(machines.serving(2).is_none());
        assert!(!machines.states(2).contains_key(&first), "an agent that never registers is refused");
        let refused =
            machines.metrics.lock().unwrap().iter().filter_map(|line| line["LaunchesAbandoned"].as_f64()).sum::<f64>();
        assert!(refused >= 1.0, "people are told");
        assert!(machines.serving(1).is_some() && machines.serving(3).is_some(), "the others are not held up");
    });
}

#[test]
fn a_formatted_volume_is_mounted_as_it_is() {
    play(async {
        let machines = Machines::new(1);
        let volume = machines.nodes[0].volume.clone();
        machines.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Xfs;
        machines.live(5).await;
        assert!(machines.serving(1).is_some());
    });
}

#[test]
fn a_volume_with_the_tags_of_another_core_or_cluster_is_never_attached() {
    for (tag, value) in [("neo4j:core", "1"), ("neo4j:cluster", "other")] {
        play(async {
            let machines = Machines::new(3);
            let volume = machines.nodes[1].volume.clone();
            machines.wire.world().ec2.volumes.get_mut(&volume).unwrap().tags.insert(tag.to_owned(), value.to_owned());
            machines.live(20).await;
            assert_eq!(machines.holder(2), None, "{tag}");
            assert_eq!(
                machines.metric("InstancesStuck"),
                Some(1.0),
                "{tag}: time does not mend it, so people are told"
            );
            let first = machines.in_state(2, "Pending:Wait").unwrap();
            machines.live(20).await;
            assert!(!machines.states(2).contains_key(&first), "{tag}: its hook runs out without heartbeats");
            assert!(machines.serving(1).is_some() && machines.serving(3).is_some(), "{tag}");
        });
    }
}

#[test]
fn a_refused_attachment_is_tried_again_and_holds_nobody_else_up() {
    play(async {
        let machines = Machines::new(3);
        let errors = ["AttachmentLimitExceeded", "RequestLimitExceeded", "IncorrectState", "UnauthorizedOperation"];
        machines.wire.world().ec2.attach_errors.extend(errors);
        machines.form().await;
    });
}

#[test]
fn a_machine_that_starts_while_the_function_is_away_is_replaced_when_its_hook_runs_out() {
    play(async {
        let machines = Machines::new(1);
        machines.wire.sleep(60).await;
        let first = machines.in_state(1, "Pending:Wait").unwrap();
        machines.wire.sleep(31 * 60).await;
        assert!(!machines.states(1).contains_key(&first), "{:?}", machines.states(1));
        machines.live(6).await;
        assert!(machines.serving(1).is_some_and(|instance| instance != first));
    });
}

#[test]
fn a_zone_without_capacity_holds_up_its_own_core_only() {
    play(async {
        let machines = Machines::new(3);
        machines.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        let first = machines.in_state(2, "Pending:Wait").or(machines.in_state(2, "Pending"));
        if let Some(first) = first {
            machines.wire.world().lose_instance(&first);
        }
        machines.live(10).await;
        assert!(machines.serving(2).is_none());
        assert!(machines.serving(1).is_some() && machines.serving(3).is_some());
        machines.wire.world().ec2.no_capacity.clear();
        machines.live(8).await;
        assert!(machines.serving(2).is_some(), "{:?}", machines.states(2));
    });
}

#[test]
fn a_reboot_keeps_machine_and_volume_and_asks_nothing_of_the_function() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let before: Vec<_> = (1..=3).map(|core| machines.serving(core)).collect();
        let from = machines.wire.world().calls.len();
        machines.wire.world().reboot(before[0].as_deref().unwrap());
        machines.live(5).await;
        assert_eq!((1..=3).map(|core| machines.serving(core)).collect::<Vec<_>>(), before);
        let world = machines.wire.world();
        let writes = world.calls.iter().skip(from).filter(|call| call.write);
        let writes: Vec<_> = writes.filter(|call| !call.action.starts_with("dynamodb:")).collect();
        assert!(writes.is_empty(), "nothing is written but how long it was away: {writes:?}");
    });
}

#[test]
fn machines_of_others_are_never_touched() {
    play(async {
        let machines = Machines::new(1);
        machines.form().await;
        let (own, template) = (machines.nodes[0].group.clone(), machines.nodes[0].template.clone());
        let theirs = |name: &str, cluster: &str| {
            json!({
                "AutoScalingGroupName": name, "MinSize": "1", "MaxSize": "1", "DesiredCapacity": "1",
                "VPCZoneIdentifier": ["subnet-0000000000000000b"],
                "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
                "LifecycleHookSpecificationList": [{
                    "LifecycleHookName": "neo4j-launch", "HeartbeatTimeout": 3600, "DefaultResult": "ABANDON",
                    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                }],
                "Tags": [{"Key": "neo4j:cluster", "Value": cluster, "PropagateAtLaunch": true}],
            })
        };
        // One with our name's beginning and another's tag, one with our tag and another's name.
        for (name, cluster) in [("neo4j-staging-Group", "neo4j-staging"), ("staging-Group", CLUSTER)] {
            let group = theirs(name, cluster);
            machines.wire.world().create("AWS::AutoScaling::AutoScalingGroup", "Theirs", &group).unwrap();
        }
        machines.live(5).await;
        let world = machines.wire.world();
        let completed = world.calls.iter().filter(|call| call.action == "autoscaling:CompleteLifecycleAction");
        for call in completed {
            assert!(call.resources.iter().all(|arn| arn.ends_with(&own)), "{call:?}");
        }
    });
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    play(async {
        let machines = Machines::new(3);
        machines.wire.sleep(60).await;
        let from = machines.wire.world().calls.len();
        let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["steps"].as_array().map(Vec::len), Some(3), "{answer}");
        assert!(answer["steps"][0].as_str().unwrap().contains("attach vol-"), "{answer}");
        assert_eq!(machines.wire.world().count_calls(from).1, 0, "{answer}");
        assert_eq!(machines.holder(1), None);
    });
}

#[test]
fn every_page_of_every_list_is_read() {
    play(async {
        let machines = Machines::new(7);
        machines.wire.world().page = 1;
        machines.form().await;
        let lost = machines.serving(7).unwrap();
        machines.wire.world().lose_instance(&lost);
        machines.live(8).await;
        assert!(machines.serving(7).is_some());
    });
}

/// Deletes a cluster in a state that `until` brings it into.
fn is_deleted_cleanly(with_life: bool, until: impl AsyncFnOnce(&Machines)) {
    play(async {
        let machines = Machines::new(3);
        until(&machines).await;
        let minutes = machines.delete(with_life).await;
        let world = machines.wire.world();
        let running: Vec<_> = world.ec2.instances.values().filter(|found| found.state != "terminated").collect();
        assert!(running.is_empty(), "left running: {running:?}");
        assert!(world.auto_scaling.groups.is_empty() && world.ec2.volumes.is_empty());
        assert_eq!(world.ec2.snapshots.len(), 3, "each data volume leaves a snapshot");
        assert!(minutes <= 30, "the deletion took {minutes} minutes");
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_forms() {
    // Its creation is rolled back: it never came to say that the cluster is complete.
    is_deleted_cleanly(false, async |machines| machines.live(1).await);
    is_deleted_cleanly(false, async |machines| machines.wire.sleep(20).await);
    is_deleted_cleanly(false, async |_| ());
    is_deleted_cleanly(false, async |machines| machines.live(5).await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_is_healthy() {
    is_deleted_cleanly(true, async |machines| machines.form().await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_gone() {
    is_deleted_cleanly(true, async |machines| {
        machines.form().await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().lose_instance(&lost);
        machines.wire.sleep(70).await;
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_retained() {
    is_deleted_cleanly(true, async |machines| {
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.wire.world().mark_unhealthy(&old);
        machines.live(40).await;
        assert_eq!(machines.states(2)[&old], "Terminating:Retained");
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_an_agent_is_silent() {
    is_deleted_cleanly(true, async |machines| {
        machines.form().await;
        let silent = machines.serving(3).unwrap();
        machines.wire.world().silence(&silent);
        machines.live(1).await;
    });
}

#[test]
fn an_agent_that_is_away_for_a_moment_costs_no_core() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().mark_unhealthy(&ill);
        for _ in 0..5 {
            machines.wire.world().silence(&ill);
            machines.live(3).await;
            machines.wire.world().hear(&ill);
            machines.live(1).await;
        }
        assert_eq!(machines.states(2)[&ill], "Terminating:Wait");
        assert_eq!(machines.holder(2), Some(ill));
    });
}

#[test]
fn a_core_whose_tasks_have_stopped_is_let_go() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.empty(2);
        machines.live(2).await;
        machines.wire.world().mark_unhealthy(&old);
        machines.live(10).await;
        assert!(!machines.states(2).contains_key(&old), "{:?}", machines.states(2));
        assert!(machines.serving(2).is_some_and(|new| new != old));
    });
}

#[test]
fn a_dead_machine_is_deregistered_and_its_core_heals() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let dead = machines.serving(2).unwrap();
        // A kernel that hangs: ECS loses the agent, then EC2's status checks fail.
        machines.wire.world().silence(&dead);
        machines.live(2).await;
        machines.wire.world().impair(&dead);
        machines.live(2).await;
        assert_eq!(machines.states(2)[&dead], "Terminating:Wait", "agents are away for moments");
        machines.live(12).await;
        assert!(machines.serving(2).is_some_and(|new| new != dead), "{:?}", machines.states(2));
        assert!(machines.serving(1).is_some() && machines.serving(3).is_some());
    });
}

#[test]
fn a_registration_that_a_lost_machine_left_behind_does_not_keep_its_core_from_healing() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().silence(&lost);
        machines.live(2).await;
        machines.wire.world().lose_instance(&lost);
        machines.live(12).await;
        assert!(machines.serving(2).is_some_and(|new| new != lost), "{:?}", machines.states(2));
        let world = machines.wire.world();
        assert!(world.container_instance(&lost).is_none(), "ECS would count on its task for ever");
    });
}

#[test]
fn a_retained_machine_goes_once_people_have_emptied_it() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.wire.world().mark_unhealthy(&old);
        machines.live(40).await;
        assert_eq!(machines.states(2)[&old], "Terminating:Retained");
        machines.empty(2);
        machines.live(10).await;
        assert!(machines.serving(2).is_some_and(|new| new != old), "{:?}", machines.states(2));
    });
}

/// What may never be, whatever happens.
fn nothing_is_lost(machines: &Machines, told: &str) {
    let world = machines.wire.world();
    for (core, node) in (1..).zip(&machines.nodes) {
        let volume = &world.ec2.volumes[&node.volume];
        if let Some(attachment) = &volume.attachment {
            let group = world.auto_scaling.group_of(&attachment.instance);
            assert!(group.is_none_or(|group| group == node.group), "{told}: core {core}'s volume went to {group:?}");
        }
    }
    assert!(world.ecs.clusters[ECS_CLUSTER].container_instances.values().all(|host| !host.root_disk), "{told}");
}

/// Loses a machine with every fault at every call, or with every so-many-th of these, and counts what struck.
fn heal_with_faults(every: usize) -> usize {
    const FAULTS: [Fault; 11] = [
        Fault::Throttle,
        Fault::ServerError,
        Fault::Denied,
        Fault::CutPage,
        Fault::Reset,
        Fault::ResetAfterEffect,
        Fault::Hang,
        Fault::Outage,
        Fault::Stale,
        Fault::Kill,
        Fault::KillAfterEffect,
    ];
    let formed = play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines
    });
    let heals = |planned: Option<(usize, Fault)>| {
        play(async {
            let machines = formed.fork();
            machines.wire.remember();
            let old = machines.serving(2).unwrap();
            machines.wire.world().lose_instance(&old);
            let from = machines.wire.calls().len();
            if let Some((nth, fault)) = planned {
                machines.wire.plan(nth, fault);
            }
            let whole = || {
                let new = machines.serving(2).is_some_and(|new| new != old);
                new && machines.serving(1).is_some() && machines.serving(3).is_some()
            };
            for minute in 0.. {
                assert!(minute < 15, "{planned:?}: {:?}", machines.states(2));
                // A killed process comes no further; the next event starts another.
                tokio::select! {
                    biased;
                    () = machines.live(1) => {}
                    () = machines.wire.killed() => {}
                }
                nothing_is_lost(&machines, &format!("{planned:?}"));
                if whole() {
                    machines.live(1).await;
                    nothing_is_lost(&machines, &format!("{planned:?}"));
                    assert!(whole(), "{planned:?}: {:?}", machines.states(2));
                    break;
                }
            }
            (machines.wire.calls()[from..].to_vec(), machines.wire.struck().len())
        })
    };
    let (calls, _) = heals(None);
    let each = (1..).zip(calls).flat_map(|(nth, kind)| FAULTS.map(|fault| (nth, kind, fault)));
    let each = each.filter(|(_, kind, fault)| fault.suits(*kind)).step_by(every);
    each.map(|(nth, _, fault)| heals(Some((nth, fault))).1).sum()
}

#[test]
fn a_lost_machine_heals_whatever_fault_of_a_sample_meets_whatever_call() {
    let struck = heal_with_faults(SAMPLE);
    assert!(struck > 100 / SAMPLE, "only {struck} faults made a difference");
}

mod explored_whole {
    #[test]
    fn a_lost_machine_heals_whatever_fault_meets_whatever_call() {
        let struck = super::heal_with_faults(1);
        assert!(struck > 100, "only {struck} faults made a difference");
        println!("machines: {struck} faults struck, all healed");
    }
}

#[test]
fn what_nobody_can_read_goes_aside_and_the_pass_is_made_all_the_same() {
    play(async {
        let machines = Machines::new(1);
        machines.wire.sleep(60).await;
        let sweep = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string();
        let answer = machines.invoke(messages(&["not json".to_owned(), sweep])).await.unwrap();
        assert_eq!(answer["deadLettered"], json!(1), "{answer}");
        assert!(machines.holder(1).is_some(), "{answer}");
        for wrong in [json!({"dryrun": true}), json!([]), json!({"RequestType": "Create"}), Value::Null] {
            assert!(machines.invoke(wrong.clone()).await.is_err(), "{wrong}");
        }
    });
}

#[test]
fn snapshots_are_heard_once_and_whatever_becomes_of_the_parameter_changes_nothing() {
    play(async {
        let machines = Machines::new(1);
        let ask_with = async |kind: &str, known: Option<&str>, snapshots: Value, zone: &str, key: &str| -> Value {
            let request = json!({
                "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "r",
                "ResourceType": "Custom::DataVolumeOrigins", "LogicalResourceId": "Origins", "PhysicalResourceId": known,
                "ResourceProperties": {
                    "ServiceToken": "arn", "Cores": "3", "Snapshots": snapshots, "Zones": [zone, ZONES[1], ZONES[2]],
                    "KmsKeyArn": key,
                },
                "OldResourceProperties": {},
            });
            machines.invoke(request).await.unwrap();
            let world = machines.wire.world();
            let (_, answer) = world.messages.iter().rev().find(|(to, _)| to == "/cfn").unwrap();
            serde_json::from_str(answer).unwrap()
        };
        let ask = async |kind: &str, known: Option<&str>, snapshots: Value| {
            ask_with(kind, known, snapshots, ZONES[0], "").await
        };
        let three = json!(["snap-0000000000000001", "snap-0000000000000002", "snap-0000000000000003"]);
        let made = ask("Create", None, three).await;
        assert_eq!(made["Status"], json!("SUCCESS"), "{made}");
        assert_eq!(made["Data"]["Snapshot2"], json!("snap-0000000000000002"));
        assert_eq!(made["Data"]["Snapshot7"], json!(""));
        let id = made["PhysicalResourceId"].as_str();
        for later in [json!([""]), json!(["snap-00000000000000ff", "", ""]), json!([])] {
            let updated = ask("Update", id, later).await;
            assert_eq!((&updated["Data"], updated["PhysicalResourceId"].as_str()), (&made["Data"], id), "{updated}");
        }
        for (zone, key) in [(ZONES[2], ""), (ZONES[0], "arn:aws:kms:eu-west-1:000000000000:key/1")] {
            let moved = ask_with("Update", id, json!([""]), zone, key).await;
            assert_eq!((&moved["Status"], moved["PhysicalResourceId"].as_str()), (&json!("FAILED"), id), "{moved}");
            assert!(moved["Reason"].as_str().unwrap().contains("replace every one with a blank volume"), "{moved}");
        }
        // The update is rolled back.
        assert_eq!(ask("Update", id, json!([""])).await["Data"], made["Data"]);
        assert_eq!(ask("Delete", id, json!([""])).await["Status"], json!("SUCCESS"));

        let blank = ask("Create", None, json!([""])).await;
        assert_eq!(blank["Data"]["Snapshot1"], json!(""));
        let two = ask("Create", None, json!(["snap-0000000000000001", "snap-0000000000000002"])).await;
        assert_eq!(two["Status"], json!("FAILED"));
        assert!(two["Reason"].as_str().unwrap().contains("2 snapshots for 3 cores"), "{two}");
    });
}
