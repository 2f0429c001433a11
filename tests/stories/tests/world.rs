//! The model refuses what AWS refuses: otherwise a story against it would prove nothing.

use std::{collections::BTreeMap, net::Ipv4Addr};

use cluster_world::{
    Answer, Kind, Request, World,
    auto_scaling::Member,
    ec2::Contents,
    ecs::ContainerInstance,
    ecs::Task,
    route53::{RecordSet, Zone},
};
use serde_json::{Value, json};

fn zone() -> Zone {
    let mut zone = Zone::new("neo4j.service", None);
    zone.put(RecordSet::multivalue("core.neo4j.service", "a/1", "10.0.1.1"));
    zone
}

fn refused(changes: &[(&str, RecordSet)]) -> String {
    let mut zone = zone();
    let before = zone.records.clone();
    let refusal = zone.change(changes).unwrap_err();
    assert_eq!(zone.records, before, "a refused batch changes nothing");
    refusal.to_string()
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let new = RecordSet::multivalue("core.neo4j.service", "a/2", "10.0.1.2");
    let gone = RecordSet::multivalue("core.neo4j.service", "a/9", "10.0.1.9");
    let text = refused(&[("CREATE", new.clone()), ("DELETE", gone)]);
    assert_eq!(
        text,
        "InvalidChangeBatch: [Tried to delete resource record set [name='core.neo4j.service.', type='A', \
         set-identifier='a/9'] but it was not found]"
    );
    zone().change(&[("CREATE", new)]).unwrap();
}

#[test]
fn each_rule_of_route_53_is_kept() {
    let one = |set| refused(&[("CREATE", set)]);
    let core = |id: &str, address: &str| RecordSet::multivalue("core.neo4j.service", id, address);
    for (text, rule) in [
        (one(core("a/1", "10.0.1.1")), "already exists"),
        (refused(&[("DELETE", core("a/1", "10.0.1.2"))]), "do not match the current values"),
        (one(RecordSet::multivalue("core.other.service", "a/1", "10.0.1.1")), "not permitted in zone"),
        (one(core("a/2", "core")), "Invalid Resource Record"),
        (
            one(RecordSet::simple("core.neo4j.service", "A", 10, &["10.0.1.2"])),
            "RRSet with DNS name core.neo4j.service., type A cannot be created as other RRSets exist with the same name",
        ),
        (
            one(RecordSet::weighted("core.neo4j.service", "w", "10.0.1.2")),
            "type A, SetIdentifier w cannot be created as a non-weighted set exists with the same name and type.",
        ),
        (
            one(RecordSet::simple("core.neo4j.service", "CNAME", 10, &["x.y"])),
            "[RRSet of type CNAME with DNS name core.neo4j.service. is not permitted as it conflicts with other records \
             with the same DNS name in zone neo4j.service.]",
        ),
        (refused(&[]), "Number of changes"),
    ] {
        assert!(text.contains(rule), "{text}");
    }
    let many: Vec<_> = (0..100).map(|n| ("CREATE", core(&format!("b/{n}"), &format!("10.1.0.{n}")))).collect();
    assert!(refused(&many).contains("exceeds 100"));
    zone().change(&many[..99]).unwrap();
}

/// Route 53 developer guide, «Supported DNS record types»: a CNAME allows no other record under its name. «Choosing a
/// routing policy»: one policy for a name and type, others for other types.
#[test]
fn what_stands_under_a_name_decides_what_goes_beside_it() {
    const NAME: &str = "replica.neo4j.service";
    let member = || RecordSet::multivalue(NAME, "a/1", "10.0.2.1");
    let simple = |kind, value| RecordSet::simple(NAME, kind, 10, &[value]);
    for (there, refusal) in [
        (
            simple("CNAME", "core.neo4j.service"),
            Some(
                "[RRSet of type A with DNS name replica.neo4j.service. is not permitted because a conflicting RRSet of \
                 type CNAME with the same DNS name already exists in zone neo4j.service.]",
            ),
        ),
        (
            RecordSet::weighted(NAME, "w", "10.9.9.1"),
            Some(
                "[RRSet with DNS name replica.neo4j.service., type A, SetIdentifier a/1 cannot be created because a non \
                 multivalue answer rrset exists with the same name and type.]",
            ),
        ),
        (
            simple("A", "10.9.9.1"),
            Some(
                "[RRSet with DNS name replica.neo4j.service., type A, SetIdentifier a/1 cannot be created because a non \
                 multivalue answer rrset exists with the same name and type.]",
            ),
        ),
        (RecordSet::multivalue(NAME, "b/1", "10.9.9.1"), None),
        (simple("AAAA", "fd00::1"), None),
        (simple("TXT", "\"theirs\""), None),
    ] {
        let mut zone = zone();
        zone.change(&[("CREATE", there.clone())]).unwrap();
        let before = zone.records.clone();
        let other = RecordSet::multivalue("core.neo4j.service", "a/2", "10.0.1.2");
        let said = zone.change(&[("CREATE", other), ("CREATE", member())]).err().map(|refusal| refusal.message);
        assert_eq!(said.as_deref(), refusal, "{there:?}");
        assert_eq!(zone.records == before, refusal.is_some(), "the other name's record goes with the batch");
    }
}

