use std::collections::BTreeMap;

use cluster_core::{
    ids::{InstanceId, VolumeId},
    instance::{Attachment, Volume, VolumeStatus},
    names::{CLUSTER_TAG, CORE_TAG},
};
use cluster_lambda::{Failure, signed::Error};
use serde::Deserialize;

use cluster_lambda::query::Query;

/// The most volumes that one page may hold.
const PAGE: &str = "500";
/// The device name that is requested. On Nitro instances the device gets another one, and is found by its volume's id.
const DEVICE: &str = "/dev/sdf";

/// The cluster's data volumes.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    ec2: Query,
}

/// The answer of EC2 to a request to attach a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// EC2 attaches the volume.
    Asked,
    /// The volume is not free: somebody was quicker, the observation was stale, or an earlier attempt has succeeded.
    Taken,
    /// The state of the volume or the instance does not allow it right now, in EC2's words.
    NotNow(String),
    /// Any other refusal, in EC2's words. It may not resolve itself, so people are alerted.
    Refused(String),
}

impl Volumes {
    /// Reads and writes through this client.
    #[must_use]
    pub(crate) fn new(ec2: Query) -> Self {
        Self { ec2 }
    }

    /// Returns all volumes with the cluster's tag, by id.
    pub(crate) async fn of(&self, cluster: &str) -> Result<BTreeMap<VolumeId, Volume>, Failure> {
        let (step, tag) = ("describe the volumes", format!("tag:{CLUSTER_TAG}"));
        let mut volumes = BTreeMap::new();
        let mut token: Option<String> = None;
        loop {
            let filter = [("Filter.1.Name", tag.as_str()), ("Filter.1.Value.1", cluster), ("MaxResults", PAGE)];
            let next = token.as_deref().map(|token| ("NextToken", token));
            let parameters: Vec<_> = filter.into_iter().chain(next).collect();
            let answer = self.ec2.call("DescribeVolumes", &parameters).await.map_err(|error| error.failure(step))?;
            let page: Page = self.ec2.read(&answer, step)?;
            volumes.extend(page.volume_set.item.into_iter().map(volume));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(volumes);
            }
        }
    }

    /// Attaches a volume to an instance, which takes some seconds. Nothing is forced: EC2 refuses a volume that another
    /// instance holds, and that is the fence between the two.
    pub(crate) async fn attach(&self, volume: &VolumeId, instance: &InstanceId) -> Result<Attached, Failure> {
        let parameters = [("VolumeId", volume.as_str()), ("InstanceId", instance.as_str()), ("Device", DEVICE)];
        match self.ec2.call("AttachVolume", &parameters).await {
            Ok(_) => Ok(Attached::Asked),
            Err(error) => match attached(&error) {
                Some(attached) => Ok(attached),
                None => Err(error.failure(&format!("attach volume {volume} to instance {instance}"))),
            },
        }
    }
}

/// Classifies a refusal to attach. Returns nothing when EC2 did not decide: it throttled, failed, or was not reached.
fn attached(error: &Error) -> Option<Attached> {
    let code = error.code().filter(|_| !error.is_transient())?;
    Some(match code {
        "VolumeInUse" => Attached::Taken,
        "IncorrectState" | "IncorrectInstanceState" | "InvalidInstanceID.NotFound" => {
            Attached::NotNow(error.to_string())
        }
        _ => Attached::Refused(error.to_string()),
    })
}

