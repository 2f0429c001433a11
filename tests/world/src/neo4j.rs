//! Neo4j: members are processes in the tasks of ECS, on disks that may outlive them. They find one another by DNS, form a
//! DBMS, elect a leader for each database, and answer over HTTP as the real one does.
//!
//! What Community can show was measured, and a test holds the answers against recorded ones. What only Enterprise shows is
//! shaped after the page of its manual that the rule names.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | what a task definition says |
//! | `member` | the life of a process |
//! | `dbms` | servers, databases and their copies |
//! | `formation` | who forms a DBMS, and who joins one |
//! | `raft` | majorities, leaders, and the time without a majority |
//! | `lost` | whose doing that was |
//! | `administration` | what people do to databases |
//! | `users` | users, roles, logins |
//! | `http`, `query`, `statements`, `rows` | what is answered |
//! | `fault` | what a member can answer wrongly |

mod administration;
mod dbms;
pub mod fault;
mod formation;
pub mod http;
mod lost;
mod member;
mod query;
mod raft;
mod rows;
pub mod settings;
mod statements;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};

use super::World;
pub use dbms::{Copy, Database, Dbms, Down, Kind, Server};
pub use fault::Fault;
pub use http::{Answer, Reply, Request};
pub use lost::{Cause, Lost};
pub use member::{Member, Phase, Store};
pub use settings::{Settings, Tier};
pub use users::{Privilege, User};

/// The DBMSs by the ECS cluster that they live in and an id of their own. Disks that are made of snapshots bring the same id
/// into another cluster.
pub type Key = (String, String);

/// Everything of Neo4j.
#[derive(Clone, Debug)]
pub struct Neo4j {
    /// Processes by the id of their task.
    pub members: BTreeMap<String, Member>,
    /// What is on disks, by the id of a volume, of a snapshot, or of the instance whose root disk it is.
    pub stores: BTreeMap<String, Store>,
    /// Disks without room.
    pub full: BTreeSet<String>,
    /// How much of a disk was free from when on, in percent.
    room: BTreeMap<String, Vec<(Timestamp, f64)>>,
    /// Disks whose members are played by real processes: they end by [`World::end_member`], and never by themselves.
    pub played: BTreeSet<String>,
    /// What has formed.
    pub dbms: BTreeMap<Key, Dbms>,
    /// What is wrong with the answers of an address.
    pub faults: BTreeMap<Ipv4Addr, BTreeSet<Fault>>,
    ids: fastrand::Rng,
}

impl Neo4j {
    /// Nothing yet. Its ids are its own, so that a member more changes no other id of the world.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            members: BTreeMap::new(),
            stores: BTreeMap::new(),
            full: BTreeSet::new(),
            room: BTreeMap::new(),
            played: BTreeSet::new(),
            dbms: BTreeMap::new(),
            faults: BTreeMap::new(),
            ids: fastrand::Rng::with_seed(seed ^ 0x6e65_6f34_6a00),
        }
    }

    fn uuid(&mut self) -> String {
        let mut part = |digits: usize| -> String { (0..digits).map(|_| self.ids.digit(16)).collect() };
        [8, 4, 4, 4, 12].map(&mut part).join("-")
    }

    /// How much of a disk was free at a time, in percent.
    pub(super) fn free_at(&self, disk: &str, second: i64) -> f64 {
        let mut changes = self.room.get(disk).into_iter().flatten();
        changes.rfind(|(at, _)| at.as_second() <= second).map_or(super::cloudwatch::ROOM, |(_, free)| *free)
    }

    /// Whether a real process plays the member of a task.
    pub(super) fn is_played(&self, task: &str) -> bool {
        self.members.get(task).is_some_and(|member| self.played.contains(&member.disk))
    }

    /// The member with an address. An address that changes hands belongs to the process that started last.
    #[must_use]
    pub fn member_at(&self, address: Ipv4Addr) -> Option<(&String, &Member)> {
        self.members.iter().filter(|(_, member)| member.address == address).max_by_key(|(_, member)| member.started)
    }

    /// The DBMS of a member; nothing before it belongs to one.
    #[must_use]
    pub fn dbms_of(&self, member: &Member) -> Option<&Dbms> {
        self.dbms.get(&member.key()?)
    }

    /// The DBMS in an ECS cluster that formed last.
    #[must_use]
    pub fn dbms_in(&self, cluster: &str) -> Option<&Dbms> {
        let all = self.dbms.iter().filter(|((place, _), _)| place == cluster);
        all.max_by_key(|(_, dbms)| dbms.formed).map(|(_, dbms)| dbms)
    }

    /// The DBMS in an ECS cluster that formed last, to change it.
    fn dbms_in_mut(&mut self, cluster: &str) -> Option<&mut Dbms> {
        let all = self.dbms.iter_mut().filter(|((place, _), _)| place == cluster);
        all.max_by_key(|(_, dbms)| dbms.formed).map(|(_, dbms)| dbms)
    }

    /// When the next things are due.
    pub(super) fn next_due(&self) -> impl Iterator<Item = Timestamp> {
        let members = self.members.values().flat_map(|member| member.next.into_iter().chain(member.exits));
        members.chain(self.dbms.values().flat_map(Dbms::next_due))
    }
}

impl World {
    /// Does the next thing that is due, and says whether there was one.
    pub(super) fn settle_neo4j(&mut self) -> bool {
        let now = self.now;
        let exits = |member: &Member| member.exits.is_some_and(|at| at <= now);
        if let Some(task) = self.neo4j.members.iter().find(|(_, member)| exits(member)).map(|(task, _)| task.clone()) {
            self.exit(&task);
            return true;
        }
        let due = |member: &Member| member.next.is_some_and(|at| at <= now);
        if let Some(task) = self.neo4j.members.iter().find(|(_, member)| due(member)).map(|(task, _)| task.clone()) {
            self.proceed_with(&task);
            return true;
        }
        if self.neo4j.dbms.values_mut().any(|dbms| dbms.settle(now)) {
            return true;
        }
        self.neo4j.open_ports()
    }

    /// How long each database had no majority of its requested primaries, by database. Those that always had one are left out.
    #[must_use]
    pub fn without_majority(&self) -> BTreeMap<String, Lost> {
        let mut all = BTreeMap::<String, Lost>::new();
        for (name, database) in self.neo4j.dbms.values().flat_map(|dbms| &dbms.databases) {
            let lost = database.lost_until(self.now);
            if lost != Lost::default() {
                *all.entry(name.clone()).or_default() += lost;
            }
        }
        all
    }
}

/// An id that is always the same for two names.
fn derived(one: &str, other: &str) -> String {
    let digits = format!("{:016x}{:016x}", hash(&format!("{one} {other}")), hash(&format!("{other} {one}")));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// FNV-1a: any hash that stays the same from run to run does.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Some number of seconds between two, always the same for a name.
fn spread(name: &str, low: i64, high: i64) -> SignedDuration {
    let width = u64::try_from(high - low + 1).unwrap_or(1);
    SignedDuration::from_secs(low + i64::try_from(hash(name) % width).unwrap_or_default())
}