#[test]
fn a_zone_of_cloud_map_takes_no_writes() {
    let mut zone = Zone::new("discovery.neo4j.service", Some("arn:ns".into()));
    let set = RecordSet::multivalue("core.discovery.neo4j.service", "a/1", "10.0.1.1");
    let refusal = zone.change(&[("CREATE", set)]).unwrap_err();
    assert_eq!(refusal.code, "AccessDenied");
    assert!(refusal.message.contains("can only be managed through AWS Cloud Map"));
}

const CLUSTER: &str = "neo4j";
const GROUP: &str = "core-1";

/// A core's group of one with both hooks, its volume, and an ECS service of so many tasks on hosts of its tier.
struct Core {
    world: World,
    volume: String,
}

/// What the volume's device is called, with the lines that an instance needs to wait for it.
fn user_data(volume: &str, options: &str, drop_in: &str, command: &str) -> String {
    let device = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}", volume.replace('-', ""));
    [
        "#cloud-config",
        "write_files:",
        "  - {path: /etc/ecs/ecs.config, content: \"ECS_CLUSTER=neo4j\\nECS_INSTANCE_ATTRIBUTES={\\\"tier\\\": \\\"core\\\"}\"}",
        "  - path: /etc/fstab",
        "    append: true",
        &format!("    content: {device} /srv/neo4j xfs nofail,{options} 0 0"),
        "  - path: /etc/systemd/system/ecs.service.d/neo4j.conf",
        &format!("    content: \"[Unit]\\n{drop_in}\""),
        &format!("runcmd: [[systemctl, {command}]]"),
    ]
    .join("\n")
}

const OPTIONS: &str = "x-systemd.makefs,x-systemd.device-timeout=0";
const DROP_IN: &str = "RequiresMountsFor=/srv/neo4j\\nAssertPathIsMountPoint=/srv/neo4j";

fn create(world: &mut World, kind: &str, id: &str, properties: &Value) -> String {
    world.create(kind, id, properties).unwrap().unwrap().physical_id
}

fn group(template: &str) -> Value {
    let hook = |name: &str, transition: &str| {
        json!({
            "LifecycleHookName": name, "LifecycleTransition": format!("autoscaling:EC2_INSTANCE_{transition}"),
            "HeartbeatTimeout": 600, "DefaultResult": "ABANDON",
        })
    };
    json!({
        "AutoScalingGroupName": GROUP, "MinSize": "0", "MaxSize": "1", "DesiredCapacity": "1",
        "VPCZoneIdentifier": ["subnet-0000000000000000a"],
        "LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"},
        "LifecycleHookSpecificationList": [hook("launch", "LAUNCHING"), hook("terminate", "TERMINATING")],
        "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
        "Tags": [{"Key": "neo4j:core", "Value": "1", "PropagateAtLaunch": true}],
    })
}

impl Core {
    fn new() -> Self {
        Self::with(OPTIONS, DROP_IN, "daemon-reload")
    }

    fn with(options: &str, drop_in: &str, command: &str) -> Self {
        let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
        create(&mut world, "AWS::ECS::Cluster", "Cluster", &json!({"ClusterName": CLUSTER}));
        let tag = json!([{"Key": "neo4j:core", "Value": "1"}]);
        let volume = json!({"AvailabilityZone": "eu-west-1a", "Size": "10", "Tags": tag});
        let volume = create(&mut world, "AWS::EC2::Volume", "Volume", &volume);
        let data = json!({"UserData": {"Fn::Base64": user_data(&volume, options, drop_in, command)}});
        let template =
            create(&mut world, "AWS::EC2::LaunchTemplate", "LaunchTemplate", &json!({"LaunchTemplateData": data}));
        create(&mut world, "AWS::AutoScaling::AutoScalingGroup", "Group", &group(&template));
        Self { world, volume }
    }

