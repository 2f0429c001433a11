use std::collections::{BTreeSet, HashMap};

use aws_sdk_ecs::types::{HealthStatus, Task as Described};
use aws_sdk_servicediscovery::types::InstanceSummary;
use cluster_core::dns::{Health, Registration, Service, Task, is_task_id};
use cluster_lambda::{Failure, is_refusal};

use crate::config::{Target, TierTarget};

/// The most tasks that one call of `DescribeTasks` takes.
const TASKS_PER_CALL: usize = 100;
/// The most services that one call of `DescribeServices` takes.
const SERVICES_PER_CALL: usize = 10;

/// An instance of a Cloud Map service.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// `AWS_INSTANCE_IPV4`.
    address: Option<String>,
    /// `ECS_CLUSTER_NAME`.
    cluster: Option<String>,
}

impl Instance {
    /// Adds what ECS reports about its task.
    pub(crate) fn with_task(self, tasks: &Tasks, cluster: &str) -> Registration {
        let task = match self.cluster {
            // That this cluster does not know a task of another one proves nothing.
            Some(other) if Some(other.as_str()) != last_part(cluster) => {
                Task::Unknown(format!("it belongs to cluster {other}, not to {cluster}"))
            }
            _ => tasks.of(&self.id),
        };
        Registration { id: self.id, address: self.address, task }
    }
}

fn known(task: &Described) -> Task {
    Task::Known {
        last_status: task.last_status().unwrap_or("UNKNOWN").to_owned(),
        wanted: task.desired_status() == Some("RUNNING"),
        health: match task.health_status() {
            Some(HealthStatus::Healthy) => Health::Healthy,
            Some(HealthStatus::Unhealthy) => Health::Unhealthy,
            _ => Health::Unknown,
        },
    }
}

fn instance(summary: InstanceSummary) -> Option<Instance> {
    let mut attributes = summary.attributes.unwrap_or_default();
    let address = attributes.remove("AWS_INSTANCE_IPV4");
    Some(Instance { id: summary.id?, address, cluster: attributes.remove("ECS_CLUSTER_NAME") })
}

/// The answer of ECS about the requested tasks.
#[derive(Clone, Debug)]
pub(crate) enum Tasks {
    /// By task id.
    Described(HashMap<String, Task>),
    /// There is no such cluster.
    NoSuchCluster,
}

impl Tasks {
    /// Returns the answer that none of these tasks exists any more.
    pub(crate) fn none_left<'a>(instances: impl Iterator<Item = &'a Instance>) -> Self {
        Self::Described(instances.map(|instance| (instance.id.clone(), Task::Missing)).collect())
    }

    /// Returns what ECS reports about one task.
    pub(crate) fn of(&self, id: &str) -> Task {
        match self {
            _ if !is_task_id(id) => Task::Foreign,
            Self::Described(tasks) => tasks.get(id).cloned().unwrap_or_else(|| Task::Unknown("no answer".to_owned())),
            Self::NoSuchCluster => Task::Unknown("it knows no such cluster".to_owned()),
        }
    }
}

/// The members that Cloud Map lists, and their tasks in ECS.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    cloud_map: aws_sdk_servicediscovery::Client,
    ecs: aws_sdk_ecs::Client,
}

impl Members {
    /// Reads through these clients.
    #[must_use]
    pub(crate) fn new(cloud_map: aws_sdk_servicediscovery::Client, ecs: aws_sdk_ecs::Client) -> Self {
        Self { cloud_map, ecs }
    }

    /// Lists all instances of each tier's Cloud Map service; nothing where there is no such service. A failure for one
    /// tier leaves the other.
    pub(crate) async fn listed(&self, target: &Target) -> [Result<Option<Vec<Instance>>, Failure>; 2] {
        let [core, replica] = &target.tiers;
        tokio::join!(biased; self.instances(core), self.instances(replica)).into()
    }

