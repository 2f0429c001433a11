//! What members do to connections, on loopback: each has an address and a port of its own.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use cluster_core::neo4j::{Answer, Asked, Kind, Observe};
use neo4j_gateway::{Config, Connect, Gateway};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::stub::observed;

const NAME: &str = "core.example.org";

/// What a member does with each connection.
#[derive(Clone)]
enum Does {
    /// Answers `GET /` as Neo4j does, and 404 to all else.
    Neo4j,
    /// Reads, and says nothing.
    Nothing,
    /// Writes this after the request, and keeps the connection.
    Says(String),
    /// Writes this after the request, and closes the connection.
    SaysAndCloses(String),
    /// Writes this to the first bytes that come, whatever they are.
    Blurts(String),
    /// Writes a head and then so many megabytes.
    Floods(&'static str, usize),
    /// Closes the connection at once.
    Closes,
    /// Speaks TLS with this certificate, and then answers as Neo4j does.
    Certified(Arc<ServerConfig>),
}

/// Members on loopback.
#[derive(Clone, Default)]
struct Members {
    ports: BTreeMap<Ipv4Addr, u16>,
    connections: Arc<AtomicUsize>,
}

impl Members {
    /// Opens a member. Nothing listens where it does nothing at all.
    async fn open(&mut self, does: Option<Does>) -> Ipv4Addr {
        let address = Ipv4Addr::new(127, 0, 0, u8::try_from(self.ports.len()).unwrap() + 1);
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        self.ports.insert(address, listener.local_addr().unwrap().port());
        if let Some(does) = does {
            let connections = self.connections.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, SeqCst);
                    tokio::spawn(serve(stream, does.clone()));
                }
            });
        }
        address
    }

    /// Observes all of them without a login.
    async fn observe(&self, variables: &[(&str, &str)]) -> Vec<Answer> {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let sockets = Connect::direct(&Config::read(&lookup).unwrap()).unwrap();
        let ports = self.ports.clone();
        let connect = Connect::new(move |address| {
            SharedHttpConnector::new(Moved { inner: sockets.to(address), port: ports[&address] })
        });
        let asked =
            |address: &Ipv4Addr| Asked { task: address.to_string(), core: None, address: *address, pages_only: false };
        let request = Observe { members: self.ports.keys().map(asked).collect(), monitor: None };
        observed(&Gateway::new(&lookup, connect).unwrap(), request).await
    }
}

/// Sends requests to another port: nobody on a machine that is shared may take those of Neo4j.
#[derive(Debug)]
struct Moved {
    inner: SharedHttpConnector,
    port: u16,
}

impl HttpConnector for Moved {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let moved =
            request.uri().replace(":7474", &format!(":{}", self.port)).replace(":7473", &format!(":{}", self.port));
        request.set_uri(moved).unwrap();
        self.inner.call(request)
    }
}

