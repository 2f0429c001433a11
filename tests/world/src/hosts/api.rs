//! What ECS answers about container instances.

use serde_json::{Value, json};

use super::{
    super::{
        Refusal, World,
        ecs::{Cluster, arn, short, strings},
        page,
        placement::Expression,
    },
    host_item,
};

/// The address, of all hosts of a cluster, of the one that a name or ARN means.
fn find(cluster: &Cluster, named: &str) -> Option<std::net::Ipv4Addr> {
    cluster.hosts.iter().find(|(_, host)| host.id == short(named)).map(|(address, _)| *address)
}

fn missing(cluster: &str, named: &str) -> Value {
    json!({"arn": arn("container-instance", &format!("{cluster}/{}", short(named))), "reason": "MISSING"})
}

fn paged(body: &Value, key: &str, all: &[String], size: usize) -> Value {
    let asked = body["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
    let (arns, next) = page(all, body["nextToken"].as_str(), asked.min(size));
    json!({key: arns, "nextToken": next})
}

/// The hosts of a cluster that fit what is asked for. Without a status those in any but `INACTIVE`.
pub(crate) fn list_hosts(name: &str, cluster: &Cluster, body: &Value, size: usize) -> Result<Value, Refusal> {
    let filter = body["filter"].as_str().map(Expression::read).transpose()?;
    let asked = cluster.hosts.values().filter(|host| {
        body["status"].as_str().is_none_or(|status| host.status == status)
            && filter.as_ref().is_none_or(|filter| filter.holds(host))
    });
    let mut all: Vec<_> = asked.map(|host| arn("container-instance", &format!("{name}/{}", host.id))).collect();
    all.sort();
    Ok(paged(body, "containerInstanceArns", &all, size))
}

pub(crate) fn describe_hosts(name: &str, cluster: &Cluster, body: &Value) -> Result<Value, Refusal> {
    let (mut found, mut failures) = (vec![], vec![]);
    for asked in strings(body, "containerInstances", 100)? {
        let host = find(cluster, asked).and_then(|address| Some((address, cluster.hosts.get(&address)?)));
        match host {
            Some((address, host)) => found.push(host_item(name, cluster, address, host)),
            None => failures.push(missing(name, asked)),
        }
    }
    Ok(json!({"containerInstances": found, "failures": failures}))
}

/// The tasks of a cluster that fit what is asked for. Without a desired status those that are to run.
pub(crate) fn list_tasks(name: &str, cluster: &Cluster, body: &Value, size: usize) -> Result<Value, Refusal> {
    let running = body["desiredStatus"].as_str().unwrap_or("RUNNING") == "RUNNING";
    let host = body["containerInstance"].as_str().map(|asked| (asked, find(cluster, asked)));
    if let Some((asked, None)) = host {
        let message = format!("Container instance {asked} not found.");
        return Err(Refusal::new("InvalidParameterException", message));
    }
    let tasks = cluster.tasks.iter().filter(|(_, task)| {
        task.wanted == running
            && host.is_none_or(|(_, address)| address == Some(task.address))
            && body["serviceName"].as_str().is_none_or(|service| task.service == short(service))
    });
    let all: Vec<_> = tasks.map(|(id, _)| arn("task", &format!("{name}/{id}"))).collect();
    Ok(paged(body, "taskArns", &all, size))
}

impl World {
    /// Without force an instance with tasks stays. With it the tasks count as stopped, whatever becomes of them.
    pub(crate) fn deregister(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
        let asked = body["containerInstance"].as_str().unwrap_or_default();
        let found = self.ecs.clusters.get(name).and_then(|cluster| {
            let address = find(cluster, asked)?;
            Some((address, host_item(name, cluster, address, cluster.hosts.get(&address)?)))
        });
        let Some((address, item)) = found else {
            let message = format!("Referenced container instance {asked} not found.");
            return Err(Refusal::new("InvalidParameterException", message));
        };
        if body["force"] != json!(true) && item["runningTasksCount"] != json!(0) {
            let message = "Found running tasks on the instance.".to_owned();
            return Err(Refusal::new("InvalidParameterException", message));
        }
        self.deregister_host(name, address);
        Ok(json!({"containerInstance": item}))
    }

    pub(crate) fn update_hosts(&mut self, name: &str, body: &Value) -> Result<Value, Refusal> {
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
        for asked in &asked {
            let Some(cluster) = self.ecs.clusters.get_mut(name) else { break };
            let Some(address) = find(cluster, asked) else {
                failures.push(missing(name, asked));
                continue;
            };
            let Some(host) = cluster.hosts.get_mut(&address) else { continue };
            let changed = host.status != status;
            host.status = status;
            let host = host.clone();
            found.push(host_item(name, cluster, address, &host));
            if changed {
                self.announce_host(name, address);
            }
        }
        Ok(json!({"containerInstances": found, "failures": failures}))
    }
}
