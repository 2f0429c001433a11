//! Cluster of cores come and go: stories of the real function and the real templates against the modelled AWS.

use cluster_sim::{
    cluster::{CLUSTER, Cluster, ZONES},
    events::{delivered, messages},
    functions::INSTANCE_DRAINER,
    time::{minutes, play, within},
};
use cluster_world::ec2::Contents;
use serde_json::{Value, json};

#[test]
fn three_cores_boot_for_the_first_time_each_on_its_own_volume() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.form().await;
        for core in 1..=3 {
            assert_eq!(cluster.holder(core), cluster.serving(core), "core {core}");
            assert_eq!(cluster.contents(core), Contents::Xfs, "core {core}: a blank volume is formatted");
        }
        let world = cluster.wire.world();
        let attached = world.calls.iter().filter(|call| call.action == "ec2:AttachVolume").count();
        assert_eq!(attached, 3, "each volume is attached once");
        assert!(world.ecs.clusters[&cluster.ecs_cluster].container_instances.values().all(|host| !host.root_disk));
    });
}

#[test]
fn events_alone_bring_a_core_up_without_waiting_for_a_sweep() {
    play(async {
        let cluster = Cluster::new(3);
        // Launched, attached, registered: each is told at once but for the running instance, which only a sweep sees.
        for _ in 0..12 {
            cluster.wire.sleep(5).await;
            let events = std::mem::take(&mut cluster.wire.world().events);
            for event in events {
                cluster.invoke(messages(&[delivered(&event)])).await.unwrap();
            }
        }
        assert_eq!(cluster.holder(1), cluster.in_state(1, "InService"));
    });
}

#[test]
fn sweeps_alone_bring_cores_up_when_every_event_is_lost() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.live_without_events(minutes(6)).await;
        for core in 1..=3 {
            assert!(cluster.serving(core).is_some(), "core {core}: {:?}", cluster.states(core));
        }
    });
}

#[test]
fn an_idle_round_is_eight_calls_and_writes_nothing() {
    play(async {
        let cluster = Cluster::formed(3);
        let from = cluster.wire.world().calls.len();
        let answer = cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (8, 0), "{answer}");
        assert_eq!(
            cluster.metric("InstancesWaiting", None),
            Some(0.0),
            "silence is alarmed on, so an idle round says so"
        );
    });
}

#[test]
fn a_lost_instance_is_replaced_and_the_new_one_gets_the_same_volume() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&old);
        cluster.until("core 2 serves again", within(minutes(8)), |c| c.is_replaced(2, &old)).await;
        assert_eq!(cluster.contents(2), Contents::Xfs);
        let untouched: Vec<_> = [1, 3].map(|core| cluster.serving(core).is_some()).into();
        assert_eq!(untouched, [true, true]);
    });
}

#[test]
fn a_replacement_waits_for_the_volume_as_long_as_its_holder_lives() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(10)).await;
        let new = cluster.in_state(2, "Pending:Wait").expect("Auto Scaling launches before the old one is gone");
        assert_eq!(cluster.states(2)[&old], "Terminating:Wait", "nothing proves that the others have a quorum");
        // The hook of the old one runs out: it is kept, with its task and the volume.
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
        cluster
            .until("people are told", within(minutes(2)), |c| c.metric("InstancesRetained", None) == Some(1.0))
            .await;
        // Hours later, many times the time-out of its hook, the same new instance still waits.
        cluster.live(minutes(180)).await;
        assert_eq!(cluster.in_state(2, "Pending:Wait"), Some(new.clone()));
        assert_eq!(cluster.holder(2), Some(old.clone()), "a volume is never taken from who has it");
        // People end the old instance.
        cluster.wire.world().lose_instance(&old);
        cluster.until("core 2 serves", within(minutes(8)), |c| c.serving(2).as_ref() == Some(&new)).await;
    });
}

#[test]
fn a_volume_that_carries_something_else_is_left_alone_and_its_instance_refused() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[1].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Foreign;
        cluster.live(minutes(15)).await;
        let first = cluster.in_state(2, "Pending:Wait").unwrap();
        cluster.live(minutes(10)).await;
        assert_eq!(cluster.contents(2), Contents::Foreign, "what is on a volume is never overwritten");
        assert!(cluster.serving(2).is_none());
        assert!(!cluster.states(2).contains_key(&first), "an agent that never registers is refused");
        let refused =
            cluster.metrics.lock().unwrap().iter().filter_map(|line| line["LaunchesAbandoned"].as_f64()).sum::<f64>();
        assert!(refused >= 1.0, "people are told");
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some(), "the others are not held up");
    });
}

