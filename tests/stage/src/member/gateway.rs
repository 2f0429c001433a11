//! The gateway's own code and the product's statements, put to a real Neo4j.

mod statements;
mod users;

use std::net::Ipv4Addr;

use cluster_core::neo4j::{
    Answer, Answers, Asked, DeclareUsers, Declared, Fault, Kind, Login, Observe, Request, Secret, View,
};
use cluster_facts::answers;
use neo4j_gateway::{Config, Connect, Gateway};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use super::{
    Series,
    container::Member,
    ensure,
    life::{Life, NAME, PASSWORD},
    network::accepts,
    until,
};
use crate::{narrator::Narrator, stage::Trouble};

/// How often a view is asked for that does not come in time.
const TRIES: u8 = 5;

/// The gateway, as it is configured for a member.
#[derive(Debug)]
pub struct Asking {
    gateway: Gateway,
    runtime: Runtime,
}

/// The administrator's login.
#[must_use]
pub fn admin() -> Login {
    login("neo4j", PASSWORD)
}

fn login(username: &str, password: &str) -> Login {
    Login { username: username.to_owned(), password: Secret::new(password.to_owned()) }
}

impl Asking {
    /// Configures it as the stack does, to verify members by this name.
    ///
    /// # Errors
    /// When it refuses that.
    pub fn by_name(life: &Life, name: &str) -> Result<Self, Trouble> {
        let authority = life.authority.certificate();
        let tls = life.definition.shape.tls;
        let lookup = move |variable: &str| match variable {
            "TLS_NAME" if tls => Some(name.to_owned()),
            // In one line, as a parameter of a stack is pasted.
            "TLS_CA" => Some(authority.replace('\n', " ")),
            _ => None,
        };
        let config = Config::read(&lookup).map_err(|e| e.chain())?;
        let connect = Connect::direct(&config).map_err(|e| e.chain())?;
        let gateway = Gateway::new(&lookup, connect).map_err(|e| e.chain())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        Ok(Self { gateway, runtime })
    }

    /// Configures it as the stack does.
    ///
    /// # Errors
    /// When it refuses that.
    pub fn new(life: &Life) -> Result<Self, Trouble> {
        Self::by_name(life, NAME)
    }

    fn handle<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Trouble> {
        let payload = serde_json::to_value(request).map_err(|e| e.to_string())?;
        let answer = self.runtime.block_on(self.gateway.handle(payload)).map_err(|e| e.chain())?;
        serde_json::from_value(answer).map_err(|e| e.to_string())
    }

    /// Observes a member, as a core or as a replica.
    ///
    /// # Errors
    /// When the request is refused.
    pub fn observe(&self, address: Ipv4Addr, core: Option<u8>, monitor: Option<Login>) -> Result<Answer, Trouble> {
        let members = vec![Asked { task: "t1".to_owned(), core, address, pages_only: false }];
        let mut answers: Answers = self.handle(&Request::Observe(Observe { members, monitor }))?;
        answers.members.pop().ok_or_else(|| "the gateway answers nothing".to_owned())
    }

    /// Returns what a replica's login sees. As a core it would also be asked what only Enterprise answers.
    ///
    /// # Errors
    /// When it sees nothing.
    pub fn view(&self, address: Ipv4Addr, login: &Login) -> Result<View, Trouble> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.observe(address, None, Some(login.clone()))?;
            match answer.view {
                // On a busy machine an answer may take longer than the gateway waits. A sweep asks again, too.
                Err(fault) if fault.kind == Kind::Silent && tries < TRIES => {}
                view => return view.map_err(|fault| format!("no view: {fault:?}")),
            }
        }
    }

    fn declare(&self, address: Ipv4Addr, admin: Login, monitor: Login) -> Result<Declared, Trouble> {
        let members = vec![Asked { task: "t1".to_owned(), core: Some(1), address, pages_only: false }];
        self.handle(&Request::DeclareUsers(DeclareUsers { members, admin, monitor }))
    }
}

/// Refuses a part of an answer that is no fault of this kind, with these words.
fn is_fault<T>(part: &Result<T, Fault>, kind: Kind, words: &str) -> Result<(), Trouble> {
    let found = part.as_ref().err();
    let holds = found.is_some_and(|fault| fault.kind == kind && fault.message.contains(words));
    ensure(holds, || format!("not {kind:?} with {words:?}, but {found:?}"))
}

