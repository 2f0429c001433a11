//! The world behind the SDK's own HTTP connector, in process, on tokio's paused clock.

use std::{
    collections::BTreeMap,
    pin::Pin,
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
use cluster_world::{Answer, Kind, Request, World, lambda, neo4j::Lost};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

/// What the functions' clock has beyond the milliseconds in which the runtime's virtual time goes: the clock of a real one is as
/// fine, so whatever is written in milliseconds and compared afterwards differs here as well.
const FINER: Duration = Duration::from_nanos(654_321);
/// How long a call takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// This call and the two after it fail: more than the SDK retries.
    Outage,
    /// A read answers what was true when the world was last remembered.
    Stale,
    /// Route 53 refuses the batch.
    Refuse,
    /// Another writer, with the same aims, writes just before this batch arrives.
    SecondWriter,
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
    faults: Mutex<Faults>,
    functions: Mutex<BTreeMap<String, Invocable>>,
    killed: Notify,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("planned", &self.planned).field("struck", &self.struck).finish_non_exhaustive()
    }
}

impl Fault {
    /// Whether it can do to such a call what another fault could not.
    #[must_use]
    pub fn suits(self, kind: Kind) -> bool {
        let after_effect = matches!(self, Self::ResetAfterEffect | Self::KillAfterEffect);
        self.meets(kind) && (!after_effect || matches!(kind, Kind::Write | Kind::Batch))
    }

    /// Whether it can happen to such a call at all.
    fn meets(self, kind: Kind) -> bool {
        match self {
            Self::Refuse | Self::SecondWriter => kind == Kind::Batch,
            Self::Stale => matches!(kind, Kind::List | Kind::Read),
            Self::CutPage => kind == Kind::List,
            _ => true,
        }
    }
}

#[derive(Default)]
struct Faults {
    /// The calls that have come.
    calls: Vec<Kind>,
    /// By the number of the call, counted from 1.
    planned: BTreeMap<usize, Fault>,
    /// By action: for how many calls.
    of_actions: BTreeMap<String, (usize, Fault)>,
    /// What made a difference, and to which call.
    struck: Vec<(usize, Fault)>,
    /// What stale reads see.
    past: Option<World>,
    /// What another writer would write now.
    writer: Option<Writer>,
    /// Who looks at every write before it reaches the world.
    guard: Option<Guard>,
    /// What the guard found wrong first.
    wrong: Option<String>,
}

impl Faults {
    /// Takes the fault that is planned for the action of a request.
    fn of_action(&mut self, request: &Request) -> Option<Fault> {
        if self.of_actions.is_empty() {
            return None;
        }
        let (times, fault) = self.of_actions.get_mut(&cluster_world::read(request)?.0)?;
        *times = times.checked_sub(1)?;
        Some(*fault)
    }
}

/// Says what is wrong with a write, given the world that it is about to reach.
pub type Guard = Arc<dyn Fn(&World, &Request) -> Result<(), String> + Send + Sync>;

/// What a function that another one invokes answers, or why it failed.
pub type Invocation = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Runs a function with a payload.
pub type Run = Arc<dyn Fn(&Wire, Value) -> Invocation + Send + Sync>;

/// A function that other functions invoke. It may not hold the wire, which holds it.
#[derive(Clone)]
pub struct Invocable {
    /// Its timeout.
    pub timeout: Duration,
    /// Runs it.
    pub run: Run,
}

impl std::fmt::Debug for Invocable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocable").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What another writer would write.
pub type Writer = fn(&mut World);

