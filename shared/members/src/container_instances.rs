use std::collections::HashMap;

use aws_sdk_ecs::{
    Client,
    error::ProvideErrorMetadata,
    primitives::DateTime,
    types::{
        ContainerInstance as Described, ContainerInstanceStatus, DesiredStatus, Failure as Missed, HealthStatus,
        Task as Found,
    },
};
use cluster_core::{
    ids::{ContainerInstanceArn, InstanceId},
    instance::{ContainerInstance, Task},
    names,
};
use cluster_lambda::{Failure, is_refusal};
use jiff::Timestamp;

/// The most ids that one call of `DescribeContainerInstances` or `DescribeTasks` takes.
const PER_CALL: usize = 100;

/// The container instances of the ECS cluster, and the tasks on them.
#[derive(Clone, Debug)]
pub struct ContainerInstances {
    client: Client,
    cluster: String,
}

impl ContainerInstances {
    /// Reads and writes through this client. `cluster` is a name or an ARN.
    #[must_use]
    pub fn new(client: Client, cluster: String) -> Self {
        Self { client, cluster }
    }

    /// Returns all container instances, still without their tasks; nothing when there is no such cluster.
    pub async fn all(&self) -> Result<Option<Vec<ContainerInstance>>, Failure> {
        self.found(None).await
    }

    /// Returns those of certain EC2 instances, requested by id, so that no list can leave them out.
    pub async fn of(&self, instances: &[&InstanceId]) -> Result<Option<Vec<ContainerInstance>>, Failure> {
        self.found(Some(format!(
            "ec2InstanceId in [{}]",
            instances.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
        )))
        .await
    }

