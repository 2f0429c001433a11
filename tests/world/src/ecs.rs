//! ECS: services keep their desired number of tasks on container instances, one task of a cluster per container instance, in the host network mode.

pub mod container_instances;
pub mod placement;
mod resources;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    ACCOUNT, Context, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted},
    neo4j::Cause,
    service::{self, Asked, Target, Touched},
};
pub use container_instances::ContainerInstance;
use placement::{Move, Placement};
pub use services::Definition;
use services::describe_services;

/// From a task's placement to `ACTIVATING`, when ECS registers it in Cloud Map.
const START: i64 = 6;
/// From there to `RUNNING`.
const ACTIVATE: i64 = 3;
/// From `RUNNING` to the first passed health check.
const BOOT: i64 = 25;
/// From `UNHEALTHY` until the service scheduler stops the task.
const REPLACE: i64 = 12;
/// From the wish to stop to `DEACTIVATING`, when ECS deregisters it from Cloud Map.
const DEACTIVATE: i64 = 1;
/// From there to `STOPPING`.
const STOPPING: i64 = 4;
/// From there to `STOPPED`, when its container instance is free again.
const STOP: i64 = 8;
/// How long `DescribeTasks` still knows a stopped task (API reference of `DescribeTasks`).
const REMEMBERED: i64 = 3600;

/// Clusters by name.
#[derive(Clone, Debug)]
pub struct Ecs {
    /// What there is.
    pub clusters: BTreeMap<String, Cluster>,
    /// Task definitions by ARN.
    pub definitions: BTreeMap<String, Definition>,
    /// Seconds from the termination of an instance until its registration goes by itself.
    pub deregisters: i64,
    /// How many more container instances `UpdateContainerInstancesState` leaves as they are, and names as failed.
    pub unset: usize,
    /// Services that `DescribeServices` does not describe: by name the reason that it gives, or none if it leaves them out.
    pub undescribed: BTreeMap<String, Option<&'static str>>,
}

impl Default for Ecs {
    fn default() -> Self {
        Self {
            clusters: BTreeMap::new(),
            definitions: BTreeMap::new(),
            deregisters: container_instances::DEREGISTER,
            unset: 0,
            undescribed: BTreeMap::new(),
        }
    }
}

/// A cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Tasks by id.
    pub tasks: BTreeMap<String, Task>,
    /// Container instances by address.
    pub container_instances: BTreeMap<Ipv4Addr, ContainerInstance>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// How many tasks it wants.
    pub desired: usize,
    /// The ARN of the task definition of its deployment, with its revision, whatever the service was asked for by.
    pub definition: String,
    /// The number of its deployment. Tasks of earlier ones are replaced.
    pub deployment: u32,
    /// Who last changed what it wants.
    pub(super) changed_by: Cause,
    /// The Cloud Map service that its tasks are registered in.
    pub registry: Option<String>,
    /// Where its tasks may go, and how many stay.
    pub placement: Placement,
    /// False once it was deleted: then it drains, and is `INACTIVE` when its last task has stopped (API reference of
    /// `DeleteService`).
    pub active: bool,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// The service's name; of a standalone task its group.
    pub service: String,
    /// `lastStatus`.
    pub status: &'static str,
    /// Whether `desiredStatus` is `RUNNING`.
    pub wanted: bool,
    /// `healthStatus`.
    pub health: &'static str,
    /// The address of its container instance, which is also its own.
    pub address: Ipv4Addr,
    /// When it went from `PENDING` to `RUNNING`.
    pub started_at: Option<Timestamp>,
    /// `stoppingAt`: when it was told to stop.
    pub stopping_at: Option<Timestamp>,
    /// `stoppedAt`: when it had.
    pub stopped_at: Option<Timestamp>,
    /// Seconds until it ends that is no member's, once it has got its signal; at most its `StopTimeout`.
    pub stops_in: i64,
    /// Whose doing that was.
    stopped_by: Cause,
    /// When that was asked for.
    asked_at: Timestamp,
    /// The ARN of its task definition.
    pub definition: String,
    /// The number of its service's deployment that started it.
    deployment: u32,
    next: Option<(Timestamp, Step)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Activate,
    Run,
    Pass,
    Replace,
    Deactivate,
    Stopping,
    Stop,
    Forget,
}

