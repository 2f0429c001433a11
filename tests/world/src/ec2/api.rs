//! What EC2 answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{ACCOUNT, Context, Refusal, World, page, query::Form},
    Attachment, Instance, Snapshot, Volume, arn, of_tags,
};

impl World {
    /// What a request touches, each with what IAM is told of it.
    pub(super) fn asked_of_ec2(&self, form: &Form) -> Vec<(String, Context)> {
        if form.action != "AttachVolume" {
            return vec![("*".to_owned(), Context::new())];
        }
        let (volume, instance) = (form.text("VolumeId"), form.text("InstanceId"));
        let of_volume = self.ec2.volumes.get(volume).map(|volume| of_tags(&volume.tags));
        let of_instance = self.ec2.instances.get(instance).map(|instance| of_tags(&instance.tags));
        vec![
            (arn("volume", volume), of_volume.unwrap_or_default()),
            (arn("instance", instance), of_instance.unwrap_or_default()),
        ]
    }

    pub(super) fn answer_ec2(&mut self, form: &Form) -> Result<Value, Refusal> {
        match form.action.as_str() {
            "DescribeVolumes" => self.describe_volumes(form),
            "DescribeInstances" => self.describe_instances(form),
            "DescribeInstanceStatus" => self.describe_instance_status(form),
            "DescribeSnapshots" => self.describe_snapshots(form),
            "CreateSnapshot" => self.create_snapshot(form),
            "AttachVolume" => self.attach_volume(form),
            action => {
                Err(Refusal::new("InvalidAction", format!("The action {action} is not valid for this web service.")))
            }
        }
    }