/// Asks a member that runs, in every way.
///
/// # Errors
/// The first thing that does not hold.
pub fn ask(life: &Life, member: &Member, narrator: &Narrator) -> Result<(), Trouble> {
    let (asking, at) = (Asking::new(life)?, member.address);
    // The first statement after a start is planned for longer than a request may take, where the machine is busy.
    let view = until("the member answers the gateway", || Ok(asking.view(at, &admin()).ok()))?;
    let series = life.definition.shape.series;
    seen(&asking, &view, at, series)?;
    at_a_standstill(&asking, member)?;
    if life.definition.shape.tls {
        let stranger = Asking::by_name(life, "replica.neo4j.service")?;
        is_fault(&stranger.observe(at, None, None)?.page, Kind::Certificate, "replica.neo4j.service")?;
        narrator.note("the gateway verifies the member by its name, and sees it");
        return Ok(());
    }
    let http = Http::new(at)?;
    let checked = statements::check(&http, series)?;
    narrator.note(&format!("{checked} statements are well-formed, and are refused when they are changed"));
    let compared = compare(&http)?;
    narrator.note(&format!("{compared} answers are as they are listed"));
    users::declared(&asking, at)?;
    users::left_over(&asking, &http, series)?;
    narrator.note("users are declared, refused, locked and expired, and nothing of ours is left in Neo4j");
    Ok(())
}

/// What a member of Community says of itself.
fn seen(asking: &Asking, view: &View, at: Ipv4Addr, series: Series) -> Result<(), Trouble> {
    let names: Vec<_> = view.databases.iter().map(|database| database.name.as_str()).collect();
    ensure(names == ["neo4j", "system"], || format!("it sees {names:?}"))?;
    ensure(view.server.is_some(), || format!("it does not know itself at {at}: {view:?}"))?;
    for database in &view.databases {
        let [copy] = &database.copies[..] else { return Err(format!("{database:?}")) };
        let is_so = copy.server == view.server && copy.status == "online" && copy.message.is_empty() && copy.writer;
        ensure(is_so && database.id.is_some(), || format!("{database:?}"))?;
        let age = database.age.unwrap_or(-1);
        ensure((0..600).contains(&age), || format!("{} is {age} seconds old", database.name))?;
    }
    let answer = asking.observe(at, Some(1), Some(admin()))?;
    let page = answer.page.map_err(|fault| format!("no page: {fault:?}"))?;
    let known = page.version.starts_with("5.26.") == (series == Series::Lts);
    ensure(known && page.edition == "community", || format!("it is {page:?}"))?;
    // What only Enterprise has.
    is_fault(&answer.raft, Kind::NotFound, "404")?;
    is_fault(&answer.view, Kind::Failed, "Unsupported administration command: SHOW SERVERS")?;
    is_fault(&answer.check, Kind::NotAsked, "")
}

/// A member whose JVM stands still is silent, and is put no statement.
fn at_a_standstill(asking: &Asking, member: &Member) -> Result<(), Trouble> {
    member.signal_neo4j("STOP")?;
    let answer = asking.observe(member.address, Some(1), Some(admin()));
    member.signal_neo4j("CONT")?;
    let answer = answer?;
    is_fault(&answer.page, Kind::Silent, "within 3.0 s")?;
    is_fault(&answer.view, Kind::NotAsked, "GET /")?;
    until("it answers again", || Ok(asking.view(member.address, &admin()).ok().map(drop)))
}

/// Kills a member while it is asked again and again.
///
/// # Errors
/// When the gateway says anything but that nobody is there.
pub fn asked_while_killed(life: &Life, member: &mut Member) -> Result<(), Trouble> {
    let (asking, at) = (Asking::new(life)?, member.address);
    asking.view(at, &admin())?;
    let fault = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            until("the gateway notices the death", || {
                let answer = asking.observe(at, None, Some(admin()))?;
                Ok(answer.page.err().or(answer.view.err()))
            })
        });
        member.kill()?;
        asked.join().map_err(|_| "the gateway panicked".to_owned())?
    })?;
    ensure(fault.kind == Kind::Unreachable, || format!("a death looks like {fault:?}"))
}

