//! One life of a function's process, from its start through its first events, behind a stand-in for Lambda's Runtime API.

use std::{
    fs,
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
    process::Command,
    sync::{mpsc, oneshot},
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
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let calls = aws.world().calls.len();
    let began = Instant::now();
    let mut process = Command::new(binary)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let id = process.id().unwrap();

    let (at, mut ready) = ready(&mut said).await;
    let init = at - began;
    let cpu = cpu_time(id);
    let (first, next) = handle(ready, event, &mut said).await;
    let first_cpu = cpu_time(id).saturating_sub(cpu);
    let calls = aws.world().calls.len() - calls;
    ready = next;
    let mut warm = Vec::new();
    for _ in 0..WARM_EVENTS {
        let (took, next) = handle(ready, event, &mut said).await;
        warm.push(took);
        ready = next;
    }
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse().unwrap();
    process.kill().await.unwrap();
    server.abort();
    Life { init, first, first_cpu, calls, warm: median(warm), peak }
}

/// Hands out an event and waits for its answer, and until the process asks for the next one.
async fn handle(
    ready_for: oneshot::Sender<Value>,
    event: &Value,
    said: &mut mpsc::Receiver<Heard>,
) -> (Duration, oneshot::Sender<Value>) {
    let began = Instant::now();
    ready_for.send(event.clone()).unwrap();
    let (at, Said::Answered(status)) = hear(said).await else { panic!("asked for an event instead of answering") };
    assert_eq!(status, StatusCode::OK, "the function failed");
    (at - began, ready(said).await.1)
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

/// What the threads of a process have used of the processor.
fn cpu_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let used = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
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
