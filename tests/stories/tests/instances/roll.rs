//! An update of the stack restarts nobody; people bring one member after the other to what it wants.

use std::collections::BTreeMap;

use cluster_sim::{
    cluster::{Cluster, stack::request_of},
    functions::INSTANCE_DRAINER,
    time::{minutes, play, within},
};
use serde_json::{Value, json};

use crate::world::target;

/// What CloudFormation does to the task definition of the cores in an update: a further revision of its family, while the
/// one before stays. Returns the new ARN.
fn registers_a_revision(cluster: &Cluster) -> String {
    let family = cluster.variable("ECS_CLUSTER").to_owned() + "-core";
    let health = json!([{"Name": "neo4j", "HealthCheck": {"Command": ["CMD", "true"]}}]);
    let task = json!({"Family": family, "ContainerDefinitions": health});
    cluster.wire.world().create("AWS::ECS::TaskDefinition", "Task", &task).unwrap().unwrap().physical_id
}

/// Asks ECS as the AWS CLI does.
fn ecs(cluster: &Cluster, operation: &str, body: &Value) -> Value {
    let mut body = body.clone();
    body["cluster"] = json!(cluster.ecs_cluster);
    let request = target(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), &body);
    let answer = cluster.wire.world().answer(&request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// Sends CloudFormation's request about the target, and returns the status and the reason that it is answered.
async fn asks(cluster: &Cluster, kind: &str, properties: &Value) -> (String, String) {
    cluster.invoke(request_of("Custom::Target", "target", kind, properties)).await.unwrap();
    let answer = cluster.last_answer().unwrap();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("PhysicalResourceId"), "target");
    (text("Status"), text("Reason"))
}

async fn is_wanted(cluster: &Cluster, task: &str, versions: [u8; 3]) {
    let templates = cluster.nodes.iter().zip(versions).map(|(node, version)| format!("{}:{version}", node.template));
    let templates = templates.collect::<Vec<_>>().join(" ");
    let properties = json!({
        "CoreTaskDefinition": task, "CoreLaunchTemplates": templates, "ReplicaTaskDefinition": "", "ReplicaLaunchTemplate": "",
    });
    assert_eq!(asks(cluster, "Update", &properties).await, ("SUCCESS".to_owned(), String::new()));
}

/// Returns `target` and `outdated` of each core, as a dry run says them.
async fn standings(cluster: &Cluster) -> Vec<(String, String)> {
    let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    answer["cores"].as_array().unwrap().iter().map(|core| (text(&core["target"]), text(&core["outdated"]))).collect()
}

/// Returns the running tasks with their definitions, by service.
fn running(cluster: &Cluster) -> BTreeMap<String, (String, String)> {
    let world = cluster.wire.world();
    let tasks = world.ecs.clusters[&cluster.ecs_cluster].tasks.iter().filter(|(_, task)| task.wanted);
    tasks.map(|(id, task)| (task.service.clone(), (id.clone(), task.definition.clone()))).collect()
}

fn words(standings: &[(String, String)]) -> Vec<&str> {
    standings.iter().map(|(word, _)| word.as_str()).collect()
}

