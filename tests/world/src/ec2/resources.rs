//! Launch templates and volumes, as CloudFormation makes them.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{
    super::{
        World,
        cloudformation::{Change, Operation, Wanted, done, number, tags, text},
    },
    Contents, Template, Version,
};

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

/// What `Fn::GetAtt` gives of a launch template.
fn template_attributes(id: &str, template: &Template) -> Value {
    let latest = template.versions.len().to_string();
    json!({"LaunchTemplateId": id, "LatestVersionNumber": latest, "DefaultVersionNumber": "1"})
}

impl World {
    pub(super) fn create_in_ec2(&mut self, wanted: &Wanted<'_>) -> Operation {
        let properties = wanted.properties;
        if wanted.r#type == "AWS::EC2::LaunchTemplate" {
            let (versions, name) = (vec![version(properties)?], self.generated(wanted, "LaunchTemplateName"));
            let (id, template) = (format!("lt-{}", self.id(17)), Template { name, versions });
            let attributes = template_attributes(&id, &template);
            self.ec2.templates.insert(id.clone(), template);
            return done(id, attributes);
        }
        let (zone, size) = (text(properties, "AvailabilityZone"), number(properties, "Size"));
        if !self.ec2.subnets.values().any(|known| *known == zone) {
            return Err(format!("InvalidZone.NotFound: The zone '{zone}' does not exist."));
        }
        let blank = text(properties, "SnapshotId").is_empty();
        let contents = if blank { Contents::Blank } else { Contents::Xfs };
        let id = self.add_volume(&zone, size.unwrap_or(100), tags(properties), contents);
        let store = self.neo4j.stores.get(&text(properties, "SnapshotId")).cloned();
        self.neo4j.stores.extend(store.map(|store| (id.clone(), store)));
        done(id.clone(), json!({"VolumeId": id}))
    }

    pub(super) fn update_in_ec2(&mut self, change: &Change<'_>) -> Operation {
        let (id, properties) = (change.physical_id, change.properties);
        match change.r#type {
            "AWS::EC2::LaunchTemplate" if change.keeps("LaunchTemplateName") => {
                let absent = || format!("InvalidLaunchTemplateId.NotFound: {id}");
                let template = self.ec2.templates.get_mut(id).ok_or_else(absent)?;
                template.versions.push(version(properties)?);
                done(id, template_attributes(id, template))
            }
            "AWS::EC2::Volume" if change.keeps("AvailabilityZone") && change.keeps("SnapshotId") => {
                let absent = || format!("InvalidVolume.NotFound: The volume '{id}' does not exist.");
                let volume = self.ec2.volumes.get_mut(id).ok_or_else(absent)?;
                let size = number(properties, "Size").unwrap_or(volume.size);
                if size < volume.size {
                    let message = format!("New size cannot be smaller than existing size {} GiB.", volume.size);
                    return Err(format!("InvalidParameterValue: {message}"));
                }
                let grows = size > volume.size;
                (volume.size, volume.tags) = (size, tags(properties));
                // The instance lets its file system grow within a minute.
                if grows {
                    self.free_disk(id);
                }
                done(id, json!({"VolumeId": id}))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn delete_in_ec2(&mut self, r#type: &str, id: &str, properties: &Value) -> Result<(), String> {
        if r#type == "AWS::EC2::LaunchTemplate" {
            self.ec2.templates.remove(id);
        } else if let Some(volume) = self.ec2.volumes.get_mut(id) {
            let held = volume.attachment.as_ref().filter(|held| held.state != "detaching");
            if let Some(held) = held {
                return Err(format!("VolumeInUse: Volume {id} is currently attached to {}", held.instance));
            }
            volume.deletion = Some(text(properties, "DeletionPolicy") == "Snapshot");
        }
        Ok(())
    }

    /// A volume goes when nobody holds it any more, after its snapshot.
    pub(super) fn is_leaving_ec2(&mut self, id: &str) -> bool {
        let Some(volume) = self.ec2.volumes.get(id) else { return false };
        let Some(snapshot) = volume.deletion.filter(|_| volume.attachment.is_none()) else {
            return volume.deletion.is_some();
        };
        if snapshot {
            self.snapshot(id, "");
        }
        self.ec2.volumes.remove(id);
        self.neo4j.stores.remove(id);
        false
    }
}
