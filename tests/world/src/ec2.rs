//! EC2: subnets with and without room, launch templates, instances, and volumes that one instance at a time may hold.

mod api;
pub mod boot;
mod instances;
pub mod notices;
mod resources;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    ACCOUNT, Context, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted},
    neo4j,
    query,
    service::{Asked, Service, Target, Touched},
};
use boot::Boot;
use notices::Scheduled;

/// From the launch to `running`.
pub(super) const PENDING: i64 = 5;
/// From the creation of a volume until it is available.
const CREATING: i64 = 2;
/// From `attaching` to `attached`.
const ATTACHING: i64 = 3;
/// From the termination of its instance until a volume is free.
const DETACHING: i64 = 4;

/// Everything of EC2, by id.
#[derive(Clone, Debug)]
pub struct Ec2 {
    /// The zone of each subnet.
    pub subnets: BTreeMap<String, String>,
    /// Zones in which nothing can be launched.
    pub no_capacity: BTreeSet<String>,
    /// Launch templates.
    pub templates: BTreeMap<String, Template>,
    /// Instances, terminated ones for an hour.
    pub instances: BTreeMap<String, Instance>,
    /// Volumes.
    pub volumes: BTreeMap<String, Volume>,
    /// Snapshots of volumes.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// What the next calls of `AttachVolume` are refused with.
    pub attach_errors: VecDeque<&'static str>,
}

/// A launch template.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// The first one is version 1.
    pub versions: Vec<Version>,
}

/// A version of a launch template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Decoded.
    pub user_data: String,
    /// Whether `TerminateInstances` is refused. Auto Scaling, Spot and a shutdown from inside do not ask.
    pub protected: bool,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its private address.
    pub address: Ipv4Addr,
    /// Its zone.
    pub zone: String,
    /// `pending`, `running`, `shutting-down` or `terminated`.
    pub state: &'static str,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// Whether `TerminateInstances` is refused.
    pub protected: bool,
    /// What cloud-init made of its user data, and how far that has come.
    pub boot: Boot,
    /// Whether its status check fails.
    pub impaired: bool,
    /// When AWS takes it back, once it has said so.
    pub reclaimed: Option<Timestamp>,
    /// What AWS has scheduled for it.
    pub scheduled: Vec<Scheduled>,
    /// When its end began.
    pub ended: Option<Timestamp>,
    /// When it had ended.
    pub terminated: Option<Timestamp>,
    next: Option<(Timestamp, &'static str)>,
}

/// What is on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, not even a signature.
    Blank,
    /// An XFS file system.
    Xfs,
    /// Something else, which must not be formatted.
    Foreign,
}

/// A volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its zone.
    pub zone: String,
    /// GiB.
    pub size: u32,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// What is on it.
    pub contents: Contents,
    /// Who holds it.
    pub attachment: Option<Attachment>,
    /// Whether the customer has revoked the use of its key, which EC2 says at each attempt to attach it (EC2 user guide,
    /// «Error codes», `CustomerKeyHasBeenRevoked`).
    pub revoked: bool,
    /// Whether its deletion waits for the end of its attachment, and makes a snapshot.
    deletion: Option<bool>,
    created: Timestamp,
}

/// A snapshot. It is complete at once: nothing here waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The volume that it was made of, which may be gone.
    pub volume: String,
    /// GiB.
    pub size: u32,
    /// What its maker wrote.
    pub description: String,
    /// When it was made.
    pub started: Timestamp,
}

/// The hold of an instance on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub instance: String,
    /// The device that was asked for.
    pub device: String,
    /// `attaching`, `attached` or `detaching`.
    pub state: &'static str,
    /// When it was made.
    pub since: Timestamp,
    next: Option<Timestamp>,
}

impl Default for Ec2 {
    fn default() -> Self {
        let subnet = |zone: char| (format!("subnet-0000000000000000{zone}"), format!("{REGION}{zone}"));
        Self {
            subnets: ['a', 'b', 'c'].map(subnet).into(),
            no_capacity: BTreeSet::new(),
            templates: BTreeMap::new(),
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            attach_errors: VecDeque::new(),
        }
    }
}

impl Attachment {
    fn begin(instance: &str, device: &str, now: Timestamp) -> Self {
        let next = Some(now + SignedDuration::from_secs(ATTACHING));
        Self { instance: instance.to_owned(), device: device.to_owned(), state: "attaching", since: now, next }
    }
}

impl Volume {
    /// `creating`, `available` or `in-use`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> &'static str {
        match &self.attachment {
            Some(_) => "in-use",
            None if now < self.created + SignedDuration::from_secs(CREATING) => "creating",
            None => "available",
        }
    }

    /// Whether an instance can use it.
    #[must_use]
    pub fn serves(&self, instance: &str) -> bool {
        self.attachment.as_ref().is_some_and(|held| held.instance == instance && held.state == "attached")
    }
}