/// An answer of `DescribeVolumes`. One without a set of volumes is invalid: it must not be mistaken for an empty list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    volume_set: Set<VolumeItem>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeItem {
    volume_id: String,
    availability_zone: String,
    status: String,
    #[serde(default)]
    attachment_set: Set<AttachmentItem>,
    #[serde(default)]
    tag_set: Set<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttachmentItem {
    instance_id: Option<String>,
    status: String,
    attach_time: Option<String>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

fn volume(item: VolumeItem) -> (VolumeId, Volume) {
    let mut tags: BTreeMap<_, _> = item.tag_set.item.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let attachments = item.attachment_set.item.into_iter().filter(|attachment| attachment.status != "detached");
    let volume = Volume {
        zone: item.availability_zone,
        status: VolumeStatus::from(item.status.as_str()),
        cluster: tags.remove(CLUSTER_TAG),
        core: tags.remove(CORE_TAG).map(Into::into),
        attachments: attachments.map(attachment).collect(),
    };
    (item.volume_id.into(), volume)
}

fn attachment(item: AttachmentItem) -> Attachment {
    Attachment {
        // AWS services attach volumes to things that are not our instances.
        instance: item.instance_id.unwrap_or_else(|| "a service of AWS".to_owned()).into(),
        attached: item.status == "attached",
        since: item.attach_time.and_then(|time| time.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_ec2_documents_it() {
        let answer = r#"<?xml version="1.0" encoding="UTF-8"?>
            <DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
              <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>
              <volumeSet>
                <item>
                  <volumeId>vol-1234567890abcdef0</volumeId>
                  <size>80</size>
                  <snapshotId/>
                  <availabilityZone>us-east-1a</availabilityZone>
                  <status>in-use</status>
                  <createTime>2026-11-22T09:00:00.000Z</createTime>
                  <attachmentSet>
                    <item>
                      <volumeId>vol-1234567890abcdef0</volumeId>
                      <instanceId>i-1234567890abcdef0</instanceId>
                      <device>/dev/sdf</device>
                      <status>attached</status>
                      <attachTime>2026-11-23T10:00:00.000Z</attachTime>
                      <deleteOnTermination>false</deleteOnTermination>
                    </item>
                    <item>
                      <instanceId>i-0</instanceId>
                      <status>detached</status>
                    </item>
                  </attachmentSet>
                  <tagSet>
                    <item><key>neo4j:core</key><value>1</value></item>
                    <item><key>neo4j:cluster</key><value>neo4j</value></item>
                    <item><key>empty</key><value/></item>
                  </tagSet>
                  <volumeType>gp3</volumeType>
                  <encrypted>true</encrypted>
                  <multiAttachEnabled>false</multiAttachEnabled>
                </item>
                <item>
                  <volumeId>vol-2</volumeId>
                  <availabilityZone>us-east-1b</availabilityZone>
                  <status>available</status>
                  <attachmentSet/>
                </item>
              </volumeSet>
              <nextToken>next</nextToken>
            </DescribeVolumesResponse>"#;
        let page: Page = quick_xml::de::from_str(answer).unwrap();
        assert_eq!(page.next_token.as_deref(), Some("next"));
        let volumes: BTreeMap<_, _> = page.volume_set.item.into_iter().map(volume).collect();
        let attachment = Attachment {
            instance: "i-1234567890abcdef0".into(),
            attached: true,
            since: Some("2026-11-23T10:00:00Z".parse().unwrap()),
        };
        let first = Volume {
            zone: "us-east-1a".into(),
            status: VolumeStatus::InUse,
            cluster: Some("neo4j".into()),
            core: Some("1".into()),
            attachments: vec![attachment],
        };
        let second = Volume {
            zone: "us-east-1b".into(),
            status: VolumeStatus::Available,
            cluster: None,
            core: None,
            attachments: vec![],
        };
        assert_eq!(volumes, [("vol-1234567890abcdef0".into(), first), ("vol-2".into(), second)].into());
    }

    #[test]
    fn no_volumes_are_an_empty_set_and_anything_else_is_no_answer() {
        let read = |body: &str| {
            quick_xml::de::from_str::<Page>(&format!("<DescribeVolumesResponse>{body}</DescribeVolumesResponse>"))
        };
        assert!(read("<volumeSet/>").unwrap().volume_set.item.is_empty());
        for broken in ["", "<requestId>r</requestId>", "<volumeSet><item><volumeId>vol-1</volumeId></item></volumeSet>"]
        {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn each_refusal_to_attach_has_its_meaning() {
        let meaning = |code: &str| attached(&Error::Refused { status: 400, code: code.into(), message: "why".into() });
        assert_eq!(meaning("VolumeInUse"), Some(Attached::Taken));
        for code in ["IncorrectState", "IncorrectInstanceState", "InvalidInstanceID.NotFound"] {
            assert_eq!(meaning(code), Some(Attached::NotNow(format!("{code}: why"))));
        }
        for code in [
            "AttachmentLimitExceeded",
            "CustomerKeyHasBeenRevoked",
            "InvalidParameterValue",
            "InvalidVolume.NotFound",
            "InvalidVolume.ZoneMismatch",
            "UnauthorizedOperation",
            "SomethingThatNobodyListed",
        ] {
            assert_eq!(meaning(code), Some(Attached::Refused(format!("{code}: why"))), "{code}");
        }
        for code in ["RequestLimitExceeded", "ThrottlingException"] {
            assert_eq!(meaning(code), None, "{code}: another try may do");
        }
    }
}
