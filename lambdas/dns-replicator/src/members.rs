use std::collections::HashMap;

use aws_sdk_ecs::{
    operation::{describe_services::DescribeServicesError, describe_tasks::DescribeTasksError},
    types::HealthStatus,
};
use aws_sdk_servicediscovery::{
    operation::{deregister_instance::DeregisterInstanceError, list_instances::ListInstancesError},
    types::InstanceSummary,
};
use cluster_core::dns::{Health, Registration, Service, Task, is_task_id};
use cluster_lambda::Failure;

use crate::config::{Target, TierTarget};

/// `DescribeTasks` takes at most this many.
const TASKS_PER_CALL: usize = 100;

/// Who is registered in Cloud Map, and what ECS says of them.
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

    /// All registrations of both tiers, each with its task. Whole, or a failure.
    pub(crate) async fn registered(&self, target: &Target) -> Result<[Vec<Registration>; 2], Failure> {
        let absent = |tier: &TierTarget| {
            let (tier, service) = (tier.tier, &tier.cloud_map_service);
            let variable = tier.to_ascii_uppercase();
            Failure::permanent(format!("there is no Cloud Map service {service}: correct {variable}_CLOUD_MAP_SERVICE"))
        };
        let no_cluster = Task::Unknown(format!("it knows no cluster {:?}", target.ecs_cluster));
        let [cores, replicas] = self.read(target, &no_cluster).await?;
        let [core, replica] = &target.tiers;
        Ok([cores.ok_or_else(|| absent(core))?, replicas.ok_or_else(|| absent(replica))?])
    }

    /// The registrations of both tiers when a stack goes away: services and cluster may be gone, and with them the tasks.
    pub(crate) async fn left_over(&self, target: &Target) -> Result<[Vec<Registration>; 2], Failure> {
        Ok(self.read(target, &Task::Missing).await?.map(Option::unwrap_or_default))
    }

    /// The registrations of each tier, or nothing where there is no such Cloud Map service. Without a cluster every task
    /// is `no_cluster`.
    async fn read(&self, target: &Target, no_cluster: &Task) -> Result<[Option<Vec<Registration>>; 2], Failure> {
        let [core, replica] = &target.tiers;
        let (cores, replicas) = tokio::try_join!(biased; self.instances(core), self.instances(replica))?;
        let ids = cores.iter().chain(&replicas).flatten().filter_map(InstanceSummary::id).filter(|id| is_task_id(id));
        let tasks = self.tasks(&target.ecs_cluster, ids.map(str::to_owned).collect()).await?;
        let task = |id: &str| match &tasks {
            _ if !is_task_id(id) => Task::Foreign,
            None => no_cluster.clone(),
            Some(tasks) => tasks.get(id).cloned().unwrap_or_else(|| Task::Unknown("no answer".to_owned())),
        };
        let registration = |instance: InstanceSummary| {
            let id = instance.id?;
            let address = instance.attributes.and_then(|mut all| all.remove("AWS_INSTANCE_IPV4"));
            Some(Registration { address, task: task(&id), id })
        };
        Ok([cores, replicas].map(|tier| Some(tier?.into_iter().filter_map(registration).collect())))
    }

    /// All instances of a tier's Cloud Map service, or nothing when there is no such service.
    async fn instances(&self, tier: &TierTarget) -> Result<Option<Vec<InstanceSummary>>, Failure> {
        let service = &tier.cloud_map_service;
        let mut pages = self.cloud_map.list_instances().service_id(service).into_paginator().send();
        let mut instances = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => instances.extend(page.instances.unwrap_or_default()),
                Err(error) if error.as_service_error().is_some_and(ListInstancesError::is_service_not_found) => {
                    return Ok(None);
                }
                Err(error) => {
                    let step = format!("list the instances of the {} Cloud Map service {service}", tier.tier);
                    return Err(Failure::call(&step, error));
                }
            }
        }
        Ok(Some(instances))
    }

    /// What ECS says of each of these tasks, or nothing when there is no such cluster. Asking by id, not by listing what
    /// runs, tells a task that stopped from one that a stale list has left out.
    async fn tasks(&self, cluster: &str, ids: Vec<String>) -> Result<Option<HashMap<String, Task>>, Failure> {
        let mut tasks = HashMap::new();
        for ids in ids.chunks(TASKS_PER_CALL) {
            let answer = match self.ecs.describe_tasks().cluster(cluster).set_tasks(Some(ids.to_vec())).send().await {
                Ok(answer) => answer,
                Err(error)
                    if error.as_service_error().is_some_and(DescribeTasksError::is_cluster_not_found_exception) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(Failure::call(&format!("describe the tasks of cluster {cluster}"), error)),
            };
            for task in answer.tasks.unwrap_or_default() {
                let Some(id) = task.task_arn().and_then(last_part) else { continue };
                let known = Task::Known {
                    last_status: task.last_status().unwrap_or("UNKNOWN").to_owned(),
                    wanted: task.desired_status() == Some("RUNNING"),
                    health: match task.health_status() {
                        Some(HealthStatus::Healthy) => Health::Healthy,
                        Some(HealthStatus::Unhealthy) => Health::Unhealthy,
                        _ => Health::Unknown,
                    },
                };
                tasks.insert(id.to_owned(), known);
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
        Ok(Some(tasks))
    }

    /// How many tasks ECS wants for each tier's service, in the order given.
    pub(crate) async fn services(&self, cluster: &str, tiers: &[&TierTarget]) -> Result<Vec<Service>, Failure> {
        let names: Vec<_> = tiers.iter().map(|tier| tier.ecs_service.clone()).collect();
        let answer = match self.ecs.describe_services().cluster(cluster).set_services(Some(names)).send().await {
            Ok(answer) => answer,
            Err(error)
                if error.as_service_error().is_some_and(DescribeServicesError::is_cluster_not_found_exception) =>
            {
                return Ok(vec![Service::ClusterMissing; tiers.len()]);
            }
            Err(error) => return Err(Failure::call(&format!("describe the services of cluster {cluster}"), error)),
        };
        tiers
            .iter()
            .map(|tier| {
                let name = tier.ecs_service.as_str();
                if let Some(service) = answer.services().iter().find(|service| service.service_name() == Some(name)) {
                    let wants = u32::try_from(service.desired_count()).unwrap_or(0);
                    let inactive = service.status() == Some("INACTIVE");
                    return Ok(if inactive { Service::Missing } else { Service::Wants(wants) });
                }
                let failure = answer.failures().iter().find(|failure| failure.arn().and_then(last_part) == Some(name));
                match failure.and_then(|failure| failure.reason()) {
                    Some("MISSING") => Ok(Service::Missing),
                    reason => {
                        let reason = reason.unwrap_or("no answer");
                        Err(Failure::transient(format!(
                            "ECS said nothing of service {name} in cluster {cluster}: {reason}"
                        )))
                    }
                }
            })
            .collect()
    }

    /// Asks Cloud Map to forget an instance. It does so some seconds later.
    pub(crate) async fn deregister(&self, service: &str, id: &str) -> Result<(), Failure> {
        match self.cloud_map.deregister_instance().service_id(service).instance_id(id).send().await {
            Ok(_) => Ok(()),
            // Somebody else was first, or asked already.
            Err(error)
                if error.as_service_error().is_some_and(|error| {
                    matches!(
                        error,
                        DeregisterInstanceError::InstanceNotFound(_) | DeregisterInstanceError::DuplicateRequest(_)
                    )
                }) =>
            {
                Ok(())
            }
            Err(error) => {
                Err(Failure::call(&format!("deregister instance {id} of Cloud Map service {service}"), error))
            }
        }
    }
}

/// The id at the end of an ARN; an id without one is its own.
fn last_part(arn: &str) -> Option<&str> {
    arn.rsplit('/').next()
}
