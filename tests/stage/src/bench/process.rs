//! One life of a function's process, from its start through its first events, behind a stand-in for Lambda's Runtime API.

use std::{
    fs, mem,
    path::Path,
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::median;
use crate::serve::Live;

/// How many events follow the first one.
const WARM_EVENTS: usize = 20;

/// How many events there are in a life.
pub(super) const EVENTS: usize = WARM_EVENTS + 1;

/// What one life has cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// From the start of the process until it asks for its first event: Lambda's init phase.
    pub(super) init: Duration,
    /// From the first event until its answer.
    pub(super) first: Duration,
    /// The processor time of that, which Lambda stretches for a function of little memory.
    pub(super) first_cpu: Duration,
    /// How many calls to AWS had been made by then.
    pub(super) calls: usize,
    /// The median time of the events that follow.
    pub(super) warm: Duration,
    /// The most memory that the process ever held, in KiB.
    pub(super) peak: u64,
}

/// What the process says to the Runtime API, and when.
enum Said {
    Ready(oneshot::Sender<Value>),
    Answered(StatusCode),
}
type Heard = (Instant, Said);

/// Starts a function, sends it events, and ends it.
///
/// # Panics
/// When it does not answer, or with an error.
pub(super) async fn live(binary: &Path, variables: &[(String, String)], event: &Value, aws: &Live) -> Life {
    let calls = aws.world().calls.len();
    let mut process = Process::start(binary, variables).await;
    let init = process.init;
    let cpu = process.cpu_time();
    let first = process.handle(event).await;
    let first_cpu = process.cpu_time().saturating_sub(cpu);
    let calls = aws.world().calls.len() - calls;
    let mut warm = Vec::new();
    for _ in 0..WARM_EVENTS {
        warm.push(process.handle(event).await);
    }
    let peak = process.peak();
    process.end().await;
    Life { init, first, first_cpu, calls, warm: median(warm), peak }
}

/// A process of a function that waits for an event.
pub(super) struct Process {
    /// From the start of the process until it asked for its first event.
    pub(super) init: Duration,
    id: u32,
    child: Child,
    server: JoinHandle<()>,
    said: mpsc::Receiver<Heard>,
    /// Takes the next event.
    ready: oneshot::Sender<Value>,
}

impl Process {
    /// Starts a function with these variables.
    ///
    /// # Panics
    /// When it does not ask for an event.
    pub(super) async fn start(binary: &Path, variables: &[(String, String)]) -> Self {
        let (tell, mut said) = mpsc::channel(4);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(answered))
            .fallback(failed)
            .layer(DefaultBodyLimit::disable())
            .with_state(tell);
        let server = tokio::spawn(async move { _ = axum::serve(listener, router).await });
        let began = Instant::now();
        let child = Command::new(binary)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let id = child.id().unwrap();
        let (at, ready) = ready(&mut said).await;
        Self { init: at - began, id, child, server, said, ready }
    }

    /// Hands out an event and waits for its answer, and until the process asks for the next one. Returns the time until the
    /// answer.
    ///
    /// # Panics
    /// When it does not answer, or with an error.
    pub(super) async fn handle(&mut self, event: &Value) -> Duration {
        let (fresh, _) = oneshot::channel();
        let ready_for = mem::replace(&mut self.ready, fresh);
        let began = Instant::now();
        ready_for.send(event.clone()).unwrap();
        let (at, Said::Answered(status)) = hear(&mut self.said).await else {
            panic!("asked for an event instead of answering")
        };
        assert_eq!(status, StatusCode::OK, "the function failed");
        self.ready = ready(&mut self.said).await.1;
        at - began
    }

    /// Returns the most memory that the process ever held, in KiB.
    pub(super) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns what its threads have used of the processor.
    pub(super) fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).unwrap();
        let used = threads.filter_map(|thread| {
            let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(used.sum())
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        self.child.kill().await.unwrap();
        self.server.abort();
    }
}

async fn ready(said: &mut mpsc::Receiver<Heard>) -> (Instant, oneshot::Sender<Value>) {
    match hear(said).await {
        (at, Said::Ready(event)) => (at, event),
        (_, Said::Answered(status)) => panic!("the function failed to start, or answered twice: {status}"),
    }
}

async fn hear(said: &mut mpsc::Receiver<Heard>) -> Heard {
    let heard = timeout(Duration::from_secs(30), said.recv()).await;
    heard.expect("the process should speak within 30 seconds").expect("the stand-in should live")
}

#[expect(clippy::disallowed_methods, reason = "a deadline is on the host's clock")]
async fn next(State(tell): State<mpsc::Sender<Heard>>) -> Response {
    let (event, wanted) = oneshot::channel();
    _ = tell.send((Instant::now(), Said::Ready(event))).await;
    let Ok(event) = wanted.await else { return StatusCode::GONE.into_response() };
    let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(30);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:bench"),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"),
        ("lambda-runtime-deadline-ms", &deadline.as_millis().to_string()),
    ] {
        headers.insert(axum::http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    (headers, axum::Json(event)).into_response()
}

/// Reads the whole answer: a connection with an unread rest is closed, and the function would lose its runtime.
async fn answered(State(tell): State<mpsc::Sender<Heard>>, _: Bytes) -> StatusCode {
    _ = tell.send((Instant::now(), Said::Answered(StatusCode::OK))).await;
    StatusCode::ACCEPTED
}

async fn failed(State(tell): State<mpsc::Sender<Heard>>, body: String) -> StatusCode {
    eprintln!("{body}");
    _ = tell.send((Instant::now(), Said::Answered(StatusCode::INTERNAL_SERVER_ERROR))).await;
    StatusCode::ACCEPTED
}
