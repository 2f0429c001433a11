//! Groups, as CloudFormation makes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        World,
        cloudformation::{Change, Operation, Wanted, done, number, text},
    },
    Group, Hook, LAUNCHING, TERMINATING, arn,
};

/// What changes in a group without replacing it: every field but its identity and its instances.
fn group(arn: String, properties: &Value, now: Timestamp) -> Result<Group, String> {
    let subnets: Vec<_> = match &properties["VPCZoneIdentifier"] {
        Value::Array(subnets) => subnets.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => text(properties, "VPCZoneIdentifier").split(',').map(|subnet| subnet.trim().to_owned()).collect(),
    };
    let mixed = &properties["MixedInstancesPolicy"]["LaunchTemplate"];
    let launched = if mixed.is_null() { &properties["LaunchTemplate"] } else { &mixed["LaunchTemplateSpecification"] };
    let size = |key: &str| number(properties, key).map(|size| size as usize);
    let sizes = size("MinSize").zip(size("MaxSize")).filter(|(min, max)| min <= max);
    let (min, max) =
        sizes.ok_or("ValidationError: MinSize and MaxSize must be numbers, the first not above the second")?;
    let desired = size("DesiredCapacity").unwrap_or(min);
    if !(min..=max).contains(&desired) {
        return Err(format!("ValidationError: DesiredCapacity {desired} is not between {min} and {max}"));
    }
    let hooks = properties["LifecycleHookSpecificationList"].as_array().into_iter().flatten().map(|hook| {
        let transition = text(hook, "LifecycleTransition");
        let heartbeat = number(hook, "HeartbeatTimeout").unwrap_or(3600);
        if ![LAUNCHING, TERMINATING].contains(&transition.as_str()) || !(30..=7200).contains(&heartbeat) {
            return Err(format!("ValidationError: no lifecycle hook is made from {hook}"));
        }
        let continues = text(hook, "DefaultResult") == "CONTINUE";
        Ok((text(hook, "LifecycleHookName"), Hook { transition, heartbeat: heartbeat.into(), continues }))
    });
    let tags = properties["Tags"].as_array().into_iter().flatten();
    let tags = tags.map(|tag| (text(tag, "Key"), (text(tag, "Value"), text(tag, "PropagateAtLaunch") == "true")));
    let retention = &properties["InstanceLifecyclePolicy"]["RetentionTriggers"];
    Ok(Group {
        arn,
        min,
        max,
        desired,
        subnets,
        template: text(launched, "LaunchTemplateId"),
        version: text(launched, "Version"),
        mixed: (!mixed.is_null()).then(|| mixed["Overrides"].clone()),
        tags: tags.collect(),
        hooks: hooks.collect::<Result<_, _>>()?,
        retain: text(retention, "TerminateHookAbandon") == "retain",
        grace: number(properties, "HealthCheckGracePeriod").unwrap_or_default().into(),
        members: BTreeMap::new(),
        deleting: false,
        failures: Vec::new(),
        timed_out: Vec::new(),
        created: now,
        blocked_until: None,
    })
}

impl World {
    pub(super) fn create_group(&mut self, wanted: &Wanted<'_>) -> Operation {
        let name = self.generated(wanted, "AutoScalingGroupName");
        let group = group(arn(&self.uuid(), &name), wanted.properties, self.now)?;
        self.check_group(&group)?;
        self.auto_scaling.groups.insert(name.clone(), group);
        self.settle();
        done(name, json!({}))
    }

    /// Whether what a group refers to is there.
    fn check_group(&self, group: &Group) -> Result<(), String> {
        if let Some(subnet) = group.subnets.iter().find(|subnet| !self.ec2.subnets.contains_key(*subnet)) {
            return Err(format!("ValidationError: The subnet ID '{subnet}' does not exist"));
        }
        if self.ec2.version(&group.template, &group.version).is_none() {
            return Err(format!(
                "ValidationError: there is no launch template {:?} with a version {:?}",
                group.template, group.version
            ));
        }
        Ok(())
    }

    pub(super) fn change_group(&mut self, change: &Change<'_>) -> Operation {
        let (id, properties) = (change.physical_id, change.properties);
        if !change.keeps("AutoScalingGroupName") {
            return Ok(None);
        }
        let absent = || format!("ValidationError: Group {id} not found");
        let found = self.auto_scaling.groups.get(id).ok_or_else(absent)?;
        let mut group = group(found.arn.clone(), properties, found.created)?;
        if properties["DesiredCapacity"].is_null() {
            group.desired = found.desired.clamp(group.min, group.max);
        }
        self.check_group(&group)?;
        if let Some(found) = self.auto_scaling.groups.get_mut(id) {
            group.members = std::mem::take(&mut found.members);
            group.blocked_until = found.blocked_until;
            group.failures = std::mem::take(&mut found.failures);
            *found = group;
        }
        self.settle();
        done(id, json!({}))
    }

    /// A group that is deleted wants no instances any more, and goes with the last one.
    pub(super) fn delete_group(&mut self, id: &str) {
        if let Some(group) = self.auto_scaling.groups.get_mut(id) {
            (group.min, group.desired, group.deleting) = (0, 0, true);
        }
        self.settle();
    }

    pub(super) fn is_group_leaving(&mut self, id: &str) -> bool {
        let leaving = self.auto_scaling.groups.get(id).is_some_and(|group| group.deleting);
        let empty = self.auto_scaling.groups.get(id).is_none_or(|group| group.members.is_empty());
        if leaving && empty {
            self.auto_scaling.groups.remove(id);
        }
        leaving && !empty
    }
}
