//! Who forms a DBMS, and who joins one.

use std::{collections::BTreeSet, net::Ipv4Addr};

use jiff::SignedDuration;

use super::{super::World, Copy, Database, Dbms, Kind, Neo4j, Phase, Server, Tier, User, users::Roles};

/// How often DNS is asked.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// How long a member that knows its DBMS looks for as many others as a formation would take. (Source of the 4.x line, whose
/// settings live on as `internal.cluster.discovery_resolution_*`.)
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

impl World {
    /// The addresses that DNS answers with for the members' SRV name.
    fn discovered(&mut self, name: &str) -> BTreeSet<Ipv4Addr> {
        let targets = self.resolve(name, "SRV").unwrap_or_default();
        let targets: Vec<_> =
            targets.iter().filter_map(|(_, _, _, value)| value.rsplit(' ').next()).map(str::to_owned).collect();
        let addresses = targets.iter().filter_map(|target| self.resolve(target, "A")).flatten();
        addresses.filter_map(|(_, _, _, address)| address.parse().ok()).collect()
    }

    /// A member looks for the others: it joins them, forms a DBMS with them, or asks again.
    pub(super) fn discover(&mut self, task: &str) {
        let now = self.now;
        let Some(member) = self.neo4j.members.get(task) else { return };
        let (settings, started, known) = (member.settings.clone(), member.started, member.dbms.is_some());
        let found = self.discovered(&settings.discovery);
        let enough = found.len() >= settings.minimum || now.duration_since(started) >= PATIENCE;
        let joined = enough && if known { self.neo4j.rejoin(task, now) } else { self.form_or_join(task, &found) };
        if let Some(member) = self.neo4j.members.get_mut(task).filter(|_| !joined) {
            member.next = Some(now + RETRY);
        }
    }

    /// A member without a DBMS joins the one that it discovers. Where there is none, cores form one as soon as there are as many
    /// as the setting asks for (operations manual, «Deploy a basic cluster»).
    fn form_or_join(&mut self, task: &str, found: &BTreeSet<Ipv4Addr>) -> bool {
        let now = self.now;
        let Some(member) = self.neo4j.members.get(task) else { return false };
        let (cluster, settings) = (member.cluster.clone(), member.settings.clone());
        let others =
            self.neo4j.members.iter().filter(|(_, other)| other.cluster == cluster && found.contains(&other.address));
        let theirs = others.clone().find_map(|(_, other)| other.dbms.clone().filter(|_| other.phase == Phase::Serving));
        if let Some(id) = theirs {
            self.neo4j.adopt(task, &id);
            return self.neo4j.rejoin(task, now);
        }
        let blank = |other: &super::Member| {
            other.dbms.is_none()
                && other.phase == Phase::Discovering
                && other.settings.tier == Tier::Core
                && !other.hangs
        };
        let cores: Vec<_> = others.filter(|(_, other)| blank(other)).map(|(task, _)| task.clone()).collect();
        if cores.len() < settings.minimum || !cores.iter().any(|core| core == task) {
            return false;
        }
        let password =
            self.secrets_manager.field(&settings.admin, "password").unwrap_or_else(|| "neo4jneo4j".to_owned());
        let id = self.neo4j.uuid();
        let dbms = Dbms {
            formed: now,
            servers: std::collections::BTreeMap::new(),
            databases: std::collections::BTreeMap::new(),
            users: [("neo4j".to_owned(), User::administrator(password))].into(),
            roles: Roles::default(),
            enables: settings.enables,
            home_access: true,
        };
        self.neo4j.dbms.insert((cluster.clone(), id.clone()), dbms);
        self.neo4j.form(&cores, &id, settings.primaries, now);
        true
    }
}

impl Neo4j {
    /// A member's store belongs to a DBMS from now on.
    fn adopt(&mut self, task: &str, id: &str) {
        let Some(member) = self.members.get_mut(task) else { return };
        member.dbms = Some(id.to_owned());
        if let Some(store) = self.stores.get_mut(&member.disk) {
            store.dbms = Some(id.to_owned());
        }
    }

    /// A member takes part in the DBMS that it knows.
    fn rejoin(&mut self, task: &str, now: jiff::Timestamp) -> bool {
        let Some(member) = self.members.get_mut(task) else { return false };
        let Some(key) = member.key() else { return false };
        member.phase = Phase::Joining;
        let (server, settings, address) = (member.server.clone(), member.settings.clone(), member.address);
        if !self.dbms.contains_key(&key) {
            // From snapshots of another cluster's volumes.
            let Some((_, origin)) = self.dbms.iter().find(|((_, id), _)| *id == key.1) else { return false };
            let copy = origin.restored(now);
            self.dbms.insert(key.clone(), copy);
        }
        if let Some(dbms) = self.dbms.get_mut(&key) {
            dbms.joined(&server, settings.tier, address, &settings.version, now);
        }
        true
    }

    /// These members are the first servers of a DBMS: all have `system`, and some the default database.
    fn form(&mut self, tasks: &[String], id: &str, primaries: u32, now: jiff::Timestamp) {
        let mut servers = Vec::new();
        for task in tasks {
            self.adopt(task, id);
            let Some(member) = self.members.get_mut(task) else { continue };
            (member.phase, member.next) = (Phase::Joining, None);
            let server = Server::new(Tier::Core, member.address, &member.settings.version, "Enabled");
            servers.push((member.cluster.clone(), member.server.clone(), server));
        }
        let Some(key) = servers.first().map(|(cluster, _, _)| (cluster.clone(), id.to_owned())) else { return };
        let (system, neo4j) = (self.uuid(), self.uuid());
        let Some(dbms) = self.dbms.get_mut(&key) else { return };
        dbms.servers = servers.into_iter().map(|(_, id, server)| (id, server)).collect();
        let all: Vec<_> = dbms.servers.keys().cloned().collect();
        let system = Database::new(system, Kind::System, None, None, now);
        dbms.databases.insert("system".to_owned(), system);
        dbms.databases.insert("neo4j".to_owned(), Database::new(neo4j, Kind::Standard, Some(primaries), Some(0), now));
        for (name, database) in &mut dbms.databases {
            let hosts = if name == "system" { all.len() } else { primaries as usize };
            let copies =
                all.iter().take(hosts).map(|id| (id.clone(), Copy::new(super::derived(&database.id, id), true)));
            database.copies = copies.collect();
        }
        dbms.reassess(now);
    }
}

impl Dbms {
    /// What snapshots of all its volumes make of it: the same users, databases and servers, of which none is there yet.
    fn restored(&self, now: jiff::Timestamp) -> Self {
        let mut copy = self.clone();
        copy.formed = now;
        for (id, server) in copy.servers.clone() {
            let cause = server.down.map_or(super::Cause::People, |down| down.cause);
            copy.left(&id, true, cause, now, now);
        }
        for database in copy.databases.values_mut() {
            (database.led, database.without, database.lost) = (false, None, super::Lost::default());
        }
        copy
    }
}
