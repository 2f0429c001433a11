//! The truth about every write, before it takes effect.

use cluster_world::{Request, World, auto_scaling::Member, neo4j::Phase};
use jiff::SignedDuration;
use serde_json::Value;

use super::{super::Wrong, disruptions::Disruptions};
use crate::cluster::{Node, is_of_tier};

/// An agent that has been away for longer than this is silent.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// The hooks of our groups that are ours.
pub(super) const HOOKS: [&str; 2] = ["neo4j-launch", "neo4j-terminate"];

/// Looks at every write before it reaches the world, and knows the truth about what it does.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) nodes: Vec<Node>,
    pub(super) ecs_cluster: String,
    pub(super) table: String,
    pub(super) disruptions: Disruptions,
}

impl Guard {
    pub(super) fn check(&self, world: &World, request: &Request) -> Result<(), Wrong> {
        let Some((action, fields)) = cluster_world::read(request) else { return Ok(()) };
        self.disruptions.look(world, &self.nodes);
        self.is_allowed(world, &action, &fields)?;
        for (core, task) in self.stopped_by(world, &action, &fields) {
            self.disruptions.begin(world, &self.nodes, core, &task, &action)?;
        }
        Ok(())
    }

    /// Whether a write is one that this function may do now.
    fn is_allowed(&self, world: &World, action: &str, fields: &Value) -> Result<(), Wrong> {
        let text = |key: &str| fields[key].as_str().unwrap_or_default();
        let wrong = |what: &str| Err(format!("{action} {fields}: {what}"));
        match action {
            "autoscaling:CompleteLifecycleAction" | "autoscaling:RecordLifecycleActionHeartbeat" => {
                let (group, instance) = (text("AutoScalingGroupName"), text("InstanceId"));
                if !self.nodes.iter().any(|node| node.group == group) {
                    return wrong("the group is not ours");
                }
                if !HOOKS.contains(&text("LifecycleHookName")) {
                    return wrong("the hook is not ours");
                }
                let leaves = world.auto_scaling.member(instance).is_some_and(|m| m.state.starts_with("Terminating"));
                if leaves && text("LifecycleActionResult") == "CONTINUE" {
                    return self.may_end(world, instance).or_else(|why| wrong(&why));
                }
                Ok(())
            }
            "autoscaling:TerminateInstanceInAutoScalingGroup" => {
                let instance = text("InstanceId");
                let group = world.auto_scaling.group_of(instance).unwrap_or_default();
                if !self.nodes.iter().any(|node| node.group == group) {
                    return wrong("the group is not ours");
                }
                // One in service goes through its hook, which waits for tasks of no service.
                let hooked = world.auto_scaling.member(instance).is_some_and(|member| member.state == "InService");
                if hooked && self.members_on(world, instance) == 0 {
                    return Ok(());
                }
                self.may_end(world, instance).or_else(|why| wrong(&why))
            }
            "ec2:AttachVolume" => {
                let (volume, instance) = (text("VolumeId"), text("InstanceId"));
                let Some(node) = self.nodes.iter().find(|node| node.volume == volume) else {
                    return wrong("the volume is not ours");
                };
                match world.auto_scaling.group_of(instance) {
                    Some(group) if group == node.group => Ok(()),
                    // One that was dropped in between is refused by EC2.
                    None => Ok(()),
                    Some(_) => wrong("the volume goes to an instance of another core"),
                }
            }
            "ecs:DeregisterContainerInstance" | "ecs:UpdateContainerInstancesState" => {
                self.may_take_out(world, fields).or_else(|why| wrong(&why))
            }
            "ecs:StopTask" => {
                let id = text("task").rsplit('/').next().unwrap_or_default();
                let Some(task) = world.ecs.clusters[&self.ecs_cluster].tasks.get(id) else { return Ok(()) };
                let instance = world.ecs.clusters[&self.ecs_cluster].container_instances.get(&task.address);
                let instance = instance.and_then(|found| found.instance.clone()).unwrap_or_default();
                let leaves = world.auto_scaling.member(&instance).is_some_and(Member::is_leaving);
                let noticed = world.ec2.instances.get(&instance).is_some_and(|found| found.reclaimed.is_some());
                match task.service.contains(':') {
                    true if leaves || noticed => Ok(()),
                    false if self.may_stop(world, &instance) => Ok(()),
                    _ => wrong("nobody holds the lease for it, and its instance does not leave"),
                }
            }
            "autoscaling:SetInstanceHealth" => {
                let instance = text("InstanceId");
                let group = world.auto_scaling.group_of(instance).unwrap_or_default();
                if !self.nodes.iter().any(|node| node.group == group) || !self.may_stop(world, instance) {
                    return wrong("nobody holds the lease for it");
                }
                Ok(())
            }
            // Only clocks may go.
            "dynamodb:DeleteItem" if fields["Key"]["pk"]["S"] != "clock" => wrong("it is no clock"),
            "dynamodb:PutItem" | "dynamodb:DeleteItem" if text("TableName").ends_with(&self.table) => Ok(()),
            "sqs:SendMessage" => Ok(()),
            // What only looks is no write: this declares a user.
            "lambda:InvokeFunction" if !fields["declareUsers"].is_null() => Ok(()),
            _ => wrong("it is not among what this function does"),
        }
    }

