//! One request to one member, within its limits of time and size. Redirects are not followed.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{base64, body::SdkBody, byte_stream::ByteStream};
use cluster_core::neo4j::{
    Fault, Kind, Login,
    statement::{Access, Statement},
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    ANSWER, Config, Connect, REQUEST,
    faults::{fault, of_body, of_connection},
    read::{self, Rows},
};

/// What must be left of an invocation to begin a request: one that is given up soon would only leave a statement behind.
const LEAST: Duration = Duration::from_secs(1);
/// The seconds after which Neo4j itself ends a statement, where its series knows the field. It looks every two seconds
/// (`db.transaction.monitor.check.interval`), and should come before this function gives up.
const EXECUTION: u32 = 2;
/// All statements are about the cluster, and `system` is the one database that every member has.
const QUERY: &str = "/db/system/query/v2";

/// What an invocation has sent and received.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) calls: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

/// What an invocation asks with.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) config: &'a Config,
    pub(crate) connect: &'a Connect,
    /// When the invocation must have answered.
    pub(crate) ends: Instant,
    pub(crate) traffic: Traffic,
}

/// A member that can be asked, one request at a time.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    asking: &'a Asking<'a>,
    base: String,
    connector: SharedHttpConnector,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns the same without these words, also as JSON writes them.
    fn without(&self, secrets: &[&str]) -> Self {
        let hide = |text: &str| {
            let mut text = text.to_owned();
            for secret in secrets {
                let json = Value::from(*secret).to_string();
                for word in [json.trim_matches('"'), secret] {
                    text = text.replace(word, "…");
                }
            }
            text
        };
        let location = self.location.as_deref().map(hide);
        Self { status: self.status, location, body: hide(&String::from_utf8_lossy(&self.body)).into_bytes() }
    }
}

impl<'a> Asking<'a> {
    pub(crate) fn member(&'a self, address: Ipv4Addr) -> Member<'a> {
        let base = match &self.config.tls {
            None => format!("http://{address}:7474"),
            Some(tls) => format!("https://{}:7473", tls.name),
        };
        Member { asking: self, base, connector: self.connect.to(address) }
    }
}

impl Member<'_> {
    /// Gets a page that needs no login.
    pub(crate) async fn page(&self, path: &str) -> Result<Reply, Fault> {
        self.send("GET", path, None).await
    }

    /// Puts a statement. Whatever goes wrong names it.
    pub(crate) async fn query(
        &self,
        name: &str,
        statement: &Statement,
        parameters: Map<String, Value>,
        login: &Login,
    ) -> Result<Rows, Fault> {
        let body = json!({
            "statement": statement.text,
            "parameters": parameters,
            "accessMode": match statement.access { Access::Read => "Read", Access::Write => "Write" },
            "maxExecutionTime": EXECUTION,
            "includeCounters": statement.access == Access::Write,
        });
        let credentials = base64::encode(format!("{}:{}", login.username, login.password.reveal()));
        let named = |Fault { kind, message }: Fault| fault(kind, &format!("{name}: {message}"));
        let body = body.to_string();
        let reply = self.send("POST", QUERY, Some((format!("Basic {credentials}"), body))).await.map_err(named)?;
        read::rows(&reply).map_err(|failed| {
            // A member could repeat what it was sent, and a message shows how its answer begins.
            let passwords = [Some(login.password.reveal()), parameters.get("password").and_then(Value::as_str)];
            let secrets: Vec<_> = passwords.into_iter().flatten().chain([credentials.as_str()]).collect();
            let shown = read::rows(&reply.without(&secrets)).err();
            named(Fault { kind: failed.kind, message: shown.map(|shown| shown.message).unwrap_or_default() })
        })
    }

    async fn send(&self, method: &str, path: &str, query: Option<(String, String)>) -> Result<Reply, Fault> {
        let limit = self.asking.ends.saturating_duration_since(Instant::now()).min(REQUEST);
        if limit < LEAST {
            return Err(fault(Kind::NotAsked, "the invocation had no time left for it"));
        }
        let request = self.request(method, path, query);
        let request = request.map_err(|e| fault(Kind::NotAsked, &format!("the request cannot be made: {e}")))?;
        self.asking.traffic.calls.fetch_add(1, Relaxed);
        let silent = || fault(Kind::Silent, &format!("no whole answer within {:.1} s", limit.as_secs_f32()));
        timeout(limit, self.exchange(request)).await.unwrap_or_else(|_| Err(silent()))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        query: Option<(String, String)>,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let (authorization, body) = query.unzip();
        let length = body.as_ref().map(String::len);
        let mut request = HttpRequest::new(body.map_or_else(SdkBody::empty, SdkBody::from));
        request.set_method(method)?;
        request.set_uri(format!("{}{path}", self.base))?;
        let headers = request.headers_mut();
        headers.try_insert("accept", "application/json")?;
        headers.try_insert("user-agent", "neo4j-gateway")?;
        if let (Some(authorization), Some(length)) = (authorization, length) {
            headers.try_insert("authorization", authorization)?;
            headers.try_insert("content-type", "application/json")?;
            headers.try_insert("content-length", length.to_string())?;
        }
        Ok(request)
    }

    async fn exchange(&self, request: HttpRequest) -> Result<Reply, Fault> {
        let response = self.connector.call(request).await.map_err(|e| of_connection(&e))?;
        let too_large = || fault(Kind::TooLarge, &format!("the answer has more than {ANSWER} bytes"));
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        if header("content-length").and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > ANSWER)
        {
            return Err(too_large());
        }
        let (status, location) = (response.status().as_u16(), header("location"));
        let mut stream = ByteStream::new(response.into_body());
        let mut body = vec![];
        while let Some(part) = stream.next().await {
            let part = part.map_err(|e| of_body(&e, body.len()))?;
            self.asking.traffic.bytes.fetch_add(part.len(), Relaxed);
            if body.len() + part.len() > ANSWER {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        Ok(Reply { status, location, body })
    }
}
