//! An ECS cluster of somebody's: a group of two instances with tag and hook, one without the tag, a service and a daemon.

use std::sync::OnceLock;

use cluster_world::World;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The ECS cluster.
pub(super) const SERVICES: &str = "services";
/// The group that has the tag.
pub(super) const GROUP: &str = "shop";
/// The group that has only the hook.
pub(super) const THEIRS: &str = "theirs";
/// The hook of both.
pub(super) const HOOK: &str = "ecs-drain";
/// The tag, whose value is the ECS cluster.
const TAG: &str = "ecs-drain:cluster";
/// The service.
pub(super) const WEB: &str = "web";
/// The daemon.
const DAEMON: &str = "agent";
/// The family of tasks of no service.
pub(super) const CRON: &str = "cron";
/// The zone of our group.
pub(super) const ZONE: &str = "eu-west-1a";

/// Returns the world in which all of it runs.
pub(super) fn furnished() -> World {
    static WORLD: OnceLock<World> = OnceLock::new();
    let furnish = || {
        let cluster = Cluster::alone().quiet();
        let mut world = cluster.wire.world().clone();
        furnish(&mut world);
        (world.calls, world.events, world.messages) = (vec![], vec![], vec![]);
        world
    };
    // In a runtime of its own: the time of the one that asks first goes on.
    WORLD
        .get_or_init(|| std::thread::scope(|all| all.spawn(|| crate::time::play(async { furnish() })).join().unwrap()))
        .clone()
}

fn furnish(world: &mut World) {
    world.ec2.subnets.insert("subnet-0000000000000000a".to_owned(), ZONE.to_owned());
    world.ec2.subnets.insert("subnet-0000000000000000b".to_owned(), "eu-west-1b".to_owned());
    let mut make =
        |kind: &str, id: &str, properties: Value| world.create(kind, id, &properties).unwrap().unwrap().physical_id;
    let config = format!(
        "#cloud-config\nwrite_files:\n  - {{path: /etc/ecs/ecs.config, content: \"ECS_CLUSTER={SERVICES}\"}}\n"
    );
    let data = json!({"LaunchTemplateData": {"UserData": {"Fn::Base64": config}}});
    let template = make("AWS::EC2::LaunchTemplate", "Template", data);
    for (name, subnet, size, tags) in [
        (GROUP, "subnet-0000000000000000a", 2, json!([{"Key": TAG, "Value": SERVICES, "PropagateAtLaunch": false}])),
        (THEIRS, "subnet-0000000000000000b", 1, json!([])),
    ] {
        let group = json!({
            "AutoScalingGroupName": name, "MinSize": "0", "MaxSize": "4", "DesiredCapacity": size.to_string(),
            "VPCZoneIdentifier": [subnet], "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"}, "Tags": tags,
            "LifecycleHookSpecificationList": [{
                "LifecycleHookName": HOOK, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "HeartbeatTimeout": 1800, "DefaultResult": "ABANDON",
            }],
            "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
        });
        make("AWS::AutoScaling::AutoScalingGroup", name, group);
    }
    let definition = |name: &str| json!({"Family": name, "ContainerDefinitions": [{"Name": name}]});
    let web = make("AWS::ECS::TaskDefinition", WEB, definition(WEB));
    let daemon = make("AWS::ECS::TaskDefinition", DAEMON, definition(DAEMON));
    let in_zone = json!([{"Type": "memberOf", "Expression": format!("attribute:ecs.availability-zone == {ZONE}")}]);
    let service = json!({
        "ServiceName": WEB, "Cluster": SERVICES, "TaskDefinition": web, "DesiredCount": 2, "PlacementConstraints": in_zone,
        "DeploymentConfiguration": {"MinimumHealthyPercent": "100", "MaximumPercent": "200"},
    });
    make("AWS::ECS::Service", WEB, service);
    let service = json!({
        "ServiceName": DAEMON, "Cluster": SERVICES, "TaskDefinition": daemon, "SchedulingStrategy": "DAEMON",
    });
    make("AWS::ECS::Service", DAEMON, service);
    world.advance(300);
    // Their instance is on its way out, and waits at a hook of our name.
    let theirs = world.auto_scaling.groups[THEIRS].members.keys().next().unwrap().clone();
    let (_, address) = world.registered(&theirs).unwrap();
    world.run_task(SERVICES, CRON, address);
    world.mark_unhealthy(&theirs);
    world.advance(120);
    for wait in
        world.auto_scaling.groups.get_mut(THEIRS).unwrap().members.values_mut().flat_map(|m| m.waits.values_mut())
    {
        wait.until = wait.longest;
    }
}

/// What can be seen of what is not ours.
pub(super) fn theirs(world: &World) -> Value {
    let group = &world.auto_scaling.groups[THEIRS];
    let members = group.members.iter().map(|(id, member)| {
        let status = world.container_instance(id).map(|found| found.status);
        json!({"instance": id, "state": member.state, "container instance": status, "tasks": world.tasks_on(id).count()})
    });
    members.collect()
}

/// The n-th instance of our group that has not ended, or the last.
pub(super) fn nth(world: &World, nth: usize) -> Option<String> {
    let members = world.auto_scaling.groups[GROUP].members.keys();
    let lives = |id: &&String| world.ec2.instances.get(*id).is_some_and(|found| found.ended.is_none());
    members.filter(lives).take(nth + 1).last().cloned()
}

/// Whether every instance of our group serves, none is left behind, and every task of the service runs.
pub(super) fn all_serve(world: &World) -> bool {
    let group = &world.auto_scaling.groups[GROUP];
    let cluster = &world.ecs.clusters[SERVICES];
    let serves = |id: &String| {
        let active = world.container_instance(id).is_some_and(|found| found.connected && found.status == "ACTIVE");
        active && world.ec2.instances.get(id).is_some_and(|found| !found.impaired && found.ended.is_none())
    };
    let ours = cluster.container_instances.values().filter(|found| found.zone == ZONE).count();
    let runs = cluster.wanted(WEB).filter(|(_, task)| task.status == "RUNNING").count();
    group.members.len() == group.desired
        && ours == group.desired
        && group.members.iter().all(|(id, member)| member.state == "InService" && serves(id))
        && runs == cluster.services[WEB].desired
}

/// Does what people do about what the function leaves to them: an agent that is silent in service, an instance that they
/// emptied, a registration that nobody removes.
pub(super) fn help(world: &mut World) {
    world.deregister_stale();
    let members: Vec<_> =
        world.auto_scaling.groups[GROUP].members.iter().map(|(id, m)| (id.clone(), m.state)).collect();
    for (id, _) in members.iter().filter(|(_, state)| *state == "InService") {
        let Some(found) = world.ec2.instances.get(id) else { continue };
        let (impaired, taken) = (found.impaired, found.reclaimed.is_some());
        if impaired {
            world.mark_unhealthy(id);
        } else if !taken {
            world.hear(id);
            world.set_status(id, "ACTIVE");
        }
    }
}
