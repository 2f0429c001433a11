//! While a cluster is created or deleted, its silence means nothing.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};

use super::{dbms, settled};

const METRICS: [&str; 5] =
    ["QuorumMargin", "MembersMissing", "MembersAnswering", "MonitorLoginsRefused", "MonitorRightsMissing"];

#[test]
fn while_a_cluster_is_being_created_it_has_no_metric_of_neo4j() {
    play(async {
        let cluster = Cluster::new(3);
        let all = |cluster: &Cluster| (1..=3).all(|core| cluster.serving(core).is_some());
        cluster.until("every core serves", within(minutes(5)), all).await;
        cluster.live(minutes(6)).await;
        assert!(dbms(&cluster).users.contains_key("monitor"), "it is asked");
        assert!(METRICS.iter().all(|name| cluster.metric(name, None).is_none()));
        cluster.request_phase("Create").await;
        cluster.live(minutes(1)).await;
        // The others are written only when they are not 0.
        assert!(METRICS[..3].iter().all(|name| cluster.metric(name, None).is_some()));
    });
}

#[test]
fn while_a_cluster_is_being_deleted_nobody_asks() {
    play(async {
        let cluster = settled(3).await;
        cluster.request_phase("Delete").await;
        cluster.metrics.lock().unwrap().clear();
        let from = cluster.wire.world().calls.len();
        cluster.live(minutes(5)).await;
        assert!(cluster.metric("CoresNotWhole", None).is_some(), "rounds are made");
        assert!(METRICS.iter().all(|name| cluster.metric(name, None).is_none()));
        let world = cluster.wire.world();
        let asks = ["lambda:InvokeFunction", "secretsmanager:GetSecretValue"];
        let asked: Vec<_> = world.calls[from..].iter().filter(|call| asks.contains(&call.action.as_str())).collect();
        assert!(asked.is_empty(), "{asked:?}");
    });
}
