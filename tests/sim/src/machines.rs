//! The machines of a cluster's cores in a world of their own: made from the real `core-node.yaml`, with the real function
//! running against them in process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use cluster_facts::template::read;
use cluster_lambda::{Failure, telemetry::Sink};
use cluster_world::{ACCOUNT, REGION, World, ec2::Contents};
use instance_drainer::{Clients, Config, Drainer, Ec2};
use serde_json::{Value, json};

use crate::{
    inside::{DEAD_LETTERS, client, delivered, messages},
    wire::Wire,
};

/// The cluster's name, which begins the names of its groups.
pub const CLUSTER: &str = "neo4j";
/// The ECS cluster.
pub const ECS_CLUSTER: &str = "neo4j-Ecs-Cluster";
/// The state table.
pub const TABLE: &str = "neo4j-State-Table";
/// The zones of cores 1 to 3, and again.
pub const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
/// Subnets that the world has, one in each zone.
const SUBNETS: [&str; 3] = ["subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000c"];

/// The world and the names of what stands in it.
#[derive(Clone, Debug)]
pub struct Machines {
    /// The world behind the connector.
    pub wire: Wire,
    /// What each core is made of.
    pub nodes: Vec<Node>,
    /// The lines of metrics that functions have written.
    pub metrics: Arc<Mutex<Vec<Value>>>,
    variables: Vec<(&'static str, String)>,
}

/// One core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The Auto Scaling group's name.
    pub group: String,
    /// The data volume's id.
    pub volume: String,
    /// The launch template's id.
    pub template: String,
}

impl Node {
    /// Who has the volume.
    fn instance(&self, world: &World) -> String {
        world.ec2.volumes[&self.volume].attachment.as_ref().unwrap().instance.clone()
    }
}

/// The parameters of one core-node stack.
fn parameters(core: usize) -> BTreeMap<String, String> {
    let place = (core - 1) % 3;
    let named = [
        ("AWS::Partition", "aws"),
        ("AWS::Region", REGION),
        ("AWS::AccountId", ACCOUNT),
        ("AWS::URLSuffix", "amazonaws.com"),
        ("ClusterName", CLUSTER),
        ("SubnetId", SUBNETS[place]),
        ("Zone", ZONES[place]),
        ("SecurityGroupIds", "sg-0123456789abcdef0"),
        ("AmiId", "ami-0123456789abcdef0"),
        ("InstanceTypes", "r7g.large,r8g.large,r6g.large"),
        ("Purchase", "on-demand"),
        ("InstanceProfileArn", "arn:aws:iam::000000000000:instance-profile/neo4j"),
        ("EcsClusterName", ECS_CLUSTER),
        ("VolumeSize", "100"),
        ("VolumeType", "gp3"),
        ("VolumeIops", "3000"),
        ("VolumeThroughput", "125"),
        ("KmsKeyArn", ""),
        ("SnapshotId", ""),
    ];
    let mut all: BTreeMap<_, _> = named.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.insert("Core".to_owned(), core.to_string());
    all
}