    /// One whose instance is in service and registered.
    fn up() -> Self {
        let mut core = Self::new();
        core.world.advance(10);
        let instance = core.instance();
        core.attach(&instance).unwrap();
        core.world.advance(60);
        core.complete("launch", &instance, "CONTINUE").unwrap();
        core.world.advance(5);
        assert_eq!((core.member(&instance).state, core.container_instance(&instance).connected), ("InService", true));
        core
    }

    fn ask(&mut self, form: &str) -> Answer {
        self.world.answer(&post(form))
    }

    /// Asks, and tells what was refused.
    fn told(&mut self, form: &str) -> Result<(), String> {
        let answer = self.ask(form);
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    }

    fn attach(&mut self, instance: &str) -> Result<(), String> {
        let volume = self.volume.clone();
        let form = format!("Action=AttachVolume&Version=2016-11-15&VolumeId={volume}&InstanceId={instance}");
        self.told(&(form + "&Device=%2Fdev%2Fsdf"))
    }

    fn complete(&mut self, hook: &str, instance: &str, result: &str) -> Result<(), String> {
        let names = format!("AutoScalingGroupName={GROUP}&LifecycleHookName={hook}&InstanceId={instance}");
        self.told(&format!("Action=CompleteLifecycleAction&Version=2011-01-01&{names}&LifecycleActionResult={result}"))
    }

    fn terminate(&mut self, instance: &str) -> Result<(), String> {
        let action = "Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01";
        self.told(&format!("{action}&InstanceId={instance}&ShouldDecrementDesiredCapacity=false"))
    }

    /// The instance that the group counts.
    fn instance(&self) -> String {
        let members = &self.world.auto_scaling.groups[GROUP].members;
        members.iter().find(|(_, member)| member.counts()).unwrap().0.clone()
    }

    fn member(&self, instance: &str) -> &Member {
        self.world.auto_scaling.member(instance).unwrap()
    }

    fn container_instance(&self, instance: &str) -> &ContainerInstance {
        self.world.container_instance(instance).unwrap()
    }

    fn contents(&self) -> Contents {
        self.world.ec2.volumes[&self.volume].contents
    }

    fn held(&self) -> Option<(&str, &str)> {
        let held = self.world.ec2.volumes[&self.volume].attachment.as_ref();
        held.map(|held| (held.instance.as_str(), held.state))
    }

    /// How often an event of this kind has come.
    fn events(&self, kind: &str) -> usize {
        self.world.events.iter().filter(|event| event["DetailType"] == kind).count()
    }
}

fn post(form: &str) -> Request {
    let (method, path) = ("POST".to_owned(), "/".to_owned());
    Request { method, path, query: String::new(), target: None, body: form.as_bytes().to_vec() }
}

