//! The model refuses what AWS refuses: otherwise a story against it would prove nothing.

mod alarms;
mod auto_scaling;
mod batch;
mod draining;
mod ecs;
mod hooks;
mod invocations;
mod logs;
mod metrics;
mod neo4j;
mod notices;
mod requests;
mod route53;
mod schedules;
mod volumes;

use cluster_world::{Answer, Request, World, auto_scaling::Member, ec2::Contents, ecs::ContainerInstance};
use serde_json::{Value, json};

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
    Request { method, path, body: form.as_bytes().to_vec(), ..Request::default() }
}

pub(crate) fn target(target: &str, body: &Value) -> Request {
    Request { target: Some(target.to_owned()), body: body.to_string().into_bytes(), ..post("") }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn denied(result: Result<(), String>, code: &str) {
    let body = result.unwrap_err();
    assert!(body.contains(&format!("<Code>{code}</Code>")), "{code}: {body}");
}
