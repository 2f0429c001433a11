use aws_sdk_autoscaling::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::{Activity, AutoScalingGroup, Filter, ScalingActivityStatusCode},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use cluster_core::{
    ids::InstanceId,
    instance::{Group, Instance, LaunchTemplate, State},
    names::{CLUSTER_TAG, CORE_TAG, DRAIN_TAG, VOLUME_TAG},
};
use cluster_lambda::{Failure, is_refusal};
use jiff::Timestamp;

/// How many of a group's latest activities are searched for a failed launch.
const ACTIVITIES: i32 = 10;

/// The cluster's Auto Scaling groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    client: Client,
    scope: Scope,
}

/// Which groups are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of a cluster, by this name: they have its tag, and its name as their prefix.
    Cluster(String),
    /// Those that are tagged with the name of this ECS cluster, whatever they are called.
    EcsCluster(String),
}

impl Scope {
    fn tag(&self) -> (&'static str, &str) {
        match self {
            Self::Cluster(name) => (CLUSTER_TAG, name),
            Self::EcsCluster(name) => (DRAIN_TAG, name),
        }
    }

    /// Returns whether a group is of this scope. The filter has matched the tag already, but a group by another name that
    /// somebody has tagged is still not a cluster's.
    fn owns(&self, group: &str, tag: impl Fn(&str) -> Option<String>) -> bool {
        let (key, value) = self.tag();
        tag(key).as_deref() == Some(value)
            && match self {
                Self::Cluster(name) => group.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-')),
                Self::EcsCluster(_) => true,
            }
    }
}

/// The result of a lifecycle hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Auto Scaling continues with the instance.
    Continue,
    /// Auto Scaling abandons the instance.
    Abandon,
}

impl Groups {
    /// Reads and writes through this client.
    #[must_use]
    pub(crate) fn new(client: Client, scope: Scope) -> Self {
        Self { client, scope }
    }

    /// Returns the groups of the scope.
    pub(crate) async fn all(&self) -> Result<Vec<Group>, Failure> {
        let (key, value) = self.scope.tag();
        let filter = Filter::builder().name(format!("tag:{key}")).values(value).build();
        let mut pages = self.client.describe_auto_scaling_groups().filters(filter).into_paginator().send();
        let mut groups = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Failure::call("describe the Auto Scaling groups", error))?;
            groups.extend(
                page.auto_scaling_groups.unwrap_or_default().iter().filter_map(|found| group(found, &self.scope)),
            );
        }
        Ok(groups)
    }

    /// Returns Auto Scaling's message about a group's last failed launch, with its time; nothing when there is none
    /// among its latest activities. `StatusMessage` describes the status of an activity (API reference of `Activity`).
    pub(crate) async fn launch_failure(&self, group: &str) -> Result<Option<String>, Failure> {
        let asked = self.client.describe_scaling_activities().auto_scaling_group_name(group).max_records(ACTIVITIES);
        let answer = asked.send().await;
        let answer =
            answer.map_err(|error| Failure::call(&format!("describe the activities of group {group}"), error))?;
        // A termination may fail, too: `Description` shows which of the two an activity is.
        let failed = |activity: &&Activity| {
            let failed = [ScalingActivityStatusCode::Failed, ScalingActivityStatusCode::Cancelled];
            let launch = activity.description().is_none_or(|what| what.starts_with("Launching"));
            launch && activity.status_code().is_some_and(|status| failed.contains(status))
        };
        let began = |activity: &&Activity| activity.start_time().map(DateTime::secs);
        let last = answer.activities().iter().filter(failed).max_by_key(began);
        Ok(last.map(|activity| {
            let at = activity.start_time().and_then(|at| Timestamp::from_second(at.secs()).ok());
            let at = at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("at {at}"));
            format!("{} ({at})", activity.status_message().unwrap_or("nothing").trim())
        }))
    }

    /// Completes a lifecycle hook that holds an instance. Returns whether the hook was still active.
    pub(crate) async fn complete(
        &self,
        group: &str,
        instance: &InstanceId,
        hook: &str,
        end: End,
    ) -> Result<bool, Failure> {
        let result = match end {
            End::Continue => "CONTINUE",
            End::Abandon => "ABANDON",
        };
        let answer = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(hook)
            .instance_id(instance.as_str())
            .lifecycle_action_result(result)
            .send()
            .await;
        unless_over(answer, || format!("complete the lifecycle hook of instance {instance} in group {group}"))
    }

    /// Restarts the timeout of a lifecycle hook that holds an instance. Returns whether the hook was still active.
    pub(crate) async fn heartbeat(&self, group: &str, instance: &InstanceId, hook: &str) -> Result<bool, Failure> {
        let answer = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(hook)
            .instance_id(instance.as_str())
            .send()
            .await;
        unless_over(answer, || format!("extend the lifecycle hook of instance {instance} in group {group}"))
    }

    /// Tells Auto Scaling that an instance is unhealthy, so that its group replaces it. Returns whether it was still there.
    pub(crate) async fn mark_unhealthy(&self, instance: &InstanceId) -> Result<bool, Failure> {
        let answer = self
            .client
            .set_instance_health()
            .instance_id(instance.as_str())
            .health_status("Unhealthy")
            // It has been in service for long.
            .should_respect_grace_period(false)
            .send()
            .await;
        unless_over(answer, || format!("mark instance {instance} as unhealthy"))
    }

    /// Terminates an instance, by way of its hook if it has one. Returns whether it was still there.
    pub(crate) async fn terminate(&self, instance: &InstanceId) -> Result<bool, Failure> {
        let answer = self
            .client
            .terminate_instance_in_auto_scaling_group()
            .instance_id(instance.as_str())
            // It is to be replaced; and a retained one does not count towards the desired capacity anyway.
            .should_decrement_desired_capacity(false)
            .send()
            .await;
        unless_over(answer, || format!("terminate instance {instance}"))
    }
}

