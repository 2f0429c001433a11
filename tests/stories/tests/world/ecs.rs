//! ECS drains, deregisters, replaces tasks and follows a desired count.

use std::net::Ipv4Addr;

use cluster_world::{World, ecs::Task};
use serde_json::{Value, json};

use super::{CLUSTER, Core, create, json_of, target};

/// A service on instances of its own, which wants one more than there are.
fn service(world: &mut World, hosts: u8, minimum: u32, constraint: &str) {
    let task = create(world, "AWS::ECS::TaskDefinition", "Task", &json!({"ContainerDefinitions": [{"Name": "neo4j"}]}));
    let properties = json!({
        "ServiceName": "core", "Cluster": CLUSTER, "TaskDefinition": task, "DesiredCount": hosts,
        "DeploymentConfiguration": {"MinimumHealthyPercent": minimum, "MaximumPercent": 100},
        "PlacementConstraints": [{"Type": "distinctInstance"}, {"Type": "memberOf", "Expression": constraint}],
    });
    create(world, "AWS::ECS::Service", "Service", &properties);
    for n in 1..=hosts {
        world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a");
    }
}

fn tasks(world: &World) -> Vec<&Task> {
    world.ecs.clusters[CLUSTER].tasks.values().filter(|task| task.status != "STOPPED").collect()
}

fn drain(world: &mut World, hosts: &[u8]) -> Value {
    let ids: Vec<_> = hosts.iter().map(|n| host_id(world, *n)).collect();
    let body = json!({"cluster": CLUSTER, "containerInstances": ids, "status": "DRAINING"});
    let request = target("AmazonEC2ContainerServiceV20141113.UpdateContainerInstancesState", &body);
    json_of(&world.answer(&request))
}

fn host_id(world: &World, n: u8) -> String {
    world.ecs.clusters[CLUSTER].container_instances[&Ipv4Addr::new(10, 0, 9, n)].id.clone()
}

fn wanted(world: &World) -> Vec<u8> {
    let mut hosts: Vec<_> = world.ecs.clusters[CLUSTER].wanted("core").map(|(_, t)| t.address.octets()[3]).collect();
    hosts.sort_unstable();
    hosts
}

#[test]
fn draining_stops_what_the_minimum_allows_and_what_is_pending_at_once() {
    // Two of three stay at 66 %, which rounds up; at 67 % all three do.
    for (minimum, stay) in [(66, vec![2, 3]), (67, vec![1, 2, 3])] {
        let mut world = Core::new().world;
        service(&mut world, 3, minimum, "attribute:tier == core");
        world.advance(60);
        let answer = drain(&mut world, &[1, 2]);
        assert_eq!(answer["containerInstances"].as_array().unwrap().len(), 2);
        world.advance(300);
        assert_eq!(wanted(&world), stay, "{minimum} %");
    }
    let mut world = Core::new().world;
    service(&mut world, 2, 100, "attribute:tier exists");
    assert_eq!(tasks(&world)[0].status, "PENDING");
    drain(&mut world, &[1]);
    assert_eq!(wanted(&world), [2]);
    let body = json!({"cluster": CLUSTER, "containerInstances": [host_id(&world, 1), "0".repeat(32)]});
    let described = target("AmazonEC2ContainerServiceV20141113.DescribeContainerInstances", &body);
    let described = json_of(&world.answer(&described));
    assert_eq!(described["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[test]
fn ecs_deregisters_an_instance_that_has_ended_and_replaces_its_tasks() {
    let mut core = Core::up();
    service(&mut core.world, 0, 0, "attribute:tier == core and attribute:ecs.availability-zone == eu-west-1a");
    core.world.scale(CLUSTER, "core", 1);
    core.world.advance(60);
    let lost = core.instance();
    let address = core.world.ec2.instances[&lost].address;
    assert_eq!((tasks(&core.world)[0].address, tasks(&core.world)[0].status), (address, "RUNNING"));
    core.world.lose_instance(&lost);
    assert!(!core.container_instance(&lost).connected);
    core.world.advance(29);
    assert_eq!(tasks(&core.world)[0].status, "RUNNING", "as far as ECS knows");
    core.world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, 9), "eu-west-1a");
    core.world.advance(1);
    assert!(core.world.container_instance(&lost).is_none());
    assert_eq!(wanted(&core.world), [9]);
}

#[test]
fn a_silent_agent_changes_nothing_but_its_connection() {
    let mut core = Core::up();
    service(&mut core.world, 0, 0, "attribute:tier == core");
    core.world.scale(CLUSTER, "core", 1);
    core.world.advance(60);
    let instance = core.instance();
    core.world.silence(&instance);
    core.world.scale(CLUSTER, "core", 0);
    core.world.advance(600);
    assert_eq!((tasks(&core.world)[0].status, tasks(&core.world)[0].wanted), ("RUNNING", false));
    core.world.hear(&instance);
    core.world.advance(60);
    assert!(tasks(&core.world).is_empty());
}

#[test]
fn a_stopped_task_is_replaced_and_a_service_follows_its_desired_count() {
    let mut core = Core::up();
    let task = json!({"Family": "neo4j", "ContainerDefinitions": [{"Name": "neo4j"}]});
    let definition = create(&mut core.world, "AWS::ECS::TaskDefinition", "Task", &task);
    let service = json!({"Cluster": CLUSTER, "ServiceName": "core", "TaskDefinition": definition, "DesiredCount": 1});
    create(&mut core.world, "AWS::ECS::Service", "Service", &service);
    core.world.advance(60);
    let ecs = |core: &mut Core, operation: &str, body: &Value| {
        let mut body = body.clone();
        body["cluster"] = json!(CLUSTER);
        core.world.answer(&target(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), &body))
    };
    let running = |core: &mut Core| json_of(&ecs(core, "ListTasks", &json!({})))["taskArns"].clone();
    let first = running(&mut core)[0].clone();
    let stopped = json_of(&ecs(&mut core, "StopTask", &json!({"task": first})));
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED", "{stopped}");
    core.world.advance(60);
    let second = running(&mut core)[0].clone();
    assert!(second.is_string() && second != first, "{first} is replaced, not {second}");
    let absent = ecs(&mut core, "StopTask", &json!({"task": "0123456789abcdef0123456789abcdef"}));
    assert!(absent.body.contains("InvalidParameterException"), "{}", absent.body);

    let none = json_of(&ecs(&mut core, "UpdateService", &json!({"service": "core", "desiredCount": 0})));
    assert_eq!(none["service"]["desiredCount"], 0, "{none}");
    core.world.advance(60);
    assert_eq!(running(&mut core), json!([]));
    let absent = ecs(&mut core, "UpdateService", &json!({"service": "other", "desiredCount": 1}));
    assert!(absent.body.contains("ServiceNotFoundException"), "{}", absent.body);
}
