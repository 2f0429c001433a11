//! Creates a deployment as CloudFormation does: each resource when all that it refers to is there.

use std::{collections::BTreeMap, pin::Pin};

use cluster_world::World;
use serde_json::{Value, json};

use super::{Deployed, Node};
use crate::{
    events::Rule,
    functions::{Functions, Metrics},
    stacks::{Made, Stacks, made_up},
    wire::Wire,
};

/// Returns whether the world makes resources of a type; all else is names.
pub(super) fn is_modelled(r#type: &str) -> bool {
    let types = ["AWS::EC2::Volume", "AWS::EC2::LaunchTemplate", "AWS::DynamoDB::", "AWS::Route53::", "AWS::ECS::"];
    types.iter().chain(&["AWS::ServiceDiscovery::", "AWS::AutoScaling::"]).any(|prefix| r#type.starts_with(prefix))
}

struct Creation {
    stacks: Stacks,
    wire: Wire,
    deployed: Deployed,
    /// Physical ids of functions, to their names.
    functions: BTreeMap<String, String>,
    /// Functions by the ARN of the queue that wakes them.
    queues: BTreeMap<String, String>,
    /// Event patterns, each with the ARN of its target.
    rules: Vec<(Value, String)>,
    /// Messages of schedules, each with the ARN of its target.
    sweeps: Vec<(String, String)>,
}

/// Creates a deployment of the renderer's.
pub(super) async fn deploy(name: &str) -> Deployed {
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
        arns: BTreeMap::new(),
        rules: vec![],
        sweeps: vec![],
        zone: String::new(),
        registries: [String::new(), String::new()],
        ecs_cluster: given.clone().unwrap_or_default(),
        nodes: vec![],
    };
    let (functions, queues) = (BTreeMap::new(), BTreeMap::new());
    let (rules, sweeps) = (vec![], vec![]);
    let mut creation = Creation { stacks, wire: Wire::new(world), deployed, functions, queues, rules, sweeps };
    creation.create("root".to_owned(), json!({})).await;
    let Creation { wire, mut deployed, queues, rules, sweeps, .. } = creation;
    let rules = rules.into_iter().map(|(pattern, queue)| Rule { pattern, function: queues[&queue].clone() });
    deployed.rules = rules.collect();
    deployed.sweeps = sweeps.into_iter().map(|(body, queue)| (queues[&queue].clone(), body)).collect();
    let mut world = wire.world().clone();
    if given.is_some() {
        others_services(&mut world, &deployed);
    }
    (world.calls, world.messages) = (vec![], vec![]);
    deployed.world = world;
    deployed
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
    /// Creates a stack, and returns its outputs.
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
                    policy: resource["DeletionPolicy"].clone(),
                };
                if kind == "AWS::CloudFormation::Stack" {
                    let outputs = self.create(stack.nested(&id), made.properties["Parameters"].clone()).await;
                    stack.created(&id, &id, &outputs);
                    continue;
                }
                let (physical_id, attributes) = if kind.starts_with("Custom::") {
                    let function = self.deployed.arns[made.properties["ServiceToken"].as_str().unwrap()].clone();
                    // It waits for the services, which wait for the cores.
                    if kind == "Custom::ClusterPhase" {
                        self.deployed.phase = Some((made, function));
                        continue;
                    }
                    self.custom_resource(&made, &function).await
                } else if is_modelled(&kind) {
                    let made = self.wire.world().create_in(&stack.name, &kind, &id, &made.properties);
                    let made = made.unwrap_or_else(|why| panic!("{path}/{id}: {why}")).unwrap();
                    (made.physical_id, made.attributes)
                } else {
                    made_up(&stack.name, &id, &kind, &made.properties)
                };
                stack.created(&id, &physical_id, &attributes);
                made.physical_id = physical_id;
                self.note(&mut made, &resource, &attributes);
                self.deployed.made.push(made);
            }
            stack.outputs()
        })
    }

    async fn custom_resource(&mut self, made: &Made, function: &str) -> (String, Value) {
        let request = json!({
            "RequestType": "Create", "ResponseURL": "http://answers.example/cfn", "StackId": "stack",
            "RequestId": "request", "ResourceType": made.r#type, "LogicalResourceId": made.place.1,
            "ResourceProperties": made.properties,
        });
        let environment = &self.deployed.environments[function];
        Functions::new(&self.wire, &Metrics::default()).invoke(function, environment, request).await.unwrap();
        let answer = self.wire.world().messages.last().map(|(_, body)| body.clone()).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["Status"], json!("SUCCESS"), "{:?}: {answer}", made.place);
        (answer["PhysicalResourceId"].as_str().unwrap().to_owned(), answer["Data"].clone())
    }

    /// Notes what a resource is to the simulation.
    fn note(&mut self, made: &mut Made, resource: &Value, attributes: &Value) {
        let Made { place: (path, id), r#type, physical_id, properties, .. } = &*made;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match r#type.as_str() {
            "AWS::Lambda::Function" => {
                let name = text(&resource["Metadata"]["BuildProperties"]["Binary"]);
                let variables = properties["Environment"]["Variables"].as_object().unwrap();
                let variables = variables.iter().map(|(name, value)| (name.clone(), text(value))).collect();
                self.deployed.environments.insert(name.clone(), variables);
                self.deployed.arns.insert(text(&attributes["Arn"]), name.clone());
                self.functions.insert(physical_id.clone(), name.clone());
                made.policy = json!({"function": name});
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
                self.sweeps.push((text(&properties["Target"]["Input"]), text(&properties["Target"]["Arn"])));
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
