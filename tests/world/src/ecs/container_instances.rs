//! Container instances: what cloud-init makes of user data, when the agent registers, and what ECS does when its instance ends.

mod api;

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    super::{
        World,
        ec2::{Contents, Ec2, Instance, boot::Agent, boot::Boot},
        neo4j::Cause,
    },
    Cluster, arn,
};
pub(super) use api::{describe, list, list_tasks};

/// From the instance's start until cloud-init has ended, and the agent may start.
const CLOUD_INIT: i64 = 15;
/// From the agent's start to its registration.
const REGISTER: i64 = 8;
/// From the instance's termination until ECS deregisters it, unless a story says otherwise: seconds in most cases, but some
/// have seen twenty minutes (bottlerocket-test-system#717).
pub(super) const DEREGISTER: i64 = 10;

/// A container instance.
#[derive(Clone, Debug)]
pub struct ContainerInstance {
    /// Its zone.
    pub zone: String,
    /// The last part of its ARN.
    pub id: String,
    /// Its EC2 instance; an instance that a story put there by hand has none.
    pub instance: Option<String>,
    /// What placement constraints ask for. One without any takes every task.
    pub attributes: BTreeMap<String, String>,
    /// `agentConnected`.
    pub connected: bool,
    /// When it last became so.
    pub connected_since: Timestamp,
    /// Since when it is not. ECS does not say so.
    pub silent_since: Option<Timestamp>,
    /// `registeredAt`.
    pub registered: Timestamp,
    /// `ACTIVE` or `DRAINING`.
    pub status: &'static str,
    /// Who set it.
    pub status_by: Cause,
    /// When.
    pub status_at: Timestamp,
    /// Whether its tasks write to the root disk: the agent started before a data volume was mounted, or there is none.
    pub root_disk: bool,
}

/// The next thing that happens on an instance.
enum Progress {
    Mount,
    Start,
    Register,
}

impl Boot {
    fn progress(&self, id: &str, ec2: &Ec2, now: Timestamp) -> Option<Progress> {
        let ready = self.began? + SignedDuration::from_secs(CLOUD_INIT);
        if now < ready {
            return None;
        }
        if let Some(mount) = self.mount().filter(|_| !self.mounted) {
            let volume = ec2.volumes.get(&mount.volume).filter(|volume| volume.serves(id));
            let patient = mount.patience.is_none_or(|seconds| now <= ready + SignedDuration::from_secs(seconds));
            let mountable = |contents| contents == Contents::Xfs || (contents == Contents::Blank && mount.formats);
            if patient && volume.is_some_and(|volume| mountable(volume.contents)) {
                return Some(Progress::Mount);
            }
        }
        match self.agent {
            Agent::Waiting if self.mounted || !self.mount().is_some_and(|mount| mount.holds_agent) => {
                Some(Progress::Start)
            }
            Agent::Starting(at) if at <= now => Some(Progress::Register),
            _ => None,
        }
    }

    fn next_due(&self) -> impl Iterator<Item = Timestamp> {
        let ready = self.began.map(|began| began + SignedDuration::from_secs(CLOUD_INIT));
        let registers = if let Agent::Starting(at) = self.agent { Some(at) } else { None };
        ready.into_iter().chain(registers)
    }
}

impl Ec2 {
    /// When the next thing happens on an instance, or ECS takes note of its end.
    pub(super) fn next_due_on_instances(&self, deregisters: i64) -> impl Iterator<Item = Timestamp> {
        self.instances.values().flat_map(move |instance| {
            let deregistered = instance.terminated.map(|at| at + SignedDuration::from_secs(deregisters));
            let booting = instance.boot.next_due().filter(|_| instance.state == "running");
            booting.chain(deregistered)
        })
    }
}

