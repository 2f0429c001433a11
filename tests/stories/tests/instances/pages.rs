//! Lists that come in many pages, while a core drains or is healed.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};

/// A cluster whose cores are whole, and which AWS describes one thing at a time.
async fn paged() -> Cluster {
    let cluster = Cluster::formed(3).quiet();
    cluster.wire.world().page = 1;
    cluster.live(minutes(6)).await;
    cluster
}

#[test]
fn a_core_is_drained_whatever_comes_on_the_first_page() {
    play(async {
        let cluster = paged().await;
        let old = cluster.holder(3).unwrap();
        let address = cluster.wire.world().registered(&old).unwrap().1;
        let cron = cluster.wire.world().run_task(&cluster.ecs_cluster, "cron", address);
        cluster.wire.world().mark_unhealthy(&old);
        cluster.until("core 3 is replaced", within(minutes(40)), |c| c.is_replaced(3, &old)).await;
        assert_eq!(cluster.wire.world().ecs.clusters[&cluster.ecs_cluster].tasks[&cron].status, "STOPPED");
    });
}

/// Its clock, and what it had answered before, are remembered in the state table.
#[test]
fn a_core_that_hangs_is_stopped_whatever_comes_on_the_first_page() {
    play(async {
        let cluster = paged().await;
        let old = cluster.task(&cluster.serving(3).unwrap()).unwrap();
        cluster.wire.world().hang_member(&old, true);
        let stopped = |cluster: &Cluster| {
            let world = cluster.wire.world();
            world.ecs.clusters[&cluster.ecs_cluster].tasks.get(&old).is_none_or(|task| !task.wanted)
        };
        cluster.until("its task is stopped", within(minutes(30)), stopped).await;
    });
}