    /// Lists all instances of a tier's Cloud Map service; nothing when there is no such service.
    async fn instances(&self, tier: &TierTarget) -> Result<Option<Vec<Instance>>, Failure> {
        let service = &tier.cloud_map_service;
        let mut pages = self.cloud_map.list_instances().service_id(service).into_paginator().send();
        let mut instances = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => instances.extend(page.instances.unwrap_or_default().into_iter().filter_map(instance)),
                Err(error) if is_refusal(&error, &["ServiceNotFound"]) => return Ok(None),
                Err(error) => {
                    let step = format!("list the instances of the {} Cloud Map service {service}", tier.tier);
                    return Err(Failure::call(&step, error));
                }
            }
        }
        Ok(Some(instances))
    }

    /// Describes the tasks with these ids. Asking by id, and not for a list of what runs, distinguishes a stopped task
    /// from one that a stale list leaves out.
    pub(crate) async fn tasks(&self, cluster: &str, ids: impl Iterator<Item = &str>) -> Result<Tasks, Failure> {
        let ids: BTreeSet<&str> = ids.filter(|id| is_task_id(id)).collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        let mut tasks = HashMap::new();
        for ids in ids.chunks(TASKS_PER_CALL) {
            let answer = match self.ecs.describe_tasks().cluster(cluster).set_tasks(Some(ids.to_vec())).send().await {
                Ok(answer) => answer,
                Err(error) if is_refusal(&error, &["ClusterNotFoundException"]) => return Ok(Tasks::NoSuchCluster),
                Err(error) => return Err(Failure::call(&format!("describe the tasks of cluster {cluster}"), error)),
            };
            for task in answer.tasks.unwrap_or_default() {
                let Some(id) = task.task_arn().and_then(last_part) else { continue };
                tasks.insert(id.to_owned(), known(&task));
            }
            for failure in answer.failures.unwrap_or_default() {
                let Some(id) = failure.arn().and_then(last_part) else { continue };
                let task = match failure.reason() {
                    Some("MISSING") => Task::Missing,
                    reason => Task::Unknown(reason.unwrap_or("failed without a reason").to_owned()),
                };
                tasks.insert(id.to_owned(), task);
            }
        }
        Ok(Tasks::Described(tasks))
    }

    /// Returns how many tasks ECS wants for each of these services, by name, or why that is unknown. A service that ECS
    /// gave no answer about is missing. Without any name it makes no call.
    pub(crate) async fn services(
        &self,
        cluster: &str,
        names: &[&str],
    ) -> Result<HashMap<String, Result<Service, String>>, Failure> {
        let mut services = HashMap::new();
        for names in names.chunks(SERVICES_PER_CALL) {
            let asked_for = names.iter().map(|name| (*name).to_owned());
            let asked = self.ecs.describe_services().cluster(cluster).set_services(Some(asked_for.clone().collect()));
            let answer = match asked.send().await {
                Ok(answer) => answer,
                Err(error) if is_refusal(&error, &["ClusterNotFoundException"]) => {
                    services.extend(asked_for.map(|name| (name, Ok(Service::ClusterMissing))));
                    continue;
                }
                Err(error) => return Err(Failure::call(&format!("describe the services of cluster {cluster}"), error)),
            };
            for service in answer.services.unwrap_or_default() {
                let wants = u32::try_from(service.desired_count).unwrap_or(0);
                let inactive = service.status.as_deref() == Some("INACTIVE");
                let Some(name) = service.service_name else { continue };
                services.insert(name, Ok(if inactive { Service::Missing } else { Service::Wants(wants) }));
            }
            for failure in answer.failures.unwrap_or_default() {
                let Some(name) = failure.arn().and_then(last_part) else { continue };
                let wanted = match failure.reason() {
                    Some("MISSING") => Ok(Service::Missing),
                    reason => {
                        let reason = reason.unwrap_or("no reason");
                        Err(format!("ECS gave no answer about service {name} in cluster {cluster}: {reason}"))
                    }
                };
                services.insert(name.to_owned(), wanted);
            }
        }
        Ok(services)
    }

    /// Asks Cloud Map to forget an instance. It does so some seconds later.
    pub(crate) async fn deregister(&self, service: &str, id: &str) -> Result<(), Failure> {
        match self.cloud_map.deregister_instance().service_id(service).instance_id(id).send().await {
            Ok(_) => Ok(()),
            // Somebody else was first, or the request was made already.
            Err(error) if is_refusal(&error, &["InstanceNotFound", "DuplicateRequest"]) => Ok(()),
            Err(error) => {
                Err(Failure::call(&format!("deregister instance {id} of Cloud Map service {service}"), error))
            }
        }
    }
}

/// Returns the id at the end of an ARN; an id that is no ARN is returned as it is.
fn last_part(arn: &str) -> Option<&str> {
    arn.rsplit('/').next()
}
