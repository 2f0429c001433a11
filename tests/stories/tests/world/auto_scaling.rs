//! Auto Scaling launches, waits at hooks, replaces, retains and deletes.

use serde_json::json;

use super::{Core, GROUP, denied};

#[test]
fn a_replacement_is_launched_before_the_old_instance_has_left() {
    let mut core = Core::up();
    let old = core.instance();
    core.world.mark_unhealthy(&old);
    assert_eq!((core.member(&old).state, core.member(&old).healthy), ("Terminating:Wait", false));
    assert_eq!(core.events("EC2 Instance-terminate Lifecycle Action"), 1);
    let new = core.instance();
    assert_ne!(new, old);
    core.world.advance(60);
    assert_eq!(core.member(&new).state, "Pending:Wait");
    denied(core.attach(&new), "VolumeInUse");

    denied(core.complete("terminat", &old, "CONTINUE"), "ValidationError");
    denied(core.complete("launch", &old, "CONTINUE"), "ValidationError");
    core.complete("terminate", &old, "CONTINUE").unwrap();
    let body = core.complete("terminate", &old, "CONTINUE").unwrap_err();
    assert!(body.contains(&format!("No active Lifecycle Action found with instance ID {old}")), "{body}");
    core.world.advance(30);
    assert!(core.world.auto_scaling.member(&old).is_none());
    core.attach(&new).unwrap();
    core.world.advance(60);
    assert!(core.container_instance(&new).connected);
}

#[test]
fn silence_at_a_terminate_hook_retains_the_instance_until_somebody_ends_it() {
    let mut core = Core::up();
    let old = core.instance();
    core.terminate(&old).unwrap();
    let heartbeat = "Action=RecordLifecycleActionHeartbeat&Version=2011-01-01&AutoScalingGroupName=core-1";
    let heartbeat = format!("{heartbeat}&LifecycleHookName=terminate&InstanceId={old}");
    for _ in 0..2 {
        core.world.advance(500);
        core.told(&heartbeat).unwrap();
    }
    assert_eq!(core.member(&old).state, "Terminating:Wait");
    core.world.advance(600);
    assert_eq!(core.member(&old).state, "Terminating:Retained");
    assert_eq!(core.world.ec2.instances[&old].state, "running");
    let counted = core.world.auto_scaling.groups[GROUP].members.values().filter(|member| member.counts());
    assert_eq!(counted.count(), 1);
    denied(core.told(&heartbeat), "ValidationError");

    core.terminate(&old).unwrap();
    assert_eq!(core.member(&old).state, "Terminating", "without its hook");
    core.world.advance(21);
    assert!(core.world.auto_scaling.member(&old).is_none());
    denied(core.terminate(&old), "ValidationError");
    assert_eq!(core.events("EC2 Instance-terminate Lifecycle Action"), 1);
}

#[test]
fn no_heartbeat_puts_off_the_end_of_a_wait_for_ever() {
    let mut core = Core::up();
    let instance = core.instance();
    core.terminate(&instance).unwrap();
    let heartbeat = "Action=RecordLifecycleActionHeartbeat&Version=2011-01-01&AutoScalingGroupName=core-1";
    let heartbeat = format!("{heartbeat}&LifecycleHookName=terminate&InstanceId={instance}");
    let hours = (0..1000).take_while(|_| {
        core.world.advance(300);
        core.told(&heartbeat).is_ok()
    });
    assert_eq!(hours.count(), 100 * 600 / 300 - 1, "a hundred times the heartbeat's time-out");
    assert_eq!(core.member(&instance).state, "Terminating:Retained");
}

#[test]
fn a_launch_that_is_abandoned_is_replaced_and_runs_no_terminate_hook() {
    let mut core = Core::new();
    core.world.advance(10);
    let first = core.instance();
    core.complete("launch", &first, "ABANDON").unwrap();
    assert_eq!(core.member(&first).state, "Terminating");
    core.world.advance(25);
    assert!(core.world.auto_scaling.member(&first).is_none());
    let second = core.instance();
    core.world.advance(600);
    assert_ne!(core.instance(), second, "nobody continued in time");
    assert_eq!(core.events("EC2 Instance-terminate Lifecycle Action"), 0);
    assert_eq!(core.events("EC2 Instance-launch Lifecycle Action"), 3);
}