fn target(target: &str, body: &Value) -> Request {
    Request { target: Some(target.to_owned()), body: body.to_string().into_bytes(), ..post("") }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn denied(result: Result<(), String>, code: &str) {
    let body = result.unwrap_err();
    assert!(body.contains(&format!("<Code>{code}</Code>")), "{code}: {body}");
}

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

/// A service on instances of its own, which wants one more than there are.
fn service(world: &mut World, hosts: u8, minimum: u32, constraint: &str) {
    let task = create(world, "AWS::ECS::TaskDefinition", "Task", &json!({"ContainerDefinitions": [{"Name": "neo4j"}]}));
    let properties = json!({
        "ServiceName": "core", "Cluster": CLUSTER, "TaskDefinition": task, "DesiredCount": hosts,
        "DeploymentConfiguration": {"MinimumHealthyPercent": minimum, "MaximumPercent": 100},
        "PlacementConstraints": [{"Type": "distinctInstance"}, {"Type": "memberOf", "Expression": constraint}],
    });
    create(world, "AWS::ECS::Service", "Service", &properties);
    for n in 1..=hosts {
        world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a");
    }
}

fn tasks(world: &World) -> Vec<&Task> {
    world.ecs.clusters[CLUSTER].tasks.values().filter(|task| task.status != "STOPPED").collect()
}

fn drain(world: &mut World, hosts: &[u8]) -> Value {
    let ids: Vec<_> = hosts.iter().map(|n| host_id(world, *n)).collect();
    let body = json!({"cluster": CLUSTER, "containerInstances": ids, "status": "DRAINING"});
    let request = target("AmazonEC2ContainerServiceV20141113.UpdateContainerInstancesState", &body);
    json_of(&world.answer(&request))
}

fn host_id(world: &World, n: u8) -> String {
    world.ecs.clusters[CLUSTER].container_instances[&Ipv4Addr::new(10, 0, 9, n)].id.clone()
}

fn wanted(world: &World) -> Vec<u8> {
    let mut hosts: Vec<_> = world.ecs.clusters[CLUSTER].wanted("core").map(|(_, t)| t.address.octets()[3]).collect();
    hosts.sort_unstable();
    hosts
}

#[test]
fn draining_stops_what_the_minimum_allows_and_what_is_pending_at_once() {
    // Two of three stay at 66 %, which rounds up; at 67 % all three do.
    for (minimum, stay) in [(66, vec![2, 3]), (67, vec![1, 2, 3])] {
        let mut world = Core::new().world;
        service(&mut world, 3, minimum, "attribute:tier == core");
        world.advance(60);
        let answer = drain(&mut world, &[1, 2]);
        assert_eq!(answer["containerInstances"].as_array().unwrap().len(), 2);
        world.advance(300);
        assert_eq!(wanted(&world), stay, "{minimum} %");
    }
    let mut world = Core::new().world;
    service(&mut world, 2, 100, "attribute:tier exists");
    assert_eq!(tasks(&world)[0].status, "PENDING");
    drain(&mut world, &[1]);
    assert_eq!(wanted(&world), [2]);
    let body = json!({"cluster": CLUSTER, "containerInstances": [host_id(&world, 1), "0".repeat(32)]});
    let described = target("AmazonEC2ContainerServiceV20141113.DescribeContainerInstances", &body);
    let described = json_of(&world.answer(&described));
    assert_eq!(described["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[test]
fn ecs_deregisters_an_instance_that_has_ended_and_replaces_its_tasks() {
    let mut core = Core::up();
    service(&mut core.world, 0, 0, "attribute:tier == core and attribute:ecs.availability-zone == eu-west-1a");
    core.world.scale(CLUSTER, "core", 1);
    core.world.advance(60);
    let lost = core.instance();
    let address = core.world.ec2.instances[&lost].address;
    assert_eq!((tasks(&core.world)[0].address, tasks(&core.world)[0].status), (address, "RUNNING"));
    core.world.lose_instance(&lost);
    assert!(!core.container_instance(&lost).connected);
    core.world.advance(29);
    assert_eq!(tasks(&core.world)[0].status, "RUNNING", "as far as ECS knows");
    core.world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, 9), "eu-west-1a");
    core.world.advance(1);
    assert!(core.world.container_instance(&lost).is_none());
    assert_eq!(wanted(&core.world), [9]);
}

#[test]
fn a_silent_agent_changes_nothing_but_its_connection() {
    let mut core = Core::up();
    service(&mut core.world, 0, 0, "attribute:tier == core");
    core.world.scale(CLUSTER, "core", 1);
    core.world.advance(60);
    let instance = core.instance();
    core.world.silence(&instance);
    core.world.scale(CLUSTER, "core", 0);
    core.world.advance(600);
    assert_eq!((tasks(&core.world)[0].status, tasks(&core.world)[0].wanted), ("RUNNING", false));
    core.world.hear(&instance);
    core.world.advance(60);
    assert!(tasks(&core.world).is_empty());
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

#[test]
fn what_is_read_comes_in_pages_as_xml_and_counts_as_read() {
    let mut core = Core::up();
    let second = core.world.add_volume("eu-west-1b", 10, BTreeMap::new(), Contents::Blank);
    core.world.page = 1;
    let from = core.world.calls.len();
    let volumes = "Action=DescribeVolumes&Version=2016-11-15";
    let pages = [core.ask(volumes).body, core.ask(&format!("{volumes}&NextToken=1")).body];
    assert!(pages[0].contains("<nextToken>1</nextToken>") && !pages[1].contains("nextToken"), "{pages:?}");
    let all = pages.concat();
    assert!([&core.volume, &second].iter().all(|id| all.contains(&format!("<volumeId>{id}</volumeId><volumeType>"))));
    let ours = core.ask(&format!("{volumes}&Filter.1.Name=tag%3Aneo4j%3Acore&Filter.1.Value.1=1")).body;
    assert!(ours.contains(&core.volume) && !ours.contains(&second), "{ours}");
    assert!(ours.contains("<status>attached</status>") && ours.contains("<status>in-use</status>"), "{ours}");

    let groups = "Action=DescribeAutoScalingGroups&Version=2011-01-01&Filters.member.1.Name=tag%3Aneo4j%3Acore";
    let groups = core.ask(&format!("{groups}&Filters.member.1.Values.member.1=1")).body;
    assert!(groups.contains("<LifecycleState>InService</LifecycleState>"), "{groups}");
    assert_eq!(core.world.count_calls(from), (4, 0));
    assert_eq!(
        (post(volumes).kind(), post("Action=AttachVolume&Version=2016-11-15").kind()),
        (Kind::List, Kind::Write)
    );
}

#[test]
fn iam_is_asked_about_each_resource_with_its_own_tags() {
    let mut core = Core::new();
    core.world.advance(10);
    let instance = core.instance();
    let tags = |world: &World, form: &str| {
        let call = world.call(&post(form)).unwrap();
        let tag = "aws:ResourceTag/neo4j:core".to_owned();
        let questions = call.questions().into_iter().map(|(resources, context)| {
            (resources.join(" "), context.get(&tag).is_some_and(|values| values.contains("1")))
        });
        (call.action.clone(), questions.collect::<Vec<_>>())
    };
    let (volume, arn) = (&core.volume, "arn:aws:ec2:eu-west-1:000000000000:");
    let form = format!("Action=AttachVolume&Version=2016-11-15&VolumeId={volume}&InstanceId={instance}");
    let both = vec![(format!("{arn}volume/{volume}"), true), (format!("{arn}instance/{instance}"), true)];
    assert_eq!(tags(&core.world, &form), ("ec2:AttachVolume".to_owned(), both));
    let form = format!("Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId={instance}");
    let group = vec![(core.world.auto_scaling.groups[GROUP].arn.clone(), true)];
    assert_eq!(tags(&core.world, &form), ("autoscaling:TerminateInstanceInAutoScalingGroup".to_owned(), group));
    let form = "Action=DescribeVolumes&Version=2016-11-15";
    assert_eq!(tags(&core.world, form), ("ec2:DescribeVolumes".to_owned(), vec![("*".to_owned(), false)]));
}

#[test]
fn a_table_keeps_items_and_an_unknown_one_is_refused() {
    let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
    let table = world.create_in("neo4j", "AWS::DynamoDB::Table", "State", &json!({})).unwrap().unwrap().physical_id;
    assert!(table.starts_with("neo4j-State-"), "{table}");
    let mut ask =
        |operation: &str, body: &Value| world.answer(&target(&format!("DynamoDB_20120810.{operation}"), body));
    let key = json!({"pk": {"S": "cluster"}, "sk": {"S": "life"}});
    let mut item = key.clone();
    item["phase"] = json!({"S": "forming"});
    let get = json!({"TableName": table, "Key": key});
    assert_eq!(json_of(&ask("GetItem", &get)), json!({}));
    assert_eq!(ask("PutItem", &json!({"TableName": table, "Item": item})).status, 200);
    assert_eq!(json_of(&ask("GetItem", &get)), json!({"Item": item}));
    let older = |since: &str| {
        json!({
            "TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(#p) OR #p <= :since",
            "ExpressionAttributeNames": {"#p": "phase"}, "ExpressionAttributeValues": {":since": {"S": since}},
        })
    };
    assert_eq!(ask("PutItem", &older("forming")).status, 200);
    assert_eq!(json_of(&ask("PutItem", &older("formed")))["__type"], "ConditionalCheckFailedException");
    let absent = json_of(&ask("GetItem", &json!({"TableName": "other", "Key": key})));
    assert_eq!(absent["__type"], "ResourceNotFoundException");
}

#[test]
fn what_people_ask_of_ec2_and_auto_scaling_is_answered_as_documented() {
    let mut core = Core::up();
    let (instance, volume) = (core.instance(), core.volume.clone());
    let ec2 = |action: &str, rest: &str| format!("Action={action}&Version=2016-11-15&{rest}");
    let created = core.ask(&ec2("CreateSnapshot", &format!("VolumeId={volume}&Description=core%201")));
    assert!(created.status == 200 && created.body.contains("snap-"), "{}", created.body);
    assert!(core.told(&ec2("CreateSnapshot", "VolumeId=vol-0")).unwrap_err().contains("InvalidVolume.NotFound"));
    let mut snapshots = |of: &str| core.ask(&ec2("DescribeSnapshots", &format!("Owner.1=self&{of}"))).body;
    let of = |volume: &str| format!("Filter.1.Name=volume-id&Filter.1.Value.1={volume}");
    assert!(snapshots(&of(&volume)).contains(&format!("<volumeId>{volume}</volumeId>")));
    assert!(!snapshots(&of("vol-0")).contains("snap-"), "a filter leaves out what does not fit");
    assert!(snapshots("Filter.1.Name=colour&Filter.1.Value.1=red").contains("InvalidParameterValue"));

    let instances = core.ask(&ec2("DescribeInstances", &format!("InstanceId.1={instance}"))).body;
    assert!(instances.contains("<name>running</name>"), "{instances}");
    let none = core.ask(&ec2("DescribeInstances", "Filter.1.Name=instance-state-name&Filter.1.Value.1=terminated"));
    assert!(!none.body.contains(&instance), "{}", none.body);
    assert!(
        core.told(&ec2("DescribeInstances", "InstanceId.1=i-0")).unwrap_err().contains("InvalidInstanceID.NotFound")
    );

    let sizes =
        |rest: &str| format!("Action=UpdateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName={GROUP}&{rest}");
    assert!(core.told(&sizes("DesiredCapacity=2")).unwrap_err().contains("must be between"));
    assert!(core.told(&sizes("MinSize=2")).unwrap_err().contains("Min bound"));
    core.told(&sizes("MinSize=0&DesiredCapacity=0")).unwrap();
    assert_eq!(core.member(&instance).state, "Terminating:Wait", "an empty group lets its instance go");
    core.told(&sizes("MinSize=1")).unwrap();
    assert_eq!(core.world.auto_scaling.groups[GROUP].desired, 1, "it follows the smallest size");
}

#[test]
fn a_stopped_task_is_replaced_and_a_service_follows_its_desired_count() {
    let mut core = Core::up();
    let task = json!({"Family": "neo4j", "ContainerDefinitions": [{"Name": "neo4j"}]});
    let definition = create(&mut core.world, "AWS::ECS::TaskDefinition", "Task", &task);
    let service = json!({"Cluster": CLUSTER, "ServiceName": "core", "TaskDefinition": definition, "DesiredCount": 1});
    create(&mut core.world, "AWS::ECS::Service", "Service", &service);
    core.world.advance(60);
    let ecs = |core: &mut Core, operation: &str, body: &Value| {
        let mut body = body.clone();
        body["cluster"] = json!(CLUSTER);
        core.world.answer(&target(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), &body))
    };
    let running = |core: &mut Core| json_of(&ecs(core, "ListTasks", &json!({})))["taskArns"].clone();
    let first = running(&mut core)[0].clone();
    let stopped = json_of(&ecs(&mut core, "StopTask", &json!({"task": first})));
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED", "{stopped}");
    core.world.advance(60);
    let second = running(&mut core)[0].clone();
    assert!(second.is_string() && second != first, "{first} is replaced, not {second}");
    let absent = ecs(&mut core, "StopTask", &json!({"task": "0123456789abcdef0123456789abcdef"}));
    assert!(absent.body.contains("InvalidParameterException"), "{}", absent.body);

    let none = json_of(&ecs(&mut core, "UpdateService", &json!({"service": "core", "desiredCount": 0})));
    assert_eq!(none["service"]["desiredCount"], 0, "{none}");
    core.world.advance(60);
    assert_eq!(running(&mut core), json!([]));
    let absent = ecs(&mut core, "UpdateService", &json!({"service": "other", "desiredCount": 1}));
    assert!(absent.body.contains("ServiceNotFoundException"), "{}", absent.body);
}
