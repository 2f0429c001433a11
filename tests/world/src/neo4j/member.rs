//! The life of a member: a process in a task, from its start to its end. The times were measured with Community.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{super::World, Cause, Key, Neo4j, Settings, spread, statements::Transaction, users::Attempts};

/// From the start until it answers, in seconds.
const START: (i64, i64) = (9, 17);
/// The same after it was killed: it recovers first.
const RECOVERY: (i64, i64) = (11, 15);
/// From the signal to stop until it has written its last checkpoint and ends.
const STOP: (i64, i64) = (11, 20);
/// The same when the page cache is full of what has changed.
const BUSY_STOP: SignedDuration = SignedDuration::from_secs(44);
/// How long one takes to stop that was still starting.
const EARLY_STOP: SignedDuration = SignedDuration::from_secs(5);

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The server id, made at the first start.
    pub server: String,
    /// The DBMS that it belongs to.
    pub dbms: Option<String>,
    /// Whether the last process wrote its checkpoint.
    pub clean: bool,
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It starts, without a port.
    Starting,
    /// It hangs in its start, without a port and without an end: its disk is full.
    Stuck,
    /// It asks DNS for the others.
    Discovering,
    /// It takes part, and its ports open when `system` has a leader.
    Joining,
    /// It answers.
    Serving,
    /// It stops, and has closed its ports.
    Stopping,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Member {
    /// The ECS cluster.
    pub cluster: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The instance that it runs on.
    pub instance: Option<String>,
    /// Its disk: the id of a volume, or of the instance whose root disk it is.
    pub disk: String,
    /// Its server id.
    pub server: String,
    /// The DBMS that it belongs to.
    pub dbms: Option<String>,
    /// What its task definition says.
    pub settings: Arc<Settings>,
    /// How far it is.
    pub phase: Phase,
    /// Whether the process stands still: the kernel still accepts connections, and nothing is answered.
    pub hangs: bool,
    /// Whether it has much to write before it can stop.
    pub busy: bool,
    /// When it started.
    pub started: Timestamp,
    /// How many statements it was given. The first one takes longer.
    pub(super) statements: usize,
    pub(super) logins: BTreeMap<String, Attempts>,
    /// What runs in it.
    pub(super) transactions: Vec<Transaction>,
    pub(super) next: Option<Timestamp>,
    /// When it ends, once it was told to.
    pub(super) exits: Option<Timestamp>,
    /// Whether it ends by being killed.
    killed: bool,
}

impl Member {
    /// The DBMS that it belongs to.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        Some((self.cluster.clone(), self.dbms.clone()?))
    }

    /// Whether its ports are open and it answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.phase == Phase::Serving && !self.hangs
    }
}

impl Neo4j {
    /// Tells the others that a member takes no part any more.
    fn leave(&mut self, task: &str, clean: bool, cause: Cause, asked_at: Timestamp, now: Timestamp) {
        let Some(member) = self.members.get(task) else { return };
        let (key, server) = (member.key(), member.server.clone());
        if let Some(dbms) = key.and_then(|key| self.dbms.get_mut(&key)) {
            dbms.left(&server, clean, cause, asked_at, now);
        }
    }

    /// The ports of a member open when its copy of `system` is there and led: before that it answers nobody.
    pub(super) fn open_ports(&mut self) -> bool {
        let Self { members, dbms, .. } = self;
        let ready = members.values_mut().find(|member| {
            let system = || dbms.get(&member.key()?)?.databases.get("system");
            let is_there = || {
                let system = system()?;
                let copy = system.copies.get(&member.server)?;
                Some(system.leader.is_some() && copy.status == "online")
            };
            member.phase == Phase::Joining && !member.hangs && is_there().unwrap_or(false)
        });
        ready.map(|member| member.phase = Phase::Serving).is_some()
    }
}

