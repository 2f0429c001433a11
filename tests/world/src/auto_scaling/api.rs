//! What Auto Scaling answers.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    super::{Context, Refusal, World, ec2::of_tags, page, query::Form},
    Group, Hook, arn,
};

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message)
}

impl World {
    /// What a request touches, each with what IAM is told of it.
    pub(super) fn asked_of_auto_scaling(&self, form: &Form) -> Vec<(String, Context)> {
        if form.action.starts_with("Describe") {
            return vec![("*".to_owned(), Context::new())];
        }
        let name = match form.text("AutoScalingGroupName") {
            "" => self.auto_scaling.group_of(form.text("InstanceId")).unwrap_or_default(),
            name => name,
        };
        let group = self.auto_scaling.groups.get(name);
        let tags = group.map(|group| of_tags(group.tags.iter().map(|(key, (value, _))| (key, value))));
        vec![(group.map_or_else(|| arn("unknown", name), |group| group.arn.clone()), tags.unwrap_or_default())]
    }

    pub(super) fn answer_auto_scaling(&mut self, form: &Form) -> Result<Value, Refusal> {
        match form.action.as_str() {
            "DescribeAutoScalingGroups" => self.describe_groups(form),
            "DescribeScalingActivities" => self.describe_activities(form),
            "DescribeLifecycleHooks" => self.describe_hooks(form),
            "CompleteLifecycleAction" => {
                let continues = match form.required("LifecycleActionResult")? {
                    "CONTINUE" => true,
                    "ABANDON" => false,
                    other => return Err(invalid(format!("{other} is no valid LifecycleActionResult"))),
                };
                let (group, id) = self.waiting(form)?;
                self.finish_wait(&group, &id, form.text("LifecycleHookName"), continues);
                Ok(json!({}))
            }
            "RecordLifecycleActionHeartbeat" => {
                let ((_, id), now) = (self.waiting(form)?, self.now);
                let member = self.auto_scaling.member_mut(&id);
                if let Some(wait) = member.and_then(|member| member.waits.get_mut(form.text("LifecycleHookName"))) {
                    wait.until = wait.longest.min(now + SignedDuration::from_secs(wait.heartbeat));
                }
                Ok(json!({}))
            }
            "TerminateInstanceInAutoScalingGroup" => self.terminate_in_group(form),
            "SetInstanceHealth" => self.set_instance_health(form),
            "UpdateAutoScalingGroup" => self.update_group(form),
            "CreateOrUpdateTags" => self.tag_groups(form),
            "PutLifecycleHook" => self.put_lifecycle_hook(form),
            action => {
                Err(Refusal::new("InvalidAction", format!("Could not find operation {action} for version 2011-01-01")))
            }
        }
    }