#[test]
fn a_formatted_volume_is_mounted_as_it_is() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[0].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Xfs;
        cluster.until("core 1 serves", within(minutes(5)), |c| c.serving(1).is_some()).await;
    });
}

#[test]
fn a_volume_with_the_tags_of_another_core_or_cluster_is_never_attached() {
    for (tag, value) in [("neo4j:core", "1"), ("neo4j:cluster", "other")] {
        play(async {
            let cluster = Cluster::new(3);
            let volume = cluster.nodes[1].volume.clone();
            cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().tags.insert(tag.to_owned(), value.to_owned());
            cluster.live(minutes(20)).await;
            assert_eq!(cluster.holder(2), None, "{tag}");
            assert_eq!(
                cluster.metric("InstancesStuck", None),
                Some(1.0),
                "{tag}: time does not mend it, so people are told"
            );
            let first = cluster.in_state(2, "Pending:Wait").unwrap();
            cluster.live(minutes(20)).await;
            assert!(!cluster.states(2).contains_key(&first), "{tag}: its hook runs out without heartbeats");
            assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some(), "{tag}");
        });
    }
}

#[test]
fn a_refused_attachment_is_tried_again_and_holds_nobody_else_up() {
    play(async {
        let cluster = Cluster::new(3);
        let errors = ["AttachmentLimitExceeded", "RequestLimitExceeded", "IncorrectState", "UnauthorizedOperation"];
        cluster.wire.world().ec2.attach_errors.extend(errors);
        cluster.form().await;
    });
}

#[test]
fn an_instance_that_starts_while_the_function_is_away_is_replaced_when_its_hook_runs_out() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        let first = cluster.in_state(1, "Pending:Wait").unwrap();
        cluster.wire.sleep(31 * 60).await;
        assert!(!cluster.states(1).contains_key(&first), "{:?}", cluster.states(1));
        cluster.until("core 1 serves again", within(minutes(6)), |c| c.is_replaced(1, &first)).await;
    });
}

#[test]
fn a_zone_without_capacity_holds_up_its_own_core_only() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        let first = cluster.in_state(2, "Pending:Wait").or(cluster.in_state(2, "Pending"));
        if let Some(first) = first {
            cluster.wire.world().lose_instance(&first);
        }
        cluster.live(minutes(10)).await;
        assert!(cluster.serving(2).is_none());
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some());
        cluster.wire.world().ec2.no_capacity.clear();
        cluster.until("core 2 serves", within(minutes(8)), |c| c.serving(2).is_some()).await;
    });
}

#[test]
fn a_reboot_keeps_instance_and_volume_and_asks_nothing_of_the_function() {
    play(async {
        let cluster = Cluster::formed(3).only(INSTANCE_DRAINER);
        let before: Vec<_> = (1..=3).map(|core| cluster.serving(core)).collect();
        let from = cluster.wire.world().calls.len();
        cluster.wire.world().reboot(before[0].as_deref().unwrap());
        cluster.live(minutes(5)).await;
        assert_eq!((1..=3).map(|core| cluster.serving(core)).collect::<Vec<_>>(), before);
        let world = cluster.wire.world();
        let writes = world.calls.iter().skip(from).filter(|call| call.write);
        let writes: Vec<_> = writes.filter(|call| !call.action.starts_with("dynamodb:")).collect();
        assert!(writes.is_empty(), "nothing is written but how long it was away: {writes:?}");
    });
}

#[test]
fn instances_of_others_are_never_touched() {
    play(async {
        let cluster = Cluster::formed(3);
        let (own, template) = (cluster.nodes[0].group.clone(), cluster.nodes[0].template.clone());
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
        for (name, tag) in [("neo4j-staging-Group", "neo4j-staging"), ("staging-Group", CLUSTER)] {
            let group = theirs(name, tag);
            cluster.wire.world().create("AWS::AutoScaling::AutoScalingGroup", "Theirs", &group).unwrap();
        }
        cluster.live(minutes(5)).await;
        let world = cluster.wire.world();
        let completed = world.calls.iter().filter(|call| call.action == "autoscaling:CompleteLifecycleAction");
        for call in completed {
            assert!(call.resources.iter().all(|arn| arn.ends_with(&own)), "{call:?}");
        }
    });
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["steps"].as_array().map(Vec::len), Some(3), "{answer}");
        assert!(answer["steps"][0].as_str().unwrap().contains("attach vol-"), "{answer}");
        assert_eq!(cluster.wire.world().count_calls(from).1, 0, "{answer}");
        assert_eq!(cluster.holder(1), None);
    });
}

#[test]
fn every_page_of_every_list_is_read() {
    play(async {
        let cluster = Cluster::new(7);
        cluster.wire.world().page = 1;
        cluster.form().await;
        let lost = cluster.serving(7).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.until("core 7 serves", within(minutes(8)), |c| c.serving(7).is_some()).await;
    });
}

