//! Members that answer what a test says.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use cluster_core::neo4j::{Answer, Answers, Asked, DeclareUsers, Declared, Login, Observe, Request, Secret, statement};
use neo4j_gateway::{Connect, Gateway};
use serde_json::{Value, json};

/// The password of `monitor`.
pub(crate) const MONITOR: &str = "m0nitor \"secret\"";
/// The password of the administrator.
pub(crate) const ADMIN: &str = "4dmin-secret";

/// What a member says to one request.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// A status and a body.
    Text(u16, String),
    /// Nothing, ever.
    Nothing,
    /// It refuses the connection.
    Refused,
    /// This, after so many milliseconds.
    Late(u64, Box<Said>),
}

/// One request: the address, the path or the name of the statement, and the body.
pub(crate) type Sent = (Ipv4Addr, String, Value);

/// Members that answer as a healthy Enterprise does, but for what a test says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    other: BTreeMap<(Ipv4Addr, &'static str), Vec<Said>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

pub(crate) fn address(core: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, core, 11)
}

pub(crate) fn said(status: u16, body: &Value) -> Said {
    Said::Text(status, body.to_string())
}

/// An error of the Query API.
pub(crate) fn error(status: u16, code: &str) -> Said {
    said(status, &json!({"errors": [{"code": code, "message": "words"}]}))
}

pub(crate) fn rows(fields: &[&str], values: &Value) -> Said {
    said(202, &json!({"data": {"fields": fields, "values": values}, "bookmarks": ["FB:"], "queryType": "r"}))
}

/// What a change answers that made so many updates.
pub(crate) fn updates(count: u64) -> Said {
    said(202, &json!({"data": {"fields": [], "values": []}, "counters": {"systemUpdates": count}, "bookmarks": []}))
}

impl Members {
    /// Lets a member say these things to a path or a statement in turn, and the last one for ever.
    pub(crate) fn says(mut self, core: u8, to: &'static str, all: impl IntoIterator<Item = Said>) -> Self {
        self.other.insert((address(core), to), all.into_iter().collect());
        self
    }

    /// Returns what was sent, without bodies.
    pub(crate) fn sent_to(&self, core: u8) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(at, ..)| *at == address(core)).map(|(_, what, _)| what.clone()).collect()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Returns the function among these members.
    pub(crate) fn gateway(&self) -> Gateway {
        let members = self.clone();
        let connect = Connect::new(move |at| SharedHttpConnector::new(At(at, members.clone())));
        Gateway::new(&|_: &str| None, connect).unwrap()
    }

    /// Observes these cores and a replica, which has number 0 here.
    pub(crate) async fn observe(&self, cores: &[u8]) -> Vec<Answer> {
        let members = cores.iter().map(|core| asked(*core)).collect();
        let request = Observe { members, monitor: Some(login("monitor", MONITOR)) };
        observed(&self.gateway(), request).await
    }

    pub(crate) async fn declare(&self, cores: &[u8]) -> Declared {
        let members = cores.iter().map(|core| asked(*core)).collect();
        let (admin, monitor) = (login("neo4j", ADMIN), login("monitor", MONITOR));
        let request = Request::DeclareUsers(DeclareUsers { members, admin, monitor });
        let answer = self.gateway().handle(serde_json::to_value(request).unwrap()).await.unwrap();
        serde_json::from_value(answer).unwrap()
    }

    fn answer(&self, at: Ipv4Addr, request: &HttpRequest) -> Said {
        let body = request.body().bytes().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        let what = name_of(request, &body);
        let mut sent = self.sent.lock().unwrap();
        let before = sent.iter().filter(|(to, name, _)| *to == at && *name == what).count();
        let other = self.other.iter().find(|((to, name), _)| *to == at && *name == what).map(|(_, all)| all);
        sent.push((at, what.clone(), body));
        match other {
            Some(all) => all.get(before).or(all.last()).cloned().unwrap(),
            None => healthy(at, &what),
        }
    }
}

pub(crate) fn asked(core: u8) -> Asked {
    let number = (core > 0).then_some(core);
    Asked { task: format!("t{core}"), core: number, address: address(core), pages_only: false }
}

pub(crate) fn login(username: &str, password: &str) -> Login {
    Login { username: username.to_owned(), password: Secret::new(password.to_owned()) }
}

