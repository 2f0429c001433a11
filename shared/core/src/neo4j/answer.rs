use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Asked;

/// The answer to [`Request::Observe`](super::Request::Observe): one for each member that was asked, in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answers {
    /// The members' answers.
    pub members: Vec<Answer>,
}

/// What one member answered, each part by itself: a fault in one leaves the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The id of its task.
    pub task: String,
    /// The address that was asked.
    pub address: Ipv4Addr,
    /// `GET /`, which needs no login: whether its Neo4j answers at all.
    pub page: Result<Page, Fault>,
    /// `GET /dbms/cluster/status`, which needs no login, either: its databases with Raft, as it sees them itself. A database
    /// that is not available is left out. Requested only of cores that answered `page`.
    pub raft: Result<Vec<Raft>, Fault>,
    /// Its view in Cypher of servers and databases. Requested only of members that answered `page`.
    pub view: Result<View, Fault>,
    /// The status check of its databases. Requested only of cores that answered `view`.
    pub check: Result<Vec<Check>, Fault>,
    /// How long all that took.
    pub millis: u64,
}

impl Answer {
    /// Returns the answer of a member that could not be asked for anything.
    #[must_use]
    pub fn unasked(member: &Asked, fault: &Fault) -> Self {
        Self {
            task: member.task.clone(),
            address: member.address,
            page: Err(fault.clone()),
            raft: Err(fault.clone()),
            view: Err(fault.clone()),
            check: Err(fault.clone()),
            millis: 0,
        }
    }
}

/// `GET /`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// `neo4j_version`, such as `5.26.33` or `2026.08.1`.
    pub version: String,
    /// `neo4j_edition`, such as `enterprise`.
    pub edition: String,
}

/// One database in `GET /dbms/cluster/status`: one member's view of the Raft group.
/// Source: <https://neo4j.com/docs/operations-manual/current/clustering/monitoring/endpoints/>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raft {
    /// `databaseName`.
    pub database: String,
    /// `memberId`: a Raft id, which is no server id.
    pub member: Option<String>,
    /// `leader`: the Raft id of the leader; nothing when the member knows none.
    pub leader: Option<String>,
    /// `votingMembers`: Raft ids.
    pub voters: BTreeSet<String>,
    /// `lastAppliedRaftIndex`.
    pub applied: Option<i64>,
    /// `participatingInRaftGroup`.
    pub participating: Option<bool>,
    /// `isHealthy` or `healthy`: the manual has both.
    pub healthy: Option<bool>,
}

/// `SHOW SERVERS` and `SHOW DATABASES` as one member answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The member's own server id: that of the copies at its own address.
    pub server: Option<String>,
    /// The servers; requested only of cores.
    pub servers: Vec<Server>,
    /// The databases. A member that sees only `system` lacks rights.
    pub databases: Vec<Database>,
}

/// A row of `SHOW SERVERS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// `serverId`.
    pub id: String,
    /// `address`, of Bolt; nothing when the server has none any more.
    pub address: Option<String>,
    /// `state`, such as `Enabled`.
    pub state: String,
    /// `health`: `Available` says only that others can contact it.
    pub health: String,
    /// `hosting`.
    pub hosting: BTreeSet<String>,
    /// `requestedHosting`.
    pub requested: BTreeSet<String>,
    /// `version`.
    pub version: Option<String>,
}

/// The rows of `SHOW DATABASES` about one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// `name`.
    pub name: String,
    /// `databaseID`: another one under the same name is another database.
    pub id: Option<String>,
    /// `type`, such as `standard`, `system` or `composite`.
    pub kind: String,
    /// `requestedStatus`, such as `online` or `offline`.
    pub requested_status: String,
    /// `requestedPrimariesCount`; nothing when there is none, as in Community.
    pub requested_primaries: Option<u32>,
    /// `requestedSecondariesCount`.
    pub requested_secondaries: Option<u32>,
    /// `currentPrimariesCount`.
    pub current_primaries: Option<u32>,
    /// How many seconds ago it was created, by the member's own clock, which may be behind that of the member that
    /// created it: then it is negative.
    pub age: Option<i64>,
    /// Its copies, as this member knows them.
    pub copies: Vec<Copy>,
}

/// A row of `SHOW DATABASES`: a copy of a database on one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// `serverID`.
    pub server: Option<String>,
    /// `role`: `primary`, `secondary`, or nothing when it is unknown.
    pub role: Option<String>,
    /// `writer`: whether it is the leader's.
    pub writer: bool,
    /// `currentStatus`, such as `online`, `offline`, `starting`, `store copying`, `quarantined`, `dirty`, `unknown`.
    pub status: String,
    /// `statusMessage`. A full disk leaves the status `online`, and only this says so.
    pub message: String,
}

/// A row of `dbms.cluster.statusCheck`: how a replicated entry fared on one primary.
/// Source: <https://neo4j.com/docs/operations-manual/current/clustering/monitoring/status-check/>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `database`.
    pub database: String,
    /// `serverId`.
    pub server: String,
    /// `replicationSuccessful`.
    pub replicated: Option<bool>,
    /// `memberStatus`, such as `APPLYING`.
    pub status: Option<String>,
    /// `recognisedLeader`: a server id.
    pub leader: Option<String>,
    /// `requester`: whether this is the member that was asked.
    pub requester: bool,
    /// `error`.
    pub error: Option<String>,
}

/// The answer to [`Request::DeclareUsers`](super::Request::DeclareUsers).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// What became of the user, or why nothing did.
    pub monitor: Result<Declaration, Fault>,
}

/// What became of a declared user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Declaration {
    /// It was created.
    Created,
    /// It has another password now.
    Changed,
    /// It was as declared.
    Left,
}

/// Why a member did not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: Kind,
    /// The details, for people: at most 300 characters, and never a password.
    pub message: String,
}

/// The kinds of faults that decisions tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing, or only a part, came in time.
    Silent,
    /// No connection: refused, reset, no route.
    Unreachable,
    /// The certificate is wrong: another name, expired, signed by somebody unknown; or there is no TLS at all.
    Certificate,
    /// The login was refused (401).
    LoginRefused,
    /// The user is locked for some seconds after three refused logins (429).
    Locked,
    /// The user must change its password first (400 `CredentialsExpired`).
    PasswordExpired,
    /// The user lacks rights.
    Forbidden,
    /// There is no such page: not a cluster member, or another edition.
    NotFound,
    /// A redirect, HTML, cut JSON, or another shape than documented.
    Unreadable,
    /// More than the limit.
    TooLarge,
    /// Neo4j answered with an error, or with rows and then an error.
    Failed,
    /// It was not asked, and the message says why.
    NotAsked,
}

impl Fault {
    /// Makes a fault.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
