//! What a round reads and leaves alone, and what the function is asked.

use cluster_sim::{
    cluster::{CLUSTER, Cluster, ZONES},
    events::messages,
    time::{minutes, play, within},
};
use serde_json::{Value, json};

#[test]
fn an_idle_round_is_eleven_calls_and_writes_nothing() {
    play(async {
        let cluster = Cluster::formed(3);
        let from = cluster.wire.world().calls.len();
        let answer = cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (11, 0), "{answer}");
        assert_eq!(
            cluster.metric("InstancesWaiting", None),
            Some(0.0),
            "silence is alarmed on, so an idle round says so"
        );
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
fn a_hook_of_others_beside_ours_is_left_to_them() {
    play(async {
        let cluster = Cluster::formed(3).quiet();
        let old = cluster.holder(2).unwrap();
        {
            let mut world = cluster.wire.world();
            let group = cluster.nodes[1].group.clone();
            let hook = world.auto_scaling.groups[&group].hooks["neo4j-terminate"].clone();
            world.put_hook(&group, "save-the-books", hook);
            world.mark_unhealthy(&old);
        }
        let waits = |cluster: &Cluster| {
            let world = cluster.wire.world();
            let waits = world.auto_scaling.member(&old).map(|member| &member.waits);
            waits.into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(waits(&cluster).len(), 2);
        cluster.until("ours is completed", within(minutes(20)), |c| waits(c) == ["save-the-books"]).await;
        cluster.live(minutes(10)).await;
        assert_eq!(waits(&cluster), ["save-the-books"]);
        cluster.wire.world().complete_hook(&old, "save-the-books", true);
        cluster.until("core 2 is replaced", within(minutes(20)), |c| c.is_replaced(2, &old)).await;
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
