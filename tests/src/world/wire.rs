//! The world behind the SDK's own HTTP connector, in process, on tokio's paused clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::{Answer, Request, World};

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(20);

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service answers that there were too many.
    Throttle,
    /// The service answers 503.
    ServerError,
    /// The service answers that the caller may not.
    Denied,
    /// The answer says that no page follows, whether one does or not.
    CutPage,
    /// The connection breaks before the service has seen the request.
    Reset,
    /// The service does its work, then the connection breaks.
    ResetAfterEffect,
    /// No answer ever comes.
    Hang,
    /// The function's process dies with the request on its way.
    Kill,
    /// The function's process dies when the service has done its work.
    KillAfterEffect,
}

/// A handle on a world, as many clients share it.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    began: Instant,
    began_at: Timestamp,
    /// What happens to the n-th call from now, counted from 1.
    plan: Mutex<Option<(usize, Fault)>>,
    killed: Notify,
}

impl Wire {
    /// Serves this world. Its time is tokio's from now on.
    #[must_use]
    pub fn new(world: World) -> Self {
        let began_at = world.now;
        Self(Arc::new(Shared {
            world: Mutex::new(world),
            began: Instant::now(),
            began_at,
            plan: Mutex::new(None),
            killed: Notify::new(),
        }))
    }

    /// The world as it is now.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = jiff::SignedDuration::try_from(self.0.began.elapsed()).unwrap_or_default();
        let now = self.0.began_at + elapsed;
        if now > world.now {
            world.advance_to(now);
        }
        world
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        drop(self.world());
    }

    /// Plans a fault for the n-th call from now, counted from 1.
    pub fn plan(&self, nth: usize, fault: Fault) {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, fault));
    }

    /// Whether the planned fault has not happened yet.
    #[must_use]
    pub fn is_fault_pending(&self) -> bool {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits until a fault kills the process.
    pub async fn killed(&self) {
        self.0.killed.notified().await;
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.0.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match plan.as_mut() {
            Some((1, fault)) => {
                let fault = *fault;
                *plan = None;
                Some(fault)
            }
            Some((n, _)) => {
                *n -= 1;
                None
            }
            None => None,
        }
    }
}

impl TimeSource for Wire {
    fn now(&self) -> SystemTime {
        let since_epoch = self.world().now.as_duration();
        SystemTime::UNIX_EPOCH + Duration::try_from(since_epoch).unwrap_or_default()
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let parsed = parse(&request);
            tokio::time::sleep(LATENCY).await;
            let answer = match wire.next_fault() {
                None => wire.world().answer(&parsed),
                Some(Fault::Throttle) => refusal(&parsed, 400, "ThrottlingException", "Rate exceeded"),
                Some(Fault::ServerError) => Answer { status: 503, body: String::new() },
                Some(Fault::Denied) => refusal(&parsed, 403, "AccessDeniedException", "not authorized to perform this"),
                Some(Fault::CutPage) => cut(&wire.world().answer(&parsed)),
                Some(Fault::Reset) => return Err(ConnectorError::io("connection reset by peer".into())),
                Some(Fault::ResetAfterEffect) => {
                    wire.world().answer(&parsed);
                    return Err(ConnectorError::io("connection reset by peer".into()));
                }
                Some(Fault::Hang) => {
                    std::future::pending::<()>().await;
                    return Err(ConnectorError::timeout("never".into()));
                }
                Some(fault) => {
                    if fault == Fault::KillAfterEffect {
                        wire.world().answer(&parsed);
                    }
                    wire.0.killed.notify_one();
                    std::future::pending::<Answer>().await
                }
            };
            let response = http::Response::builder().status(answer.status).body(SdkBody::from(answer.body));
            let response = response.map_err(|error| ConnectorError::other(error.into(), None))?;
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn parse(request: &HttpRequest) -> Request {
    let uri: http::Uri = request.uri().parse().unwrap_or_default();
    Request {
        method: request.method().to_owned(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        target: request.headers().get("x-amz-target").map(str::to_owned),
        body: request.body().bytes().unwrap_or_default().to_vec(),
    }
}

/// A refusal in the protocol of the request.
fn refusal(request: &Request, status: u16, code: &str, message: &str) -> Answer {
    let body = if request.target.is_some() {
        format!(r#"{{"__type":"{code}","message":"{message}"}}"#)
    } else {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        format!("<ErrorResponse>{error}</ErrorResponse>")
    };
    Answer { status, body }
}

/// The same answer as if no page followed.
fn cut(answer: &Answer) -> Answer {
    let body = match serde_json::from_str::<serde_json::Value>(&answer.body) {
        Ok(mut body) => {
            if let Some(body) = body.as_object_mut() {
                body.remove("NextToken");
            }
            body.to_string()
        }
        Err(_) => answer.body.replace("<IsTruncated>true", "<IsTruncated>false"),
    };
    Answer { body, status: answer.status }
}
