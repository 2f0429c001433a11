use std::{collections::BTreeSet, net::Ipv4Addr};

use cluster_core::neo4j::{Check, Copy, Database, Fault, Server, statement::MARK};

use super::{Rows, query::Row};

/// Reads the rows of `SERVERS`.
/// Source: <https://neo4j.com/docs/operations-manual/current/clustering/servers/#_show_servers>.
pub(crate) fn servers(rows: &Rows) -> Result<Vec<Server>, Fault> {
    let server = |row: Row<'_>| {
        Ok(Server {
            id: row.get("serverId")?,
            address: row.get("address")?,
            state: row.get("state")?,
            health: row.get("health")?,
            hosting: row.get::<Option<_>>("hosting")?.unwrap_or_default(),
            requested: row.get::<Option<_>>("requestedHosting")?.unwrap_or_default(),
            version: row.get("version")?,
        })
    };
    rows.iter().map(server).collect()
}

/// Reads the rows of `DATABASES`: one for each copy of a database.
/// Source: <https://neo4j.com/docs/operations-manual/current/database-administration/standard-databases/listing-databases/>.
pub(crate) fn databases(rows: &Rows) -> Result<Vec<Database>, Fault> {
    let mut databases: Vec<Database> = vec![];
    for row in rows.iter() {
        let name: String = row.get("name")?;
        let read = Database {
            id: row.get("databaseID")?,
            kind: row.get("type")?,
            requested_status: row.get("requestedStatus")?,
            requested_primaries: row.count("requestedPrimariesCount")?,
            requested_secondaries: row.count("requestedSecondariesCount")?,
            current_primaries: row.count("currentPrimariesCount")?,
            age: row.get("age")?,
            copies: vec![Copy {
                server: row.get("serverID")?,
                role: row.get::<Option<String>>("role")?.filter(|role| role != "unknown"),
                writer: row.get::<Option<bool>>("writer")?.unwrap_or_default(),
                status: row.get::<Option<String>>("currentStatus")?.unwrap_or_else(|| "unknown".to_owned()),
                message: row.get::<Option<String>>("statusMessage")?.unwrap_or_default(),
            }],
            name,
        };
        match databases.iter_mut().find(|known| known.name == read.name) {
            Some(known) => join(known, read),
            None => databases.push(read),
        }
    }
    Ok(databases)
}

/// Joins what two rows say of a database. The id is given only where its copy is online.
fn join(known: &mut Database, other: Database) {
    known.id = known.id.take().or(other.id);
    known.requested_primaries = known.requested_primaries.or(other.requested_primaries);
    known.requested_secondaries = known.requested_secondaries.or(other.requested_secondaries);
    known.current_primaries = known.current_primaries.or(other.current_primaries);
    known.age = known.age.or(other.age);
    known.copies.extend(other.copies);
}

/// Returns the server id of the member at an address: that of the copies that the rows of `DATABASES` show there. A server
/// that has gone may have had the address before, so where there are several ids those count whose copies are known; and
/// where that leaves several there is none.
pub(crate) fn own(rows: &Rows, address: Ipv4Addr) -> Result<Option<String>, Fault> {
    let (mut all, mut known) = (BTreeSet::new(), BTreeSet::new());
    for row in rows.iter() {
        let (server, at): (Option<String>, Option<String>) = (row.get("serverID")?, row.get("address")?);
        let (Some(server), Some(at)) = (server, at) else { continue };
        let host = at.rsplit_once(':').map_or(at.as_str(), |(host, _)| host);
        if host.parse() != Ok(address) {
            continue;
        }
        if row.get::<Option<String>>("currentStatus")?.is_some_and(|status| status != "unknown") {
            known.insert(server.clone());
        }
        all.insert(server);
    }
    let only = |ids: BTreeSet<String>| (ids.len() == 1).then(|| ids.into_iter().next()).flatten();
    Ok(only(all).or_else(|| only(known)))
}

/// Reads the rows of `STATUS_CHECK`.
/// Source: <https://neo4j.com/docs/operations-manual/current/clustering/monitoring/status-check/>.
pub(crate) fn checks(rows: &Rows) -> Result<Vec<Check>, Fault> {
    let check = |row: Row<'_>| {
        Ok(Check {
            database: row.get("database")?,
            server: row.get("serverId")?,
            replicated: row.get("replicationSuccessful")?,
            status: row.get("memberStatus")?,
            leader: row.get("recognisedLeader")?,
            requester: row.get::<Option<bool>>("requester")?.unwrap_or_default(),
            error: row.get("error")?,
        })
    };
    rows.iter().map(check).collect()
}

/// Returns the ids of the transactions in the rows of `LEFT_OVERS` that have our mark and are older than this.
pub(crate) fn left_overs(rows: &Rows, older: i64) -> Result<Vec<String>, Fault> {
    let mut ids = vec![];
    for row in rows.iter() {
        let query: Option<String> = row.get("currentQuery")?;
        let millis: Option<i64> = row.get("millis")?;
        if query.is_some_and(|query| query.starts_with(MARK)) && millis.is_some_and(|millis| millis > older) {
            ids.push(row.get("transactionId")?);
        }
    }
    Ok(ids)
}
