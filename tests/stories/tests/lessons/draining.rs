//! What the predecessor of instance-drainer got wrong: each as the story in which it goes wrong, and in which this one does
//! not. They fill one file: all of them play both functions on the same few beginnings.

use std::{net::Ipv4Addr, sync::Arc};

use cluster_facts::template::{read, resources};
use cluster_sim::{
    cluster::{Cluster, ZONES},
    time::{minutes, play, seconds, within},
    wire::Fault,
};
use cluster_world::{Request, World};
use serde_json::{Value, json};

use super::predecessor::Predecessor;

/// A formed cluster in which nothing may be let go before its tasks have stopped.
fn formed() -> Cluster {
    let cluster = Cluster::formed(3).quiet();
    cluster.wire.set_guard(Arc::new(let_go));
    cluster
}

/// One in which only the predecessor runs.
fn theirs() -> Cluster {
    formed().only(&[])
}

/// Says what runs on an instance whose hook somebody completes.
fn let_go(world: &World, request: &Request) -> Result<(), String> {
    let Some((action, fields)) = cluster_world::read(request) else { return Ok(()) };
    if action != "autoscaling:CompleteLifecycleAction" || fields["LifecycleActionResult"] != "CONTINUE" {
        return Ok(());
    }
    let (id, token) = (fields["InstanceId"].as_str(), fields["LifecycleActionToken"].as_str());
    let mut members = world.auto_scaling.groups.values().flat_map(|group| &group.members);
    let waits = |token| {
        move |found: &(&String, &cluster_world::auto_scaling::Member)| {
            found.1.waits.values().any(|wait| Some(wait.token.as_str()) == token)
        }
    };
    let named = id.map(str::to_owned).or_else(|| members.find(waits(token)).map(|(id, _)| id.clone()));
    let leaving =
        named.filter(|id| world.auto_scaling.member(id).is_some_and(cluster_world::auto_scaling::Member::is_leaving));
    let tasks = leaving.map_or(0, |id| world.tasks_on(&id).count());
    if tasks == 0 { Ok(()) } else { Err(format!("let go with {tasks} tasks")) }
}

fn address(cluster: &Cluster, instance: &str) -> Ipv4Addr {
    cluster.wire.world().ec2.instances[instance].address
}

/// Auto Scaling replaces core 2, whose instance this is.
fn replace(cluster: &Cluster) -> String {
    let instance = cluster.holder(2).unwrap();
    cluster.wire.world().events.clear();
    cluster.wire.world().mark_unhealthy(&instance);
    instance
}

/// Somebody's standalone task runs on core 2.
fn cron(cluster: &Cluster) -> String {
    let address = address(cluster, &cluster.holder(2).unwrap());
    cluster.wire.world().run_task(&cluster.ecs_cluster, "cron", address)
}

/// The function lets the instance go, after everything on it has stopped, and the core heals.
async fn heals(cluster: &Cluster, old: &str) {
    cluster.until("core 2 is replaced", within(minutes(60)), |c| c.is_replaced(2, old)).await;
    assert_eq!(cluster.wire.wrong(), None);
    let lost = cluster.wire.world().without_majority();
    assert!(lost.values().all(|lost| lost.functions.is_zero()), "{lost:?}");
}

/// It listed tasks only where it had begun the drain itself: an instance that drained already was let go at once.
#[test]
fn an_instance_that_drains_already_is_waited_for() {
    // Its Neo4j stands still, so that only its `StopTimeout` ends it.
    let drains = |cluster: &Cluster| {
        let task = cluster.task(&cluster.holder(2).unwrap()).unwrap();
        cluster.wire.world().hang_member(&task, true);
        cluster.empty(2);
        replace(cluster)
    };
    play(async {
        let cluster = theirs();
        drains(&cluster);
        Predecessor::new(&cluster).hear().await.unwrap();
        assert_eq!(cluster.wire.wrong().as_deref(), Some("let go with 1 tasks"));
    });
    play(async {
        let cluster = formed();
        let old = drains(&cluster);
        heals(&cluster, &old).await;
    });
}