impl World {
    /// A instance joins a cluster, ready for tasks.
    pub fn add_container_instance(&mut self, cluster: &str, address: Ipv4Addr, zone: &str) {
        let id = self.id(32);
        let (zone, attributes) = (zone.to_owned(), BTreeMap::new());
        let (connected_since, registered) = (self.now, self.now);
        let container_instance = ContainerInstance {
            zone,
            id,
            instance: None,
            attributes,
            connected: true,
            connected_since,
            silent_since: None,
            registered,
            status: "ACTIVE",
            status_by: Cause::People,
            status_at: self.now,
            root_disk: false,
        };
        if let Some(cluster) = self.ecs.clusters.get_mut(cluster) {
            cluster.container_instances.entry(address).or_insert(container_instance);
        }
        self.settle();
    }

    /// The cluster and the address under which an instance is registered.
    #[must_use]
    pub fn registered(&self, instance: &str) -> Option<(String, Ipv4Addr)> {
        self.ecs.clusters.iter().find_map(|(name, cluster)| {
            let container_instance = cluster.container_instances.iter().find(|(_, container_instance)| container_instance.instance.as_deref() == Some(instance));
            container_instance.map(|(address, _)| (name.clone(), *address))
        })
    }

    /// The container instance of an instance.
    #[must_use]
    pub fn container_instance(&self, instance: &str) -> Option<&ContainerInstance> {
        let (cluster, address) = self.registered(instance)?;
        self.ecs.clusters.get(&cluster)?.container_instances.get(&address)
    }

    /// The tasks on an instance that have not stopped, as far as ECS knows.
    pub fn tasks_on(&self, instance: &str) -> impl Iterator<Item = String> {
        let registered = self.registered(instance);
        let cluster = registered.and_then(|(name, address)| Some((self.ecs.clusters.get(&name)?, address)));
        let tasks = cluster.into_iter().flat_map(|(cluster, address)| {
            cluster.tasks.iter().filter(move |(_, task)| task.address == address && task.status != "STOPPED")
        });
        tasks.map(|(id, _)| id.clone()).collect::<Vec<_>>().into_iter()
    }

    /// Somebody sets the status of an instance's container instance (`UpdateContainerInstancesState`).
    pub fn set_status(&mut self, instance: &str, status: &'static str) {
        let Some((cluster, address)) = self.registered(instance) else { return };
        let all = self.ecs.clusters.get_mut(&cluster).map(|cluster| &mut cluster.container_instances);
        if let Some(found) = all.and_then(|all| all.get_mut(&address)).filter(|found| found.status != status) {
            (found.status, found.status_by, found.status_at) = (status, Cause::People, self.now);
            self.announce_container_instance(&cluster, address);
        }
        self.settle();
    }

    /// The agent of an instance registers anew, since it has lost its checkpoint: what was registered before stays, with its tasks
    /// (amazon-ecs-agent#782, #125). Returns the id of the second registration.
    pub fn register_again(&mut self, instance: &str) -> Option<String> {
        let id = self.id(32);
        let (cluster, address) = self.registered(instance)?;
        let now = self.now;
        let all = &mut self.ecs.clusters.get_mut(&cluster)?.container_instances;
        let second = ContainerInstance { id: id.clone(), connected_since: now, registered: now, ..all.get(&address)?.clone() };
        // Addresses are keys here, so this one gets a place of its own, behind that of the first.
        let [.., host] = address.octets();
        let place = Ipv4Addr::new(10, 1, 0, host);
        all.insert(place, second);
        self.announce_container_instance(&cluster, place);
        self.settle();
        Some(id)
    }

    /// The agent of an instance goes silent: its tasks stay as they are, as far as ECS knows.
    pub fn silence(&mut self, instance: &str) {
        self.disconnect(instance);
        if let Some(found) = self.ec2.instances.get_mut(instance) {
            found.boot.agent = Agent::Silent;
        }
        self.settle();
    }

    /// The agent of an instance speaks again.
    pub fn hear(&mut self, instance: &str) {
        let known = self.registered(instance).is_some();
        if let Some(found) = self.ec2.instances.get_mut(instance).filter(|i| i.boot.agent == Agent::Silent) {
            // One that went silent before it had registered begins anew.
            found.boot.agent = if known { Agent::Connected } else { Agent::Waiting };
            self.connect(instance, true);
        }
        self.settle();
    }

