//! Revisions of task definitions, and the services that name them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{super::{Refusal, World, neo4j::Settings}, Cluster, Ecs, Service, arn, short, strings};

/// A revision of a task definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its family.
    pub family: String,
    /// Its number within the family.
    pub revision: u32,
    /// Whether its essential container has a health check.
    pub checked: bool,
    /// False once it was deregistered.
    pub active: bool,
    /// What it says to Neo4j, if it runs a member.
    pub neo4j: Option<Arc<Settings>>,
}

impl Ecs {
    /// Returns the ARN of the revision that a name means: a revision's ARN or `family:revision`; of a family alone the latest
    /// `ACTIVE` one (API reference of `CreateService` and `UpdateService`, `taskDefinition`). An `INACTIVE` one cannot be asked
    /// for (API reference of `DeregisterTaskDefinition`).
    #[must_use]
    pub fn revision(&self, named: &str) -> Option<&String> {
        let name = short(named);
        let active = self.definitions.iter().filter(|(_, definition)| definition.active);
        let meant = active.filter(|(_, found)| match name.split_once(':') {
            Some((family, revision)) => found.family == family && found.revision.to_string() == revision,
            None => found.family == name,
        });
        meant.max_by_key(|(_, definition)| definition.revision).map(|(arn, _)| arn)
    }
}

impl Service {
    /// Begins a deployment if there is something to deploy.
    pub(super) fn deploy(&mut self, definition: String, forced: bool) {
        if forced || definition != self.definition {
            (self.definition, self.deployment) = (definition, self.deployment + 1);
        }
    }
}

impl World {
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>: a task definition that the service does
    /// not have begins a deployment, and so does `forceNewDeployment`; a desired count alone does not. The world changes nothing
    /// else.
    pub(super) fn update_service(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
        let asked = short(body["service"].as_str().unwrap_or_default());
        let absent = || Refusal::new("ServiceNotFoundException", "Service not found.");
        let revision = match body["taskDefinition"].as_str() {
            Some(named) => {
                let unknown = || Refusal::new("ClientException", "TaskDefinition is inactive or not found.");
                Some(self.ecs.revision(named).cloned().ok_or_else(unknown)?)
            }
            None => None,
        };
        let somebody = self.somebody();
        let service = self.ecs.clusters.get_mut(name).and_then(|cluster| cluster.services.get_mut(asked));
        let service = service.ok_or_else(absent)?;
        service.changed_by = somebody;
        if !service.active {
            return Err(Refusal::new("ServiceNotActiveException", "Service was not ACTIVE."));
        }
        if let Some(desired) = body["desiredCount"].as_u64() {
            service.desired = usize::try_from(desired).unwrap_or(usize::MAX);
        }
        let revision = revision.unwrap_or_else(|| service.definition.clone());
        service.deploy(revision, body["forceNewDeployment"] == json!(true));
        let cluster = self.ecs.clusters.get(name).ok_or_else(absent)?;
        let described = describe_services(name, cluster, &json!({"services": [asked]}), &BTreeMap::new())?;
        Ok(json!({"service": described["services"][0]}))
    }

    /// Active ones of a family, in the order of their revisions (API reference of `ListTaskDefinitions`).
    pub(super) fn list_task_definitions(&self, body: &Value) -> Value {
        let family = body["familyPrefix"].as_str();
        let all = self.ecs.definitions.iter().filter(|(_, found)| found.active);
        let mut all: Vec<_> = all.filter(|(_, found)| family.is_none_or(|family| found.family == family)).collect();
        all.sort_by_key(|(_, found)| (&found.family, found.revision));
        if body["sort"] == json!("DESC") {
            all.reverse();
        }
        json!({"taskDefinitionArns": all.into_iter().map(|(arn, _)| arn).collect::<Vec<_>>()})
    }
}

pub(super) fn describe_services(
    name: &str,
    cluster: &Cluster,
    body: &Value,
    undescribed: &BTreeMap<String, Option<&'static str>>,
) -> Result<Value, Refusal> {
    let (mut services, mut failures) = (vec![], vec![]);
    for asked in strings(body, "services", 10)?.into_iter().map(short) {
        let arn_of_service = arn("service", &format!("{name}/{asked}"));
        if let Some(reason) = undescribed.get(asked) {
            failures.extend(reason.map(|reason| json!({"arn": arn_of_service, "reason": reason})));
            continue;
        }
        let Some(service) = cluster.services.get(asked) else {
            failures.push(json!({"arn": arn_of_service, "reason": "MISSING"}));
            continue;
        };
        let running = cluster.tasks.values().filter(|task| task.service == asked && task.status == "RUNNING").count();
        let rest = cluster.tasks.values().any(|task| task.service == asked && task.status != "STOPPED");
        let status = match (service.active, rest) {
            (true, _) => "ACTIVE",
            (false, true) => "DRAINING",
            (false, false) => "INACTIVE",
        };
        services.push(json!({
            "serviceArn": arn_of_service,
            "serviceName": asked,
            "status": status,
            "desiredCount": if service.active { service.desired } else { 0 },
            "runningCount": running,
            "taskDefinition": service.definition,
        }));
    }
    Ok(json!({"services": services, "failures": failures}))
}
