//! What draining does to tasks of every kind, and how they stop.

use std::net::Ipv4Addr;

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};
use cluster_world::{World, neo4j::Phase};
use serde_json::{Value, json};

use super::{CLUSTER, Core, create, json_of, target};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 1);

fn ecs(world: &mut World, operation: &str, mut body: Value) -> Value {
    body["cluster"] = json!(CLUSTER);
    json_of(&world.answer(&target(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), &body)))
}

/// An instance with a service of one, a daemon and a standalone task.
fn host() -> (World, String, String) {
    let mut world = Core::new().world;
    let task = json!({"Family": "app", "ContainerDefinitions": [{"Name": "app"}]});
    let task = create(&mut world, "AWS::ECS::TaskDefinition", "Task", &task);
    for (name, strategy) in [("app", "REPLICA"), ("agent", "DAEMON")] {
        let service = json!({
            "ServiceName": name, "Cluster": CLUSTER, "TaskDefinition": task, "DesiredCount": 1, "SchedulingStrategy": strategy,
            "DeploymentConfiguration": {"MinimumHealthyPercent": 0, "MaximumPercent": 100},
        });
        create(&mut world, "AWS::ECS::Service", name, &service);
    }
    world.add_container_instance(CLUSTER, HOST, "eu-west-1a");
    world.advance(60);
    let alone = world.run_task(CLUSTER, "cron", HOST);
    let id = world.ecs.clusters[CLUSTER].container_instances[&HOST].id.clone();
    (world, id, alone)
}

fn set(world: &mut World, id: &str, status: &str) {
    let body = json!({"containerInstances": [id], "status": status});
    let answer = ecs(world, "UpdateContainerInstancesState", body);
    assert_eq!(answer["containerInstances"][0]["status"], status);
}

/// The kinds of tasks that have not stopped, in the order of their names.
fn left(world: &World) -> Vec<String> {
    let tasks = world.ecs.clusters[CLUSTER].tasks.values().filter(|task| task.status != "STOPPED");
    let mut left: Vec<_> = tasks.map(|task| task.service.clone()).collect();
    left.sort();
    left
}

#[test]
fn draining_stops_services_at_once_daemons_last_and_standalone_tasks_never() {
    let (mut world, id, alone) = host();
    assert_eq!(left(&world), ["agent", "app", "family:cron"]);
    set(&mut world, &id, "DRAINING");
    world.advance(600);
    assert_eq!(left(&world), ["agent", "family:cron"], "the daemon waits for the standalone task");
    let stopped = ecs(&mut world, "StopTask", json!({"task": alone}));
    assert_eq!(
        (&stopped["task"]["desiredStatus"], &stopped["task"]["lastStatus"]),
        (&json!("STOPPED"), &json!("RUNNING"))
    );
    world.advance(13);
    assert_eq!(left(&world), ["agent"]);
    world.advance(20);
    assert!(left(&world).is_empty());
}

#[test]
fn an_instance_that_is_active_again_takes_tasks_again() {
    let (mut world, id, _) = host();
    set(&mut world, &id, "DRAINING");
    world.advance(600);
    set(&mut world, &id, "ACTIVE");
    world.advance(60);
    assert_eq!(left(&world), ["agent", "app", "family:cron"]);
}

#[test]
fn a_task_may_be_placed_late_and_a_service_then_stops_it() {
    let (mut world, id, _) = host();
    set(&mut world, &id, "DRAINING");
    world.advance(60);
    world.place_late(CLUSTER, "app", HOST);
    let late = |world: &World| {
        world.ecs.clusters[CLUSTER].tasks.values().any(|task| task.service == "app" && task.status != "STOPPED")
    };
    assert!(late(&world));
    world.advance(60);
    assert!(!late(&world));
}

#[test]
fn a_task_says_when_it_was_told_to_stop_and_when_it_had() {
    let (mut world, _, alone) = host();
    let at = |world: &World, seconds: i64| {
        json!((world.now.as_duration() - jiff::SignedDuration::from_secs(seconds)).as_secs_f64())
    };
    world.advance(7);
    let told = ecs(&mut world, "StopTask", json!({"task": alone}))["task"].clone();
    assert!(told["stoppingAt"] == at(&world, 0) && told["stoppedAt"].is_null(), "{told}");
    world.events.clear();
    world.advance(100);
    let described = ecs(&mut world, "DescribeTasks", json!({"tasks": [alone]}))["tasks"][0].clone();
    assert_eq!((&described["lastStatus"], &described["stoppedAt"]), (&json!("STOPPED"), &at(&world, 87)));
    let stopped = world.events.last().unwrap();
    let detail: Value = serde_json::from_str(stopped["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(stopped["DetailType"], "ECS Task State Change");
    assert_eq!((&detail["lastStatus"], &detail["taskArn"]), (&json!("STOPPED"), &described["taskArn"]));
    assert_eq!(detail["containerInstanceArn"], described["containerInstanceArn"]);
    let stopped = detail["stoppedAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(json!(stopped.as_duration().as_secs_f64()), described["stoppedAt"]);
}

#[test]
fn more_tasks_than_a_page_are_listed_in_pages() {
    let (mut world, id, _) = host();
    for _ in 0..140 {
        world.run_task(CLUSTER, "cron", HOST);
    }
    let first = ecs(&mut world, "ListTasks", json!({"containerInstance": id}));
    assert_eq!(first["taskArns"].as_array().unwrap().len(), 100);
    let second = ecs(&mut world, "ListTasks", json!({"containerInstance": id, "nextToken": first["nextToken"]}));
    assert_eq!((second["taskArns"].as_array().unwrap().len(), &second["nextToken"]), (43, &Value::Null));
}

/// A Neo4j that stands still hears no signal, and is killed when its `StopTimeout` is over: another then starts on its volume.
#[test]
fn a_member_that_hangs_is_killed_at_its_stop_timeout() {
    play(async {
        let cluster = Cluster::formed(3).quiet().only(&[]);
        let task = cluster.task(&cluster.serving(2).unwrap()).unwrap();
        let patience = cluster.wire.world().neo4j.members[&task].settings.stop_timeout;
        cluster.wire.world().hang_member(&task, true);
        cluster.wire.sleep(60).await;
        let name = cluster.ecs_cluster.clone();
        cluster.wire.world().stop(&name, &task);
        cluster.wire.sleep(5 + patience.unsigned_abs() - 2).await;
        let status = |cluster: &Cluster| cluster.wire.world().ecs.clusters[&name].tasks[&task].status;
        assert_eq!(status(&cluster), "STOPPING");
        cluster.wire.sleep(3).await;
        assert_eq!(status(&cluster), "STOPPED");
        let serves = |cluster: &Cluster| {
            let world = cluster.wire.world();
            world.neo4j.members.values().filter(|member| member.phase == Phase::Serving).count() == 3
        };
        cluster.until("its successor serves", within(minutes(3)), serves).await;
    });
}

#[test]
fn an_instance_may_be_registered_twice() {
    play(async {
        let cluster = Cluster::formed(3).quiet().only(&[]);
        let instance = cluster.serving(2).unwrap();
        let second = cluster.wire.world().register_again(&instance).unwrap();
        let name = cluster.ecs_cluster.clone();
        let mut world = cluster.wire.world();
        let request = target(
            "AmazonEC2ContainerServiceV20141113.DescribeContainerInstances",
            &json!({"cluster": name, "containerInstances": [second]}),
        );
        let described = json_of(&world.answer(&request))["containerInstances"][0].clone();
        assert_eq!((&described["ec2InstanceId"], &described["runningTasksCount"]), (&json!(instance), &json!(0)));
    });
}
