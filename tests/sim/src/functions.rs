//! Every function of the cluster, and how one is run in the simulation. Nothing else in these tests knows their types.
//!
//! What belongs to a function follows from its line in [`FUNCTIONS`], and tests walk that list: a function that is added here
//! without its crate, template, alarms, outputs or page fails by name.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
};

use alarm_router::Router;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use backup_pruner::Pruner;
use backup_scheduler::Scheduler;
use cluster_lambda::{
    Aws, Description, Failure, Frame, Function,
    aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT, MAX_ATTEMPTS, RetryPartition},
    telemetry::Sink,
};
use cluster_world::REGION;
use dns_replicator::Replicator;
use instance_drainer::Drainer;
use serde_json::Value;

use crate::wire::Wire;

/// One line for each function: its type, and the logical id under which the root template nests its template.
pub const FUNCTIONS: [Registered; 5] = [
    Registered::new::<Replicator>("Discovery"),
    Registered::new::<Drainer>("Draining"),
    Registered::new::<Pruner>("Pruning"),
    Registered::new::<Scheduler>("Scheduling"),
    Registered::new::<Router>("Alerting"),
];

/// The name of the function that keeps the names.
pub const DNS_REPLICATOR: &str = Replicator::NAME;
/// The name of the function that looks after instances.
pub const INSTANCE_DRAINER: &str = Drainer::NAME;
/// The name of the function that tells people of alarms.
pub const ALARM_ROUTER: &str = Router::NAME;
/// The name of the function that deletes backups.
pub const BACKUP_PRUNER: &str = Pruner::NAME;
/// The name of the function that takes backups.
pub const BACKUP_SCHEDULER: &str = Scheduler::NAME;

/// The name of the function that asks Neo4j.
pub const NEO4J_GATEWAY: &str = "neo4j-gateway";

/// The variables of a function's environment, by name.
pub type Environment = BTreeMap<String, String>;
/// The lines of metrics that functions have written.
pub type Metrics = Arc<Mutex<Vec<Value>>>;

/// A function of the cluster, and where its parts are.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// What the function says of itself.
    pub function: Description,
    /// The path of its stack in a deployment of the cluster.
    pub stack: &'static str,
    /// Starts it.
    pub start: Start,
}

/// Starts a function with what looks its variables up.
type Start = fn(&dyn Fn(&str) -> Option<String>, &Aws) -> Result<Rc<dyn Running>, Failure>;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A function that has started.
pub trait Running {
    /// Handles one invocation.
    fn handle(&self, payload: Value) -> Boxed<'_, Result<Value, Failure>>;

    /// Makes the calls of the init phase, and returns their results.
    fn warm_up(&self) -> Boxed<'_, Vec<Result<(), Failure>>>;
}

impl<F: Function> Running for Frame<F> {
    fn handle(&self, payload: Value) -> Boxed<'_, Result<Value, Failure>> {
        Box::pin(Self::handle(self, payload))
    }

    fn warm_up(&self) -> Boxed<'_, Vec<Result<(), Failure>>> {
        Box::pin(self.function().warm_up())
    }
}

fn start<F: Function + 'static>(
    lookup: &dyn Fn(&str) -> Option<String>,
    aws: &Aws,
) -> Result<Rc<dyn Running>, Failure> {
    Ok(Rc::new(Frame::<F>::new(&lookup, aws)?))
}

impl Registered {
    const fn new<F: Function + 'static>(stack: &'static str) -> Self {
        Self { function: Description::of::<F>(), stack, start: start::<F> }
    }

    /// Returns the name of its crate and its binary.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.function.name
    }

    /// Returns the path of its template from the repository's root.
    #[must_use]
    pub fn template(&self) -> String {
        format!("infra/{}.yaml", self.stack.to_ascii_lowercase())
    }

    /// Returns its name as the root's outputs spell it, such as `DnsReplicator`.
    #[must_use]
    pub fn output(&self) -> String {
        let words = self.name().split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
        words.collect()
    }
}

/// Returns what functions reach a world by; they write their metrics into the list.
#[must_use]
pub fn aws(wire: &Wire, metrics: &Metrics) -> Aws {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT);
    let credentials = Credentials::new("id", "secret", None, None, "world");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(wire.clone())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(wire.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts.build());
    let (metrics, world) = (metrics.clone(), wire.clone());
    Aws {
        sdk: sdk.build(),
        connector: SharedHttpConnector::new(wire.clone()),
        // The SDK's own budget of retries is one for the process: schedules would drain it for each other.
        retry_partition: Some(RetryPartition::custom("world").build()),
        metrics: Sink::new(move |line| {
            metrics.lock().unwrap().push(line.clone());
            world.hear(line);
        }),
    }
}

/// What has started, by the function's name and its environment.
type Started = Rc<RefCell<BTreeMap<(String, Environment), Rc<dyn Running>>>>;

/// The functions in front of a world. A started one is kept for the next invocation: starting it takes longer than using it,
/// and it remembers nothing but its connections.
#[derive(Clone)]
pub struct Functions {
    aws: Aws,
    started: Started,
}

impl Functions {
    /// Returns the functions in front of this world, which write their metrics there.
    #[must_use]
    pub fn new(wire: &Wire, metrics: &Metrics) -> Self {
        Self { aws: aws(wire, metrics), started: Rc::default() }
    }

    /// Returns what functions reach the world by.
    #[must_use]
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// Starts a function, or returns the one that has started with this environment.
    ///
    /// # Panics
    /// When there is no such function, or it refuses its environment.
    #[must_use]
    pub fn started(&self, name: &str, environment: &Environment) -> Rc<dyn Running> {
        let key = (name.to_owned(), environment.clone());
        if let Some(known) = self.started.borrow().get(&key) {
            return known.clone();
        }
        let function = FUNCTIONS.iter().find(|function| function.name() == name);
        let function = function.unwrap_or_else(|| panic!("there is no function {name}"));
        let lookup = |name: &str| environment.get(name).cloned();
        let started = (function.start)(&lookup, &self.aws).unwrap_or_else(|failure| panic!("{}", failure.chain()));
        self.started.borrow_mut().insert(key, started.clone());
        started
    }

    /// Invokes a function.
    pub async fn invoke(&self, name: &str, environment: &Environment, payload: Value) -> Result<Value, Failure> {
        self.started(name, environment).handle(payload).await
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Functions")
    }
}
