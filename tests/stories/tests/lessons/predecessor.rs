//! The predecessor of instance-drainer, re-told: the calls that its program made, in their order, against the world. It is
//! here so that what it got wrong can be seen to go wrong.

use std::time::Duration;

use cluster_sim::{cluster::Cluster, events::delivered};
use cluster_world::Request;
use serde_json::{Value, json};

/// Lambda's time-out of its function.
const TIMEOUT: Duration = Duration::from_mins(15);
/// From a look at the tasks to the next.
const POLL: u64 = 10;
/// Seconds until Lambda tries an asynchronous invocation again that has failed: twice (developer guide, «How Lambda handles
/// errors and retries with asynchronous invocation»).
const RETRIES: [u64; 2] = [60, 120];

/// The function, in a world of its own.
pub(super) struct Predecessor<'a> {
    cluster: &'a Cluster,
}

/// A container instance that it has found.
struct Found {
    arn: String,
    status: String,
}

impl<'a> Predecessor<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// Hears the next event that its rule matched: of any group, and of any Spot Instance.
    pub(super) async fn hear(&self) -> Result<(), String> {
        let kinds = ["EC2 Instance-terminate Lifecycle Action", "EC2 Spot Instance Interruption Warning"];
        let events = std::mem::take(&mut self.cluster.wire.world().events);
        let heard = events.iter().find(|event| kinds.iter().any(|kind| event["DetailType"] == *kind));
        let event = serde_json::from_str(&delivered(heard.unwrap())).unwrap();
        self.invoke(&event).await
    }

    /// Runs as Lambda runs it: until it has succeeded, or was tried three times.
    async fn invoke(&self, event: &Value) -> Result<(), String> {
        let mut ended = Ok(());
        for pause in RETRIES.into_iter().map(Some).chain([None]) {
            let told = tokio::time::timeout(TIMEOUT, self.handle(event)).await;
            ended = told.unwrap_or_else(|_| Err("Task timed out after 900.00 seconds".to_owned()));
            match pause {
                Some(pause) if ended.is_err() => self.cluster.wire.sleep(pause).await,
                _ => break,
            }
        }
        ended
    }

    async fn handle(&self, event: &Value) -> Result<(), String> {
        let detail = &event["detail"];
        let is_spot = detail["EC2InstanceId"].is_null();
        let instance = if is_spot { &detail["instance-id"] } else { &detail["EC2InstanceId"] };
        let instance = instance.as_str().unwrap_or_default();
        // An instance that has ended needs nothing: its hook is completed, whoever's that is.
        let state = self.cluster.wire.world().ec2.instances.get(instance).map(|found| found.state);
        if state.is_some_and(|state| ["shutting-down", "terminated"].contains(&state)) {
            return self.complete(detail).await;
        }
        // Without a name the API means the cluster `default`.
        let name = self.ecs_cluster(instance).unwrap_or_default();
        let found = self.container_instance(&name, instance).await.ok_or("the instance is not in the cluster")?;
        self.drain(&name, &found).await?;
        if is_spot { Ok(()) } else { self.complete(detail).await }
    }

    /// Looks for the name of the cluster in the user data as it is written.
    fn ecs_cluster(&self, instance: &str) -> Option<String> {
        let world = self.cluster.wire.world();
        let (template, version) = world.auto_scaling.member(instance)?.template.clone();
        let data = &world.ec2.templates.get(&template)?.versions.get(version - 1)?.user_data;
        let (_, rest) = data.split_once("ECS_CLUSTER=")?;
        Some(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect())
    }

    /// A page that cannot be described is printed, and passed over.
    async fn container_instance(&self, cluster: &str, instance: &str) -> Option<Found> {
        let listed = self.ecs("ListContainerInstances", json!({"cluster": name_of(cluster)})).await.ok()?;
        let asked = json!({"cluster": name_of(cluster), "containerInstances": listed["containerInstanceArns"]});
        let described = self.ecs("DescribeContainerInstances", asked).await.unwrap_or_default();
        let all = described["containerInstances"].as_array().into_iter().flatten();
        let found = { all }.find(|found| found["ec2InstanceId"] == instance)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Some(Found { arn: text("containerInstanceArn"), status: text("status") })
    }

    /// The tasks are listed once, only here, and one page of them; those that stop already are not listed.
    async fn drain(&self, cluster: &str, found: &Found) -> Result<(), String> {
        let mut running = json!([]);
        if found.status != "DRAINING" {
            let state = json!({"cluster": cluster, "containerInstances": [found.arn], "status": "DRAINING"});
            self.ecs("UpdateContainerInstancesState", state).await?;
            let listed = json!({"cluster": cluster, "containerInstance": found.arn});
            running = self.ecs("ListTasks", listed).await?["taskArns"].clone();
        }
        while running.as_array().is_some_and(|running| !running.is_empty()) {
            let described = self.ecs("DescribeTasks", json!({"cluster": cluster, "tasks": running})).await?;
            let tasks = described["tasks"].as_array().into_iter().flatten();
            if { tasks }.all(|task| task["lastStatus"] == "STOPPED") {
                break;
            }
            self.cluster.wire.sleep(POLL).await;
        }
        Ok(())
    }

    async fn complete(&self, detail: &Value) -> Result<(), String> {
        let text = |key: &str| detail[key].as_str().unwrap_or_default();
        let form = format!(
            "Action=CompleteLifecycleAction&Version=2011-01-01&AutoScalingGroupName={}&LifecycleHookName={}\
             &LifecycleActionToken={}&LifecycleActionResult=CONTINUE",
            text("AutoScalingGroupName"),
            text("LifecycleHookName"),
            text("LifecycleActionToken"),
        );
        self.send(None, form).await.map(drop)
    }

    async fn ecs(&self, operation: &str, body: Value) -> Result<Value, String> {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let body = self.send(Some(target), body.to_string()).await?;
        serde_json::from_str(&body).map_err(|error| error.to_string())
    }

    async fn send(&self, target: Option<String>, body: String) -> Result<String, String> {
        let (method, path, query) = ("POST".to_owned(), "/".to_owned(), String::new());
        let request = Request { method, path, query, target, body: body.into_bytes(), ..Request::default() };
        let answer = self.cluster.wire.send(&request).await.map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.body) }
    }
}

fn name_of(cluster: &str) -> &str {
    if cluster.is_empty() { "default" } else { cluster }
}