/// It waited within one invocation, which Lambda ended after 15 minutes, and sent no heartbeat; the next one let go.
#[test]
fn a_drain_may_take_longer_than_an_invocation() {
    play(async {
        let cluster = theirs();
        cron(&cluster);
        let old = replace(&cluster);
        let until = cluster.wire.world().auto_scaling.member(&old).unwrap().waits.values().next().unwrap().until;
        Predecessor::new(&cluster).hear().await.unwrap();
        assert_eq!(cluster.wire.wrong().as_deref(), Some("let go with 1 tasks"));
        assert!(cluster.wire.world().now < until, "nothing had pressed it");
    });
    play(async {
        let cluster = formed();
        let task = cron(&cluster);
        let old = replace(&cluster);
        heals(&cluster, &old).await;
        assert_eq!(cluster.wire.world().ecs.clusters[&cluster.ecs_cluster].tasks[&task].status, "STOPPED");
    });
}

/// It heard every group of the region, and completed the hooks of others.
#[test]
fn hooks_of_others_are_left_to_them() {
    let terminated = |cluster: &Cluster| {
        let mut world = cluster.wire.world();
        let data = json!({"LaunchTemplateData": {"UserData": {"Fn::Base64": "#!/bin/sh"}}});
        let template = world.create("AWS::EC2::LaunchTemplate", "Theirs", &data).unwrap().unwrap().physical_id;
        let group = json!({
            "AutoScalingGroupName": "billing", "MinSize": "0", "MaxSize": "1", "DesiredCapacity": "1",
            "VPCZoneIdentifier": ["subnet-0000000000000000b"],
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
            "LifecycleHookSpecificationList": [{
                "LifecycleHookName": "save-the-books", "HeartbeatTimeout": 3600, "DefaultResult": "ABANDON",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            }],
        });
        world.create("AWS::AutoScaling::AutoScalingGroup", "Theirs", &group).unwrap().unwrap();
        world.advance(60);
        let instance = world.auto_scaling.groups["billing"].members.keys().next().unwrap().clone();
        world.events.clear();
        world.mark_unhealthy(&instance);
        world.lose_instance(&instance);
        instance
    };
    let state = |cluster: &Cluster, instance: &str| cluster.wire.world().auto_scaling.member(instance).map(|m| m.state);
    play(async {
        let cluster = theirs();
        let instance = terminated(&cluster);
        Predecessor::new(&cluster).hear().await.unwrap();
        assert_eq!(state(&cluster, &instance), Some("Terminating:Proceed"));
    });
    play(async {
        let cluster = formed();
        let instance = terminated(&cluster);
        cluster.live(seconds(50)).await;
        assert_eq!(state(&cluster, &instance), Some("Terminating:Wait"));
    });
}

/// It looked for the name of the ECS cluster in the user data, which may be packed.
#[test]
fn an_instance_is_found_whatever_its_user_data_look_like() {
    let packed = |cluster: &Cluster| {
        let mut world = cluster.wire.world();
        for template in world.ec2.templates.values_mut() {
            for version in &mut template.versions {
                version.user_data = "H4sIAAAAAAAA/ytLzk/NBgDeyMBeBAAAAA".to_owned();
            }
        }
    };
    play(async {
        let cluster = theirs();
        packed(&cluster);
        let old = replace(&cluster);
        assert!(Predecessor::new(&cluster).hear().await.is_err());
        assert_eq!(cluster.wire.world().container_instance(&old).unwrap().status, "ACTIVE");
    });
    play(async {
        let cluster = formed();
        packed(&cluster);
        let old = replace(&cluster);
        let gone = |cluster: &Cluster| cluster.wire.world().auto_scaling.member(&old).is_none();
        cluster.until("the instance has left", within(minutes(10)), gone).await;
        assert_eq!(cluster.wire.wrong(), None);
    });
}

