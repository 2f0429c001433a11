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

/// Registers a revision of a family, whose tasks have no health check.
fn revision(world: &mut World, family: &str) -> String {
    let task = json!({"Family": family, "ContainerDefinitions": [{"Name": "neo4j"}]});
    create(world, "AWS::ECS::TaskDefinition", "Task", &task)
}

fn by_family(name: &str, minimum: u32, desired: u32) -> Value {
    json!({
        "Cluster": CLUSTER, "ServiceName": name, "TaskDefinition": "neo4j", "DesiredCount": desired,
        "DeploymentConfiguration": {"MinimumHealthyPercent": minimum, "MaximumPercent": 100},
    })
}

fn update(world: &mut World, body: &Value) -> Value {
    let mut body = body.clone();
    body["cluster"] = json!(CLUSTER);
    json_of(&world.answer(&target("AmazonEC2ContainerServiceV20141113.UpdateService", &body)))
}

/// Returns the revisions of the tasks that are wanted.
fn revisions(world: &World) -> Vec<String> {
    let definitions = tasks(world).into_iter().filter(|task| task.wanted).map(|task| task.definition.clone());
    let mut revisions: Vec<_> = definitions.map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect();
    revisions.sort();
    revisions
}

#[test]
fn a_family_means_its_newest_active_revision_when_a_service_is_created_or_updated_and_at_no_other_time() {
    let mut world = Core::new().world;
    (1..=2).for_each(|n| world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a"));
    let first = revision(&mut world, "neo4j");
    let properties = by_family("core", 0, 1);
    create(&mut world, "AWS::ECS::Service", "Service", &properties);
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:1"]);

    let second = revision(&mut world, "neo4j");
    world.advance(600);
    assert_eq!(revisions(&world), ["neo4j:1"], "a revision alone changes no service");
    let id = world.ecs.clusters[CLUSTER].wanted("core").next().unwrap().0.clone();
    world.stop(CLUSTER, &id);
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:1"], "a stopped task is replaced from the revision of its deployment");
    let arn = format!("arn:aws:ecs:eu-west-1:000000000000:service/{CLUSTER}/core");
    world.update_in("stack", "AWS::ECS::Service", "Service", &arn, &properties, &properties).unwrap();
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:1"], "CloudFormation updates only what has changed");

    let more = by_family("core", 0, 2);
    world.update_in("stack", "AWS::ECS::Service", "Service", &arn, &more, &properties).unwrap();
    world.advance(120);
    assert_eq!(revisions(&world), ["neo4j:2", "neo4j:2"], "another property brings the newest revision along");

    world.delete("AWS::ECS::TaskDefinition", &second, &json!({})).unwrap();
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:2", "neo4j:2"], "tasks of an inactive revision run on");
    let refused = update(&mut world, &json!({"service": "core", "taskDefinition": second}));
    assert!(refused.to_string().contains("inactive"), "{refused}");
    let back = update(&mut world, &json!({"service": "core", "taskDefinition": "neo4j"}));
    assert_eq!(back["service"]["taskDefinition"], json!(first), "the newest that is active");
    let third = revision(&mut world, "neo4j");
    assert!(third.ends_with("/neo4j:3"), "{third}: a number is never used again");
}

#[test]
fn a_deployment_stops_as_many_as_the_minimum_allows_and_then_starts() {
    let mut world = Core::new().world;
    (1..=4).for_each(|n| world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a"));
    revision(&mut world, "neo4j");
    create(&mut world, "AWS::ECS::Service", "Service", &by_family("core", 50, 4));
    world.advance(60);
    revision(&mut world, "neo4j");
    update(&mut world, &json!({"service": "core", "taskDefinition": "neo4j"}));
    assert_eq!(revisions(&world), ["neo4j:1", "neo4j:1"], "half of four may stop, and none starts before they have");
    world.advance(14);
    assert_eq!(revisions(&world), ["neo4j:1", "neo4j:1", "neo4j:2", "neo4j:2"]);
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:2"; 4]);

    let ids = |world: &World| tasks(world).len();
    update(&mut world, &json!({"service": "core", "desiredCount": 4}));
    assert_eq!(ids(&world), 4, "a desired count alone deploys nothing");
    update(&mut world, &json!({"service": "core", "forceNewDeployment": true}));
    assert_eq!(revisions(&world), ["neo4j:2"; 2], "a forced one does, with the same revision");
}

#[test]
fn of_one_task_a_minimum_of_nothing_leaves_none_when_it_is_deployed_or_its_instance_drains() {
    let mut world = Core::new().world;
    (1..=2).for_each(|n| world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a"));
    revision(&mut world, "neo4j");
    create(&mut world, "AWS::ECS::Service", "Service", &by_family("core", 0, 1));
    world.advance(60);
    drain(&mut world, &[1]);
    assert_eq!(revisions(&world), [""; 0], "stopped at once");
    world.advance(12);
    assert_eq!(revisions(&world), [""; 0], "nothing is started before it has stopped");
    world.advance(30);
    assert_eq!(wanted(&world), [2]);
    revision(&mut world, "neo4j");
    update(&mut world, &json!({"service": "core", "taskDefinition": "neo4j:2"}));
    assert_eq!(revisions(&world), [""; 0]);
    world.advance(60);
    assert_eq!(revisions(&world), ["neo4j:2"]);
}

#[test]
fn several_services_register_in_one_cloud_map_service_and_each_takes_its_own_away() {
    let mut world = Core::new().world;
    (1..=2).for_each(|n| world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 9, n), "eu-west-1a"));
    let namespace = create(&mut world, "AWS::ServiceDiscovery::PrivateDnsNamespace", "N", &json!({"Name": "neo4j"}));
    let registry = json!({"Name": "core", "NamespaceId": namespace});
    let registry = create(&mut world, "AWS::ServiceDiscovery::Service", "R", &registry);
    revision(&mut world, "neo4j");
    for name in ["core-1", "core-2"] {
        let mut service = by_family(name, 0, 1);
        service["ServiceRegistries"] = json!([{"RegistryArn": cluster_world::cloud_map::arn("service", &registry)}]);
        create(&mut world, "AWS::ECS::Service", name, &service);
    }
    world.advance(60);
    let registered = |world: &World| -> Vec<String> {
        let instances = world.cloud_map.services[&registry].instances.values();
        let mut names: Vec<_> = instances.map(|found| found.attributes["ECS_SERVICE_NAME"].clone()).collect();
        names.sort();
        names
    };
    assert_eq!(registered(&world), ["core-1", "core-2"]);
    world.scale(CLUSTER, "core-1", 0);
    world.advance(60);
    assert_eq!(registered(&world), ["core-2"]);
}
