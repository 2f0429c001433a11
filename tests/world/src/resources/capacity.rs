//! Launch templates, volumes, Auto Scaling groups, and tables.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        World,
        auto_scaling::{self, Group, Hook, LAUNCHING, TERMINATING},
        dynamodb,
        ec2::{Contents, Template, Version},
    },
    Operation, Resource, done, number, text,
};

/// The tags among properties.
fn tags(properties: &Value) -> BTreeMap<String, String> {
    let tags = properties["Tags"].as_array().into_iter().flatten();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

/// The version of a launch template that properties describe.
fn version(properties: &Value) -> Result<Version, String> {
    let data = &properties["LaunchTemplateData"];
    let plain = data["UserData"]["Fn::Base64"].as_str().map(str::to_owned);
    let decoded = || {
        let bytes = BASE64.decode(text(data, "UserData").as_bytes()).ok()?;
        String::from_utf8(bytes).ok()
    };
    let user_data = plain.or_else(decoded).ok_or("InvalidUserData.Malformed: Invalid BASE64 encoding of user data")?;
    Ok(Version { user_data, protected: text(data, "DisableApiTermination") == "true" })
}

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
        members: BTreeMap::new(),
        deleting: false,
        failures: Vec::new(),
        created: now,
        blocked_until: None,
    })
}

/// What `Fn::GetAtt` gives of a launch template.
fn template_attributes(id: &str, template: &Template) -> Value {
    let latest = template.versions.len().to_string();
    json!({"LaunchTemplateId": id, "LatestVersionNumber": latest, "DefaultVersionNumber": "1"})
}

impl World {
    /// A name like CloudFormation's: of the stack, the logical id, and something random.
    fn generated(&mut self, stack: &str, logical_id: &str) -> String {
        let random = self.id(12).to_ascii_uppercase();
        let parts = [stack, logical_id, &random];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    pub(super) fn create_capacity(
        &mut self,
        stack: &str,
        r#type: &str,
        logical_id: &str,
        properties: &Value,
    ) -> Operation {
        let named = |world: &mut Self, key: &str| match text(properties, key) {
            given if given.is_empty() => world.generated(stack, logical_id),
            given => given,
        };
        match r#type {
            "AWS::EC2::LaunchTemplate" => {
                let (versions, name) = (vec![version(properties)?], named(self, "LaunchTemplateName"));
                let (id, template) = (format!("lt-{}", self.id(17)), Template { name, versions });
                let attributes = template_attributes(&id, &template);
                self.ec2.templates.insert(id.clone(), template);
                done(id, attributes)
            }
            "AWS::EC2::Volume" => {
                let (zone, size) = (text(properties, "AvailabilityZone"), number(properties, "Size"));
                if !self.ec2.subnets.values().any(|known| *known == zone) {
                    return Err(format!("InvalidZone.NotFound: The zone '{zone}' does not exist."));
                }
                let blank = text(properties, "SnapshotId").is_empty();
                let contents = if blank { Contents::Blank } else { Contents::Xfs };
                let id = self.add_volume(&zone, size.unwrap_or(100), tags(properties), contents);
                done(id.clone(), json!({"VolumeId": id}))
            }
            "AWS::AutoScaling::AutoScalingGroup" => {
                let name = named(self, "AutoScalingGroupName");
                let group = group(auto_scaling::arn(&self.uuid(), &name), properties, self.now)?;
                self.check_group(&group)?;
                self.auto_scaling.groups.insert(name.clone(), group);
                self.settle();
                done(name, json!({}))
            }
            "AWS::DynamoDB::Table" => {
                let name = named(self, "TableName");
                self.dynamodb.tables.entry(name.clone()).or_default();
                done(name.clone(), json!({"Arn": dynamodb::arn(&name)}))
            }
            other => Err(format!("the world has no {other}")),
        }
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

    /// Updates in place; nothing when the change needs a replacement.
    pub(super) fn update_capacity(&mut self, r#type: &str, id: &str, properties: &Value, old: &Value) -> Operation {
        let same = |key: &str| text(properties, key) == text(old, key);
        let updated = |attributes: Value| Ok(Some(Resource { physical_id: id.to_owned(), attributes }));
        match r#type {
            "AWS::EC2::LaunchTemplate" if same("LaunchTemplateName") => {
                let absent = || format!("InvalidLaunchTemplateId.NotFound: {id}");
                let template = self.ec2.templates.get_mut(id).ok_or_else(absent)?;
                template.versions.push(version(properties)?);
                updated(template_attributes(id, template))
            }
            "AWS::EC2::Volume" if same("AvailabilityZone") && same("SnapshotId") => {
                let absent = || format!("InvalidVolume.NotFound: The volume '{id}' does not exist.");
                let volume = self.ec2.volumes.get_mut(id).ok_or_else(absent)?;
                let size = number(properties, "Size").unwrap_or(volume.size);
                if size < volume.size {
                    let message = format!("New size cannot be smaller than existing size {} GiB.", volume.size);
                    return Err(format!("InvalidParameterValue: {message}"));
                }
                (volume.size, volume.tags) = (size, tags(properties));
                updated(json!({"VolumeId": id}))
            }
            "AWS::AutoScaling::AutoScalingGroup" if same("AutoScalingGroupName") => {
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
                updated(json!({}))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn delete_capacity(&mut self, r#type: &str, id: &str, properties: &Value) -> Operation {
        match r#type {
            "AWS::EC2::LaunchTemplate" => _ = self.ec2.templates.remove(id),
            "AWS::EC2::Volume" => {
                if let Some(volume) = self.ec2.volumes.get_mut(id) {
                    let held = volume.attachment.as_ref().filter(|held| held.state != "detaching");
                    if let Some(held) = held {
                        return Err(format!("VolumeInUse: Volume {id} is currently attached to {}", held.instance));
                    }
                    volume.deletion = Some(text(properties, "DeletionPolicy") == "Snapshot");
                }
            }
            "AWS::AutoScaling::AutoScalingGroup" => {
                if let Some(group) = self.auto_scaling.groups.get_mut(id) {
                    (group.min, group.desired, group.deleting) = (0, 0, true);
                }
                self.settle();
            }
            "AWS::DynamoDB::Table" => _ = self.dynamodb.tables.remove(id),
            other => return Err(format!("the world has no {other}")),
        }
        self.status(r#type, id)
    }

    /// Whether the deletion of a volume or group waits for an instance. One that does not is finished.
    pub(super) fn is_leaving(&mut self, r#type: &str, id: &str) -> bool {
        match r#type {
            "AWS::EC2::Volume" => {
                let Some(volume) = self.ec2.volumes.get(id) else { return false };
                let Some(snapshot) = volume.deletion.filter(|_| volume.attachment.is_none()) else {
                    return volume.deletion.is_some();
                };
                if snapshot {
                    self.snapshot(id, "");
                }
                self.ec2.volumes.remove(id);
                false
            }
            "AWS::AutoScaling::AutoScalingGroup" => {
                let leaving = self.auto_scaling.groups.get(id).is_some_and(|group| group.deleting);
                let empty = self.auto_scaling.groups.get(id).is_none_or(|group| group.members.is_empty());
                if leaving && empty {
                    self.auto_scaling.groups.remove(id);
                }
                leaving && !empty
            }
            _ => false,
        }
    }
}
