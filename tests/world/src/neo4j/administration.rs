//! What people do to the databases, users and servers of a DBMS: what it comes to, without its Cypher.

use std::net::Ipv4Addr;

use super::{
    super::World,
    Copy, Database, Dbms, Fault, Kind, Tier, User,
    users::{Privilege, Roles},
};

impl World {
    /// Puts a fault on an address.
    pub fn add_fault(&mut self, address: Ipv4Addr, fault: Fault) {
        self.neo4j.faults.entry(address).or_default().insert(fault);
    }

    /// Takes all faults from an address.
    pub fn heal(&mut self, address: Ipv4Addr) {
        self.neo4j.faults.remove(&address);
    }

    /// Changes the DBMS that formed last in an ECS cluster; says whether there is one.
    pub fn administer(&mut self, cluster: &str, change: impl FnOnce(&mut Dbms, jiff::Timestamp)) -> bool {
        let now = self.now;
        let Some(dbms) = self.neo4j.dbms_in_mut(cluster) else { return false };
        change(dbms, now);
        dbms.reassess(now);
        self.settle();
        true
    }

    /// Creates a database with so many primaries and secondaries on the servers that have the fewest; says whether there are
    /// enough.
    pub fn create_database(&mut self, cluster: &str, name: &str, primaries: u32, secondaries: u32) -> bool {
        let (id, mut created) = (self.neo4j.uuid(), false);
        self.administer(cluster, |dbms, now| {
            let (cores, replicas) = (dbms.hosts(Tier::Core), dbms.hosts(Tier::Replica));
            if cores.len() < primaries as usize || replicas.len() < secondaries as usize {
                return;
            }
            let mut database = Database::new(id, Kind::Standard, Some(primaries), Some(secondaries), now);
            let hosts = cores.iter().take(primaries as usize).map(|id| (id, true));
            for (server, primary) in hosts.chain(replicas.iter().take(secondaries as usize).map(|id| (id, false))) {
                let mut copy = Copy::new(super::derived(&database.id, server), primary);
                copy.begin(now);
                database.copies.insert(server.clone(), copy);
            }
            dbms.databases.insert(name.to_owned(), database);
            created = true;
        });
        created
    }

    /// Creates a composite database.
    pub fn create_composite(&mut self, cluster: &str, name: &str) -> bool {
        let id = self.neo4j.uuid();
        self.administer(cluster, |dbms, now| {
            let mut database = Database::new(id, Kind::Composite, None, None, now);
            let copies = dbms.servers.keys().map(|server| (server.clone(), Copy::new(String::new(), true)));
            database.copies = copies.collect();
            dbms.databases.insert(name.to_owned(), database);
        })
    }

    /// Drops a database.
    pub fn drop_database(&mut self, cluster: &str, name: &str) -> bool {
        self.administer(cluster, |dbms, now| {
            if let Some(database) = dbms.databases.get_mut(name) {
                database.dropped = Some(Dbms::drop_ends(now));
                for copy in database.copies.values_mut() {
                    copy.status = "deallocating";
                }
            }
        })
    }

    /// Stops or starts a database.
    pub fn want_database(&mut self, cluster: &str, name: &str, wanted: bool) -> bool {
        self.administer(cluster, |dbms, now| {
            let Some(database) = dbms.databases.get_mut(name) else { return };
            database.wanted = wanted;
            for copy in database.copies.values_mut() {
                if wanted { copy.begin(now) } else { copy.status = "offline" }
            }
        })
    }

    /// A copy of a database breaks: `quarantined`, `dirty`, …, with a message.
    pub fn break_copy(&mut self, cluster: &str, name: &str, server: &str, status: &'static str, message: &str) -> bool {
        self.administer(cluster, |dbms, _| {
            let copy = dbms.databases.get_mut(name).and_then(|database| database.copies.get_mut(server));
            if let Some(copy) = copy {
                (copy.status, copy.message) = (status, message.to_owned());
            }
        })
    }

    /// A copy of a database falls behind by so many entries, or catches up.
    pub fn set_lag(&mut self, cluster: &str, name: &str, server: &str, lag: i64) -> bool {
        self.administer(cluster, |dbms, _| {
            let copy = dbms.databases.get_mut(name).and_then(|database| database.copies.get_mut(server));
            if let Some(copy) = copy {
                copy.lag = lag;
            }
        })
    }

    /// Declares the user that looks, with a role that has all that it needs.
    pub fn declare_monitor(&mut self, cluster: &str, name: &str, password: &str, role: &str) -> bool {
        let all = [Privilege::Access, Privilege::ShowServers, Privilege::StatusCheck, Privilege::BoostedStatusCheck];
        self.administer(cluster, |dbms, _| {
            let user = dbms.users.entry(name.to_owned()).or_insert_with(|| User::new(password));
            (user.password, user.expired) = (password.to_owned(), false);
            user.roles.insert(role.to_owned());
            dbms.roles.extend(Roles::from([(role.to_owned(), all.into())]));
        })
    }
}

impl Dbms {
    /// A server is known by another id from now on.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        if let Some(server) = self.servers.remove(old) {
            self.servers.insert(new.to_owned(), server);
        }
        for database in self.databases.values_mut() {
            if let Some(copy) = database.copies.remove(old) {
                database.copies.insert(new.to_owned(), copy);
            }
            if database.leader.as_deref() == Some(old) {
                database.leader = Some(new.to_owned());
            }
        }
    }

    /// A server that will not come back is dropped, with its votes.
    pub fn drop_server(&mut self, id: &str) {
        self.servers.remove(id);
        for database in self.databases.values_mut() {
            database.copies.remove(id);
        }
    }
}
