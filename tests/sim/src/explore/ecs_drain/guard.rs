//! The truth about every write, before it takes effect.

use cluster_world::{Request, World, auto_scaling::Member};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    super::Wrong,
    services::{GROUP, HOOK, SERVICES},
};

/// An agent that has been away for longer than this is silent.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// Says what is wrong with a write.
pub(super) fn check(world: &World, request: &Request, table: &str) -> Result<(), Wrong> {
    let Some((action, fields)) = cluster_world::read(request) else { return Ok(()) };
    let text = |key: &str| fields[key].as_str().unwrap_or_default();
    let wrong = |what: &str| Err(format!("{action} {fields}: {what}"));
    let goes = |instance: &str| {
        let leaves = world.auto_scaling.member(instance).is_some_and(Member::is_leaving);
        leaves
            || world.ec2.instances.get(instance).is_none_or(|found| found.reclaimed.is_some() || found.ended.is_some())
    };
    match action.as_str() {
        "autoscaling:CompleteLifecycleAction" | "autoscaling:RecordLifecycleActionHeartbeat" => {
            if (text("AutoScalingGroupName"), text("LifecycleHookName")) != (GROUP, HOOK) {
                return wrong("it is not ours");
            }
            if text("LifecycleActionResult") == "CONTINUE" {
                return may_end(world, text("InstanceId")).or_else(|why| wrong(&why));
            }
            Ok(())
        }
        "autoscaling:TerminateInstanceInAutoScalingGroup" => {
            if world.auto_scaling.group_of(text("InstanceId")) != Some(GROUP) {
                return wrong("it is not ours");
            }
            may_end(world, text("InstanceId")).or_else(|why| wrong(&why))
        }
        "ecs:DeregisterContainerInstance" | "ecs:UpdateContainerInstancesState" => {
            let one = [fields["containerInstance"].clone()];
            let named = fields["containerInstances"].as_array().map_or(&one[..], Vec::as_slice);
            for arn in named.iter().filter_map(Value::as_str) {
                let id = arn.rsplit('/').next().unwrap_or(arn);
                let all = &world.ecs.clusters[SERVICES].container_instances;
                let Some(found) = all.values().find(|found| found.id == id) else { continue };
                let instance = found.instance.clone().unwrap_or_default();
                let group = world.auto_scaling.group_of(&instance);
                if group.is_some_and(|group| group != GROUP) || !goes(&instance) {
                    return wrong("it is not ours, or does not go");
                }
                let silent = found.silent_since.is_some_and(|since| world.now.duration_since(since) >= SILENCE);
                let left = world.tasks_on(&instance).count();
                // ECS counts those that are to run, and refuses for none else.
                let stop =
                    left > 0 && world.tasks_on(&instance).all(|id| !world.ecs.clusters[SERVICES].tasks[&id].wanted);
                let deregisters = !fields["containerInstances"].is_array();
                if deregisters && fields["force"] != true && stop && !is_gone(world, &instance) {
                    return wrong("tasks on it are still stopping, and it is deregistered");
                }
                if fields["force"] == true && left > 0 && !silent && !is_gone(world, &instance) {
                    return wrong("tasks run on it, and its agent speaks");
                }
            }
            Ok(())
        }
        "ecs:StopTask" => {
            let id = text("task").rsplit('/').next().unwrap_or_default();
            let cluster = &world.ecs.clusters[SERVICES];
            let Some(task) = cluster.tasks.get(id) else { return Ok(()) };
            let on = cluster.container_instances.get(&task.address).and_then(|found| found.instance.clone());
            let ours = on.as_ref().is_some_and(|id| world.auto_scaling.group_of(id) == Some(GROUP) && goes(id));
            if ours && task.service.contains(':') { Ok(()) } else { wrong("it is of a service, or its instance stays") }
        }
        "dynamodb:PutItem" if fields["Item"]["pk"]["S"] == "clock" && text("TableName").ends_with(table) => Ok(()),
        "dynamodb:DeleteItem" if fields["Key"]["pk"]["S"] == "clock" && text("TableName").ends_with(table) => Ok(()),
        "sqs:SendMessage" => Ok(()),
        _ => wrong("it is not among what this function does"),
    }
}

fn is_gone(world: &World, instance: &str) -> bool {
    world.ec2.instances.get(instance).is_none_or(|found| found.ended.is_some())
}

/// Whether an instance may end: every task on it, whoever's, has stopped, or it is gone. What was deregistered by the rules
/// above has no task any more.
fn may_end(world: &World, instance: &str) -> Result<(), String> {
    let tasks = &world.ecs.clusters[SERVICES].tasks;
    let left: Vec<_> = world.tasks_on(instance).map(|id| format!("{} ({id})", tasks[&id].service)).collect();
    if left.is_empty() || is_gone(world, instance) {
        return Ok(());
    }
    Err(format!("these tasks on it have not stopped: {}", left.join(", ")))
}
