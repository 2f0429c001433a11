//! A DBMS: its servers, and its databases with a copy on each server that hosts them.

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Lost, Tier, User, spread, users::Roles};

/// From a server's arrival until it is enabled by itself.
const ENABLING: SignedDuration = SignedDuration::from_secs(2);
/// From a member's arrival until a database has started on it.
const STARTING: SignedDuration = SignedDuration::from_secs(2);
/// How long the copy of a store takes. Here it is small.
const STORE_COPY: SignedDuration = SignedDuration::from_secs(30);
/// How long the files of a dropped database take to go.
const DROPPING: SignedDuration = SignedDuration::from_secs(5);

/// A DBMS.
#[derive(Clone, Debug)]
pub struct Dbms {
    /// When it formed.
    pub formed: Timestamp,
    /// Servers by id.
    pub servers: BTreeMap<String, Server>,
    /// Databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Roles that were created.
    pub roles: Roles,
    /// Whether servers that arrive are enabled by themselves.
    pub enables: bool,
    /// Whether every user may see the home database, as `PUBLIC` does by default.
    pub home_access: bool,
}

/// A server: what members with its id have been.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its kind.
    pub tier: Tier,
    /// Where it was last.
    pub address: Ipv4Addr,
    /// The version of its last process.
    pub version: String,
    /// `Free`, `Enabled` or `Cordoned`.
    pub state: &'static str,
    /// Since when it takes no part, if it does not.
    pub down: Option<Down>,
    /// Whether its disk was full: then it takes part in nothing until its next start.
    pub full: bool,
    enabled: Option<Timestamp>,
}

/// A server's absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// Since when.
    pub since: Timestamp,
    /// Whose doing it is.
    pub cause: Cause,
    /// When it was asked for: whoever stops a server decides by what there is then.
    pub asked_at: Timestamp,
    /// From when on the others know.
    pub noticed: Timestamp,
}

/// Why a copy does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unable {
    /// Since when.
    pub since: Timestamp,
    /// When that was asked for.
    pub asked_at: Timestamp,
    /// Whose doing it is.
    pub cause: Cause,
}

/// The kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `standard`.
    Standard,
    /// `system`.
    System,
    /// `composite`: a view of others, without data of its own.
    Composite,
}

/// A database.
#[derive(Clone, Debug)]
pub struct Database {
    /// `databaseID`.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// `requestedStatus`.
    pub wanted: bool,
    /// Requested primaries; of `system` one on each core.
    pub primaries: Option<u32>,
    /// Requested secondaries.
    pub secondaries: Option<u32>,
    /// When it was created.
    pub created: Timestamp,
    /// Copies by server.
    pub copies: BTreeMap<String, Copy>,
    /// The server whose copy accepts writes, as long as the others believe in it.
    pub leader: Option<String>,
    /// The term of the leader.
    pub term: u32,
    /// When it is gone, if somebody dropped it.
    pub dropped: Option<Timestamp>,
    /// When the next election ends.
    pub(super) election: Option<Timestamp>,
    /// Whether it has had a leader.
    pub(super) led: bool,
    /// Since when it has no majority, and whose doing that is.
    pub(super) without: Option<(Timestamp, Cause)>,
    pub(super) lost: Lost,
}

/// A copy of a database on a server.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its id in the Raft group, which is no server id.
    pub raft: String,
    /// Whether it is a primary.
    pub primary: bool,
    /// `currentStatus`.
    pub status: &'static str,
    /// `statusMessage`.
    pub message: String,
    /// How many entries it is behind.
    pub lag: i64,
    /// Since when it can take no part in a majority, and whose doing that is.
    pub unable: Option<Unable>,
    pub(super) next: Option<Timestamp>,
}

impl Kind {
    /// `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::System => "system",
            Self::Composite => "composite",
        }
    }
}

impl Copy {
    pub(super) fn new(raft: String, primary: bool) -> Self {
        Self { raft, primary, status: "online", message: String::new(), lag: 0, unable: None, next: None }
    }
}

impl Copy {
    /// The database begins to start on its server.
    pub(super) fn begin(&mut self, now: Timestamp) {
        (self.status, self.next) = ("starting", Some(now + STARTING));
    }
}

impl Server {
    pub(super) fn new(tier: Tier, address: Ipv4Addr, version: &str, state: &'static str) -> Self {
        let version = version.to_owned();
        Self { tier, address, version, state, down: None, full: false, enabled: None }
    }

    /// Whether the others know that it is absent.
    #[must_use]
    pub fn is_missed(&self, now: Timestamp) -> bool {
        self.down.is_some_and(|down| down.noticed <= now)
    }
}

impl Database {
    pub(super) fn new(
        id: String,
        kind: Kind,
        primaries: Option<u32>,
        secondaries: Option<u32>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            kind,
            wanted: true,
            primaries,
            secondaries,
            created: now,
            copies: BTreeMap::new(),
            leader: None,
            term: 0,
            dropped: None,
            election: None,
            led: false,
            without: None,
            lost: Lost::default(),
        }
    }

    /// The servers that vote: all that have a primary, whether they live or not.
    pub fn voters(&self) -> impl Iterator<Item = (&String, &Copy)> {
        self.copies.iter().filter(|(_, copy)| copy.primary)
    }
}

impl Dbms {
    /// When the next things are due.
    pub(super) fn next_due(&self) -> impl Iterator<Item = Timestamp> {
        let databases = self.databases.values().flat_map(|database| {
            let copies = database.copies.values().filter_map(|copy| copy.next);
            copies.chain(database.election).chain(database.dropped)
        });
        databases.chain(self.servers.values().filter_map(|server| server.enabled))
    }