impl World {
    /// The container of a task starts.
    pub(in super::super) fn start_member(&mut self, cluster: &str, task: &str) {
        let now = self.now;
        let Some(state) = self.ecs.clusters.get(cluster) else { return };
        let Some(found) = state.tasks.get(task) else { return };
        let definition = self.ecs.definitions.get(&found.definition);
        let Some(settings) = definition.and_then(|definition| definition.neo4j.clone()) else { return };
        let (address, instance) =
            (found.address, state.container_instances.get(&found.address).and_then(|found| found.instance.clone()));
        let boot = instance.as_ref().and_then(|id| self.ec2.instances.get(id)).map(|found| found.boot.clone());
        let mount = boot.as_ref().filter(|boot| boot.mounted && !boot.root_disk).and_then(|boot| boot.mount());
        let disk = mount.map(|mount| mount.volume.clone()).or(instance.clone()).unwrap_or_else(|| address.to_string());
        let (clean, store) = match self.neo4j.stores.get(&disk) {
            Some(store) => (store.clean, store.clone()),
            None => (true, Store { server: self.neo4j.uuid(), dbms: None, clean: true }),
        };
        let full = self.neo4j.full.contains(&disk);
        let (low, high) = if clean { START } else { RECOVERY };
        self.neo4j.stores.insert(disk.clone(), Store { clean: false, ..store.clone() });
        let member = Member {
            cluster: cluster.to_owned(),
            address,
            instance,
            disk: disk.clone(),
            server: store.server,
            dbms: store.dbms,
            settings,
            phase: if full { Phase::Stuck } else { Phase::Starting },
            hangs: false,
            busy: false,
            started: now,
            statements: 0,
            logins: BTreeMap::new(),
            transactions: Vec::new(),
            next: (!full).then(|| now + spread(task, low, high)),
            exits: None,
            killed: false,
        };
        let reports = member.settings.reports.clone();
        self.neo4j.members.insert(task.to_owned(), member);
        if let Some((cluster, tier)) = reports {
            let core = boot.and_then(|boot| boot.attributes.get("neo4j.core").cloned());
            let dimensions = [("Cluster", Some(cluster)), ("Tier", Some(tier)), ("Core", core)];
            let dimensions = dimensions.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            self.begin_report(task, dimensions.collect(), &disk);
        }
    }

    /// A process goes on to what follows by itself.
    pub(super) fn proceed_with(&mut self, task: &str) {
        let Some(member) = self.neo4j.members.get_mut(task) else { return };
        member.next = None;
        match member.phase {
            Phase::Starting => {
                member.phase = Phase::Discovering;
                self.discover(task);
            }
            Phase::Discovering => self.discover(task),
            _ => {}
        }
    }

    /// A process is told to stop, and when it will have; nothing where only a real process can tell.
    pub(in super::super) fn stop_member(&mut self, task: &str, cause: Cause, asked_at: Timestamp) -> Option<Timestamp> {
        let now = self.now;
        // The signal goes to every container of a task.
        self.end_report(task);
        let member = self.neo4j.members.get_mut(task)?;
        if let Some(at) = member.exits {
            return Some(at);
        }
        let still = member.hangs || member.phase == Phase::Stuck;
        // A full disk: the ports close, the shutdown throws, and the process never ends.
        let endless = still || self.neo4j.full.contains(&member.disk);
        let patience = SignedDuration::from_secs(member.settings.stop_timeout);
        let takes = match member.phase {
            _ if endless => patience,
            Phase::Serving if member.busy => BUSY_STOP.min(patience),
            Phase::Serving => spread(task, STOP.0, STOP.1).min(patience),
            _ => EARLY_STOP.min(patience),
        };
        let played = self.neo4j.played.contains(&member.disk);
        member.killed = takes == patience;
        (member.exits, member.next) = ((!played).then(|| now + takes), None);
        let exits = member.exits;
        if !still {
            member.phase = Phase::Stopping;
            self.neo4j.leave(task, true, cause, asked_at, now);
        }
        exits
    }

    /// A real process that plays a member has ended: by itself after it was told to, or since it was killed.
    pub fn end_member(&mut self, task: &str, killed: bool) {
        let now = self.now;
        let Some(member) = self.neo4j.members.get_mut(task) else { return };
        (member.exits, member.killed) = (Some(now), killed);
        let cluster = member.cluster.clone();
        self.end_stopping(&cluster, task);
        self.settle();
    }

    /// A process has ended.
    pub(in super::super) fn exit(&mut self, task: &str) {
        let now = self.now;
        self.end_report(task);
        let Some(member) = self.neo4j.members.get(task) else { return };
        let (clean, disk) = (!member.killed && member.exits.is_some(), member.disk.clone());
        // Of one that stood still nobody has heard.
        self.neo4j.leave(task, clean, Cause::Itself, now, now);
        if let Some(store) = self.neo4j.stores.get_mut(&disk) {
            store.clean = clean;
        }
        self.neo4j.members.remove(task);
    }