/// Returns whether a write found its target. Auto Scaling has one code for all refusals, and only its message shows
/// that the hook has ended («No active Lifecycle Action found with instance ID …») or that the instance has gone
/// («Instance Id not found - No managed instance found for instance ID …»): somebody was quicker.
fn unless_over<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    step: impl FnOnce() -> String,
) -> Result<bool, Failure>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let over = ["No active Lifecycle Action found", "No managed instance found"];
    match answer {
        Ok(_) => Ok(true),
        Err(error)
            if is_refusal(&error, &["ValidationError"])
                && error.message().is_some_and(|message| over.iter().any(|part| message.contains(part))) =>
        {
            Ok(false)
        }
        Err(error) => Err(Failure::call(&step(), error)),
    }
}

/// Reads a group, if it is of the scope.
fn group(found: &AutoScalingGroup, scope: &Scope) -> Option<Group> {
    let name = found.auto_scaling_group_name()?;
    let tag = |key: &str| {
        let tag = found.tags().iter().find(|tag| tag.key() == Some(key));
        tag.and_then(|tag| tag.value()).map(str::to_owned)
    };
    let ours = scope.owns(name, tag);
    let instances = found.instances().iter().filter_map(|instance| {
        Some(Instance {
            id: instance.instance_id()?.into(),
            zone: instance.availability_zone()?.to_owned(),
            state: State::from(instance.lifecycle_state()?.as_str()),
            // «The launch template for the instance» (API reference of `Instance`), also of a mixed instances policy.
            template: instance.launch_template().and_then(|template| {
                let (id, version) = (template.launch_template_id()?.to_owned(), template.version()?.to_owned());
                Some(LaunchTemplate { id, version })
            }),
            status: None,
        })
    });
    ours.then(|| Group {
        name: name.to_owned(),
        core: tag(CORE_TAG).map(Into::into),
        volume: tag(VOLUME_TAG).map(Into::into),
        desired: found.desired_capacity().and_then(|desired| desired.try_into().ok()).unwrap_or_default(),
        launch_failure: None,
        instances: instances.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_ours_by_its_tag_and_a_clusters_by_its_name_as_well() {
        let owns = |scope: &Scope, group: &str, key: &'static str, value: &'static str| {
            scope.owns(group, |asked| (asked == key).then(|| value.to_owned()))
        };
        let cluster = Scope::Cluster("neo4j".into());
        assert!(owns(&cluster, "neo4j-Cores-Group", CLUSTER_TAG, "neo4j"));
        assert!(!owns(&cluster, "neo4j-staging-Group", CLUSTER_TAG, "neo4j-staging"));
        assert!(!owns(&cluster, "neo4j-Cores-Group", DRAIN_TAG, "neo4j"));
        for group in ["staging-Group", "neo4j", "neo4js-Group"] {
            assert!(!owns(&cluster, group, CLUSTER_TAG, "neo4j"), "{group}");
        }
        let alone = Scope::EcsCluster("shop".into());
        assert!(owns(&alone, "whatever", DRAIN_TAG, "shop"));
        assert!(!owns(&alone, "whatever", DRAIN_TAG, "shop-staging"));
    }
}