async fn serve(mut stream: TcpStream, does: Does) {
    match does {
        Does::Closes => {}
        Does::Certified(config) => {
            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                as_neo4j(stream).await;
            }
        }
        Does::Neo4j => as_neo4j(stream).await,
        Does::Nothing => while request(&mut stream).await.is_some() {},
        Does::Says(text) => {
            request(&mut stream).await;
            _ = stream.write_all(text.as_bytes()).await;
            while request(&mut stream).await.is_some() {}
        }
        Does::Blurts(text) => {
            _ = stream.read_u8().await;
            _ = stream.write_all(text.as_bytes()).await;
            while request(&mut stream).await.is_some() {}
        }
        Does::SaysAndCloses(text) => {
            request(&mut stream).await;
            _ = stream.write_all(text.as_bytes()).await;
        }
        Does::Floods(head, megabytes) => {
            request(&mut stream).await;
            _ = stream.write_all(head.as_bytes()).await;
            let megabyte = vec![b' '; 1 << 20];
            for _ in 0..megabytes {
                if stream.write_all(&megabyte).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn as_neo4j(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    while let Some(head) = request(&mut stream).await {
        let root = json!({"neo4j_version": "5.26.33", "neo4j_edition": "enterprise"});
        let (status, body) = if head.starts_with("GET / ") { ("200 OK", root) } else { ("404 Not Found", json!({})) };
        let answer = answer(status, &body.to_string());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads the head of a request. A page has no body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn kinds(answers: &[Answer]) -> Vec<Result<&str, Kind>> {
    let page = |answer: &'_ Answer| answer.page.as_ref().map(|page| page.version.clone()).map_err(|fault| fault.kind);
    answers.iter().map(|answer| page(answer).map(|version| if version == "5.26.33" { "ok" } else { "other" })).collect()
}

fn pages(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(|answer| format!("{} {:?}", answer.task, answer.page)).collect()
}

#[tokio::test]
async fn what_members_do_to_connections_is_their_own_fault() {
    let mut elsewhere = Members::default();
    let target = elsewhere.open(Some(Does::Neo4j)).await;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{target}:{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.ports[&target]
    );
    let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"neo4j_version\":";
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3200000\r\n";
    let lengthy = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 52428800\r\n\r\n";
    let until_end = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    let mut members = Members::default();
    let mut want = vec![];
    for (does, expected) in [
        (Does::Neo4j, Ok("ok")),
        (Does::Nothing, Err(Kind::Silent)),
        (Does::Nothing, Err(Kind::Silent)),
        (Does::Says("HTTP/1.1 200 OK\r\n".to_owned()), Err(Kind::Silent)),
        (Does::Says(half.to_owned()), Err(Kind::Silent)),
        (Does::SaysAndCloses(half.to_owned()), Err(Kind::Unreachable)),
        (Does::SaysAndCloses("HTTP/1.1 200 OK\r\n".to_owned()), Err(Kind::Unreachable)),
        (Does::Closes, Err(Kind::Unreachable)),
        (Does::Floods(chunked, 50), Err(Kind::TooLarge)),
        (Does::Floods(lengthy, 50), Err(Kind::TooLarge)),
        (Does::Floods(until_end, 50), Err(Kind::TooLarge)),
        (Does::Says(redirect), Err(Kind::Unreadable)),
        (Does::Says(answer("200 OK", "<html><body>hello</body></html>")), Err(Kind::Unreadable)),
        (Does::Says(answer("500 Server Error", "{}")), Err(Kind::Failed)),
        (Does::Says("220 smtp.example.org ESMTP\r\n".to_owned()), Err(Kind::Unreadable)),
        // It answers with an alert.
        (Does::Certified(Authority::new().certified(NAME, false)), Err(Kind::Unreadable)),
        (Does::Neo4j, Ok("ok")),
    ] {
        members.open(Some(does)).await;
        want.push(expected);
    }
    members.open(None).await;
    want.push(Err(Kind::Unreachable));
    let answers = members.observe(&[]).await;
    assert_eq!(kinds(&answers), want, "{:#?}", pages(&answers));
    assert_eq!(elsewhere.connections.load(SeqCst), 0, "the redirect was followed");
}

#[tokio::test]
async fn members_are_verified_by_name_and_time() {
    let authority = Authority::new();
    let mut members = Members::default();
    let mut want = vec![];
    for (does, expected) in [
        (Does::Certified(authority.certified(NAME, false)), Ok("ok")),
        (Does::Certified(authority.certified("replica.example.org", false)), Err(Kind::Certificate)),
        (Does::Certified(authority.certified(NAME, true)), Err(Kind::Certificate)),
        (Does::Certified(Authority::new().certified(NAME, false)), Err(Kind::Certificate)),
        // Plain HTTP on the port of TLS.
        (Does::Blurts(answer("400 Bad Request", "{}")), Err(Kind::Certificate)),
        (Does::Nothing, Err(Kind::Silent)),
        (Does::Closes, Err(Kind::Unreachable)),
        (Does::Certified(authority.certified(NAME, false)), Ok("ok")),
    ] {
        members.open(Some(does)).await;
        want.push(expected);
    }
    let pem = authority.0.pem();
    for pem in [pem.clone(), pem.replace('\n', " ")] {
        let answers = members.observe(&[("TLS_NAME", NAME), ("TLS_CA", &pem)]).await;
        assert_eq!(kinds(&answers), want, "{:#?}", pages(&answers));
        let message = |number: usize| answers[number].page.as_ref().unwrap_err().message.clone();
        assert!(
            message(1).contains(NAME)
                && message(2).contains("expired")
                && message(3).contains("invalid peer certificate"),
            "{answers:#?}"
        );
    }
}

/// Somebody who certifies.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut own = CertificateParams::default();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap())
    }

    fn certified(&self, name: &str, expired: bool) -> Arc<ServerConfig> {
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            (leaf.not_before, leaf.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}
