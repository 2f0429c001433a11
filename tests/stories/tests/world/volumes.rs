//! A volume is attached late, and an instance registers only once it has mounted it.

use std::collections::BTreeMap;

use cluster_world::ec2::Contents;
use serde_json::json;

use super::{CLUSTER, Core, DROP_IN, OPTIONS, denied, json_of, target};

#[test]
fn a_volume_is_attached_late_to_one_running_instance_of_its_zone_and_free_after_its_end() {
    let mut core = Core::new();
    core.world.advance(3);
    let instance = core.instance();
    denied(core.attach("i-00000000000000000"), "InvalidInstanceID.NotFound");
    denied(core.attach(&instance), "IncorrectState");
    core.world.advance(3);
    core.world.ec2.attach_errors.push_back("InternalError");
    denied(core.attach(&instance), "InternalError");
    core.attach(&instance).unwrap();
    assert_eq!(core.held(), Some((instance.as_str(), "attaching")));
    denied(core.attach(&instance), "VolumeInUse");
    core.world.advance(3);
    assert_eq!(core.held(), Some((instance.as_str(), "attached")));

    let elsewhere = core.world.add_volume("eu-west-1b", 10, BTreeMap::new(), Contents::Blank);
    let ours = std::mem::replace(&mut core.volume, elsewhere);
    denied(core.attach(&instance), "IncorrectState");
    core.world.advance(2);
    denied(core.attach(&instance), "InvalidVolume.ZoneMismatch");
    core.volume = "vol-00000000000000000".to_owned();
    denied(core.attach(&instance), "InvalidVolume.NotFound");

    core.volume = ours;
    core.world.lose_instance(&instance);
    core.world.advance(19);
    assert_eq!(core.held(), Some((instance.as_str(), "attached")), "it shuts down, and still writes");
    core.world.advance(1);
    assert_eq!(core.held(), Some((instance.as_str(), "detaching")));
    core.world.advance(4);
    assert_eq!(core.held(), None);
    assert_eq!(core.world.ec2.instances[&instance].state, "terminated", "it stays to be seen");
}

#[test]
fn an_instance_registers_only_with_its_volume_and_a_blank_one_is_formatted() {
    let mut core = Core::new();
    core.world.advance(500);
    let instance = core.instance();
    assert!(
        core.world.container_instance(&instance).is_none(),
        "the agent waits for the mount, however long that takes"
    );
    assert_eq!(core.contents(), Contents::Blank);
    core.attach(&instance).unwrap();
    core.world.advance(3);
    assert_eq!(core.contents(), Contents::Xfs);
    assert!(core.world.container_instance(&instance).is_none());
    core.world.advance(8);
    let host = core.container_instance(&instance);
    assert_eq!((host.connected, host.status, host.root_disk), (true, "ACTIVE", false));
    assert_eq!(host.attributes["tier"], "core");
    assert_eq!(core.events("ECS Container Instance State Change"), 1);
    for (filter, found) in
        [("agentConnected == true", 1), ("ec2InstanceId in [i-0, ID]", 1), ("ec2InstanceId != ID", 0)]
    {
        let body = json!({"cluster": CLUSTER, "filter": filter.replace("ID", &instance)});
        let listed = target("AmazonEC2ContainerServiceV20141113.ListContainerInstances", &body);
        let listed = json_of(&core.world.answer(&listed));
        assert_eq!(listed["containerInstanceArns"].as_array().unwrap().len(), found, "{filter}");
    }
    assert_eq!(core.member(&instance).state, "Pending:Wait", "the hook still waits");
}

#[test]
fn a_volume_that_cannot_be_mounted_or_comes_too_late_keeps_the_agent_away() {
    let patient = "x-systemd.device-timeout=0";
    for (contents, options, later, comes) in [
        (Contents::Foreign, OPTIONS, 30, false),
        (Contents::Blank, patient, 30, false),
        (Contents::Xfs, patient, 30, true),
        (Contents::Xfs, "defaults", 30, true),
        (Contents::Xfs, "defaults", 200, false),
        (Contents::Xfs, "x-systemd.device-timeout=300s", 200, true),
    ] {
        let mut core = Core::with(options, DROP_IN, "daemon-reload");
        core.world.ec2.volumes.get_mut(&core.volume).unwrap().contents = contents;
        core.world.advance(later);
        let instance = core.instance();
        core.attach(&instance).unwrap();
        core.world.advance(300);
        assert_eq!(core.world.container_instance(&instance).is_some(), comes, "{contents:?}, {options}, {later} s");
        assert_eq!(core.contents(), contents, "{options}");
    }
}

#[test]
fn an_instance_that_does_not_wait_writes_to_the_root_disk() {
    for (drop_in, command) in
        [("RequiresMountsFor=/srv/other", "daemon-reload"), ("", "daemon-reload"), (DROP_IN, "status")]
    {
        let mut core = Core::with(OPTIONS, drop_in, command);
        core.world.advance(60);
        let instance = core.instance();
        assert!(core.container_instance(&instance).root_disk, "{drop_in:?}, {command}");
        core.attach(&instance).unwrap();
        core.world.reboot(&instance);
        core.world.advance(60);
        let found = "after a boot files are read and the device is there";
        assert!(!core.container_instance(&instance).root_disk, "{drop_in:?}, {command}: {found}");
    }
}

#[test]
fn a_boot_keeps_the_volume_and_the_agent_returns_with_the_mount() {
    let mut core = Core::up();
    let (instance, volume) = (core.instance(), core.volume.clone());
    let id = core.container_instance(&instance).id.clone();
    core.world.reboot(&instance);
    assert!(!core.container_instance(&instance).connected);
    assert_eq!(core.held(), Some((instance.as_str(), "attached")));
    core.world.advance(22);
    assert!(!core.container_instance(&instance).connected);
    core.world.advance(1);
    assert_eq!((core.container_instance(&instance).connected, &core.container_instance(&instance).id), (true, &id));

    core.world.ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Foreign;
    core.world.reboot(&instance);
    core.world.advance(500);
    assert!(!core.container_instance(&instance).connected, "nothing to mount");
}