/// What CloudFormation makes of a resource of `core-node.yaml`.
fn create(world: &mut World, core: usize, id: &str, names: &mut BTreeMap<String, String>) -> String {
    let template = read("infra/core-node.yaml");
    let resource = &template["Resources"][id];
    let properties = render(&resource["Properties"], &template, names);
    let stack = format!("{CLUSTER}-Cores-Core{core}");
    let made = world.create_in(&stack, resource["Type"].as_str().unwrap(), id, &properties).unwrap().unwrap();
    names.insert(id.to_owned(), made.physical_id.clone());
    for (name, value) in made.attributes.as_object().into_iter().flatten() {
        names.insert(format!("{id}.{name}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    made.physical_id
}

impl Machines {
    /// A world with so many cores whose groups are there, and whose machines are not yet.
    ///
    /// # Panics
    /// When the world refuses what the template says.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        // Back-off jitter comes from here; the same seed plays the same schedule.
        fastrand::seed(7);
        let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
        let mut make = |kind: &str, id: &str, properties: Value| world.create(kind, id, &properties).unwrap().unwrap();
        make("AWS::ECS::Cluster", "Cluster", json!({"ClusterName": ECS_CLUSTER}));
        make("AWS::DynamoDB::Table", "Table", json!({"TableName": TABLE}));
        let health = json!([{"Name": "neo4j", "HealthCheck": {"Command": ["CMD", "true"]}}]);
        let task = make("AWS::ECS::TaskDefinition", "Task", json!({"Family": "core", "ContainerDefinitions": health}));
        let nodes = (1..=cores).map(|core| {
            let mut names = parameters(core);
            let volume = create(&mut world, core, "DataVolume", &mut names);
            let template = create(&mut world, core, "LaunchTemplate", &mut names);
            Node { volume, template, group: create(&mut world, core, "Group", &mut names) }
        });
        let nodes = nodes.collect();
        let service = json!({
            "ServiceName": "core", "Cluster": ECS_CLUSTER, "TaskDefinition": task.physical_id, "DesiredCount": cores,
            "DeploymentConfiguration": {"MinimumHealthyPercent": 66, "MaximumPercent": 100},
            "PlacementConstraints": [
                {"Type": "distinctInstance"}, {"Type": "memberOf", "Expression": "attribute:neo4j.tier == core"},
            ],
        });
        world.create("AWS::ECS::Service", "core", &service).unwrap();
        let variables = vec![
            ("CLUSTER_NAME", CLUSTER.to_owned()),
            ("ECS_CLUSTER", ECS_CLUSTER.to_owned()),
            ("STATE_TABLE", TABLE.to_owned()),
            ("CORE_COUNT", cores.to_string()),
            ("CORE_SERVICE", "core".to_owned()),
            ("REPLICA_SERVICE", "replica".to_owned()),
            ("REGISTER_TIMEOUT_SECONDS", "900".to_owned()),
            ("DRY_RUN", "false".to_owned()),
            ("DEAD_LETTER_QUEUE_URL", DEAD_LETTERS.to_owned()),
        ];
        Self { wire: Wire::new(world), nodes, metrics: Arc::default(), variables }
    }

    /// The environment that the template gives to the function.
    #[must_use]
    pub fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }

    /// The same cluster in a world of its own, which goes on from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut world = self.wire.world().clone();
        world.calls.clear();
        Self { wire: Wire::new(world), metrics: Arc::default(), ..self.clone() }
    }

    /// Changes a variable of the environment for the functions to come.
    pub fn set(&mut self, name: &str, value: &str) {
        for (_, found) in self.variables.iter_mut().filter(|(found, _)| *found == name) {
            value.clone_into(found);
        }
    }

    /// The function as a fresh process has it.
    ///
    /// # Panics
    /// When the environment is wrong.
    #[must_use]
    pub fn drainer(&self) -> Drainer {
        let lookup = |name: &str| self.variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        let credentials = Credentials::new("id", "secret", None, None, "world");
        let clients = Clients {
            auto_scaling: client!(aws_sdk_autoscaling, self.wire),
            ecs: client!(aws_sdk_ecs, self.wire),
            dynamodb: client!(aws_sdk_dynamodb, self.wire),
            sqs: client!(aws_sdk_sqs, self.wire),
            ec2: Ec2 {
                endpoint: format!("https://ec2.{REGION}.amazonaws.com"),
                region: REGION.to_owned(),
                credentials: SharedCredentialsProvider::new(credentials),
                connector: SharedHttpConnector::new(self.wire.clone()),
                sleep: SharedAsyncSleep::new(TokioSleep::new()),
                clock: SharedTimeSource::new(self.wire.clone()),
            },
            answers: SharedHttpConnector::new(self.wire.clone()),
            clock: SharedTimeSource::new(self.wire.clone()),
            metrics: {
                let metrics = self.metrics.clone();
                Sink::new(move |line| metrics.lock().unwrap().push(line.clone()))
            },
        };
        Drainer::new(Config::read(&lookup).unwrap(), clients)
    }

    /// Invokes a fresh function with an event.
    pub async fn invoke(&self, event: Value) -> Result<Value, Failure> {
        self.drainer().handle(event).await
    }

    /// Invokes a fresh function with what the schedule sends.
    pub async fn sweep(&self) -> Result<Value, Failure> {
        let body = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}});
        self.invoke(messages(&[body.to_string()])).await
    }

    /// Lets time pass, with a sweep each minute and no event delivered. A sweep that fails is made good by the next.
    pub async fn minutes(&self, minutes: u64) {
        for _ in 0..minutes {
            self.wire.sleep(60).await;
            _ = self.sweep().await;
        }
    }

    /// Lets time pass with sweeps, and hands every event that comes to the function within five seconds.
    pub async fn live(&self, minutes: u64) {
        for step in 1..=12 * minutes {
            self.wire.sleep(5).await;
            let events = std::mem::take(&mut self.wire.world().events);
            let bodies: Vec<_> = events.iter().map(delivered).collect();
            for batch in bodies.chunks(10) {
                _ = self.invoke(messages(batch)).await;
            }
            if step % 12 == 0 {
                _ = self.sweep().await;
            }
        }
    }

    /// The first boot of every core, until each is in service, and the end of the stack's creation.
    ///
    /// # Panics
    /// When a core does not come.
    pub async fn form(&self) {
        self.live(5).await;
        for core in 1..=self.nodes.len() {
            assert!(self.serving(core).is_some(), "core {core} is not in service: {:?}", self.states(core));
        }
        self.custom_resource("Create").await;
    }

    /// The core's instance in service with the core's volume, and a task on it.
    #[must_use]
    pub fn serving(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        let node = &self.nodes[core - 1];
        let attachment = world.ec2.volumes.get(&node.volume)?.attachment.as_ref().filter(|a| a.state == "attached")?;
        let member = world.auto_scaling.groups.get(&node.group)?.members.get(&attachment.instance)?;
        let address = world.ec2.instances.get(&attachment.instance)?.address;
        let mut tasks = world.ecs.clusters[ECS_CLUSTER].wanted("core");
        let runs = tasks.any(|(_, task)| task.address == address && task.status == "RUNNING");
        (member.state == "InService" && runs).then(|| attachment.instance.clone())
    }

    /// The task on an instance that is to run, in whatever state.
    #[must_use]
    pub fn task(&self, instance: &str) -> Option<String> {
        let world = self.wire.world();
        let (cluster, address) = world.registered(instance)?;
        let mut tasks = world.ecs.clusters[&cluster].wanted("core");
        tasks.find(|(_, task)| task.address == address).map(|(id, _)| id.clone())
    }

    /// The lifecycle states of the core's instances, by instance.
    #[must_use]
    pub fn states(&self, core: usize) -> BTreeMap<String, &'static str> {
        let world = self.wire.world();
        let members = world.auto_scaling.groups.get(&self.nodes[core - 1].group).map(|group| group.members.clone());
        members.into_iter().flatten().map(|(id, member)| (id, member.state)).collect()
    }

    /// The only instance of the core in this state.
    #[must_use]
    pub fn in_state(&self, core: usize, state: &str) -> Option<String> {
        let found: Vec<_> = self.states(core).into_iter().filter(|(_, s)| *s == state).collect();
        if let [(id, _)] = &found[..] { Some(id.clone()) } else { None }
    }

    /// Who has the core's volume, in whatever state of the attachment.
    #[must_use]
    pub fn holder(&self, core: usize) -> Option<String> {
        let world = self.wire.world();
        Some(world.ec2.volumes.get(&self.nodes[core - 1].volume)?.attachment.as_ref()?.instance.clone())
    }

    /// What is on the core's volume.
    #[must_use]
    pub fn contents(&self, core: usize) -> Contents {
        self.wire.world().ec2.volumes[&self.nodes[core - 1].volume].contents
    }

    /// The last value of a metric.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.lock().unwrap().iter().rev().find_map(|line| line[name].as_f64())
    }

    /// What people do before they terminate a core: nothing more is placed on its machine, and its task is stopped.
    ///
    /// # Panics
    /// When the core is not in service.
    pub fn empty(&self, core: usize) {
        self.set_status(core, "DRAINING");
        let task = self.task(&self.holder(core).unwrap()).unwrap();
        self.wire.world().stop(ECS_CLUSTER, &task);
    }

    /// Sets the status of a core's container instance.
    ///
    /// # Panics
    /// When the core's machine is no container instance.
    pub fn set_status(&self, core: usize, status: &'static str) {
        let mut world = self.wire.world();
        let (cluster, address) = world.registered(&self.nodes[core - 1].instance(&world)).unwrap();
        world.ecs.clusters.get_mut(&cluster).unwrap().container_instances.get_mut(&address).unwrap().status = status;
    }

    /// A request of CloudFormation about the cluster's life, answered.
    ///
    /// # Panics
    /// When it is not answered with success.
    pub async fn custom_resource(&self, kind: &str) {
        let request = json!({
            "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "request",
            "ResourceType": "Custom::ClusterLife", "LogicalResourceId": "Life", "PhysicalResourceId": "life",
            "ResourceProperties": {"ServiceToken": "arn", "Cores": self.nodes.len().to_string()}, "OldResourceProperties": {},
        });
        self.invoke(request).await.unwrap();
        let world = self.wire.world();
        let (_, answer) = world.messages.iter().rev().find(|(to, _)| to == "/cfn").unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["Status"], json!("SUCCESS"), "{answer}");
    }

    /// Deletes the stack as CloudFormation does: its life first (when its creation came so far), then the service, then each
    /// core's group, launch template and volume. Says how many minutes it took.
    ///
    /// # Panics
    /// When it has not ended after two hours.
    pub async fn delete(&self, with_life: bool) -> u64 {
        if with_life {
            self.custom_resource("Delete").await;
        }
        let template = read("infra/core-node.yaml");
        let service = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{ECS_CLUSTER}/core");
        let mut minutes = self.gone("AWS::ECS::Service", &service, &json!({"Cluster": ECS_CLUSTER})).await;
        for node in &self.nodes {
            for (id, physical_id) in
                [("Group", &node.group), ("LaunchTemplate", &node.template), ("DataVolume", &node.volume)]
            {
                let resource = &template["Resources"][id];
                let policy = json!({"DeletionPolicy": resource["DeletionPolicy"]});
                minutes += self.gone(resource["Type"].as_str().unwrap(), physical_id, &policy).await;
            }
        }
        minutes
    }

    async fn gone(&self, kind: &str, physical_id: &str, properties: &Value) -> u64 {
        let mut operation = self.wire.world().delete(kind, physical_id, properties);
        for minute in 0..120 {
            match operation {
                Ok(Some(_)) => return minute,
                Ok(None) => self.live(1).await,
                Err(why) => panic!("{kind} {physical_id}: {why}"),
            }
            operation = self.wire.world().status(kind, physical_id);
        }
        panic!("{kind} {physical_id} is not gone after two hours: {:?}", self.wire.world().auto_scaling.groups)
    }
}

