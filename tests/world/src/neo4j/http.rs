//! What a member answers over HTTP.

use std::net::Ipv4Addr;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{super::World, Dbms, Fault, Member, Phase, rows, users::Login};

/// A request over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `Accept`.
    pub accept: Option<String>,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// The connection stands, and nothing ever comes.
    Silence,
    /// No connection ever stands: packets are lost.
    Unreachable,
    /// The connection is refused: nothing listens.
    Refused,
    /// The connection breaks.
    Reset,
    /// The head and a part of the body come, and then nothing.
    HalfClosed(Answer),
}

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers that matter.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it takes.
    pub millis: u64,
}

impl Request {
    /// A request for a page.
    #[must_use]
    pub fn get(path: &str) -> Self {
        let (method, path, accept) = ("GET".to_owned(), path.to_owned(), Some("application/json".to_owned()));
        Self { method, path, accept, ..Self::default() }
    }

    /// A statement for the Query API.
    #[must_use]
    pub fn query(database: &str, login: Option<(&str, &str)>, body: &Value) -> Self {
        let json = Some("application/json".to_owned());
        Self {
            method: "POST".to_owned(),
            path: format!("/db/{database}/query/v2"),
            authorization: login.map(|(user, password)| basic(user, password)),
            accept: json.clone(),
            content_type: json,
            body: body.to_string().into_bytes(),
        }
    }

    fn login(&self) -> Option<(String, String)> {
        let encoded = self.authorization.as_deref()?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    fn accepts(&self, kind: &str) -> bool {
        self.accept.as_deref().is_none_or(|accept| accept.contains(kind) || accept.contains("*/*"))
    }
}

/// The header `Authorization` of a user.
#[must_use]
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

impl Answer {
    /// An answer in JSON.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), millis: 0 }
    }

    /// An error in Neo4j's form.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": message}]}))
    }

    pub(super) fn invalid(status: u16, message: &str) -> Self {
        Self::error(status, "Neo.ClientError.Request.Invalid", message)
    }

    pub(super) fn unauthorized() -> Self {
        let mut answer = Self::error(401, "Neo.ClientError.Security.Unauthorized", "Invalid credential.");
        let challenge = "Basic realm=\"Neo4j\", Bearer realm=\"Neo4j\"";
        answer.headers.push(("www-authenticate", challenge.to_owned()));
        answer
    }

    pub(super) fn locked() -> Self {
        let message = "Too many failed authentication requests. Please wait 5 seconds and try again.";
        Self::error(429, "Neo.ClientError.Security.AuthenticationRateLimit", message)
    }

    /// Changes the body, if it is JSON.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_slice(&self.body) {
            change(&mut body);
            self.body = body.to_string().into_bytes();
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl World {
    /// Asks whatever has an address, over HTTP.
    pub fn ask_neo4j(&mut self, address: Ipv4Addr, request: &Request) -> Reply {
        let faults = self.neo4j.faults.get(&address).cloned().unwrap_or_default();
        if let Some(reply) = faults.iter().find_map(|fault| fault.before(request)) {
            return reply;
        }
        let Some((task, member)) = self.neo4j.member_at(address) else { return self.nobody_at(address) };
        if member.hangs {
            // The kernel still takes connections to a port that was open.
            return if member.phase == Phase::Serving { Reply::Silence } else { Reply::Refused };
        }
        if member.phase != Phase::Serving {
            return Reply::Refused;
        }
        let task = task.clone();
        let reply = if faults.contains(&Fault::SomebodyElse) {
            self.as_somebody_else(&task, request, &faults)
        } else {
            self.answer_as(&task, request, &faults)
        };
        faults.iter().fold(reply, |reply, fault| fault.after(request, reply))
    }

    /// Nothing listens: an instance that runs says so.
    fn nobody_at(&self, address: Ipv4Addr) -> Reply {
        let runs = self.ec2.instances.values().any(|found| found.address == address && found.state == "running");
        if runs { Reply::Refused } else { Reply::Unreachable }
    }

    /// Another Neo4j of the same kind, which is not the one that was there.
    fn as_somebody_else(&mut self, task: &str, request: &Request, faults: &std::collections::BTreeSet<Fault>) -> Reply {
        let mut other = self.clone();
        let Some(member) = other.neo4j.members.get_mut(task) else { return Reply::Refused };
        let (key, old, new) = (member.key(), member.server.clone(), super::derived("somebody else", &member.server));
        member.server.clone_from(&new);
        if let Some(dbms) = key.and_then(|key| other.neo4j.dbms.get_mut(&key)) {
            dbms.rename(&old, &new);
        }
        other.answer_as(task, request, faults)
    }

    fn answer_as(&mut self, task: &str, request: &Request, faults: &std::collections::BTreeSet<Fault>) -> Reply {
        let now = self.now;
        let super::Neo4j { members, dbms, .. } = &mut self.neo4j;
        let Some(member) = members.get_mut(task) else { return Reply::Refused };
        let Some(dbms) = member.key().and_then(|key| dbms.get_mut(&key)) else { return Reply::Refused };
        match request.path.as_str() {
            "/" => page(member, request, faults).into(),
            // Without a login, as `dbms.security.cluster_status_auth_enabled=false` allows (operations manual, «Monitor cluster
            // endpoints for status information»). Community knows no such page.
            "/dbms/cluster/status" if request.method == "GET" && !faults.contains(&Fault::Community) => {
                Answer::json(200, &rows::status(member, dbms, faults, now)).into()
            }
            path => match path.strip_prefix("/db/").and_then(|rest| rest.strip_suffix("/query/v2")) {
                Some(database) => {
                    let database = database.to_owned();
                    query(member, dbms, &database, request, faults, now)
                }
                None => Answer::invalid(404, "Not Found").into(),
            },
        }
    }
}