#[test]
fn a_new_revision_restarts_nobody_and_is_rolled_by_hand_one_core_after_the_other() {
    play(async {
        let cluster = Cluster::formed(3);
        assert_eq!(words(&standings(&cluster).await), ["reached"; 3]);
        let before = running(&cluster);
        let new = registers_a_revision(&cluster);
        cluster.live(minutes(2)).await;
        assert_eq!(words(&standings(&cluster).await), ["reached"; 3], "nobody wants it yet");
        is_wanted(&cluster, &new, [1; 3]).await;
        cluster.live(minutes(2)).await;
        assert_eq!(running(&cluster), before, "an update of the stack restarts nobody");
        let outdated = standings(&cluster).await;
        assert_eq!(words(&outdated), ["outdated"; 3]);
        let (family, _) = new.rsplit('/').next().unwrap().split_once(':').unwrap();
        assert_eq!(outdated[0].1, format!("its task is of {family}:1, wanted is {family}:2"));

        for core in 1..=3 {
            let (service, others) = (format!("core-{core}"), running(&cluster));
            ecs(&cluster, "UpdateService", &json!({"service": service, "taskDefinition": family}));
            let moved = |c: &Cluster| running(c).get(&service).is_some_and(|(_, definition)| *definition == new);
            cluster.until("the core runs the new revision", within(minutes(2)), moved).await;
            cluster.until("it serves", within(minutes(2)), |c| c.serving(core).is_some()).await;
            let now = running(&cluster);
            assert!(others.iter().all(|(name, task)| *name == service || now[name] == *task), "{others:?}, {now:?}");
            let expected: Vec<_> = (1..=3).map(|n| if n <= core { "reached" } else { "outdated" }).collect();
            assert_eq!(words(&standings(&cluster).await), expected);
        }
    });
}

#[test]
fn a_task_that_stops_comes_back_with_the_revision_of_its_service_whatever_is_newest() {
    play(async {
        let cluster = Cluster::formed(3);
        let before = running(&cluster)["core-2"].clone();
        let new = registers_a_revision(&cluster);
        is_wanted(&cluster, &new, [1; 3]).await;
        ecs(&cluster, "StopTask", &json!({"task": before.0}));
        cluster.live(minutes(2)).await;
        let lost = cluster.serving(2).unwrap();
        let after = running(&cluster)["core-2"].clone();
        assert!(after.0 != before.0 && after.1 == before.1, "{before:?}, {after:?}");
        cluster.wire.world().lose_instance(&lost);
        cluster.until("core 2 serves again", within(minutes(8)), |c| c.is_replaced(2, &lost)).await;
        assert_eq!(running(&cluster)["core-2"].1, before.1, "a restart is no roll");
        assert_eq!(words(&standings(&cluster).await), ["outdated"; 3]);
    });
}

#[test]
fn a_new_launch_template_is_rolled_by_replacing_one_instance_after_the_other() {
    play(async {
        let cluster = Cluster::formed(3);
        let task = running(&cluster)["core-1"].1.clone();
        {
            let mut world = cluster.wire.world();
            for node in &cluster.nodes {
                // CloudFormation makes a version, and names it in the group: Auto Scaling replaces nothing for that.
                let versions = &mut world.ec2.templates.get_mut(&node.template).unwrap().versions;
                let last = versions.last().unwrap().clone();
                versions.push(last);
                world.auto_scaling.groups.get_mut(&node.group).unwrap().version = "2".to_owned();
            }
        }
        is_wanted(&cluster, &task, [2; 3]).await;
        cluster.live(minutes(2)).await;
        let outdated = standings(&cluster).await;
        assert_eq!(words(&outdated), ["outdated"; 3]);
        let template = &cluster.nodes[1].template;
        assert_eq!(outdated[1].1, format!("its instance is of {template}:1, wanted is {template}:2"));
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        let emptied = |c: &Cluster| c.wire.world().tasks_on(&old).next().is_none();
        cluster.until("ECS has stopped its task", within(minutes(2)), emptied).await;
        cluster.wire.world().mark_unhealthy(&old);
        cluster.until("core 2 serves again", within(minutes(8)), |c| c.is_replaced(2, &old)).await;
        assert_eq!(words(&standings(&cluster).await), ["outdated", "reached", "outdated"]);
    });
}

#[test]
fn draining_alone_stops_the_task_of_a_core_at_once() {
    play(async {
        let cluster = Cluster::formed(3).only(&[INSTANCE_DRAINER]);
        let instance = cluster.serving(2).unwrap();
        let task = cluster.task(&instance).unwrap();
        cluster.set_status(2, "DRAINING");
        let world = cluster.wire.world();
        let found = &world.ecs.clusters[&cluster.ecs_cluster].tasks[&task];
        assert!(!found.wanted, "with a minimum of 0 % nothing is waited for: {found:?}");
    });
}