    fn describe_volumes(&self, form: &Form) -> Result<Value, Refusal> {
        let wrong = |message: String| Err(Refusal::new("InvalidParameterValue", message));
        let asked = form.number("MaxResults").unwrap_or(500);
        if asked < 5 {
            return wrong(format!(
                "Value ( {asked} ) for parameter maxResults is invalid. Expecting a value of 5 or more."
            ));
        }
        let named = form.list("VolumeId");
        if let Some(absent) = named.iter().find(|id| !self.ec2.volumes.contains_key(**id)) {
            return Err(absent_volume(absent));
        }
        let filters = form.filters();
        if let Some((name, _)) = filters.iter().find(|(name, _)| *name != "volume-id" && !name.starts_with("tag:")) {
            return wrong(format!("The filter '{name}' is invalid"));
        }
        let fits = |id: &str, volume: &Volume| {
            filters.iter().all(|(name, values)| {
                let value = name.strip_prefix("tag:").map_or(Some(id), |key| volume.tags.get(key).map(String::as_str));
                value.is_some_and(|value| values.contains(&value))
            })
        };
        let found = self
            .ec2
            .volumes
            .iter()
            .filter(|(id, volume)| (named.is_empty() || named.contains(&id.as_str())) && fits(id, volume));
        let all: Vec<_> = found.map(|(id, volume)| volume_item(id, volume, self.now)).collect();
        let (items, next) = page(&all, Some(form.text("NextToken")), asked.min(self.page));
        Ok(json!({"volumeSet": items, "nextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>: each in a reservation of its own,
    /// as Auto Scaling launches them.
    fn describe_instances(&self, form: &Form) -> Result<Value, Refusal> {
        let (named, filters) = (form.list("InstanceId"), form.filters());
        if let Some(absent) = named.iter().find(|id| !self.ec2.instances.contains_key(**id)) {
            return Err(Refusal::new(
                "InvalidInstanceID.NotFound",
                format!("The instance ID '{absent}' does not exist"),
            ));
        }
        let known = |name: &&str| *name == "instance-id" || *name == "instance-state-name" || name.starts_with("tag:");
        let value = |id: &str, instance: &Instance, name: &str| match name {
            "instance-id" => Some(id.to_owned()),
            "instance-state-name" => Some(instance.state.to_owned()),
            tag => instance.tags.get(tag.trim_start_matches("tag:")).cloned(),
        };
        only_filters(&filters, known)?;
        let found = self.ec2.instances.iter().filter(|(id, instance)| {
            (named.is_empty() || named.contains(&id.as_str())) && fits(&filters, |name| value(id, instance, name))
        });
        let all: Vec<_> = found
            .map(|(id, instance)| {
                let instances = [instance_item(id, instance)];
                json!({"reservationId": id.replacen("i-", "r-", 1), "ownerId": ACCOUNT, "instancesSet": instances})
            })
            .collect();
        let asked = form.number("MaxResults").unwrap_or(1000);
        let (items, next) = page(&all, Some(form.text("NextToken")), asked.min(self.page));
        Ok(json!({"reservationSet": items, "nextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html>: without `IncludeAllInstances`
    /// only of those that run, and of those that do not run the checks are not applicable.
    fn describe_instance_status(&self, form: &Form) -> Result<Value, Refusal> {
        let named = form.list("InstanceId");
        if let Some(absent) = named.iter().find(|id| !self.ec2.instances.contains_key(**id)) {
            let message = format!("The instance ID '{absent}' does not exist");
            return Err(Refusal::new("InvalidInstanceID.NotFound", message));
        }
        let all = form.text("IncludeAllInstances") == "true";
        let found = self.ec2.instances.iter().filter(|(id, instance)| {
            (named.is_empty() || named.contains(&id.as_str())) && (all || instance.state == "running")
        });
        let items = found.map(|(id, instance)| {
            let check = match (instance.state, instance.impaired) {
                ("running", true) => "impaired",
                ("running", false) => "ok",
                _ => "not-applicable",
            };
            let events: Vec<_> = instance.scheduled.iter().map(super::notices::Scheduled::item).collect();
            json!({
                "instanceId": id, "availabilityZone": instance.zone, "instanceState": {"name": instance.state},
                "eventsSet": (!events.is_empty()).then_some(events),
                "systemStatus": {"status": if check == "impaired" { "ok" } else { check }},
                "instanceStatus": {"status": check},
            })
        });
        let (items, next) = page(&items.collect::<Vec<_>>(), Some(form.text("NextToken")), self.page);
        Ok(json!({"instanceStatusSet": items, "nextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html>: there are none but the account's own.
    fn describe_snapshots(&self, form: &Form) -> Result<Value, Refusal> {
        let (named, filters, owners) = (form.list("SnapshotId"), form.filters(), form.list("Owner"));
        if let Some(absent) = named.iter().find(|id| !self.ec2.snapshots.contains_key(**id)) {
            return Err(Refusal::new("InvalidSnapshot.NotFound", format!("The snapshot '{absent}' does not exist.")));
        }
        only_filters(&filters, |name| ["volume-id", "snapshot-id", "description"].contains(name))?;
        let value = |id: &str, snapshot: &Snapshot, name: &str| match name {
            "volume-id" => Some(snapshot.volume.clone()),
            "description" => Some(snapshot.description.clone()),
            _ => Some(id.to_owned()),
        };
        let own = owners.is_empty() || owners.iter().any(|owner| ["self", ACCOUNT].contains(owner));
        let found = self.ec2.snapshots.iter().filter(|(id, snapshot)| {
            own && (named.is_empty() || named.contains(&id.as_str()))
                && fits(&filters, |name| value(id, snapshot, name))
        });
        let all: Vec<_> = found.map(|(id, snapshot)| snapshot_item(id, snapshot)).collect();
        let asked = form.number("MaxResults").unwrap_or(1000);
        let (items, next) = page(&all, Some(form.text("NextToken")), asked.min(self.page));
        Ok(json!({"snapshotSet": items, "nextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshot.html>
    fn create_snapshot(&mut self, form: &Form) -> Result<Value, Refusal> {
        let volume = form.required("VolumeId")?;
        let id = self.snapshot(volume, form.text("Description")).ok_or_else(|| absent_volume(volume))?;
        Ok(self.ec2.snapshots.get(&id).map(|snapshot| snapshot_item(&id, snapshot)).unwrap_or_default())
    }

    fn attach_volume(&mut self, form: &Form) -> Result<Value, Refusal> {
        let (id, instance) = (form.required("VolumeId")?, form.required("InstanceId")?);
        let device = form.required("Device")?;
        if let Some(code) = self.ec2.attach_errors.pop_front() {
            return Err(Refusal::new(code, "The request was refused."));
        }
        let volume = self.ec2.volumes.get(id).ok_or_else(|| absent_volume(id))?;
        if volume.revoked {
            let message = "The key has been revoked by the customer.";
            return Err(Refusal::new("CustomerKeyHasBeenRevoked", message));
        }
        let absent =
            || Refusal::new("InvalidInstanceID.NotFound", format!("The instance ID '{instance}' does not exist"));
        let to = self.ec2.instances.get(instance).ok_or_else(absent)?;
        if to.state != "running" {
            return Err(Refusal::new("IncorrectState", format!("Instance '{instance}' is not 'running'.")));
        }
        if volume.attachment.is_some() {
            return Err(Refusal::new("VolumeInUse", format!("{id} is already attached to an instance")));
        }
        if volume.status(self.now) != "available" {
            return Err(Refusal::new("IncorrectState", format!("{id} is not 'available'.")));
        }
        if volume.zone != to.zone {
            let message = format!("The volume '{id}' is not in the same availability zone as instance '{instance}'");
            return Err(Refusal::new("InvalidVolume.ZoneMismatch", message));
        }
        let mut held = self.ec2.volumes.values().filter_map(|volume| volume.attachment.as_ref());
        if held.any(|held| held.instance == instance && held.device == device) {
            let message =
                format!("Invalid value '{device}' for unixDevice. Attachment point {device} is already in use");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        let attachment = Attachment::begin(instance, device, self.now);
        let answer = attachment_item(id, &attachment);
        if let Some(volume) = self.ec2.volumes.get_mut(id) {
            volume.attachment = Some(attachment);
        }
        Ok(answer)
    }
}

/// Refuses filters that the world does not know.
fn only_filters(filters: &[(&str, Vec<&str>)], known: impl Fn(&&str) -> bool) -> Result<(), Refusal> {
    let unknown = filters.iter().find(|(name, _)| !known(name));
    let wrong = |name: &str| Refusal::new("InvalidParameterValue", format!("The filter '{name}' is invalid"));
    unknown.map_or(Ok(()), |(name, _)| Err(wrong(name)))
}

/// Whether every filter names a value that is there.
fn fits(filters: &[(&str, Vec<&str>)], value: impl Fn(&str) -> Option<String>) -> bool {
    filters.iter().all(|(name, values)| value(name).is_some_and(|value| values.contains(&value.as_str())))
}

fn instance_item(id: &str, instance: &Instance) -> Value {
    // <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>
    let code = match instance.state {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        _ => 48,
    };
    json!({
        "instanceId": id, "instanceState": {"code": code, "name": instance.state}, "instanceType": "r7g.large",
        "privateIpAddress": instance.address.to_string(), "placement": {"availabilityZone": instance.zone},
        "tagSet": tag_set(&instance.tags),
    })
}

fn snapshot_item(id: &str, snapshot: &Snapshot) -> Value {
    let Snapshot { volume, size, description, started } = snapshot;
    json!({
        "snapshotId": id, "volumeId": volume, "volumeSize": size, "description": description, "status": "completed",
        "progress": "100%", "startTime": started.to_string(), "ownerId": ACCOUNT, "encrypted": true,
    })
}

fn absent_volume(id: &str) -> Refusal {
    Refusal::new("InvalidVolume.NotFound", format!("The volume '{id}' does not exist."))
}

fn attachment_item(id: &str, held: &Attachment) -> Value {
    let Attachment { instance, device, state, since, .. } = held;
    json!({
        "volumeId": id, "instanceId": instance, "device": device, "status": state, "attachTime": since.to_string(),
        "deleteOnTermination": false,
    })
}

fn volume_item(id: &str, volume: &Volume, now: Timestamp) -> Value {
    let held: Vec<_> = volume.attachment.iter().map(|held| attachment_item(id, held)).collect();
    json!({
        "volumeId": id, "size": volume.size, "availabilityZone": volume.zone, "status": volume.status(now),
        "createTime": volume.created.to_string(), "attachmentSet": held, "tagSet": tag_set(&volume.tags),
        "volumeType": "gp3", "encrypted": true, "multiAttachEnabled": false,
    })
}

/// Tags in XML.
fn tag_set(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}
