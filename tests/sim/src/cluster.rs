//! One cluster: everything that the rendered templates create, in a world of its own, with every function running in it.

mod alarms;
mod deploy;
mod discovery;
mod life;
mod picture;
mod schedules;
mod seen;
pub mod stack;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cluster_lambda::Failure;
use cluster_world::World;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use schedules::Again;

use crate::{
    events::{Rule, messages},
    functions::{ALARM_ROUTER, DNS_REPLICATOR, Environment, Functions, INSTANCE_DRAINER, Metrics},
    gateway,
    schedules::Schedule,
    stacks::{Made, releases},
    time::play,
    wire::Wire,
};

/// The cluster's name, which begins the names of its groups and owns its records.
pub const CLUSTER: &str = "neo4j";
/// The domain of the records.
pub const DOMAIN: &str = "neo4j.service";
/// The zones of cores 1 to 3, and again.
pub const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
/// How often somebody looks, and how long an event takes to a function at most.
const STEP: u64 = 5;

/// Returns whether an ECS service is one of a tier: `core`, `core-1` and `core-spare` are of the cores.
#[must_use]
pub fn is_of_tier(tier: &str, service: &str) -> bool {
    service.strip_prefix(tier).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// One core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The Auto Scaling group's name.
    pub group: String,
    /// The data volume's id.
    pub volume: String,
    /// The launch template's id.
    pub template: String,
}

/// A deployment as a value: a world, and the names of what stands in it.
#[derive(Clone, Debug)]
pub struct Deployed {
    world: World,
    made: Vec<Made>,
    /// What waits for the cluster to have formed: the custom resource of its phase.
    phase: Option<(Made, String)>,
    environments: BTreeMap<String, Environment>,
    /// The gateway's name in Lambda, its environment, and its timeout.
    gateway: Option<(String, Environment, Duration)>,
    /// Functions by the ARN that custom resources name.
    arns: BTreeMap<String, String>,
    rules: Vec<Rule>,
    schedules: Vec<Schedule>,
    zone: String,
    registries: [String; 2],
    ecs_cluster: String,
    nodes: Vec<Node>,
}

/// A running cluster. Clones share its world.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The world behind the connector.
    pub wire: Wire,
    /// The resources of each core.
    pub nodes: Vec<Node>,
    /// The lines of metrics that functions have written.
    pub metrics: Metrics,
    /// The zone of the records.
    pub zone: String,
    /// The Cloud Map services of core and replica.
    pub registries: [String; 2],
    /// The ECS cluster's name.
    pub ecs_cluster: String,
    /// The function that [`Cluster::invoke`] and [`Cluster::sweep`] mean: the one that a story is about.
    pub subject: &'static str,
    functions: Functions,
    deployed: Arc<Deployed>,
    environments: BTreeMap<String, Environment>,
    running: Arc<Mutex<BTreeSet<String>>>,
    /// Events that a queue keeps back: until when, and for whom.
    kept_back: Arc<Mutex<Vec<(Timestamp, String, Value)>>>,
    /// When each schedule fires next.
    next: Arc<Mutex<BTreeMap<Schedule, Timestamp>>>,
    /// Messages of schedules that a function failed with, and what is to become of them.
    again: Arc<Mutex<Vec<Again>>>,
    failures: Arc<Mutex<Vec<String>>>,
    ending: Arc<Ending>,
}

/// The end of a story, which says how long databases had no majority.
#[derive(Debug)]
struct Ending {
    wire: Wire,
    quiet: AtomicBool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let lost = if self.quiet.load(Ordering::Relaxed) { BTreeMap::new() } else { self.wire.without_majority() };
        for (database, lost) in lost {
            let story = std::thread::current().name().unwrap_or("a story").to_owned();
            println!("{story}: {database} had no majority for {lost}");
        }
    }
}

/// Plays something in a thread of its own, so that a story may ask for it, and remembers what came of it.
fn remembered(
    memory: &'static OnceLock<Mutex<BTreeMap<String, Arc<Deployed>>>>,
    name: &str,
    story: impl AsyncFnOnce() -> Deployed + Send,
) -> Arc<Deployed> {
    // One that could not be deployed fails the stories that ask for it, and no other.
    let mut memory = memory.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let known = memory.entry(name.to_owned()).or_insert_with(|| {
        let told = std::thread::scope(|scope| scope.spawn(|| play(story())).join());
        Arc::new(told.unwrap_or_else(|_| panic!("{name} could not be deployed")))
    });
    known.clone()
}

