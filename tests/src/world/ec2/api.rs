//! What EC2 answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{Context, Refusal, World, page, query::Form},
    Attachment, Volume, arn, of_tags,
};

impl World {
    /// What a request touches, each with what IAM is told of it.
    pub(in crate::world) fn asked_of_ec2(&self, form: &Form) -> Vec<(String, Context)> {
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

    pub(in crate::world) fn answer_ec2(&mut self, form: &Form) -> Result<Value, Refusal> {
        match form.action.as_str() {
            "DescribeVolumes" => self.describe_volumes(form),
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
