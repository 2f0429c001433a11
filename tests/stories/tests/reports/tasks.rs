//! Tasks that have not stopped and other people's, which may hold up a deletion or an instance's end.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
};
use serde_json::json;

/// A service of somebody else's that runs one task on each container instance.
fn add_daemon(cluster: &Cluster) {
    let mut world = cluster.wire.world();
    let task = world.create("AWS::ECS::TaskDefinition", "Daemon", &json!({"Family": "datadog"})).unwrap().unwrap();
    let service = json!({
        "ServiceName": "datadog", "Cluster": &cluster.ecs_cluster, "TaskDefinition": task.physical_id, "SchedulingStrategy": "DAEMON",
    });
    world.create("AWS::ECS::Service", "Daemon", &service).unwrap();
}

#[test]
fn a_stack_is_deleted_while_somebody_elses_daemon_runs_on_every_instance() {
    play(async {
        let cluster = Cluster::formed(3);
        add_daemon(&cluster);
        cluster.live(minutes(2)).await;
        let took = cluster.delete_all_but(&["AWS::ECS::Cluster"]).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
        let retained =
            cluster.metrics.lock().unwrap().iter().any(|line| line["InstancesRetained"].as_f64() > Some(0.0));
        assert!(!retained, "nothing waits until it is retained");
    });
}

#[test]
fn what_does_not_stop_by_itself_is_named() {
    play(async {
        let cluster = Cluster::formed(3);
        let instance = cluster.serving(2).unwrap();
        let address = cluster.wire.world().registered(&instance).unwrap().1;
        cluster.wire.world().run_task(&cluster.ecs_cluster, "cron", address);
        cluster.request_phase("Delete").await;
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-2", 0);
        cluster.wire.world().want(&cluster.nodes[1].group, 0);
        cluster.live(minutes(2)).await;
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let steps = answer["steps"].to_string();
        assert!(steps.contains("tasks on it that have not stopped: family cron (1)"), "{steps}");
    });
}

#[test]
fn an_instance_with_other_peoples_tasks_only_is_let_go_while_the_cluster_lives() {
    play(async {
        let cluster = Cluster::formed(3);
        add_daemon(&cluster);
        cluster.live(minutes(1)).await;
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(2)).await;
        cluster.set_status(2, "ACTIVE");
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-2", 0);
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(5)).await;
        assert!(!cluster.states(2).contains_key(&old), "no quorum hangs on a daemon: {:?}", cluster.states(2));
    });
}

#[test]
fn an_instance_whose_task_is_still_being_stopped_is_not_let_go() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        let task = cluster.task(&old).unwrap();
        cluster.empty(2);
        cluster.wire.world().mark_unhealthy(&old);
        // It does not heed the signal, so that it is still there when empty lists are believed.
        cluster.wire.world().hang_member(&task, true);
        let stops = |cluster: &Cluster| {
            let world = cluster.wire.world();
            let (_, address) = world.registered(&old)?;
            let tasks = world.ecs.clusters[&cluster.ecs_cluster].tasks.values();
            Some(tasks.filter(|task| task.address == address && task.status != "STOPPED").count())
        };
        for second in 1..=60 {
            cluster.wire.sleep(1).await;
            cluster.sweep().await.unwrap();
            assert_eq!(stops(&cluster), Some(1), "after {second} s Neo4j has not stopped");
        }
        cluster.wire.world().hang_member(&task, false);
        cluster.live(minutes(25)).await;
        assert!(!cluster.states(2).contains_key(&old));
    });
}
