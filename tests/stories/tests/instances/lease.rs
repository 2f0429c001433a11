//! What others do while a round claims the lease, and before it acts under it.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
};
use serde_json::{Value, json};

/// A cluster whose cores are whole, and from which core 2 is about to leave.
async fn leaving() -> (Cluster, String) {
    let cluster = Cluster::formed(3).quiet();
    cluster.live(minutes(6)).await;
    let old = cluster.holder(2).unwrap();
    cluster.wire.world().mark_unhealthy(&old);
    cluster.wire.world().events.clear();
    (cluster, old)
}

fn key() -> (String, String) {
    ("cluster".to_owned(), "lease".to_owned())
}

fn lease(cluster: &Cluster) -> Value {
    let world = cluster.wire.world();
    world.dynamodb.tables.values().find_map(|table| table.get(&key())).cloned().unwrap_or_default()
}

/// Somebody else writes the lease.
fn write(cluster: &Cluster, lease: &Value) {
    let mut world = cluster.wire.world();
    let table = world.dynamodb.tables.values_mut().next().unwrap();
    table.insert(key(), lease.clone());
}

fn held_by_core_1(fence: &str) -> Value {
    json!({
        "pk": {"S": "cluster"}, "sk": {"S": "lease"}, "fence": {"S": fence}, "core": {"N": "1"}, "task": {"S": "another"},
        "cause": {"S": "hang"}, "since": {"S": "2026-11-23T10:00:00.000Z"},
    })
}

/// A round, in the middle of which something happens: as soon as this is so.
async fn sweep_while(cluster: &Cluster, is_so: impl Fn(&Cluster) -> bool, happens: impl FnOnce(&Cluster)) {
    let meanwhile = async {
        while !is_so(cluster) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        happens(cluster);
    };
    let (_, ()) = tokio::join!(cluster.sweep(), meanwhile);
}

fn status(cluster: &Cluster, instance: &str) -> &'static str {
    cluster.wire.world().container_instance(instance).map_or("gone", |found| found.status)
}

#[test]
fn a_lease_that_somebody_else_took_since_it_was_read_is_theirs() {
    for fence in [None, Some("5")] {
        play(async {
            let (cluster, old) = leaving().await;
            if let Some(fence) = fence {
                write(&cluster, &json!({"pk": {"S": "cluster"}, "sk": {"S": "lease"}, "fence": {"S": fence}}));
            }
            let from = cluster.wire.world().calls.len();
            let has_read = |cluster: &Cluster| {
                let world = cluster.wire.world();
                world.calls[from..].iter().any(|call| call.action == "dynamodb:BatchGetItem")
            };
            let theirs = held_by_core_1("6");
            sweep_while(&cluster, has_read, |cluster| write(cluster, &theirs)).await;
            assert_eq!(lease(&cluster), theirs, "from fence {fence:?}");
            assert_eq!(status(&cluster, &old), "ACTIVE", "from fence {fence:?}");
        });
    }
}

#[test]
fn what_befalls_another_core_between_the_claim_and_the_stop_keeps_the_core() {
    type Befalls = fn(&Cluster);
    let befalls: [(&str, Befalls); 3] = [
        ("its Neo4j hangs", |cluster| {
            let task = cluster.task(&cluster.holder(3).unwrap()).unwrap();
            cluster.wire.world().hang_member(&task, true);
        }),
        ("somebody drains its instance", |cluster| cluster.empty(3)),
        ("EC2 is about to retire its instance", |cluster| {
            let instance = cluster.holder(3).unwrap();
            cluster.wire.world().schedule(&instance, "instance-retirement", 60);
        }),
    ];
    for (what, befalls) in befalls {
        play(async {
            let (cluster, old) = leaving().await;
            sweep_while(&cluster, |cluster| lease(cluster)["core"]["N"] == "2", befalls).await;
            assert_eq!(status(&cluster, &old), "ACTIVE", "{what}");
            assert_eq!(lease(&cluster)["core"], Value::Null, "{what}: it is given back");
        });
    }
}

#[test]
fn a_task_that_is_placed_in_the_last_moment_holds_its_instance() {
    for (late, want) in [(false, "gone"), (true, "DRAINING")] {
        play(async {
            let (cluster, old) = leaving().await;
            cluster.empty(2);
            // Its tasks stop; then it is seen without one, and has to stay so for half a minute.
            for seconds in [60, 40] {
                cluster.sweep().await.unwrap();
                cluster.wire.sleep(seconds).await;
            }
            let from = cluster.wire.world().calls.len();
            let has_listed = |cluster: &Cluster| {
                let world = cluster.wire.world();
                world.calls[from..].iter().any(|call| call.action == "lambda:InvokeFunction")
            };
            let happens = |cluster: &Cluster| {
                let mut world = cluster.wire.world();
                let address = world.registered(&old).unwrap().1;
                if late {
                    world.run_task(&cluster.ecs_cluster, "cron", address);
                }
            };
            sweep_while(&cluster, has_listed, happens).await;
            assert_eq!(status(&cluster, &old), want, "with a late task: {late}");
            assert_eq!(cluster.states(2)[&old] == "Terminating:Wait", late);
        });
    }
}