impl Ecs {
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.clusters.values().flat_map(|cluster| cluster.tasks.values())
    }
}

impl Cluster {
    /// The tasks of a service that are wanted.
    pub fn wanted(&self, service: &str) -> impl Iterator<Item = (&String, &Task)> {
        self.tasks.iter().filter(move |(_, task)| task.service == service && task.wanted)
    }

    /// Whose doing it is that the scheduler stops a task of a service.
    fn why_stopped(&self, service: &str, task: &str) -> Cause {
        let found = self.tasks.get(task).and_then(|task| self.container_instances.get(&task.address));
        let drained = found.filter(|found| found.status == "DRAINING").map(|found| found.status_by);
        drained.or(self.services.get(service).map(|service| service.changed_by)).unwrap_or_default()
    }

    /// Whether ECS hears nothing of a task: its container instance's agent is silent.
    fn is_frozen(&self, task: &Task) -> bool {
        task.status != "STOPPED" && self.container_instances.get(&task.address).is_some_and(|container_instance| !container_instance.connected)
    }
}

impl service::Service for Ecs {
    const NAME: &'static str = "ecs";
    const TARGET: Target = Target::Json("AmazonEC2ContainerServiceV20141113");
    const RESOURCES: &'static [&'static str] = &["AWS::ECS::Cluster", "AWS::ECS::TaskDefinition", "AWS::ECS::Service"];

    /// Service authorization reference of ECS, «Actions» and «Condition keys».
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let (operation, body) = (asked.operation.as_str(), &asked.body);
        let of = |kind: &str, named: Value| arns(kind, &json!({"cluster": body["cluster"], "named": named}), "named");
        let resources = match operation {
            "DescribeTasks" => arns("task", body, "tasks"),
            "DescribeServices" => arns("service", body, "services"),
            "DescribeContainerInstances" | "UpdateContainerInstancesState" => {
                arns("container-instance", body, "containerInstances")
            }
            "StopTask" => of("task", json!([body["task"]])),
            "UpdateService" => of("service", json!([body["service"]])),
            "ListContainerInstances" | "DeregisterContainerInstance" => vec![cluster_arn(body)],
            "ListTasks" => match body["containerInstance"].as_str() {
                Some(named) => of("container-instance", json!([named])),
                None => vec!["*".to_owned()],
            },
            _ => Vec::new(),
        };
        let mut touched = Touched::resources(resources);
        if ["DescribeContainerInstances", "UpdateContainerInstancesState", "ListTasks"].contains(&operation) {
            let cluster = BTreeSet::from([cluster_arn(body)]);
            touched.context = Context::from([("ecs:cluster".to_owned(), cluster)]);
        }
        touched
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_ecs(&asked.operation, &asked.body)
    }

    fn next_due(world: &World) -> Option<Timestamp> {
        let tasks = world.ecs.tasks().filter_map(|task| task.next.map(|(at, _)| at));
        world.earliest(tasks.chain(world.ec2.next_due_on_instances(world.ecs.deregisters)))
    }

    fn settle(world: &mut World) -> bool {
        world.settle_container_instances() || world.settle_tasks()
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        world.create_in_ecs(wanted)
    }

    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        world.update_in_ecs(change)
    }

    fn delete(world: &mut World, r#type: &str, id: &str, properties: &Value) -> Result<(), String> {
        world.delete_in_ecs(r#type, id, properties)
    }

    fn is_leaving(world: &mut World, r#type: &str, id: &str) -> bool {
        r#type == "AWS::ECS::Service" && world.is_service_leaving(id)
    }
}

/// A name or ARN, as the APIs take both.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

pub(super) fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{name}")
}