    /// The cores that a write stops although they could go on, with their tasks. Those that EC2 takes, those that are dead and
    /// those of a cluster that is deleted go anyway, and one that hangs in its start was never there.
    fn stopped_by(&self, world: &World, action: &str, fields: &Value) -> Vec<(usize, String)> {
        let Some(cluster) = world.ecs.clusters.get(&self.ecs_cluster) else { return Vec::new() };
        let text = |key: &str| fields[key].as_str().unwrap_or_default();
        let short = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        let instance_of =
            |id: &str| cluster.container_instances.values().find(|found| found.id == id)?.instance.clone();
        let tasks_on = |instance: &str| {
            let running = world.tasks_on(instance).filter(|id| is_of_tier("core", &cluster.tasks[id].service));
            running.map(|id| (instance.to_owned(), id)).collect::<Vec<_>>()
        };
        let stopped = match action {
            "ecs:UpdateContainerInstancesState" if text("status") == "DRAINING" => {
                let named = fields["containerInstances"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let wanted = |(_, id): &(String, String)| cluster.tasks[id].wanted;
                named.filter_map(|arn| instance_of(&short(arn))).flat_map(|id| tasks_on(&id)).filter(wanted).collect()
            }
            "ecs:DeregisterContainerInstance" if fields["force"] == true => {
                instance_of(&short(text("containerInstance"))).map(|id| tasks_on(&id)).unwrap_or_default()
            }
            "ecs:StopTask" => {
                let id = short(text("task"));
                let task = cluster.tasks.get(&id).filter(|task| task.wanted && is_of_tier("core", &task.service));
                let on = task.and_then(|task| cluster.container_instances.get(&task.address)?.instance.clone());
                let hung = world.neo4j.members.get(&id).is_some_and(|member| member.phase == Phase::Stuck);
                on.filter(|_| !hung).map(|instance| (instance, id)).into_iter().collect()
            }
            "autoscaling:SetInstanceHealth" => {
                let instance = text("InstanceId");
                let task = tasks_on(instance).pop().map(|(_, task)| task).unwrap_or_default();
                vec![(instance.to_owned(), task)]
            }
            _ => Vec::new(),
        };
        let goes_anyway = |instance: &str| {
            let taken = world.ec2.instances.get(instance).is_some_and(|found| found.reclaimed.is_some());
            taken || self.is_dead(world, instance) || self.is_deleting(world)
        };
        let core = |instance: &str| {
            let group = world.auto_scaling.group_of(instance)?;
            (1..).zip(&self.nodes).find(|(_, node)| node.group == group).map(|(core, _)| core)
        };
        let chosen = stopped.into_iter().filter(|(instance, _)| !goes_anyway(instance));
        chosen.filter_map(|(instance, task)| Some((core(&instance)?, task))).collect()
    }

    /// Whether container instances may be set to a status, or deregistered.
    fn may_take_out(&self, world: &World, fields: &Value) -> Result<(), String> {
        if fields["cluster"].as_str().unwrap_or_default().rsplit('/').next() != Some(&self.ecs_cluster) {
            return Err("the ECS cluster is not ours".to_owned());
        }
        let one = [fields["containerInstance"].clone()];
        let named_many = fields["containerInstances"].is_array();
        let named = fields["containerInstances"].as_array().map_or(&one[..], Vec::as_slice);
        let drains = fields["status"] == "DRAINING";
        for arn in named.iter().filter_map(Value::as_str) {
            let id = arn.rsplit('/').next().unwrap_or(arn);
            let all = &world.ecs.clusters[&self.ecs_cluster].container_instances;
            let Some(found) = all.values().find(|found| found.id == id) else { continue };
            let instance = found.instance.clone().unwrap_or_default();
            let forced = fields["force"] == true && world.tasks_on(&instance).next().is_some();
            if found.attributes.contains_key("theirs") {
                return Err("the container instance is not ours".to_owned());
            }
            let may = self.may_stop(world, &instance);
            let lost = Self::is_silent(world, &instance) && may;
            if forced && !self.is_dead(world, &instance) && !lost && self.members_on(world, &instance) > 0 {
                return Err("it lives, and a member runs on it".to_owned());
            }
            // ECS counts those that are to run, and refuses for none else.
            let tasks = &world.ecs.clusters[&self.ecs_cluster].tasks;
            let mut left = world.tasks_on(&instance).peekable();
            let stop = left.peek().is_some() && left.all(|id| !tasks[&id].wanted);
            if !named_many && fields["force"] != true && stop && !self.is_dead(world, &instance) {
                return Err("tasks on it are still stopping, and it is deregistered".to_owned());
            }
            if drains && !may && self.wanted_on(world, &instance) > 0 {
                return Err("a member runs on it, and nobody holds the lease for it".to_owned());
            }
        }
        Ok(())
    }

    /// How many tasks of the cluster ECS takes for not stopped on an instance.
    fn members_on(&self, world: &World, instance: &str) -> usize {
        let tasks = &world.ecs.clusters[&self.ecs_cluster].tasks;
        let ours = |service: &str| ["core", "replica"].iter().any(|tier| is_of_tier(tier, service));
        world.tasks_on(instance).filter(|id| ours(&tasks[id].service)).count()
    }

    /// How many of these are to run on.
    fn wanted_on(&self, world: &World, instance: &str) -> usize {
        let tasks = &world.ecs.clusters[&self.ecs_cluster].tasks;
        let ours = |service: &str| ["core", "replica"].iter().any(|tier| is_of_tier(tier, service));
        world.tasks_on(instance).filter(|id| tasks[id].wanted && ours(&tasks[id].service)).count()
    }

    /// Whether a member on an instance may be stopped: for its core somebody holds the lease, EC2 takes it, or all go.
    fn may_stop(&self, world: &World, instance: &str) -> bool {
        let taken = world.ec2.instances.get(instance).is_some_and(|found| found.reclaimed.is_some());
        let group = world.auto_scaling.group_of(instance).unwrap_or_default();
        let core = (1..).zip(&self.nodes).find(|(_, node)| node.group == group).map(|(core, _)| core);
        taken || self.is_deleting(world) || core.is_some_and(|core: usize| self.holder(world) == Some(core.to_string()))
    }

    /// The core that the lease is held for.
    pub(super) fn holder(&self, world: &World) -> Option<String> {
        let table = world.dynamodb.tables.iter().find(|(name, _)| name.ends_with(&self.table))?.1;
        let lease = table.get(&("cluster".to_owned(), "lease".to_owned()))?;
        lease["core"]["N"].as_str().map(str::to_owned)
    }

    fn is_silent(world: &World, instance: &str) -> bool {
        let silent = world.container_instance(instance).and_then(|found| found.silent_since);
        silent.is_some_and(|since| world.now.duration_since(since) >= SILENCE)
    }

    /// Whether an instance has ended, or EC2 says that it fails and its agent is silent.
    fn is_dead(&self, world: &World, instance: &str) -> bool {
        let Some(found) = world.ec2.instances.get(instance) else { return true };
        let silent = world.container_instance(instance).and_then(|found| found.silent_since);
        let silent = silent.is_some_and(|since| world.now.duration_since(since) >= SILENCE);
        found.ended.is_some() || (found.impaired && silent) || (self.is_deleting(world) && silent)
    }

    fn is_deleting(&self, world: &World) -> bool {
        let table = world.dynamodb.tables.iter().find(|(name, _)| name.ends_with(&self.table));
        table.into_iter().flat_map(|(_, items)| items.values()).any(|item| item.to_string().contains("\"deleting\""))
    }

    /// Whether an instance may end: every task on it, whoever's, has stopped, or it is dead. What was deregistered by the rules
    /// above has no task any more.
    fn may_end(&self, world: &World, instance: &str) -> Result<(), String> {
        let tasks = &world.ecs.clusters[&self.ecs_cluster].tasks;
        let left: Vec<_> = world.tasks_on(instance).map(|id| format!("{} ({id})", tasks[&id].service)).collect();
        if left.is_empty() || self.is_dead(world, instance) {
            return Ok(());
        }
        Err(format!("these tasks on it have not stopped: {}", left.join(", ")))
    }
}