/// `GET /`.
fn page(member: &Member, request: &Request, faults: &std::collections::BTreeSet<Fault>) -> Answer {
    let host = member.address;
    if request.accept.as_deref().is_some_and(|accept| accept.contains("text/html")) {
        let headers = vec![("location", format!("http://{host}:7474/browser/"))];
        return Answer { status: 303, headers, body: vec![], millis: 0 };
    }
    let version = version(member, faults);
    let edition = if faults.contains(&Fault::Community) { "community" } else { "enterprise" };
    Answer::json(
        200,
        &json!({
            "query": format!("http://{host}:7474/db/{{databaseName}}/query/v2"),
            "transaction": format!("http://{host}:7474/db/{{databaseName}}/tx"),
            "bolt_routing": format!("neo4j://{host}:7687"), "bolt_direct": format!("bolt://{host}:7687"),
            "neo4j_version": version, "neo4j_edition": edition,
        }),
    )
}

/// The version that a member says it has.
pub(super) fn version(member: &Member, faults: &std::collections::BTreeSet<Fault>) -> String {
    let other = faults.iter().find_map(|fault| match fault {
        Fault::Version(version) => Some(version.clone()),
        _ => None,
    });
    other.unwrap_or_else(|| member.settings.version.clone())
}

/// The Query API, up to the statement: who asks, in what form, and of which database.
fn query(
    member: &mut Member,
    dbms: &mut Dbms,
    database: &str,
    request: &Request,
    faults: &std::collections::BTreeSet<Fault>,
    now: jiff::Timestamp,
) -> Reply {
    let Some((user, password)) = request.login() else { return Answer::unauthorized().into() };
    if faults.contains(&Fault::LoginRefused) {
        return Answer::unauthorized().into();
    }
    match dbms.log_in(&mut member.logins, &user, &password, now) {
        Login::Accepted => {}
        Login::Refused => return Answer::unauthorized().into(),
        Login::Locked => return Answer::locked().into(),
    }
    if request.method != "POST" {
        return Answer::invalid(405, "Method Not Allowed").into();
    }
    if !request.content_type.as_deref().is_some_and(|kind| kind.contains("json")) {
        return Answer::invalid(415, "Unsupported Media Type").into();
    }
    if !request.accepts("json") {
        return Answer::invalid(406, "Not Acceptable").into();
    }
    let Some(query) = super::query::Query::read(&request.body) else {
        return Answer::invalid(400, "Bad Request").into();
    };
    if faults.contains(&Fault::PasswordExpired) || dbms.users.get(&user).is_some_and(|user| user.expired) {
        let message = "Permission denied.\n\nThe credentials you provided were valid, but must be changed before you can use this instance.";
        return Answer::error(400, "Neo.ClientError.Security.CredentialsExpired", message).into();
    }
    if !dbms.databases.contains_key(database) {
        let message = format!("Graph not found: {database}");
        return Answer::error(404, "Neo.ClientError.Database.DatabaseNotFound", &message).into();
    }
    super::statements::run(
        member,
        dbms,
        &super::statements::Asked { user: &user, database, query: &query, faults, now },
    )
}
