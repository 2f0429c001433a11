use std::collections::{BTreeMap, btree_map::Entry};

use aws_sdk_ecs::{
    Client,
    error::ProvideErrorMetadata,
    operation::list_container_instances::ListContainerInstancesError,
    primitives::DateTime,
    types::{Connectivity, ContainerInstance, ContainerInstanceStatus, DesiredStatus, Failure as Missed, Task},
};
use cluster_core::instance::Host;
use cluster_lambda::Failure;
use jiff::Timestamp;

/// `DescribeContainerInstances` and `DescribeTasks` take at most this many.
const PER_CALL: usize = 100;

/// The container instances of the ECS cluster.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    client: Client,
    cluster: String,
}

impl Hosts {
    /// Reads and writes through this client. `cluster` is a name or an ARN.
    #[must_use]
    pub(crate) fn new(client: Client, cluster: String) -> Self {
        Self { client, cluster }
    }

    /// All container instances by the id of their EC2 instance, or nothing when there is no such cluster.
    pub(crate) async fn all(&self) -> Result<Option<BTreeMap<String, Host>>, Failure> {
        self.found(None).await
    }

    /// Those of certain EC2 instances, asked for one by one, so that no list can leave them out.
    pub(crate) async fn of(&self, instances: &[&str]) -> Result<Option<BTreeMap<String, Host>>, Failure> {
        self.found(Some(format!("ec2InstanceId in [{}]", instances.join(", ")))).await
    }

    async fn found(&self, filter: Option<String>) -> Result<Option<BTreeMap<String, Host>>, Failure> {
        let cluster = &self.cluster;
        // Without a status it lists all that are not INACTIVE, so those that are DRAINING too (API reference of
        // ListContainerInstances, `status`).
        let asked = self.client.list_container_instances().cluster(cluster).set_filter(filter);
        let mut pages = asked.into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => arns.extend(page.container_instance_arns.unwrap_or_default()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(ListContainerInstancesError::is_cluster_not_found_exception) =>
                {
                    return Ok(None);
                }
                Err(error) => {
                    return Err(Failure::call(&format!("list the container instances of cluster {cluster}"), error));
                }
            }
        }
        let mut hosts = BTreeMap::new();
        for arns in arns.chunks(PER_CALL) {
            let asked = self.client.describe_container_instances().cluster(cluster);
            let answer = asked.set_container_instances(Some(arns.to_vec())).send().await;
            let answer = answer.map_err(|error| {
                Failure::call(&format!("describe the container instances of cluster {cluster}"), error)
            })?;
            let (described, missed) = (answer.container_instances(), answer.failures());
            gone(missed, "container instance")?;
            if described.len() + missed.len() < arns.len() {
                let what = format!("ECS described only some of the container instances of cluster {cluster}");
                return Err(Failure::transient(what));
            }
            for (instance, host) in described.iter().filter_map(host) {
                match hosts.entry(instance) {
                    Entry::Vacant(entry) => _ = entry.insert(host),
                    Entry::Occupied(mut entry) => {
                        let both = together(entry.get().clone(), host);
                        entry.insert(both);
                    }
                }
            }
        }
        Ok(Some(hosts))
    }

    /// How many tasks on a container instance are being stopped and have not stopped. Its own counts leave them out: those
    /// are of tasks whose desired status is RUNNING.
    pub(crate) async fn stopping(&self, host: &Host) -> Result<usize, Failure> {
        let tasks = self.tasks(host, DesiredStatus::Stopped).await?;
        Ok(tasks.iter().filter(|task| task.last_status() != Some("STOPPED")).count())
    }

    /// Since when ECS has not heard of the tasks on a container instance; nothing as long as it hears of any.
    pub(crate) async fn silent_since(&self, host: &Host) -> Result<Option<Timestamp>, Failure> {
        let mut tasks = self.tasks(host, DesiredStatus::Running).await?;
        tasks.extend(self.tasks(host, DesiredStatus::Stopped).await?);
        let running = tasks.iter().filter(|task| task.last_status() != Some("STOPPED"));
        let lost = running.map(|task| {
            let lost = task.connectivity() == Some(&Connectivity::Disconnected);
            task.connectivity_at().filter(|_| lost).and_then(timestamp)
        });
        // None among them is «not lost, or nobody says since when».
        Ok(lost.collect::<Option<Vec<_>>>().and_then(|since| since.into_iter().max()))
    }

    async fn tasks(&self, host: &Host, desired: DesiredStatus) -> Result<Vec<Task>, Failure> {
        let cluster = &self.cluster;
        let step = format!("look at the tasks of container instance {}", host.arn);
        let asked = self.client.list_tasks().cluster(cluster).container_instance(&host.arn);
        let mut pages = asked.desired_status(desired).into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            arns.extend(page.map_err(|error| Failure::call(&step, error))?.task_arns.unwrap_or_default());
        }
        let mut tasks = Vec::new();
        for arns in arns.chunks(PER_CALL) {
            let answer = self.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec())).send().await;
            let answer = answer.map_err(|error| Failure::call(&step, error))?;
            gone(answer.failures(), "task")?;
            tasks.extend(answer.tasks.unwrap_or_default());
        }
        Ok(tasks)
    }

    /// Deregisters a container instance that nobody can reach, so that ECS takes its tasks for stopped.
    pub(crate) async fn forsake(&self, host: &str) -> Result<(), Failure> {
        let asked = self.client.deregister_container_instance().cluster(&self.cluster).container_instance(host);
        match asked.force(true).send().await {
            Ok(_) => Ok(()),
            // ECS was quicker: it deregisters by itself the machines whose end it sees.
            Err(error) if error.message().is_some_and(|message| message.contains("not found")) => Ok(()),
            Err(error) => Err(Failure::call(&format!("deregister container instance {host}"), error)),
        }
    }

    /// Has nothing more placed on a container instance.
    pub(crate) async fn drain(&self, host: &str) -> Result<(), Failure> {
        let step = format!("set container instance {host} to DRAINING");
        let asked = self.client.update_container_instances_state().cluster(&self.cluster).container_instances(host);
        let answer = asked.status(ContainerInstanceStatus::Draining).send().await;
        let answer = answer.map_err(|error| Failure::call(&step, error))?;
        match answer.failures() {
            [] => Ok(()),
            [failure, ..] => {
                let why = failure.detail().or(failure.reason()).unwrap_or("no reason").to_owned();
                Err(Failure::transient(format!("could not {step}")).caused_by(why))
            }
        }
    }
}