/// The ARN of the cluster that a request names.
pub(super) fn cluster_arn(body: &Value) -> String {
    arn("cluster", short(body["cluster"].as_str().unwrap_or("default")))
}

/// The ARNs of the tasks, services or container instances that a request names.
pub(super) fn arns(kind: &str, body: &Value, key: &str) -> Vec<String> {
    let cluster = short(body["cluster"].as_str().unwrap_or("default"));
    let named = body[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    named.map(|name| arn(kind, &format!("{cluster}/{}", short(name)))).collect()
}

impl World {
    /// Sets how many tasks a service wants.
    pub fn scale(&mut self, cluster: &str, service: &str, desired: usize) {
        let service = self.ecs.clusters.get_mut(cluster).and_then(|cluster| cluster.services.get_mut(service));
        if let Some(service) = service {
            (service.desired, service.changed_by) = (desired, Cause::People);
        }
        self.settle();
    }

    /// A health check of a task begins to fail.
    pub fn fail_health(&mut self, cluster: &str, task: &str) {
        let replace = self.now + SignedDuration::from_secs(REPLACE);
        let Some(cluster) = self.ecs.clusters.get_mut(cluster) else { return };
        let Some(found) = cluster.tasks.get_mut(task) else { return };
        found.health = "UNHEALTHY";
        found.next = Some((replace, Step::Replace));
        let registry = cluster.services.get(&found.service).and_then(|service| service.registry.clone());
        if let Some(registry) = registry {
            self.cloud_map.set_health(&registry, task, false, self.now);
        }
    }

    /// Does the next thing that is due, and says whether there was one.
    fn settle_tasks(&mut self) -> bool {
        let now = self.now;
        for (cluster, state) in &self.ecs.clusters {
            let due = state.tasks.iter().find_map(|(id, task)| {
                let (at, step) = task.next?;
                (at <= now && !state.is_frozen(task)).then(|| (cluster.clone(), id.clone(), step))
            });
            if let Some((cluster, id, step)) = due {
                self.step(&cluster, &id, step);
                return true;
            }
        }
        let next = self.ecs.clusters.iter().find_map(|(cluster, state)| {
            let moves = |service: &String| Some((cluster.clone(), service.clone(), state.next_move(service)?));
            state.services.keys().find_map(moves)
        });
        match next {
            Some((cluster, service, Move::Start(address))) => self.start_one(&cluster, service, address),
            Some((cluster, service, Move::Stop(id))) => {
                let cause = self.ecs.clusters.get(&cluster).map(|state| state.why_stopped(&service, &id));
                self.stop_for(&cluster, &id, cause.unwrap_or_default());
            }
            None => return false,
        }
        true
    }

    fn start_one(&mut self, cluster: &str, service: String, address: Ipv4Addr) {
        let id = self.id(32);
        let next = Some((self.now + SignedDuration::from_secs(START), Step::Activate));
        let Some(state) = self.ecs.clusters.get_mut(cluster) else { return };
        // From the revision of its service's deployment, not from the newest (What's New of 2025-11, «Amazon ECS improves Service
        // Availability during Rolling deployments»: «using the same service revision they belong to»).
        let found = state.services.get(&service).map(|found| (found.definition.clone(), found.deployment));
        let Some((definition, deployment)) = found else { return };
        let task = Task {
            service,
            status: "PENDING",
            wanted: true,
            health: "UNKNOWN",
            address,
            started_at: None,
            stopping_at: None,
            stopped_at: None,
            stops_in: STOP,
            stopped_by: Cause::default(),
            asked_at: self.now,
            definition,
            deployment,
            next,
        };
        state.tasks.insert(id.clone(), task);
        self.announce(cluster, &id);
    }

    /// A standalone task of somebody else's runs on a container instance (`RunTask`), whatever the status of that: it may have been
    /// placed before. Draining leaves it alone (developer guide, «Draining Amazon ECS container instances», «Draining behavior for
    /// standalone tasks»). Returns its id.
    pub fn run_task(&mut self, cluster: &str, family: &str, address: Ipv4Addr) -> String {
        let id = self.id(32);
        let task = Task {
            service: format!("family:{family}"),
            status: "RUNNING",
            wanted: true,
            health: "UNKNOWN",
            address,
            started_at: Some(self.now),
            stopping_at: None,
            stopped_at: None,
            stops_in: STOP,
            stopped_by: Cause::default(),
            asked_at: self.now,
            definition: String::new(),
            deployment: 0,
            next: None,
        };
        if let Some(state) = self.ecs.clusters.get_mut(cluster) {
            state.tasks.insert(id.clone(), task);
        }
        id
    }

    /// The scheduler places a task of a service, as decided before its container instance began to drain.
    pub fn place_late(&mut self, cluster: &str, service: &str, address: Ipv4Addr) {
        self.start_one(cluster, service.to_owned(), address);
    }

    /// People stop a task.
    pub fn stop(&mut self, cluster: &str, id: &str) {
        self.stop_for(cluster, id, Cause::People);
    }

    /// Begins to stop a task.
    pub(super) fn stop_for(&mut self, cluster: &str, id: &str, cause: Cause) {
        let next = Some((self.now + SignedDuration::from_secs(DEACTIVATE), Step::Deactivate));
        let state = self.ecs.clusters.get(cluster);
        let on = state.and_then(|state| state.container_instances.get(&state.tasks.get(id)?.address)?.instance.as_ref());
        let cause = self.blame(on, cause);
        // The scheduler comes round seconds after a container instance was set to DRAINING.
        let found = state.and_then(|state| state.container_instances.get(&state.tasks.get(id)?.address));
        let asked_at = found.filter(|found| found.status == "DRAINING").map_or(self.now, |found| found.status_at);
        let task = self.ecs.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(id));
        let Some(task) = task.filter(|task| task.wanted) else { return };
        task.wanted = false;
        task.stopping_at = Some(self.now);
        (task.stopped_by, task.asked_at) = (cause, asked_at);
        task.next = next;
        self.announce(cluster, id);
    }

    /// Every task on a container instance has ended at once, in whatever state it was.
    pub(super) fn end_tasks(&mut self, cluster: &str, address: Ipv4Addr) {
        let now = self.now;
        let Some(state) = self.ecs.clusters.get_mut(cluster) else { return };
        let mut ended = Vec::new();
        for (id, task) in state.tasks.iter_mut().filter(|(_, t)| t.address == address && t.status != "STOPPED") {
            (task.wanted, task.status) = (false, "STOPPED");
            task.stopping_at.get_or_insert(now);
            task.stopped_at = Some(now);
            task.next = Some((now + SignedDuration::from_secs(REMEMBERED), Step::Forget));
            let registry = state.services.get(&task.service).and_then(|service| service.registry.clone());
            ended.push((id.clone(), registry));
        }
        for (id, registry) in ended {
            if let Some(registry) = registry {
                self.cloud_map.deregister(&registry, &id, now);
            }
            self.announce(cluster, &id);
        }
    }

    fn step(&mut self, cluster: &str, id: &str, step: Step) {
        let now = self.now;
        let after = |seconds: i64, step: Step| Some((now + SignedDuration::from_secs(seconds), step));
        let by = self.ecs.clusters.get(cluster).and_then(|state| state.tasks.get(id)).map(|task| (task.stopped_by, task.asked_at));
        // The agent sends the signal to stop, and waits for the process as long as the task definition says.
        let exits = by.filter(|_| step == Step::Stopping).and_then(|(by, asked_at)| self.stop_member(id, by, asked_at));
        let played = self.neo4j.is_played(id);
        match step {
            Step::Run => self.start_member(cluster, id),
            Step::Stop => self.exit(id),
            _ => {}
        }
        let Some(state) = self.ecs.clusters.get_mut(cluster) else { return };
        let Some(task) = state.tasks.get_mut(id) else { return };
        let registry = state.services.get(&task.service).and_then(|service| service.registry.clone());
        let checked = self.ecs.definitions.get(&task.definition).is_some_and(|definition| definition.checked);
        match step {
            Step::Activate => {
                (task.status, task.next) = ("ACTIVATING", after(ACTIVATE, Step::Run));
                let (address, service) = (task.address, task.service.clone());
                let zone = state.container_instances.get(&address).map(|container_instance| container_instance.zone.clone()).unwrap_or_default();
                if let Some(registry) = registry {
                    let family = self.ecs.definitions.get(&task.definition).map(|found| found.family.clone());
                    let attributes = [
                        ("AWS_INSTANCE_IPV4", address.to_string()),
                        ("AWS_INSTANCE_PORT", "6000".to_owned()),
                        ("AWS_INIT_HEALTH_STATUS", if checked { "UNHEALTHY" } else { "HEALTHY" }.to_owned()),
                        ("AVAILABILITY_ZONE", zone),
                        ("REGION", REGION.to_owned()),
                        ("ECS_CLUSTER_NAME", cluster.to_owned()),
                        ("ECS_SERVICE_NAME", service),
                        ("ECS_TASK_DEFINITION_FAMILY", family.unwrap_or_default()),
                    ];
                    self.cloud_map.register(&registry, id, attributes, !checked, now);
                }
            }
            Step::Run => {
                task.started_at = Some(now);
                (task.status, task.next) = ("RUNNING", if checked { after(BOOT, Step::Pass) } else { None });
            }
            // A change of health alone is announced to nobody.
            Step::Pass => {
                (task.health, task.next) = ("HEALTHY", None);
                if let Some(registry) = registry {
                    self.cloud_map.set_health(&registry, id, true, now);
                }
                return;
            }
            Step::Replace => return self.stop_for(cluster, id, Cause::Itself),
            Step::Deactivate => {
                (task.status, task.next) = ("DEACTIVATING", after(STOPPING, Step::Stopping));
                if let Some(registry) = registry {
                    self.cloud_map.deregister(&registry, id, now);
                }
            }
            Step::Stopping if played => (task.status, task.next) = ("STOPPING", None),
            Step::Stopping => {
                (task.status, task.next) = ("STOPPING", exits.map(|at| (at, Step::Stop)).or(after(task.stops_in, Step::Stop)));
            }
            Step::Stop => {
                task.stopped_at = Some(now);
                (task.status, task.next) = ("STOPPED", after(REMEMBERED, Step::Forget));
            }
            Step::Forget => {
                state.tasks.remove(id);
                return;
            }
        }
        self.announce(cluster, id);
    }

    /// The process of a task that is told to stop has ended.
    pub(super) fn end_stopping(&mut self, cluster: &str, id: &str) {
        let now = self.now;
        let task = self.ecs.clusters.get_mut(cluster).and_then(|state| state.tasks.get_mut(id));
        if let Some(task) = task.filter(|task| task.status == "STOPPING") {
            task.next = Some((now, Step::Stop));
        }
    }

    /// Emits the event of a task's change of status.
    fn announce(&mut self, cluster: &str, id: &str) {
        let Some(state) = self.ecs.clusters.get(cluster) else { return };
        let Some(task) = state.tasks.get(id) else { return };
        let mut detail = task_item(cluster, state, id, task);
        // Events say times as text (developer guide, «Amazon ECS task state change events»).
        for (key, at) in [("startedAt", task.started_at), ("stoppingAt", task.stopping_at), ("stoppedAt", task.stopped_at)] {
            if let Some(at) = at {
                detail[key] = json!(at.to_string());
            }
        }
        self.emit("aws.ecs", "ECS Task State Change", &[arn("task", &format!("{cluster}/{id}"))], &detail);
    }

    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
    fn stop_task(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
        let id = short(body["task"].as_str().unwrap_or_default());
        let known = |world: &Self| {
            let cluster = world.ecs.clusters.get(name)?;
            Some(task_item(name, cluster, id, cluster.tasks.get(id)?))
        };
        let absent = || Refusal::new("InvalidParameterException", "The referenced task was not found.");
        known(self).ok_or_else(absent)?;
        self.stop_for(name, id, self.somebody());
        known(self).map(|task| json!({"task": task})).ok_or_else(absent)
    }

    fn answer_ecs(&mut self, operation: &str, body: &Value) -> Result<Value, Refusal> {
        if operation == "ListTaskDefinitions" {
            return Ok(self.list_task_definitions(body));
        }
        let name = short(body["cluster"].as_str().unwrap_or("default")).to_owned();
        let absent = || Refusal::new("ClusterNotFoundException", "Cluster not found.");
        let cluster = self.ecs.clusters.get(&name).ok_or_else(absent)?;
        match operation {
            "DescribeTasks" => describe_tasks(&name, cluster, body),
            "DescribeServices" => describe_services(&name, cluster, body, &self.ecs.undescribed),
            "ListTasks" => container_instances::list_tasks(&name, cluster, body, self.page),
            "ListContainerInstances" => container_instances::list(&name, cluster, body, self.page),
            "DescribeContainerInstances" => container_instances::describe(&name, cluster, body),
            "UpdateContainerInstancesState" => self.update_container_instances(&name, body),
            "DeregisterContainerInstance" => self.deregister(&name, body),
            "StopTask" => self.stop_task(&name, body),
            "UpdateService" => self.update_service(&name, body),
            _ => Err(Refusal::new("UnknownOperationException", format!("the world has no ecs:{operation}"))),
        }
    }
}

