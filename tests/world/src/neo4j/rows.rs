//! What a member sees: of servers, of databases, and of the copies with Raft.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Copy, Database, Dbms, Fault, Kind, Member, Server, Tier, http::version, query::Row};

/// How far behind a copy must be to be of no use to a majority.
const TOO_FAR: i64 = 1;

pub(super) fn row<const N: usize>(columns: [(&str, Value); N]) -> Row {
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn left_out(faults: &BTreeSet<Fault>, name: &str) -> bool {
    faults.contains(&Fault::LeavesOut(name.to_owned()))
}

fn bolt(server: &Server) -> String {
    format!("{}:7687", server.address)
}

/// The time by a member's own clock.
fn clock(faults: &BTreeSet<Fault>, now: Timestamp) -> Timestamp {
    let skew =
        faults.iter().find_map(|fault| if let Fault::ClockSkew(seconds) = fault { Some(*seconds) } else { None });
    now + SignedDuration::from_secs(skew.unwrap_or(0))
}

/// `SHOW SERVERS` (operations manual, «Managing servers in a cluster», «Listing servers»).
pub(super) fn servers(member: &Member, dbms: &Dbms, faults: &BTreeSet<Fault>, now: Timestamp) -> Vec<Row> {
    let each = dbms.servers.iter().map(|(id, server)| {
        let hosted = |requested: bool| -> Vec<&String> {
            let all = dbms.databases.iter().filter(|(name, _)| !left_out(faults, name));
            let hosted = all.filter(|(_, database)| match database.kind {
                Kind::Composite => !requested,
                _ => database.copies.get(id).is_some_and(|copy| requested || copy.status != "store copying"),
            });
            hosted.filter(|(_, database)| !requested || database.dropped.is_none()).map(|(name, _)| name).collect()
        };
        let missed = server.is_missed(now);
        let known_version = if *id == member.server { version(member, faults) } else { server.version.clone() };
        row([
            ("serverId", json!(id)),
            ("name", json!(id)),
            ("address", json!(bolt(server))),
            ("state", json!(server.state)),
            ("health", json!(if missed { "Unavailable" } else { "Available" })),
            ("hosting", json!(if missed { vec![] } else { hosted(false) })),
            ("requestedHosting", json!(hosted(true))),
            ("version", if missed { Value::Null } else { json!(known_version) }),
        ])
    });
    each.collect()
}

/// `SHOW DATABASES` (operations manual, «Monitor databases»): a row for each copy. A database whose servers are all away does
/// not appear.
pub(super) fn databases(
    member: &Member,
    dbms: &Dbms,
    faults: &BTreeSet<Fault>,
    now: Timestamp,
    sees: impl Fn(&str) -> bool,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, database) in dbms.databases.iter().filter(|(name, _)| sees(name) && !left_out(faults, name)) {
        let copies = database.copies.iter().filter_map(|(id, copy)| Some((id, dbms.servers.get(id)?, copy)));
        if database.copies.keys().all(|id| dbms.servers.get(id).is_none_or(|server| server.is_missed(now))) {
            continue;
        }
        let runs = |primary: bool| {
            let all = copies.clone().filter(|(_, server, _)| !server.is_missed(now));
            all.filter(|(_, _, copy)| copy.primary == primary && copy.status == "online").count()
        };
        let applies = database.kind != Kind::Composite;
        let (primaries, secondaries) = (runs(true), runs(false));
        let age = clock(faults, now).duration_since(database.created).as_secs();
        let message_of = |id: &String, copy: &Copy| {
            let own = faults.iter().find_map(|fault| match fault {
                Fault::Message(database, message) if database == name && *id == member.server => Some(message.clone()),
                _ => None,
            });
            own.unwrap_or_else(|| copy.message.clone())
        };
        for (id, server, copy) in copies.clone() {
            let missed = server.is_missed(now);
            let role = match (applies, missed || copy.status != "online", copy.primary) {
                (false, _, _) => Value::Null,
                (true, true, _) if missed || copy.status != "store copying" && copy.status != "starting" => {
                    json!("unknown")
                }
                (true, _, true) => json!("primary"),
                (true, _, false) => json!("secondary"),
            };
            let here = !missed && copy.status == "online";
            rows.push(row([
                ("name", json!(name)),
                ("type", json!(database.kind.name())),
                ("databaseID", if here { json!(database.id) } else { Value::Null }),
                ("serverID", json!(id)),
                ("address", if missed { Value::Null } else { json!(bolt(server)) }),
                ("role", role),
                ("writer", json!(here && database.leader.as_ref() == Some(id))),
                ("requestedStatus", json!(if database.wanted { "online" } else { "offline" })),
                ("currentStatus", json!(if missed { "unknown" } else { copy.status })),
                (
                    "statusMessage",
                    json!(if missed { "Server is unavailable".to_owned() } else { message_of(id, copy) }),
                ),
                ("currentPrimariesCount", if applies { json!(primaries) } else { Value::Null }),
                ("currentSecondariesCount", if applies { json!(secondaries) } else { Value::Null }),
                ("requestedPrimariesCount", requested(dbms, database)),
                (
                    "requestedSecondariesCount",
                    if applies { json!(database.secondaries.unwrap_or(0)) } else { Value::Null },
                ),
                ("creationTime", json!(database.created.to_string())),
                ("age", json!(age)),
            ]));
        }
    }
    rows
}

