//! A stack is deleted cleanly in whatever state its cluster is.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
    wire::Fault,
};

/// Deletes a cluster in a state that `until` brings it into.
fn is_deleted_cleanly(with_phase: bool, until: impl AsyncFnOnce(&Cluster)) {
    play(async {
        let cluster = Cluster::new(3);
        until(&cluster).await;
        let took = cluster.delete(with_phase).await;
        let world = cluster.wire.world();
        let running: Vec<_> = world.ec2.instances.values().filter(|found| found.state != "terminated").collect();
        assert!(running.is_empty(), "left running: {running:?}");
        assert!(world.auto_scaling.groups.is_empty() && world.ec2.volumes.is_empty());
        assert_eq!(world.ec2.snapshots.len(), 3, "each data volume leaves a snapshot");
        assert!(took <= minutes(30), "the deletion took {took:?}");
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_forms() {
    // Its creation is rolled back: it never came to say that the cluster is complete.
    is_deleted_cleanly(false, async |cluster| cluster.live(minutes(1)).await);
    is_deleted_cleanly(false, async |cluster| cluster.wire.sleep(20).await);
    is_deleted_cleanly(false, async |_| ());
    is_deleted_cleanly(false, async |cluster| cluster.live(minutes(5)).await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_it_is_healthy() {
    is_deleted_cleanly(true, async |cluster| cluster.form().await);
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_gone() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.sleep(70).await;
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_one_core_is_retained() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let old = cluster.serving(2).unwrap();
        // Nobody answers the function, so that nothing proves that the others do without the core.
        cluster.wire.plan_for("lambda:InvokeFunction", 1_000_000, Fault::Denied);
        let cluster = cluster.with("CORE_DRAIN_TIMEOUT_MINUTES", "20");
        cluster.wire.world().mark_unhealthy(&old);
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
        cluster.wire.calm();
    });
}

#[test]
fn a_stack_is_deleted_cleanly_while_an_agent_is_silent() {
    is_deleted_cleanly(true, async |cluster| {
        cluster.form().await;
        let silent = cluster.serving(3).unwrap();
        cluster.wire.world().silence(&silent);
        cluster.live(minutes(1)).await;
    });
}
