//! What there is to be seen of a cluster.

use std::collections::BTreeMap;

use cluster_world::ec2::Contents;
use serde_json::Value;

use super::{Cluster, is_of_tier};

impl Cluster {
    /// Returns the core's instance that is in service with the core's volume and a running task.
    #[must_use]
    pub fn serving(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        let node = &self.nodes[core - 1];
        let attachment = world.ec2.volumes.get(&node.volume)?.attachment.as_ref().filter(|a| a.state == "attached")?;
        let member = world.auto_scaling.groups.get(&node.group)?.members.get(&attachment.instance)?;
        let instance = world.ec2.instances.get(&attachment.instance).filter(|found| found.ended.is_none())?;
        let service = format!("core-{core}");
        let mut tasks = world.ecs.clusters[&self.ecs_cluster].wanted(&service);
        let runs = tasks.any(|(_, task)| task.address == instance.address && task.status == "RUNNING");
        (member.state == "InService" && runs).then(|| attachment.instance.clone())
    }

    /// Returns whether another instance than this one serves as the core.
    #[must_use]
    pub fn is_replaced(&self, core: usize, old: &str) -> bool {
        self.serving(core).is_some_and(|new| new != old)
    }

    /// Returns the task on an instance that is to run, in whatever state.
    #[must_use]
    pub fn task(&self, instance: &str) -> Option<String> {
        let world = self.wire.world();
        let (cluster, address) = world.registered(instance)?;
        let tasks = world.ecs.clusters[&cluster].tasks.iter().filter(|(_, task)| task.wanted);
        let mut tasks = tasks.filter(|(_, task)| is_of_tier("core", &task.service));
        tasks.find(|(_, task)| task.address == address).map(|(id, _)| id.clone())
    }

    /// Returns the lifecycle states of the core's instances, by instance.
    #[must_use]
    pub fn states(&self, core: usize) -> BTreeMap<String, &'static str> {
        let world = self.wire.world();
        let members = world.auto_scaling.groups.get(&self.nodes[core - 1].group).map(|group| group.members.clone());
        members.into_iter().flatten().map(|(id, member)| (id, member.state)).collect()
    }

    /// Returns the only instance of the core in this state.
    #[must_use]
    pub fn in_state(&self, core: usize, state: &str) -> Option<String> {
        let found: Vec<_> = self.states(core).into_iter().filter(|(_, s)| *s == state).collect();
        if let [(id, _)] = &found[..] { Some(id.clone()) } else { None }
    }

    /// Returns the instance that has the core's volume, in whatever state of the attachment.
    #[must_use]
    pub fn holder(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        Some(world.ec2.volumes.get(&self.nodes[core - 1].volume)?.attachment.as_ref()?.instance.clone())
    }

    /// Returns what is on the core's volume.
    #[must_use]
    pub fn contents(&self, core: usize) -> Contents {
        self.wire.world().ec2.volumes[&self.nodes[core - 1].volume].contents
    }

    /// Returns the last value of a metric, of a tier or of none.
    #[must_use]
    pub fn metric(&self, name: &str, tier: Option<&str>) -> Option<f64> {
        let lines = self.metrics.lock().unwrap();
        let of_tier = |line: &&Value| line["Tier"].as_str() == tier;
        lines.iter().rev().filter(of_tier).find_map(|line| line[name].as_f64())
    }

    /// Returns what a metric that is written only when it is not 0 was in the newest round that wrote the other one, which stands
    /// beside it in each: 0 where it was left out.
    #[must_use]
    pub fn metric_beside(&self, other: &str, name: &str, tier: Option<&str>) -> Option<f64> {
        let lines = self.metrics.lock().unwrap();
        let newest = lines.iter().rev().find(|line| line["Tier"].as_str() == tier && line[other].is_number())?;
        Some(newest[name].as_f64().unwrap_or_default())
    }
}