    async fn found(&self, filter: Option<String>) -> Result<Option<Vec<ContainerInstance>>, Failure> {
        let cluster = &self.cluster;
        // Without a status it lists all that are not INACTIVE, so also those that are DRAINING (API reference of
        // ListContainerInstances, `status`).
        let asked = self.client.list_container_instances().cluster(cluster).set_filter(filter);
        let mut pages = asked.into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => arns.extend(page.container_instance_arns.unwrap_or_default()),
                Err(error) if is_refusal(&error, &["ClusterNotFoundException"]) => return Ok(None),
                Err(error) => {
                    return Err(Failure::call(&format!("list the container instances of cluster {cluster}"), error));
                }
            }
        }
        let mut found = Vec::new();
        for arns in arns.chunks(PER_CALL) {
            let described = self.describe(arns).await?;
            found.extend(described.iter().filter_map(container_instance));
        }
        Ok(Some(found))
    }

    /// Describes at most [`PER_CALL`] of them. One that ECS reports as missing is gone.
    async fn describe(&self, arns: &[String]) -> Result<Vec<Described>, Failure> {
        let cluster = &self.cluster;
        let asked = self.client.describe_container_instances().cluster(cluster);
        let answer = asked.set_container_instances(Some(arns.to_vec())).send().await;
        let answer = answer
            .map_err(|error| Failure::call(&format!("describe the container instances of cluster {cluster}"), error))?;
        gone(answer.failures(), "container instance")?;
        if answer.container_instances().len() + answer.failures().len() < arns.len() {
            let what = format!("ECS described only some of the container instances of cluster {cluster}");
            return Err(Failure::transient(what));
        }
        Ok(answer.container_instances.unwrap_or_default())
    }

    /// Adds to each container instance its tasks that should run.
    ///
    /// Makes one list for the whole cluster: one for each of a hundred instances would cost hundreds of calls.
    pub async fn add_tasks(&self, found: &mut [ContainerInstance]) -> Result<(), Failure> {
        self.add(found, DesiredStatus::Running).await
    }

    /// Adds to each of a few container instances all its tasks that have not stopped: lists of their own cost less than that
    /// of a large cluster.
    pub async fn add_tasks_of_few(&self, found: &mut [ContainerInstance]) -> Result<(), Failure> {
        for found in found {
            for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
                let arns = self.listed_tasks(desired, Some(&found.arn)).await?;
                self.add_listed(std::slice::from_mut(found), &arns).await?;
            }
        }
        Ok(())
    }

    /// Adds the tasks that are being stopped but have not stopped, which ECS's own counts leave out (API reference of
    /// `ContainerInstance`, `runningTasksCount`).
    pub async fn add_stopping_tasks(&self, found: &mut [ContainerInstance]) -> Result<(), Failure> {
        self.add(found, DesiredStatus::Stopped).await
    }

    async fn add(&self, found: &mut [ContainerInstance], desired: DesiredStatus) -> Result<(), Failure> {
        let arns = self.listed_tasks(desired, None).await?;
        self.add_listed(found, &arns).await
    }

    async fn add_listed(&self, found: &mut [ContainerInstance], arns: &[String]) -> Result<(), Failure> {
        let step = format!("describe the tasks of cluster {}", self.cluster);
        let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
        // «The Unix timestamp for the time when the task was stopped. More specifically, it's for the time when the task
        // transitioned from the RUNNING state to the STOPPED state» (API reference of `Task`, `stoppedAt`).
        let mut stopped: HashMap<String, Timestamp> = HashMap::new();
        for arns in arns.chunks(PER_CALL) {
            let asked = self.client.describe_tasks().cluster(&self.cluster).set_tasks(Some(arns.to_vec()));
            let answer = asked.send().await.map_err(|error| Failure::call(&step, error))?;
            gone(answer.failures(), "task")?;
            if answer.tasks().len() + answer.failures().len() < arns.len() {
                return Err(Failure::transient(format!("ECS described only some of the tasks of {}", self.cluster)));
            }
            for found in answer.tasks() {
                if let (Some(on), Some(at)) = (found.container_instance_arn(), found.stopped_at().and_then(timestamp)) {
                    let last = stopped.entry(on.to_owned()).or_insert(at);
                    *last = at.max(*last);
                }
                if let Some((on, task)) = task(found) {
                    tasks.entry(on).or_default().push(task);
                }
            }
        }
        for found in found {
            found.add_tasks(tasks.remove(found.arn.as_str()).unwrap_or_default());
            found.last_stopped = found.last_stopped.max(stopped.remove(found.arn.as_str()));
        }
        Ok(())
    }

    async fn listed_tasks(
        &self,
        desired: DesiredStatus,
        on: Option<&ContainerInstanceArn>,
    ) -> Result<Vec<String>, Failure> {
        let asked = self.client.list_tasks().cluster(&self.cluster).desired_status(desired);
        let asked = asked.set_container_instance(on.map(ToString::to_string));
        let mut pages = asked.into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| Failure::call(&format!("list the tasks of cluster {}", self.cluster), error))?;
            arns.extend(page.task_arns.unwrap_or_default());
        }
        Ok(arns)
    }

    /// Deregisters a container instance; by force also one with tasks, which ECS then considers stopped. Returns
    /// whether it was still there: ECS itself deregisters an instance that it sees terminate.
    pub async fn deregister(&self, arn: &ContainerInstanceArn, force: bool) -> Result<bool, Failure> {
        let asked = self.client.deregister_container_instance().cluster(&self.cluster).container_instance(arn.as_str());
        let Err(error) = asked.force(force).send().await else { return Ok(true) };
        // ECS has no error code for a container instance that it does not know: another call shows whether it is gone.
        let unknown = is_refusal(&error, &["InvalidParameterException"]);
        let failure = Failure::call(&format!("deregister container instance {arn}"), error);
        if unknown {
            let left = self.describe(&[arn.to_string()]).await?;
            if left.iter().all(|found| ContainerInstance::is_gone(found.status().unwrap_or_default())) {
                return Ok(false);
            }
        }
        Err(failure)
    }

    /// Sets container instances, at most ten, to DRAINING: ECS places no more tasks on them, and stops those of services, a
    /// core's at once, since its service needs none to be healthy.
    pub async fn drain(&self, arns: &[ContainerInstanceArn]) -> Result<(), Failure> {
        self.set(arns, ContainerInstanceStatus::Draining).await
    }

    /// Sets container instances, at most ten, to ACTIVE: ECS places tasks on them again.
    pub async fn activate(&self, arns: &[ContainerInstanceArn]) -> Result<(), Failure> {
        self.set(arns, ContainerInstanceStatus::Active).await
    }

    /// Stops a task: SIGTERM, and SIGKILL after its `StopTimeout`. Returns whether it was still there.
    pub async fn stop_task(&self, task: &str, why: &str) -> Result<bool, Failure> {
        // The reason «appears in subsequent DescribeTasks API operations», 1,024 characters at most (API reference of StopTask).
        let reason: String = why.chars().take(255).collect();
        let asked = self.client.stop_task().cluster(&self.cluster).task(task).reason(reason);
        let Err(error) = asked.send().await else { return Ok(true) };
        // ECS has no error code for a task that it does not know any more.
        let gone = error.message().is_some_and(|message| message.contains("task was not found"));
        if is_refusal(&error, &["InvalidParameterException"]) && gone {
            return Ok(false);
        }
        Err(Failure::call(&format!("stop task {task}"), error))
    }

    async fn set(&self, arns: &[ContainerInstanceArn], status: ContainerInstanceStatus) -> Result<(), Failure> {
        let step = format!("set container instance {} to {status}", arns.join(", "));
        let asked = self.client.update_container_instances_state().cluster(&self.cluster);
        let asked = asked.set_container_instances(Some(arns.iter().map(ToString::to_string).collect()));
        let answer = asked.status(status).send().await;
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

/// Checks that whatever ECS did not describe is gone; anything else is a failed observation.
fn gone(missed: &[Missed], what: &str) -> Result<(), Failure> {
    match missed.iter().find(|missed| missed.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(missed) => {
            let (arn, reason) = (missed.arn().unwrap_or("unknown"), missed.reason().unwrap_or("no reason"));
            Err(Failure::transient(format!("ECS gave no answer about {what} {arn}: {reason}")))
        }
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

/// Reads a container instance, without its tasks; nothing when it has left the cluster since it was listed.
fn container_instance(found: &Described) -> Option<ContainerInstance> {
    let status = found.status().filter(|status| !ContainerInstance::is_gone(status))?.to_owned();
    let core = found.attributes().iter().find(|attribute| attribute.name() == names::CORE_ATTRIBUTE);
    Some(ContainerInstance {
        arn: found.container_instance_arn()?.into(),
        instance: found.ec2_instance_id()?.into(),
        connected: found.agent_connected(),
        status,
        core: core.and_then(|attribute| attribute.value()).map(Into::into),
        tasks: Vec::new(),
        running_tasks: found.running_tasks_count().try_into().unwrap_or_default(),
        registered: found.registered_at().and_then(timestamp),
        disconnected_since: None,
        last_stopped: None,
    })
}

/// Reads a task that has not stopped, with the ARN of its container instance.
fn task(found: &Found) -> Option<(String, Task)> {
    let status = found.last_status().filter(|status| *status != "STOPPED")?.to_owned();
    let task = Task {
        id: found.task_arn()?.rsplit('/').next()?.to_owned(),
        group: found.group().unwrap_or("(no group)").to_owned(),
        status,
        connected_at: found.connectivity_at().and_then(timestamp),
        started_at: found.started_at().and_then(timestamp),
        wanted: found.desired_status() == Some("RUNNING"),
        unhealthy: found.health_status() == Some(&HealthStatus::Unhealthy),
        definition: found.task_definition_arn().map(Into::into),
    };
    Some((found.container_instance_arn()?.to_owned(), task))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::config::{BehaviorVersion, Region};
    use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

    use super::*;
    use cluster_lambda::stub::{Answers, credentials};

    async fn deregister(answers: &[(u16, &'static str)]) -> Result<bool, String> {
        let answers = SharedHttpConnector::new(Answers::new(answers));
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials())
            .http_client(http_client_fn(move |_, _| answers.clone()));
        let found = ContainerInstances::new(Client::from_conf(config.build()), "neo4j".into());
        found.deregister(&"arn:1".into(), true).await.map_err(|failure| failure.chain())
    }

    const UNKNOWN: (u16, &str) =
        (400, r#"{"__type": "InvalidParameterException", "message": "Referenced container instance 1 not found."}"#);
    const MISSING: (u16, &str) =
        (200, r#"{"containerInstances": [], "failures": [{"arn": "arn:1", "reason": "MISSING"}]}"#);
    const INACTIVE: (u16, &str) =
        (200, r#"{"containerInstances": [{"containerInstanceArn": "arn:1", "status": "INACTIVE"}], "failures": []}"#);
    const ACTIVE: (u16, &str) =
        (200, r#"{"containerInstances": [{"containerInstanceArn": "arn:1", "status": "ACTIVE"}], "failures": []}"#);
    const NO_CLUSTER: (u16, &str) = (400, r#"{"__type": "ClusterNotFoundException", "message": "Cluster not found."}"#);

    #[tokio::test(start_paused = true)]
    async fn only_a_container_instance_that_is_gone_counts_as_deregistered() {
        assert_eq!(deregister(&[(200, "{}")]).await, Ok(true));
        assert_eq!(deregister(&[UNKNOWN, MISSING]).await, Ok(false));
        assert_eq!(deregister(&[UNKNOWN, INACTIVE]).await, Ok(false));
        let refused = deregister(&[UNKNOWN, ACTIVE]).await.unwrap_err();
        assert!(refused.contains("InvalidParameterException"), "{refused}");
        let refused = deregister(&[NO_CLUSTER]).await.unwrap_err();
        assert!(refused.starts_with("could not deregister container instance arn:1"), "{refused}");
        assert!(refused.contains("ClusterNotFoundException"), "{refused}");
        assert!(deregister(&[UNKNOWN, NO_CLUSTER]).await.is_err());
    }
}