impl Wire {
    /// Serves this world. Its time is tokio's from now on.
    #[must_use]
    pub fn new(world: World) -> Self {
        let began_at = world.now;
        Self(Arc::new(Shared {
            world: Mutex::new(world),
            began: Instant::now(),
            began_at,
            faults: Mutex::default(),
            functions: Mutex::default(),
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

    /// How long databases had no majority, as of the last look at the world: also where no runtime keeps the time any more.
    pub(crate) fn without_majority(&self) -> BTreeMap<String, Lost> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner).without_majority()
    }

    /// Lets CloudWatch hear a line that a function has written, where it listens.
    pub(crate) fn hear(&self, line: &Value) {
        let listens = self.0.world.lock().unwrap_or_else(PoisonError::into_inner).cloudwatch.listens;
        if listens {
            self.world().put_line(line).unwrap();
        }
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        drop(self.world());
    }

    /// Plans a fault for the n-th call from now, counted from 1.
    pub fn plan(&self, nth: usize, fault: Fault) {
        let mut faults = self.faults();
        let call = faults.calls.len() + nth;
        faults.planned.insert(call, fault);
    }

    /// Plans a fault for the next so many calls of an action, such as `ecs:DescribeTasks`.
    pub fn plan_for(&self, action: &str, times: usize, fault: Fault) {
        self.faults().of_actions.insert(action.to_owned(), (times, fault));
    }

    /// Forgets faults that have not come.
    pub fn calm(&self) {
        let mut faults = self.faults();
        faults.planned.clear();
        faults.of_actions.clear();
    }

    /// The faults that made a difference: (call, fault).
    #[must_use]
    pub fn struck(&self) -> Vec<(usize, Fault)> {
        self.faults().struck.clone()
    }

    /// The calls that have come, whatever became of them.
    #[must_use]
    pub fn calls(&self) -> Vec<Kind> {
        self.faults().calls.clone()
    }

    /// Lets a guard look at every write.
    pub fn set_guard(&self, guard: Guard) {
        self.faults().guard = Some(guard);
    }

    /// Returns what the guard found wrong first, if anything.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        self.faults().wrong.clone()
    }

    /// Lets the guard look at a request.
    fn inspect(&self, request: &Request) {
        let guard = self.faults().guard.clone().filter(|_| request.writes());
        let Some(Err(wrong)) = guard.map(|guard| guard(&self.world(), request)) else { return };
        self.faults().wrong.get_or_insert(wrong);
    }

    /// Answers a request, which the guard has seen.
    fn serve(&self, request: &Request) -> Answer {
        self.inspect(request);
        self.world().answer(request)
    }

    /// Lets functions invoke another one by this name.
    pub fn add_function(&self, name: &str, function: Invocable) {
        self.world().lambda.functions.insert(name.to_owned());
        let mut functions = self.0.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.insert(name.to_owned(), function);
    }

    /// Answers a request, which the guard has seen; one to Lambda by running the function.
    async fn serve_or_run(&self, request: &Request) -> Answer {
        let Some(name) = lambda::invoked(request) else { return self.serve(request) };
        let function = self.0.functions.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let Some(Invocable { timeout, run }) = function else { return self.serve(request) };
        self.inspect(request);
        let taken = self.world().take_invocation(request);
        if let Err(refused) = taken {
            return refused;
        }
        let payload = serde_json::from_slice(&request.body).unwrap_or_default();
        match tokio::time::timeout(timeout, run(self, payload)).await {
            Ok(result) => lambda::ran(result.as_ref().map_err(String::as_str)),
            Err(_) => lambda::ran(Err(&format!("Task timed out after {:.2} seconds", timeout.as_secs_f64()))),
        }
    }

    /// Says what another writer writes ([`Fault::SecondWriter`]).
    pub fn set_second_writer(&self, writer: Writer) {
        self.faults().writer = Some(writer);
    }

    /// Remembers the present for stale reads if there is one to come: it takes a while.
    pub fn remember_for_faults(&self) {
        let comes = self.faults().planned.values().any(|fault| *fault == Fault::Stale);
        if comes {
            self.remember();
        }
    }

    /// Remembers the present for stale reads.
    pub fn remember(&self) {
        let past = self.world().clone();
        self.faults().past = Some(past);
    }

    /// Waits until a fault kills the process.
    pub async fn killed(&self) {
        self.0.killed.notified().await;
    }

    /// Sends a request on its way, where it may meet a fault.
    pub async fn send(&self, request: &Request) -> Result<Answer, ConnectorError> {
        tokio::time::sleep(LATENCY).await;
        let fault = self.next_fault(request);
        match fault {
            Some(Fault::Reset) => return Err(ConnectorError::io("connection reset by peer".into())),
            Some(Fault::ResetAfterEffect) => {
                self.serve_or_run(request).await;
                return Err(ConnectorError::io("connection reset by peer".into()));
            }
            Some(Fault::Hang) => std::future::pending::<()>().await,
            Some(Fault::Kill | Fault::KillAfterEffect) => {
                if fault == Some(Fault::KillAfterEffect) {
                    self.serve_or_run(request).await;
                }
                self.0.killed.notify_one();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        Ok(self.answer(request, fault).await)
    }

    /// Counts a call, and says which fault it meets.
    fn next_fault(&self, request: &Request) -> Option<Fault> {
        let mut faults = self.faults();
        let kind = request.kind();
        faults.calls.push(kind);
        let call = faults.calls.len();
        let fault = faults.planned.remove(&call).or_else(|| faults.of_action(request))?;
        if fault == Fault::Outage {
            // The SDK tries three times.
            for next in 1..3 {
                faults.planned.entry(call + next).or_insert(Fault::ServerError);
            }
        }
        let meets = fault.meets(kind);
        if meets {
            faults.struck.push((call, fault));
        }
        meets.then_some(fault)
    }

    /// The last fault made no difference after all.
    fn missed(&self) {
        self.faults().struck.pop();
    }

    /// The answer to a request that meets a fault, where there is one.
    async fn answer(&self, request: &Request, fault: Option<Fault>) -> Answer {
        match fault {
            Some(Fault::Throttle) => request.refused(400, "ThrottlingException", "Rate exceeded"),
            Some(Fault::ServerError | Fault::Outage) => Answer { status: 503, ..Answer::ok("") },
            Some(Fault::Denied) => request.refused(403, "AccessDeniedException", "not authorized to perform this"),
            Some(Fault::Refuse) => request.refused(400, "InvalidChangeBatch", "[Tried to do what cannot be done]"),
            // A batch of reads says what it has left out.
            Some(Fault::CutPage) if request.is_batch_read() => {
                let whole = self.world().clone().answer(request);
                self.world().dynamodb.cuts = 1;
                let part = self.serve(request);
                if part == whole {
                    self.missed();
                }
                part
            }
            Some(Fault::CutPage) => {
                let whole = self.serve(request);
                let part = whole.without_next_page();
                if part == whole {
                    self.missed();
                }
                part
            }
            Some(Fault::Stale) if request.is_consistent() => {
                self.missed();
                self.serve(request)
            }
            Some(Fault::Stale) => {
                let now = self.serve(request);
                let past = self.faults().past.as_mut().map(|past| past.answer(request));
                let past = past.unwrap_or_else(|| now.clone());
                if past == now {
                    self.missed();
                }
                past
            }
            Some(Fault::SecondWriter) => {
                let writer = self.faults().writer;
                let mut world = self.world();
                if let Some(writer) = writer {
                    writer(&mut world);
                }
                world.answer(request)
            }
            _ => self.serve_or_run(request).await,
        }
    }
}

impl TimeSource for Wire {
    fn now(&self) -> SystemTime {
        let since_epoch = self.0.began_at.as_duration();
        let since_epoch = Duration::try_from(since_epoch).unwrap_or_default();
        SystemTime::UNIX_EPOCH + since_epoch + self.0.began.elapsed() + FINER
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = wire.send(&parse(&request)).await?;
            let response = http::Response::builder().status(answer.status);
            let response =
                answer.headers.iter().fold(response, |response, (name, value)| response.header(*name, value));
            let response = response.body(SdkBody::from(answer.body));
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
    // S3's buckets are in the names of its hosts.
    let bucket = uri.host().and_then(|host| host.split_once(".s3.")).map(|(bucket, _)| format!("/{bucket}"));
    let said = |name: &str| request.headers().get(name).map(|value| (name.to_owned(), value.to_owned()));
    Request {
        method: request.method().to_owned(),
        path: format!("{}{}", bucket.unwrap_or_default(), uri.path()),
        query: uri.query().unwrap_or_default().to_owned(),
        target: request.headers().get("x-amz-target").map(str::to_owned),
        headers: ["if-match", "if-none-match"].into_iter().filter_map(said).collect(),
        body: request.body().bytes().unwrap_or_default().to_vec(),
    }
}