/// It looked at one page of a hundred tasks.
#[test]
fn every_task_is_waited_for() {
    async fn end_a_hundred(cluster: &Cluster, tasks: &[String]) {
        cluster.wire.sleep(120).await;
        for task in tasks {
            let name = cluster.ecs_cluster.clone();
            cluster.wire.world().stop(&name, task);
        }
    }
    let crowded = |cluster: &Cluster| {
        for _ in 0..140 {
            cron(cluster);
        }
        let old = replace(cluster);
        let listed: Vec<_> = cluster.wire.world().tasks_on(&old).take(100).collect();
        (old, listed)
    };
    play(async {
        let cluster = theirs();
        let (_, listed) = crowded(&cluster);
        let predecessor = Predecessor::new(&cluster);
        let (told, ()) = tokio::join!(predecessor.hear(), end_a_hundred(&cluster, &listed));
        told.unwrap();
        let wrong = cluster.wire.wrong().unwrap();
        assert!(["let go with 40 tasks", "let go with 41 tasks"].contains(&wrong.as_str()), "{wrong}");
    });
    play(async {
        let cluster = formed();
        let (old, listed) = crowded(&cluster);
        tokio::join!(heals(&cluster, &old), end_a_hundred(&cluster, &listed));
    });
}

/// What it could not read it took for absent, printed that, and never came back.
#[test]
fn what_cannot_be_read_is_read_again() {
    play(async {
        let cluster = theirs();
        cluster.wire.plan_for("ecs:DescribeContainerInstances", 3, Fault::Denied);
        let old = replace(&cluster);
        assert!(Predecessor::new(&cluster).hear().await.is_err());
        assert_eq!(cluster.wire.world().container_instance(&old).unwrap().status, "ACTIVE");
    });
    play(async {
        let cluster = formed();
        cluster.wire.plan_for("ecs:DescribeContainerInstances", 3, Fault::Denied);
        let old = replace(&cluster);
        heals(&cluster, &old).await;
    });
}

/// It did not look at what ECS said it could not set: it waited for tasks that nobody stopped.
#[test]
fn what_ecs_could_not_set_is_told_and_set_again() {
    play(async {
        let cluster = theirs();
        cluster.wire.world().ecs.unset = 1;
        let old = replace(&cluster);
        let predecessor = Predecessor::new(&cluster);
        tokio::select! {
            () = cluster.wire.sleep(14 * 60) => {}
            told = predecessor.hear() => panic!("it waits for tasks that do not end: {told:?}"),
        }
        assert_eq!(cluster.wire.world().container_instance(&old).unwrap().status, "ACTIVE");
    });
    play(async {
        let cluster = formed();
        cluster.wire.world().ecs.unset = 1;
        let old = replace(&cluster);
        let told = cluster.sweep().await.unwrap_err().chain();
        assert!(told.contains("could not set container instance") && told.contains("INACTIVE"), "{told}");
        heals(&cluster, &old).await;
    });
}

/// It failed for an instance that had never joined, and left its hook open.
#[test]
fn an_instance_that_never_joined_is_let_go() {
    async fn never_joins(cluster: &Cluster) -> String {
        cluster.wire.world().want(&cluster.nodes[1].group, 0);
        let old = cluster.holder(2).unwrap();
        cluster.wire.world().fell_instance(&old);
        cluster.wire.sleep(120).await;
        cluster.wire.world().want(&cluster.nodes[1].group, 1);
        cluster.wire.sleep(20).await;
        let young = cluster.in_state(2, "Pending:Wait").unwrap();
        cluster.wire.world().silence(&young);
        cluster.wire.world().events.clear();
        cluster.wire.world().want(&cluster.nodes[1].group, 0);
        assert_eq!(cluster.states(2)[&young], "Terminating:Wait");
        young
    }
    play(async {
        let cluster = theirs();
        let young = never_joins(&cluster).await;
        assert!(Predecessor::new(&cluster).hear().await.is_err());
        assert_eq!(cluster.states(2)[&young], "Terminating:Wait");
    });
    play(async {
        let cluster = formed();
        let young = never_joins(&cluster).await;
        cluster.until("it is gone", within(minutes(3)), |c| !c.states(2).contains_key(&young)).await;
    });
}