#[test]
fn another_cores_task_on_an_instance_is_named_and_not_taken_for_its_own() {
    play(async {
        let cluster = Cluster::formed(3).only(&[INSTANCE_DRAINER]);
        cluster.live(minutes(6)).await;
        let task = cluster.task(&cluster.serving(1).unwrap()).unwrap();
        let ecs_cluster = cluster.ecs_cluster.clone();
        // Placement rules it out; somebody has taken the constraint away.
        {
            let mut world = cluster.wire.world();
            let tasks = &mut world.ecs.clusters.get_mut(&ecs_cluster).unwrap().tasks;
            tasks.get_mut(&task).unwrap().service = "core-2".to_owned();
        }
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let why = answer["cores"][0]["why"].as_str().unwrap_or_default();
        assert!(why.starts_with(&format!("task {task} of ECS service core-2 is on its instance")), "{answer}");
        assert_eq!(answer["cores"][0]["whole"], json!(false));
    });
}

#[test]
fn a_target_that_could_not_be_compared_is_refused_by_name_and_the_last_one_stands() {
    play(async {
        let cluster = Cluster::formed(3);
        let family = json!({"CoreTaskDefinition": "neo4j-core", "CoreLaunchTemplates": "lt-1:1 lt-2:1 lt-3:1"});
        let (status, reason) = asks(&cluster, "Update", &family).await;
        assert_eq!(status, "FAILED");
        let start =
            "the custom resource's properties are wrong: CoreTaskDefinition is \"neo4j-core\", but should be the ARN";
        assert!(reason.starts_with(start), "{reason}");
        let (status, reason) = asks(&cluster, "Update", &json!({"CoreLaunchTemplates": "lt-1:1"})).await;
        assert!(status == "FAILED" && reason.contains("CoreTaskDefinition"), "{reason}");
        assert_eq!(words(&standings(&cluster).await), ["reached"; 3]);
    });
}

#[test]
fn a_late_attempt_does_not_undo_a_later_target_and_a_deletion_breaks_nothing() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = running(&cluster)["core-1"].1.clone();
        let early = cluster.wire.world().now;
        let new = registers_a_revision(&cluster);
        cluster.wire.sleep(120).await;
        is_wanted(&cluster, &new, [1; 3]).await;
        let templates: Vec<_> = cluster.nodes.iter().map(|node| format!("{}:1", node.template)).collect();
        let properties = json!({"CoreTaskDefinition": old, "CoreLaunchTemplates": templates.join(" ")});
        let mut late = request_of("Custom::Target", "target", "Update", &properties);
        let date = early.strftime("%Y%m%dT%H%M%SZ");
        late["ResponseURL"] = json!(format!("http://answers.example/cfn?X-Amz-Date={date}&X-Amz-Expires=7200"));
        cluster.invoke(late).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        assert_eq!(words(&standings(&cluster).await), ["outdated"; 3], "the later request stands");

        let from = cluster.wire.world().calls.len();
        // What a creation that was refused leaves: its properties are not even read.
        assert_eq!(asks(&cluster, "Delete", &json!({})).await.0, "SUCCESS");
        assert_eq!(cluster.wire.world().count_calls(from).1, 0);
        assert_eq!(words(&standings(&cluster).await), ["outdated"; 3]);
    });
}

#[test]
fn without_a_target_nothing_is_up_to_date() {
    play(async {
        let cluster = Cluster::formed(3);
        let table = cluster.variable("STATE_TABLE").to_owned();
        let is_target = |item: &Value| item["sk"]["S"] == json!("target");
        for (name, items) in &mut cluster.wire.world().dynamodb.tables {
            if name.ends_with(&table) {
                items.retain(|_, item| !is_target(item));
            }
        }
        for (standing, why) in standings(&cluster).await {
            assert_eq!(standing, "unknown");
            assert!(why.starts_with("the state table holds no target"), "{why}");
        }
    });
}