impl Ec2 {
    /// When the next things are due.
    fn next_due(&self) -> impl Iterator<Item = Timestamp> {
        let instances = self.instances.values().flat_map(|instance| {
            instance.next.map(|(at, _)| at).into_iter().chain(instance.next_notice())
        });
        instances.chain(self.volumes.values().filter_map(|volume| volume.attachment.as_ref()?.next))
    }

    /// The template and the version that a group asks for: a number, `$Latest` or `$Default`.
    pub(super) fn version(&self, template: &str, version: &str) -> Option<(usize, &Version)> {
        let versions = &self.templates.get(template)?.versions;
        let number = match version {
            "$Latest" => versions.len(),
            "$Default" | "" => 1,
            number => number.parse().ok()?,
        };
        Some((number, versions.get(number.checked_sub(1)?)?))
    }

    /// The first address of a zone that nobody has.
    fn free_address(&self, zone: &str) -> Option<Ipv4Addr> {
        let zones: BTreeSet<_> = self.subnets.values().collect();
        let network = u8::try_from(zones.into_iter().position(|known| known == zone)? + 1).ok()?;
        let mut addresses = (10..=254).map(|host| Ipv4Addr::new(10, 0, network, host));
        addresses.find(|address| self.instances.values().all(|instance| instance.address != *address))
    }
}

impl Service for Ec2 {
    const NAME: &'static str = "ec2";
    const TARGET: Target = Target::Query(query::EC2);
    const RESOURCES: &'static [&'static str] = &["AWS::EC2::LaunchTemplate", "AWS::EC2::Volume"];

    fn asked(world: &World, asked: &Asked<'_>) -> Touched {
        Touched::tagged(asked.form.as_ref().map(|form| world.asked_of_ec2(form)).unwrap_or_default())
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_ec2(asked.form()?)
    }

    fn next_due(world: &World) -> Option<Timestamp> {
        world.earliest(world.ec2.next_due())
    }

    fn settle(world: &mut World) -> bool {
        world.settle_ec2()
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        world.create_in_ec2(wanted)
    }

    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        world.update_in_ec2(change)
    }

    fn delete(world: &mut World, r#type: &str, id: &str, properties: &Value) -> Result<(), String> {
        world.delete_in_ec2(r#type, id, properties)
    }

    fn is_leaving(world: &mut World, _: &str, id: &str) -> bool {
        world.is_leaving_ec2(id)
    }
}

/// The ARN of a volume or instance.
#[must_use]
pub fn arn(kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{id}")
}

/// What IAM is told of a resource with these tags.
pub(super) fn of_tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Context {
    let tags = tags.into_iter();
    tags.map(|(key, value)| (format!("aws:ResourceTag/{key}"), BTreeSet::from([value.clone()]))).collect()
}

impl World {
    /// Makes a volume that becomes available soon.
    pub fn add_volume(&mut self, zone: &str, size: u32, tags: BTreeMap<String, String>, contents: Contents) -> String {
        let id = format!("vol-{}", self.id(17));
        let (zone, created) = (zone.to_owned(), self.now);
        let volume = Volume { zone, size, tags, contents, attachment: None, revoked: false, deletion: None, created };
        self.ec2.volumes.insert(id.clone(), volume);
        id
    }

    /// Makes a snapshot of a volume, if there is such a volume.
    pub fn snapshot(&mut self, volume: &str, description: &str) -> Option<String> {
        let size = self.ec2.volumes.get(volume)?.size;
        let id = format!("snap-{}", self.id(17));
        let (volume, description, started) = (volume.to_owned(), description.to_owned(), self.now);
        // As if the power had failed at that moment.
        let store = self.neo4j.stores.get(&volume).map(|store| neo4j::Store { clean: false, ..store.clone() });
        self.neo4j.stores.extend(store.map(|store| (id.clone(), store)));
        self.ec2.snapshots.insert(id.clone(), Snapshot { volume, size, description, started });
        Some(id)
    }

    /// A volume stays `busy` on an instance that has gone, for hours (rexray#773, kubernetes#33491).
    pub fn stick(&mut self, volume: &str) {
        let volume = self.ec2.volumes.get_mut(volume);
        if let Some(held) = volume.and_then(|volume| volume.attachment.as_mut()) {
            (held.state, held.next) = ("busy", None);
        }
    }

    /// Does the next thing that is due, and says whether there was one.
    fn settle_ec2(&mut self) -> bool {
        let now = self.now;
        let due = self.ec2.instances.iter().find_map(|(id, instance)| {
            let (at, state) = instance.next?;
            (at <= now).then(|| (id.clone(), state))
        });
        if let Some((id, state)) = due {
            self.enter(&id, state);
            return true;
        }
        if self.settle_notices() {
            return true;
        }
        for volume in self.ec2.volumes.values_mut() {
            let Some(held) = volume.attachment.as_mut().filter(|held| held.next.is_some_and(|at| at <= now)) else {
                continue;
            };
            held.next = None;
            if held.state == "attaching" {
                held.state = "attached";
            } else {
                volume.attachment = None;
            }
            return true;
        }
        false
    }
}
