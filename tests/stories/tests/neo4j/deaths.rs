//! A core dies, and is back, or another server is in its place.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};

use super::{figures, look, member, safe, settled, task, whole};

/// Lets an instance die, and holds what is seen as long as nobody has replaced it.
async fn dies(cluster: &Cluster, core: usize) -> String {
    let instance = cluster.serving(core).unwrap();
    cluster.wire.world().fell_instance(&instance);
    cluster.live(minutes(1)).await;
    let seen = look(cluster).await;
    let missing = seen["neo4j"]["missing"].to_string();
    assert!(missing.contains(&format!("core {core} ")), "{seen}");
    assert_eq!(figures(cluster), [Some(0.0), Some(1.0), Some(2.0)], "{seen}");
    assert!(safe(&seen).iter().all(|safe| *safe == core as u64), "{seen}");
    let reasons = seen["cores"][0]["unsafe"].to_string();
    assert!(reasons.contains(&format!("core {core} cannot be relied on: ")), "{reasons}");
    instance
}

async fn comes_back(cluster: &Cluster, core: usize, instance: &str) {
    cluster.until("it is replaced", within(minutes(15)), |cluster| cluster.is_replaced(core, instance)).await;
    cluster.live(minutes(7)).await;
}

#[test]
fn a_core_that_died_is_the_same_server_again_and_all_are_safe() {
    play(async {
        let cluster = settled(3).await;
        let server = member(&cluster, 2).server;
        let instance = dies(&cluster, 2).await;
        comes_back(&cluster, 2, &instance).await;
        let seen = look(&cluster).await;
        assert_eq!((member(&cluster, 2).server, safe(&seen), whole(&seen)), (server, vec![1, 2, 3], vec![1, 2, 3]));
        assert_eq!(figures(&cluster), [Some(1.0), Some(0.0), Some(3.0)]);
        let lost = cluster.wire.world().without_majority();
        assert!(lost.is_empty(), "{lost:?}");
    });
}

#[test]
fn a_core_that_comes_back_with_a_blank_volume_is_named_as_another_server() {
    play(async {
        let cluster = settled(3).await;
        let server = member(&cluster, 2).server;
        let instance = dies(&cluster, 2).await;
        let volume = cluster.nodes[1].volume.clone();
        cluster.wire.world().neo4j.stores.remove(&volume);
        comes_back(&cluster, 2, &instance).await;
        let (seen, other) = (look(&cluster).await, member(&cluster, 2).server);
        let named = format!("its Neo4j is server {other}, but this core was server {server}");
        for core in [0, 2] {
            assert!(seen["cores"][core]["unsafe"].to_string().contains(&named), "{seen}");
        }
        assert_eq!(figures(&cluster)[1..], [Some(0.0), Some(3.0)], "it answers");
        assert_eq!(figures(&cluster)[0], Some(0.0), "it votes in system, where the server that is gone keeps its vote");
        assert!(!safe(&seen).contains(&1) && !safe(&seen).contains(&3), "{seen}");

        // People drop the old server, and with it its votes; the new one gets its copies.
        let cluster_name = cluster.ecs_cluster.clone();
        cluster.wire.world().administer(&cluster_name, |dbms, _| {
            dbms.drop_server(&server);
        });
        cluster.live(minutes(3)).await;
        let seen = look(&cluster).await;
        assert!(!seen["cores"].to_string().contains(&named), "{seen}");
    });
}

#[test]
fn a_task_that_is_followed_by_another_at_its_address_is_no_failure() {
    play(async {
        let cluster = settled(3).await;
        let (old, server) = (task(&cluster, 2), member(&cluster, 2).server);
        cluster.wire.world().stop(&cluster.ecs_cluster, &old);
        let mut unsafe_for = 0;
        for _ in 0..60 {
            cluster.wire.sleep(5).await;
            cluster.sweep().await.unwrap();
            let seen = look(&cluster).await;
            assert_eq!(seen["neo4j"]["gateway"], serde_json::Value::Null, "{seen}");
            assert!(figures(&cluster)[1] <= Some(1.0), "{seen}");
            unsafe_for += i32::from(safe(&seen).len() < 3);
        }
        let seen = look(&cluster).await;
        assert_eq!((safe(&seen), member(&cluster, 2).server), (vec![1, 2, 3], server), "{seen}");
        assert!(task(&cluster, 2) != old && (3..36).contains(&unsafe_for), "{unsafe_for}");
    });
}