/// What ECS did not describe must be gone; anything else is a reading that failed.
fn gone(missed: &[Missed], what: &str) -> Result<(), Failure> {
    match missed.iter().find(|missed| missed.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(missed) => {
            let (arn, reason) = (missed.arn().unwrap_or("unknown"), missed.reason().unwrap_or("no reason"));
            Err(Failure::transient(format!("ECS said nothing of {what} {arn}: {reason}")))
        }
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

/// A container instance with the id of its EC2 instance; nothing when it has left the cluster since it was listed.
fn host(found: &ContainerInstance) -> Option<(String, Host)> {
    let status = found.status().filter(|status| *status != "INACTIVE")?.to_owned();
    let core = found.attributes().iter().find(|attribute| attribute.name() == "neo4j.core");
    let tasks = [found.running_tasks_count(), found.pending_tasks_count()];
    let host = Host {
        arn: found.container_instance_arn()?.to_owned(),
        connected: found.agent_connected(),
        status,
        core: core.and_then(|attribute| attribute.value()).map(str::to_owned),
        tasks: tasks.into_iter().filter_map(|tasks| usize::try_from(tasks).ok()).sum(),
        registered: found.registered_at().and_then(timestamp),
        silent_since: None,
    };
    Some((found.ec2_instance_id()?.to_owned(), host))
}

/// Two registrations of one EC2 instance: an agent that has lost its state registers anew, and the first one stays until
/// it is deregistered. The connected one stands for both, with the tasks of both: they may all run.
fn together(one: Host, other: Host) -> Host {
    let tasks = one.tasks + other.tasks;
    Host { tasks, ..if one.connected { one } else { other } }
}
