//! Members as neo4j-gateway meets them: behind TLS on addresses of their own, each with what a large cluster answers.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{Router, body::Bytes, extract::State, http::Uri, response::IntoResponse};
use cluster_core::neo4j::{Asked, Login, Observe, Request, Secret, statement};
use serde_json::{Value, json};

use super::endpoint::{Certified, Tls};

/// The name in the members' certificate.
const NAME: &str = "core.neo4j.service";
/// The databases of the cluster besides `system`, each with three primaries, and a secondary on every replica.
const DATABASES: usize = 10;

/// A cluster that can be observed.
#[derive(Debug)]
pub(super) struct Members {
    /// What the function is told.
    pub(super) variables: Vec<(String, String)>,
    /// The request to observe all of them.
    pub(super) event: Value,
    answered: Arc<Answered>,
}

#[derive(Debug, Default)]
struct Answered {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Member {
    bodies: Arc<BTreeMap<String, String>>,
    answered: Arc<Answered>,
}

impl Members {
    /// Opens a cluster, for a function that has these variables as well.
    pub(super) async fn open(cores: u8, replicas: u8, others: &[(String, String)]) -> Self {
        let certified = Certified::new(&[NAME]);
        let answered = Arc::<Answered>::default();
        let all = u8::try_from(usize::from(cores) + usize::from(replicas)).unwrap();
        let mut members = vec![];
        for number in 1..=all {
            let at = address(cores, number);
            let member = Member { bodies: Arc::new(bodies(cores, all, number)), answered: answered.clone() };
            let listener = Tls::listen(certified.acceptor.clone(), (at, 7473)).await;
            let router = Router::new().fallback(answer).with_state(member);
            tokio::spawn(async move { axum::serve(listener, router).await });
            let core = (number <= cores).then_some(number);
            members.push(Asked { task: format!("{number:032x}"), core, address: at, pages_only: false });
        }
        let monitor = Login { username: "monitor".to_owned(), password: Secret::new("a-password".to_owned()) };
        let event = serde_json::to_value(Request::Observe(Observe { members, monitor: Some(monitor) })).unwrap();
        let own = [("TLS_NAME", NAME), ("TLS_CA", certified.authority.as_str())];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = others.iter().cloned().chain(own).collect();
        Self { variables, event, answered }
    }

    /// Returns how many requests were answered, and with how many bytes of body.
    pub(super) fn answered(&self) -> (usize, usize) {
        (self.answered.calls.load(Relaxed), self.answered.bytes.load(Relaxed))
    }
}

async fn answer(State(member): State<Member>, uri: Uri, body: Bytes) -> impl IntoResponse {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = body["statement"].as_str().unwrap_or(uri.path());
    let body = member.bodies[what].clone();
    member.answered.calls.fetch_add(1, Relaxed);
    member.answered.bytes.fetch_add(body.len(), Relaxed);
    ([("content-type", "application/json")], body)
}

/// Returns the address of a member. Every cluster of the bench has a network of its own on loopback.
fn address(cores: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 10, cores, number)
}

/// What a member answers, by path and by statement, in the shapes of the manual.
fn bodies(cores: u8, all: u8, own: u8) -> BTreeMap<String, String> {
    let id = |number: u8| format!("565130e8-b8f0-41ad-8f9d-0000000000{number:02}");
    let bolt = |number: u8| format!("{}:7687", address(cores, number));
    let names: Vec<String> = (0..DATABASES).map(|n| format!("database-{n}")).chain(["system".to_owned()]).collect();
    let voters: Vec<_> = (1..=cores.min(3)).collect();
    let raft = names.iter().map(|name| {
        json!({"databaseName": name, "databaseUuid": id(0), "databaseStatus": {
            "lastAppliedRaftIndex": 4321, "votingMembers": voters.iter().map(|n| id(*n)).collect::<Vec<_>>(),
            "memberId": id(own), "leader": id(1), "millisSinceLastLeaderMessage": 12, "raftCommandsPerSecond": 0.0, "core": true,
            "participatingInRaftGroup": true, "healthy": true}})
    });
    let servers =
        (1..=all).map(|n| json!([id(n), bolt(n), "Enabled", "Available", names.clone(), names.clone(), "5.26.33"]));
    let copies = names.iter().flat_map(|name| {
        let hosts = voters.iter().copied().chain(cores + 1..=all);
        hosts.map(move |n| {
            let role = if n <= cores { "primary" } else { "secondary" };
            json!([
                name,
                "standard",
                "D04BF0680FD1F6D28C716731096C03F0",
                id(n),
                bolt(n),
                role,
                n == 1,
                "online",
                "online",
                "",
                3,
                3,
                all - cores,
                86_400
            ])
        })
    });
    let checks = names
        .iter()
        .flat_map(|name| voters.iter().map(move |n| json!([name, id(*n), true, "APPLYING", id(1), *n == own, null])));
    let rows = |fields: &[&str], values: Vec<Value>| json!({"data": {"fields": fields, "values": values}, "bookmarks": ["FB:kcwQ"]});
    let databases = [
        "name",
        "type",
        "databaseID",
        "serverID",
        "address",
        "role",
        "writer",
        "requestedStatus",
        "currentStatus",
        "statusMessage",
        "currentPrimariesCount",
        "requestedPrimariesCount",
        "requestedSecondariesCount",
        "age",
    ];
    let servers_of = ["serverId", "address", "state", "health", "hosting", "requestedHosting", "version"];
    let checks_of =
        ["database", "serverId", "replicationSuccessful", "memberStatus", "recognisedLeader", "requester", "error"];
    let page = json!({"neo4j_version": "5.26.33", "neo4j_edition": "enterprise", "query": "https://…/db/{databaseName}/query/v2"});
    let all = [
        ("/", page),
        ("/dbms/cluster/status", raft.collect()),
        (statement::LEFT_OVERS.text, rows(&["transactionId", "currentQuery", "millis"], vec![])),
        (statement::SERVERS.text, rows(&servers_of, servers.collect())),
        (statement::DATABASES.text, rows(&databases, copies.collect())),
        (statement::STATUS_CHECK.text, rows(&checks_of, checks.collect())),
    ];
    all.map(|(what, body)| (what.to_owned(), body.to_string())).into()
}