    /// An instance boots anew: it keeps its volume, its tasks end, and its agent returns when it is mounted again.
    pub fn reboot(&mut self, instance: &str) {
        let now = self.now;
        if let Some(found) = self.ec2.instances.get_mut(instance).filter(|found| found.state == "running") {
            found.boot.begin_again(now);
            self.disconnect(instance);
            self.reboot_members_on(instance);
        }
        self.settle();
    }

    pub(in super::super) fn disconnect(&mut self, instance: &str) {
        self.connect(instance, false);
    }

    fn connect(&mut self, instance: &str, connected: bool) {
        let now = self.now;
        let Some((cluster, address)) = self.registered(instance) else { return };
        let container_instance = self.ecs.clusters.get_mut(&cluster).and_then(|cluster| cluster.container_instances.get_mut(&address));
        if let Some(container_instance) = container_instance.filter(|container_instance| container_instance.connected != connected) {
            container_instance.connected = connected;
            container_instance.silent_since = (!connected).then_some(now);
            // «The Unix timestamp for the time when the task last went into CONNECTED status» (API reference of `Task`,
            // `connectivityAt`): a loss of the connection does not touch it.
            if connected {
                container_instance.connected_since = now;
            }
            self.announce_container_instance(&cluster, address);
        }
    }

    /// Does the next thing that is due, and says whether there was one.
    pub(super) fn settle_container_instances(&mut self) -> bool {
        let (ec2, now, deregisters) = (&self.ec2, self.now, self.ecs.deregisters);
        let gone = self.ecs.clusters.iter().find_map(|(name, cluster)| {
            let gone = cluster.container_instances.iter().find(|(_, container_instance)| {
                let instance = container_instance.instance.as_ref().map(|id| ec2.instances.get(id));
                let over = |at: Timestamp| at + SignedDuration::from_secs(deregisters) <= now;
                // «Instances with disconnected agents aren't automatically deregistered when terminated» (API reference of
                // `DeregisterContainerInstance`), nor when EC2 has forgotten them.
                let spoke = |found: &Instance| found.boot.agent != Agent::Silent;
                instance.is_some_and(|found| {
                    found.map_or(container_instance.connected, |found| found.terminated.is_some_and(over) && spoke(found))
                })
            });
            gone.map(|(address, _)| (name.clone(), *address))
        });
        if let Some((cluster, address)) = gone {
            self.deregister_address(&cluster, address);
            return true;
        }
        let due =
            ec2.instances.iter().filter(|(_, instance)| instance.state == "running").find_map(|(id, instance)| {
                let progress = instance.boot.progress(id, ec2, now)?;
                // Without its cluster the agent tries again and again.
                let known = self.ecs.clusters.contains_key(&instance.boot.cluster);
                (known || !matches!(progress, Progress::Register)).then(|| (id.clone(), progress))
            });
        let Some((id, progress)) = due else { return false };
        match progress {
            Progress::Mount => {
                let volume = self.ec2.instances.get(&id).and_then(|found| found.boot.mount()).map(|m| &m.volume);
                if let Some(volume) = volume.cloned().and_then(|volume| self.ec2.volumes.get_mut(&volume)) {
                    volume.contents = Contents::Xfs;
                }
                if let Some(found) = self.ec2.instances.get_mut(&id) {
                    found.boot.mounted = true;
                }
            }
            Progress::Start => {
                if let Some(found) = self.ec2.instances.get_mut(&id) {
                    found.boot.agent = Agent::Starting(now + SignedDuration::from_secs(REGISTER));
                    found.boot.root_disk = !found.boot.mounted;
                }
            }
            Progress::Register => self.register_container_instance(&id),
        }
        true
    }