pub(crate) async fn observed(gateway: &Gateway, request: Observe) -> Vec<Answer> {
    let payload = serde_json::to_value(Request::Observe(request)).unwrap();
    let answer = gateway.handle(payload).await.unwrap();
    let text = answer.to_string();
    for secret in ["m0nitor", ADMIN] {
        assert!(!text.contains(secret), "a password is in {text}");
    }
    serde_json::from_value::<Answers>(answer).unwrap().members
}

fn name_of(request: &HttpRequest, body: &Value) -> String {
    let path = request.uri().parse::<http::Uri>().unwrap().path().to_owned();
    let Some(text) = body["statement"].as_str() else { return path };
    assert_eq!(path, "/db/system/query/v2");
    let (name, _) = statement::ALL.iter().find(|(_, known)| known.text == text).unwrap();
    (*name).to_owned()
}

/// What a healthy member of a cluster of three answers, in the shapes of the manual.
pub(crate) fn healthy(at: Ipv4Addr, what: &str) -> Said {
    let raft = |name: &str| {
        json!({"databaseName": name, "databaseUuid": "u", "databaseStatus": {
            "lastAppliedRaftIndex": 7, "votingMembers": ["r1", "r2", "r3"], "memberId": format!("r{}", at.octets()[2]), "leader": "r1",
            "millisSinceLastLeaderMessage": 0, "raftCommandsPerSecond": 0.0, "core": true,
            "participatingInRaftGroup": true, "healthy": true}})
    };
    let bolt = |core: u8| format!("{}:7687", address(core));
    match what {
        "/" => said(200, &json!({"neo4j_version": "5.26.33", "neo4j_edition": "enterprise", "query": "x"})),
        "/dbms/cluster/status" => said(200, &json!([raft("neo4j"), raft("system")])),
        "LEFT_OVERS" => rows(&["transactionId", "currentQuery", "millis"], &json!([])),
        "SERVERS" => rows(
            &["serverId", "address", "state", "health", "hosting", "requestedHosting", "version"],
            &json!([1, 2, 3].map(|core| json!([
                format!("s{core}"),
                bolt(core),
                "Enabled",
                "Available",
                ["neo4j", "system"],
                ["system", "neo4j"],
                "5.26.33"
            ]))),
        ),
        "DATABASES" => rows(
            &[
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
            ],
            &json!([0, 1, 2, 3].map(|core| json!([
                "neo4j",
                "standard",
                "D",
                format!("s{core}"),
                bolt(core),
                if core > 0 { "primary" } else { "secondary" },
                core == 1,
                "online",
                "online",
                "",
                3,
                3,
                0,
                99
            ]))),
        ),
        "STATUS_CHECK" => rows(
            &[
                "database",
                "serverId",
                "replicationSuccessful",
                "memberStatus",
                "recognisedLeader",
                "requester",
                "error",
            ],
            &json!([1, 2, 3].map(|core| json!([
                "neo4j",
                format!("s{core}"),
                true,
                "APPLYING",
                "s1",
                address(core) == at,
                null
            ]))),
        ),
        "SET_PASSWORD" => said(
            400,
            &json!({"errors": [{
            "code": "Neo.ClientError.Statement.ArgumentError",
            "message": "Failed to alter the specified user 'monitor': Old password and new password cannot be the same."}]}),
        ),
        _ => updates(0),
    }
}

/// The connector to one member.
#[derive(Debug)]
struct At(Ipv4Addr, Members);

impl HttpConnector for At {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert!(request.uri().starts_with(&format!("http://{}:7474/", self.0)), "{}", request.uri());
        assert_eq!(request.headers().get("accept"), Some("application/json"));
        let is_query = request.method() == "POST";
        assert_eq!(request.headers().get("authorization").is_some(), is_query, "a page needs no login");
        let mut said = self.1.answer(self.0, &request);
        HttpConnectorFuture::new(async move {
            while let Said::Late(millis, then) = said {
                tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                said = *then;
            }
            match said {
                Said::Text(status, body) => Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))),
                Said::Nothing => std::future::pending().await,
                Said::Late(..) => unreachable!(),
                Said::Refused => Err(ConnectorError::io("connection refused".into())),
            }
        })
    }
}