#[test]
fn an_instance_that_is_lost_runs_no_hook_and_is_replaced_when_that_is_noticed() {
    let mut core = Core::up();
    let lost = core.instance();
    core.world.lose_instance(&lost);
    core.world.advance(59);
    assert_eq!((core.member(&lost).state, core.instance()), ("InService", lost.clone()));
    core.world.advance(1);
    assert!(core.world.auto_scaling.member(&lost).is_none());
    assert_ne!(core.instance(), lost);
    assert_eq!(core.events("EC2 Instance-terminate Lifecycle Action"), 0);
}

#[test]
fn a_zone_without_room_is_tried_again_each_minute() {
    let mut core = Core::up();
    core.world.ec2.no_capacity.insert("eu-west-1a".to_owned());
    let lost = core.instance();
    core.world.lose_instance(&lost);
    core.world.advance(60 + 130);
    assert_eq!(core.events("EC2 Instance Launch Unsuccessful"), 3);
    core.world.ec2.no_capacity.clear();
    core.world.advance(60);
    assert_eq!(core.member(&core.instance()).state, "Pending:Wait");
}

#[test]
fn a_group_goes_when_its_last_instance_has_and_then_its_volume_may() {
    let mut core = Core::up();
    let (instance, volume) = (core.instance(), core.volume.clone());
    core.terminate(&instance).unwrap();
    core.complete("terminate", &instance, "ABANDON").unwrap();
    let kept = json!({"DeletionPolicy": "Snapshot"});
    let refused = core.world.delete("AWS::EC2::Volume", &volume, &kept).unwrap_err();
    assert!(refused.starts_with("VolumeInUse"), "{refused}");
    let kind = "AWS::AutoScaling::AutoScalingGroup";
    assert_eq!(core.world.delete(kind, GROUP, &json!({})), Ok(None));
    let waiting: Vec<_> = core.world.auto_scaling.groups[GROUP].members.keys().cloned().collect();
    for id in waiting.iter().filter(|id| **id != instance) {
        core.complete("terminate", id, "CONTINUE").unwrap();
    }
    core.world.advance(600);
    assert_eq!(core.world.status(kind, GROUP), Ok(None), "a retained instance is left");
    core.terminate(&instance).unwrap();
    core.world.advance(20);
    assert!(core.world.status(kind, GROUP).unwrap().is_some());
    assert!(core.world.auto_scaling.groups.is_empty());

    assert_eq!(core.world.delete("AWS::EC2::Volume", &volume, &kept), Ok(None), "it is being detached");
    core.world.advance(4);
    assert!(core.world.status("AWS::EC2::Volume", &volume).unwrap().is_some());
    let of: Vec<_> = core.world.ec2.snapshots.values().map(|snapshot| snapshot.volume.clone()).collect();
    assert_eq!(of, [volume]);
}

#[test]
fn a_group_and_a_volume_change_in_place_or_are_replaced() {
    let mut core = Core::up();
    let template = core.world.auto_scaling.groups[GROUP].template.clone();
    let data = json!({"LaunchTemplateData": {"UserData": "IyEvYmluL3No", "DisableApiTermination": "true"}});
    let kind = "AWS::EC2::LaunchTemplate";
    let updated = core.world.update_in("", kind, "LaunchTemplate", &template, &data, &json!({})).unwrap().unwrap();
    assert_eq!(updated.attributes["LatestVersionNumber"], "2");
    assert_eq!(core.world.ec2.templates[&template].versions[1].user_data, "#!/bin/sh");
    assert_eq!(core.member(&core.instance()).template, (template, 1), "the instance is as old as it was");

    let (kind, volume) = ("AWS::EC2::Volume", core.volume.clone());
    let mut change = |zone: &str, size: &str| {
        let properties = |zone: &str, size: &str| json!({"AvailabilityZone": zone, "Size": size});
        core.world.update_in("", kind, "Volume", &volume, &properties(zone, size), &properties("eu-west-1a", "10"))
    };
    assert_eq!(change("eu-west-1a", "20").unwrap().unwrap().physical_id, volume);
    assert!(change("eu-west-1a", "10").unwrap_err().contains("smaller"));
    assert_ne!(change("eu-west-1b", "20").unwrap().unwrap().physical_id, volume);
}