    /// The members on an instance, by the ids of their tasks.
    fn members_on_instance(&self, instance: &str) -> Vec<String> {
        let on = self.neo4j.members.iter().filter(|(_, member)| member.instance.as_deref() == Some(instance));
        on.map(|(task, _)| task.clone()).collect()
    }

    /// The system of an instance shuts down, and stops its containers first.
    pub(in super::super) fn stop_members_on(&mut self, instance: &str, cause: Cause) {
        for task in self.members_on_instance(instance) {
            self.stop_member(&task, cause, self.now);
        }
    }

    /// An instance has ended, and with it what was not on a volume.
    pub(in super::super) fn end_members_on(&mut self, instance: &str) {
        let now = self.now;
        for task in self.members_on_instance(instance) {
            if self.neo4j.members.get(&task).is_some_and(|member| member.exits.is_none_or(|at| at > now)) {
                self.kill_process(&task, Cause::Aws);
            } else {
                self.exit(&task);
            }
        }
        self.neo4j.stores.remove(instance);
        self.neo4j.full.remove(instance);
    }

    /// An instance boots anew, after its system has stopped its containers.
    pub(in super::super) fn reboot_members_on(&mut self, instance: &str) {
        let now = self.now;
        for task in self.members_on_instance(instance) {
            self.stop_member(&task, Cause::Aws, now);
            if let Some(member) = self.neo4j.members.get_mut(&task) {
                member.exits = Some(now);
            }
            self.exit(&task);
        }
    }

    fn kill_process(&mut self, task: &str, cause: Cause) {
        let now = self.now;
        self.neo4j.leave(task, false, cause, now, now);
        if let Some(member) = self.neo4j.members.get_mut(task) {
            member.killed = true;
        }
        self.exit(task);
    }

    /// A member's process dies at once, and its task with it.
    pub fn kill_member(&mut self, task: &str) {
        let cluster = self.neo4j.members.get(task).map(|member| member.cluster.clone());
        self.kill_process(task, Cause::Itself);
        if let Some(cluster) = cluster {
            self.stop_for(&cluster, task, Cause::Itself);
        }
        self.settle();
    }

    /// A member's process stands still, or goes on.
    pub fn hang_member(&mut self, task: &str, hangs: bool) {
        let now = self.now;
        let Some(member) = self.neo4j.members.get_mut(task).filter(|member| member.hangs != hangs) else { return };
        member.hangs = hangs;
        let (tier, address, server, phase) =
            (member.settings.tier, member.address, member.server.clone(), member.phase);
        let (key, version) = (member.key(), member.settings.version.clone());
        if hangs {
            self.neo4j.leave(task, false, Cause::Itself, now, now);
        } else if let Some(dbms) = key
            .filter(|_| matches!(phase, Phase::Joining | Phase::Serving))
            .and_then(|key| self.neo4j.dbms.get_mut(&key))
        {
            dbms.joined(&server, tier, address, &version, now);
        }
        self.settle();
    }

    /// A disk fills up: what is written next fails, and everything after it until the member starts again.
    pub fn fill_disk(&mut self, disk: &str) {
        let now = self.now;
        self.neo4j.full.insert(disk.to_owned());
        self.set_room(disk, 0.0);
        let Neo4j { members, dbms, .. } = &mut self.neo4j;
        for member in members.values().filter(|member| member.disk == disk) {
            let Some(dbms) = member.key().and_then(|key| dbms.get_mut(&key)) else { continue };
            if let Some(server) = dbms.servers.get_mut(&member.server) {
                server.full = true;
            }
            for database in dbms.databases.values_mut().filter(|database| database.kind == super::Kind::Standard) {
                if let Some(copy) = database.copies.get_mut(&member.server) {
                    "No space left on device".clone_into(&mut copy.message);
                }
            }
            dbms.reassess(now);
        }
        self.settle();
    }

    /// A disk has room again. A member that hangs in its start goes on hanging.
    pub fn free_disk(&mut self, disk: &str) {
        self.neo4j.full.remove(disk);
        self.set_room(disk, super::super::cloudwatch::ROOM);
    }

    /// So much of a disk is free from now on, in percent. Neo4j minds only when nothing is ([`Self::fill_disk`]).
    pub fn set_room(&mut self, disk: &str, free: f64) {
        let now = self.now;
        self.neo4j.room.entry(disk.to_owned()).or_default().push((now, free));
    }
}
