//! What ECS answers about container instances.

use serde_json::{Value, json};

use super::{
    super::{super::{Refusal, World, page}, Cluster, arn, placement::Expression, short, strings},
    item,
};

/// The address, of all container instances of a cluster, of the one that a name or ARN means.
fn find(cluster: &Cluster, named: &str) -> Option<std::net::Ipv4Addr> {
    cluster.container_instances.iter().find(|(_, container_instance)| container_instance.id == short(named)).map(|(address, _)| *address)
}

fn missing(cluster: &str, named: &str) -> Value {
    json!({"arn": arn("container-instance", &format!("{cluster}/{}", short(named))), "reason": "MISSING"})
}

fn paged(body: &Value, key: &str, all: &[String], size: usize) -> Value {
    let asked = body["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
    let (arns, next) = page(all, body["nextToken"].as_str(), asked.min(size));
    json!({key: arns, "nextToken": next})
}

/// The container instances of a cluster that fit what is asked for. Without a status those in any but `INACTIVE`.
pub(in crate::ecs) fn list(name: &str, cluster: &Cluster, body: &Value, size: usize) -> Result<Value, Refusal> {
    let filter = body["filter"].as_str().map(Expression::read).transpose()?;
    let asked = cluster.container_instances.values().filter(|container_instance| {
        body["status"].as_str().is_none_or(|status| container_instance.status == status)
            && filter.as_ref().is_none_or(|filter| filter.holds(container_instance))
    });
    let mut all: Vec<_> = asked.map(|container_instance| arn("container-instance", &format!("{name}/{}", container_instance.id))).collect();
    all.sort();
    Ok(paged(body, "containerInstanceArns", &all, size))
}

pub(in crate::ecs) fn describe(name: &str, cluster: &Cluster, body: &Value) -> Result<Value, Refusal> {
    let (mut found, mut failures) = (vec![], vec![]);
    for asked in strings(body, "containerInstances", 100)? {
        let container_instance = find(cluster, asked).and_then(|address| Some((address, cluster.container_instances.get(&address)?)));
        match container_instance {
            Some((address, container_instance)) => found.push(item(name, cluster, address, container_instance)),
            None => failures.push(missing(name, asked)),
        }
    }
    Ok(json!({"containerInstances": found, "failures": failures}))
}

/// The tasks of a cluster that fit what is asked for. Without a desired status those that are to run.
pub(in crate::ecs) fn list_tasks(name: &str, cluster: &Cluster, body: &Value, size: usize) -> Result<Value, Refusal> {
    let running = body["desiredStatus"].as_str().unwrap_or("RUNNING") == "RUNNING";
    let container_instance = body["containerInstance"].as_str().map(|asked| (asked, find(cluster, asked)));
    if let Some((asked, None)) = container_instance {
        let message = format!("Container instance {asked} not found.");
        return Err(Refusal::new("InvalidParameterException", message));
    }
    let tasks = cluster.tasks.iter().filter(|(_, task)| {
        task.wanted == running
            && container_instance.is_none_or(|(_, address)| address == Some(task.address))
            && body["serviceName"].as_str().is_none_or(|service| task.service == short(service))
    });
    let all: Vec<_> = tasks.map(|(id, _)| arn("task", &format!("{name}/{id}"))).collect();
    Ok(paged(body, "taskArns", &all, size))
}

impl World {
    /// Without force an instance with tasks stays. With it the tasks count as stopped, whatever becomes of them.
    pub(in crate::ecs) fn deregister(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
        let asked = body["containerInstance"].as_str().unwrap_or_default();
        let found = self.ecs.clusters.get(name).and_then(|cluster| {
            let address = find(cluster, asked)?;
            Some((address, item(name, cluster, address, cluster.container_instances.get(&address)?)))
        });
        let Some((address, item)) = found else {
            let message = format!("Referenced container instance {asked} not found.");
            return Err(Refusal::new("InvalidParameterException", message));
        };
        if body["force"] != json!(true) && item["runningTasksCount"] != json!(0) {
            let message = "Found running tasks on the instance.".to_owned();
            return Err(Refusal::new("InvalidParameterException", message));
        }
        self.deregister_address(name, address);
        Ok(json!({"containerInstance": item}))
    }

    pub(in crate::ecs) fn update_container_instances(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
        let status = match body["status"].as_str() {
            Some("ACTIVE") => "ACTIVE",
            Some("DRAINING") => "DRAINING",
            other => {
                let message = format!("Container instances can be made ACTIVE or DRAINING, not {other:?}.");
                return Err(Refusal::new("InvalidParameterException", message));
            }
        };
        let asked: Vec<_> = strings(body, "containerInstances", 10)?.into_iter().map(str::to_owned).collect();
        let (mut found, mut failures) = (vec![], vec![]);
        let (somebody, now) = (self.somebody(), self.now);
        for asked in &asked {
            let Some(cluster) = self.ecs.clusters.get_mut(name) else { break };
            let Some(address) = find(cluster, asked) else {
                failures.push(missing(name, asked));
                continue;
            };
            // API reference of UpdateContainerInstancesState: the answer has «any failures associated with the call», and is a
            // success all the same.
            if let Some(left) = self.ecs.unset.checked_sub(1) {
                self.ecs.unset = left;
                failures.push(json!({"arn": asked, "reason": "INACTIVE"}));
                continue;
            }
            let Some(container_instance) = cluster.container_instances.get_mut(&address) else { continue };
            let changed = container_instance.status != status;
            (container_instance.status, container_instance.status_by) = (status, somebody);
            container_instance.status_at = now;
            let container_instance = container_instance.clone();
            found.push(item(name, cluster, address, &container_instance));
            if changed {
                self.announce_container_instance(name, address);
            }
        }
        Ok(json!({"containerInstances": found, "failures": failures}))
    }
}
