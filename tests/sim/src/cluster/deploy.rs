//! Creates and updates a deployment as CloudFormation does: each resource when all that it refers to is there.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use cluster_world::{World, queue_url};
use serde_json::{Value, json};

use super::{
    Deployed, Node,
    stack::{request, updated},
};
use crate::{
    events::Rule,
    functions::{Environment, Functions, Metrics, NEO4J_GATEWAY},
    schedules::Schedule,
    stacks::{Made, Stack, Stacks, made_up},
    wire::Wire,
};

/// Returns whether the world makes resources of a type; all else is names.
pub(super) fn is_modelled(r#type: &str) -> bool {
    let types = ["AWS::EC2::Volume", "AWS::EC2::LaunchTemplate", "AWS::DynamoDB::", "AWS::Route53::", "AWS::ECS::"];
    let jobs = ["AWS::Batch::JobQueue", "AWS::Batch::JobDefinition"];
    let more = ["AWS::ServiceDiscovery::", "AWS::AutoScaling::", "AWS::SecretsManager::"];
    types.iter().chain(&more).chain(&jobs).any(|prefix| r#type.starts_with(prefix)) || r#type == "AWS::S3::Bucket"
}

struct Creation {
    stacks: Stacks,
    wire: Wire,
    deployed: Deployed,
    /// What an update finds.
    before: Vec<Made>,
    /// Variables of functions where a template gives them none.
    today: BTreeMap<String, Environment>,
    /// What an update has replaced.
    replaced: Vec<Made>,
    /// Physical ids of functions, to their names.
    functions: BTreeMap<String, String>,
    /// Functions by the ARN of the queue that wakes them.
    queues: BTreeMap<String, String>,
    /// Seconds by the ARN of a queue that keeps its messages back.
    delays: BTreeMap<String, i64>,
    /// Event patterns, each with the ARN of its target.
    rules: Vec<(Value, String)>,
    /// Properties of schedules, each with the ARN of its target.
    schedules: Vec<(Value, String)>,
}

/// Creates a deployment of the renderer's.
pub(super) async fn deploy(name: &str, today: BTreeMap<String, Environment>) -> Deployed {
    fastrand::seed(7);
    let stacks = Stacks::of(name);
    let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
    for n in 1..=3 {
        let parameter = |key: &str| stacks.parameter(&format!("{key}{n}")).map(str::to_owned);
        if let (Some(subnet), Some(zone)) = (parameter("CoreSubnet"), parameter("CoreZone")) {
            world.ec2.subnets.insert(subnet, zone);
        }
    }
    // Discovery by itself serves a cluster that is there.
    let given = stacks.parameter("EcsClusterName").map(str::to_owned);
    if let Some(cluster) = &given {
        world.create("AWS::ECS::Cluster", "Cluster", &json!({"ClusterName": cluster})).unwrap();
    }
    let deployed = Deployed {
        world: world.clone(),
        made: vec![],
        phase: None,
        environments: BTreeMap::new(),
        gateway: None,
        arns: BTreeMap::new(),
        rules: vec![],
        schedules: vec![],
        zone: String::new(),
        registries: [String::new(), String::new()],
        ecs_cluster: given.clone().unwrap_or_default(),
        nodes: vec![],
    };
    // A bucket that is given is there, and so are secrets.
    if let Some(bucket) = stacks.parameter("BackupBucketName").filter(|name| !name.is_empty()) {
        world.bucket(bucket);
    }
    for (parameter, arn) in stacks.parameters().filter(|(name, arn)| name.ends_with("SecretArn") && !arn.is_empty()) {
        let value = json!({"username": "neo4j", "password": format!("given-{parameter}")});
        world.put_secret(arn, parameter, value.to_string());
    }
    let wire = Wire::new(world);
    let creation = Creation { today, ..Creation::of(stacks, wire.clone(), deployed, vec![]) };
    let mut deployed = creation.carry_out().await.0;
    let mut world = wire.world().clone();
    if given.is_some() && deployed.registries.iter().all(|registry| !registry.is_empty()) {
        others_services(&mut world, &deployed);
    }
    (world.calls, world.messages) = (vec![], vec![]);
    deployed.world = world;
    deployed
}

/// Updates what has been deployed to another deployment of the renderer's. Returns it with what has to be deleted then: what
/// was replaced, and what is no longer there, last of all what was created first.
pub(super) async fn update(wire: &Wire, deployed: &Deployed, to: &str) -> (Deployed, Vec<Made>) {
    let to = Stacks::of(to);
    if let Some(bucket) = to.parameter("BackupBucketName").filter(|name| !name.is_empty()) {
        wire.world().bucket(bucket);
    }
    let blank = Deployed { made: vec![], phase: None, nodes: vec![], ..deployed.clone() };
    let mut before = deployed.made.clone();
    before.extend(deployed.phase.iter().map(|(made, _)| made.clone()));
    let (updated, mut left) = Creation::of(to, wire.clone(), blank, before).carry_out().await;
    let kept = |old: &&Made| {
        updated.made.iter().chain(updated.phase.iter().map(|(made, _)| made)).any(|new| new.place == old.place)
    };
    left.extend(deployed.made.iter().rev().filter(|old| !kept(old)).cloned());
    (updated, left)
}

/// Creates the services of somebody else's cluster whose tasks discovery publishes.
fn others_services(world: &mut World, deployed: &Deployed) {
    let mut create = |kind: &str, id: &str, properties: Value| world.create(kind, id, &properties).unwrap().unwrap();
    let health = json!([{"Name": "neo4j", "HealthCheck": {"Command": ["CMD", "true"]}}]);
    let task = json!({"Family": deployed.ecs_cluster, "ContainerDefinitions": health});
    let task = create("AWS::ECS::TaskDefinition", "Task", task).physical_id;
    let [core, replica] = &deployed.registries;
    for (name, registry) in [("core", core), ("core-spare", core), ("replica", replica)] {
        let registry = cluster_world::cloud_map::arn("service", registry);
        let service = json!({
            "ServiceName": name, "Cluster": deployed.ecs_cluster, "TaskDefinition": task, "DesiredCount": 0,
            "ServiceRegistries": [{"RegistryArn": registry}],
        });
        create("AWS::ECS::Service", name, service);
    }
}

impl Creation {
    fn of(stacks: Stacks, wire: Wire, deployed: Deployed, before: Vec<Made>) -> Self {
        let (functions, queues, delays) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (replaced, rules, schedules) = (vec![], vec![], vec![]);
        let today = BTreeMap::new();
        Self { stacks, wire, deployed, before, today, replaced, functions, queues, delays, rules, schedules }
    }

    /// Returns what is deployed then, and what was replaced.
    async fn carry_out(mut self) -> (Deployed, Vec<Made>) {
        self.create("root".to_owned(), json!({})).await;
        let Self { mut deployed, replaced, queues, delays, rules, schedules, .. } = self;
        let rules = rules.into_iter().map(|(pattern, queue)| {
            let delay = delays.get(&queue).copied().unwrap_or_default();
            Rule { pattern, function: queues[&queue].clone(), delay }
        });
        deployed.rules = rules.collect();
        let schedules = schedules.iter().filter_map(|(properties, queue)| Schedule::read(&queues[queue], properties));
        deployed.schedules = schedules.collect();
        (deployed, replaced)
    }

    /// Creates a stack, or updates it, and returns its outputs.
    fn create(&mut self, path: String, parameters: Value) -> Pin<Box<dyn Future<Output = Value> + '_>> {
        Box::pin(async move {
            let mut stack = self.stacks.stack(&path, &parameters);
            for id in stack.order() {
                let resource = stack.resource(&id).clone();
                let (kind, properties) = (resource["Type"].as_str().unwrap().to_owned(), stack.properties(&id));
                let mut made = Made {
                    place: (path.clone(), id.clone()),
                    r#type: kind.clone(),
                    physical_id: String::new(),
                    properties,
                    attributes: Value::Null,
                    policy: resource["DeletionPolicy"].clone(),
                    replace_policy: resource["UpdateReplacePolicy"].clone(),
                };
                if kind == "AWS::CloudFormation::Stack" {
                    let outputs = self.create(stack.nested(&id), made.properties["Parameters"].clone()).await;
                    stack.created(&id, &id, &outputs);
                    continue;
                }
                // It waits for the services, which wait for the cores.
                if kind == "Custom::ClusterPhase" {
                    let function = self.function_of(&made);
                    self.deployed.phase = Some((made, function));
                    continue;
                }
                self.make(&stack, &mut made).await;
                stack.created(&id, &made.physical_id, &made.attributes);
                self.note(&mut made, &resource);
                self.deployed.made.push(made);
            }
            stack.outputs()
        })
    }

    /// Makes a resource, or changes the one that is there where its properties differ.
    async fn make(&mut self, stack: &Stack, made: &mut Made) {
        let (path, id) = &made.place;
        let old = self.before.iter().find(|old| old.place == made.place).cloned();
        if let Some(old) = &old {
            assert_eq!(old.r#type, made.r#type, "{path}/{id}: CloudFormation changes no type");
            if old.properties == made.properties {
                (made.physical_id, made.attributes) = (old.physical_id.clone(), old.attributes.clone());
                return;
            }
        }
        (made.physical_id, made.attributes) = if made.r#type.starts_with("Custom::") {
            self.custom_resource(made, old.as_ref()).await
        } else if is_modelled(&made.r#type) {
            let mut world = self.wire.world();
            let (kind, new) = (&made.r#type, &made.properties);
            let operation = match &old {
                Some(old) => world.update_in(&stack.name, kind, id, &old.physical_id, new, &old.properties),
                None => world.create_in(&stack.name, kind, id, new),
            };
            let resource = operation.unwrap_or_else(|why| panic!("{path}/{id}: {why}")).unwrap();
            (resource.physical_id, resource.attributes)
        } else {
            made_up(&stack.name, id, &made.r#type, &made.properties)
        };
        self.replaced.extend(old.filter(|old| old.physical_id != made.physical_id));
    }

    /// Returns the function that answers a custom resource.
    fn function_of(&self, made: &Made) -> String {
        self.deployed.arns[made.properties["ServiceToken"].as_str().unwrap()].clone()
    }

    async fn custom_resource(&mut self, made: &Made, old: Option<&Made>) -> (String, Value) {
        let request = match old {
            Some(old) => updated(made, old),
            None => request(made, "Create"),
        };
        let function = &self.function_of(made);
        let environment = &self.deployed.environments[function];
        Functions::new(&self.wire, &Metrics::default()).invoke(function, environment, request).await.unwrap();
        let answer = self.wire.world().messages.last().map(|(_, body)| body.clone()).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["Status"], json!("SUCCESS"), "{:?}: {answer}", made.place);
        (answer["PhysicalResourceId"].as_str().unwrap().to_owned(), answer["Data"].clone())
    }

    /// Notes what a resource is to the simulation.
    fn note(&mut self, made: &mut Made, resource: &Value) {
        let Made { place: (path, id), r#type, physical_id, properties, attributes, .. } = &*made;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match r#type.as_str() {
            "AWS::Lambda::Function" => {
                let name = text(&resource["Metadata"]["BuildProperties"]["Binary"]);
                let variables = properties["Environment"]["Variables"].as_object().unwrap();
                let mut all = self.today.get(&name).cloned().unwrap_or_default();
                all.extend(variables.iter().map(|(name, value)| (name.clone(), text(value))));
                // Lambda sets it itself.
                all.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), physical_id.clone());
                let variables = all;
                // Functions invoke it; nothing wakes it.
                if name == NEO4J_GATEWAY {
                    let timeout = Duration::from_secs(text(&properties["Timeout"]).parse().unwrap());
                    self.deployed.gateway = Some((physical_id.clone(), variables, timeout));
                    self.wire.world().lambda.functions.insert(physical_id.clone());
                    made.policy = json!({"function": name});
                    return;
                }
                self.deployed.environments.insert(name.clone(), variables);
                self.deployed.arns.insert(text(&attributes["Arn"]), name.clone());
                self.functions.insert(physical_id.clone(), name.clone());
                made.policy = json!({"function": name});
            }
            "AWS::Lambda::EventInvokeConfig" => {
                let to = text(&properties["DestinationConfig"]["OnFailure"]["Destination"]);
                let to = if to.contains(":sqs:") { queue_url(&to) } else { to };
                self.wire.world().lambda.on_failure.insert(text(&properties["FunctionName"]), to);
            }
            "AWS::SQS::Queue" => {
                if let Ok(delay) = text(&properties["DelaySeconds"]).parse() {
                    self.delays.insert(text(&attributes["Arn"]), delay);
                }
            }
            "AWS::Lambda::EventSourceMapping" => {
                let function = self.functions[&text(&properties["FunctionName"])].clone();
                self.queues.insert(text(&properties["EventSourceArn"]), function);
            }
            "AWS::Events::Rule" => {
                for target in properties["Targets"].as_array().unwrap() {
                    self.rules.push((properties["EventPattern"].clone(), text(&target["Arn"])));
                }
            }
            "AWS::Scheduler::Schedule" => {
                self.schedules.push((properties.clone(), text(&properties["Target"]["Arn"])));
            }
            "AWS::ECS::Cluster" => self.deployed.ecs_cluster.clone_from(physical_id),
            "AWS::Route53::HostedZone" => self.deployed.zone.clone_from(physical_id),
            "AWS::ServiceDiscovery::Service" => {
                let tier = usize::from(text(&properties["Name"]) != "core");
                self.deployed.registries[tier].clone_from(physical_id);
            }
            "AWS::EC2::Volume" | "AWS::EC2::LaunchTemplate" | "AWS::AutoScaling::AutoScalingGroup" => {
                let Some(core) = path.rsplit("Core").next().and_then(|core| core.parse::<usize>().ok()) else { return };
                let nodes = &mut self.deployed.nodes;
                let blank = Node { group: String::new(), volume: String::new(), template: String::new() };
                nodes.resize(nodes.len().max(core), blank);
                match id.as_str() {
                    "DataVolume" => nodes[core - 1].volume.clone_from(physical_id),
                    "Group" => nodes[core - 1].group.clone_from(physical_id),
                    _ => nodes[core - 1].template.clone_from(physical_id),
                }
            }
            _ => {}
        }
    }
}