/// The strings of a request's list, at most as many as the API takes.
pub(super) fn strings<'a>(body: &'a Value, key: &str, most: usize) -> Result<Vec<&'a str>, Refusal> {
    let all: Vec<_> = body[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if all.is_empty() || all.len() > most {
        return Err(Refusal::new("InvalidParameterException", format!("{key} must hold 1 to {most} items.")));
    }
    Ok(all)
}

/// A task as the API and the events describe it.
fn task_item(name: &str, cluster: &Cluster, id: &str, task: &Task) -> Value {
    let mut item = json!({
        "taskArn": arn("task", &format!("{name}/{id}")),
        "clusterArn": arn("cluster", name),
        // A standalone task keeps the group that it was started with, such as `family:cron`.
        "group": if task.service.contains(':') { task.service.clone() } else { format!("service:{}", task.service) },
        "lastStatus": task.status,
        "desiredStatus": if task.wanted { "RUNNING" } else { "STOPPED" },
        "healthStatus": task.health,
        "taskDefinitionArn": task.definition,
    });
    // Seconds since 1970, with their fraction (API reference of `Task`).
    for (key, at) in [("startedAt", task.started_at), ("stoppingAt", task.stopping_at), ("stoppedAt", task.stopped_at)] {
        if let Some(at) = at {
            item[key] = json!(at.as_duration().as_secs_f64());
        }
    }
    if let Some(container_instance) = cluster.container_instances.get(&task.address) {
        item["containerInstanceArn"] = json!(arn("container-instance", &format!("{name}/{}", container_instance.id)));
        item["connectivity"] = json!(if container_instance.connected { "CONNECTED" } else { "DISCONNECTED" });
        item["connectivityAt"] = json!(container_instance.connected_since.as_second());
    }
    item
}

fn describe_tasks(name: &str, cluster: &Cluster, body: &Value) -> Result<Value, Refusal> {
    let (mut tasks, mut failures) = (vec![], vec![]);
    for id in strings(body, "tasks", 100)?.into_iter().map(short) {
        if !(matches!(id.len(), 32 | 36) && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-')) {
            return Err(Refusal::new("InvalidParameterException", "taskId length should be one of [32,36]"));
        }
        let arn_of_task = arn("task", &format!("{name}/{id}"));
        let Some(task) = cluster.tasks.get(id) else {
            failures.push(json!({"arn": arn_of_task, "reason": "MISSING"}));
            continue;
        };
        tasks.push(task_item(name, cluster, id, task));
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}
