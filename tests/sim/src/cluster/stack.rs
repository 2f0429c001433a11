//! What CloudFormation does with a cluster's stacks once they are created: it asks about custom resources, updates, and deletes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Cluster, alarms::is_alarm, deploy};
use crate::stacks::Made;

impl Cluster {
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
        if self.wire.world().cloudwatch.listens {
            self.put_alarms();
        }
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
        let alarms = is_alarm(kind) && self.wire.world().cloudwatch.listens;
        if !deploy::is_modelled(kind) && !alarms {
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
pub(super) fn updated(new: &Made, old: &Made) -> Value {
    let mut request = request(&Made { physical_id: old.physical_id.clone(), ..new.clone() }, "Update");
    request["OldResourceProperties"] = old.properties.clone();
    request
}

/// What CloudFormation asks about a custom resource.
pub(super) fn request(made: &Made, kind: &str) -> Value {
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