    /// The group and the instance that wait at the hook that a request names.
    fn waiting(&self, form: &Form) -> Result<(String, String), Refusal> {
        let (name, hook) = (form.required("AutoScalingGroupName")?, form.required("LifecycleHookName")?);
        let (instance, token) = (form.text("InstanceId"), form.text("LifecycleActionToken"));
        let absent = || invalid(format!("Group {name} not found"));
        let group = self.auto_scaling.groups.get(name).ok_or_else(absent)?;
        if !group.hooks.contains_key(hook) {
            return Err(invalid(format!("No Lifecycle Hook named {hook} found for Auto Scaling group {name}")));
        }
        if instance.is_empty() && token.is_empty() {
            return Err(invalid("Either the instance ID or the lifecycle action token must be given"));
        }
        let found = group.members.iter().find(|(id, member)| {
            let wait = member.waits.get(hook);
            wait.is_some_and(|wait| {
                (instance.is_empty() || *id == instance) && (token.is_empty() || wait.token == token)
            })
        });
        let what = if token.is_empty() { format!("instance ID {instance}") } else { format!("token {token}") };
        let none = || invalid(format!("No active Lifecycle Action found with {what}"));
        found.map(|(id, _)| (name.to_owned(), id.clone())).ok_or_else(none)
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html>: of a size that is given
    /// without a desired capacity, this follows where it must. The world changes sizes, and what becomes of an instance whose
    /// hook is abandoned.
    fn update_group(&mut self, form: &Form) -> Result<Value, Refusal> {
        let name = form.required("AutoScalingGroupName")?;
        let absent = || invalid(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"));
        let group = self.auto_scaling.groups.get_mut(name).ok_or_else(absent)?;
        let (min, max) = (form.number("MinSize").unwrap_or(group.min), form.number("MaxSize").unwrap_or(group.max));
        if min > max {
            return Err(invalid(format!("Min bound, {min}, must be less than or equal to max bound, {max}")));
        }
        let desired = form.number("DesiredCapacity").unwrap_or_else(|| group.desired.clamp(min, max));
        if !(min..=max).contains(&desired) {
            return Err(invalid(format!(
                "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
            )));
        }
        (group.min, group.max, group.desired) = (min, max, desired);
        let retain = form.text("InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon");
        group.retain = if retain.is_empty() { group.retain } else { retain == "retain" };
        Ok(json!({}))
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateOrUpdateTags.html>
    fn tag_groups(&mut self, form: &Form) -> Result<Value, Refusal> {
        for n in 1.. {
            let of = |key: &str| form.text(&format!("Tags.member.{n}.{key}"));
            if of("Key").is_empty() {
                break;
            }
            let name = of("ResourceId");
            let absent = || invalid(format!("The name {name} is not valid: no such Auto Scaling group"));
            let group = self.auto_scaling.groups.get_mut(name).ok_or_else(absent)?;
            group.tags.insert(of("Key").to_owned(), (of("Value").to_owned(), of("PropagateAtLaunch") == "true"));
        }
        Ok(json!({}))
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html>
    fn put_lifecycle_hook(&mut self, form: &Form) -> Result<Value, Refusal> {
        let (group, name) = (form.required("AutoScalingGroupName")?, form.required("LifecycleHookName")?);
        let hook = Hook {
            transition: form.required("LifecycleTransition")?.to_owned(),
            heartbeat: form.text("HeartbeatTimeout").parse().unwrap_or(3600),
            continues: form.text("DefaultResult") == "CONTINUE",
        };
        if !self.auto_scaling.groups.contains_key(group) {
            return Err(invalid(format!("AutoScalingGroup name not found - AutoScalingGroup '{group}' not found")));
        }
        self.put_hook(group, name, hook);
        Ok(json!({}))
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html>: «by default, this call respects the
    /// grace period». An instance that is on its way out stays on it.
    fn set_instance_health(&mut self, form: &Form) -> Result<Value, Refusal> {
        let id = form.required("InstanceId")?;
        let healthy = match form.required("HealthStatus")? {
            "Healthy" => true,
            "Unhealthy" => false,
            other => return Err(invalid(format!("{other} is no valid HealthStatus"))),
        };
        let absent = || invalid(format!("Instance Id not found - No managed instance found for instance ID {id}"));
        let name = self.auto_scaling.group_of(id).ok_or_else(absent)?;
        let grace = self.auto_scaling.groups.get(name).map(|group| group.grace).unwrap_or_default();
        let (now, respects) = (self.now, form.text("ShouldRespectGracePeriod") != "false");
        let member = self.auto_scaling.member_mut(id).ok_or_else(absent)?;
        let young = member.in_service.is_none_or(|since| now < since + SignedDuration::from_secs(grace));
        if !(respects && young && grace > 0) {
            member.healthy = healthy;
        }
        Ok(json!({}))
    }

    fn terminate_in_group(&mut self, form: &Form) -> Result<Value, Refusal> {
        let id = form.required("InstanceId")?;
        let decrements = match form.required("ShouldDecrementDesiredCapacity")? {
            "true" => true,
            "false" => false,
            other => return Err(invalid(format!("{other} is no valid ShouldDecrementDesiredCapacity"))),
        };
        let absent = || invalid(format!("Instance Id not found - No managed instance found for instance ID {id}"));
        let name = self.auto_scaling.group_of(id).ok_or_else(absent)?.to_owned();
        let Some(group) = self.auto_scaling.groups.get_mut(&name) else { return Err(absent()) };
        let Some(member) = group.members.get(id) else { return Err(absent()) };
        let (state, counts, leaving, zone) = (member.state, member.counts(), member.is_leaving(), member.zone.clone());
        if decrements && counts {
            if group.desired <= group.min {
                return Err(invalid(format!(
                    "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate \
                     group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower \
                     group's min size.",
                    group.min
                )));
            }
            group.desired -= 1;
        }
        match state {
            // Its hook was abandoned, and is not asked again.
            "Terminating:Retained" => self.terminate_member(id),
            _ if !leaving => self.leave(&name, id),
            _ => {}
        }
        Ok(json!({"Activity": {
            "ActivityId": self.uuid(), "AutoScalingGroupName": name, "StatusCode": "InProgress", "Progress": 0,
            "Description": format!("Terminating EC2 instance: {id}"), "Cause": "a user request",
            "StartTime": self.now.to_string(), "Details": json!({"Availability Zone": zone}).to_string(),
        }}))
    }

    fn describe_groups(&self, form: &Form) -> Result<Value, Refusal> {
        let (names, filters) = (form.list("AutoScalingGroupNames.member"), form.filters());
        if let Some((name, _)) = filters.iter().find(|(name, _)| *name != "tag-key" && !name.starts_with("tag:")) {
            return Err(invalid(format!("Invalid filter name {name}: expected tag-key, tag-value, or tag:<key>")));
        }
        let asked = form.number("MaxRecords").unwrap_or(50);
        if !(1..=100).contains(&asked) {
            return Err(invalid(format!("MaxRecords must be between 1 and 100, not {asked}")));
        }
        let fits = |group: &Group| {
            filters.iter().all(|(name, values)| match name.strip_prefix("tag:") {
                Some(key) => group.tags.get(key).is_some_and(|(value, _)| values.contains(&value.as_str())),
                None => values.iter().any(|key| group.tags.contains_key(*key)),
            })
        };
        let groups = self.auto_scaling.groups.iter();
        let found = groups.filter(|(n, group)| (names.is_empty() || names.contains(&n.as_str())) && fits(group));
        let all: Vec<_> = found.map(|(name, group)| self.group_item(name, group)).collect();
        let (groups, next) = page(&all, Some(form.text("NextToken")), asked.min(self.page));
        Ok(json!({"AutoScalingGroups": groups, "NextToken": next}))
    }

    /// The activities of a group that failed, the latest first; the world keeps no others.
    fn describe_activities(&self, form: &Form) -> Result<Value, Refusal> {
        let name = form.text("AutoScalingGroupName");
        let asked = form.number("MaxRecords").unwrap_or(100);
        if !(1..=100).contains(&asked) {
            return Err(invalid(format!("MaxRecords must be between 1 and 100, not {asked}")));
        }
        let groups = self.auto_scaling.groups.iter().filter(|(found, _)| name.is_empty() || *found == name);
        let failures = groups.flat_map(|(group, found)| found.failures.iter().rev().map(move |failed| (group, failed)));
        let all = failures.map(|(group, (at, what, why))| {
            json!({
                "ActivityId": format!("{group}-{at}"), "AutoScalingGroupName": group, "StatusCode": "Failed",
                "StatusMessage": why, "Cause": "an instance was started in response to a difference between desired and actual \
                 capacity", "Description": what, "Progress": 100,
                "StartTime": at.to_string(), "EndTime": at.to_string(),
            })
        });
        let all: Vec<_> = all.collect();
        let (activities, next) = page(&all, Some(form.text("NextToken")), asked.min(self.page));
        Ok(json!({"Activities": activities, "NextToken": next}))
    }

    /// The hooks of one group (API reference, `DescribeLifecycleHooks`: not in pages).
    fn describe_hooks(&self, form: &Form) -> Result<Value, Refusal> {
        let name = form.required("AutoScalingGroupName")?;
        let absent = || invalid(format!("Auto Scaling group not found - no group found with name {name}"));
        let group = self.auto_scaling.groups.get(name).ok_or_else(absent)?;
        let hooks = group.hooks.iter().map(|(id, hook)| {
            json!({
                "LifecycleHookName": id, "AutoScalingGroupName": name, "LifecycleTransition": hook.transition,
                "HeartbeatTimeout": hook.heartbeat, "GlobalTimeout": (hook.heartbeat * 100).min(48 * 3600),
                "DefaultResult": if hook.continues { "CONTINUE" } else { "ABANDON" },
            })
        });
        Ok(json!({"LifecycleHooks": hooks.collect::<Vec<_>>()}))
    }

    fn group_item(&self, name: &str, group: &Group) -> Value {
        let template = |id: &str, version: &str| {
            let name = self.ec2.templates.get(id).map(|template| &template.name);
            json!({"LaunchTemplateId": id, "LaunchTemplateName": name, "Version": version})
        };
        let tag = |(key, (value, propagate)): (&String, &(String, bool))| {
            json!({
                "ResourceId": name, "ResourceType": "auto-scaling-group", "Key": key, "Value": value,
                "PropagateAtLaunch": propagate,
            })
        };
        let members = group.members.iter().map(|(id, member)| {
            json!({
                "InstanceId": id, "AvailabilityZone": member.zone, "LifecycleState": member.state,
                "HealthStatus": if member.healthy { "Healthy" } else { "Unhealthy" }, "InstanceType": "r7g.large",
                "LaunchTemplate": template(&member.template.0, &member.template.1.to_string()),
                "ProtectedFromScaleIn": false,
            })
        });
        let zones: Vec<_> = group.subnets.iter().filter_map(|subnet| self.ec2.subnets.get(subnet)).collect();
        let mut item = json!({
            "AutoScalingGroupName": name, "AutoScalingGroupARN": group.arn,
            "MinSize": group.min, "MaxSize": group.max, "DesiredCapacity": group.desired,
            "DefaultCooldown": 300, "HealthCheckType": "EC2", "HealthCheckGracePeriod": group.grace,
            "AvailabilityZones": zones, "VPCZoneIdentifier": group.subnets.join(","),
            "CreatedTime": group.created.to_string(), "NewInstancesProtectedFromScaleIn": false,
            "TerminationPolicies": ["Default"], "Status": group.deleting.then_some("Delete in progress"),
            "Tags": group.tags.iter().map(tag).collect::<Vec<_>>(), "Instances": members.collect::<Vec<_>>(),
            "InstanceLifecyclePolicy": group.retain.then(|| {
                json!({"RetentionTriggers": {"TerminateHookAbandon": "retain"}})
            }),
        });
        let launched = template(&group.template, &group.version);
        match &group.mixed {
            Some(overrides) => {
                let launched = json!({"LaunchTemplateSpecification": launched, "Overrides": overrides});
                item["MixedInstancesPolicy"] = json!({"LaunchTemplate": launched});
            }
            None => item["LaunchTemplate"] = launched,
        }
        item
    }
}