/// Deletes a cluster in a state that `until` brings it into.
fn is_deleted_cleanly(with_phase: bool, until: impl AsyncFnOnce(&Cluster)) {
    play(async {
        let cluster = Cluster::new(3);
        until(&cluster).await;
        let took = cluster.delete(with_phase).await;
        let world = cluster.wire.world();
        let running: Vec<_> = world.ec2.instances.values().filter(|found| found.state != "terminated").collect();
        assert!(running.is_empty(), "left running: {running:?}");
        assert!(world.auto_scaling.groups.is_empty() && world.ec2.volumes.is_empty());
        assert_eq!(world.ec2.snapshots.len(), 3, "each data volume leaves a snapshot");
        assert!(took <= minutes(30), "the deletion took {took:?}");
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_forms() {
    // Its creation is rolled back: it never came to say that the cluster is complete.
    is_deleted_cleanly(false, async |cluster| cluster.live(minutes(1)).await);
    is_deleted_cleanly(false, async |cluster| cluster.wire.sleep(20).await);
    is_deleted_cleanly(false, async |_| ());
    is_deleted_cleanly(false, async |cluster| cluster.live(minutes(5)).await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_is_healthy() {
    is_deleted_cleanly(true, async |cluster| cluster.form().await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_gone() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.sleep(70).await;
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_retained() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_an_agent_is_silent() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let silent = cluster.serving(3).unwrap();
        cluster.wire.world().silence(&silent);
        cluster.live(minutes(1)).await;
    });
}

#[test]
fn an_agent_that_is_away_for_a_moment_costs_no_core() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&ill);
        for _ in 0..5 {
            cluster.wire.world().silence(&ill);
            cluster.live(minutes(3)).await;
            cluster.wire.world().hear(&ill);
            cluster.live(minutes(1)).await;
        }
        assert_eq!(cluster.states(2)[&ill], "Terminating:Wait");
        assert_eq!(cluster.holder(2), Some(ill));
    });
}

#[test]
fn a_core_whose_tasks_have_stopped_is_let_go() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(2)).await;
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(10)).await;
        assert!(!cluster.states(2).contains_key(&old), "{:?}", cluster.states(2));
        assert!(cluster.serving(2).is_some_and(|new| new != old));
    });
}

#[test]
fn a_dead_instance_is_deregistered_and_its_core_heals() {
    play(async {
        let cluster = Cluster::formed(3);
        let dead = cluster.serving(2).unwrap();
        // A kernel that hangs: ECS loses the agent, then EC2's status checks fail.
        cluster.wire.world().silence(&dead);
        cluster.live(minutes(2)).await;
        cluster.wire.world().impair(&dead);
        cluster.live(minutes(2)).await;
        assert_eq!(cluster.states(2)[&dead], "Terminating:Wait", "agents are away for moments");
        cluster.until("core 2 serves again", within(minutes(12)), |c| c.is_replaced(2, &dead)).await;
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some());
    });
}

#[test]
fn a_registration_that_a_lost_instance_left_behind_does_not_keep_its_core_from_healing() {
    play(async {
        let cluster = Cluster::formed(3);
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&lost);
        cluster.live(minutes(2)).await;
        cluster.wire.world().lose_instance(&lost);
        cluster.until("core 2 serves again", within(minutes(12)), |c| c.is_replaced(2, &lost)).await;
        let world = cluster.wire.world();
        assert!(world.container_instance(&lost).is_none(), "ECS would count on its task for ever");
    });
}

#[test]
fn a_retained_instance_goes_once_people_have_emptied_it() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
        cluster.empty(2);
        cluster.until("core 2 serves again", within(minutes(10)), |c| c.is_replaced(2, &old)).await;
    });
}

#[test]
fn what_nobody_can_read_goes_aside_and_the_round_is_made_all_the_same() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        let sweep = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string();
        let answer = cluster.invoke(messages(&["not json".to_owned(), sweep])).await.unwrap();
        assert_eq!(answer["deadLettered"], json!(1), "{answer}");
        assert!(cluster.holder(1).is_some(), "{answer}");
        for wrong in [json!({"dryrun": true}), json!([]), json!({"RequestType": "Create"}), Value::Null] {
            assert!(cluster.invoke(wrong.clone()).await.is_err(), "{wrong}");
        }
    });
}

#[test]
fn snapshots_are_heard_once_and_whatever_becomes_of_the_parameter_changes_nothing() {
    play(async {
        let cluster = Cluster::new(3);
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
            cluster.invoke(request).await.unwrap();
            let world = cluster.wire.world();
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
