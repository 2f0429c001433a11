use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Observed, Silence};
use crate::neo4j::{Answer, Check, Copy, Database, Fault, Kind, Raft, View};

/// A core that has answered everything, so that its word counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness<'a> {
    /// Its number.
    pub(super) core: u8,
    /// The member that answered.
    pub(super) member: &'a Member,
    /// The id of its server.
    pub(super) server: &'a str,
    raft: &'a [Raft],
    /// Its view of servers and databases.
    pub(super) view: &'a View,
    /// The rows of its status check; nothing when its version has none.
    pub(super) check: Option<&'a [Check]>,
}

/// Every expected core: what it says, or why nothing that it says counts.
pub(super) type Witnesses<'a> = BTreeMap<u8, Result<Witness<'a>, Silence>>;

/// Asks every expected core. A core about to go is heard too: whom it matters for decides that himself.
pub(super) fn witnesses(observed: &Observed) -> Witnesses<'_> {
    all(observed, &observed.servers)
}

/// The same, whichever server a core was before: a blank volume brings another one, which votes like any other.
pub(super) fn witnesses_of_now(observed: &Observed) -> Witnesses<'_> {
    all(observed, &BTreeMap::new())
}

fn all<'a>(observed: &'a Observed, servers: &BTreeMap<u8, String>) -> Witnesses<'a> {
    let heard: Witnesses<'_> = (1..=observed.cores).map(|core| (core, Witness::of(observed, servers, core))).collect();
    let servers: Vec<_> = heard.values().flatten().map(|witness| (witness.core, witness.server)).collect();
    let alone = |witness: Witness<'_>| {
        let twin = servers.iter().find(|(core, server)| *core != witness.core && *server == witness.server);
        match twin {
            Some((other, server)) => Err(Silence::SameServer { server: (*server).to_owned(), other: *other }),
            None => Ok(()),
        }
    };
    heard.into_iter().map(|(core, heard)| (core, heard.and_then(|witness| alone(witness).map(|()| witness)))).collect()
}

/// Returns the member that speaks for a core: the one that answers, if one does.
pub(super) fn speaker(observed: &Observed, core: u8) -> Result<&Member, Silence> {
    let mut members: Vec<_> = observed.members.iter().filter(|member| member.core == Some(core)).collect();
    members.sort_by_key(|member| (!member.answers(), member.going.is_some(), &member.task));
    match members[..] {
        [] => Err(Silence::NoTask),
        [first, second, ..] if first.answers() && second.answers() => {
            let tasks = members.iter().filter(|member| member.answers()).map(|member| member.task.as_str());
            Err(Silence::Several(tasks.collect::<Vec<_>>().join(", ")))
        }
        [first, ..] => Ok(first),
    }
}

impl<'a> Witness<'a> {
    fn of(observed: &'a Observed, servers: &BTreeMap<u8, String>, core: u8) -> Result<Self, Silence> {
        let member = speaker(observed, core)?;
        let answer = member.answer.as_ref().ok_or_else(|| Silence::NotAsked(member.task.clone()))?;
        answer.page.as_ref().map_err(part("GET /"))?;
        let raft = answer.raft.as_ref().map_err(part("GET /dbms/cluster/status"))?;
        let view = answer.view.as_ref().map_err(part("SHOW DATABASES"))?;
        let check = match &answer.check {
            Ok(rows) => Some(rows.as_slice()),
            Err(fault) if has_no_status_check(answer, fault) => None,
            Err(fault) => return Err(part("the status check")(fault)),
        };
        let server = view.server.as_deref().ok_or(Silence::NoServer)?;
        match servers.get(&core) {
            Some(remembered) if remembered != server => {
                Err(Silence::OtherServer { has: server.to_owned(), remembered: remembered.clone() })
            }
            _ => Ok(Self { core, member, server, raft, view, check }),
        }
    }

    /// Returns its row of a database.
    pub(super) fn database(&self, name: &str) -> Option<&'a Database> {
        self.view.databases.iter().find(|database| database.name == name)
    }

    /// Returns its own copy of a database, as it describes it itself. What others report of it is «Server is unavailable»
    /// as soon as they cannot reach it.
    pub(super) fn copy(&self, name: &str) -> Option<&'a Copy> {
        let mut copies = self.database(name)?.copies.iter();
        copies.find(|copy| copy.server.as_deref() == Some(self.server))
    }

    /// Returns its view of a database's Raft group, unless it only reads from it: a secondary has a page, too
    /// (`core` is `false`), and no vote.
    pub(super) fn raft(&self, name: &str) -> Option<&'a Raft> {
        let secondary = self.copy(name).is_some_and(|copy| copy.role.as_deref() == Some("secondary"));
        self.raft.iter().find(|raft| raft.database == name).filter(|_| !secondary)
    }

    /// Returns the rows of its status check about a database; none when it does not host it as a primary, or alone.
    pub(super) fn checks(&self, name: &str) -> impl Iterator<Item = &'a Check> {
        self.check.into_iter().flatten().filter(move |check| check.database == name)
    }

    /// Returns whether it can see nothing but `system`.
    pub(super) fn sees_only_system(&self) -> bool {
        sees_only_system(self.view)
    }

    /// Returns the names of all databases that it knows of.
    pub(super) fn names(&self) -> BTreeSet<&'a str> {
        let rafts = self.raft.iter().map(|raft| raft.database.as_str());
        self.view.databases.iter().map(|database| database.name.as_str()).chain(rafts).collect()
    }
}

/// Returns whether somebody who sees this sees nothing but `system`.
pub(super) fn sees_only_system(view: &View) -> bool {
    view.databases.iter().all(|database| database.name == "system")
}

fn part(what: &'static str) -> impl Fn(&Fault) -> Silence {
    move |fault| Silence::Part { what, fault: fault.to_string() }
}

/// Returns whether a version has no status check, which came with 5.24 (operations manual of 5, «Monitor replication
/// status»). In a later one that it is not found is a fault.
fn has_no_status_check(answer: &Answer, fault: &Fault) -> bool {
    let unknown = fault.kind == Kind::NotFound || fault.message.contains("ProcedureNotFound");
    let mut version = answer.page.iter().flat_map(|page| page.version.split('.'));
    let (major, minor) = (version.next(), version.next().and_then(|minor| minor.parse::<u32>().ok()));
    unknown && major == Some("5") && minor.is_some_and(|minor| minor < 24)
}
