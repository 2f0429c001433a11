//! ECS: services keep their desired number of tasks on container instances, one task of a cluster per container instance, in the host network mode.

pub mod container_instances;
pub mod placement;
mod resources;
mod services;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ACCOUNT, Context, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted},
    neo4j::Cause,
    service::{self, Asked, Target, Touched},
};
pub use container_instances::ContainerInstance;
use placement::Placement;
pub use services::Definition;
use services::describe_services;
use tasks::describe_tasks;


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