    /// The agent registers its instance, or is back after a boot.
    fn register_container_instance(&mut self, instance: &str) {
        let (id, known) = (self.id(32), self.registered(instance));
        let Some(found) = self.ec2.instances.get_mut(instance) else { return };
        found.boot.agent = Agent::Connected;
        let (address, zone, boot) = (found.address, found.zone.clone(), found.boot.clone());
        if let Some((cluster, address)) = known {
            // Containers do not survive a boot, which ECS learns from the agent.
            self.end_tasks(&cluster, address);
            if let Some(container_instance) = self.ecs.clusters.get_mut(&cluster).and_then(|c| c.container_instances.get_mut(&address)) {
                container_instance.root_disk = boot.root_disk;
            }
            return self.connect(instance, true);
        }
        let mut attributes = boot.attributes;
        attributes.insert("ecs.availability-zone".to_owned(), zone.clone());
        let container_instance = ContainerInstance {
            zone,
            id,
            instance: Some(instance.to_owned()),
            attributes,
            connected: true,
            connected_since: self.now,
            silent_since: None,
            registered: self.now,
            status: "ACTIVE",
            status_by: Cause::People,
            status_at: self.now,
            root_disk: boot.root_disk,
        };
        if let Some(cluster) = self.ecs.clusters.get_mut(&boot.cluster) {
            cluster.container_instances.insert(address, container_instance);
        }
        self.announce_container_instance(&boot.cluster, address);
    }

    /// People deregister what has outlived its instance, by force.
    pub fn deregister_stale(&mut self) {
        let ended = |id: &str| self.ec2.instances.get(id).is_none_or(|found| found.ended.is_some());
        let all = self.ecs.clusters.iter().flat_map(|(name, cluster)| {
            let stale = cluster.container_instances.iter().filter(|(_, found)| {
                !found.connected && found.instance.as_deref().is_some_and(ended)
            });
            stale.map(move |(address, _)| (name.clone(), *address))
        });
        for (cluster, address) in all.collect::<Vec<_>>() {
            self.deregister_address(&cluster, address);
        }
    }

    /// ECS learns that an instance is gone, and gives up its tasks.
    fn deregister_address(&mut self, cluster: &str, address: Ipv4Addr) {
        self.end_tasks(cluster, address);
        let container_instance = self.ecs.clusters.get_mut(cluster).and_then(|cluster| cluster.container_instances.get_mut(&address));
        if let Some(container_instance) = container_instance {
            (container_instance.status, container_instance.connected) = ("INACTIVE", false);
        }
        self.announce_container_instance(cluster, address);
        if let Some(cluster) = self.ecs.clusters.get_mut(cluster) {
            cluster.container_instances.remove(&address);
        }
    }

    /// Emits the event of a container instance's change.
    fn announce_container_instance(&mut self, cluster: &str, address: Ipv4Addr) {
        let Some(state) = self.ecs.clusters.get(cluster) else { return };
        let Some(container_instance) = state.container_instances.get(&address).filter(|container_instance| container_instance.instance.is_some()) else { return };
        let detail = item(cluster, state, address, container_instance);
        let arn = arn("container-instance", &format!("{cluster}/{}", container_instance.id));
        self.emit("aws.ecs", "ECS Container Instance State Change", &[arn], &detail);
    }
}

/// A container instance as the API and the events describe it.
fn item(name: &str, cluster: &Cluster, address: Ipv4Addr, container_instance: &ContainerInstance) -> Value {
    let attributes = container_instance.attributes.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let tasks = || cluster.tasks.values().filter(|task| task.address == address);
    let mut item = json!({
        "clusterArn": arn("cluster", name),
        "containerInstanceArn": arn("container-instance", &format!("{name}/{}", container_instance.id)),
        "status": container_instance.status,
        "agentConnected": container_instance.connected,
        "registeredAt": container_instance.registered.as_second(),
        "attributes": attributes.collect::<Vec<_>>(),
        // Those whose desired status is RUNNING, so also those that start (API reference of `ContainerInstance`).
        "runningTasksCount": tasks().filter(|task| task.wanted).count(),
        "pendingTasksCount": tasks().filter(|task| task.status == "PENDING").count(),
    });
    if let Some(instance) = &container_instance.instance {
        item["ec2InstanceId"] = json!(instance);
    }
    item
}