/// A part of a template as it is deployed: conditions decided, references and texts filled in.
///
/// `names` holds what `Ref` gives under a logical id, and what `Fn::GetAtt` gives under `id.attribute`.
///
fn render(part: &Value, template: &Value, names: &BTreeMap<String, String>) -> Value {
    let inside = |part: &Value| render(part, template, names);
    let name = |name: &str| names.get(name).unwrap_or_else(|| panic!("nobody says what {name} is")).clone();
    let map = match part {
        Value::Array(items) => return items.iter().map(inside).filter(|item| !item.is_null()).collect(),
        Value::Object(map) => map,
        plain => return plain.clone(),
    };
    let only = map.iter().next().filter(|_| map.len() == 1);
    match only.map(|(key, value)| (key.as_str(), value)) {
        Some(("Ref", id)) if id == "AWS::NoValue" => Value::Null,
        Some(("Ref", id)) => json!(name(id.as_str().unwrap())),
        Some(("Fn::GetAtt", parts)) => {
            let parts: Vec<_> = parts.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            json!(name(&parts.join(".")))
        }
        Some(("Fn::Sub", Value::String(text))) => json!(fill(text, &name)),
        Some(("Fn::Sub", parts)) => {
            let own = inside(&parts[1]);
            let name = |key: &str| own[key].as_str().map_or_else(|| name(key), str::to_owned);
            json!(fill(parts[0].as_str().unwrap(), &name))
        }
        Some(("Fn::If", parts)) => {
            let condition = &template["Conditions"][parts[0].as_str().unwrap()];
            inside(&parts[if holds(&inside(condition)) { 1 } else { 2 }])
        }
        Some(("Fn::Join", parts)) => {
            let (between, parts) = (inside(&parts[0]), inside(&parts[1]));
            json!(list(&parts).join(between.as_str().unwrap()))
        }
        Some(("Fn::Split", parts)) => {
            let (at, text) = (inside(&parts[0]), inside(&parts[1]));
            json!(text.as_str().unwrap().split(at.as_str().unwrap()).collect::<Vec<_>>())
        }
        // A list parameter is said as one text with commas.
        Some(("Fn::Select", parts)) => {
            let (index, parts) = (inside(&parts[0]).as_u64().unwrap(), inside(&parts[1]));
            json!(list(&parts)[usize::try_from(index).unwrap()])
        }
        Some(("Fn::FindInMap", path)) => {
            let path = inside(path);
            let key = |n: usize| path[n].as_str().map_or_else(|| path[n].to_string(), str::to_owned);
            template["Mappings"][key(0)][key(1)][key(2)].clone()
        }
        Some(("Fn::Base64", text)) => json!({"Fn::Base64": inside(text)}),
        Some((function, _)) if function.starts_with("Fn::") && !["Fn::Equals", "Fn::Not"].contains(&function) => {
            panic!("{function} is not known here")
        }
        _ => {
            let all = map.iter().map(|(key, value)| (key.clone(), inside(value)));
            Value::Object(all.filter(|(_, value)| !value.is_null()).collect())
        }
    }
}

/// The texts of a list, or of a text with commas.
fn list(value: &Value) -> Vec<String> {
    let texts = |items: &Vec<Value>| items.iter().map(|item| item.as_str().unwrap().to_owned()).collect();
    value.as_array().map_or_else(|| value.as_str().unwrap().split(',').map(str::to_owned).collect(), texts)
}

/// Whether a rendered condition holds.
fn holds(condition: &Value) -> bool {
    match (&condition["Fn::Equals"], &condition["Fn::Not"]) {
        (Value::Array(two), _) => two[0] == two[1],
        (_, Value::Array(one)) => !holds(&one[0]),
        _ => panic!("no condition that is known here: {condition}"),
    }
}

/// A text with its `${…}` filled in.
fn fill(text: &str, name: &dyn Fn(&str) -> String) -> String {
    let mut parts = text.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |filled, part| {
        let (inner, rest) = part.split_once('}').unwrap();
        filled + &name(inner) + rest
    })
}
