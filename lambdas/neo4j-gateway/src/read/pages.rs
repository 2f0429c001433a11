use std::collections::BTreeSet;

use cluster_core::neo4j::{Fault, Kind, Page, Raft};
use serde::Deserialize;

use super::{status, unreadable};
use crate::{ask::Reply, faults::fault};

#[derive(Deserialize)]
struct Root {
    neo4j_version: String,
    neo4j_edition: String,
}

/// Reads `GET /`.
/// Source: <https://neo4j.com/docs/query-api/current/endpoints/>, and what both series answer.
pub(crate) fn page(reply: &Reply) -> Result<Page, Fault> {
    success(reply)?;
    let root: Root = serde_json::from_slice(&reply.body).map_err(|e| unreadable(reply, &format!("no Neo4j: {e}")))?;
    Ok(Page { version: root.neo4j_version, edition: root.neo4j_edition })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    database_name: String,
    database_status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    member_id: Option<String>,
    leader: Option<String>,
    #[serde(default)]
    voting_members: Option<BTreeSet<String>>,
    last_applied_raft_index: Option<i64>,
    participating_in_raft_group: Option<bool>,
    healthy: Option<bool>,
    is_healthy: Option<bool>,
}

/// Reads `GET /dbms/cluster/status`. The page of one database says `isHealthy`, the combined one `healthy`; where both stand,
/// both have to be true.
/// Source: <https://neo4j.com/docs/operations-manual/current/clustering/monitoring/endpoints/#combined-status-endpoints>.
pub(crate) fn raft(reply: &Reply) -> Result<Vec<Raft>, Fault> {
    success(reply)?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&reply.body).map_err(|e| unreadable(reply, &format!("no status of databases: {e}")))?;
    let raft = |Entry { database_name, database_status: status }: Entry| Raft {
        database: database_name,
        member: status.member_id,
        leader: status.leader,
        voters: status.voting_members.unwrap_or_default(),
        applied: status.last_applied_raft_index,
        participating: status.participating_in_raft_group,
        healthy: match (status.healthy, status.is_healthy) {
            (Some(one), Some(other)) => Some(one && other),
            (one, other) => one.or(other),
        },
    };
    Ok(entries.into_iter().map(raft).collect())
}

/// Refuses what is no answer to a page that needs no login.
fn success(reply: &Reply) -> Result<(), Fault> {
    match reply.status {
        200 => Ok(()),
        // That is no matter of the user `monitor`, whose password was not sent.
        401 => {
            let setting = "dbms.security.cluster_status_auth_enabled should be false";
            Err(fault(Kind::Unreadable, &format!("the page wants a login (401), which it should not: {setting}")))
        }
        _ => Err(status(reply)),
    }
}