fn deployment(name: &str) -> Arc<Deployed> {
    static DEPLOYED: OnceLock<Mutex<BTreeMap<String, Arc<Deployed>>>> = OnceLock::new();
    // The functions are today's, so a release's templates lack variables that one of them wants. They name what is not there
    // yet.
    let lacks = releases().iter().any(|release| name.starts_with(release.as_str()));
    let mut today = if lacks { deployment(of_size(3)).environments.clone() } else { BTreeMap::new() };
    today.retain(|function, _| function == INSTANCE_DRAINER);
    remembered(&DEPLOYED, name, async || deploy::deploy(name, today).await)
}

/// When schedules fire first. A rate does when its time has passed once.
fn firsts(deployed: &Deployed) -> BTreeMap<Schedule, Timestamp> {
    let schedules = deployed.schedules.iter();
    schedules.map(|schedule| (schedule.clone(), schedule.next(deployed.world.now))).collect()
}

impl Deployed {
    /// Lets functions invoke the gateway.
    fn add_gateway(&self, wire: &Wire) {
        if let Some((name, environment, timeout)) = &self.gateway {
            wire.add_function(name, gateway::invocable(environment, *timeout));
        }
    }
}

impl Cluster {
    /// Returns a cluster of so many cores whose stacks are created but for its phase. Its instances are about to launch.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self::of(&deployment(of_size(cores)), INSTANCE_DRAINER)
    }

    /// Returns a cluster that has formed and is complete. It was booted once, and is a copy.
    #[must_use]
    pub fn formed(cores: usize) -> Self {
        Self::formed_as(of_size(cores))
    }

    /// Returns a cluster that has formed and is complete, as this deployment of the renderer's, which may be of a release.
    #[must_use]
    pub fn formed_as(name: &str) -> Self {
        static FORMED: OnceLock<Mutex<BTreeMap<String, Arc<Deployed>>>> = OnceLock::new();
        let blank = deployment(name);
        let formed = remembered(&FORMED, name, async || {
            let cluster = Self::of(&blank, INSTANCE_DRAINER);
            cluster.form().await;
            let mut world = cluster.wire.world().clone();
            (world.calls, world.events, world.messages) = (vec![], vec![], vec![]);
            Deployed { world, ..(*blank).clone() }
        });
        Self::of(&formed, INSTANCE_DRAINER)
    }

    /// Returns the deployment of discovery by itself, for two services of an ECS cluster that want nothing yet.
    #[must_use]
    pub fn discovery() -> Self {
        Self::of(&deployment("discovery"), DNS_REPLICATOR)
    }

    /// Returns the deployment of instance-drainer by itself, for an ECS cluster that has no instances yet.
    #[must_use]
    pub fn alone() -> Self {
        Self::of(&deployment("drain-alone"), INSTANCE_DRAINER)
    }

    /// Returns the same deployment, in this world that has become of its own.
    #[must_use]
    pub fn alone_in(world: World) -> Self {
        Self::of(&Arc::new(Deployed { world, ..(*deployment("drain-alone")).clone() }), INSTANCE_DRAINER)
    }

    /// Returns the deployment of alarm-router by itself, for an account in which nothing is wrong. Its topic is there.
    #[must_use]
    pub fn alerts_alone() -> Self {
        let cluster = Self::of(&deployment("alerts-alone"), ALARM_ROUTER);
        let page = cluster.variable("PAGE_TOPIC_ARN").to_owned();
        cluster.wire.world().sns.topics.entry(page).or_default();
        cluster
    }

    fn of(deployed: &Arc<Deployed>, subject: &'static str) -> Self {
        // Back-off jitter comes from here; the same seed plays the same schedule.
        fastrand::seed(7);
        let (wire, metrics) = (Wire::new(deployed.world.clone()), Metrics::default());
        deployed.add_gateway(&wire);
        let ending = Arc::new(Ending { wire: wire.clone(), quiet: AtomicBool::new(false) });
        Self {
            functions: Functions::new(&wire, &metrics),
            wire,
            nodes: deployed.nodes.clone(),
            metrics,
            zone: deployed.zone.clone(),
            registries: deployed.registries.clone(),
            ecs_cluster: deployed.ecs_cluster.clone(),
            subject,
            deployed: deployed.clone(),
            environments: deployed.environments.clone(),
            running: Arc::new(Mutex::new(deployed.environments.keys().cloned().collect())),
            kept_back: Arc::default(),
            next: Arc::new(Mutex::new(firsts(deployed))),
            again: Arc::default(),
            failures: Arc::default(),
            ending,
        }
    }

    /// Says nothing at its end.
    #[must_use]
    pub fn quiet(self) -> Self {
        self.ending.quiet.store(true, Ordering::Relaxed);
        self
    }

    /// Runs no other functions than these.
    #[must_use]
    pub fn only(self, functions: &[&str]) -> Self {
        self.running.lock().unwrap().retain(|name| functions.contains(&name.as_str()));
        self
    }

    /// Runs this function no more.
    #[must_use]
    pub fn without(self, function: &str) -> Self {
        self.running.lock().unwrap().remove(function);
        self
    }

    /// Returns the same world, in which only these rules lead to functions.
    #[must_use]
    pub fn with_rules(mut self, rules: Vec<Rule>) -> Self {
        let deployed = Deployed { rules, ..(*self.deployed).clone() };
        self.deployed = Arc::new(deployed);
        self
    }

    /// Returns the same world, in which only these schedules fire.
    #[must_use]
    pub fn with_schedules(mut self, schedules: Vec<Schedule>) -> Self {
        let deployed = Deployed { schedules, ..(*self.deployed).clone() };
        self.deployed = Arc::new(deployed);
        self
    }

    /// Returns the same world, seen by the subject with another value of a variable.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.set(name, value);
        other
    }

    /// Changes a variable of the subject for its processes to come.
    pub fn set(&mut self, name: &str, value: &str) {
        let environment = self.environments.get_mut(self.subject).unwrap();
        assert!(environment.insert(name.to_owned(), value.to_owned()).is_some(), "the template gives no {name}");
    }

    /// Returns the environment that the template gives to the subject.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environments[self.subject]
    }

    /// Returns a variable of the subject.
    #[must_use]
    pub fn variable(&self, name: &str) -> &str {
        &self.environment()[name]
    }

    /// Invokes the subject.
    pub async fn invoke(&self, event: Value) -> Result<Value, Failure> {
        self.invoke_function(self.subject, event).await
    }

    async fn invoke_function(&self, name: &str, event: Value) -> Result<Value, Failure> {
        let result = self.functions.invoke(name, &self.environments[name], event).await;
        if let Err(failure) = &result {
            let line = format!("{} {name}: {}", self.wire.world().now, failure.chain());
            self.failures.lock().unwrap().push(line);
        }
        result
    }

    /// Invokes the subject with what its schedule sends.
    pub async fn sweep(&self) -> Result<Value, Failure> {
        self.sweep_function(self.subject).await
    }

    async fn sweep_function(&self, name: &str) -> Result<Value, Failure> {
        self.invoke_function(name, messages(&[self.sweep_message(name)])).await
    }

    /// Returns what the schedule of a function sends now.
    #[must_use]
    pub fn sweep_message(&self, function: &str) -> String {
        let mut all = self.deployed.schedules.iter();
        let sweep = all.find(|schedule| schedule.function == function && schedule.sweeps()).unwrap();
        sweep.message(self.wire.world().now)
    }

    /// Returns what the other schedules of a function send when they are due at this time.
    #[must_use]
    pub fn scheduled_messages(&self, function: &str, due: Timestamp) -> Vec<String> {
        let of_function = |schedule: &&Schedule| schedule.function == function && !schedule.sweeps();
        self.deployed.schedules.iter().filter(of_function).map(|schedule| schedule.message(due)).collect()
    }

    /// Returns what reaches a function now: those of these events that its rules match, each once for a queue, and earlier ones that
    /// a queue has kept back until now.
    #[must_use]
    pub fn matching(&self, function: &str, events: Vec<Value>) -> Vec<Value> {
        let now = self.wire.world().now;
        let mut kept_back = self.kept_back.lock().unwrap();
        let due = |(at, of, _): &mut (Timestamp, String, Value)| *at <= now && of == function;
        let mut reaching: Vec<_> = kept_back.extract_if(.., due).map(|(_, _, event)| event).collect();
        let rules: Vec<_> = self.deployed.rules.iter().filter(|rule| rule.function == function).collect();
        for event in events {
            let delays: BTreeSet<_> = rules.iter().filter(|rule| rule.matches(&event)).map(|rule| rule.delay).collect();
            for delay in delays {
                if delay == 0 {
                    reaching.push(event.clone());
                } else {
                    let sent = event["Time"].as_str().and_then(|at| at.parse().ok()).unwrap_or(now);
                    kept_back.push((sent + SignedDuration::from_secs(delay), function.to_owned(), event.clone()));
                }
            }
        }
        reaching
    }

    fn running(&self) -> Vec<String> {
        self.running.lock().unwrap().iter().cloned().collect()
    }

    /// Does what people do before they terminate a core: its instance drains, and ECS stops its task.
    pub fn empty(&self, core: usize) {
        self.set_status(core, "DRAINING");
    }

    /// Sets the status of a core's container instance.
    pub fn set_status(&self, core: usize, status: &'static str) {
        let holder = self.holder(core).unwrap();
        self.wire.world().set_status(&holder, status);
    }
}

/// The deployment of so many cores.
fn of_size(cores: usize) -> &'static str {
    match cores {
        3 => "default",
        5 => "five",
        7 => "seven",
        other => panic!("there is no deployment of {other} cores"),
    }
}
