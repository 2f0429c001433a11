//! One cluster: everything that the rendered templates create, in a world of its own, with every function running in it.

mod deploy;
mod discovery;
mod picture;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cluster_lambda::Failure;
use cluster_world::{World, ec2::Contents};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    events::{Rule, delivered, messages},
    functions::{DNS_REPLICATOR, Environment, Functions, INSTANCE_DRAINER, Metrics},
    gateway,
    stacks::{Made, releases},
    time::{Within, minutes, play},
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
    /// What the schedules send: (function, message).
    sweeps: Vec<(String, String)>,
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
    next_sweep: Arc<Mutex<Timestamp>>,
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
            next_sweep: Arc::new(Mutex::new(deployed.world.now + SignedDuration::from_mins(1))),
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

    /// Runs no other function than this one.
    #[must_use]
    pub fn only(self, function: &str) -> Self {
        self.running.lock().unwrap().retain(|name| name == function);
        self
    }

    /// Returns the same world, in which only these rules lead to functions.
    #[must_use]
    pub fn with_rules(mut self, rules: Vec<Rule>) -> Self {
        let deployed = Deployed { rules, ..(*self.deployed).clone() };
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
        let sweep = self.deployed.sweeps.iter().find(|(name, _)| name == function).map(|(_, body)| body).unwrap();
        // EventBridge Scheduler user guide, «Adding context attributes».
        let now = self.wire.world().now;
        let sweep = sweep.replace("<aws.scheduler.scheduled-time>", &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        sweep.replace("<aws.scheduler.execution-id>", "execution")
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

    /// Lets five seconds pass, hands every event to the functions whose rules match it, and sweeps when a minute is over.
    /// A function that fails is made good by the next sweep.
    pub async fn step(&self) {
        self.wire.sleep(STEP).await;
        let events = std::mem::take(&mut self.wire.world().events);
        let now = self.wire.world().now;
        let sweeps = {
            let mut next = self.next_sweep.lock().unwrap();
            let due = *next <= now;
            if due {
                *next = now + SignedDuration::from_mins(1);
            }
            due
        };
        for function in self.running() {
            let bodies: Vec<_> = self.matching(&function, events.clone()).iter().map(delivered).collect();
            for batch in bodies.chunks(10) {
                _ = self.invoke_function(&function, messages(batch)).await;
            }
            if sweeps {
                _ = self.sweep_function(&function).await;
            }
        }
    }

    /// Lets time pass, with all that happens in it.
    pub async fn live(&self, time: Duration) {
        let seconds = time.as_secs();
        for _ in 0..seconds.div_ceil(STEP) {
            self.step().await;
        }
    }

    /// Lets time pass with a sweep each minute, while every event is lost.
    pub async fn live_without_events(&self, time: Duration) {
        for _ in 0..time.as_secs().div_ceil(60) {
            self.wire.sleep(60).await;
            self.wire.world().events.clear();
            for function in self.running() {
                _ = self.sweep_function(&function).await;
            }
        }
    }

    /// Lets time pass until something is so, and returns how much that was.
    pub async fn until(&self, what: &str, within: Within, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = self.wire.world().now;
        while !is_so(self) {
            let passed = Duration::try_from(self.wire.world().now.duration_since(began)).unwrap();
            assert!(passed < within.0, "{what}: not within {:?}\n{}", within.0, self.picture());
            self.step().await;
        }
        Duration::try_from(self.wire.world().now.duration_since(began)).unwrap()
    }

    /// Lets the cluster form: each core boots for the first time, and the creation of the stack comes to its end.
    pub async fn form(&self) {
        let all = |cluster: &Self| (1..=cluster.nodes.len()).all(|core| cluster.serving(core).is_some());
        self.until("every core serves", Within(minutes(5)), all).await;
        let healthy = |cluster: &Self| cluster.fit("core").len() == cluster.nodes.len();
        self.until("every core's health check passes", Within(minutes(2)), healthy).await;
        self.live(minutes(1)).await;
        self.request_phase("Create").await;
        // A round declares the user that looks, and the next one takes note of what that user sees.
        self.live(minutes(2)).await;
    }

    /// Returns the core's instance that is in service with the core's volume and a running task.
    #[must_use]
    pub fn serving(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        let node = &self.nodes[core - 1];
        let attachment = world.ec2.volumes.get(&node.volume)?.attachment.as_ref().filter(|a| a.state == "attached")?;
        let member = world.auto_scaling.groups.get(&node.group)?.members.get(&attachment.instance)?;
        let instance = world.ec2.instances.get(&attachment.instance).filter(|found| found.ended.is_none())?;
        let service = format!("core-{core}");
        let mut tasks = world.ecs.clusters[&self.ecs_cluster].wanted(&service);
        let runs = tasks.any(|(_, task)| task.address == instance.address && task.status == "RUNNING");
        (member.state == "InService" && runs).then(|| attachment.instance.clone())
    }

    /// Returns whether another instance than this one serves as the core.
    #[must_use]
    pub fn is_replaced(&self, core: usize, old: &str) -> bool {
        self.serving(core).is_some_and(|new| new != old)
    }

    /// Returns the task on an instance that is to run, in whatever state.
    #[must_use]
    pub fn task(&self, instance: &str) -> Option<String> {
        let world = self.wire.world();
        let (cluster, address) = world.registered(instance)?;
        let tasks = world.ecs.clusters[&cluster].tasks.iter().filter(|(_, task)| task.wanted);
        let mut tasks = tasks.filter(|(_, task)| is_of_tier("core", &task.service));
        tasks.find(|(_, task)| task.address == address).map(|(id, _)| id.clone())
    }

    /// Returns the lifecycle states of the core's instances, by instance.
    #[must_use]
    pub fn states(&self, core: usize) -> BTreeMap<String, &'static str> {
        let world = self.wire.world();
        let members = world.auto_scaling.groups.get(&self.nodes[core - 1].group).map(|group| group.members.clone());
        members.into_iter().flatten().map(|(id, member)| (id, member.state)).collect()
    }

    /// Returns the only instance of the core in this state.
    #[must_use]
    pub fn in_state(&self, core: usize, state: &str) -> Option<String> {
        let found: Vec<_> = self.states(core).into_iter().filter(|(_, s)| *s == state).collect();
        if let [(id, _)] = &found[..] { Some(id.clone()) } else { None }
    }

    /// Returns the instance that has the core's volume, in whatever state of the attachment.
    #[must_use]
    pub fn holder(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        Some(world.ec2.volumes.get(&self.nodes[core - 1].volume)?.attachment.as_ref()?.instance.clone())
    }

    /// Returns what is on the core's volume.
    #[must_use]
    pub fn contents(&self, core: usize) -> Contents {
        self.wire.world().ec2.volumes[&self.nodes[core - 1].volume].contents
    }

    /// Returns the last value of a metric, of a tier or of none.
    #[must_use]
    pub fn metric(&self, name: &str, tier: Option<&str>) -> Option<f64> {
        let lines = self.metrics.lock().unwrap();
        let of_tier = |line: &&Value| line["Tier"].as_str() == tier;
        lines.iter().rev().filter(of_tier).find_map(|line| line[name].as_f64())
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

    /// Sends CloudFormation's request about the cluster's phase, as often as Lambda does.
    pub async fn request_phase(&self, kind: &str) {
        let (phase, function) = self.deployed.phase.clone().unwrap();
        let answer = self.request(&phase, &function, kind).await;
        assert_eq!(answer["Status"], json!("SUCCESS"), "{answer}");
    }

    /// Returns CloudFormation's request about the cluster's phase.
    #[must_use]
    pub fn phase_request(&self, kind: &str) -> Value {
        request(&self.deployed.phase.as_ref().unwrap().0, kind)
    }

    async fn request(&self, made: &Made, function: &str, kind: &str) -> Value {
        let request = request(made, kind);
        for pause in [60, 120, 0] {
            if self.invoke_function(function, request.clone()).await.is_ok() {
                break;
            }
            self.live(Duration::from_secs(pause)).await;
        }
        self.last_answer().unwrap_or_default()
    }

    /// Returns the physical ids of the custom resources, by type.
    #[must_use]
    pub fn custom_resources(&self) -> BTreeMap<String, String> {
        let phase = self.deployed.phase.as_ref().map(|(made, _)| made);
        let all = self.deployed.made.iter().chain(phase).filter(|made| made.r#type.starts_with("Custom::"));
        all.map(|made| (made.r#type.clone(), made.physical_id.clone())).collect()
    }

    /// Updates the stack as CloudFormation does, to another deployment of the renderer's. Only what differs is touched. What
    /// is replaced or no longer wanted is deleted in the end.
    pub async fn update(&mut self, to: &str) {
        let (updated_to, left) = deploy::update(&self.wire, &self.deployed, to).await;
        self.environments = updated_to.environments.clone();
        updated_to.add_gateway(&self.wire);
        self.nodes.clone_from(&updated_to.nodes);
        *self.running.lock().unwrap() = self.environments.keys().cloned().collect();
        let old = std::mem::replace(&mut self.deployed, Arc::new(updated_to));
        if let (Some((new, function)), Some((old, _))) = (self.deployed.phase.clone(), &old.phase)
            && new.properties != old.properties
        {
            self.invoke_function(&function, updated(&new, old)).await.unwrap();
        }
        for made in left {
            let replaced = self.deployed.made.iter().any(|new| new.place == made.place);
            let policy = if replaced { &made.replace_policy } else { &made.policy };
            if policy != "Retain" {
                self.gone(&made).await;
            }
        }
    }

    /// Returns what CloudFormation was answered last.
    #[must_use]
    pub fn last_answer(&self) -> Option<Value> {
        let world = self.wire.world();
        let (_, body) = world.messages.iter().rev().find(|(to, _)| to == "/cfn")?;
        serde_json::from_str(body).ok()
    }

    /// Deletes the stack as CloudFormation does, in the order of its creation turned round, and returns how long it took.
    /// Where its creation never came to an end, there is no phase to delete.
    pub async fn delete(&self, with_phase: bool) -> Duration {
        if with_phase { self.delete_all_but(&[]).await } else { self.delete_resources(&[]).await }
    }

    /// Deletes a stack that is complete, but for resources of some types, which something of others' keeps.
    pub async fn delete_all_but(&self, kept: &[&str]) -> Duration {
        let began = self.wire.world().now;
        self.request_phase("Delete").await;
        self.delete_resources(kept).await;
        Duration::try_from(self.wire.world().now.duration_since(began)).unwrap()
    }

    async fn delete_resources(&self, kept: &[&str]) -> Duration {
        let began = self.wire.world().now;
        for made in self.deployed.made.iter().rev() {
            let function = made.properties["ServiceToken"].as_str().and_then(|arn| self.deployed.arns.get(arn));
            if kept.contains(&made.r#type.as_str()) {
                continue;
            }
            if let Some(function) = function {
                // One that a story left out answers nothing.
                if !self.running().contains(function) {
                    continue;
                }
                let answer = self.request(made, function, "Delete").await;
                assert_eq!(answer["Status"], json!("SUCCESS"), "{:?}: {answer}\n{}", made.place, self.picture());
            } else if made.r#type == "AWS::Lambda::Function" {
                let name = made.policy["function"].as_str().unwrap_or_default().to_owned();
                self.running.lock().unwrap().remove(&name);
                self.wire.world().lambda.functions.remove(&made.physical_id);
            } else {
                self.gone(made).await;
            }
        }
        Duration::try_from(self.wire.world().now.duration_since(began)).unwrap()
    }

    async fn gone(&self, made: &Made) {
        let (kind, id) = (made.r#type.as_str(), made.physical_id.as_str());
        if !deploy::is_modelled(kind) {
            return;
        }
        let mut properties = made.properties.clone();
        properties["DeletionPolicy"] = made.policy.clone();
        let mut operation = self.wire.world().delete(kind, id, &properties);
        let mut refused = String::new();
        for _ in 0..2 * 60 * 12 {
            match &operation {
                Ok(Some(_)) => return,
                Ok(None) => {}
                Err(why) => refused.clone_from(why),
            }
            self.step().await;
            let again = operation.is_err();
            let mut world = self.wire.world();
            operation = if again { world.delete(kind, id, &properties) } else { world.status(kind, id) };
        }
        panic!("{kind} {id} is not gone after two hours: {refused}\n{}", self.picture());
    }
}

/// What CloudFormation asks about a custom resource whose properties have changed.
fn updated(new: &Made, old: &Made) -> Value {
    let mut request = request(&Made { physical_id: old.physical_id.clone(), ..new.clone() }, "Update");
    request["OldResourceProperties"] = old.properties.clone();
    request
}

/// What CloudFormation asks about a custom resource.
fn request(made: &Made, kind: &str) -> Value {
    json!({
        "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "request",
        "ResourceType": made.r#type, "LogicalResourceId": made.place.1, "PhysicalResourceId": made.physical_id,
        "ResourceProperties": made.properties, "OldResourceProperties": {},
    })
}

/// Returns CloudFormation's request about a custom resource of the cluster's own.
#[must_use]
pub fn request_of(r#type: &str, physical_id: &str, kind: &str, properties: &Value) -> Value {
    json!({
        "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "request",
        "ResourceType": r#type, "LogicalResourceId": "Resource", "PhysicalResourceId": physical_id,
        "ResourceProperties": properties, "OldResourceProperties": {},
    })
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
