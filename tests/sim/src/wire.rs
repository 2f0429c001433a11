//! The world behind the SDK's own HTTP connector, in process, on tokio's paused clock.

mod connector;
mod fault;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_smithy_runtime_api::client::result::ConnectorError;
use cluster_world::{Answer, Kind, Request, World, lambda, neo4j::Lost};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

pub(crate) use connector::response;
use fault::Faults;
pub use fault::{Fault, Guard, Writer};

/// How long a call takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

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

    /// Plans a fault for every request to a host outside of AWS.
    pub fn plan_outside(&self, host: &'static str, fault: Fault) {
        self.faults().of_hosts.insert(host, fault);
    }

    /// Forgets faults that have not come.
    pub fn calm(&self) {
        let mut faults = self.faults();
        faults.planned.clear();
        faults.of_actions.clear();
        faults.of_hosts.clear();
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
        if let Some(status) = fault.and_then(Fault::outside).filter(|_| self.world().is_outside(request)) {
            return Answer { status, ..Answer::ok("") };
        }
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