/// It waited for tasks that nobody stops: a Spot Instance took them along.
#[test]
fn standalone_tasks_end_cleanly_before_spot_takes_their_instance() {
    async fn ends(cluster: &Cluster, instance: &str, task: &str) -> &'static str {
        let taken = |cluster: &Cluster| cluster.wire.world().ec2.instances[instance].ended.is_some();
        while !taken(cluster) {
            cluster.step().await;
        }
        cluster.wire.world().ecs.clusters[&cluster.ecs_cluster].tasks[task].status
    }
    let interrupted = |cluster: &Cluster| {
        let (task, instance) = (cron(cluster), cluster.holder(2).unwrap());
        cluster.wire.world().events.clear();
        cluster.wire.world().interrupt(&instance);
        (instance, task)
    };
    play(async {
        let cluster = theirs();
        let (instance, task) = interrupted(&cluster);
        let predecessor = Predecessor::new(&cluster);
        let status = tokio::select! {
            status = ends(&cluster, &instance, &task) => status,
            told = predecessor.hear() => panic!("it waits for a task that does not end: {told:?}"),
        };
        assert_eq!(status, "RUNNING");
    });
    play(async {
        let cluster = formed();
        let (instance, task) = interrupted(&cluster);
        assert_eq!(ends(&cluster, &instance, &task).await, "STOPPED");
    });
}

/// It let every instance go: it knew no reason to keep one.
#[test]
fn an_instance_that_the_others_need_is_kept() {
    async fn degraded(cluster: &Cluster) -> String {
        cluster.wire.world().ec2.no_capacity.insert(ZONES[2].to_owned());
        let lost = cluster.holder(3).unwrap();
        cluster.wire.world().fell_instance(&lost);
        cluster.live(minutes(3)).await;
        replace(cluster)
    }
    let functions = |cluster: &Cluster| {
        let lost = cluster.wire.world().without_majority();
        lost.values().map(|lost| lost.functions.as_secs()).sum::<i64>()
    };
    play(async {
        let cluster = theirs();
        degraded(&cluster).await;
        Predecessor::new(&cluster).hear().await.unwrap();
        cluster.wire.sleep(30).await;
        assert!(functions(&cluster) > 0, "it takes the majority of every database: {}", cluster.picture());
    });
    play(async {
        let cluster = formed().with("CORE_DRAIN_TIMEOUT_MINUTES", "20");
        let old = degraded(&cluster).await;
        cluster.until("it is kept", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained").await;
        assert_eq!(cluster.wire.world().container_instance(&old).unwrap().status, "ACTIVE");
        cluster.wire.world().ec2.no_capacity.clear();
        heals(&cluster, &old).await;
        assert_eq!(functions(&cluster), 0);
    });
}

/// Nobody heard when it failed, and after its third try nothing came back to it.
#[test]
fn what_is_refused_is_told_and_tried_again() {
    let refused = |cluster: &Cluster| cluster.wire.plan_for("ecs:UpdateContainerInstancesState", 3, Fault::Denied);
    play(async {
        let cluster = theirs();
        refused(&cluster);
        let old = replace(&cluster);
        assert!(Predecessor::new(&cluster).hear().await.is_err());
        cluster.wire.sleep(30 * 60).await;
        assert_eq!(cluster.wire.world().container_instance(&old).unwrap().status, "ACTIVE");
    });
    play(async {
        let cluster = formed();
        refused(&cluster);
        let old = replace(&cluster);
        let told = cluster.sweep().await.unwrap_err().chain();
        assert!(told.contains("to DRAINING") && told.contains("not authorized"), "{told}");
        heals(&cluster, &old).await;
    });
}

/// It might do everything to everything, and had no queue for what it could not handle.
#[test]
fn rights_end_at_the_cluster_and_failures_are_kept() {
    let template = read("infra/draining.yaml");
    let all: Vec<_> = resources(&template).into_iter().collect();
    let policies = all.iter().find(|(name, _)| name == "DrainerRole").unwrap().1["Properties"]["Policies"].clone();
    let mut statements = Vec::new();
    for policy in policies.as_array().unwrap() {
        let found = policy["PolicyDocument"]["Statement"].as_array();
        statements.extend(found.into_iter().flatten().cloned());
    }
    let acts = |statement: &&Value| {
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        let reads = ["Describe", "List", "Get", "xray:Put"];
        actions.iter().filter_map(Value::as_str).any(|action| !reads.iter().any(|verb| action.contains(verb)))
    };
    for statement in statements.iter().filter(acts) {
        assert_ne!(statement["Resource"], "*", "{statement}");
    }
    let queues = read("infra/queues.yaml");
    assert!(resources(&queues).into_iter().any(|(name, _)| name == "DeadLetters"));
}