/// `system` is on every core that is enabled.
fn requested(dbms: &Dbms, database: &Database) -> Value {
    match database.kind {
        Kind::Composite => Value::Null,
        Kind::System => {
            json!(dbms.servers.values().filter(|server| server.tier == Tier::Core && server.state == "Enabled").count())
        }
        Kind::Standard => json!(database.primaries),
    }
}

/// The databases with Raft of which a server has a primary.
fn clustered<'a>(
    dbms: &'a Dbms,
    server: &'a str,
    faults: &'a BTreeSet<Fault>,
) -> impl Iterator<Item = (&'a String, &'a Database, &'a Copy)> {
    let all = dbms.databases.iter().filter(|(name, database)| {
        database.kind != Kind::Composite && database.wanted && database.primaries != Some(1) && !left_out(faults, name)
    });
    all.filter_map(move |(name, database)| {
        Some((name, database, database.copies.get(server).filter(|copy| copy.primary)?))
    })
}

/// `GET /dbms/cluster/status` (operations manual, «Monitor cluster endpoints for status information»). What is not available is
/// left out. (Source of the 4.x line.)
pub(super) fn status(member: &Member, dbms: &Dbms, faults: &BTreeSet<Fault>, now: Timestamp) -> Value {
    let raft = |database: &Database, server: &String| database.copies.get(server).map(|copy| copy.raft.clone());
    let full = dbms.servers.get(&member.server).is_some_and(|server| server.full);
    let each = clustered(dbms, &member.server, faults).filter(|(_, _, copy)| copy.status == "online");
    let entries = each.map(|(name, database, copy)| {
        let applied = now.duration_since(database.created).as_secs() - copy.lag;
        let mut status = json!({
            "lastAppliedRaftIndex": applied, "memberId": copy.raft, "core": true, "healthy": !(full && name != "system"),
            "votingMembers": database.voters().map(|(_, copy)| &copy.raft).collect::<Vec<_>>(),
            "participatingInRaftGroup": copy.lag <= TOO_FAR && database.leader.is_some(), "raftCommandsPerSecond": 1.0,
        });
        if let Some(leader) = database.leader.as_ref().and_then(|leader| raft(database, leader)) {
            let silent = database.leader.as_ref().and_then(|leader| dbms.servers.get(leader)?.down);
            let millis = silent.map_or(0, |down| now.duration_since(down.since).as_millis());
            status["leader"] = json!(leader);
            status["millisSinceLastLeaderMessage"] = json!(i64::try_from(millis).unwrap_or(i64::MAX));
        }
        json!({"databaseName": name, "databaseUuid": database.id, "databaseStatus": status})
    });
    entries.collect()
}

/// `dbms.cluster.statusCheck` (operations manual, «Monitor replication status»): of every database with Raft of which the asked
/// member has a primary a row for each primary.
pub(super) fn checks(member: &Member, dbms: &Dbms, faults: &BTreeSet<Fault>, now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, database, own) in clustered(dbms, &member.server, faults) {
        let leads = database
            .leader
            .as_ref()
            .is_some_and(|leader| dbms.servers.get(leader).is_some_and(|server| server.down.is_none()));
        let full = |id: &str| dbms.servers.get(id).is_some_and(|server| server.full && name != "system");
        let replicates = database.has_majority() && leads && own.unable.is_none() && own.lag <= TOO_FAR;
        for (id, copy) in database.voters() {
            let down = dbms.servers.get(id).is_none_or(|server| server.down.is_some());
            let status = match (down, copy.status, copy.lag > TOO_FAR || full(id)) {
                (true, _, _) | (_, _, true) => "UNAVAILABLE",
                (_, "online", _) => "APPLYING",
                (_, "starting", _) => "REPLICATING",
                _ => "UNAVAILABLE",
            };
            rows.push(row([
                ("database", json!(name)),
                ("serverId", json!(id)),
                ("serverName", json!(id)),
                ("address", json!(dbms.servers.get(id).map(bolt))),
                ("replicationSuccessful", json!(replicates)),
                ("memberStatus", json!(status)),
                ("recognisedLeader", if down { Value::Null } else { json!(database.leader) }),
                ("recognisedLeaderTerm", if down { Value::Null } else { json!(database.term) }),
                ("requester", json!(*id == member.server)),
                ("error", Value::Null),
            ]));
        }
    }
    _ = now;
    rows
}