    /// Does the next thing that is due, and says whether there was one.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let enabled = self.servers.iter().find(|(_, server)| is_due(server.enabled)).map(|(id, _)| id.clone());
        if let Some(id) = enabled {
            self.enable(&id, now);
            return true;
        }
        let dropped =
            self.databases.iter().find(|(_, database)| is_due(database.dropped)).map(|(name, _)| name.clone());
        if let Some(name) = dropped {
            self.databases.remove(&name);
            return true;
        }
        let names = self.databases.iter().find_map(|(name, database)| {
            let copy = database.copies.iter().find(|(_, copy)| is_due(copy.next)).map(|(id, _)| id.clone());
            (copy.is_some() || is_due(database.election)).then(|| (name.clone(), copy))
        });
        match names {
            Some((name, Some(server))) => self.proceed(&name, &server, now),
            Some((name, None)) => self.elect(&name, now),
            None => return false,
        }
        true
    }

    /// A copy goes on to what follows by itself.
    fn proceed(&mut self, name: &str, server: &str, now: Timestamp) {
        let Some(database) = self.databases.get_mut(name) else { return };
        let led = database.leader.as_deref().is_some_and(|leader| leader != server) && database.without.is_none();
        let Some(copy) = database.copies.get_mut(server) else { return };
        copy.next = None;
        match copy.status {
            // Where nobody leads there is nothing to catch up with: those that are there elect.
            "starting" if led && copy.primary => {
                let absent = copy.unable.map_or(SignedDuration::ZERO, |unable| now.duration_since(unable.since));
                copy.status = "online";
                copy.lag = absent.as_secs().max(1);
                copy.next = Some(now + SignedDuration::from_secs((absent.as_secs() / 10).clamp(5, 60)));
            }
            "starting" => copy.status = "online",
            "store copying" => {
                (copy.status, copy.lag) = ("online", 1);
                copy.next = Some(now + SignedDuration::from_secs(5));
            }
            _ => copy.lag = 0,
        }
        self.reassess(now);
    }

    /// A member with this id takes part from now on.
    pub(super) fn joined(&mut self, id: &str, tier: Tier, address: Ipv4Addr, version: &str, now: Timestamp) {
        let enables = self.enables;
        let known = self.servers.contains_key(id);
        let server = self.servers.entry(id.to_owned()).or_insert_with(|| Server::new(tier, address, version, "Free"));
        (server.address, server.version, server.down, server.full) = (address, version.to_owned(), None, false);
        if !known && enables {
            server.enabled = Some(now + ENABLING);
        }
        for database in self.databases.values_mut() {
            let Some(copy) = database.copies.get_mut(id) else { continue };
            if copy.status != "quarantined" && copy.status != "dirty" {
                copy.message.clear();
                (copy.status, copy.next) =
                    if database.wanted { ("starting", Some(now + STARTING)) } else { ("offline", None) };
            }
        }
        self.reassess(now);
    }

    /// A member with this id takes no part any more.
    pub(super) fn left(&mut self, id: &str, clean: bool, cause: Cause, asked_at: Timestamp, now: Timestamp) {
        let Some(server) = self.servers.get_mut(id).filter(|server| server.down.is_none()) else { return };
        let noticed = if clean { now } else { now + spread(id, super::raft::DETECTION.0, super::raft::DETECTION.1) };
        server.down = Some(Down { since: now, cause, asked_at, noticed });
        for database in self.databases.values_mut() {
            if let Some(copy) = database.copies.get_mut(id) {
                copy.next = None;
            }
            // It hands over, or at least says so.
            if clean && database.leader.as_deref() == Some(id) && database.primaries != Some(1) {
                database.leader = None;
                database.election = Some(now + super::raft::HANDOVER);
            }
        }
        self.reassess(now);
    }

    /// A server that arrived becomes one that hosts: a core's first copy is of `system`, which spreads to every core (operations
    /// manual, «Managing servers in a cluster», «Hosting databases on added servers»).
    fn enable(&mut self, id: &str, now: Timestamp) {
        let Some(server) = self.servers.get_mut(id) else { return };
        (server.state, server.enabled) = ("Enabled", None);
        let primary = server.tier == Tier::Core;
        self.host("system", id, primary, now);
    }

    /// A server begins to host a copy of a database that others have.
    pub(super) fn host(&mut self, name: &str, server: &str, primary: bool, now: Timestamp) {
        let Some(database) = self.databases.get_mut(name) else { return };
        let mut copy = Copy::new(super::derived(&database.id, server), primary);
        (copy.status, copy.next) = ("store copying", Some(now + STORE_COPY));
        database.copies.entry(server.to_owned()).or_insert(copy);
        self.reassess(now);
    }

    /// The servers that can host primaries or secondaries now, those with the fewest copies first.
    pub(super) fn hosts(&self, tier: Tier) -> Vec<String> {
        let able = self.servers.iter().filter(|(_, server)| server.tier == tier && server.state == "Enabled");
        let load = |id: &str| self.databases.values().filter(|database| database.copies.contains_key(id)).count();
        let mut all: Vec<_> = able.filter(|(_, server)| server.down.is_none()).map(|(id, _)| id.clone()).collect();
        all.sort_by_key(|id| (load(id), id.clone()));
        all
    }

    /// When a database that is dropped now is gone.
    pub(super) fn drop_ends(now: Timestamp) -> Timestamp {
        now + DROPPING
    }
}