/// Refuses a member whose certificate is another one.
///
/// # Errors
/// When the gateway does not refuse it for this.
pub fn refuse(life: &Life, at: Ipv4Addr, why: &str) -> Result<(), Trouble> {
    let answer = Asking::new(life)?.observe(at, Some(1), Some(admin()))?;
    is_fault(&answer.page, Kind::Certificate, why)?;
    is_fault(&answer.view, Kind::NotAsked, "GET /")
}

/// Whatever else asks a member over HTTP.
#[derive(Debug)]
struct Http {
    base: String,
    client: reqwest::Client,
    runtime: Runtime,
}

/// An answer over HTTP.
#[derive(Debug)]
struct Reply {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

impl Http {
    fn new(at: Ipv4Addr) -> Result<Self, Trouble> {
        until("HTTP", || Ok(accepts(at, 7474).then_some(())))?;
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(super::PATIENCE).build().map_err(|e| e.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { base: format!("http://{at}:7474"), client, runtime: runtime.map_err(|e| e.to_string())? })
    }

    fn builder(&self, request: &answers::Request) -> reqwest::RequestBuilder {
        let method = if request.method == "GET" { reqwest::Method::GET } else { reqwest::Method::POST };
        let mut builder = self.client.request(method, format!("{}{}", self.base, request.path));
        builder = builder.header("accept", &request.accept);
        if let Some((user, password)) = &request.login {
            builder = builder.basic_auth(user, Some(password));
        }
        match &request.body {
            Some(body) => builder.header("content-type", &request.content_type).body(body.clone()),
            None => builder,
        }
    }

    fn send(&self, request: &answers::Request) -> Result<Reply, Trouble> {
        self.runtime
            .block_on(async {
                let reply = self.builder(request).send().await?;
                let location = reply.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
                let status = reply.status().as_u16();
                Ok(Reply { status, location, body: reply.bytes().await?.to_vec() })
            })
            .map_err(|error: reqwest::Error| format!("{}: {error}", request.path))
    }

    /// Puts a statement to `system`, and returns the code of its error, if it is one.
    fn code(
        &self,
        login: &Login,
        statement: &str,
        access: &str,
        parameters: &serde_json::Value,
    ) -> Result<Option<String>, Trouble> {
        let reply = self.send(&query("system", login, statement, access, parameters))?;
        let body: serde_json::Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
        let code = body["errors"][0]["code"].as_str().map(str::to_owned);
        ensure(code.is_some() || reply.status == 202, || format!("{statement}: {body}"))?;
        Ok(code)
    }
}

fn query(
    database: &str,
    login: &Login,
    statement: &str,
    access: &str,
    parameters: &serde_json::Value,
) -> answers::Request {
    let body = serde_json::json!({"statement": statement, "accessMode": access, "parameters": parameters});
    answers::Request {
        method: "POST",
        path: format!("/db/{database}/query/v2"),
        login: Some((login.username.clone(), login.password.reveal().to_owned())),
        accept: "application/json".to_owned(),
        content_type: "application/json".to_owned(),
        body: Some(body.to_string()),
    }
}

/// Sends what is listed, and compares. Returns how many answers were.
fn compare(http: &Http) -> Result<usize, Trouble> {
    let answers = answers::Answers::read(PASSWORD);
    for user in &answers.users {
        let required = if user.change_required { "REQUIRED" } else { "NOT REQUIRED" };
        let statement = format!("CREATE USER $user SET PASSWORD $password CHANGE {required}");
        let parameters = serde_json::json!({"user": user.username, "password": user.password});
        let code = http.code(&admin(), &statement, "Write", &parameters)?;
        ensure(code.is_none(), || format!("{}: {code:?}", user.username))?;
    }
    let real: Vec<_> = answers.cases.iter().filter(|case| case.is_real()).collect();
    for case in &real {
        let reply = http.send(&case.request)?;
        if let Some(difference) = case.difference(reply.status, reply.location.as_deref(), &reply.body) {
            return Err(format!("tests/fixtures/neo4j/answers.json: {difference}"));
        }
    }
    Ok(real.len())
}
