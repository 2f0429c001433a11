//! Other people's things, which the function must leave alone.

use std::collections::BTreeMap;

use cluster_world::{ec2::Contents, ecs::ContainerInstance};
use serde_json::{Value, json};

use super::super::Wrong;
use crate::cluster::{Cluster, ZONES};

/// What is not ours: a group whose instance waits at a hook of the same name, its volume, and in our own ECS cluster a
/// container instance with a task.
pub(super) struct Foreign {
    pub(super) group: String,
    volume: String,
    container_instance: std::net::Ipv4Addr,
    before: Value,
}

impl Foreign {
    pub(super) fn set(cluster: &Cluster) -> Self {
        let template = cluster.nodes[0].template.clone();
        let group = json!({
            "AutoScalingGroupName": "neo4j-staging-Group", "MinSize": "1", "MaxSize": "1", "DesiredCapacity": "1",
            "VPCZoneIdentifier": ["subnet-0000000000000000b"],
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
            "LifecycleHookSpecificationList": [{
                "LifecycleHookName": "neo4j-launch", "HeartbeatTimeout": 7200, "DefaultResult": "ABANDON",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            }],
            "Tags": [{"Key": "neo4j:cluster", "Value": "neo4j-staging", "PropagateAtLaunch": true}],
        });
        let mut world = cluster.wire.world();
        let group = world.create("AWS::AutoScaling::AutoScalingGroup", "Theirs", &group).unwrap().unwrap().physical_id;
        let tags = [("neo4j:cluster", "neo4j-staging"), ("neo4j:core", "2")];
        let tags: BTreeMap<_, _> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let volume = world.add_volume(ZONES[1], 100, tags, Contents::Xfs);
        let address = std::net::Ipv4Addr::new(10, 9, 9, 9);
        let theirs = ContainerInstance {
            zone: ZONES[1].to_owned(),
            id: "f".repeat(32),
            instance: Some("i-0000000000000000f".to_owned()),
            attributes: [("theirs".to_owned(), "yes".to_owned())].into(),
            connected: true,
            connected_since: world.now,
            silent_since: None,
            registered: world.now,
            status: "ACTIVE",
            status_by: cluster_world::neo4j::Cause::People,
            status_at: world.now,
            root_disk: false,
        };
        let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
        all.insert(address, theirs);
        // EC2 shows an instance that is theirs, and that runs.
        let pattern = world.ec2.instances.values().next().cloned();
        if let Some(mut instance) = pattern {
            instance.address = address;
            instance.tags.clear();
            world.ec2.instances.insert("i-0000000000000000f".to_owned(), instance);
        }
        world.run_task(&cluster.ecs_cluster.clone(), "cron", address);
        world.events.clear();
        drop(world);
        let mut foreign = Self { group, volume, container_instance: address, before: Value::Null };
        // Their instance comes to wait at its hook first.
        foreign.before = foreign.now(cluster);
        foreign
    }

    /// What can be seen of it.
    fn now(&self, cluster: &Cluster) -> Value {
        let world = cluster.wire.world();
        let state = &world.ecs.clusters[&cluster.ecs_cluster];
        let members = world.auto_scaling.groups.get(&self.group).map(|group| group.members.len());
        let found = state.container_instances.get(&self.container_instance).map(|found| found.status);
        let tasks = state.tasks.values().filter(|task| task.address == self.container_instance && task.wanted).count();
        let held = world.ec2.volumes.get(&self.volume).map(|volume| volume.attachment.is_some());
        json!({"members": members, "container instance": found, "tasks": tasks, "volume held": held})
    }

    /// Its owners keep the hook alive at which its instance waits: a schedule may take longer than the two hours that one can last
    /// without a sign of life (API reference of `PutLifecycleHook`, `HeartbeatTimeout`).
    pub(super) fn lives(&self, cluster: &Cluster) {
        let mut world = cluster.wire.world();
        let members = world.auto_scaling.groups.get_mut(&self.group).map(|group| &mut group.members);
        let waits = members.into_iter().flatten().flat_map(|(_, member)| member.waits.values_mut());
        waits.for_each(|wait| wait.until = wait.longest);
    }

    pub(super) fn stands(&self, cluster: &Cluster) -> Result<(), Wrong> {
        let now = self.now(cluster);
        if now == self.before { Ok(()) } else { Err(format!("what is not ours was {} and is {now}", self.before)) }
    }
}
